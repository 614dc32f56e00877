//! Dialogues from the first byte to the last, spoken from memory with real servers behind the desk.

mod fates;
mod house;
mod receiver;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::policy::{Attribute, Request};

use crate::auth::{Language, Logins};
use crate::daemon::Connector;
use house::{Client, House, PROXIED, RELAY, SUBMISSION, SUBMISSIONS, away, usual};

fn plain(user: &str, password: &str) -> String {
    format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{user}\0{password}")))
}

fn text(message: &[u8]) -> String {
    String::from_utf8_lossy(message).into_owned()
}

const JOE: [&str; 4] =
    ["EHLO client.test", "MAIL FROM:<joe@local.test>", "RCPT TO:<x@elsewhere.test>", "DATA"];

#[tokio::test]
async fn a_login_after_starttls_sends_a_message_that_is_on_disk() {
    let house = House::new(usual);
    let mut client = house.client(SUBMISSION);
    assert_eq!(client.code().await, 220);
    let hello = client.say("EHLO client.test").await;
    assert!(hello.contains("STARTTLS") && !hello.contains("AUTH"), "{hello}");
    assert_eq!(
        client.codes(&[&plain("joe", "eoj"), "MAIL FROM:<joe@local.test>"]).await,
        [538, 530]
    );
    assert_eq!(client.codes(&["STARTTLS"]).await, [220]);
    let mut client = house.handshake(client, None).await;
    assert_eq!(client.codes(&[&plain("joe", "eoj")]).await, [503], "EHLO was forgotten");
    let hello = client.say("EHLO client.test").await;
    assert!(hello.contains("AUTH PLAIN LOGIN") && !hello.contains("STARTTLS"), "{hello}");
    assert_eq!(client.say(&plain("joe", "eoj")).await, "235 2.7.0 Authentication successful");
    assert_eq!(client.codes(&JOE[1..]).await, [250, 250, 354]);
    client.write("Subject: hi\r\n\r\n..dot\r\n.\r\n").await;
    let accepted = client.reply().await.unwrap().to_string();
    assert!(accepted.ends_with("Message accepted for delivery"), "{accepted}");
    assert_eq!(client.codes(&["QUIT"]).await, [221]);
    let kept = house.kept();
    assert_eq!(kept.len(), 1);
    let message = text(&kept[0]);
    for part in [
        "Received: from client.test ([192.0.2.1])\r\n\t(authenticated bits=0)\r\n\tby mta.test (mta/",
        "with ESMTPSA id ",
        "(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256 verify=NO)\r\n\tfor <x@elsewhere.test>; ",
        "Authentication-Results: mta.test; auth=pass (plain) smtp.auth=joe\r\n",
        "Message-ID: <",
        "From: <joe@local.test>\r\nSubject: hi\r\n\r\n.dot\r\n",
    ] {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
    let log = house.log().await.join("\n");
    for part in [
        "STARTTLS=server, relay=[192.0.2.1], version=TLSv1.3, verify=NO, cipher=TLS_AES_256_GCM_SHA384, bits=256/256\n",
        "AUTH=server, relay=[192.0.2.1], authid=joe, mech=PLAIN, bits=0\n",
        ": from=<joe@local.test>, size=21, class=0, nrcpts=1, msgid=<",
        "proto=ESMTPSA, daemon=MSA, relay=[192.0.2.1]",
    ] {
        assert!(log.contains(part), "{part:?} is not in {log}");
    }
}

#[tokio::test]
async fn login_by_prompts_works_and_three_failures_end_it() {
    let house = House::new(usual);
    let mut client = house.inside(SUBMISSIONS).await;
    client.say("EHLO x").await;
    assert_eq!(client.codes(&["AUTH LOGIN"]).await, [334]);
    let bob = STANDARD.encode("bob");
    assert_eq!(client.codes(&[&bob, &bob]).await, [334, 235]);
    assert_eq!(client.codes(&["AUTH LOGIN"]).await, [503]);
    let mut client = house.inside(SUBMISSIONS).await;
    client.say("EHLO x").await;
    assert_eq!(client.codes(&["AUTH LOGIN", "*", "AUTH PLAIN", "!"]).await, [334, 501, 334, 501]);
    assert_eq!(client.codes(&["AUTH GSSAPI", "AUTH PLAIN ="]).await[0], 504);
    assert_eq!(client.codes(&[&plain("outage", "x")]).await, [454]);
    assert_eq!(client.codes(&[&plain("joe", "x")]).await, [535]);
    client.write(format!("{}\r\n", plain("joe", "x"))).await;
    let codes = [client.code().await, client.code().await, client.code().await];
    assert_eq!(codes, [535, 421, 0], "an empty message failed too");
}

#[tokio::test]
async fn strangers_relay_nowhere_and_machines_by_their_certificate() {
    let house = House::new(usual);
    let mut client = house.client(RELAY);
    assert_eq!(client.code().await, 220);
    assert_eq!(client.codes(&["EHLO x", "MAIL FROM:<a@b.test>"]).await, [250, 250]);
    let refused = client.say("RCPT TO:<x@elsewhere.test>").await;
    assert_eq!(refused, "550 5.7.1 Relaying denied. Proper authentication required.");
    assert_eq!(client.codes(&["DATA", "RCPT TO:<x@local.test>", "DATA"]).await, [554, 250, 354]);
    client.write("\r\nhi\r\n.\r\n").await;
    assert_eq!(client.code().await, 250);
    let kept = text(&house.kept()[0]);
    assert!(kept.contains("with ESMTP id") && !kept.contains("Message-ID"), "{kept}");

    let client = house.client(SUBMISSIONS);
    let mut client = house.handshake(client, Some(())).await;
    assert_eq!(client.code().await, 220);
    assert_eq!(client.codes(&JOE).await, [250, 250, 250, 354]);
    client.write("From: a@elsewhere.test\r\n\r\n.\r\n").await;
    assert_eq!(client.code().await, 250);
    assert!(text(&house.kept()[1]).contains("verify=OK)"));
    let log = house.log().await.join("\n");
    assert!(log.contains("ruleset=check_rcpt, arg1=<x@elsewhere.test>, relay=[192.0.2.1], reject=550 5.7.1 <x@elsewhere.test>... Relaying"), "{log}");
}

#[tokio::test]
async fn an_outage_is_temporary_whatever_is_asked() {
    let house = House::new(away);
    let mut client = house.client(RELAY);
    assert_eq!(client.code().await, 220);
    assert_eq!(client.codes(&["EHLO x", "MAIL FROM:<a@b.test>"]).await, [250, 451]);
    let client = house.client(SUBMISSIONS);
    let mut client = house.handshake(client, Some(())).await;
    assert_eq!(client.code().await, 220);
    assert_eq!(client.codes(&["EHLO x", "MAIL FROM:<a@b.test>"]).await, [250, 451], "not 530");
    assert!(house.kept().is_empty());
}

#[tokio::test]
async fn who_must_log_in_and_cannot_hears_no_never() {
    let mut house = House::new(changes_features);
    let desk = Arc::get_mut(&mut house.desk).unwrap();
    let nowhere = Connector::Path("/nonexistent/socket".into());
    desk.logins = Logins::new(nowhere, Language::Auth, Duration::from_secs(5));
    let mut client = house.client(RELAY);
    client.code().await;
    assert_eq!(client.codes(&["EHLO x", "STARTTLS"]).await, [250, 220]);
    let mut client = house.handshake(client, None).await;
    assert_eq!(client.codes(&["EHLO x", "MAIL FROM:<a@b.test>"]).await, [250, 451], "not 530");
}

#[tokio::test]
async fn no_field_of_the_log_is_a_senders_to_open() {
    let house = House::new(usual);
    let mut client = house.client(RELAY);
    client.code().await;
    let sender = r#"MAIL FROM:<"a>, size=1, relay=[198.51.100.1], x"@b.test>"#;
    assert_eq!(client.codes(&["EHLO x", sender]).await, [250, 250]);
    assert_eq!(client.codes(&["RCPT TO:<b@local.test>", "DATA"]).await, [250, 354]);
    client.write("A: b\r\n\r\n.\r\n").await;
    assert_eq!(client.code().await, 250);
    let log = house.log().await.join("\n");
    assert!(log.contains(": from=<") && !log.contains(", relay=[198"), "{log}");
}

#[tokio::test]
async fn replies_are_sent_before_a_chunk_is_waited_for() {
    let house = House::new(usual);
    let mut client = house.client(RELAY);
    client.code().await;
    client.say("EHLO x").await;
    client.write("MAIL FROM:<>\r\nRCPT TO:<b@local.test>\r\nBDAT 4 LAST\r\n").await;
    let both = async { [client.code().await, client.code().await] };
    let said = tokio::time::timeout(Duration::from_secs(5), both).await;
    assert_eq!(said.ok(), Some([250; 2]));
    client.write("hi\r\nBDAT 4\r\n").await;
    let both = async { client.code().await };
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), both).await.ok(), Some(250));
    client.write("NOOP").await;
    assert_eq!(client.code().await, 503, "a chunk that is only swallowed");
}

