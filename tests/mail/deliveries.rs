//! What sendmails sent to servers by script: ours is made to deliver to the same ones, and sends the same.
//!
//! One mta delivers to all of them at a time: each server has a name of its own, and the maps are one map.

use std::io;
use std::net::IpAddr;
use std::process::Command;
use std::sync::Arc;

use harness::mta::names::Names;
use harness::mta::sink::{Act, Heard, Manner, Sink};
use harness::mta::tls::{self, Identity};
use harness::mta::{House, Place, Plan, given, ready, transact};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;

use crate::divergences::{Divergences, rest};
use crate::vectors::{Certificates, Delivery, Server, deliveries};

/// The server's name in the records.
const THEIRS: &str = "mx.remote.test";
/// Shows servers to be those of a password: sendmail doesn't ask for a name, and we do.
const NAMED: &str = "srv-named";
/// Certificates that are shown to servers, and by them.
const SHOWN: [&str; 8] = [
    "valid",
    "srv-good",
    "srv-wrongname",
    "srv-clientonly",
    "srv-selfsigned",
    "srv-expired",
    "srv-otherca",
    "srv-noext",
];

/// One that ours delivers to.
struct Hop {
    delivery: Delivery,
    name: String,
    sink: Sink,
}

impl Hop {
    fn listen(delivery: Delivery, address: IpAddr, certificates: &Certificates) -> Self {
        let manner = manner(&delivery.server, certificates).unwrap();
        let name = match delivery.server.certificate.as_str() {
            NAMED => THEIRS.to_owned(),
            _ => format!("{}.remote.test", delivery.id.replace('.', "-")),
        };
        Self { sink: Sink::listen(address, 0, manner).unwrap(), name, delivery }
    }

    fn route(&self) -> String {
        let Self { name, sink, .. } = self;
        let mut route = format!(
            "[[route]]\nto = \"{name}\"\nvia = \"smtp\"\nhost = \"{name}\"\nport = {}\n",
            sink.port()
        );
        if self.delivery.server.mechanism.is_some() {
            route += "tls = \"starttls\"\nuser = \"joe\"\npassword_file = \"/etc/mta/password\"\n";
        }
        route
    }

    fn map(&self, house: &str) -> String {
        let entries = self.delivery.access.iter().filter(|(key, _)| !key.starts_with("AuthInfo:"));
        let line = |(key, value): &(String, String)| {
            let value = value.replace("certs/", house);
            format!("{}\t{value}\n", key.replace(THEIRS, &self.name))
        };
        entries.map(line).collect()
    }

    /// What it saw, in the records' words.
    fn wire(&self) -> Vec<String> {
        let line = |line: &String| {
            line.replace(&self.name, THEIRS)
                .replace("MAIL FROM:", "MAIL From:")
                .replace("RCPT TO:", "RCPT To:")
        };
        self.sink.wire().iter().map(line).collect()
    }

    /// Lines of the log about it that have this in them, from there on; in the records' words.
    fn logged(&self, house: &House, start: &str, about: &str) -> Vec<String> {
        let address = format!(" [{}]", house.address());
        let log = house.log();
        let lines = log.lines().filter(|line| line.contains(about));
        let from = lines.filter_map(|line| line.get(line.find(start)?..));
        let plain = from.map(|line| line.replace(&address, "").replace(&self.name, THEIRS));
        plain.collect()
    }

    /// What became of its handshakes.
    fn handshakes(&self, house: &House) -> Vec<String> {
        let relay = format!("relay={}.", self.name);
        let mut lines = self.logged(house, "STARTTLS=client", &relay);
        lines.retain(|line| line.contains(", version="));
        lines
    }

    fn status(&self, house: &House) -> Vec<String> {
        self.logged(house, "dsn=", &format!("to=<joe@{}>", self.name))
    }
}

fn manner(server: &Server, certificates: &Certificates) -> io::Result<Manner> {
    let mut offers = Vec::new();
    if server.mechanism.is_some() {
        offers.push("AUTH PLAIN");
    }
    let mode = server.mode.clone();
    let manner = match mode.as_str() {
        "tls" => Manner::smtp().starttls(settings(server, certificates)?),
        "notls" => Manner::smtp(),
        _ => {
            offers.push("STARTTLS");
            Manner::smtp()
        }
    };
    let script = move |heard: Heard<'_>| match heard {
        Heard::Message(_) => Act::line("250 ok queued"),
        Heard::Line("STARTTLS") => match mode.as_str() {
            "tls" => Act::Usual,
            "drop" => Act::Close,
            "garbage" => Act::SayTwice(b"220 go\r\n".to_vec(), b"this is no TLS\r\n".to_vec()),
            code => Act::line(&format!("{code} nope")),
        },
        _ => Act::Usual,
    };
    Ok(manner.offers(&offers).script(script))
}

fn settings(server: &Server, certificates: &Certificates) -> io::Result<Arc<ServerConfig>> {
    let identity = Identity::named(certificates.path(), &server.certificate)?;
    let versions = match server.version.as_deref() {
        Some("1.2") => tls::TLS_1_2,
        Some(_) => tls::TLS_1_3,
        None => tls::ANY,
    };
    let mut provider = aws_lc_rs::default_provider();
    if let Some(cipher) = &server.cipher {
        let name = format!(
            "TLS_{}",
            cipher.replace('-', "_").replace("RSA_", "RSA_WITH_").replace("AES128", "AES_128")
        );
        provider.cipher_suites.retain(|suite| format!("{:?}", suite.suite()) == name);
    }
    tls::server_with(provider, identity, Some(&certificates.file("root.pem")), versions)
}

