//! DATA decoded and encoded. The smuggling matrix stands in `tests/smuggling.rs`. Runs in the test binary.

use proptest::prelude::*;

use super::*;

/// Decodes a stream that arrives in these pieces: how it ended, what it said, and what was left.
fn decode(limits: Limits, pieces: &[&[u8]]) -> (Option<Damage>, Vec<u8>, Vec<u8>) {
    let mut decoder = Decoder::new(limits);
    let mut out = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let (consumed, damage) = match decoder.feed(piece, &mut out) {
            Progress::More => continue,
            Progress::Complete(consumed) => (consumed, None),
            Progress::Failed(consumed, damage) => (consumed, Some(damage)),
        };
        return (damage, out, [&piece[consumed..], &pieces[index + 1..].concat()].concat());
    }
    panic!("no end in {pieces:?}");
}

fn whole(bytes: &[u8]) -> (Option<Damage>, Vec<u8>, Vec<u8>) {
    decode(Limits::of(1000), &[bytes])
}

#[test]
fn dots_are_taken_away_and_the_end_is_found() {
    let cases: [(&[u8], &[u8]); 6] = [
        (b"a\r\n.\r\nQUIT", b"a\r\n"),
        (b".\r\nQUIT", b""),
        (b"..\r\n.\r\nQUIT", b".\r\n"),
        (b"...a\r\n..\r\n.\r\nQUIT", b"..a\r\n.\r\n"),
        (b".a\r\na.\r\n.\r\nQUIT", b"a\r\na.\r\n"),
        (b"\r\n\r\n.\r\nQUIT", b"\r\n\r\n"),
    ];
    for (bytes, message) in cases {
        let expected = (None, message.to_vec(), b"QUIT".to_vec());
        for cut in 0..=bytes.len() - 4 {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(decode(Limits::of(99), &[first, second]), expected, "{bytes:?} at {cut}");
        }
        let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decode(Limits::of(99), &bytewise), expected);
    }
}

#[test]
fn a_spoiled_message_is_swallowed_to_its_true_end() {
    assert_eq!(whole(b"a\n.\nb\r\n.\r\nX").0, Some(Damage::BareLf));
    assert_eq!(whole(b"a\n.\nb\r\n.\r\nX").2, b"X");
    assert_eq!(
        whole(b"a\r\n.\r\r\nX\r\n.\r\n").0,
        Some(Damage::BareCr),
        "not the end, as it was elsewhere"
    );
    assert_eq!(whole(b"a\r\n.\r\r\nX\r\n.\r\n").2, b"");
    assert_eq!(whole(b"a\r\r\n.\r\nX").2, b"X");
    assert_eq!(whole(b"a\0\r\n.\r\n").0, Some(Damage::Nul));
    assert_eq!(whole(b"\n\0\r.\r\n.\r\n").0, Some(Damage::BareLf), "the first one is told");
}

#[test]
fn a_message_has_a_largest_size_and_a_largest_patience() {
    let limits = Limits { message: 5, heard: 20 };
    assert_eq!(decode(limits, &[b"abc\r\n.\r\n"]).0, None);
    assert_eq!(
        decode(limits, &[b"abcd\r\n.\r\nX"]),
        (Some(Damage::TooLarge), b"abcd\r".to_vec(), b"X".to_vec())
    );
    let pieces: Vec<&[u8]> = vec![b"abcd"; 6];
    assert_eq!(decode(limits, &pieces).0, Some(Damage::Endless));
}

fn encode(message: &[u8], framing: Framing, breaks: Breaks) -> Result<Vec<u8>, Unsendable> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(framing, breaks);
    encoder.feed(message, &mut out)?;
    encoder.finish(&mut out)?;
    Ok(out)
}

