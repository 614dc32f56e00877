//! Lines of a peer that may send anything: ended by CR LF and by nothing else, each with a bound.
//!
//! Runs in the receiver of the mta. Nothing is trusted. A CR or LF alone is a fault and never a line's end, since two
//! programs that read it differently see two different dialogues (CVE-2023-51764 and its kin). What came after a line
//! stays visible to the caller: bytes that follow STARTTLS end the connection (CVE-2011-0411). Lines of AUTH carry
//! passwords, so that the buffer is wiped whenever it is let go.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// A command with its CR LF (RFC 5321 section 4.5.3.1.4).
pub const COMMAND: usize = 512;
/// A command with the parameters of the extensions on offer, with its CR LF.
pub const EXTENDED_COMMAND: usize = 2048;
/// A line of an AUTH exchange without its CR LF (RFC 4954 section 4).
pub const AUTH: usize = 12_288;
/// How much of a line that is too long is swallowed in search of its end.
const SWALLOWED: usize = 65_536;
/// An empty buffer larger than this is given back.
const KEPT: usize = 4096;

/// Longest lines, in bytes with their CR LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A command other than AUTH.
    pub command: usize,
    /// An AUTH command, and the lines that answer its challenges.
    pub auth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { command: EXTENDED_COMMAND, auth: AUTH + 2 }
    }
}

/// What the server waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A command; its verb decides the bound.
    Command,
    /// The answer to a challenge of AUTH.
    Continuation,
}

/// Why there is no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The line is over its bound. It was swallowed with its end: say so (500 5.5.6) and go on.
    TooLong,
    /// A CR that no LF follows. Where lines end is in doubt, so that the connection ends.
    BareCr,
    /// An LF that no CR precedes. The connection ends.
    BareLf,
    /// A line without end. The connection ends.
    Endless,
}

impl Fault {
    /// Whether what follows can't be told from what came.
    pub fn is_fatal(self) -> bool {
        self != Self::TooLong
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the line is too long",
            Self::BareCr => "a CR stands without its LF",
            Self::BareLf => "an LF stands without its CR",
            Self::Endless => "the line has no end",
        })
    }
}

impl std::error::Error for Fault {}

/// What the first bytes amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// No end yet; a CR may stand last.
    Incomplete,
    /// So many bytes stand before a CR LF.
    Line(usize),
    /// A CR without its LF comes first.
    BareCr,
    /// An LF without its CR comes first.
    BareLf,
}

/// Looks for the end of the first line.
pub fn scan(bytes: &[u8]) -> Scan {
    let Some(at) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return Scan::Incomplete;
    };
    match bytes.get(at..).unwrap_or_default() {
        [b'\n', ..] => Scan::BareLf,
        [b'\r'] => Scan::Incomplete,
        [b'\r', b'\n', ..] => Scan::Line(at),
        _ => Scan::BareCr,
    }
}

/// Cuts what arrives into lines. It holds at most one read and one line of the largest bound.
pub struct Splitter {
    limits: Limits,
    buffer: Zeroizing<Vec<u8>>,
    /// Bytes of the buffer that were handed out already.
    taken: usize,
    /// Bytes dropped so far of a line that is too long.
    swallowed: usize,
    broken: Option<Fault>,
}

