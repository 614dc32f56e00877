//! The message itself, both ways: DATA with its dots ([`Decoder`]), chunks of BDAT ([`crate::bdat`]), and what is sent on
//! ([`Encoder`]).
//!
//! Runs on both sides. Nothing is trusted. DATA ends at CR LF `.` CR LF and nowhere else, and a CR or LF alone spoils the
//! message: whatever a peer sends is one message or none, never two (SMTP smuggling, CVE-2023-51764, -51765, -51766).
//! What a spoiled message still sends is swallowed to its end, so that none of it is taken for commands.

mod encode;

pub use encode::{Breaks, Encoder, Framing, Unsendable};

/// How much a message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message in bytes, without what DATA adds.
    pub message: u64,
    /// Most bytes that are heard of one message, swallowed ones included, before the connection ends.
    pub heard: u64,
}

impl Limits {
    /// So large a message, and as much again while one that failed is swallowed.
    pub fn of(message: u64) -> Self {
        Self { message, heard: message.saturating_mul(2).saturating_add(1 << 20) }
    }
}

/// Why there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// A CR without its LF (550 5.5.2, and the connection ends).
    BareCr,
    /// An LF without its CR (550 5.5.2, and the connection ends).
    BareLf,
    /// A NUL: a next hop that drops it may see the end of data where there was none (550 5.6.0).
    Nul,
    /// Over [`Limits::message`] (552 5.3.4).
    TooLarge,
    /// A chunk that the session refused; it is only swallowed (503 5.5.1).
    OutOfOrder,
    /// Over [`Limits::heard`]: the end isn't waited for, and the connection ends.
    Endless,
}

impl Damage {
    /// What the client is told.
    pub fn reply(self) -> crate::reply::Reply {
        use crate::reply::{Code, Reply};
        match self {
            Self::BareCr => Reply::new(Code::REFUSED, 5, 2, "a CR stands without its LF"),
            Self::BareLf => Reply::new(Code::REFUSED, 5, 2, "an LF stands without its CR"),
            Self::Nul => Reply::new(Code::REFUSED, 6, 0, "the message holds a NUL"),
            Self::TooLarge => Reply::new(Code::TOO_LARGE, 3, 4, "the message is too large"),
            Self::OutOfOrder => Reply::new(Code::BAD_SEQUENCE, 5, 1, "Bad sequence of commands"),
            Self::Endless => Reply::new(Code::UNAVAILABLE, 3, 4, "the message is far too large"),
        }
    }

    /// Whether the connection ends once it was told: the peer and we may not agree on where lines end.
    pub fn ends_connection(self) -> bool {
        !matches!(self, Self::TooLarge | Self::Nul | Self::OutOfOrder)
    }
}

/// What became of a piece of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All of it belonged to the message, which goes on.
    More,
    /// The message ended after so many bytes of this piece; the rest is commands.
    Complete(usize),
    /// The end came after so many bytes of this piece, and there is no message. What was decoded is thrown away.
    Failed(usize, Damage),
}

/// Where in a line the decoder is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Text,
    Cr,
    Dot,
    DotCr,
}

/// Takes the dots out of DATA and finds its end.
pub struct Decoder {
    limits: Limits,
    at: At,
    size: u64,
    heard: u64,
    damage: Option<Damage>,
}

impl Decoder {
    /// Before the first byte after the 354.
    pub fn new(limits: Limits) -> Self {
        Self { limits, at: At::Start, size: 0, heard: 0, damage: None }
    }

    /// Decodes a piece, in pieces of any size, and appends the message to `out`: lines ended by CR LF.
    ///
    /// Nothing is appended once the message is spoiled. After its end, and after [`Damage::Endless`], the decoder is of
    /// no more use.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Progress {
        let mut rest = input;
        while let Some((first, tail)) = rest.split_first() {
            let run = if self.at == At::Text { plain(rest) } else { 0 };
            if let Some((text, after)) = rest.split_at_checked(run).filter(|_| run > 0) {
                self.emit(text, out);
                rest = after;
                continue;
            }
            rest = tail;
            if self.step(*first, out) {
                let consumed = input.len() - rest.len();
                return self.damage.map_or(Progress::Complete(consumed), |damage| {
                    Progress::Failed(consumed, damage)
                });
            }
        }
        self.heard = self.heard.saturating_add(input.len() as u64);
        if self.heard > self.limits.heard {
            return Progress::Failed(input.len(), Damage::Endless);
        }
        Progress::More
    }

    /// One byte; true when it was the last.
    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        self.at = match (self.at, byte) {
            (At::DotCr, b'\n') => return true,
            (At::Cr, b'\n') => {
                self.emit(b"\r\n", out);
                At::Start
            }
            (At::Cr | At::DotCr, b'\r') => self.spoil(Damage::BareCr, At::Cr),
            (At::Cr | At::DotCr, _) => self.spoil(Damage::BareCr, At::Text),
            (_, b'\n') => self.spoil(Damage::BareLf, At::Text),
            (_, 0) => self.spoil(Damage::Nul, At::Text),
            (At::Start, b'.') => At::Dot,
            (At::Dot, b'\r') => At::DotCr,
            (_, b'\r') => At::Cr,
            (_, other) => {
                self.emit(&[other], out);
                At::Text
            }
        };
        false
    }

    /// The first damage is the one that is told.
    fn spoil(&mut self, damage: Damage, next: At) -> At {
        self.damage.get_or_insert(damage);
        next
    }

    fn emit(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let room = self.limits.message.saturating_sub(self.size);
        self.size = self.size.saturating_add(bytes.len() as u64);
        if self.damage.is_none() {
            let fits = usize::try_from(room).unwrap_or(usize::MAX);
            out.extend_from_slice(bytes.get(..fits).unwrap_or(bytes));
        }
        if bytes.len() as u64 > room {
            self.damage.get_or_insert(Damage::TooLarge);
        }
    }
}

/// How many bytes at the beginning are neither CR, LF nor NUL.
pub(crate) fn plain(bytes: &[u8]) -> usize {
    let special = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
    // Blocks without an early exit are compared with vector instructions.
    let (blocks, _) = bytes.as_chunks::<32>();
    let clear = blocks
        .iter()
        .take_while(|block| !block.iter().fold(false, |any, byte| any | special(byte)));
    let start = clear.count() * 32;
    let rest = bytes.get(start..).unwrap_or_default();
    start + rest.iter().position(special).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests;
