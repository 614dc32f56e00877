//! Settings that are read, and all the complaints about those that can't be.

use super::files::{Child, Holds};
use super::*;

fn wrong(text: &str) -> String {
    Config::parse_as("/etc/mta.toml", text).unwrap_err().to_string()
}

#[test]
fn nothing_written_is_a_sound_configuration() {
    let config = Config::parse("hostname = \"Mail.Example.ORG\"").unwrap();
    assert_eq!(config.hostname, "mail.example.org");
    let roles: Vec<Role> = config.listeners.iter().map(|listener| listener.role).collect();
    assert_eq!(roles, [Role::Submission, Role::Submissions, Role::Relay]);
    assert_eq!(config.listeners[0].addresses[1], "[::]:587".parse().unwrap());
    assert_eq!(config.tls.certificates[0].key, PathBuf::from("/etc/mta/tls/mail.example.org.key"));
    assert_eq!(config.daemon.logins, Logins::Auth("/run/saslauthd/auth".into()));
    assert_eq!(config.limits.message, 50 << 20);
    assert_eq!(config.operation.control, PathBuf::from("/run/mta/control"));
    assert!(config.delivery.smarthost.is_none());
}

#[test]
fn a_whole_configuration_is_read_into_its_types() {
    let config = Config::parse(
        "\
hostname = \"mx.example.org\"
local_domains = [\"Example.org\"]
[[listener]]
role = \"submission\"
addresses = [\"127.0.0.1\", \"[::1]:1587\"]
proxies = [\"192.0.2.7\"]
[[certificate]]
certificate = \"/c.pem\"
key = \"/c.key\"
[[client_certificate]]
certificate = \"/o.pem\"
key = \"/o.key\"
[[client_certificate]]
certificate = \"/f.pem\"
key = \"/f.key\"
for_all = false
[tls]
client_authorities = [\"/ca.pem\"]
revoked = [\"/crl.pem\"]
ask = \"never\"
[[route]]
to = \"local\"
via = \"lmtp\"
socket = \"/run/lmtp\"
[[route]]
to = \".example.net\"
via = \"smtp\"
host = \"192.0.2.25\"
tls = \"implicit\"
user = \"us\"
password_file = \"/p\"
[smarthost]
host = \"smtp.example.com\"
[delivery]
name_servers = [\"127.0.0.1:5353\", \"::1\"]
retry = [\"1s\"]
",
    )
    .unwrap();
    let places = ["127.0.0.1:587".parse().unwrap(), "[::1]:1587".parse().unwrap()];
    assert_eq!(config.listeners[0].addresses, places);
    assert_eq!(config.tls.ask, AskForCertificate::Never);
    assert_eq!(config.tls.client_certificate.as_ref().unwrap().key, PathBuf::from("/o.key"));
    assert_eq!(config.tls.feature_certificates.len(), 1);
    assert_eq!(config.routes[0].via, Via::LmtpUnix("/run/lmtp".into()));
    assert_eq!(config.routes[1].pattern, Pattern::Below("example.net".into()));
    let Via::Smtp(server) = &config.routes[1].via else { panic!("another way") };
    assert_eq!((server.port, server.tls), (465, Begin::Implicit));
    let Some(Via::Smtp(smarthost)) = &config.delivery.smarthost else { panic!("no smarthost") };
    assert_eq!((smarthost.port, smarthost.tls), (587, Begin::StartTls));
    assert_eq!(config.delivery.name_servers[1], "[::1]:53".parse().unwrap());
}

#[test]
fn each_child_gets_what_it_needs_and_no_other() {
    let config = Config::parse(
        "\
hostname = \"a\"
[[certificate]]
certificate = \"/c.pem\"
key = \"/c.key\"
[[client_certificate]]
certificate = \"/o.pem\"
key = \"/o.key\"
[tls]
client_authorities = [\"/clients.pem\"]
revoked = [\"/crl.pem\"]
[smarthost]
host = \"h\"
user = \"u\"
password_file = \"/p\"
",
    )
    .unwrap();
    let of = |child, holds| -> Vec<String> {
        let files = config.files(child).into_iter().filter(|file| file.holds == holds);
        files.map(|file| file.path.to_string_lossy().into_owned()).collect()
    };
    assert_eq!(of(Child::Receiver, Holds::Secret), ["/c.key"]);
    assert_eq!(of(Child::Receiver, Holds::Public), ["/c.pem", "/clients.pem", "/crl.pem"]);
    assert_eq!(of(Child::Sender, Holds::Secret), ["/o.key", "/p"]);
    assert_eq!(of(Child::Sender, Holds::Public), ["/crl.pem", "/o.pem"]);
    assert_eq!(of(Child::Sender, Holds::Optional), [files::RESOLV_CONF, files::HOST_AUTHORITIES]);
}

#[test]
fn all_errors_come_at_once_with_their_places() {
    let text = "\
hostnam = \"x\"
local_domains = [\"example.org\"]
spool = \"var\"

[[listener]]
addresses = [\"localhost\"]

[[listener]]
role = \"relay\"
addresses = [\"127.0.0.1:25\", \"127.0.0.1\"]

[[certificate]]
key = \"/k\"

[[route]]
to = \"example.net\"
via = \"lmtp\"
text = \"no\"
";
    assert_eq!(
        wrong(text),
        "\
/etc/mta.toml:1:1: unknown key `hostnam`; did you mean `hostname`?
    hostnam = \"x\"
    ^~~~~~~
/etc/mta.toml:2:17: no route takes mail for example.org; write [[route]] with to = \"local\", and via = \"lmtp\" or \"maildir\"
    local_domains = [\"example.org\"]
                    ^~~~~~~~~~~~~~~
/etc/mta.toml:3:9: expected an absolute path without `..`, found \"var\"
    spool = \"var\"
            ^~~~~
/etc/mta.toml:5:1: say what it is for: role = \"submission\"
    [[listener]]
    ^~~~~~~~~~~~
/etc/mta.toml:6:14: expected an address such as \"192.0.2.1\", \"192.0.2.1:2525\" or \"[2001:db8::1]:2525\", found \"localhost\"
    addresses = [\"localhost\"]
                 ^~~~~~~~~~~
/etc/mta.toml:10:30: 127.0.0.1:25 is listened on already
    addresses = [\"127.0.0.1:25\", \"127.0.0.1\"]
                                 ^~~~~~~~~~~
/etc/mta.toml:12:1: write both, certificate = and key =
    [[certificate]]
    ^~~~~~~~~~~~~~~
/etc/mta.toml:15:1: `text` means nothing on a route via \"lmtp\" like this
    [[route]]
    ^~~~~~~~~
/etc/mta.toml:17:7: via = \"lmtp\" needs socket = or host =
    via = \"lmtp\"
          ^~~~~~
"
    );
}

#[test]
fn what_excludes_each_other_is_said() {
    let cases = [
        ("[daemon]\nauth = \"/a\"\nmux = \"/m\"\n", "keep one of both"),
        ("[smarthost]\nhost = \"h\"\nuser = \"u\"\n", "password_file = is missing"),
        ("[smarthost]\nhost = \"h\"\npassword_file = \"/p\"\n", "user = is missing"),
        ("[smarthost]\nport = 25\n", "say which: host ="),
        (
            "[smarthost]\nhost = \"h\"\ntls = \"if-offered\"\nuser = \"u\"\npassword_file = \"/p\"\n",
            "write tls = \"starttls\"",
        ),
        ("[delivery]\nretry = []\n", "write one wait"),
        ("[delivery]\ngive_up_after = \"1h\"\n", "longer than warn_after"),
        ("[[route]]\nto = \"*\"\nvia = \"smtp\"\n", "needs host ="),
        ("[[route]]\nto = \"*\"\nvia = \"maildir\"\n", "needs directory ="),
        ("[[route]]\nto = \"*\"\nvia = \"mx\"\nport = 26\n", "`port` means nothing"),
        ("[[route]]\nto = \"[192.0.2.1]\"\nvia = \"mx\"\n", "a domain after a dot"),
        ("[[route]]\nvia = \"mx\"\n", "write both"),
        ("[listener]\nrole = \"relay\"\n", "with two brackets"),
        ("hostname = \"a b\"\n", "expected a name such as"),
        ("[limits]\nmessage = \"1KiB\"\n", "expected a size from"),
        (
            "[[client_certificate]]\ncertificate = \"/a\"\nkey = \"/b\"\n\
             [[client_certificate]]\ncertificate = \"/c\"\nkey = \"/d\"\n",
            "for_all = false",
        ),
    ];
    for (text, part) in cases {
        let report = wrong(text);
        assert!(report.contains(part), "{text}: {report}");
    }
}

#[test]
fn more_sockets_than_one_message_takes_are_refused() {
    let text: String = (0..=sys::channel::MAX_DESCRIPTORS)
        .map(|n| {
            format!("[[listener]]\nrole = \"relay\"\naddresses = [\"127.0.0.1:{}\"]\n", 3000 + n)
        })
        .collect();
    assert!(wrong(&text).contains("more than 32 addresses"));
}

#[test]
fn no_damaged_sample_panics() {
    let sample = manual::sample().replace("\n#", "\n");
    for place in (0..sample.len()).step_by(97).filter(|place| sample.is_char_boundary(*place)) {
        for with in ["\"", "=", "[", "\u{0}"] {
            let mut text = sample.clone();
            text.insert_str(place, with);
            let _ = Config::parse(&text).map_err(|report| report.to_string());
        }
    }
}
