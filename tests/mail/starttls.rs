//! G1 to G3: what strangers do around STARTTLS, and what other protocols' clients are made to say to us.

use std::io;

use harness::mta::client::Client;
use harness::mta::{HOST, House, LOGIN, PASSWORD, Plan, plain, ready, tls};

/// What an attacker between both puts into the clear, to be found inside TLS.
const INJECTED: &[u8] =
    b"EHLO attacker.example\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@here.example>\r\n";

/// All that is said until the end, which may come while we still send.
fn rest_after(client: &mut Client, pieces: &[&[u8]]) -> String {
    for piece in pieces {
        match client.send(piece) {
            Ok(()) => {}
            Err(error)
                if [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset]
                    .contains(&error.kind()) => {}
            Err(error) => panic!("{error}"),
        }
    }
    client.rest().unwrap()
}

#[test]
fn g1_what_follows_starttls_in_the_clear_is_never_heard_inside() {
    if !ready() {
        return;
    }
    let house = Plan::new().start().unwrap();
    let login = format!("AUTH PLAIN {}\r\n", plain(LOGIN, PASSWORD));
    let junk = vec![b'x'; 64 << 10];
    for behind in [INJECTED, b"NOOP\r\n", b"EHLO x\r\n", login.as_bytes(), b"RS", &junk] {
        let whole = [b"STARTTLS\r\n", behind].concat();
        for to in [house.relay(), house.submission()] {
            // In one piece: the end, or an error, and no word of what stood behind.
            let (mut client, _) = house.visit(to).unwrap();
            let said = rest_after(&mut client, &[&whole]);
            assert!(!said.contains("250") && !said.contains("235"), "{said}");
            // Behind the 220 it is no handshake.
            let (mut client, _) = house.visit(to).unwrap();
            assert_eq!(client.say("STARTTLS").unwrap().code(), 220);
            let said = rest_after(&mut client, &[behind]);
            assert!(!said.contains("250") && !said.contains("235"), "{said}");
            // In two pieces, cut inside the command: as in one, or as behind the 220.
            let (mut client, _) = house.visit(to).unwrap();
            let said = rest_after(&mut client, &[&whole[..5], &whole[5..]]);
            assert!(!said.contains("250") && !said.contains("235"), "{said}");
        }
    }
    assert!(house.logged(&["input behind STARTTLS"]), "{}", house.log());
    assert!(!house.log().contains("AUTH=server"), "{}", house.log());
    // Whoever comes after it is served.
    house.login(house.submission()).unwrap();
}

#[test]
fn g2_no_login_outside_tls_whatever_is_said() {
    if !ready() {
        return;
    }
    let house = Plan::new().start().unwrap();
    for to in [house.relay(), house.submission()] {
        let (mut client, offered) = house.visit(to).unwrap();
        assert!(offered.offers("STARTTLS") && !offered.offers("AUTH"), "{offered}");
        let right = plain(LOGIN, PASSWORD);
        for line in [
            format!("AUTH PLAIN {right}"),
            "AUTH LOGIN".into(),
            "AUTH".into(),
            "AUTH EXTERNAL =".into(),
        ] {
            let said = client.say(&line).unwrap();
            assert!([530, 538].contains(&said.code()), "{line}: {said}");
        }
        // Nor is an answer to a challenge that was not given one.
        assert_eq!(client.say(&right).unwrap().code(), 500);
    }
    assert!(!house.log().contains("AUTH=server"), "{}", house.log());
}

#[test]
fn g2_the_handshake_forgets_what_was_said_before() {
    if !ready() {
        return;
    }
    let house = Plan::new().start().unwrap();
    let (mut client, _) = house.visit(house.relay()).unwrap();
    assert_eq!(client.say("MAIL FROM:<joe@example.org>").unwrap().code(), 250);
    assert_eq!(client.say("STARTTLS").unwrap().code(), 503);
    assert_eq!(client.say("RSET").unwrap().code(), 250);
    assert_eq!(client.say("STARTTLS").unwrap().code(), 220);
    client.handshake(tls::client(None, tls::ANY).unwrap(), HOST).unwrap();
    assert_eq!(client.say("RCPT TO:<bob@here.example>").unwrap().code(), 503);
    assert_eq!(client.say("MAIL FROM:<joe@example.org>").unwrap().code(), 503);
    let (mut client, offered) = house.visit_tls(house.relay(), None).unwrap();
    assert!(!offered.offers("STARTTLS"), "{offered}");
    assert_eq!(client.say("STARTTLS").unwrap().code(), 503);
}