#[tokio::test]
async fn users_send_as_themselves() {
    let house = House::new(usual);
    let mut client = house.inside(SUBMISSIONS).await;
    client.say("EHLO x").await;
    assert_eq!(client.codes(&[&plain("joe", "eoj")]).await, [235]);
    let refused = client.say("MAIL FROM:<ann@local.test>").await;
    assert!(refused.starts_with("553 5.7.1 "), "{refused}");
    for (from, code) in
        [("From: ann@local.test\r\n", 553), ("From: joe@local.test\r\n", 250), ("", 250)]
    {
        assert_eq!(client.codes(&JOE[1..]).await, [250, 250, 354]);
        client.write(format!("{from}\r\nhi\r\n.\r\n")).await;
        assert_eq!(client.code().await, code, "{from}");
    }
    for (header, code) in [
        ("From: joe@local.test\r\nFrom: ann@local.test\r\n", 550),
        ("From: joe@local.test\r\nSender: ann@local.test\r\n", 553),
        ("From: joe@local.test\r\nSender: joe@local.test\r\nSENDER : joe@local.test\r\n", 550),
        ("From: ann@local.test <joe@local.test>\r\n", 553),
        ("From: joe@local.test\r\nSender: joe+x@local.test\r\n", 250),
        ("From: joe@local.test\r\nno field\r\nFrom: ann@local.test\r\n", 250),
    ] {
        assert_eq!(client.codes(&JOE[1..]).await, [250, 250, 354]);
        client.write(format!("{header}\r\n.\r\n")).await;
        assert_eq!(client.code().await, code, "{header}");
    }
    let kept = house.kept();
    assert_eq!(kept.len(), 4);
    let hidden = "From: joe@local.test\r\n\r\nno field\r\nFrom: ann@local.test\r\n";
    assert!(kept.iter().any(|message| text(message).contains(hidden)));
}

