//! One house sends through another: by a login at its ports for people, and by a certificate at its port for servers.

use std::path::Path;
use std::process::Command;

use harness::mta::names::Names;
use harness::mta::sink::{Manner, Sink};
use harness::mta::{DOMAIN, House, LOGIN, Place, Plan, ready, transact};
use harness::subject::built;

const THERE: &str = "there.example";
const NAME: &str = "mail.there.example";
const MACHINE: &str = "branch";
/// It may send as anybody, as a server that sends for others must.
const ACCOUNT: &str = "branch@there.example";
const SECRET: &str = "Looking-Glass-5512-branch";
/// A domain for each of the other house's ports; what is for none of them goes to its submissions port.
const WAYS: [(&str, u16, &str); 4] = [
    ("submission.example", 2587, "starttls"),
    ("submissions.example", 2465, "implicit"),
    ("relay.example", 2525, "starttls"),
    ("wrong.example", 2587, "starttls"),
];

/// The other house: it has an account for the first one, believes its authority, and hands all on to a sink.
fn other(first: &Path) -> (House, Sink) {
    let place = Place::take().unwrap();
    let sink = Sink::listen(place.address(), 0, Manner::smtp()).unwrap();
    let to = (place.address(), sink.port()).into();
    let plan = Plan::new().named(NAME, &[THERE]).authority(first);
    let plan = plan.daemon(&format!(
        "[sasl]\nmechanisms = [\"PLAIN\", \"LOGIN\", \"SCRAM-SHA-256\"]\n[realm.\"{THERE}\"]\nchain = [\"sqlite\"]\n"
    ));
    let keys = mailauth(&["access", "key"], &first.with_file_name(format!("{MACHINE}.pem")));
    let key = keys.lines().find(|line| line.starts_with("CertKey:")).unwrap();
    let house = plan.map(&format!("{key}\tRELAY")).everything_to(to).start_at(place).unwrap();
    let program = built("mailauth").display().to_string();
    let script = format!(
        "printf {SECRET} | {program} user add --password-stdin {ACCOUNT}
         {program} user senders {ACCOUNT} --any"
    );
    let ran = house.sandbox().run("sh", ["-ec", &script]).unwrap();
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    (house, sink)
}

fn first(directory: &Path, names: &Names) -> Plan {
    let mut plan = Plan::new().before(&format!(
        "umask 077; echo {SECRET} >/etc/mta/secret; echo wrong >/etc/mta/wrong; umask 022
         cp {0}/{MACHINE}.pem {0}/{MACHINE}.key /etc/mta/tls; cat {0}/there.pem >>/etc/mta/tls/ca.pem",
        directory.display()
    ));
    for (domain, port, begin) in WAYS {
        let login = match domain {
            "relay.example" => String::new(),
            "wrong.example" => login("wrong"),
            _ => login("secret"),
        };
        plan = plan.sections(&format!(
            "[[route]]\nto = \"{domain}\"\nvia = \"smtp\"\nhost = \"{NAME}\"\nport = {port}\ntls = \"{begin}\"\n{login}"
        ));
    }
    plan.sections(&format!(
        "[delivery]\nretry = [\"1s\"]\nname_servers = [\"{}\"]\n[smarthost]\nhost = \"{NAME}\"\nport = 2465\ntls = \"implicit\"\n{}\
         [[client_certificate]]\ncertificate = \"/etc/mta/tls/{MACHINE}.pem\"\nkey = \"/etc/mta/tls/{MACHINE}.key\"\n",
        names.address(),
        login("secret")
    ))
}

/// What it printed.
fn mailauth(words: &[&str], path: &Path) -> String {
    let output = Command::new(built("mailauth")).args(words).arg(path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn login(file: &str) -> String {
    format!("user = \"{ACCOUNT}\"\npassword_file = \"/etc/mta/{file}\"\n")
}

#[test]
fn one_house_sends_through_another() {
    if !ready() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    mailauth(&["cert", "init", "--name", "branch.test", "--directory"], directory.path());
    mailauth(&["cert", "issue", "--client", MACHINE, "--directory"], directory.path());
    let (there, sink) = other(&directory.path().join("ca.pem"));
    std::fs::copy(there.tls().join("ca.pem"), directory.path().join("there.pem")).unwrap();
    let names =
        Names::listen(there.address(), &[&format!("{NAME} A {}", there.address())]).unwrap();
    let here = first(directory.path(), &names).start().unwrap();
    let mut client = here.login(here.submission()).unwrap();
    let from = format!("{LOGIN}@{DOMAIN}");
    let domains = ["submission.example", "submissions.example", "relay.example", "far.example"];
    for domain in domains {
        let text = format!("Subject: for {domain}.\r\n\r\nhi\r\n");
        let replies = transact(&mut client, &from, &[&format!("ann@{domain}")], &text).unwrap();
        assert_eq!(replies.last().unwrap().code(), 250, "{replies:?}");
    }
    let replies = transact(&mut client, "", &["ann@wrong.example"], "Subject: x\r\n\r\nx\r\n");
    let replies = replies.unwrap();
    assert_eq!(replies.last().unwrap().code(), 250, "{replies:?}");
    let messages = sink.await_messages(domains.len());
    assert_eq!(messages.len(), domains.len(), "{} {}", here.log(), there.log());
    for domain in domains {
        let subject = format!("Subject: for {domain}.\r\n");
        let texts: Vec<String> = messages.iter().map(|message| message.text()).collect();
        let text = texts.iter().find(|text| text.contains(&subject));
        check(text.unwrap_or_else(|| panic!("{domain}: {texts:?}")), domain);
    }
    let login = format!("authid={ACCOUNT}, mech=SCRAM-SHA-256,");
    assert!(there.logged(&["AUTH=server", &login]), "{}", there.log());
    let wrong = ["to=<ann@wrong.example>", "stat=Deferred: 454 4.7.0 AUTH at ", "535 5.7.8"];
    assert!(here.logged(&wrong), "{}", here.log());
}

/// It tells of both houses how it came to them.
#[track_caller]
fn check(text: &str, domain: &str) {
    let hops: Vec<&str> = text.split("Received: ").skip(1).collect();
    assert_eq!(hops.len(), 2, "{text}");
    let (by, with) = match domain {
        "relay.example" => ("verify=OK", "with ESMTPS id "),
        _ => ("(authenticated bits=0)", "with ESMTPSA id "),
    };
    assert!(hops[0].contains(by) && hops[0].contains(with), "{text}");
    assert!(hops[1].contains("(authenticated bits=0)"), "{text}");
}