#[test]
fn g2_starttls_is_no_command_where_something_else_is_awaited() {
    if !ready() {
        return;
    }
    let house = Plan::new().start().unwrap();
    // An answer to a challenge: base64, of which this would be some.
    let (mut client, _) = house.visit_tls(house.submission(), None).unwrap();
    assert_eq!(client.say("AUTH LOGIN").unwrap().code(), 334);
    assert_eq!(client.say("STARTTLS").unwrap().code(), 334);
    assert_eq!(client.say("STARTTLS").unwrap().code(), 535);
    assert_eq!(client.say("NOOP").unwrap().code(), 250);
    // A message.
    let (mut client, _) = house.visit(house.relay()).unwrap();
    client.say("MAIL FROM:<joe@example.org>").unwrap();
    client.say("RCPT TO:<bob@here.example>").unwrap();
    assert_eq!(client.say("DATA").unwrap().code(), 354);
    client.send(b"STARTTLS\r\n\r\nSTARTTLS\r\n").unwrap();
    assert_eq!(client.say(".").unwrap().code(), 250);
    client.say("MAIL FROM:<joe@example.org>").unwrap();
    client.say("RCPT TO:<bob@here.example>").unwrap();
    assert_eq!(client.say("BDAT 10\r\nSTARTTLS").unwrap().code(), 250);
    assert_eq!(client.say("STARTTLS").unwrap().code(), 503);
    assert_eq!(client.say("BDAT 0 LAST").unwrap().code(), 250);
    assert_eq!(client.say("STARTTLS").unwrap().code(), 220);
    assert_eq!(house.await_mail("bob@here.example", 2).len(), 2);
}

#[test]
fn g3_browsers_and_whoever_only_babbles_are_sent_away() {
    if !ready() {
        return;
    }
    let house = Plan::new().start().unwrap();
    let inside = |house: &House| house.visit_tls(house.submissions(), None).unwrap().0;
    for request in ["POST / HTTP/1.1", "GET /x HTTP/1.0", "PUT * HTTP/1.1"] {
        let body = format!("{request}\r\nHost: x\r\n\r\nMAIL FROM:<>\r\nNOOP\r\n");
        for mut client in [inside(&house), house.visit(house.relay()).unwrap().0] {
            let said = rest_after(&mut client, &[body.as_bytes()]);
            assert!(said.starts_with("421 ") && said.lines().count() == 1, "{request}: {said}");
        }
    }
    for mut client in [inside(&house), house.visit(house.relay()).unwrap().0] {
        let babble: String = (0..20).map(|number| format!("BLAH{number} x\r\n")).collect();
        let said = rest_after(&mut client, &[babble.as_bytes()]);
        let codes: Vec<&str> = said.lines().map(|line| &line[..3]).collect();
        assert_eq!(codes, ["500", "500", "421"], "{said}");
    }
}

#[test]
fn g3_who_wants_another_protocol_gets_an_alert() {
    if !ready() {
        return;
    }
    let house = Plan::new().start().unwrap();
    for versions in [tls::TLS_1_2, tls::TLS_1_3] {
        let config = tls::client(None, versions).unwrap();
        for (protocols, goes_on) in [
            (&["h2"][..], false),
            (&["ftp", "http/1.1"], false),
            (&["imap"], false),
            (&["smtp"], true),
            (&["h2", "smtp"], true),
            (&[], true),
        ] {
            let config = tls::speaking(&config, protocols);
            let mut client = Client::connect(house.submissions(), None).unwrap();
            let done = client.handshake(config, HOST);
            assert_eq!(done.is_ok(), goes_on, "{protocols:?}: {done:?}");
            if let Err(why) = done {
                assert!(why.to_string().contains("NoApplicationProtocol"), "{why}");
            }
        }
    }
}

#[test]
fn a_handshake_that_fails_ends_the_connection_and_nothing_else() {
    if !ready() {
        return;
    }
    let house = Plan::new().start().unwrap();
    for garbage in [&b"GET / HTTP/1.0\r\n\r\n"[..], &[0x16, 3, 1, 0xFF, 0xFF], &[0x80; 64], b""] {
        let (mut client, _) = house.visit(house.relay()).unwrap();
        assert_eq!(client.say("STARTTLS").unwrap().code(), 220);
        client.send(garbage).unwrap();
        client.half_close().unwrap();
        let said = client.rest().unwrap();
        assert!(!said.starts_with("250"), "{said}");
        let mut client = Client::connect(house.submissions(), None).unwrap();
        client.send(garbage).unwrap();
        client.half_close().unwrap();
        client.rest().unwrap();
    }
    house.login(house.submissions()).unwrap();
}

#[test]
fn both_versions_are_spoken_and_what_was_agreed_on_is_written_down() {
    if !ready() {
        return;
    }
    let house = Plan::new().start().unwrap();
    for (versions, name) in [(tls::TLS_1_2, "version=TLSv1.2"), (tls::TLS_1_3, "version=TLSv1.3")] {
        let (mut client, _) = house.visit(house.relay()).unwrap();
        client.say("STARTTLS").unwrap();
        client.handshake(tls::client(None, versions).unwrap(), HOST).unwrap();
        assert_eq!(client.say("EHLO x").unwrap().code(), 250);
        assert!(
            house.logged(&["STARTTLS=server", name, "verify=NO", "cipher="]),
            "{}",
            house.log()
        );
    }
}