#[tokio::test]
async fn what_follows_starttls_in_the_clear_ends_the_connection() {
    let house = House::new(usual);
    for behind in ["NOOP\r\n", "RS", "\u{16}\u{3}"] {
        let mut client = house.client(SUBMISSION);
        client.code().await;
        client.say("EHLO x").await;
        client.write(format!("STARTTLS\r\n{behind}")).await;
        assert_eq!(client.code().await, 0, "{behind:?}");
    }
}

#[tokio::test]
async fn a_pipelined_group_is_answered_in_order() {
    let house = House::new(usual);
    let mut client = house.client(RELAY);
    client.code().await;
    client.say("EHLO x").await;
    client
        .write("MAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nRCPT TO:<b@local.test>\r\nRCPT TO:<Postmaster>\r\nBDAT 4 LAST\r\nhi\r\nNOOP\r\nQUIT\r\n")
        .await;
    let mut codes = Vec::new();
    while let Some(reply) = client.reply().await {
        codes.push(reply.code.number());
    }
    assert_eq!(codes, [250, 550, 250, 250, 250, 250, 221]);
    assert_eq!(house.kept().len(), 1);
}

#[tokio::test]
async fn chunks_make_one_message_and_a_bad_one_none() {
    let house = House::new(usual);
    let mut client = house.client(RELAY);
    client.code().await;
    let envelope = ["EHLO x", "MAIL FROM:<a@b.test>", "RCPT TO:<b@local.test>"];
    assert_eq!(client.codes(&envelope).await, [250; 3]);
    client.write("BDAT 6\r\nA: b\r\nBDAT 4\r\n\r\nhiBDAT 0 LAST\r\n").await;
    assert_eq!([client.code().await, client.code().await, client.code().await], [250; 3]);
    assert!(text(&house.kept()[0]).contains("\r\nA: b\r\n\r\nhi\r\n"));
    client.write("BDAT 6\r\nRSET\r\n").await;
    assert_eq!(client.code().await, 503, "a chunk without a message is swallowed");
    assert_eq!(client.codes(&envelope).await, [250; 3]);
    client.write("BDAT 3\r\na\nbQUIT\r\n").await;
    assert_eq!([client.code().await, client.code().await], [550, 0]);
    assert_eq!(house.kept().len(), 1);
}

