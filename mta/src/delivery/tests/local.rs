//! Maildirs, and hops that lead nowhere.

use super::{House, job, outcomes, said};
use crate::delivery::transport::{Hop, Notifier};

#[tokio::test]
async fn one_maildir_for_each_address() {
    let house = House::new("").await;
    let directory = tempfile::tempdir().unwrap();
    let hop = Hop::Maildir(directory.path().to_owned());
    let to = ["<Ann@Local.test>", "<\"../x\"@local.test>"];
    for _ in 0..2 {
        let mail = "MAIL FROM:<>";
        let report = house.deliver(said(hop.clone(), mail, &to, b"A: b\r\n\r\nc\r\n")).await;
        assert_eq!(outcomes(&report), ["D 250 2.0.0 in its maildir"; 2]);
        assert_eq!((report.mailer, report.notifier), ("maildir", Notifier::Mailbox));
    }
    let new = directory.path().join("ann@local.test/new");
    let files: Vec<_> = new.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "a message is there once, however often it is tried");
    let text = std::fs::read_to_string(&files[0]).unwrap();
    assert_eq!(text, "Return-Path: <>\nDelivered-To: Ann@Local.test\nA: b\n\nc\n");
    assert!(directory.path().join("%2E.%2Fx@local.test/new").is_dir());
}

#[tokio::test]
async fn nowhere_for_good_and_for_now() {
    let house = House::new("").await;
    let text = b"A: b\r\n\r\nc\r\n";
    let report = house.deliver(job(Hop::Refuse("gone".into()), &["<a@b.test>"], text)).await;
    assert_eq!(outcomes(&report), ["F 550 5.1.2 gone"]);
    let unserved = Hop::Unserved("local.test".into());
    let report = house.deliver(job(unserved, &["<a@local.test>"], text)).await;
    assert!(outcomes(&report)[0].starts_with("T 451 4.3.5"), "{report:?}");
    let full = Hop::Maildir("/proc/none".into());
    let report = house.deliver(job(full, &["<a@local.test>"], text)).await;
    assert!(outcomes(&report)[0].starts_with("T 45"), "{report:?}");
}
