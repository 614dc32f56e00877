//! G: what strangers do around STARTTLS.

use harness::mta::client::Client;
use harness::mta::{HOST, LOGIN, PASSWORD, Plan, plain, ready, tls};

/// What an attacker between both puts into the clear, to be found inside TLS.
const INJECTED: &[u8] = b"STARTTLS\r\nEHLO attacker.example\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@here.example>\r\n";

#[test]
fn g1_what_follows_starttls_in_the_clear_is_never_heard_inside() {
    if !ready() {
        return;
    }
    let house = Plan::new().start().unwrap();
    for to in [house.relay(), house.submission()] {
        let (mut client, _) = house.visit(to).unwrap();
        client.send(INJECTED).unwrap();
        // Ended at once, or answered with nothing that was injected: what is fatal is an answer of TLS's other side.
        let said = client.rest().unwrap();
        let replies = said.lines().filter(|line| line.starts_with("250")).count();
        assert_eq!(replies, 0, "{said}");
    }
    // In two packets: what comes behind the 220 must fail the handshake.
    let (mut client, _) = house.visit(house.relay()).unwrap();
    assert_eq!(client.say("STARTTLS").unwrap().code(), 220);
    client.send(b"NOOP\r\n").unwrap();
    assert!(!client.rest().unwrap().contains("250"));
    assert!(house.logged(&["STARTTLS"]));
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
            assert!(said.code() >= 500, "{line}: {said}");
        }
    }
    assert!(!house.log().contains("AUTH=server"), "{}", house.log());
}

#[test]
fn g3_the_handshake_forgets_what_was_said_before() {
    if !ready() {
        return;
    }
    let house = Plan::new().start().unwrap();
    let (mut client, _) = house.visit(house.relay()).unwrap();
    assert_eq!(client.say("MAIL FROM:<joe@example.org>").unwrap().code(), 250);
    let said = client.say("STARTTLS").unwrap();
    if said.code() == 220 {
        client.handshake(tls::client(None, tls::ANY).unwrap(), HOST).unwrap();
        assert_eq!(client.say("RCPT TO:<bob@here.example>").unwrap().code(), 503);
        assert_eq!(client.say("MAIL FROM:<joe@example.org>").unwrap().code(), 503);
    } else {
        assert_eq!(said.code(), 503, "{said}");
    }
    let (mut client, offered) = house.visit_tls(house.relay(), None).unwrap();
    assert!(!offered.offers("STARTTLS"), "{offered}");
    let again = client.say("STARTTLS").unwrap();
    assert!(again.code() >= 500, "{again}");
}

#[test]
fn g5_a_handshake_that_fails_ends_the_connection_and_nothing_else() {
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
fn g6_both_versions_are_spoken_and_what_was_agreed_on_is_written_down() {
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
