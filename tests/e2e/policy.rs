//! The policy socket: who relays by the access map, what a change or a mistake in it does, and noise on the wire.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use harness::{PATIENCE, Ran, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::policy::client::Connection;
use protocol::policy::{Action, Attribute, MAX_REQUEST, Request};

use crate::house::{House, Plan, replace};

const POLICY: &str = "/run/saslauthd/policy";
const MAP: &str = "/etc/access";
const ISSUER: &str = "/C=US/O=Oracle+20Test/CN=Root+20CA";
const SUBJECT: &str = "/C=US/O=endmail.org/CN=DeathStar";

fn plan() -> Plan {
    Plan::new()
        .sections("[[socket]]\npath = \"/run/saslauthd/mux\"")
        .sections("[[socket]]\nprotocol = \"policy\"")
        .sections("[access]\nmap = \"/etc/access\"\nlocal_domains = [\"here.example\"]")
}

fn by_subject() -> String {
    format!(
        "CertIssuer:{ISSUER}\tSUBJECT\nCertSubject:{SUBJECT}\tRELAY\nConnect:198.51.100\tREJECT\n"
    )
}

fn serving(map: &str) -> Option<House> {
    if !crate::house::ready() {
        return None;
    }
    let plan = plan();
    let sandbox = plan.furnish();
    replace(&sandbox.outside(Path::new(MAP)), map.as_bytes());
    Some(plan.start_in(sandbox))
}

fn rcpt(more: &[(Attribute, &str)]) -> Request {
    let usual = [
        (Attribute::ProtocolState, "RCPT"),
        (Attribute::ClientAddress, "203.0.113.9"),
        (Attribute::ClientName, "unknown"),
        (Attribute::Sender, "joe@example.org"),
        (Attribute::Recipient, "ann@elsewhere.example"),
    ];
    let mut stated: Vec<(Attribute, &str)> = more.to_vec();
    stated
        .extend(usual.into_iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name)));
    let empty = Request::default();
    stated.into_iter().fold(empty, |request, (name, value)| request.with(name, value).unwrap())
}

fn with_certificate() -> Request {
    rcpt(&[
        (Attribute::EncryptionProtocol, "TLSv1.3"),
        (Attribute::Verify, "OK"),
        (Attribute::CertIssuer, ISSUER),
        (Attribute::CertSubject, SUBJECT),
    ])
}

fn socket(house: &House) -> PathBuf {
    house.at(POLICY)
}

fn ask(house: &House, request: &Request) -> Action {
    Connection::open(&socket(house)).unwrap().ask(request, PATIENCE).unwrap()
}

