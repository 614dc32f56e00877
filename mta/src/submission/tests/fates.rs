//! What the access map makes of a message besides taking and refusing it: discarded, held back, or asked about again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use protocol::policy::{Attribute, Request};

use super::house::{House, Map, RELAY, usual};
use crate::spool::record::read_envelope;

const MESSAGE: [&str; 4] =
    ["EHLO x", "MAIL FROM:<a@far.test>", "RCPT TO:<x@local.test>", "RCPT TO:<y@local.test>"];

/// Sends one message and says why each of those that were kept is held back.
async fn held(map: Map) -> Vec<Option<String>> {
    let house = House::new(map);
    let mut client = house.client(RELAY);
    client.code().await;
    assert_eq!(client.codes(&MESSAGE).await, [250; 4]);
    assert_eq!(client.codes(&["DATA", "\r\nhi\r\n."]).await, [354, 250]);
    let kept = house.kept();
    let envelope = |file: &Vec<u8>| read_envelope(file.as_slice()).unwrap();
    kept.iter().map(|file| envelope(file).held().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_message_is_held_back_for_its_connection_sender_or_recipient() {
    assert_eq!(held(usual).await, [None]);
    let connection: Map = |request| match request.value(Attribute::ProtocolState) {
        "CONNECT" => "HOLD who is that",
        _ => usual(request),
    };
    let sender: Map = |request| match request.value(Attribute::ProtocolState) {
        "MAIL" => "HOLD look  at it",
        _ => usual(request),
    };
    let recipient: Map = |request| match request.value(Attribute::Recipient) {
        "y@local.test" => "HOLD",
        _ => usual(request),
    };
    for (map, why) in [(connection, "who is that"), (sender, "look  at it"), (recipient, "")] {
        assert_eq!(held(map).await, [Some(why.to_owned())]);
    }
    let both: Map = |request| match request.value(Attribute::Recipient) {
        "x@local.test" => "HOLD first",
        "y@local.test" => "DISCARD",
        _ => usual(request),
    };
    assert!(held(both).await.is_empty(), "discarded is more than held back");
}

#[tokio::test]
async fn a_recipient_that_is_refused_holds_nothing_back() {
    let map: Map = |request| match request.value(Attribute::Recipient) {
        "x@elsewhere.test" => "550 5.7.1 Relaying denied",
        _ => usual(request),
    };
    let house = House::new(map);
    let mut client = house.client(RELAY);
    client.code().await;
    let codes = client.codes(&["EHLO x", "MAIL FROM:<>", "RCPT TO:<x@elsewhere.test>"]).await;
    assert_eq!(codes, [250, 250, 550]);
}

/// Nobody answers the first question about a connection; whoever answers then refuses it.
fn comes_back(request: &Request) -> &'static str {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    match request.value(Attribute::ProtocolState) {
        "CONNECT" if ASKED.fetch_add(1, Ordering::Relaxed) == 0 => "",
        "CONNECT" => "550 5.7.1 Access denied",
        _ => usual(request),
    }
}

#[tokio::test]
async fn a_connection_nobody_knew_is_asked_about_before_a_message_is_taken() {
    let house = House::new(comes_back);
    let mut client = house.client(RELAY);
    client.code().await;
    client.say("EHLO x").await;
    // 451 for as long as the connection to the daemon is not made again.
    let mut code = 451;
    for _ in 0..500 {
        code = client.codes(&["MAIL FROM:<>"]).await[0];
        if code != 451 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(code, 550);
}