/// Delivers to all of them, and compares what each saw, and what the log says of it.
fn deliver(
    deliveries: Vec<Delivery>,
    more: &str,
    certificates: &Certificates,
    known: &mut Divergences,
) -> Vec<String> {
    let place = Place::take().unwrap();
    let address = place.address();
    let hop = |delivery| Hop::listen(delivery, address, certificates);
    let hops: Vec<Hop> = deliveries.into_iter().map(hop).collect();
    let names = Names::listen(address, &[&format!("*.remote.test A {address}")]).unwrap();
    let of = |name: &str| given(&certificates.file(name));
    let shown = |name: &str, for_all: &str| {
        let (certificate, key) = (of(&format!("{name}.pem")), of(&format!("{name}.key")));
        format!(
            "[[client_certificate]]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n{for_all}"
        )
    };
    let mut plan =
        Plan::new().named("mta.oracle.test", &["local.oracle.test"]).map("Connect:127\tRELAY");
    for name in ["both.pem", "both.key", "valid.pem", "valid.key"] {
        plan = plan.give(&certificates.file(name));
    }
    plan = plan.authority_of_servers(&certificates.file("root.pem"));
    plan = plan.before("printf secret >/etc/mta/password; chmod 600 /etc/mta/password");
    plan = plan.sections(&(shown("both", "") + &shown("valid", "for_all = false\n")));
    let given_as = of("NAME").replace("NAME", "");
    for hop in &hops {
        plan = plan.map(&hop.map(&given_as)).sections(&hop.route());
    }
    plan = plan.sections(&format!("[delivery]\nname_servers = [\"{}\"]\n{more}", names.address()));
    let mut house = plan.start_at(place).unwrap();
    for hop in &hops {
        let (mut client, _) = house.visit(house.relay()).unwrap();
        let to = format!("joe@{}", hop.name);
        let said = transact(&mut client, "a@local.oracle.test", &[&to], "Subject: x\r\n\r\nhi\r\n");
        assert_eq!(said.unwrap().last().unwrap().code(), 250, "{to}");
    }
    let mut wrong = Vec::new();
    for hop in &hops {
        if !harness::wait_until(|| !hop.status(&house).is_empty()) {
            wrong.push(format!("{}: nothing came of it", hop.delivery.id));
        }
    }
    // Those that wait for another message say farewell.
    let quit = |hop: &Hop| hop.wire().last().is_none_or(|last| last.ends_with("QUIT"));
    let open = |hop: &&Hop| {
        hop.delivery.wire.last().is_some_and(|last| last.ends_with("QUIT")) && !quit(hop)
    };
    harness::wait_until(|| !hops.iter().any(|hop| open(&hop)));
    for hop in &hops {
        let Delivery { id, wire, log, status, .. } = &hop.delivery;
        let ours = [
            ("wire", wire, hop.wire()),
            ("log", log, hop.handshakes(&house)),
            ("status", status, hop.status(&house)),
        ];
        for (what, theirs, ours) in ours {
            let Some((theirs, ours)) = rest(theirs, &ours) else { continue };
            if !known.covers(id, what, &theirs, &ours) {
                wrong.push(format!("{id} | {what} | {theirs} | {ours}"));
            }
        }
    }
    assert!(house.end_mta(nix::sys::signal::Signal::SIGTERM));
    wrong
}

#[test]
fn ours_sends_what_sendmail_sent_but_where_we_say_why_not() {
    if !ready() {
        return;
    }
    let certificates = Certificates::make(&SHOWN);
    make_named(&certificates);
    let mut known = Divergences::read("sent");
    let (mut compared, mut wrong) = (0, Vec::new());
    // A default of the map is for all of its mta.
    let group = |delivery: &Delivery| {
        let falls_back = delivery.settings.iter().any(|(name, _)| name == "TLSFallbacktoClear");
        (delivery.access.iter().any(|(key, _)| key.ends_with(':')), falls_back)
    };
    for wanted in [(false, false), (true, false), (false, true)] {
        let mut chosen: Vec<Delivery> =
            deliveries().into_iter().filter(|delivery| group(delivery) == wanted).collect();
        for delivery in &mut chosen {
            if delivery.server.mechanism.is_some() && delivery.server.mode == "tls" {
                delivery.server.certificate = NAMED.to_owned();
            }
        }
        compared += chosen.len();
        let more = if wanted.1 { "clear_after_failed_handshake = \"once\"\n" } else { "" };
        wrong.extend(deliver(chosen, more, &certificates, &mut known));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let vanished = known.vanished();
    assert!(vanished.is_empty(), "no delivery diverges so any more: {vanished:#?}");
    assert_eq!(compared, deliveries().len());
    assert!(compared > 45, "only {compared} deliveries");
}

/// A certificate of the authority with the server's name where names belong.
fn make_named(certificates: &Certificates) {
    let script = format!(
        "printf 'subjectAltName=DNS:{THEIRS}\\nextendedKeyUsage=serverAuth\\n' >named.ext
         openssl req -newkey rsa:2048 -nodes -keyout {NAMED}.key -subj /CN={THEIRS} -config empty.cnf -out named.csr
         openssl x509 -req -in named.csr -CA root.pem -CAkey root.key -CAcreateserial -days 30 -extfile named.ext -out {NAMED}.pem"
    );
    let made = Command::new("sh").args(["-ec", &script]).current_dir(certificates.path()).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
