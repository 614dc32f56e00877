//! The house logs in to a Postfix of Debian, with each mechanism that both have, and relays at Postfix and sendmail by its
//! certificate.

use std::fs;
use std::net::SocketAddr;

use harness::mta::{House, LOGIN, PASSWORD, Place, Plan, ready, transact};
use harness::subject::built;
use harness::{PATIENCE, wait_for};

use crate::next_hop::{
    NextHop, POSTFIX, SENDMAIL, postfix_that_keeps, sendmail, sendmail_settings,
};
use crate::peers::Result;
use crate::peers::namespace::Namespace;
use crate::peers::tls::SERVER;
use crate::peers_in::there;
use crate::tunnel::Tunnel;

const BODY: &str = "\nhello\n.dot\n.\nlast";
/// Between the ports of the servers' worlds and those of the host.
const ABOVE: u16 = 2000;

/// A Dovecot that checks logins for Postfix, since its accounts have what SCRAM needs.
const DOVECOT: &str = "\
base_dir = /run/dovecot
state_dir = /run/dovecot
protocols =
ssl = no
log_path = /dev/stderr
auth_mechanisms = plain login scram-sha-256
passdb {
  driver = passwd-file
  args = /etc/users
}
service auth {
  unix_listener /run/auth/auth {
    mode = 0666
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
";

/// Port of the server, domain of the recipient, mechanism and who checks it.
const LOGINS: [(u16, &str, &str, Option<&str>); 5] = [
    (587, "plain.example", "PLAIN", Some(DAEMON)),
    (588, "login.example", "LOGIN", Some(DAEMON)),
    (589, "scram.example", "SCRAM-SHA-256", Some(DOVECOTS)),
    (590, "plain-there.example", "PLAIN", Some(DOVECOTS)),
    // By itself, inside TLS from the first byte; for whatever no route is for.
    (465, "elsewhere.example", "PLAIN", None),
];
const DAEMON: &str = "/run/saslauthd/auth";
const DOVECOTS: &str = "/run/auth/auth";
/// With a certificate that is not of its name.
const STRANGER: u16 = 591;

/// A way to each of these ports, all of one address.
fn ways(world: &Namespace, place: &Place, ports: &[u16]) -> Result<Vec<Tunnel>> {
    let way = |port: &u16| {
        let at = SocketAddr::from((place.address(), port + ABOVE));
        Tunnel::into_world(world, at, (SERVER, *port))
    };
    Ok(ports.iter().map(way).collect::<std::io::Result<_>>()?)
}

fn route(domain: &str, place: &Place, port: u16, more: &str) -> String {
    let (host, port) = (place.address(), port + ABOVE);
    format!(
        "[[route]]\nto = \"{domain}\"\nvia = \"smtp\"\nhost = \"{host}\"\nport = {port}\n{more}"
    )
}

/// The server's certificates: one of its address, one of another name, both of the house's authority.
fn certify(house: &House, world: &Namespace, place: &Place) -> Result<()> {
    let address = place.address().to_string();
    for (name, server) in [("good", address.as_str()), ("foreign", "other.example.test")] {
        house.cert(&["issue", "--server", server])?;
        for ending in ["pem", "key"] {
            let text = fs::read_to_string(house.tls().join(format!("{server}.{ending}")))?;
            world.write(&format!("/etc/tls/{name}.{ending}"), &text)?;
        }
    }
    world.write("/etc/tls/ca.pem", &fs::read_to_string(house.tls().join("ca.pem"))?)?;
    world.shell("chmod 600 /etc/tls/*.key").map(drop)
}

/// From nobody, so that no report is sent of what is refused.
fn send(house: &House, domain: &str) {
    let (mut client, _) = house.visit(house.relay()).unwrap();
    let text = format!("Subject: for {domain}\n{BODY}").replace('\n', "\r\n");
    let replies = transact(&mut client, "", &[&format!("ann@{domain}")], &text).unwrap();
    assert_eq!(replies.last().unwrap().code(), 250, "{replies:?}");
}

/// The one message for a domain that the server has.
#[track_caller]
fn arrived(server: &NextHop, world: &Namespace, house: &House, domain: &str) -> String {
    let subject = format!("Subject: for {domain}\n");
    let all = || -> Vec<String> {
        let kept = server.kept(world).into_iter();
        kept.filter(|text| text.contains(&subject) && text.trim_end().ends_with(BODY)).collect()
    };
    let mut found = Vec::new();
    let there = wait_for(2 * PATIENCE, || {
        found = all();
        found.len() == 1
    });
    assert!(there, "{domain}: {found:?} {} {}", house.log(), server.log(world));
    found.remove(0)
}

fn login_server(world: &Namespace, house: &House) -> Result<()> {
    let run = house.sandbox().path().join("run/saslauthd");
    world.shell(&format!("mount --bind {} /run/saslauthd", run.display()))?;
    world.directory("/run/auth", 0)?;
    world.write("/etc/users", &format!("{LOGIN}:{{PLAIN}}{PASSWORD}::::::\n"))?;
    world.write("/etc/dovecot.conf", DOVECOT)?;
    world.spawn("dovecot", "dovecot", &["-F", "-c", "/etc/dovecot.conf"])?;
    let settings = "smtpd_relay_restrictions = permit_sasl_authenticated, reject\nsmtpd_sasl_type = dovecot\n\
           smtpd_sasl_path = /run/saslauthd/auth\nsmtpd_sasl_security_options = noanonymous\n\
           smtpd_sasl_authenticated_header = yes\nsmtpd_tls_auth_only = yes\n";
    let mut services = String::new();
    for (port, _, mechanism, socket) in LOGINS {
        services += &format!("127.0.0.2:{port} inet n - n - - smtpd");
        match socket {
            None => services += " -o smtpd_tls_wrappermode=yes",
            Some(socket) => {
                services += &format!(
                    " -o smtpd_sasl_path={socket} -o smtpd_sasl_mechanism_filter={mechanism}"
                );
            }
        }
        services += "\n";
    }
    services += &format!(
        "127.0.0.2:{STRANGER} inet n - n - - smtpd -o smtpd_tls_chain_files=/etc/tls/foreign.key,/etc/tls/foreign.pem\n"
    );
    postfix_that_keeps(world, settings, &services)?;
    world.await_port_of(SERVER, STRANGER, "postfix")
}

#[test]
fn it_logs_in_with_each_mechanism() {
    if !ready() {
        return;
    }
    let packages = ["postfix", "dovecot-core"];
    let Some(world) = there(Namespace::start(&packages)) else { return };
    let programs = ["/usr/lib/postfix/sbin/smtpd", "/usr/lib/dovecot/auth"];
    if there(world.check_libraries(&programs)).is_none() {
        return;
    }
    let place = Place::take().unwrap();
    let login =
        format!("tls = \"starttls\"\nuser = \"{LOGIN}\"\npassword_file = \"/etc/mta/secret\"\n");
    let mut plan = Plan::new().map("Connect:127\tRELAY").before(&format!(
        "umask 077; echo '{PASSWORD}' >/etc/mta/secret; echo wrong >/etc/mta/wrong"
    ));
    for (port, domain, _, socket) in LOGINS {
        plan = plan.sections(&match socket {
            Some(_) => route(domain, &place, port, &login),
            None => format!(
                "[smarthost]\nhost = \"{}\"\nport = {}\n{}",
                place.address(),
                port + ABOVE,
                login.replace("starttls", "implicit")
            ),
        });
    }
    plan = plan.sections(&route("wrong.example", &place, 587, &login.replace("secret", "wrong")));
    plan = plan.sections("[delivery]\nretry = [\"3s\"]\n");
    plan = plan.sections(&route("stranger.example", &place, STRANGER, &login));
    let house = plan.start().unwrap();
    there(certify(&house, &world, &place));
    there(login_server(&world, &house));
    let ports: Vec<u16> = LOGINS.iter().map(|login| login.0).chain([STRANGER]).collect();
    let ways = ways(&world, &place, &ports).unwrap();
    for (_, domain, _, _) in LOGINS {
        send(&house, domain);
    }
    send(&house, "wrong.example");
    send(&house, "stranger.example");
    for (_, domain, mechanism, _) in LOGINS {
        let text = arrived(&POSTFIX, &world, &house, domain);
        assert!(text.contains(&format!("(Authenticated sender: {LOGIN})")), "{text}");
        let log = POSTFIX.log(&world);
        let login = format!("sasl_method={mechanism}, sasl_username={LOGIN}");
        assert!(log.contains(&login), "{domain}: {login}: {log}");
    }
    let wrong = ["to=<ann@wrong.example>", "stat=Deferred: 454 4.7.0 AUTH at ", "535 5.7.8"];
    assert!(house.logged(&wrong), "{}", house.log());
    let stranger = ["to=<ann@stranger.example>", "stat=Deferred: 454 4.7.0 ", "is to have TLS"];
    assert!(house.logged(&stranger), "{}", house.log());
    // Not even the name of a mechanism, let alone a password, was said outside TLS.
    for way in &ways {
        assert!(!way.said().contains("AUTH"), "{:?}", way.said());
    }
    assert_eq!(POSTFIX.kept(&world).len(), LOGINS.len(), "{:?}", POSTFIX.kept(&world));
}

/// A house that shows its certificate to one of two addresses, and the ways from both to a server.
struct Relay {
    house: House,
    world: Namespace,
    _places: [Place; 2],
    _ways: Vec<Tunnel>,
}

impl Relay {
    fn set(server: &NextHop) -> Result<Self> {
        let world = server.world()?;
        let places = [Place::take()?, Place::take()?];
        let shown = "CertFile=/etc/mta/tls/relay.pem;KeyFile=/etc/mta/tls/relay.key";
        let mut plan = Plan::new().client("relay").map("Connect:127\tRELAY");
        plan = plan.map(&format!("TLS_Clt_Features:{}\t{shown}", places[0].address()));
        plan = plan.sections(
            "[[client_certificate]]\ncertificate = \"/etc/mta/tls/relay.pem\"\n\
             key = \"/etc/mta/tls/relay.key\"\nfor_all = false\n",
        );
        plan = plan.sections("[delivery]\nretry = [\"3s\"]\n");
        let mut ways_of_both = Vec::new();
        for (domain, place) in ["shown.example", "hidden.example"].into_iter().zip(&places) {
            plan = plan.sections(&route(domain, place, 25, ""));
            ways_of_both.extend(ways(&world, place, &[25])?);
        }
        let house = plan.start()?;
        certify(&house, &world, &places[0])?;
        Ok(Self { house, world, _places: places, _ways: ways_of_both })
    }

    /// The server takes what comes with the certificate, and nothing else.
    fn check(&self, server: &NextHop, refusal: &str) {
        for domain in ["shown.example", "hidden.example"] {
            send(&self.house, domain);
        }
        arrived(server, &self.world, &self.house, "shown.example");
        let refused = ["to=<ann@hidden.example>", refusal];
        assert!(self.house.logged(&refused), "{}", self.house.log());
        assert_eq!(server.kept(&self.world).len(), 1, "{}", server.log(&self.world));
    }
}

#[test]
fn it_relays_at_postfix_by_its_certificate() {
    if !ready() {
        return;
    }
    let Some(relay) = there(Relay::set(&POSTFIX)) else { return };
    let certificate = fs::read_to_string(relay.house.tls().join("relay.pem")).unwrap();
    relay.world.write("/etc/tls/relay.pem", &certificate).unwrap();
    let script = "openssl x509 -in /etc/tls/relay.pem -noout -fingerprint -sha256";
    let printed = relay.world.shell(script).unwrap();
    let fingerprint = printed.trim().rsplit('=').next().unwrap();
    let settings = format!(
        "mynetworks =\nsmtpd_sasl_auth_enable = no\nsmtpd_relay_restrictions = permit_tls_clientcerts, reject\n\
         smtpd_tls_ask_ccert = yes\nsmtpd_tls_fingerprint_digest = sha256\n\
         relay_clientcerts = inline:{{ {fingerprint}=ok }}\n"
    );
    let listener = format!("{SERVER}:25 inet n - n - - smtpd\n");
    there(postfix_that_keeps(&relay.world, &settings, &listener));
    there(relay.world.await_port_of(SERVER, 25, "postfix"));
    relay.check(&POSTFIX, "dsn=5.7.1, stat=554 5.7.1 ");
}

#[test]
fn it_relays_at_sendmail_by_its_certificate() {
    if !ready() {
        return;
    }
    let Some(relay) = there(Relay::set(&SENDMAIL)) else { return };
    let pem = relay.house.tls().join("relay.pem").display().to_string();
    let keys = relay.house.sandbox().run(built("mailauth"), ["access", "key", &pem]).unwrap().out();
    let issuer = keys.lines().find(|line| line.starts_with("CertIssuer:")).unwrap();
    let lines = "define(`confDELIVERY_MODE', `queueonly')dnl\nFEATURE(`access_db')dnl\n";
    relay.world.write("/etc/mail/access", &format!("{issuer}\tRELAY\n")).unwrap();
    there(sendmail_settings(&relay.world, lines));
    relay
        .world
        .shell(
            // Whoever comes from 127.0.0.1 may relay there.
            "ip route add table local local 127.0.0.2 dev lo src 127.0.0.3
             makemap=/usr/libexec/sendmail/makemap
             [ -x $makemap ] || makemap=/usr/sbin/makemap
             $makemap hash /etc/mail/access </etc/mail/access",
        )
        .unwrap();
    there(sendmail(&relay.world, 25, "good", &[]));
    there(relay.world.await_port_of(SERVER, 25, "server"));
    relay.check(&SENDMAIL, "dsn=5.7.1, stat=550 5.7.1 ");
    let text = arrived(&SENDMAIL, &relay.world, &relay.house, "shown.example");
    assert!(text.contains("verify=OK"), "{text}");
}
