//! The beginning of a message, held until its header is all there.
//!
//! Runs in the receiver. What is missing goes in front of a message, and what is forged in it is left out, so that
//! nothing of it is kept before its header has been seen. A header has a bound; what follows it is never held here.

use smtp::header::Header;

/// Longest header in bytes.
pub(super) const MOST: usize = 256 * 1024;

/// The beginning of a message.
#[derive(Default)]
pub(super) struct Head {
    text: Vec<u8>,
    /// Bytes in which no end of a header begins.
    searched: usize,
}

/// What the beginning amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The header goes on.
    Some,
    /// The header is there, and perhaps more.
    All,
    /// It is longer than [`MOST`].
    TooLong,
}

impl Head {
    /// Adds a piece and looks for the end of the header: an empty line, or a line that is no field.
    pub(super) fn push(&mut self, piece: &[u8]) -> Seen {
        self.text.extend_from_slice(piece);
        let from = self.searched.saturating_sub(3);
        let rest = self.text.get(from..).unwrap_or_default();
        if self.text.starts_with(b"\r\n") || rest.windows(4).any(|four| four == b"\r\n\r\n") {
            return Seen::All;
        }
        self.searched = self.text.len();
        if self.text.len() <= MOST {
            return Seen::Some;
        }
        // A long body without an empty line before it is no header.
        match Header::split(&self.text) {
            (_, rest) if rest.windows(2).any(|two| two == b"\r\n") => Seen::All,
            _ => Seen::TooLong,
        }
    }

    /// What was there.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pieces: &[&[u8]]) -> Vec<Seen> {
        let mut head = Head::default();
        pieces.iter().map(|piece| head.push(piece)).collect()
    }

    #[test]
    fn a_header_ends_with_an_empty_line_wherever_it_is_cut() {
        let message = b"A: b\r\nC: d\r\n\r\nbody";
        for cut in 0..message.len() {
            let (first, second) = message.split_at(cut);
            let expected = if cut >= 14 { Seen::All } else { Seen::Some };
            assert_eq!(seen(&[first, second]), [expected, Seen::All], "{cut}");
        }
        assert_eq!(seen(&[b"\r\nbody"]), [Seen::All]);
    }

    #[test]
    fn a_long_header_is_told_from_a_long_body() {
        let body = b"some words\r\n".repeat(MOST / 12 + 1);
        assert_eq!(seen(&[&body]), [Seen::All]);
        let header = b"A: b\r\n".repeat(MOST / 6 + 1);
        assert_eq!(seen(&[&header]), [Seen::TooLong]);
    }
}