impl Splitter {
    /// Empty, with these bounds.
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: Zeroizing::default(), taken: 0, swallowed: 0, broken: None }
    }

    /// Adds what was read. Read again only when [`Self::next`] has no line left.
    pub fn push(&mut self, bytes: &[u8]) {
        let taken = std::mem::take(&mut self.taken).min(self.buffer.len());
        self.buffer.drain(..taken);
        let needed = self.buffer.len() + bytes.len();
        if needed > self.buffer.capacity() {
            // Growing in place would leave the old copy unwiped.
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two()));
            larger.extend_from_slice(&self.buffer);
            self.buffer = larger;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line without its CR LF, or `None` until more was pushed.
    ///
    /// # Errors
    /// [`Fault`]; a fatal one is repeated for ever.
    pub fn next(&mut self, expected: Expected) -> Result<Option<&[u8]>, Fault> {
        if let Some(fault) = self.broken {
            return Err(fault);
        }
        match scan(self.rest()) {
            Scan::BareCr => self.breaks(Fault::BareCr),
            Scan::BareLf => self.breaks(Fault::BareLf),
            Scan::Incomplete => self.incomplete(expected),
            Scan::Line(length) => {
                let start = self.taken;
                let line = self.rest().get(..length).unwrap_or_default();
                let too_long = self.swallowed > 0 || length + 2 > self.bound(expected, line);
                self.taken = start + length + 2;
                self.swallowed = 0;
                if too_long {
                    return Err(Fault::TooLong);
                }
                Ok(self.buffer.get(start..start + length))
            }
        }
    }

    /// What arrived after the last line. Not empty after STARTTLS: somebody put it there, and the connection ends.
    pub fn rest(&self) -> &[u8] {
        self.buffer.get(self.taken..).unwrap_or_default()
    }

    /// Takes so many bytes of [`Self::rest`] away: they were message data.
    pub fn consume(&mut self, count: usize) {
        self.taken = self.taken.saturating_add(count).min(self.buffer.len());
        self.release();
    }

    /// Wipes what was handed out, and gives a large buffer back when nothing is left in it.
    pub fn release(&mut self) {
        if let Some(used) = self.buffer.get_mut(..self.taken) {
            used.zeroize();
        }
        if self.taken == self.buffer.len() {
            self.taken = 0;
            self.buffer.clear();
            if self.buffer.capacity() > KEPT {
                self.buffer = Zeroizing::default();
            }
        }
    }

    fn incomplete(&mut self, expected: Expected) -> Result<Option<&[u8]>, Fault> {
        let rest = self.rest();
        let length = rest.len();
        // The CR LF is still to come, or its half.
        if self.swallowed == 0 && length < self.bound(expected, rest) {
            return Ok(None);
        }
        // A CR at the end stays, for its LF.
        let kept = usize::from(rest.last() == Some(&b'\r'));
        self.swallowed += length - kept;
        self.consume(length - kept);
        if self.swallowed > SWALLOWED {
            return self.breaks(Fault::Endless);
        }
        Ok(None)
    }

    fn bound(&self, expected: Expected, line: &[u8]) -> usize {
        let verb = line.get(..5).unwrap_or_default();
        match expected {
            Expected::Command if !verb.eq_ignore_ascii_case(b"AUTH ") => self.limits.command,
            _ => self.limits.auth,
        }
    }

    fn breaks(&mut self, fault: Fault) -> Result<Option<&[u8]>, Fault> {
        self.broken = Some(fault);
        self.buffer = Zeroizing::default();
        self.taken = 0;
        Err(fault)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Seen = Vec<Result<Vec<u8>, Fault>>;

    fn all(splitter: &mut Splitter, chunks: &[&[u8]]) -> Seen {
        let mut seen = Vec::new();
        for chunk in chunks {
            splitter.push(chunk);
            loop {
                match splitter.next(Expected::Command) {
                    Ok(Some(line)) => seen.push(Ok(line.to_vec())),
                    Ok(None) => break,
                    Err(fault) => {
                        seen.push(Err(fault));
                        if fault.is_fatal() {
                            return seen;
                        }
                    }
                }
            }
        }
        seen
    }

    fn small() -> Splitter {
        Splitter::new(Limits { command: 10, auth: 20 })
    }

    #[test]
    fn lines_end_with_cr_lf_and_nothing_else() {
        let line = |text: &str| Ok(text.as_bytes().to_vec());
        let cases: [(&[u8], Seen); 6] = [
            (b"NOOP\r\nQUIT\r\n", vec![line("NOOP"), line("QUIT")]),
            (b"\r\nx", vec![line("")]),
            (b"NOOP\nQUIT\r\n", vec![Err(Fault::BareLf)]),
            (b"NOOP\rQUIT\r\n", vec![Err(Fault::BareCr)]),
            (b"NOOP\r\r\n", vec![Err(Fault::BareCr)]),
            (b"A\r\n\n", vec![line("A"), Err(Fault::BareLf)]),
        ];
        for (bytes, expected) in cases {
            assert_eq!(all(&mut small(), &[bytes]), expected);
            for cut in 0..=bytes.len() {
                let (first, second) = bytes.split_at(cut);
                assert_eq!(all(&mut small(), &[first, second]), expected, "{bytes:?} at {cut}");
            }
            let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(all(&mut small(), &bytewise), expected);
        }
    }

    #[test]
    fn a_line_over_its_bound_is_told_once_and_swallowed_with_its_end() {
        let expected = [Ok(b"12345678".to_vec()), Err(Fault::TooLong), Ok(b"A".to_vec())];
        let bytes = b"12345678\r\n123456789\r\nA\r\n";
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(all(&mut small(), &[first, second]), expected, "at {cut}");
        }
        let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(all(&mut small(), &bytewise), expected);
    }

    #[test]
    fn auth_has_a_bound_of_its_own() {
        let mut splitter = small();
        splitter.push(b"auth 6789012345678\r\nAUTH 67890123456789\r\n123456789012345678\r\n");
        assert_eq!(splitter.next(Expected::Command), Ok(Some(&b"auth 6789012345678"[..])));
        assert_eq!(splitter.next(Expected::Command), Err(Fault::TooLong));
        assert_eq!(splitter.next(Expected::Continuation), Ok(Some(&b"123456789012345678"[..])));
    }

    #[test]
    fn a_line_without_end_ends_the_connection_and_holds_no_memory() {
        let mut splitter = small();
        let mut told = None;
        for _ in 0..100 {
            splitter.push(&[b'x'; 1024]);
            assert!(splitter.buffer.capacity() <= 4096);
            if let Err(fault) = splitter.next(Expected::Command) {
                told = Some(fault);
                break;
            }
        }
        assert_eq!(told, Some(Fault::Endless));
        splitter.push(b"\r\nNOOP\r\n");
        assert_eq!(splitter.next(Expected::Command), Err(Fault::Endless));
    }

    #[test]
    fn what_follows_starttls_is_seen() {
        for after in [&b"NOOP\r\n"[..], b"EHLO x\r\n", b"AUTH PLAIN x", b"R", &[0; 65_536]] {
            let mut splitter = Splitter::new(Limits::default());
            splitter.push(&[b"STARTTLS\r\n", after].concat());
            assert_eq!(splitter.next(Expected::Command), Ok(Some(&b"STARTTLS"[..])));
            assert_eq!(splitter.rest(), after);
        }
        let mut splitter = Splitter::new(Limits::default());
        splitter.push(b"STARTTLS\r\n");
        assert_eq!(splitter.next(Expected::Command), Ok(Some(&b"STARTTLS"[..])));
        assert!(splitter.rest().is_empty());
    }
    /// Letters, CR and LF.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![6 => b'a'..=b'z', 1 => Just(b'\n'), 1 => Just(b'\r')];
        proptest::collection::vec(byte, 0..40)
    }

    proptest! {
        #[test]
        fn how_it_is_cut_makes_no_difference(bytes in bytes(), start in 0usize..26, cut in 0usize..60) {
            let begin = &b"AUTH x\r\n0123456789012\r\n\r\n"[..start];
            let stream = [begin, &bytes, b"\r\nA\r\n"].concat();
            let (first, second) = stream.split_at(cut.min(stream.len()));
            let bytewise: Vec<&[u8]> = stream.chunks(1).collect();
            let expected = all(&mut small(), &bytewise);
            prop_assert_eq!(&all(&mut small(), &[first, second]), &expected);
            prop_assert_eq!(&all(&mut small(), &[&stream]), &expected);
        }
    }
}
