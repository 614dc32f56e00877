//! The bytes that clients must read, the lines that servers were seen to send, and any bytes at all.

use proptest::prelude::*;

use super::*;

fn id(number: u32) -> Id {
    Id::new(number).unwrap()
}

fn name(bytes: &[u8]) -> Name {
    Name::new(bytes).unwrap()
}

fn written(line: &ServerLine) -> String {
    let mut out = Message::default();
    line.encode(&mut out).unwrap();
    String::from_utf8(out.to_vec()).unwrap()
}

fn accepted(user: &[u8], last_words: Option<&[u8]>) -> ServerLine {
    let last_words = last_words.map(|words| Message::new(words.to_vec()));
    let senders = Senders::Own;
    ServerLine::Accepted { id: id(7), user: Name::new(user).ok(), last_words, senders }
}

fn sending_as(list: &str) -> ServerLine {
    let senders = Senders::parse(list).unwrap();
    ServerLine::Accepted { id: id(7), user: Some(name(b"a")), last_words: None, senders }
}

#[test]
fn a_list_of_senders_that_cannot_be_read_permits_nobody() {
    for (line, expected) in [
        (&b"OK\t1\tuser=a"[..], Senders::Own),
        (b"OK\t1\tuser=a\tsenders=*", Senders::Any),
        (b"OK\t1\tuser=a\tsenders=* b@c", Senders::Listed(Vec::new())),
        (b"OK\t1\tuser=a\tsenders=\xff@c", Senders::Listed(Vec::new())),
        (b"OK\t1\tuser=a\tsenders=b", Senders::Listed(Vec::new())),
    ] {
        let Some(ServerLine::Accepted { senders, .. }) = ServerLine::decode(line) else {
            panic!("{line:?}")
        };
        assert_eq!(senders, expected);
    }
}

#[test]
fn every_line_is_in_the_narrow_grammar() {
    let challenge = |message: &[u8], binding: Option<&[u8]>| ServerLine::Challenge {
        id: id(7),
        message: Message::new(message.to_vec()),
        binding: binding.map(name),
    };
    for (line, bytes) in [
        (ServerLine::Version(Version { major: 1, minor: 4 }), "VERSION\t1\t4\n"),
        (ServerLine::Mechanism(Mechanism::Plain), "MECH\tPLAIN\tplaintext\n"),
        (ServerLine::Mechanism(Mechanism::External), "MECH\tEXTERNAL\n"),
        (ServerLine::Spid(12), "SPID\t12\n"),
        (ServerLine::Cuid(3), "CUID\t3\n"),
        (ServerLine::Cookie([0xa5; 16]), "COOKIE\ta5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5\n"),
        (ServerLine::Done, "DONE\n"),
        (challenge(b"Username:", None), "CONT\t7\tVXNlcm5hbWU6\n"),
        (challenge(b"", None), "CONT\t7\t\n"),
        (challenge(b"x", Some(b"tls-exporter")), "CONT\t7\teA==\tchannel_binding=tls-exporter\n"),
        (accepted(b"alice@example.org", None), "OK\t7\tuser=alice@example.org\n"),
        (sending_as("*"), "OK\t7\tuser=a\tsenders=*\n"),
        (sending_as(" b@c  @d "), "OK\t7\tuser=a\tsenders=b@c @d\n"),
        (sending_as(""), "OK\t7\tuser=a\tsenders=\n"),
        (accepted(b"al ice", Some(b"v=x")), "OK\t7\tuser=al ice\tresp=dj14\n"),
        (
            ServerLine::Refused(Refusal::neutral(id(7), Code::Refused)),
            "FAIL\t7\treason=authentication failed\n",
        ),
        (
            ServerLine::Refused(Refusal::neutral(id(7), Code::Base64)),
            "FAIL\t7\tcode=invalid_base64\treason=authentication failed\n",
        ),
        (ServerLine::Refused(Refusal::temporary(id(7))), "FAIL\t7\tuser=\tcode=temp_fail\n"),
        (ServerLine::Cancelled(id(7)), "CANCELLED\t7\n"),
    ] {
        assert_eq!(written(&line), bytes);
        let again = ServerLine::decode(bytes.strip_suffix('\n').unwrap().as_bytes()).unwrap();
        assert_eq!(written(&again), bytes);
    }
}