#[tokio::test]
async fn messages_that_go_round_or_are_too_large_are_refused() {
    let house = House::with(usual, "[limits]\nmessage = \"100KiB\"\n", |_| {});
    let mut client = house.client(RELAY);
    client.code().await;
    client.say("EHLO x").await;
    assert_eq!(client.codes(&["MAIL FROM:<a@b.test> SIZE=200000"]).await, [552]);
    let loops = "Received: x\r\n".repeat(101);
    let large = "0123456789\r\n".repeat(20_000);
    for (message, code) in [(loops, 554), (large, 552), ("\0".to_owned(), 550)] {
        let envelope = ["MAIL FROM:<a@b.test>", "RCPT TO:<b@local.test>", "DATA"];
        assert_eq!(client.codes(&envelope).await, [250, 250, 354]);
        client.write(format!("{message}\r\n.\r\n")).await;
        assert_eq!(client.code().await, code);
    }
    assert_eq!(client.codes(&["RCPT TO:<b@local.test>", "QUIT"]).await, [503, 221]);
    assert!(house.kept().is_empty());
}

fn refuses_after_tls(request: &Request) -> &'static str {
    match request.value(Attribute::ProtocolState) {
        "EHLO" => "454 4.7.0 not authenticated",
        _ => usual(request),
    }
}

#[tokio::test]
async fn a_refusal_after_the_handshake_leaves_nothing_to_do() {
    let house = House::new(refuses_after_tls);
    let mut client = house.inside(SUBMISSIONS).await;
    let hello = client.say("EHLO x").await;
    assert!(hello.ends_with("ENHANCEDSTATUSCODES") && !hello.contains("AUTH"), "{hello}");
    let lines = ["NOOP", "RSET", "HELO x", &plain("joe", "eoj"), "MAIL FROM:<>", "VRFY x", "HELP"];
    assert_eq!(client.codes(&lines).await, [250, 250, 250, 454, 454, 454, 454]);
    client.write("BDAT 6\r\nQUIT\r\nNOOP\r\n").await;
    assert_eq!([client.code().await, client.code().await], [454, 250]);
    let log = house.log().await.join("\n");
    assert!(
        log.contains(
            "ruleset=tls_client, arg1=NO, arg2=STARTTLS, relay=[192.0.2.1], reject=454 4.7.0 not authenticated"
        ),
        "{log}"
    );
}

fn changes_features(request: &Request) -> &'static str {
    match request.value(Attribute::Ruleset) {
        "srv_features" => "DUNNO\nvalue=V l P A",
        _ => usual(request),
    }
}

