//! SMTP and LMTP as they should go, in the clear.

use std::sync::Arc;

use super::server::{answer, kind, listen, listen_unix};
use super::{House, job, outcomes, said, smtp};
use crate::delivery::transport::{Contact, Hop, Notifier};

const TEXT: &[u8] = b"Subject: hello\r\n\r\n.dot\r\nbye\r\n";

#[tokio::test]
async fn a_message_by_smtp() {
    let house = House::new("").await;
    let all = &["PIPELINING", "SIZE 1000", "8BITMIME", "DSN", "AUTH PLAIN"];
    let (address, heard) = listen(kind(all)).await;
    let mail = "MAIL FROM:<joe@local.test> BODY=8BITMIME RET=HDRS ENVID=x+2By AUTH=joe";
    let to = ["<a@b.test> NOTIFY=FAILURE ORCPT=rfc822;c@d", "<\"a b\"@b.test>"];
    let report = house.deliver(said(smtp(address), mail, &to, TEXT)).await;
    assert_eq!(outcomes(&report), ["D 250 2.0.0 queued", "D 250 2.0.0 queued"]);
    assert_eq!((report.mailer, report.notifier), ("esmtp", Notifier::NextHop));
    assert_eq!(report.relay, "[127.0.0.1] [127.0.0.1]");
    assert_eq!(
        *heard.lock().unwrap(),
        [
            "<connect>",
            "EHLO mta.test",
            "MAIL FROM:<joe@local.test> SIZE=29 BODY=8BITMIME RET=HDRS ENVID=x+2By AUTH=joe",
            "RCPT TO:<a@b.test> NOTIFY=FAILURE ORCPT=rfc822;c@d",
            "RCPT TO:<\"a b\"@b.test>",
            "DATA",
            "Subject: hello\r\n\r\n..dot\r\nbye\r\n",
        ]
    );
}

#[tokio::test]
async fn what_is_not_offered_is_not_said() {
    let house = House::new("").await;
    let (address, heard) = listen(kind(&[])).await;
    let mail = "MAIL FROM:<joe@local.test> BODY=8BITMIME RET=HDRS ENVID=x AUTH=joe SMTPUTF8";
    let to = ["<a@b.test> NOTIFY=FAILURE", "<é@b.test>"];
    let report = house.deliver(said(smtp(address), mail, &to, TEXT)).await;
    let outcomes = outcomes(&report);
    assert_eq!(outcomes[0], "D 250 2.0.0 queued");
    assert!(outcomes[1].starts_with("F 553 5.6.7"), "{outcomes:?}");
    assert_eq!(report.notifier, Notifier::Relay);
    let heard = heard.lock().unwrap();
    assert_eq!(heard[2..4], ["MAIL FROM:<joe@local.test>", "RCPT TO:<a@b.test>"]);
}

#[tokio::test]
async fn what_cannot_go_fails_before_mail() {
    let house = House::new("").await;
    let (address, heard) = listen(kind(&["SIZE 10"])).await;
    let report = house.deliver(job(smtp(address), &["<a@b.test>"], TEXT)).await;
    assert!(outcomes(&report)[0].starts_with("F 552 5.3.4"), "{report:?}");
    let (other, _) = listen(kind(&[])).await;
    let letters = "A: b\r\n\r\né\r\n".as_bytes();
    let report = house.deliver(job(smtp(other), &["<a@b.test>"], letters)).await;
    assert!(outcomes(&report)[0].starts_with("F 554 5.6.3"), "{report:?}");
    let mail = "MAIL FROM:<é@local.test> SMTPUTF8";
    let report = house.deliver(said(smtp(other), mail, &["<a@b.test>"], TEXT)).await;
    assert!(outcomes(&report)[0].starts_with("F 550 5.6.7"), "{report:?}");
    assert!(!heard.lock().unwrap().iter().any(|line| line.starts_with("MAIL")));
}

#[tokio::test]
async fn each_recipient_has_its_own_answer() {
    let house = House::new("").await;
    let script = |line: &str| match line {
        "RCPT TO:<no@b.test>" => "550-5.1.1 no such\r\n550 5.1.1 user\r\n".into(),
        "RCPT TO:<later@b.test>" => "450 busy\r\n".into(),
        _ => answer(line, &["PIPELINING"]),
    };
    let (address, _) = listen(Arc::new(script)).await;
    let to = ["<no@b.test>", "<yes@b.test>", "<later@b.test>"];
    let report = house.deliver(job(smtp(address), &to, TEXT)).await;
    assert_eq!(
        outcomes(&report),
        ["F 550 5.1.1 no such user", "D 250 2.0.0 queued", "T 450 4.0.0 busy"]
    );
    let report = house.deliver(job(smtp(address), &to[..1], TEXT)).await;
    assert_eq!(outcomes(&report), ["F 550 5.1.1 no such user"]);
}

