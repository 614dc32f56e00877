//! G8, H5, H6: words that mean something to a shell, to a log or to a file, and more of them than anybody needs.

use std::io::Write;
use std::process::{Command, Stdio};

use harness::mta::client::Client;
use harness::mta::sink::{Manner, Sink};
use harness::mta::{HOST, House, Place, Plan, ready};

/// What shells, macro languages and careless parsers take for more than letters.
const WORDS: [&str; 11] = [
    "x\\",
    "${run{/usr/bin/touch${substr{0}{1}{$spool_directory}}tmp${substr{0}{1}{$spool_directory}}owned}}",
    "$(touch$IFS/tmp/owned)",
    ";touch${IFS}/tmp/owned;",
    "`touch${IFS}/tmp/owned`",
    "|touch${IFS}/tmp/owned",
    "../../../../tmp/owned",
    "%n%n%n%s",
    "<;x;>",
    "\"\"",
    "'||'",
];

fn with_sink() -> (House, Sink) {
    let place = Place::take().unwrap();
    let sink = Sink::listen(place.address(), 0, Manner::smtp()).unwrap();
    let plan = Plan::new()
        .map("Connect:127\tRELAY")
        .everything_to((place.address(), sink.port()).into())
        .sections("[limits]\nrecipients = 1000\n[delivery]\nretry = [\"200ms\"]\n");
    (plan.start_at(place).unwrap(), sink)
}

/// A message to whom it may concern, after what was said so far.
fn still_serves(client: &mut Client) {
    assert_eq!(client.say("RSET").unwrap().code(), 250);
    assert_eq!(client.say("NOOP").unwrap().code(), 250);
}

#[test]
fn g8_words_of_a_shell_are_only_letters() {
    if !ready() {
        return;
    }
    let (house, sink) = with_sink();
    let mut sent = 0;
    for word in WORDS {
        for name in ["EHLO", "HELO"] {
            let (mut client, _) = house.visit(house.relay()).unwrap();
            let said = client.say(&format!("{name} {word}")).unwrap();
            assert!([250, 501].contains(&said.code()), "{word}: {said}");
            still_serves(&mut client);
        }
        for (from, to) in [
            (format!("{word}@example.org"), "ann@next.example".to_owned()),
            ("joe@example.org".to_owned(), format!("{word}@next.example")),
            ("joe@example.org".to_owned(), format!("{word}@here.example")),
            ("joe@example.org".to_owned(), format!("ann@{word}")),
        ] {
            let (mut client, _) = house.visit(house.relay()).unwrap();
            let mut goes_on = true;
            for line in [format!("MAIL FROM:<{from}>"), format!("RCPT TO:<{to}>")] {
                let said = client.say(&line).unwrap();
                assert!([250, 501, 503, 553, 550].contains(&said.code()), "{line}: {said}");
                goes_on &= said.code() == 250;
            }
            if goes_on {
                assert_eq!(client.say("DATA").unwrap().code(), 354);
                let said = client.say("Subject: words\r\n\r\nx\r\n.").unwrap();
                assert_eq!(said.code(), 250, "{from} {to}: {said}");
                sent += usize::from(!to.ends_with("here.example"));
            }
        }
    }
    let messages = sink.await_messages(sent);
    assert_eq!(messages.len(), sent, "{}", house.log());
    // As they came, to the last letter.
    let passed =
        |word: &str| messages.iter().any(|it| it.mail == format!("MAIL FROM:<{word}@example.org>"));
    assert!(passed("'||'") && passed("`touch${IFS}/tmp/owned`"), "{messages:?}");
    assert!(!std::path::Path::new("/tmp/owned").exists(), "somebody ran what was a name");
    assert!(house.log().lines().all(|line| !line.contains("owned=")));
}