#[tokio::test]
async fn letters_of_the_map_change_what_is_offered() {
    let house = House::new(changes_features);
    let client = house.client(RELAY);
    let mut client = client;
    client.code().await;
    let hello = client.say("EHLO x").await;
    assert!(hello.contains("STARTTLS") && !hello.contains("PIPELINING"), "{hello}");
    assert_eq!(client.codes(&["MAIL FROM:<>", "STARTTLS"]).await, [530, 220]);
    let mut client = house.handshake(client, Some(())).await;
    let hello = client.say("EHLO x").await;
    assert!(!hello.contains("AUTH"), "{hello}");
    assert!(house.log().await.join("\n").contains("verify=NOT"));
}

#[tokio::test]
async fn a_proxy_says_whose_connection_it_is_and_nobody_else_may() {
    let house = House::new(usual);
    let proxy = "192.0.2.9:1".parse().unwrap();
    for header in [
        &b"PROXY TCP4 198.51.100.7 192.0.2.25 1 465\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x07\xc0\0\x02\x19\0\x01\x01\xd1",
    ] {
        let mut client = house.client_from(PROXIED, proxy);
        client.write(header).await;
        let mut client = house.handshake(client, None).await;
        assert_eq!(client.code().await, 220);
        assert!(client.say("EHLO x").await.contains("Hello x [198.51.100.7]"));
    }
    let mut client = house.client_from(PROXIED, proxy);
    client.write("EHLO x\r\nEHLO x\r\n").await;
    assert_eq!(client.code().await, 0);
    let mut client = house.client(RELAY);
    client.code().await;
    assert_eq!(client.codes(&["PROXY TCP4 198.51.100.7 192.0.2.25 1 25"]).await, [421]);
}

#[tokio::test]
async fn browsers_noise_and_half_line_ends_are_sent_away() {
    let house = House::new(usual);
    for (bytes, codes) in [
        (&b"POST / HTTP/1.1\r\n"[..], vec![421]),
        (b"a\r\nb\r\nc\r\nNOOP\r\n", vec![500, 500, 421]),
        (b"NOOP\nNOOP\r\n", vec![500]),
    ] {
        let mut client = house.client(RELAY);
        client.code().await;
        client.write(bytes).await;
        let mut said = Vec::new();
        while let Some(reply) = client.reply().await {
            said.push(reply.code.number());
        }
        assert_eq!(said, codes, "{}", text(bytes));
    }
}

#[tokio::test]
async fn who_is_known_by_nobody_learns_nothing() {
    let house = House::new(usual);
    let mut client = house.client(RELAY);
    client.code().await;
    assert_eq!(
        client.codes(&["EHLO x", "VRFY root", "EXPN root", "HELP"]).await,
        [250, 252, 502, 214]
    );
}

#[tokio::test]
async fn an_author_is_passed_on_only_of_who_logged_in_as_it() {
    let house = House::new(usual);
    let mut client = house.inside(SUBMISSIONS).await;
    client.say("EHLO x").await;
    client.say(&plain("joe", "eoj")).await;
    assert_eq!(client.codes(&["MAIL FROM:<joe@local.test> AUTH=bob"]).await, [250]);
    let log = house.log().await.join("\n");
    assert!(
        log.contains("ruleset=trust_auth, arg1=bob, relay=[192.0.2.1], reject=550 5.7.1 <joe@local.test>... joe not allowed to act as bob"),
        "{log}"
    );
}

#[tokio::test]
async fn who_is_silent_is_sent_away() {
    let house = House::with(usual, "", |config| {
        config.limits.command = Duration::from_millis(20);
        config.limits.data = Duration::from_millis(20);
    });
    let mut client = house.client(RELAY);
    assert_eq!(client.code().await, 220);
    assert_eq!([client.code().await, client.code().await], [421, 0]);
    let log = house.log().await.join("\n");
    assert!(log.contains("timeout waiting for input from [192.0.2.1]"), "{log}");
}

