//! The smuggling matrix: ten things that some server once took for the end of a message, through DATA and BDAT, cut at
//! every byte. Runs in the test binary.
//!
//! Each stream holds a message, the terminator, a second dialogue that an attacker wants to be heard, and a true end. A
//! receiver built from the crate's parts must see one message or none, and never a command of the second dialogue.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

use smtp::bdat::{Chunk, Collector, Position};
use smtp::data::{Breaks, Damage, Decoder, Encoder, Framing, Limits, Progress};

const TERMINATORS: [&[u8]; 10] = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r\n",
    b"\r.\r",
    b"\r.\n",
    b"\r\n.\r",
    b"\r\r\n.\r\r\n",
    b"\r\n\0.\r\n",
    b"\n.\r",
];
const SMUGGLED: &[u8] =
    b"MAIL FROM:<evil@z>\r\nRCPT TO:<victim@z>\r\nDATA\r\nSubject: two\r\n\r\nforged";

fn body(terminator: &[u8]) -> Vec<u8> {
    [b"Subject: one\r\n\r\nhello", terminator, SMUGGLED].concat()
}

/// Feeds pieces to a decoder; how the message ended, the message, and the commands behind it.
fn by_data(pieces: &[&[u8]]) -> (Option<Damage>, Vec<u8>, Vec<u8>) {
    let mut decoder = Decoder::new(Limits::of(10_000));
    let (mut message, mut commands) = (Vec::new(), Vec::new());
    let mut ended = None;
    for piece in pieces {
        if ended.is_some() {
            commands.extend_from_slice(piece);
            continue;
        }
        let (consumed, end) = match decoder.feed(piece, &mut message) {
            Progress::More => continue,
            Progress::Complete(consumed) => (consumed, None),
            Progress::Failed(consumed, damage) => (consumed, Some(damage)),
        };
        ended = Some(end);
        commands.extend_from_slice(&piece[consumed..]);
    }
    (ended.expect("the true end is found"), message, commands)
}

fn by_bdat(
    size: usize,
    position: Position,
    pieces: &[&[u8]],
) -> (Option<Damage>, Vec<u8>, Vec<u8>) {
    let mut collector = Collector::new(Limits::of(10_000));
    collector.begin(Chunk { size: size as u64, position }).expect("it is no large one");
    let (mut message, mut commands) = (Vec::new(), Vec::new());
    let mut ended = None;
    for piece in pieces {
        if ended.is_some() {
            commands.extend_from_slice(piece);
            continue;
        }
        let (consumed, end) = match collector.feed(piece, &mut message) {
            Progress::More => continue,
            Progress::Complete(consumed) => (consumed, None),
            Progress::Failed(consumed, damage) => (consumed, Some(damage)),
        };
        ended = Some(end);
        commands.extend_from_slice(&piece[consumed..]);
    }
    (ended.expect("the chunk has an end"), message, commands)
}

/// Where the first of the bytes that spoil a message comes, decides.
fn expected(terminator: &[u8]) -> Damage {
    match terminator {
        b"\n.\n" | b"\n.\r\n" | b"\r\n.\n" | b"\n.\r" => Damage::BareLf,
        b"\r\n\0.\r\n" => Damage::Nul,
        _ => Damage::BareCr,
    }
}

#[test]
fn data_ends_once_whatever_is_in_it_and_however_it_is_cut() {
    let mut cuts = 0;
    for terminator in TERMINATORS {
        let stream = [&body(terminator)[..], b"\r\n.\r\nQUIT\r\n"].concat();
        for cut in 0..=stream.len() {
            let (first, second) = stream.split_at(cut);
            let (damage, message, commands) = by_data(&[first, second]);
            assert_eq!(damage, Some(expected(terminator)), "{terminator:?} at {cut}");
            assert_eq!(commands, b"QUIT\r\n", "{terminator:?} at {cut}");
            assert!(!message.windows(6).any(|window| window == b"forged"));
            cuts += 1;
        }
        let bytewise: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(by_data(&bytewise).2, b"QUIT\r\n");
    }
    assert!(cuts > 1000, "only {cuts} cuts");
}

#[test]
fn bdat_ends_where_it_was_said_and_keeps_nothing_that_could_end_elsewhere() {
    for terminator in TERMINATORS {
        for position in [Position::Within, Position::Last] {
            let body = body(terminator);
            let stream = [&body[..], b"QUIT\r\n"].concat();
            for cut in 0..=stream.len() {
                let (first, second) = stream.split_at(cut);
                let (damage, message, commands) = by_bdat(body.len(), position, &[first, second]);
                assert_eq!(damage, Some(expected(terminator)), "{terminator:?} at {cut}");
                assert_eq!(commands, b"QUIT\r\n");
                assert!(!message.windows(6).any(|window| window == b"forged"));
            }
        }
    }
}

#[test]
fn bdat_cut_into_two_chunks_at_every_byte_is_one_message_or_none() {
    for terminator in TERMINATORS {
        let body = body(terminator);
        for cut in 0..=body.len() {
            let mut collector = Collector::new(Limits::of(10_000));
            let mut message = Vec::new();
            let (first, second) = body.split_at(cut);
            let chunks = [(first, Position::Within), (second, Position::Last)];
            let last = chunks.map(|(bytes, position)| {
                collector.begin(Chunk { size: bytes.len() as u64, position }).unwrap();
                collector.feed(bytes, &mut message)
            })[1];
            let failed =
                matches!(last, Progress::Failed(_, damage) if damage == expected(terminator));
            assert!(failed, "{terminator:?} at {cut}: {last:?}");
        }
    }
}

#[test]
fn the_true_end_is_the_end_and_what_follows_is_heard() {
    let stream = b"Subject: one\r\n\r\nhello\r\n.\r\nMAIL FROM:<a@z>\r\n";
    for cut in 0..=stream.len() {
        let (first, second) = stream.split_at(cut);
        let (damage, message, commands) = by_data(&[first, second]);
        assert_eq!(damage, None);
        assert_eq!(message, b"Subject: one\r\n\r\nhello\r\n");
        assert_eq!(commands, b"MAIL FROM:<a@z>\r\n");
    }
}

#[test]
fn what_is_sent_on_ends_once_for_every_reader() {
    let normalised = |framing| {
        TERMINATORS.map(|terminator| {
            let mut out = Vec::new();
            let mut encoder = Encoder::new(framing, Breaks::Normalise);
            let fed = encoder.feed(&body(terminator), &mut out);
            if terminator.contains(&0) {
                assert!(fed.is_err());
                return Vec::new();
            }
            fed.unwrap();
            encoder.finish(&mut out).unwrap();
            out
        })
    };
    for out in normalised(Framing::Data).into_iter().chain(normalised(Framing::Chunks)) {
        for (at, byte) in out.iter().enumerate() {
            let (before, after) = (at.checked_sub(1).map(|at| out[at]), out.get(at + 1).copied());
            assert!(*byte != b'\r' || after == Some(b'\n'), "a bare CR in {out:?}");
            assert!(*byte != b'\n' || before == Some(b'\r'), "a bare LF in {out:?}");
        }
    }
    for out in normalised(Framing::Data).into_iter().filter(|out| !out.is_empty()) {
        let ends = out.windows(5).filter(|window| window == b"\r\n.\r\n").count();
        assert_eq!(ends, 1);
        assert!(out.ends_with(b"\r\n.\r\n"));
    }
    for terminator in TERMINATORS {
        let mut encoder = Encoder::new(Framing::Data, Breaks::Refuse);
        assert!(encoder.feed(&body(terminator), &mut Vec::new()).is_err(), "{terminator:?}");
    }
}