#[test]
fn dots_are_doubled_at_the_beginning_of_lines_alone() {
    let data = |text: &[u8]| encode(text, Framing::Data, Breaks::Refuse).unwrap();
    assert_eq!(data(b""), b".\r\n");
    assert_eq!(data(b"."), b"..\r\n.\r\n");
    assert_eq!(data(b"a\r\n\r\n.\r\nb.\r\n"), b"a\r\n\r\n..\r\nb.\r\n.\r\n");
    assert_eq!(encode(b".a", Framing::Chunks, Breaks::Refuse).unwrap(), b".a\r\n");
}

#[test]
fn line_breaks_are_whole_or_nothing_is_sent() {
    let refused = |text: &[u8]| encode(text, Framing::Data, Breaks::Refuse).unwrap_err();
    assert_eq!(refused(b"a\rb"), Unsendable::BareCr);
    assert_eq!(refused(b"a\r"), Unsendable::BareCr);
    assert_eq!(refused(b"a\r\r\n"), Unsendable::BareCr);
    assert_eq!(refused(b"a\nb"), Unsendable::BareLf);
    assert_eq!(refused(b"a\0b"), Unsendable::Nul);
    let mended = |text: &[u8]| encode(text, Framing::Data, Breaks::Normalise).unwrap();
    assert_eq!(mended(b"a\n.\nb"), b"a\r\n..\r\nb\r\n.\r\n");
    assert_eq!(mended(b"a\r.\r\r\nb\r"), b"a\r\n..\r\n\r\nb\r\n.\r\n");
    assert_eq!(encode(b"\0", Framing::Data, Breaks::Normalise), Err(Unsendable::Nul));
}

/// Bytes of which smuggling is made, and others.
fn spicy() -> impl Strategy<Value = Vec<u8>> {
    let byte =
        prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a'), Just(0u8), any::<u8>()];
    let text = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(vec![b'x'; 70]),
        proptest::collection::vec(byte, 1..6)
    ];
    proptest::collection::vec(text, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn what_is_sent_is_whole_and_comes_back(message in spicy(), cuts in proptest::collection::vec(0usize..200, 0..4)) {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(Framing::Data, Breaks::Normalise);
        let mut start = 0;
        let mut failed = false;
        for cut in cuts.into_iter().chain([message.len()]) {
            let end = cut.clamp(start, message.len());
            failed |= encoder.feed(&message[start..end], &mut out).is_err();
            start = end;
        }
        prop_assert_eq!(failed, message.contains(&0));
        if !failed {
            encoder.finish(&mut out).unwrap();
            prop_assert_eq!(&out, &encode(&message, Framing::Data, Breaks::Normalise).unwrap());
            let (damage, decoded, rest) = decode(Limits::of(1 << 20), &[&out, b"QUIT\r\n"]);
            prop_assert_eq!((damage, &rest[..]), (None, &b"QUIT\r\n"[..]));
            prop_assert_eq!(&decoded, &encode(&message, Framing::Chunks, Breaks::Normalise).unwrap());
        }
    }

    #[test]
    fn how_it_is_cut_makes_no_difference(message in spicy(), cut in 0usize..300) {
        let stream = [&message[..], b"\r\n.\r\nQUIT\r\n.\r\n"].concat();
        let (first, second) = stream.split_at(cut.min(stream.len()));
        let bytewise: Vec<&[u8]> = stream.chunks(1).collect();
        let expected = decode(Limits::of(100), &bytewise);
        prop_assert_eq!(&decode(Limits::of(100), &[first, second]), &expected);
        prop_assert_eq!(&decode(Limits::of(100), &[&stream]), &expected);
    }

    #[test]
    fn a_run_of_plain_bytes_is_measured_right(bytes in proptest::collection::vec(prop_oneof![9 => Just(b'a'), 1 => any::<u8>()], 0..200)) {
        let expected = bytes.iter().position(|b| matches!(b, b'\r' | b'\n' | 0)).unwrap_or(bytes.len());
        prop_assert_eq!(plain(&bytes), expected);
    }
}