#[tokio::test]
async fn the_end_is_told_to_those_who_wait_and_waits_for_those_who_send() {
    let house = House::new(usual);
    let mut waiting = house.client(RELAY);
    assert_eq!(waiting.code().await, 220);
    let mut sending = house.client(RELAY);
    sending.code().await;
    let envelope = ["EHLO x", "MAIL FROM:<>", "RCPT TO:<b@local.test>", "DATA"];
    assert_eq!(sending.codes(&envelope).await, [250, 250, 250, 354]);
    house.stop.send(true).unwrap();
    assert_eq!(waiting.code().await, 421);
    sending.write("\r\nhi\r\n.\r\n").await;
    assert_eq!([sending.code().await, sending.code().await], [250, 421]);
    assert_eq!(house.kept().len(), 1);
}

#[tokio::test]
async fn an_address_has_so_many_connections() {
    let house = House::with(usual, "[limits]\nconnections_per_address = 2\n", |_| {});
    let mut clients: Vec<Client<_>> = (0..3).map(|_| house.client(RELAY)).collect();
    let mut codes = Vec::new();
    for client in &mut clients {
        codes.push(client.code().await);
    }
    codes.sort_unstable();
    assert_eq!(codes, [220, 220, 421]);
}

/// Ends of data to somebody else, and to us none (CVE-2023-51764 and its kin).
const NO_ENDS: [&str; 10] = [
    "\n.\n",
    "\n.\r\n",
    "\r\n.\n",
    "\r.\r\n",
    "\r.\r",
    "\r.\n",
    "\r\n.\r",
    "\r\r\n.\r\r\n",
    "\r\n\0.\r\n",
    "\n.\r",
];

#[tokio::test]
async fn no_message_is_smuggled_behind_another_wherever_it_is_cut() {
    let house = House::new(usual);
    let mut tried = 0;
    for end in NO_ENDS {
        let behind = "MAIL FROM:<evil@x.test>\r\nRCPT TO:<b@local.test>\r\nDATA\r\n\r\nhi\r\n.\r\n";
        let message = format!("A: b\r\n\r\nhi{end}{behind}");
        let chunk = format!("BDAT {} LAST\r\n{message}", message.len());
        for (command, bytes) in [(Some("DATA"), message), (None, chunk)] {
            for cut in 0..=bytes.len() {
                let mut client = house.client(RELAY);
                client.code().await;
                client.write("EHLO x\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@local.test>\r\n").await;
                let codes = [client.code().await, client.code().await, client.code().await];
                assert_eq!(codes, [250; 3]);
                if let Some(command) = command {
                    assert_eq!(client.codes(&[command]).await, [354]);
                }
                let (first, second) = bytes.as_bytes().split_at(cut);
                client.write(first).await;
                tokio::task::yield_now().await;
                client.write(second).await;
                assert_eq!(client.code().await, 550, "{end:?} at {cut}");
                tried += 1;
            }
        }
    }
    assert!(tried > 1500, "{tried}");
    assert!(house.kept().is_empty());
}

fn closes(request: &Request) -> &'static str {
    match request.value(Attribute::ProtocolState) {
        "MAIL" => "421 4.7.0 Not from you",
        _ => usual(request),
    }
}

#[tokio::test]
async fn the_map_may_end_a_connection() {
    let house = House::new(closes);
    let mut client = house.client(RELAY);
    client.code().await;
    assert_eq!(client.codes(&["EHLO x", "MAIL FROM:<>"]).await, [250, 421]);
    assert_eq!(client.code().await, 0);
}

#[tokio::test]
async fn a_session_that_waits_is_small() {
    let house = House::new(usual);
    let (near, _far) = tokio::io::duplex(1);
    let address = "192.0.2.1:1".parse().unwrap();
    let arrival = super::Arrival { listener: RELAY, client: address, server: address };
    let size = size_of_val(&super::serve(near, arrival, house.desk.clone()));
    assert!(size <= 2048, "{size} bytes");
}
