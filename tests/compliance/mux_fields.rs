//! What the four fields of a mux request may hold: lengths, NULs, emptiness, odd bytes.

use std::io;
use std::time::Duration;

use harness::probe::{ask_mux, counted};
use harness::{Daemon, Probe, Sandbox, Subject};

use crate::suite::{Case, Listed, case, compare, listed};

const FIELDS: [&str; 4] = ["login", "password", "service", "realm"];

/// A length over the limit is answered without its bytes.
const SOON: Duration = Duration::from_secs(1);

enum Send {
    /// The four fields, counted.
    Fields([Vec<u8>; 4]),
    /// These bytes and nothing more.
    Raw(Vec<u8>),
}

/// Alice's good request with one field replaced.
fn with(field: usize, bytes: &[u8]) -> Send {
    let mut fields = [&b"alice"[..], b"secret1", b"smtp", b""].map(<[u8]>::to_vec);
    fields[field] = bytes.to_vec();
    Send::Fields(fields)
}

fn login(name: &[u8]) -> Send {
    with(0, name)
}

/// Names that stand in sasldb with the password `secret1`, beside alice.
fn odd_names() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("one-byte", b"l".to_vec()),
        ("255-bytes", vec![b'l'; 255]),
        ("256-bytes", vec![b'l'; 256]),
        ("utf-8", "jürgen".into()),
        ("latin-1", b"j\xfcrgen".to_vec()),
        ("ff-bytes", b"\xff\xfe".to_vec()),
        ("space-inside", b"with space".to_vec()),
        ("space-before", b" alice".to_vec()),
        ("space-behind", b"alice ".to_vec()),
        ("tab", b"a\tb".to_vec()),
        ("control-byte", b"al\x01ice".to_vec()),
        ("escape", b"al\x1bice".to_vec()),
        ("delete", b"al\x7fice".to_vec()),
        ("percent", b"%u%n%s".to_vec()),
        ("quotes", b"\"'`".to_vec()),
        ("sql", b"x' OR '1'='1".to_vec()),
        ("backslash", b"back\\slash".to_vec()),
        ("colon", b"col:on".to_vec()),
        ("slash", b"../alice".to_vec()),
        ("brackets", b"a] [service=x".to_vec()),
        ("upper-case", b"ALICE2".to_vec()),
        ("newline", b"new\nline".to_vec()),
        ("carriage-return", b"new\rline".to_vec()),
        ("option", b"-d".to_vec()),
    ]
}

/// Passwords of the users `p0`, `p1` and so on.
fn odd_passwords() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("one-byte", b"p".to_vec()),
        ("255-bytes", vec![b'p'; 255]),
        ("256-bytes", vec![b'p'; 256]),
        ("utf-8", "Paßwörd".into()),
        ("latin-1", b"Pa\xdfw\xf6rd".to_vec()),
        ("spaces-around", b"  two  ".to_vec()),
        ("only-a-space", b" ".to_vec()),
        ("newline-inside", b"line1\nline2".to_vec()),
        ("carriage-return-behind", b"pw\r".to_vec()),
        ("control-bytes", b"\x01\x02\x1b\x7f".to_vec()),
        ("percent", b"%s%n".to_vec()),
        ("looks-like-a-hash", b"$6$rounds=1000$salt$x".to_vec()),
        ("looks-like-a-scheme", b"{PLAIN}secret1".to_vec()),
        ("exclamation-mark", b"!".to_vec()),
    ]
}

fn cases() -> Vec<Case<Send>> {
    let mut cases = lengths();
    cases.extend(nuls());
    cases.extend(empties());
    for (name, bytes) in odd_names() {
        cases.push(case(format!("field-login-{name}"), login(&bytes), "OK"));
    }
    for (number, (name, bytes)) in odd_passwords().into_iter().enumerate() {
        let user = format!("p{number}").into_bytes();
        let fields = [user.clone(), bytes.clone(), Vec::new(), Vec::new()];
        cases.push(case(format!("field-password-{name}"), Send::Fields(fields), "OK"));
        let more = [bytes.as_slice(), b"x"].concat();
        let expect = if more.len() > 256 { "NO " } else { "NO" };
        let fields = [user, more, Vec::new(), Vec::new()];
        cases.push(case(format!("field-password-{name}-and-more"), Send::Fields(fields), expect));
    }
    cases
}

/// `MAX_REQ_LEN` of the original is 256.
fn lengths() -> Vec<Case<Send>> {
    let mut cases = Vec::new();
    for (field, name) in FIELDS.iter().enumerate() {
        for length in [257, 1024, 1025, 8192, 8193, 65_535] {
            let act = with(field, &vec![b'a'; length]);
            cases.push(case(format!("field-{name}-{length}-bytes"), act, "NO "));
        }
        let before: Vec<&[u8]> = [&b"alice"[..], b"secret1", b"smtp"][..field].to_vec();
        for (what, length) in [("257", [1, 1]), ("65535", [255, 255])] {
            let raw = [counted(&before), length.to_vec()].concat();
            cases.push(case(format!("field-{name}-claims-{what}"), Send::Raw(raw), "NO "));
        }
    }
    for length in [1, 255, 256] {
        let act = with(2, &vec![b's'; length]);
        cases.push(case(format!("field-service-{length}-bytes"), act, "OK"));
        let act = with(3, &vec![b'r'; length]);
        cases.push(case(format!("field-realm-{length}-bytes"), act, "OK"));
    }
    cases
}

