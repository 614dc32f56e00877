//! Headers of strangers, and our lines before them. Runs in the test binary.

use proptest::prelude::*;

use super::received::{Greeting, Name, Received};
use super::*;
use crate::address::Host;

fn header(message: &str) -> Header<'_> {
    Header::split(message.as_bytes()).0
}

fn authors(from: &str) -> Option<Vec<String>> {
    mailbox::list(from.as_bytes()).map(|list| list.iter().map(ToString::to_string).collect())
}

#[test]
fn a_header_ends_where_fields_end() {
    let cases = [
        ("Subject: x\r\nTo: y\r\n z\r\n\r\nbody: no\r\n", 2, "\r\nbody: no\r\n"),
        ("\r\nSubject: x\r\n", 0, "\r\nSubject: x\r\n"),
        (" Subject: x\r\n", 0, " Subject: x\r\n"),
        ("From a@b Mon\r\nSubject: x\r\n", 0, "From a@b Mon\r\nSubject: x\r\n"),
        ("A: b\r\nno field\r\nC: d\r\n", 1, "no field\r\nC: d\r\n"),
        ("A: b\r\n\tc\r\n\r\n", 1, "\r\n"),
        ("A : b\r\n", 1, ""),
        ("A\tb: c\r\n", 0, "A\tb: c\r\n"),
        ("A: cut", 1, ""),
        (": x\r\n", 0, ": x\r\n"),
        ("", 0, ""),
    ];
    for (message, fields, rest) in cases {
        let (header, body) = Header::split(message.as_bytes());
        assert_eq!((header.fields().count(), body), (fields, rest.as_bytes()), "{message:?}");
    }
    let folded = header("TO: a,\r\n\tb\r\n\r\n").named("to").next().unwrap();
    assert_eq!(folded, Field { name: "TO", value: b" a,\r\n\tb" });
}

#[test]
fn hops_are_counted() {
    let message = "Received: x\r\n y\r\nrECEIVED : z\r\nX-Received: no\r\n".repeat(50)
        + "\r\nReceived: body\r\n";
    assert_eq!(header(&message).hops(), 100);
}

#[test]
fn what_is_missing_is_added_and_nothing_else() {
    let sender = Address::parse("a@z").unwrap();
    let facts = Facts { date: Date(0), id: "Q1\r\n", host: "mta.test", sender: Some(&sender) };
    let added = |message: &str| String::from_utf8(header(message).completion(&facts)).unwrap();
    assert_eq!(
        added("Subject: x\r\n\r\n"),
        "Message-ID: <Q1??@mta.test>\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\nFrom: <a@z>\r\n"
    );
    assert_eq!(added("date: x\r\nFROM: y\r\nMessage-Id: z\r\n\r\n"), "");
    let nobody = Facts { sender: None, ..facts };
    assert!(!String::from_utf8(header("").completion(&nobody)).unwrap().contains("From"));
}

#[test]
fn nothing_of_a_message_is_read_as_ours() {
    let ours = b"Received: ours\r\n";
    let cases = [
        ("Subject: x\r\n", "Received: ours\r\nSubject: x\r\n"),
        ("\r\nbody\r\n", "Received: ours\r\n\r\nbody\r\n"),
        (" (verify=OK)\r\n", "Received: ours\r\n\r\n (verify=OK)\r\n"),
        ("\tx: y\r\n", "Received: ours\r\n\r\n\tx: y\r\n"),
        ("body\r\n", "Received: ours\r\n\r\nbody\r\n"),
        ("", "Received: ours\r\n\r\n"),
    ];
    for (message, expected) in cases {
        assert_eq!(join(ours, message.as_bytes()), expected.as_bytes());
    }
}

#[test]
fn authors_are_the_addresses_of_the_only_from() {
    let of = |message: &str| header(message).authors();
    assert_eq!(of("To: x\r\n\r\n"), Err(NoAuthor::Missing));
    assert_eq!(of("From: a@z\r\nfrom: b@z\r\n\r\n"), Err(NoAuthor::Several));
    assert_eq!(of("From: \r\n\r\n"), Err(NoAuthor::Malformed));
    assert_eq!(of("From: A\r\n <a@z>\r\n\r\n").unwrap(), [Address::parse("a@z").unwrap()]);
}