#[test]
fn users_that_no_client_reads_rightly_are_not_named() {
    for user in [&b""[..], b"a\tb", b"a\x01b", b"a\x7f", b"\x1b[2J", "a\u{85}b".as_bytes()] {
        assert_eq!(accepted(user, None).encode(&mut Message::default()), Err(Unspeakable));
    }
    let nobody =
        ServerLine::Accepted { id: id(1), user: None, last_words: None, senders: Senders::Own };
    assert_eq!(nobody.encode(&mut Message::default()), Err(Unspeakable));
    let long = accepted(b"alice", Some(&[b'x'; 4000]));
    assert_eq!(long.encode(&mut Message::default()), Err(Unspeakable));
    assert!(is_speakable(&name("jürgen".as_bytes())) && is_speakable(&name(b"latin\xfc")));
}

fn refusal(line: &str) -> Refusal {
    match ServerLine::decode(line.as_bytes()) {
        Some(ServerLine::Refused(refusal)) => refusal,
        _ => panic!("{line:?} is no refusal"),
    }
}

#[test]
fn what_dovecot_says_is_understood_in_all_generations() {
    assert_eq!(refusal("FAIL\t1\tuser=bob\ttemp").code, Code::Temporary);
    assert_eq!(refusal("FAIL\t1\tuser=bob\tcode=temp_fail").code, Code::Temporary);
    assert_eq!(
        refusal("FAIL\t1\tuser=bob\tcode=user_disabled\tuser_disabled").code,
        Code::Disabled
    );
    assert_eq!(refusal("FAIL\t1\tuser=bob\tpass_expired\tnodelay").code, Code::Expired);
    assert_eq!(refusal("FAIL\t1\tcode=new_code\treason=x").code, Code::Refused);
    let line = b"OK\t1\tuser=al\x01tice\toriginal_user=x\tanonymous\tresp=";
    let Some(ServerLine::Accepted { user, last_words, .. }) = ServerLine::decode(line) else {
        panic!()
    };
    assert_eq!(user.unwrap().as_bytes(), b"al\tice");
    assert!(last_words.unwrap().is_empty());
    assert!(matches!(ServerLine::decode(b"MECH\tGSSAPI"), Some(ServerLine::OtherMechanism)));
    assert!(matches!(ServerLine::decode(b"NOTICE\tx"), Some(ServerLine::Unknown)));
    assert!(matches!(ServerLine::decode(b""), Some(ServerLine::Unknown)));
}

#[test]
fn a10_lines_that_lack_what_they_must_have_are_none() {
    for line in [
        "OK",
        "OK\t",
        "OK\tx\tuser=a",
        "OK\t0\tuser=a",
        "OK\t1\tuser=",
        "FAIL",
        "FAIL\t-1",
        "CONT",
        "CONT\t\t",
        "CONT\t1\t!",
        "VERSION",
        "VERSION\t1",
        "VERSION\tx\t1",
        "MECH",
        "MECH\t",
        "SPID",
        "CUID\tx",
        "COOKIE",
        "COOKIE\t+5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5",
        "CANCELLED",
    ] {
        assert!(ServerLine::decode(line.as_bytes()).is_none(), "{line:?}");
    }
    let nameless = ServerLine::decode(b"OK\t1\tuserid=alice");
    assert!(matches!(nameless, Some(ServerLine::Accepted { user: None, .. })));
}

proptest! {
    #[test]
    fn any_line_is_read_and_what_can_be_written_leads_back(
        line in "(OK|FAIL|CONT|MECH|CANCELLED|COOKIE|VERSION|SPID)?(\t(1|7|PLAIN|user=a|QQ==|resp=QQ==|code=temp_fail|temp|reason=x|channel_binding=tls-exporter|[\\x00-\\x09\\x0b-\\x7f]{0,6})){0,6}",
    ) {
        let Some(read) = ServerLine::decode(line.as_bytes()) else { return Ok(()) };
        let mut out = Message::default();
        if read.encode(&mut out).is_ok() {
            let again = ServerLine::decode(out.strip_suffix(b"\n").unwrap()).unwrap();
            prop_assert_eq!(written(&again), std::str::from_utf8(&out).unwrap());
        } else {
            prop_assert!(out.is_empty());
        }
    }

    #[test]
    fn any_bytes_are_read(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = ServerLine::decode(&line);
    }
}