#[test]
fn g8_addresses_have_an_end_and_a_name() {
    if !ready() {
        return;
    }
    let (house, _sink) = with_sink();
    let (mut client, _) = house.visit(house.relay()).unwrap();
    assert_eq!(client.say("MAIL FROM:<joe@example.org>").unwrap().code(), 250);
    for (to, codes) in [
        (format!("{}@next.example", "l".repeat(64)), &[250][..]),
        (format!("{}@next.example", "l".repeat(1024)), &[501, 553]),
        (format!("ann@{}example", "d.".repeat(500)), &[501, 553]),
        ("\"\"@next.example".into(), &[250, 501, 553]),
        ("ann@[127.0.0.1".into(), &[501, 553]),
        ("ann@[IPv6:::ffff:127.0.0.1".into(), &[501, 553]),
        ("@a,@b:ann@".into(), &[501, 553]),
        ("@".into(), &[501, 553]),
        ("".into(), &[501, 553]),
        ("\"ann\\\"@next.example".into(), &[501, 553]),
    ] {
        let said = client.say(&format!("RCPT TO:<{to}>")).unwrap();
        let shown = to.get(..40).unwrap_or(&to);
        assert!(codes.contains(&said.code()), "{shown}: {said}");
    }
    // A line that is longer than any command: told, and forgotten.
    let said = client.say(&format!("RCPT TO:<{}@next.example>", "l".repeat(3000))).unwrap();
    assert_eq!(said.code(), 500);
    still_serves(&mut client);
}

