//! Lines that real clients were seen to send, lines that none should, and any bytes at all.

use proptest::prelude::*;

use super::*;
use crate::auth::{Certificate, LastWords, Order, Security};
use crate::{Address, Name};

fn id(number: u32) -> Id {
    Id::new(number).unwrap()
}

fn auth(line: &str) -> Auth {
    match Command::decode(line.as_bytes()) {
        Ok(Command::Auth(auth)) => *auth,
        _ => panic!("{line:?} is no request"),
    }
}

fn mistake(line: &str) -> Option<Mistake> {
    Command::decode(line.as_bytes()).err()
}

fn bytes(initial: &Initial) -> &[u8] {
    match initial {
        Initial::Bytes(bytes) => bytes,
        _ => panic!("no bytes"),
    }
}

fn plain_address(text: &str) -> Option<Address> {
    Some(Address { ip: text.parse().unwrap(), port: None })
}

#[test]
fn postfix_3_7_11() {
    let line = "AUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=192.0.2.1\trip=192.0.2.7\tsecured\tresp=AGFsaWNlAHB3";
    let auth = auth(line);
    assert_eq!((auth.id, auth.mechanism), (id(1), Mechanism::Plain));
    assert_eq!(auth.parameters.service.as_bytes(), b"smtp");
    assert_eq!(auth.parameters.remote, plain_address("192.0.2.7"));
    assert_eq!(auth.parameters.local, plain_address("192.0.2.1"));
    assert_eq!(auth.parameters.security, Security::Secured(Order::AfterAddresses));
    assert_eq!(auth.parameters.last_words, LastWords::AsChallenge);
    assert_eq!(bytes(&auth.initial), b"\0alice\0pw");
    let without = self::auth("AUTH\t2\tPLAIN\tservice=smtp\tnologin\tlip=::1\trip=::1");
    assert!(without.initial.meant(0).is_none());
    assert!(matches!(
        Command::decode(b"VERSION\t1\t0"),
        Ok(Command::Version(Version { major: 1, minor: 0 }))
    ));
    assert!(matches!(Command::decode(b"CPID\t4242"), Ok(Command::Cpid(pid)) if pid == id(4242)));
    // A client that says nothing after a challenge.
    let Ok(Command::Continue(empty)) = Command::decode(b"CONT\t2\t") else { panic!() };
    assert!(empty.message.is_empty());
}

#[test]
fn exim_4_96() {
    let line =
        "AUTH\t1\tplain\tservice=smtp\tsecured\trip=127.0.0.1\tlip=127.0.0.1\tnologin\tresp=";
    let auth = auth(line);
    assert_eq!(auth.mechanism, Mechanism::Plain, "in the case of public_name");
    assert!(!auth.parameters.is_inside_tls());
    assert!(auth.initial.meant(0).is_none(), "empty resp= of an old client is none");
    let unknown =
        self::auth("AUTH\t1\tLOGIN\tservice=smtp\trip=192.0.2.7\tlip=NULL\tnologin\tresp=");
    assert_eq!((unknown.parameters.local, unknown.mechanism), (None, Mechanism::Login));
}

#[test]
fn chasquid_maddy_and_imap_login_2_3() {
    let chasquid = auth(
        "AUTH\t1\tPLAIN\tservice=smtp\tsecured\tno-penalty\tnologin\tresp=YWxpY2UAYWxpY2UAcHc=",
    );
    assert!(chasquid.parameters.is_inside_tls());
    assert_eq!(bytes(&chasquid.initial), b"alice\0alice\0pw");
    assert_eq!(auth("AUTH\t9\tPLAIN\tservice=SMTP\tresp==").parameters.service.as_bytes(), b"SMTP");
    let login = auth(
        "AUTH\t7\tSCRAM-SHA-256\tservice=imap\tsecured\tsession=a1b2/+\tlip=192.0.2.1\trip=192.0.2.7\t\
         lport=993\trport=50000\tlocal_name=mail.example.org\tssl_ja3_hash=x\tfinal-resp-ok\tresp=",
    );
    assert_eq!(login.parameters.last_words, LastWords::WithOutcome);
    assert_eq!(login.parameters.remote.unwrap().port, Some(50000));
    assert_eq!(login.initial.meant(2).as_deref(), Some(&Vec::new()), "a newer client means it");
}

