//! Certificates that sendmail was shown are shown to ours, by openssl: it says of them what sendmail said, in the log and in
//! the `Received:` of a message.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use harness::mta::{House, Plan, ready};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::divergences::{Divergences, rest};
use crate::vectors::{Certificates, vectors};
use crate::written::{field, log_like, recorded_field, recorded_log};

const RECIPIENT: &str = "root@local.oracle.test";

/// What was shown, and what was said of it.
struct Shown {
    id: String,
    /// Anything that sendmail was set to.
    setting: String,
    version: String,
    /// Certificates, the client's own first.
    send: Vec<String>,
    log: Vec<String>,
    received: Vec<String>,
}

impl Shown {
    fn read(vector: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let expect = &vector["expect"];
        let named = |name: &str| text(&expect[name]);
        let first = match &expect["log"] {
            Value::Array(lines) => lines.first().map(text),
            line => line.as_str().map(str::to_owned),
        };
        let second = format!(
            "STARTTLS=server, cert-subject={}, cert-issuer={}, verifymsg={}",
            named("cert_subject"),
            named("cert_issuer"),
            named("verifymsg")
        );
        let log = first.map(|first| recorded_log(&[first, second])).unwrap_or_default();
        let received = expect["received"].as_str().map(recorded_field);
        Self {
            id: text(&vector["id"]),
            setting: text(&vector["setting"]),
            version: vector["tls"].as_str().unwrap_or("1.3").replace('.', "_"),
            send: vector["send"].as_array().unwrap().iter().map(text).collect(),
            log,
            received: received.into_iter().collect(),
        }
    }
}

/// Ours set as sendmail was.
fn plan(setting: &str, certificates: &Certificates) -> Plan {
    let file = |name: &str| certificates.file(name);
    let mut plan = Plan::new()
        .named("mta.oracle.test", &["local.oracle.test"])
        .shows(&file("server.pem"), &file("server.key"));
    let other = setting.starts_with("CACertFile=otherroot.pem");
    plan = plan.authority(&file(if other { "otherroot.pem" } else { "root.pem" }));
    if setting.starts_with("TLSSrvOptions=V") {
        plan = plan.tls("ask = \"never\"");
    }
    if let Some((_, features)) = setting.split_once("Srv_Features:client.oracle.test ") {
        plan = plan.map(&format!("Srv_Features:127.0.0.2\t{features}"));
    }
    for (start, list) in [
        ("CRLFile=root.crl", "root.crl"),
        ("CRLFile names a file that does not exist", "missing.crl"),
        ("CRLFile is not a CRL", "garbage.crl"),
    ] {
        if setting.starts_with(start) {
            plan = match list {
                "missing.crl" => plan,
                list => plan.give(&file(list)),
            };
            plan = plan.tls(&format!("revoked = [\"{}\"]", harness::mta::given(&file(list))));
        }
    }
    plan
}

/// openssl as a client, inside TLS.
struct Openssl {
    child: Child,
    says: ChildStdin,
    hears: BufReader<ChildStdout>,
}

impl Openssl {
    fn connect(to: SocketAddr, shown: &Shown, certificates: &Certificates) -> io::Result<Self> {
        let mut command = Command::new("timeout");
        command.args(["20", "openssl", "s_client", "-quiet", "-crlf", "-starttls", "smtp"]);
        command.args(["-name", "client.oracle.test", "-bind", "127.0.0.2:0"]);
        command.arg("-connect").arg(to.to_string()).arg(format!("-tls{}", shown.version));
        // Its own level of security must not keep it from showing what is weak.
        command.args(["-cipher", "ALL:@SECLEVEL=0", "-no-CAfile", "-no-CApath", "-no-CAstore"]);
        if let Some((own, others)) = shown.send.split_first() {
            command.args(["-cert", &format!("{own}.pem"), "-key", &format!("{own}.key")]);
            let read = |name: &String| std::fs::read(certificates.file(&format!("{name}.pem")));
            let others = others.iter().map(read).collect::<io::Result<Vec<_>>>()?.concat();
            if !others.is_empty() {
                std::fs::write(certificates.file("others.chain"), others)?;
                command.args(["-cert_chain", "others.chain"]);
            }
        }
        command.current_dir(certificates.path()).stderr(Stdio::null());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (says, hears) = (child.stdin.take(), child.stdout.take());
        let (Some(says), Some(hears)) = (says, hears) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        Ok(Self { child, says, hears: BufReader::new(hears) })
    }