#[test]
fn names_comments_and_groups_are_no_addresses() {
    let cases = [
        ("a@z", "a@z"),
        (" A B <a@z> ", "a@z"),
        ("\"b@y, <c@x>\" <a@z>", "a@z"),
        ("\"b@y\\\" <c@x>\" <a@z>", "a@z"),
        ("(b@y (nested \\) ) ) a@z (c@x)", "a@z"),
        ("A <a@z>, b@y,, C <c@x>", "a@z b@y c@x"),
        ("list: a@z, B <b@y>;, c@x", "a@z b@y c@x"),
        ("nobody:;", ""),
        ("nobody:; (x) , a@z", "a@z"),
        ("\"a b\"@z", "\"a b\"@z"),
        ("A\r\n <a@z>,\r\n\tb@y", "a@z b@y"),
        ("J\u{fffd}rg <a@z>", "a@z"),
    ];
    for (from, expected) in cases {
        assert_eq!(authors(from).map(|list| list.join(" ")).as_deref(), Some(expected), "{from}");
    }
    let none = [
        "a",
        "a@z b@y",
        "<a@z> <b@y>",
        "<a@z> b@y",
        "<a@z",
        "a@z>",
        "<a@z, b@y>",
        "\"a@z",
        "(a@z",
        "a@z)",
        "x: a@z",
        "a@z;",
        "x: y: a@z;",
        "a@z <b@y> c",
        "<>",
        "a @z",
        "<a@z>x",
        "a@z:",
        "x: a@z; b@y",
        "x: a@z; <b@y>",
        "x:;y",
        "\"x\" a@z",
        "a@ <a@z>",
        "x y@w <a@z>",
        "=?utf-8?q?x?= y@w, <a@z>",
        "b@y: a@z;",
    ];
    for from in none {
        assert_eq!(authors(from), None, "{from}");
    }
    let nested = |depth| authors(&format!("{}{}a@z", "(".repeat(depth), ")".repeat(depth)));
    assert_eq!((nested(16).map(|list| list.len()), nested(17)), (Some(1), None));
    assert_eq!(mailbox::list(b"J\xf6rg <a@z>").unwrap().len(), 1);
    assert_eq!(mailbox::list(b"J\xf6rg <\xf6@z>"), None);
}

#[test]
fn an_address_where_a_name_should_be_is_an_author_too() {
    let both = Some(vec!["b@y".to_owned(), "a@z".to_owned()]);
    for from in ["b@y <a@z>", "b@y<a@z>", "(x) b@y\r\n <a@z>"] {
        assert_eq!(authors(from), both, "{from}");
    }
    assert_eq!(authors("\"b@y\" <a@z>"), Some(vec!["a@z".to_owned()]), "quoted, it is a name");
}

#[test]
fn fields_behind_a_line_that_is_none_are_no_header_to_anybody() {
    let message = "From: a@z\r\nno field\r\nFrom: b@y\r\n\r\nhi\r\n";
    assert_eq!(
        String::from_utf8(join(b"A: b\r\n", message.as_bytes())).unwrap(),
        "A: b\r\nFrom: a@z\r\n\r\nno field\r\nFrom: b@y\r\n\r\nhi\r\n"
    );
    for whole in ["From: a@z\r\n\r\nhi\r\n", "From: a@z\r\n", "\r\nhi\r\n"] {
        assert_eq!(join(b"A: b\r\n", whole.as_bytes()), format!("A: b\r\n{whole}").as_bytes());
    }
}

#[test]
fn no_stranger_writes_into_our_line() {
    let host = Host::parse("x").unwrap();
    let received = Received {
        host: &host,
        greeting: Greeting::Ehlo,
        name: Name::Forged("evil) by me\r\nX: y"),
        address: "::1".parse().unwrap(),
        authenticated: None,
        by: "mta.test",
        version: "ours/1.0",
        id: "Q1",
        tls: None,
        recipient: None,
        date: Date(0),
    };
    assert_eq!(
        received.to_string(),
        "Received: from x (evil??by?me??X??y [IPv6:::1] (may be forged))\r\n\tby mta.test (ours/1.0) with ESMTP id \
         Q1;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"
    );
    let host = Host::parse("\u{e9}.test").unwrap();
    let from = |greeting| Received { host: &host, greeting, ..received }.to_string();
    assert!(from(Greeting::Ehlo).starts_with("Received: from ?.test ("));
    assert!(from(Greeting::EhloUtf8).starts_with("Received: from \u{e9}.test ("));
}

proptest! {
    #[test]
    fn whatever_follows_our_line_stays_behind_it(message in proptest::collection::vec(any::<u8>(), 0..60)) {
        let joined = join(b"Received: ours\r\n", &message);
        let (header, _) = Header::split(&joined);
        prop_assert_eq!(header.fields().next().unwrap().value, b" ours");
        let (theirs, rest) = Header::split(&message);
        prop_assert!(joined.ends_with(rest));
        prop_assert!(joined.starts_with(&[b"Received: ours\r\n", theirs.0].concat()));
        prop_assert_eq!(Header::split(&joined).0.fields().count(), theirs.fields().count() + 1);
        prop_assert_eq!(theirs.0.len() + rest.len(), message.len());
    }

    #[test]
    fn any_list_is_addresses_or_nothing(text in "[a-z@<>(),:;\" \\\\.]{0,40}") {
        for address in authors(&text).unwrap_or_default() {
            prop_assert!(Address::parse(&address).is_ok());
        }
    }
}