/// The original cuts a field at its first NUL and checks the rest.
fn nuls() -> Vec<Case<Send>> {
    let table: [(&str, usize, &[u8], &str); 20] = [
        ("login-nul-first", 0, b"\0alice", "NO NULL login received"),
        ("login-nul-middle", 0, b"al\0ice", "NO"),
        ("login-nul-last", 0, b"alice\0", "OK"),
        ("login-nul-then-root", 0, b"alice\0root", "OK"),
        ("login-only-nul", 0, b"\0", "NO NULL login received"),
        ("login-key-trick", 0, b"alice\0mailhost\0userPassword", "OK"),
        ("password-nul-first", 1, b"\0secret1", "NO NULL password received"),
        ("password-nul-middle", 1, b"sec\0ret1", "NO"),
        ("password-nul-last", 1, b"secret1\0", "OK"),
        ("password-nul-then-junk", 1, b"secret1\0junk", "OK"),
        ("password-only-nul", 1, b"\0", "NO NULL password received"),
        ("service-nul-first", 2, b"\0smtp", "OK"),
        ("service-nul-middle", 2, b"sm\0tp", "OK"),
        ("service-nul-last", 2, b"smtp\0", "OK"),
        ("service-only-nul", 2, b"\0", "OK"),
        ("realm-nul-first", 3, b"\0example.com", "OK"),
        ("realm-nul-middle", 3, b"mail\0host", "NO"),
        ("realm-nul-last", 3, b"mailhost\0", "OK"),
        ("realm-nul-then-junk", 3, b"mailhost\0junk", "OK"),
        ("realm-only-nul", 3, b"\0", "OK"),
    ];
    let table = table.into_iter();
    table
        .map(|(id, field, bytes, expect)| case(format!("field-{id}"), with(field, bytes), expect))
        .collect()
}

fn empties() -> Vec<Case<Send>> {
    let all_empty = Send::Raw(vec![0; 8]);
    let only_login = Send::Raw(b"\x00\x05alice\x00\x00\x00\x00\x00\x00".to_vec());
    vec![
        case("field-login-empty", with(0, b""), "NO NULL login received"),
        case("field-password-empty", with(1, b""), "NO NULL password received"),
        case("field-service-empty", with(2, b""), "OK"),
        case("field-realm-empty", with(3, b""), "OK"),
        case("field-all-empty", all_empty, "NO NULL login received"),
        case("field-only-login", only_login, "NO NULL password received"),
        case("field-unknown-user", with(0, b"nobody-here"), "NO"),
        case("field-wrong-password", with(1, b"secret2"), "NO"),
        case("field-password-other-case", with(1, b"SECRET1"), "NO"),
        case("field-password-cut-short", with(1, b"secret"), "NO"),
        case("field-realm-hostname", with(3, b"mailhost"), "OK"),
        case("field-realm-other", with(3, b"example.com"), "NO"),
    ]
}

fn set_up(subject: Subject) -> io::Result<(Daemon, Sandbox)> {
    let house = Sandbox::with(&[])?;
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |user: &[u8], realm: &[u8], password: &[u8]| {
        records.push(([user, b"\0", realm, b"\0userPassword"].concat(), password.to_vec()));
    };
    add(b"alice", b"mailhost", b"secret1");
    for length in [1, 255, 256] {
        add(b"alice", &vec![b'r'; length], b"secret1");
    }
    odd_names().iter().for_each(|(_, name)| add(name, b"mailhost", b"secret1"));
    for (number, (_, password)) in odd_passwords().iter().enumerate() {
        add(format!("p{number}").as_bytes(), b"mailhost", password);
    }
    let records: Vec<(&[u8], &[u8])> =
        records.iter().map(|(key, value)| (key.as_slice(), value.as_slice())).collect();
    house.load_sasldb(&records)?;
    Ok((Daemon::cyrus(&house, subject, "sasldb", &[])?, house))
}

fn act((daemon, _house): &(Daemon, Sandbox), send: &Send) -> io::Result<String> {
    match send {
        Send::Fields([login, password, service, realm]) => {
            Ok(ask_mux(daemon.socket(), login, password, service, realm))
        }
        Send::Raw(bytes) => {
            let mut probe = Probe::connect(daemon.socket())?;
            probe.send(bytes)?;
            Ok(probe.hear(SOON)?.mux())
        }
    }
}

pub(crate) fn all() -> Listed {
    listed(&cases())
}

#[test]
fn mux_fields() {
    compare("mux fields", &cases(), set_up, act);
}