#[test]
fn a_certificate_travels_with_its_name() {
    let line = "AUTH\t3\tEXTERNAL\tprotocol=smtp\tsecured=tls\tvalid-client-cert\tcert_username=al\x01tice\tresp==";
    let auth = auth(line);
    let name = Name::new(b"al\tice").unwrap();
    assert_eq!(auth.parameters.certificate, Certificate::Of(name));
    assert_eq!(auth.parameters.security, Security::Tls);
    assert!(auth.initial.meant(0).is_some_and(|bytes| bytes.is_empty()));
}

#[test]
fn a_mistake_names_its_request_where_it_can() {
    for (line, flaw) in [
        ("AUTH\t5\tNTLM\tservice=smtp", Flaw::Mechanism),
        ("AUTH\t5", Flaw::Mechanism),
        ("AUTH\t5\tPLAIN", Flaw::Service),
        ("AUTH\t5\tPLAIN\tservice=a\x010b", Flaw::Service),
        ("AUTH\t5\tPLAIN\tservice=smtp\tresp=!!!", Flaw::Base64),
        ("AUTH\t5\tPLAIN\tservice=smtp\tresp=QQ", Flaw::Base64),
        ("AUTH\t5\tPLAIN\tservice=smtp\tresp=QQ==\tsecured", Flaw::BehindResponse),
        ("AUTH\t5\tPLAIN\tservice=smtp\tresp=QQ==\t", Flaw::BehindResponse),
        ("CONT\t5\tQ", Flaw::Base64),
        ("CONT\t5\tQQ==\tchannel_binding=Q", Flaw::Base64),
    ] {
        assert_eq!(mistake(line), Some(Mistake::Request(id(5), flaw)), "{line}");
    }
    for line in [
        "",
        "\t",
        "\t1",
        "AUTH",
        "AUTH\t0\tPLAIN\tservice=x",
        "AUTH\tx\tPLAIN",
        "CONT\t-1",
        "CPID\t0",
        "VERSION\t1",
    ] {
        assert!(matches!(mistake(line), Some(Mistake::Connection(_))), "{line:?}");
    }
    assert_eq!(mistake("PASS\t1"), Some(Mistake::Connection(Flaw::UnknownCommand)));
    let long = format!("CONT\t5\t=\tchannel_binding={}", "QUFB".repeat(60));
    assert_eq!(mistake(&long), Some(Mistake::Request(id(5), Flaw::TooLong)));
}

#[test]
fn a_message_too_long_for_a_line_is_not_written() {
    let message = Message::new(vec![b'x'; MAX_LINE]);
    let mut out = Message::default();
    let response = Command::Continue(Continue { id: id(1), message, binding: None });
    assert_eq!(response.encode(&mut out), Err(Flaw::TooLong));
    assert!(out.is_empty());
}

/// What was read, written and read again.
fn again(command: &Command) -> Command {
    let mut out = Message::default();
    command.encode(&mut out).unwrap();
    Command::decode(out.strip_suffix(b"\n").unwrap()).unwrap_or_else(|_| panic!("own words"))
}

proptest! {
    #[test]
    fn any_line_is_a_command_or_a_mistake(line in "(AUTH|CONT|CANCEL|CPID|VERSION)?(\t(1|7|PLAIN|service=a|secured|rip=::1|lip=::1|resp=|resp=QQ==|session=x|valid-client-cert|cert_username=é|channel_binding=QQ==|[\\x00-\\x09\\x0b-\\x7f]{0,6})){0,7}") {
        let Ok(command) = Command::decode(line.as_bytes()) else { return Ok(()) };
        match (again(&command), command) {
            (Command::Auth(one), Command::Auth(two)) => {
                prop_assert_eq!((one.id, one.mechanism), (two.id, two.mechanism));
                prop_assert_eq!(one.parameters, two.parameters);
                let (one, two) = (one.initial.meant(0), two.initial.meant(0));
                prop_assert_eq!(one.as_deref(), two.as_deref());
            }
            (Command::Continue(one), Command::Continue(two)) => {
                prop_assert_eq!((one.id, one.message, one.binding), (two.id, two.message, two.binding));
            }
            (Command::Cancel(one), Command::Cancel(two)) | (Command::Cpid(one), Command::Cpid(two)) => {
                prop_assert_eq!(one, two);
            }
            (Command::Version(one), Command::Version(two)) => prop_assert_eq!(one, two),
            _ => prop_assert!(false, "another verb"),
        }
    }

    #[test]
    fn any_bytes_are_a_command_or_a_mistake(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Command::decode(&line);
    }
}
