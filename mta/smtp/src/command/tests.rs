//! Commands as clients and strangers write them. Runs in the test binary.

use proptest::prelude::*;

use super::*;
use crate::address::Malformed;

fn parse(line: &str) -> Result<Command, Fault> {
    Command::parse(line.as_bytes())
}

/// What comes back from MAIL or RCPT when it is printed again.
fn printed(line: &str) -> String {
    match parse(line) {
        Ok(Command::Mail(sender, parameters)) => format!("MAIL FROM:{sender}{parameters}"),
        Ok(Command::Rcpt(recipient, parameters)) => format!("RCPT TO:{recipient}{parameters}"),
        other => panic!("{line}: {other:?}"),
    }
}

/// The code and status that a line is answered with.
fn refusal(line: &str) -> String {
    let reply = parse(line).expect_err(line).reply().encode();
    let reply = String::from_utf8(reply).unwrap();
    reply.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn verbs_are_known_in_any_case() {
    assert_eq!(parse("quit"), Ok(Command::Quit));
    assert_eq!(parse("Data  "), Ok(Command::Data));
    assert_eq!(parse("STARTTLS"), Ok(Command::StartTls));
    assert_eq!(parse("RSET"), Ok(Command::Rset));
    assert_eq!(parse("NOOP whatever"), Ok(Command::Noop));
    assert_eq!(parse("HELP me"), Ok(Command::Help));
    assert_eq!(parse("VRFY root"), Ok(Command::Vrfy("root".into())));
    assert_eq!(parse("ehlo x"), Ok(Command::Ehlo(Host::parse("x").unwrap())));
    assert_eq!(parse("HELO [127.0.0.1]"), Ok(Command::Helo(Host::parse("[127.0.0.1]").unwrap())));
}

#[test]
fn what_is_wrong_has_its_own_code() {
    let cases = [
        ("", "500 5.5.1"),
        (" QUIT", "500 5.5.1"),
        ("FOO bar", "500 5.5.1"),
        ("QUIT\r", "500 5.5.2"),
        ("NOOP \0", "500 5.5.2"),
        ("NOOP\tx", "500 5.5.2"),
        ("GET / HTTP/1.0", "421 4.7.0"),
        ("POST / HTTP/1.1", "421 4.7.0"),
        ("ETRN x", "502 5.5.1"),
        ("XCLIENT ADDR=127.0.0.1", "502 5.5.1"),
        ("STARTTLS foo", "501 5.5.4"),
        ("DATA x", "501 5.5.4"),
        ("RSET x", "501 5.5.4"),
        ("QUIT now", "501 5.5.4"),
        ("EHLO", "501 5.5.4"),
        ("EHLO a b", "501 5.5.4"),
        ("HELO ;sh", "501 5.5.4"),
        ("VRFY", "501 5.5.4"),
        ("AUTH", "501 5.5.4"),
        ("AUTH PL*IN", "504 5.5.4"),
        ("AUTH PLAIN !!!!", "501 5.5.2"),
        ("AUTH PLAIN a", "501 5.5.2"),
        ("AUTH PLAIN AA== x", "501 5.5.2"),
        ("BDAT", "501 5.5.4"),
        ("BDAT x", "501 5.5.4"),
        ("BDAT -1", "501 5.5.4"),
        ("BDAT 1 LST", "501 5.5.4"),
        ("BDAT 99999999999999999999", "501 5.5.4"),
        ("MAIL", "501 5.5.4"),
        ("MAIL <a@z>", "501 5.5.4"),
        ("MAIL TO:<a@z>", "501 5.5.4"),
        ("MAIL FROM:a@z", "501 5.1.7"),
        ("MAIL FROM:<a@z", "501 5.1.7"),
        ("MAIL FROM:<@x a@z>", "501 5.1.7"),
        ("MAIL FROM:<a@z>SIZE=1", "501 5.5.4"),
        ("MAIL FROM:<a>", "553 5.1.7"),
        ("RCPT TO:<>", "553 5.1.3"),
        ("RCPT TO:<\"\"@d>", "553 5.1.3"),
        ("RCPT TO:<;x;>", "553 5.1.3"),
        ("RCPT TO:<a@z\\>", "553 5.1.3"),
        ("MAIL FROM:<é@z>", "553 5.6.7"),
    ];
    for (line, expected) in cases {
        assert_eq!(refusal(line), expected, "{line:?}");
    }
    assert_eq!(Command::parse(b"VRFY \xff"), Err(Fault::Byte));
    let long = format!("RCPT TO:<{}@z>", "a".repeat(1024));
    assert_eq!(parse(&long), Err(Fault::Recipient(Malformed::TooLong)));
}

#[test]
fn parameters_are_known_checked_and_single() {
    let cases = [
        ("SIZE", "501 5.5.4"),
        ("SIZE=", "501 5.5.4"),
        ("SIZE=1x", "501 5.5.4"),
        ("SIZE=+1", "501 5.5.4"),
        ("SIZE=1 SIZE=1", "501 5.5.4"),
        ("SIZE=18446744073709551616", "501 5.5.4"),
        ("BODY=9BIT", "501 5.5.4"),
        ("BODY=BINARYMIME", "504 5.5.4"),
        ("SMTPUTF8=1", "501 5.5.4"),
        ("SMTPUTF8 SMTPUTF8", "501 5.5.4"),
        ("RET=ALL", "501 5.5.4"),
        ("ENVID=a+00", "501 5.5.4"),
        ("ENVID=a+0D+0AQUIT", "501 5.5.4"),
        ("HOLDFOR=1", "555 5.5.4"),
        ("=x", "555 5.5.4"),
        ("b", "555 5.5.4"),
        ("NOTIFY=NEVER", "555 5.5.4"),
        ("AUTH", "501 5.5.4"),
        ("AUTH=", "501 5.5.4"),
        ("AUTH=a=b", "501 5.5.4"),
        ("AUTH=joe+4", "501 5.5.4"),
        ("AUTH=+3C+3E", "501 5.5.4"),
        ("AUTH=x AUTH=y", "501 5.5.4"),
    ];
    for (parameter, expected) in cases {
        assert_eq!(refusal(&format!("MAIL FROM:<a@z> {parameter}")), expected, "{parameter}");
    }
    let cases = [
        ("NOTIFY", "501 5.5.4"),
        ("NOTIFY=", "501 5.5.4"),
        ("NOTIFY=NEVER,DELAY", "501 5.5.4"),
        ("NOTIFY=DELAY,DELAY", "501 5.5.4"),
        ("ORCPT=a@z", "501 5.5.4"),
        ("ORCPT=;a@z", "501 5.5.4"),
        ("ORCPT=rfc822;", "501 5.5.4"),
        ("ORCPT=rfc822;a+0A", "501 5.5.4"),
        ("ORCPT=rfc822;a ORCPT=rfc822;a", "501 5.5.4"),
        ("SIZE=1", "555 5.5.4"),
    ];
    for (parameter, expected) in cases {
        assert_eq!(refusal(&format!("RCPT TO:<a@z> {parameter}")), expected, "{parameter}");
    }
}

#[test]
fn what_was_said_can_be_said_again() {
    let lines = [
        "MAIL FROM:<>",
        "MAIL FROM:<a@z>",
        "MAIL FROM:<é@z> SMTPUTF8",
        "MAIL FROM:<a@z> SIZE=0 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=q+2B1 AUTH=e+2Bmc2@example.com",
        "MAIL FROM:<a@z> BODY=7BIT RET=FULL AUTH=<>",
        "RCPT TO:<Postmaster>",
        "RCPT TO:<\"x@y\"@z> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;a+2Bb@z",
        "RCPT TO:<a@[IPv6:::1]> NOTIFY=NEVER",
    ];
    for line in lines {
        assert_eq!(printed(line), line);
    }
    assert_eq!(printed("mail from:  <A@z>  size=1 "), "MAIL FROM:<A@z> SIZE=1");
    assert_eq!(printed("RCPT TO:<@one,@two:a@z>"), "RCPT TO:<a@z>");
}

#[test]
fn auth_carries_a_mechanism_and_perhaps_a_message() {
    let plain = Mechanism::new("PLAIN").unwrap();
    let message = |bytes: &[u8]| Some(Message::new(bytes.to_vec()));
    assert_eq!(parse("AUTH plain"), Ok(Command::Auth(plain, None)));
    assert_eq!(parse("AUTH PLAIN ="), Ok(Command::Auth(plain, message(b""))));
    assert_eq!(parse("AUTH PLAIN AGEAYg=="), Ok(Command::Auth(plain, message(b"\0a\0b"))));
    let own = Mechanism::new("X-OWN").unwrap();
    assert_eq!(parse("AUTH X-OWN"), Ok(Command::Auth(own, None)), "names aren't lost");
    let long = format!("AUTH EXTERNAL {}", "AAAA".repeat(3000));
    assert!(parse(&long).is_ok());
}

#[test]
fn a_recipient_beyond_ascii_needs_its_mail_to_say_so() {
    let Ok(Command::Rcpt(recipient, _)) = parse("RCPT TO:<é@z>") else { panic!("it parses") };
    assert_eq!(recipient_fits(&recipient, Smtputf8::Absent), Err(Fault::Smtputf8Needed));
    assert_eq!(recipient_fits(&recipient, Smtputf8::Present), Ok(()));
    assert_eq!(recipient_fits(&Recipient::Postmaster, Smtputf8::Absent), Ok(()));
}

#[test]
fn secrets_of_a_command_are_not_printed() {
    assert_eq!(
        format!("{:?}", parse("AUTH PLAIN AGEAYg==").unwrap()),
        "Auth(PLAIN, Some(Message(…)))"
    );
}

#[test]
fn a_chunk_has_a_size() {
    let chunk = |size, position| Ok(Command::Bdat(Chunk { size, position }));
    assert_eq!(parse("BDAT 10"), chunk(10, Position::Within));
    assert_eq!(parse("bdat 0 last"), chunk(0, Position::Last));
    assert!(parse("BDAT x").unwrap_err().ends_connection());
}

#[test]
fn the_verb_is_known_before_anything_else_is_read() {
    assert_eq!(verb(b"AUTH PLAIN !!!!"), Ok(Verb::Auth));
    assert_eq!(verb(b"MAIL nonsense"), Ok(Verb::Mail));
    assert_eq!(verb(b"AUTHX"), Err(Fault::Unknown));
    assert!(Verb::StartTls.ends_group() && !Verb::Rcpt.ends_group());
}

proptest! {
    #[test]
    fn any_line_is_a_command_or_a_fault_with_a_reply(bytes in proptest::collection::vec(any::<u8>(), 0..200), verb in 0usize..5) {
        let verb: &[u8] = [&b""[..], b"MAIL FROM:<", b"RCPT TO:<a@z> ", b"AUTH PLAIN ", b"BDAT "][verb];
        let line = [verb, &bytes].concat();
        match Command::parse(&line) {
            Ok(_) => prop_assert!(super::verb(&line).is_ok()),
            Err(fault) => prop_assert!(fault.reply().encode().len() <= crate::reply::LINE),
        }
    }

    #[test]
    fn envelopes_survive_being_printed(
        local in r#"[a-z+=]{1,12}|"([a-z @>+=]|\\[ -~]){1,9}""#, size in any::<Option<u64>>(), envid in "[ -~]{1,30}", orcpt in "[ -~]{1,30}",
        auth in "[ -~]{1,30}", occasions in 1u8..8,
    ) {
        let address = format!("{local}@example.org");
        let text = |plain: &str| crate::xtext::Text::new(plain);
        let mail = MailParameters {
            size,
            body: Some(Body::EightBitMime),
            envid: text(&envid).and_then(EnvelopeId::new),
            auth: text(&auth).filter(|text| text.as_str() != "<>").map(AuthParameter::Identity),
            ..MailParameters::default()
        };
        let line = format!("MAIL FROM:<{address}>{mail}");
        let Ok(Command::Mail(sender, parameters)) = Command::parse(line.as_bytes()) else {
            panic!("{line}");
        };
        prop_assert_eq!((sender.to_string(), parameters), (format!("<{address}>"), mail));
        let rcpt = RcptParameters {
            notify: Some(Notify::On(NotifyOn {
                success: occasions & 1 > 0, failure: occasions & 2 > 0, delay: occasions & 4 > 0,
            })),
            orcpt: AddressType::new("rfc822")
                .zip(text(&orcpt))
                .map(|(kind, address)| OriginalRecipient { kind, address }),
        };
        let line = format!("RCPT TO:<{address}>{rcpt}");
        let Ok(Command::Rcpt(recipient, parameters)) = Command::parse(line.as_bytes()) else {
            panic!("{line}");
        };
        prop_assert_eq!((recipient.to_string(), parameters), (format!("<{address}>"), rcpt));
    }
}