    /// Says lines one after the other, each after the reply to the one before; false when one is not accepted.
    fn say(&mut self, lines: &[&str]) -> io::Result<bool> {
        for line in lines {
            writeln!(self.says, "{line}")?;
            self.says.flush()?;
            let mut reply = String::new();
            while reply.as_bytes().get(3) != Some(&b' ') {
                reply.clear();
                if self.hears.read_line(&mut reply)? == 0 {
                    return Ok(false);
                }
            }
            if !reply.starts_with(['2', '3']) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// Shows them and sends a message: what the log has of it, and the message's `Received:`.
fn show(
    house: &House,
    shown: &Shown,
    certificates: &Certificates,
    known: &Divergences,
) -> io::Result<(Vec<String>, Vec<String>)> {
    let (from, before) = (house.log().len(), house.mailbox(RECIPIENT));
    let mut client = Openssl::connect(house.relay(), shown, certificates)?;
    let sent = client.say(&[
        "EHLO client.oracle.test",
        "MAIL FROM:<a@b.example>",
        &format!("RCPT TO:<{RECIPIENT}>"),
        "DATA",
        "Subject: x\n\nhi\n.",
    ]);
    let log = log_like(house, from, |ours| {
        ours == shown.log || known.knows(&shown.id, "log", &shown.log, ours)
    });
    if !sent.is_ok_and(|sent| sent) {
        return Ok((log, Vec::new()));
    }
    house.await_mail(RECIPIENT, before.len() + 1);
    let new = house.mailbox(RECIPIENT).into_iter().find(|path| !before.contains(path));
    let message = new.map(std::fs::read_to_string).transpose()?;
    Ok((log, message.map(|message| field(&message)).into_iter().collect()))
}

/// Certificates of which the authority says that they are revoked, and lists that are none.
fn make_lists(certificates: &Certificates) {
    let script = "openssl ca -config ca-root.cnf -revoke revoked.pem
                  openssl ca -config ca-root.cnf -gencrl -out root.crl
                  echo nonsense >garbage.crl";
    let made = Command::new("sh").args(["-ec", script]).current_dir(certificates.path()).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn ours_says_of_certificates_what_sendmail_said_but_where_we_say_why_not() {
    if !ready() || !harness::require("openssl", "openssl") {
        return;
    }
    let all: Vec<Shown> = vectors("client-certificate").iter().map(Shown::read).collect();
    let mut names: Vec<&str> =
        all.iter().flat_map(|shown| &shown.send).map(String::as_str).collect();
    names.push("otherroot");
    let certificates = Certificates::make(&names);
    make_lists(&certificates);
    let mut groups: BTreeMap<&str, Vec<&Shown>> = BTreeMap::new();
    for shown in &all {
        groups.entry(&shown.setting).or_default().push(shown);
    }
    let (mut known, mut wrong) = (Divergences::read("certificates"), Vec::new());
    for (setting, group) in groups {
        let house = plan(setting, &certificates).start();
        for shown in group {
            let (log, received) = match &house {
                Ok(house) => show(house, shown, &certificates, &known).unwrap(),
                Err(why) => (vec![why.to_string()], Vec::new()),
            };
            for (what, theirs, ours) in
                [("log", &shown.log, log), ("received", &shown.received, received)]
            {
                let Some((theirs, ours)) = rest(theirs, &ours) else { continue };
                if !known.covers(&shown.id, what, &theirs, &ours) {
                    wrong.push(format!("{} | {what} | {theirs} | {ours}", shown.id));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let vanished = known.vanished();
    assert!(vanished.is_empty(), "no certificate diverges so any more: {vanished:#?}");
    assert!(all.len() > 80, "only {} certificates shown", all.len());
}
