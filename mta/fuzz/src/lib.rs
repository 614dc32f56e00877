//! Every decoder of bytes that a stranger may have written, each behind one function of bytes.
//!
//! libFuzzer calls them from fuzz_targets/, and the tests below call them on stable. A function ends with every input:
//! it neither panics nor hangs, and what it could read it can write and read again as the same.

// A fuzz target reports by panicking.
#![allow(clippy::panic, clippy::expect_used)]

pub mod spool;

use smtp::address::{Address, Domain};
use smtp::bdat::{Chunk, Collector, Position};
use smtp::command::Command;
use smtp::data::{Breaks, Decoder, Encoder, Framing, Limits, Progress};
use smtp::line::{Scan, scan};
use smtp::reply::{Reader, Received};
use smtp::{command, proxy};

/// A client's command line.
pub fn command_line(bytes: &[u8]) {
    let _ = command::verb(bytes);
    let Ok(command) = Command::parse(bytes) else { return };
    let again = match &command {
        Command::Mail(sender, parameters) => format!("MAIL FROM:{sender}{parameters}"),
        Command::Rcpt(recipient, parameters) => format!("RCPT TO:{recipient}{parameters}"),
        _ => return,
    };
    assert_eq!(Command::parse(again.as_bytes()).as_ref(), Ok(&command), "{again:?}");
}

/// An address, and a domain.
pub fn address(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let _ = Domain::parse(text);
    let Ok(address) = Address::parse(text) else { return };
    assert_eq!(address.as_str(), text);
    assert!(!text.chars().any(char::is_control), "{text:?}");
    let rejoined = format!("{}@{}", address.local_part(), address.domain());
    assert_eq!(Address::parse(&rejoined).as_ref(), Ok(&address));
}

/// A server's replies, at once and byte by byte.
pub fn reply(bytes: &[u8]) {
    let (whole, split) = (replies(&[bytes]), replies(&bytes.chunks(1).collect::<Vec<_>>()));
    assert_eq!(whole, split);
    for reply in whole {
        let printed = reply.to_string();
        assert!(printed.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{printed:?}");
    }
}

fn replies(pieces: &[&[u8]]) -> Vec<Received> {
    let (mut reader, mut replies) = (Reader::default(), Vec::new());
    for piece in pieces {
        reader.push(piece);
        while let Ok(Some(reply)) = reader.next() {
            replies.push(reply);
        }
    }
    replies
}

const MESSAGE: u64 = 1500;

/// What follows DATA, at once and byte by byte; a message that was taken is sent on and taken as the same.
pub fn data(bytes: &[u8]) {
    let (whole, split) = (decoded(&[bytes]), decoded(&bytes.chunks(1).collect::<Vec<_>>()));
    assert_eq!(whole, split);
    let Some((message, used)) = whole else { return };
    assert!(used >= 3 && lines(&message));
    let mut encoder = Encoder::new(Framing::Data, Breaks::Refuse);
    let mut sent = Vec::new();
    encoder.feed(&message, &mut sent).expect("a message that was taken can be sent");
    encoder.finish(&mut sent).expect("it ends in a line");
    assert_eq!(decoded(&[&sent]), Some((message, sent.len())));
}

fn decoded(pieces: &[&[u8]]) -> Option<(Vec<u8>, usize)> {
    let mut decoder = Decoder::new(Limits::of(MESSAGE));
    let (mut out, mut before) = (Vec::new(), 0);
    for piece in pieces {
        match decoder.feed(piece, &mut out) {
            Progress::More => before += piece.len(),
            Progress::Complete(used) => return Some((out, before + used)),
            Progress::Failed(..) => return None,
        }
    }
    None
}

/// Whether it is lines, each ended by CR LF, and nothing else.
fn lines(message: &[u8]) -> bool {
    let mut rest = message;
    while !rest.is_empty() {
        let Scan::Line(length) = scan(rest) else { return false };
        rest = rest.get(length + 2..).expect("a line ends");
    }
    true
}

/// What follows BDAT: each chunk is a byte for its size, another for whether it's the last, and itself.
pub fn bdat(bytes: &[u8]) {
    let mut collector = Collector::new(Limits::of(MESSAGE));
    let (mut out, mut rest) = (Vec::new(), bytes);
    while let [size, last, after @ ..] = rest {
        let position = if last % 4 == 0 { Position::Last } else { Position::Within };
        let chunk = Chunk { size: u64::from(*size), position };
        if collector.begin(chunk).is_err() {
            return;
        }
        match collector.feed(after, &mut out) {
            Progress::Complete(used) if position == Position::Last => {
                assert!(used == usize::from(*size) && lines(&out));
                return;
            }
            Progress::Complete(used) => rest = after.get(used..).expect("a chunk is part of it"),
            Progress::More | Progress::Failed(..) => return,
        }
    }
}

/// A proxy's header: nothing less is enough, and what follows changes nothing.
pub fn proxy_header(bytes: &[u8]) {
    let Ok(Some((source, used))) = proxy::decode(bytes) else { return };
    let header = bytes.get(..used).expect("a header is part of what came");
    assert!(used <= proxy::MAX_V2);
    assert_eq!(proxy::decode(header), Ok(Some((source, used))));
    for cut in 0..used {
        let less = header.get(..cut).expect("less than all");
        assert_eq!(proxy::decode(less), Ok(None));
    }
}

#[cfg(test)]
mod tests;
