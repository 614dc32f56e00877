//! Replies written and read, good and hostile. Runs in the test binary.

use proptest::prelude::*;

use super::*;

/// All replies of a stream that arrives in these pieces, and what broke it.
fn read(pieces: &[&[u8]]) -> (Vec<Received>, Option<Broken>) {
    let mut reader = Reader::default();
    let mut replies = Vec::new();
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next() {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(broken) => return (replies, Some(broken)),
            }
        }
    }
    (replies, reader.finish().err())
}

fn one(text: &str) -> Received {
    let (mut replies, broken) = read(&[text.as_bytes()]);
    assert_eq!((replies.len(), broken), (1, None), "{text:?}");
    replies.remove(0)
}

#[test]
fn a_reply_is_written_line_by_line() {
    let reply = Reply::new(Code::DONE, 1, 0, "one").and("two");
    assert_eq!(reply.encode(), b"250-2.1.0 one\r\n250 2.1.0 two\r\n");
    assert_eq!(Reply::plain(Code::CHALLENGE, "").encode(), b"334 \r\n");
}

#[test]
fn no_line_break_passes_into_a_reply() {
    let reply = Reply::new(Code::REFUSED, 7, 1, "<a\r\n250 ok\n\0é>".to_owned());
    assert_eq!(reply.encode(), b"550 5.7.1 <a??250 ok???>\r\n");
    let long = Reply::new(Code::REFUSED, 7, 1, "x".repeat(2000));
    assert_eq!(long.encode().len(), LINE);
    let many = (0..300).fold(Reply::plain(Code::DONE, ""), |reply, _| reply.and("x"));
    let (replies, broken) = read(&[&many.encode()]);
    assert_eq!((replies[0].lines.len(), broken), (LINES, None));
}

#[test]
fn a_challenge_is_not_cut() {
    let challenge = Reply::plain(Code::CHALLENGE, "x".repeat(2000));
    assert_eq!(challenge.encode().len(), 2006);
}

#[test]
fn a_reply_is_read_with_its_status() {
    let reply = one("550-5.7.1 no\r\n550-5.7.1 relay\r\n550 5.7.1 here\r\n");
    assert_eq!(reply.to_string(), "550 5.7.1 no relay here");
    assert_eq!(reply.class(), Class::Permanent);
    assert_eq!(one("250\r\n").lines, ["".into()]);
    assert_eq!(one("334 \r\n").code, Code::CHALLENGE);
}

#[test]
fn a_status_of_another_class_or_line_is_text() {
    assert_eq!(one("450 5.7.1 no\r\n").status, None, "the class isn't that of the code");
    assert_eq!(one("250 2.1 ok\r\n").status, None);
    assert_eq!(one("250 2.1.0.0 ok\r\n").status, None);
    assert_eq!(one("250 2.1.1000 ok\r\n").status, None);
    assert_eq!(one("354 3.0.0 go\r\n").status, None);
    assert_eq!(&*one("250-a\r\n250 2.0.0 b\r\n").lines[1], "2.0.0 b");
    assert_eq!(one("250 2.1.5\r\n").status, Some(Status { subject: 1, detail: 5 }));
}

#[test]
fn what_is_no_reply_is_told_apart() {
    let long = [b"250 ", &[b'x'; 507][..], b"\r\n"].concat();
    let endless = b"250-x\r\n".repeat(LINES + 1);
    let cases: [(&[u8], Broken); 18] = [
        (&long, Broken::LineTooLong),
        (&[b'2'; 1 << 20], Broken::LineTooLong),
        (&endless, Broken::TooManyLines),
        (b"250-a\r\n251 b\r\n", Broken::CodeChanged),
        (b"250 a\nb\r\n", Broken::BareLf),
        (b"250 a\rb\r\n", Broken::BareCr),
        (b"250 a\r\r\n", Broken::BareCr),
        (b"250 a\0\r\n", Broken::Nul),
        (b"999 a\r\n", Broken::NoCode),
        (b"199 a\r\n", Broken::NoCode),
        (b"600 a\r\n", Broken::NoCode),
        (b"25\r\n", Broken::NoCode),
        (b"\r\n", Broken::NoCode),
        (b"250x\r\n", Broken::NoCode),
        (b"+OK\r\n", Broken::NoCode),
        (b"250-a\r\n", Broken::Cut),
        (b"250 a", Broken::Cut),
        (b"250 a\r", Broken::Cut),
    ];
    for (bytes, expected) in cases {
        assert_eq!(read(&[bytes]), (Vec::new(), Some(expected)), "{:?}", bytes.get(..16));
        if bytes.len() < 1000 {
            let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(read(&pieces), (Vec::new(), Some(expected)));
        }
    }
    let longest = [b"250 ", &[b'x'; 506][..], b"\r\n"].concat();
    assert_eq!(read(&[&longest]).1, None);
}

#[test]
fn what_broke_stays_broken() {
    let mut reader = Reader::default();
    reader.push(b"250-a\r\n251 b\r\n");
    assert_eq!(reader.next(), Err(Broken::CodeChanged));
    reader.push(b"250 c\r\n");
    assert_eq!(reader.next(), Err(Broken::CodeChanged));
    let mut reader = Reader::default();
    reader.push(&[b'x'; LINE]);
    assert_eq!(reader.next(), Err(Broken::LineTooLong));
    reader.push(b"\r\n250 c\r\n");
    assert_eq!(reader.next(), Err(Broken::LineTooLong));
}

#[test]
fn bytes_behind_a_reply_are_seen() {
    for (bytes, more) in [
        (&b"220 go\r\n"[..], false),
        (b"220 go\r\n250 hello\r\n", true),
        (b"220 go\r\n2", true),
        (b"220 go\r\n250-x\r\n", true),
    ] {
        let mut reader = Reader::default();
        reader.push(bytes);
        assert_eq!(reader.next().unwrap().unwrap().code, Code::READY);
        assert_eq!(reader.has_more(), more);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_however_it_is_cut(
        number in 200u16..=599, subject in 0u16..=999, detail in 0u16..=999,
        lines in proptest::collection::vec("[ -~]{0,60}", 1..5), cut in 0usize..40,
    ) {
        let code = Code::new(number).unwrap();
        prop_assume!(code.class() != Class::More);
        let first = Reply::new(code, subject, detail, lines[0].clone());
        let reply = lines[1..].iter().cloned().fold(first, Reply::and);
        let bytes = reply.encode();
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        let (replies, broken) = read(&[first, second]);
        prop_assert_eq!(broken, None);
        let lines: Vec<Box<str>> = lines.iter().map(|line| line.as_str().into()).collect();
        prop_assert_eq!(&replies, &[Received { code, status: Some(Status { subject, detail }), lines }]);
    }

    #[test]
    fn anything_is_bounded_printable_or_broken(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        for reply in read(&[b"250-", &bytes, b"\r\n250 x\r\n"]).0 {
            prop_assert!(reply.lines.len() <= LINES);
            prop_assert!(reply.lines.iter().all(|line| line.len() <= LINE));
            prop_assert!(reply.to_string().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
    }

    #[test]
    fn whatever_is_said_is_one_reply(text in any::<String>()) {
        let bytes = Reply::new(Code::REFUSED, 0, 0, text).encode();
        prop_assert!(bytes.len() <= LINE);
        let (replies, broken) = read(&[&bytes]);
        prop_assert_eq!((replies.len(), broken), (1, None));
    }
}