#[test]
fn g8_a_name_in_the_handshake_is_only_a_name() {
    if !ready() || !harness::require("openssl", "openssl") {
        return;
    }
    let house = Plan::new().start().unwrap();
    let long = "l".repeat(250);
    let names = ["x\\", "${run{/bin/true}}", ";sh", "`id`", "|", "../../etc/passwd", "*", &long];
    for name in names.into_iter().chain([HOST]) {
        let mut client = Command::new("openssl")
            .args(["s_client", "-connect", &house.submissions().to_string(), "-quiet"])
            .args(["-servername", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        client.stdin.take().unwrap().write_all(b"QUIT\r\n").unwrap();
        let output = client.wait_with_output().unwrap();
        // Taken for no name, or refused: never more.
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.is_empty() || said.starts_with("220 "), "{name}: {said}");
        assert!(name != HOST || said.starts_with("220 "), "{name}: {output:?}");
    }
    house.login(house.submissions()).unwrap();
}

/// Lines that try to end another line, and whether they may be said at all.
const BROKEN: [&[u8]; 21] = [
    b"EHLO a\rb",
    b"EHLO a\nb",
    b"EHLO a\0b",
    b"EHLO a\x1bb",
    b"EHLO a\x7fb",
    b"MAIL FROM:<a\nb@x.example>",
    b"MAIL FROM:<a\rb@x.example>",
    b"MAIL FROM:<a\0b@x.example>",
    b"MAIL FROM:<\"a\x0bb\"@x.example>",
    b"MAIL FROM:<a@x.example> ENVID=a\0b",
    b"MAIL FROM:<a@x.example> ENVID=a+0",
    b"MAIL FROM:<a@x.example> ENVID=a+0a",
    b"MAIL FROM:<a@x.example> ENVID=a+GG",
    b"MAIL FROM:<a@x.example> AUTH=",
    b"MAIL FROM:<a@x.example> SIZE=1 SIZE=2",
    b"MAIL FROM:<a@x.example> SIZE=99999999999999999999999",
    b"MAIL FROM:<a@x.example> BODY=7BIT\tX",
    b"MAIL FROM:<\xc3(@x.example> SMTPUTF8",
    b"MAIL FROM:<a\xc2\x85b@x.example> SMTPUTF8",
    b"MAIL FROM:<a\xe2\x80\xa8b@x.example> SMTPUTF8",
    b"MAIL FROM:<\xc3\xa9@x.example>",
];

/// The same of a recipient.
const BROKEN_RECIPIENTS: [&str; 9] = [
    "<b@next.example> ORCPT=rfc822;a+0Db",
    "<b@next.example> ORCPT=rfc822;a+0Ab",
    "<b@next.example> ORCPT=rfc822;a+00b",
    "<b@next.example> ORCPT=rfc822",
    "<b@next.example> ORCPT=;b",
    "<b@next.example> ORCPT=rfc822;a+",
    "<b@next.example> ORCPT=utf-8;a\\x{A}b",
    "<b@next.example> NOTIFY=NEVER,SUCCESS",
    "<b@next.example> NOTIFY=SUCCESS\u{85}X",
];

#[test]
fn h5_no_parameter_breaks_a_line_of_ours() {
    if !ready() {
        return;
    }
    let (house, sink) = with_sink();
    for line in BROKEN {
        let (mut client, _) = house.visit(house.relay()).unwrap();
        client.send(&[line, b"\r\n"].concat()).unwrap();
        let said = client.reply().unwrap();
        assert!(
            (500..560).contains(&said.code()) || said.code() == 421,
            "{}: {said}",
            line.escape_ascii()
        );
    }
    let mut accepted = 0;
    // What may be said is said again as it was: `+0A` is four letters for whoever keeps it as text.
    for (mail, rcpt) in BROKEN_RECIPIENTS.iter().map(|rcpt| ("<a@x.example>", *rcpt)).chain([
        ("<a@x.example> ENVID=a+0D+0Ab", "<b@next.example>"),
        ("<a@x.example> ENVID=a+00b RET=HDRS", "<b@next.example>"),
        ("<a@x.example> AUTH=a+0D+0AX:+20y@x.example", "<b@next.example>"),
        ("<a@x.example> AUTH=<>", "<b@next.example>"),
        ("<a@x.example> AUTH=<a", "<b@next.example>"),
    ]) {
        let (mut client, _) = house.visit(house.relay()).unwrap();
        let first = client.say(&format!("MAIL FROM:{mail}")).unwrap().code();
        let second = client.say(&format!("RCPT TO:{rcpt}")).unwrap().code();
        assert!([250, 501, 553].contains(&first), "{mail}: {first}");
        assert!([250, 500, 501, 503, 553, 555].contains(&second), "{rcpt}: {second}");
        if (first, second) == (250, 250) {
            assert_eq!(client.say("DATA").unwrap().code(), 354);
            assert_eq!(client.say("Subject: x\r\n\r\nx\r\n.").unwrap().code(), 250);
            accepted += 1;
        }
    }
    assert_eq!(sink.await_messages(accepted).len(), accepted, "{}", house.log());
    for line in sink.wire() {
        let verb = line.split([' ', ':']).next().unwrap().to_owned();
        let known = ["<connect>", "EHLO", "MAIL", "RCPT", "DATA", "RSET", "QUIT", "NOOP"];
        assert!(known.contains(&verb.as_str()), "a line of its own: {line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    let log = house.log();
    assert!(!log.contains(|c: char| c.is_control() && c != '\n'), "{log:?}");
    let begins = |line: &str| line.contains("mta") || line.starts_with(char::is_alphanumeric);
    assert!(log.lines().all(begins), "{log}");
    assert!(std::fs::read_dir(house.spool().join("corrupt")).unwrap().next().is_none());
}

#[test]
fn h6_recipients_beyond_the_limit_come_later() {
    const TRIED: usize = 50_000;
    if !ready() {
        return;
    }
    let (house, sink) = with_sink();
    let (mut client, _) = house.visit(house.relay()).unwrap();
    assert_eq!(client.say("MAIL FROM:<joe@example.org>").unwrap().code(), 250);
    let (mut taken, mut later) = (0, 0);
    for group in 0..TRIED / 100 {
        let lines: String =
            (0..100).map(|one| format!("RCPT TO:<r{group}.{one}@next.example>\r\n")).collect();
        client.send(lines.as_bytes()).unwrap();
        for _ in 0..100 {
            let said = client.reply().unwrap();
            match said.code() {
                250 => taken += 1,
                452 if said.text().starts_with("452 4.5.3") => later += 1,
                _ => panic!("after {taken} and {later}: {said}"),
            }
        }
    }
    assert_eq!((taken, later), (1000, TRIED - 1000));
    assert_eq!(client.say("DATA").unwrap().code(), 354);
    assert_eq!(client.say("Subject: many\r\n\r\nx\r\n.").unwrap().code(), 250);
    let heard = || sink.messages().iter().map(|message| message.recipients.len()).sum::<usize>();
    assert!(harness::wait_until(|| heard() >= 1000), "{}", heard());
    assert_eq!(heard(), 1000);
}