#[tokio::test]
async fn a_server_that_takes_few_at_a_time_gets_all() {
    let house = House::new("").await;
    let count = std::sync::atomic::AtomicUsize::new(0);
    let script = move |line: &str| {
        if line.starts_with("MAIL") {
            count.store(0, std::sync::atomic::Ordering::Relaxed);
        }
        match line.starts_with("RCPT") {
            true if count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 2 => {
                "452 4.5.3 too many\r\n".into()
            }
            _ => answer(line, &["PIPELINING"]),
        }
    };
    let (address, heard) = listen(Arc::new(script)).await;
    let to = ["<a@b.test>", "<c@b.test>", "<d@b.test>", "<e@b.test>", "<f@b.test>"];
    let report = house.deliver(job(smtp(address), &to, TEXT)).await;
    assert!(outcomes(&report).iter().all(|outcome| outcome == "D 250 2.0.0 queued"), "{report:?}");
    assert_eq!(heard.lock().unwrap().iter().filter(|line| *line == "DATA").count(), 3);
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let house = House::new("").await;
    let (address, heard) = listen(kind(&[])).await;
    for _ in 0..2 {
        let report = house.deliver(job(smtp(address), &["<a@b.test>"], TEXT)).await;
        assert_eq!(outcomes(&report), ["D 250 2.0.0 queued"]);
    }
    let heard = heard.lock().unwrap();
    assert_eq!(heard.iter().filter(|line| *line == "<connect>").count(), 1);
    assert!(heard.contains(&"RSET".into()));
    let asked = house.daemon.asked.lock().unwrap();
    let one = ["try_tls  ", "tls_clt_features  ", "tls_server  NONE", "tls_rcpt a@b.test NONE"];
    assert_eq!(*asked, [one, one].concat(), "the map is asked for each message");
}

#[tokio::test]
async fn helo_for_those_who_know_no_better() {
    let house = House::new("").await;
    let script = |line: &str| match line {
        "EHLO mta.test" => "502 what?\r\n".into(),
        _ => answer(line, &[]),
    };
    let (address, heard) = listen(Arc::new(script)).await;
    let report = house.deliver(job(smtp(address), &["<a@b.test>"], TEXT)).await;
    assert_eq!((report.mailer, &*outcomes(&report)[0]), ("smtp", "D 250 2.0.0 queued"));
    assert_eq!(heard.lock().unwrap()[2], "HELO mta.test");
}

#[tokio::test]
async fn lmtp_answers_each_recipient_after_the_message() {
    let house = House::new("").await;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("lmtp");
    let script = |line: &str| match line {
        "." => "250 2.1.5 one\r\n550 5.2.2 full\r\n451 4.3.0 later\r\n".into(),
        _ => answer(line, &["PIPELINING"]),
    };
    let heard = listen_unix(&socket, Arc::new(script));
    let to = ["<a@local.test>", "<b@local.test>", "<c@local.test>"];
    let report = house.deliver(job(Hop::LmtpUnix(socket), &to, TEXT)).await;
    assert_eq!(outcomes(&report), ["D 250 2.1.5 one", "F 550 5.2.2 full", "T 451 4.3.0 later"]);
    assert_eq!((report.mailer, report.notifier), ("lmtp", Notifier::Mailbox));
    assert_eq!(heard.lock().unwrap()[1], "LHLO mta.test");
}

#[tokio::test]
async fn lines_are_whole_and_dots_doubled_whatever_was_kept() {
    let house = House::new("").await;
    let (address, heard) = listen(kind(&[])).await;
    let wild = b"a\n.\nb\r\n.\rc\r.\r\n\r\n.\r\n.\r\nMAIL FROM:<x@y>\r";
    let report = house.deliver(job(smtp(address), &["<a@b.test>"], wild)).await;
    assert_eq!(outcomes(&report), ["D 250 2.0.0 queued"]);
    let heard = heard.lock().unwrap();
    let text = &heard[heard.len() - 1];
    assert_eq!(text, "a\r\n..\r\nb\r\n..\r\nc\r\n..\r\n\r\n..\r\n..\r\nMAIL FROM:<x@y>\r\n");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_from_one_that_wants_no_such_mail() {
    let house = House::new("").await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let report = house.deliver(job(smtp(gone), &["<a@b.test>"], b"A: b\r\n")).await;
    assert_eq!(report.contact, Contact::None, "{report:?}");
    for (stage, contact) in [
        ("<connect>", Contact::None),
        ("EHLO", Contact::None),
        ("MAIL", Contact::Made),
        (".", Contact::Made),
    ] {
        let script = move |line: &str| match line.starts_with(stage) {
            true => "421 4.3.2 not now\r\n".into(),
            false => answer(line, &[]),
        };
        let (address, _) = listen(Arc::new(script)).await;
        let report = house.deliver(job(smtp(address), &["<a@b.test>"], b"A: b\r\n")).await;
        assert_eq!(report.contact, contact, "{stage}: {report:?}");
    }
}