/// What comes until the end of the connection.
fn rest(stream: &mut UnixStream) -> String {
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn a_certificate_relays_by_its_subject_and_nobody_else_does() {
    let Some(house) = serving(&by_subject()) else { return };
    let mut connection = Connection::open(&socket(&house)).unwrap();
    let mut asked = |request: &Request| connection.ask(request, PATIENCE).unwrap();
    assert_eq!(asked(&with_certificate()), Action::Ok);
    assert_eq!(asked(&rcpt(&[])), Action::Dunno);
    assert_eq!(asked(&rcpt(&[(Attribute::Recipient, "ann@here.example")])), Action::Dunno);
    let refused = asked(&rcpt(&[(Attribute::ClientAddress, "198.51.100.7")]));
    assert_eq!(refused.to_string(), "550 5.7.1 Access denied");
    house.await_log(
        "policy action=\"OK\" client=\"203.0.113.9\" because=\"check_rcpt: CertSubject:/C=US/",
    );
    house.await_log(
        "policy action=\"550 5.7.1 Access denied\" client=\"198.51.100.7\" because=\"check_relay: ",
    );
    // The checker may be away: it is not asked.
    kill(Pid::from_raw(house.checker().0), Signal::SIGSTOP).unwrap();
    assert_eq!(asked(&with_certificate()), Action::Ok);
    kill(Pid::from_raw(house.checker().0), Signal::SIGCONT).unwrap();
}

#[test]
fn a_changed_map_decides_and_a_broken_or_missing_one_leaves_the_one_before() {
    let Some(house) = serving(&by_subject()) else { return };
    let map = house.at(MAP);
    let mut stays = Connection::open(&socket(&house)).unwrap();
    assert_eq!(ask(&house, &rcpt(&[])), Action::Dunno);
    replace(&map, b"To:elsewhere.example\tRELAY\n");
    assert!(wait_until(|| stays.ask(&rcpt(&[]), PATIENCE).unwrap() == Action::Ok), "never changed");
    assert_eq!(ask(&house, &with_certificate()), Action::Ok);
    replace(&map, b"To:elsewhere.example\tRELAY\nTLS_Clt:\tVERFIY\n");
    house.await_log("the access map has errors; the one before stays in force");
    house.await_log("access:2:");
    assert_eq!(ask(&house, &rcpt(&[])), Action::Ok);
    let status = || house.operator(&protocol::control::Request::Status).to_string();
    assert!(wait_until(|| status().contains("access map has errors")), "{}", status());
    fs::remove_file(&map).unwrap();
    house.await_log("cannot open the access map");
    assert_eq!(ask(&house, &rcpt(&[])), Action::Ok);
    // A listener that is started anew gets it as well.
    kill(Pid::from_raw(house.listener().0), Signal::SIGKILL).unwrap();
    let again = || {
        let connection = Connection::open(&socket(&house));
        connection.and_then(|mut connection| connection.ask(&rcpt(&[]), PATIENCE))
    };
    assert!(wait_until(|| again().is_ok_and(|action| action == Action::Ok)), "{:?}", again());
    // More than fits into a message between processes.
    let mut large: String =
        (0..20_000).map(|n| format!("Connect:host{n}.example\tREJECT\n")).collect();
    large += "From:joe@example.org\tREJECT\n";
    replace(&map, large.as_bytes());
    let refused = |action: Action| action.to_string().starts_with("5");
    assert!(wait_until(|| again().is_ok_and(refused)), "{:?}", again());
}

/// A map of sendmail's may hold what to log in to other servers with.
#[test]
fn passwords_of_a_map_do_not_reach_the_listener() {
    let secret = "sesame-of-a-smarthost";
    let map = format!(
        "# AuthInfo:old.example\t\"U:joe\" \"P:{secret}\"\nAuthInfo:smart.example\t\"U:joe\" \"P:{secret}\"\n\
         To:elsewhere.example\tRELAY\n"
    );
    let Some(house) = serving(&map) else { return };
    house.await_log("passwords (AuthInfo:) are left out");
    assert_eq!(ask(&house, &rcpt(&[])), Action::Ok);
    let found = house.listener().find_in_memory(secret.as_bytes());
    assert!(found.is_empty(), "{found:?}");
    // What is kept of the map is found, so that nothing found means something.
    assert!(!house.listener().find_in_memory(b"elsewhere.example").is_empty());
}

#[test]
fn a_map_with_mistakes_or_none_at_all_stops_the_start() {
    if !crate::house::ready() {
        return;
    }
    let plan = plan();
    let sandbox = plan.furnish();
    let run = || Ran::of(&mut plan.command(&sandbox), b"", PATIENCE).expect("a run");
    let without = run();
    assert_ne!(without.code, Some(0));
    assert!(without.err().contains("cannot open the access map"), "{}", without.err());
    replace(&sandbox.outside(Path::new(MAP)), b"TLS_Clt:\tVERFIY\nTLS_Srv:\tENCR\n");
    let broken = run();
    assert_ne!(broken.code, Some(0));
    for part in ["/etc/access:1:10: ", "did you mean `VERIFY`?", "/etc/access:2:"] {
        assert!(broken.err().contains(part), "{part}: {}", broken.err());
    }
}

#[test]
fn a10_noise_on_the_wire_is_answered_or_ended_and_harms_nobody() {
    let Some(house) = serving(&by_subject()) else { return };
    let connect = || {
        let stream = UnixStream::connect(socket(&house)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let whole = with_certificate().encode();
    let mut slow = connect();
    for byte in &whole {
        slow.write_all(&[*byte]).unwrap();
    }
    let mut answer = [0; 11];
    slow.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"action=OK\n\n");

    let mut pipelined = connect();
    pipelined.write_all(&[&whole[..], &rcpt(&[]).encode(), &whole].concat()).unwrap();
    pipelined.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rest(&mut pipelined), "action=OK\n\naction=DUNNO\n\naction=OK\n\n");

    let long = format!("request=smtpd_access_policy\nsender={}", "x".repeat(MAX_REQUEST));
    let twice = "request=smtpd_access_policy\nverify=FAIL\nverify=OK\n\n";
    for garbage in
        [&b"GET / HTTP/1.1\n\n"[..], b"\n", b"\0\0\0\0\n\n", long.as_bytes(), twice.as_bytes()]
    {
        let mut stream = connect();
        // It may be answered and ended before all of it was written.
        let _ = stream.write_all(garbage);
        let said = rest(&mut stream);
        assert!(
            said.is_empty() || said == "action=451 4.3.5 The policy request was malformed\n\n",
            "{said}"
        );
    }
    assert_eq!(ask(&house, &with_certificate()), Action::Ok);
    let mut cut_off = connect();
    cut_off.write_all(&whole[..20]).unwrap();
    drop(cut_off);
    assert_eq!(ask(&house, &rcpt(&[])), Action::Dunno);
}
