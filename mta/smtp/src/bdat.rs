//! Chunks of BDAT (RFC 3030): counted, never searched for an end.
//!
//! Runs in the receiver of the mta. Nothing is trusted: the length that a client states is counted down and never
//! allocated. Line breaks must be whole here too, across chunks, since the message may travel on by DATA. After a
//! failure the chunks that a pipelining client still sends are swallowed and answered, within the same patience.

use crate::data::{Damage, Limits, Progress, plain};

/// Whether a chunk is the last of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// More follow.
    Within,
    /// `LAST`.
    Last,
}

/// The argument of BDAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Chunk {
    /// Bytes that follow the command.
    pub size: u64,
    /// Whether more chunks follow.
    pub position: Position,
}

/// Most chunks of a message: a million of `BDAT 1` is an attack and not a message.
pub const MAX_CHUNKS: u32 = 100_000;

/// Puts the chunks of one message together. Memory doesn't grow with their number.
pub struct Collector {
    limits: Limits,
    size: u64,
    heard: u64,
    chunks: u32,
    left: u64,
    position: Position,
    end: End,
    damage: Option<Damage>,
}

/// What the message ends in so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Line,
    Text,
    Cr,
}

impl Collector {
    /// Before the first chunk of a message.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            size: 0,
            heard: 0,
            chunks: 0,
            left: 0,
            position: Position::Within,
            end: End::Line,
            damage: None,
        }
    }

    /// Before the first of chunks that are only to be swallowed, since the session refuses them.
    pub fn refused(limits: Limits) -> Self {
        Self { damage: Some(Damage::OutOfOrder), ..Self::new(limits) }
    }

    /// A chunk was announced. Too many, or more than is ever heard of one message, end the connection.
    ///
    /// # Errors
    /// [`Damage::Endless`].
    pub fn begin(&mut self, chunk: Chunk) -> Result<(), Damage> {
        self.left = chunk.size;
        self.position = chunk.position;
        self.chunks += 1;
        self.heard = self.heard.saturating_add(chunk.size);
        if self.chunks > MAX_CHUNKS || self.heard > self.limits.heard {
            return Err(Damage::Endless);
        }
        if self.size.saturating_add(chunk.size) > self.limits.message {
            self.damage.get_or_insert(Damage::TooLarge);
        }
        Ok(())
    }

    /// Takes a piece of what follows the command, of any size, an empty one too: `BDAT 0 LAST` has no bytes.
    ///
    /// [`Progress::Complete`] and [`Progress::Failed`] mean the end of this chunk; the rest of the piece is commands.
    /// The message is whole when its last chunk is complete; it ends in CR LF then, added if need be.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Progress {
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
        let (chunk, _) = input.split_at_checked(taken).unwrap_or((input, &[]));
        self.left -= chunk.len() as u64;
        self.take(chunk, out);
        if self.left > 0 {
            return Progress::More;
        }
        if self.position == Position::Last {
            self.close(out);
        }
        self.damage.map_or(Progress::Complete(taken), |damage| Progress::Failed(taken, damage))
    }

    fn take(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.size = self.size.saturating_add(chunk.len() as u64);
        let mut rest = chunk;
        while self.damage.is_none() {
            let run = if self.end == End::Cr { 0 } else { plain(rest) };
            if run > 0 {
                self.end = End::Text;
            }
            let Some((special, after)) = rest.get(run..).and_then(<[u8]>::split_first) else {
                break;
            };
            rest = after;
            match (self.end, special) {
                (End::Cr, b'\n') => self.end = End::Line,
                (End::Cr, _) => self.damage = Some(Damage::BareCr),
                (_, b'\r') => self.end = End::Cr,
                (_, b'\n') => self.damage = Some(Damage::BareLf),
                _ => self.damage = Some(Damage::Nul),
            }
        }
        if self.damage.is_none() {
            out.extend_from_slice(chunk);
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        match self.end {
            End::Line => {}
            End::Text if self.damage.is_none() => out.extend_from_slice(b"\r\n"),
            End::Text => {}
            End::Cr => drop(self.damage.get_or_insert(Damage::BareCr)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Position = Position::Within;
    const LAST: Position = Position::Last;

    /// What each chunk ended in, and the message.
    fn collect(limits: Limits, chunks: &[(&[u8], Position)]) -> (Vec<Option<Damage>>, Vec<u8>) {
        let mut collector = Collector::new(limits);
        let mut out = Vec::new();
        let ends = chunks.iter().map(|(bytes, position)| {
            collector.begin(Chunk { size: bytes.len() as u64, position: *position })?;
            let stream = [bytes, &b"QUIT\r\n"[..]].concat();
            match collector.feed(&stream, &mut out) {
                Progress::Complete(used) => assert_eq!(&stream[used..], b"QUIT\r\n"),
                Progress::Failed(used, damage) => {
                    assert_eq!(&stream[used..], b"QUIT\r\n");
                    return Err(damage);
                }
                Progress::More => panic!("the chunk has an end"),
            }
            Ok(())
        });
        (ends.map(Result::err).collect(), out)
    }

    #[test]
    fn chunks_are_counted_and_dots_mean_nothing() {
        let limits = Limits::of(100);
        let (ends, message) =
            collect(limits, &[(b"a\r\n.\r", WITHIN), (b"\nb\r\n", WITHIN), (b"", LAST)]);
        assert_eq!((ends, &message[..]), (vec![None; 3], &b"a\r\n.\r\nb\r\n"[..]));
        assert_eq!(collect(limits, &[(b"", LAST)]), (vec![None], Vec::new()));
        assert_eq!(collect(limits, &[(b"a", LAST)]).1, b"a\r\n", "a message ends in a line");
    }

    #[test]
    fn after_a_failure_the_rest_is_swallowed() {
        let limits = Limits::of(100);
        let lf = Some(Damage::BareLf);
        let (ends, message) = collect(limits, &[(b"a", WITHIN), (b"\n", WITHIN), (b"b\r\n", LAST)]);
        assert_eq!((ends, &message[..]), (vec![None, lf, lf], &b"a"[..]));
        assert_eq!(collect(limits, &[(b"a\r", LAST)]).0, [Some(Damage::BareCr)]);
        assert_eq!(
            collect(limits, &[(b"a\r", WITHIN), (b"b", LAST)]).0,
            [None, Some(Damage::BareCr)]
        );
        assert_eq!(collect(limits, &[(b"a\0", LAST)]).0, [Some(Damage::Nul)]);
    }

    #[test]
    fn sizes_are_bounded_before_anything_arrives() {
        let limits = Limits { message: 4, heard: 10 };
        assert_eq!(
            collect(limits, &[(b"ab", WITHIN), (b"c\r\n", LAST)]).0,
            [None, Some(Damage::TooLarge)]
        );
        let mut collector = Collector::new(limits);
        assert_eq!(collector.begin(Chunk { size: u64::MAX, position: LAST }), Err(Damage::Endless));
        let mut collector = Collector::refused(limits);
        assert_eq!(collector.begin(Chunk { size: 6, position: WITHIN }), Ok(()));
        let progress = collector.feed(b"abcdefQUIT", &mut Vec::new());
        assert_eq!(progress, Progress::Failed(6, Damage::OutOfOrder));
        assert_eq!(collector.begin(Chunk { size: 6, position: WITHIN }), Err(Damage::Endless));
    }

    #[test]
    fn a_million_chunks_of_one_byte_are_no_message() {
        let mut collector = Collector::new(Limits::of(1 << 30));
        let mut out = Vec::new();
        let mut begun = 0u32;
        while collector.begin(Chunk { size: 1, position: WITHIN }).is_ok() {
            assert_eq!(collector.feed(b"x", &mut out), Progress::Complete(1));
            begun += 1;
        }
        assert_eq!(begun, MAX_CHUNKS);
    }
}
