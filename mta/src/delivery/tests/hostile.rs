//! Servers that lie, talk for ever, say nothing, or end too early (I1, I2, I7).

use std::sync::Arc;

use super::server::{answer, kind, listen};
use super::{Fixed, House, job, outcomes, smtp};

const TEXT: &[u8] = b"A: b\r\n\r\nc\r\n";

#[tokio::test]
async fn what_is_no_reply_defers_and_harms_nobody() {
    let house = House::new("").await;
    let long = format!("250 {}\r\n", "x".repeat(1 << 20));
    let bad: Vec<String> = [
        "250-never ending\r\n",
        "250-one\r\n550 two\r\n",
        "250 a\0b\r\n",
        "999 x\r\n",
        "100 x\r\n",
        "250 bare\nlf\r\n",
        "250 bare\rcr\r\n",
        "hello\r\n",
        "25\r\n",
        "\r\n",
        &long,
    ]
    .into_iter()
    .map(str::to_owned)
    .chain(["250-x\r\n".repeat(100_000)])
    .collect();
    for stage in ["<connect>", "EHLO", "MAIL", "RCPT", "DATA", "."] {
        for reply in &bad {
            let reply = reply.clone();
            let script = move |line: &str| match line.starts_with(stage) {
                true => reply.clone(),
                false => answer(line, &["PIPELINING"]),
            };
            let (address, _) = listen(Arc::new(script)).await;
            let report = house.deliver(job(smtp(address), &["<a@b.test>"], TEXT)).await;
            let outcome = &outcomes(&report)[0];
            assert!(outcome.starts_with("T 4"), "{stage}: {outcome}");
            assert!(outcome.len() < 1500 && !outcome.contains(['\r', '\n', '\0']), "{outcome}");
            assert_eq!(report.in_doubt, usize::from(stage == "."), "{stage}");
        }
    }
}

#[tokio::test]
async fn an_end_is_deferred_wherever_it_comes_and_counted_after_the_dot() {
    let house = House::new("").await;
    for stage in ["<connect>", "EHLO", "MAIL", "RCPT", "DATA", "."] {
        let script = move |line: &str| match line.starts_with(stage) {
            true => String::new(),
            false => answer(line, &[]),
        };
        let (address, _) = listen(Arc::new(script)).await;
        let report = house.deliver(job(smtp(address), &["<a@b.test>", "<c@b.test>"], TEXT)).await;
        assert!(outcomes(&report).iter().all(|outcome| outcome.starts_with("T 4")), "{report:?}");
        assert_eq!(report.in_doubt, if stage == "." { 2 } else { 0 }, "{stage}");
    }
}

#[tokio::test]
async fn replies_that_make_no_sense_end_the_dialogue() {
    let house = House::new("").await;
    for (stage, reply) in [("MAIL", "354 x\r\n"), ("DATA", "250 x\r\n"), (".", "354 x\r\n")] {
        let script = move |line: &str| match line.starts_with(stage) {
            true => reply.into(),
            false => answer(line, &[]),
        };
        let (address, _) = listen(Arc::new(script)).await;
        let report = house.deliver(job(smtp(address), &["<a@b.test>"], TEXT)).await;
        assert!(outcomes(&report)[0].starts_with("T 4"), "{stage}: {report:?}");
    }
}

#[tokio::test]
async fn a_server_that_wants_nothing_now_is_tried_again() {
    let house = House::new("").await;
    for greeting in ["554 5.7.1 go away\r\n", "421 4.3.2 busy\r\n", "250 hello\r\n"] {
        let (address, _) = listen(Arc::new(|_: &str| greeting.into())).await;
        let report = house.deliver(job(smtp(address), &["<a@b.test>"], TEXT)).await;
        assert!(outcomes(&report)[0].starts_with("T 4"), "{report:?}");
    }
}

#[tokio::test]
async fn a_part_of_a_text_is_never_finished() {
    let house = House::new("").await;
    let (address, heard) = listen(kind(&[])).await;
    let mut short = job(smtp(address), &["<a@b.test>"], TEXT);
    short.text = Arc::new(Fixed(TEXT[..5].to_vec()));
    let report = house.deliver(short).await;
    assert!(outcomes(&report)[0].starts_with("T 451 4.3.0"), "{report:?}");
    assert_eq!(heard.lock().unwrap().last().unwrap(), "DATA");
    let report = house.deliver(job(smtp(address), &["<a@b.test>"], b"a\0b\r\n")).await;
    assert!(outcomes(&report)[0].starts_with("F 554 5.6.0"), "{report:?}");
}

#[tokio::test]
async fn bytes_behind_the_220_of_starttls_end_it() {
    let house = House::new("").await;
    let script = |line: &str| match line {
        "STARTTLS" => "220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n".into(),
        _ => answer(line, &["STARTTLS"]),
    };
    let (address, heard) = listen(Arc::new(script)).await;
    let report = house.deliver(job(smtp(address), &["<a@b.test>"], TEXT)).await;
    assert!(outcomes(&report)[0].starts_with("T 451"), "{report:?}");
    assert_eq!(heard.lock().unwrap().last().unwrap(), "STARTTLS");
}

#[tokio::test]
async fn without_the_daemon_nothing_is_sent() {
    let house = House::new("").await;
    house.daemon.says(|_| "CLOSE".into());
    let (address, heard) = listen(kind(&[])).await;
    let report = house.deliver(job(smtp(address), &["<a@b.test>"], TEXT)).await;
    assert!(outcomes(&report)[0].starts_with("T 451 4.3.0"), "{report:?}");
    assert!(heard.lock().unwrap().is_empty());
}
