//! G7: a TLS session that goes on by its ticket is judged like a new one, and goes on nowhere but where it began.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use harness::mta::client::Client;
use harness::mta::{HOST, House, Plan, ready, tls, transact};
use rustls::{ClientConfig, HandshakeKind};

/// How the handshake went with a client that remembers tickets in `config`; and the code of RCPT to elsewhere.
fn visit(house: &House, to: SocketAddr, config: &Arc<ClientConfig>) -> (HandshakeKind, u16) {
    let mut client = Client::connect(to, None).unwrap();
    let is_relay = to == house.relay();
    if to != house.submissions() {
        client.reply().unwrap();
        client.say("EHLO client.example").unwrap();
        assert_eq!(client.say("STARTTLS").unwrap().code(), 220);
    }
    client.handshake(config.clone(), HOST).unwrap();
    if to == house.submissions() {
        client.reply().unwrap();
    }
    // What the server says brings the ticket.
    client.say("EHLO client.example").unwrap();
    let from = if is_relay { "joe@example.org" } else { "alice@here.example" };
    let text = "Subject: x\r\n\r\nx\r\n";
    let replies = transact(&mut client, from, &["ann@next.example"], text).unwrap();
    let kind = client.tls().and_then(|tls| tls.handshake_kind()).unwrap();
    // Whoever may not even say MAIL has no answer to RCPT.
    (kind, replies.get(1).or(replies.last()).unwrap().code())
}

fn house(plan: Plan) -> House {
    plan.client("printer").map("{pin:printer}\tRELAY\n{issuer:printer}\tRELAY").start().unwrap()
}

#[test]
fn g7_a_ticket_is_of_use_where_it_was_given_and_nowhere_else() {
    if !ready() {
        return;
    }
    let house = house(Plan::new());
    let printer = house.certificate("printer").unwrap();
    let doors = [house.relay(), house.submission(), house.submissions()];
    for versions in [tls::TLS_1_2, tls::TLS_1_3] {
        // With a certificate, and without one.
        for identity in [Some(printer.clone()), None] {
            let codes = if identity.is_some() { [250; 3] } else { [550, 530, 530] };
            for (home, from) in doors.into_iter().enumerate() {
                let config = tls::client(identity.clone(), versions).unwrap();
                assert_eq!(visit(&house, from, &config), (HandshakeKind::Full, codes[home]));
                let again = visit(&house, from, &config);
                assert_eq!(again, (HandshakeKind::Resumed, codes[home]), "{from} {versions:?}");
                for (at, to) in doors.into_iter().enumerate().filter(|(at, _)| *at != home) {
                    let config = tls::client(identity.clone(), versions).unwrap();
                    visit(&house, from, &config);
                    let there = visit(&house, to, &config);
                    assert_eq!(there, (HandshakeKind::Full, codes[at]), "{from} to {to}");
                }
            }
        }
    }
}

#[test]
fn g7_a_ticket_carries_no_certificate_to_somebody_else() {
    if !ready() {
        return;
    }
    let house = house(Plan::new());
    // A client that resumes shows nothing: what it showed is in the ticket, sealed by the server.
    let printer = tls::client(Some(house.certificate("printer").unwrap()), tls::ANY).unwrap();
    assert_eq!(visit(&house, house.relay(), &printer), (HandshakeKind::Full, 250));
    assert_eq!(visit(&house, house.relay(), &printer), (HandshakeKind::Resumed, 250));
    // What the map says now counts, not what it said when the session began.
    house.write_map("").unwrap();
    let refused = || visit(&house, house.relay(), &printer) == (HandshakeKind::Resumed, 550);
    assert!(harness::wait_until(refused), "{}", house.log());
}

#[test]
fn g7_after_a_change_of_authorities_the_session_begins_anew() {
    if !ready() {
        return;
    }
    let house = house(Plan::new());
    let issuer = fs::read_to_string(house.sandbox().path().join("etc/access")).unwrap();
    // By its authority alone, so that the verdict counts.
    let issuer = issuer.lines().find(|line| line.starts_with("CertIssuer:")).unwrap().to_owned();
    house.write_map(&issuer).unwrap();
    let other = tempfile::tempdir().unwrap();
    let made = std::process::Command::new(harness::subject::built("mailauth"))
        .args(["cert", "init", "--name", "other.example", "--directory"])
        .arg(other.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let own = fs::read(house.tls().join("ca.pem")).unwrap();
    for versions in [tls::TLS_1_2, tls::TLS_1_3] {
        let identity = Some(house.certificate("printer").unwrap());
        let config = tls::client(identity, versions).unwrap();
        assert_eq!(visit(&house, house.relay(), &config), (HandshakeKind::Full, 250));
        assert_eq!(visit(&house, house.relay(), &config), (HandshakeKind::Resumed, 250));
        fs::copy(other.path().join("ca.pem"), house.tls().join("ca.pem")).unwrap();
        assert!(house.reload().unwrap(), "{}", house.log());
        // The log tells of the parent; its child follows in a moment.
        let refused = || visit(&house, house.relay(), &config).1 == 550;
        assert!(harness::wait_until(refused), "{}", house.log());
        assert_eq!(visit(&house, house.relay(), &config), (HandshakeKind::Resumed, 550));
        fs::write(house.tls().join("ca.pem"), &own).unwrap();
        assert!(house.reload().unwrap(), "{}", house.log());
        let relays = || visit(&house, house.relay(), &config).1 == 250;
        assert!(harness::wait_until(relays), "{}", house.log());
    }
    assert!(house.log().contains("verify=FAIL"), "{}", house.log());
}
