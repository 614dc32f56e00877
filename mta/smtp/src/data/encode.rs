//! A message on its way to the next hop: dots doubled, line breaks whole, and nothing that could be taken for its end.
//!
//! Runs in the sender of the mta. The message is not trusted either: it may come out of a queue that older or other
//! software wrote (H2: exchange and GMX sent on what they were sent).

use std::fmt;

/// What to do with a CR or LF that stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaks {
    /// It can't be sent.
    Refuse,
    /// It becomes CR LF, which breaks signatures but delivers.
    Normalise,
}

/// How the message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By DATA: dots doubled, and the end marked.
    Data,
    /// By BDAT: bytes as they are, counted by the caller from what was written.
    Chunks,
}

/// Why a message can't be sent. It isn't the next hop's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsendable {
    /// A CR without its LF.
    BareCr,
    /// An LF without its CR.
    BareLf,
    /// A NUL.
    Nul,
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BareCr => "the message has a CR without its LF",
            Self::BareLf => "the message has an LF without its CR",
            Self::Nul => "the message has a NUL",
        })
    }
}

impl std::error::Error for Unsendable {}

/// Where in a line the encoder is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Text,
    Cr,
}

/// Writes a message, piece by piece. It never writes a CR without an LF, nor an LF without a CR.
pub struct Encoder {
    framing: Framing,
    breaks: Breaks,
    at: At,
}

impl Encoder {
    /// Before the first byte.
    pub fn new(framing: Framing, breaks: Breaks) -> Self {
        Self { framing, breaks, at: At::Start }
    }

    /// Appends a piece to what is sent.
    ///
    /// # Errors
    /// [`Unsendable`]: what was written before is no whole message; the connection is dropped, never finished.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Unsendable> {
        let mut rest = input;
        while let Some((first, tail)) = rest.split_first() {
            let run = if self.at == At::Text { super::plain(rest) } else { 0 };
            if let Some((text, after)) = rest.split_at_checked(run).filter(|_| run > 0) {
                out.extend_from_slice(text);
                rest = after;
                continue;
            }
            rest = tail;
            self.step(*first, out)?;
        }
        Ok(())
    }

    /// Ends the message: its last line, and with DATA the dot.
    ///
    /// # Errors
    /// [`Unsendable::BareCr`] when it ends in one.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Unsendable> {
        if self.at == At::Cr {
            self.alone(Unsendable::BareCr, out)?;
        }
        if self.at == At::Text {
            out.extend_from_slice(b"\r\n");
        }
        if self.framing == Framing::Data {
            out.extend_from_slice(b".\r\n");
        }
        Ok(())
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> Result<(), Unsendable> {
        if self.at == At::Cr {
            if byte == b'\n' {
                return self.end_line(out);
            }
            self.alone(Unsendable::BareCr, out)?;
        }
        match byte {
            0 => return Err(Unsendable::Nul),
            b'\r' => {
                self.at = At::Cr;
                return Ok(());
            }
            b'\n' => return self.alone(Unsendable::BareLf, out),
            b'.' if self.at == At::Start && self.framing == Framing::Data => out.push(b'.'),
            _ => {}
        }
        out.push(byte);
        self.at = At::Text;
        Ok(())
    }

    fn alone(&mut self, why: Unsendable, out: &mut Vec<u8>) -> Result<(), Unsendable> {
        match self.breaks {
            Breaks::Refuse => Err(why),
            Breaks::Normalise => self.end_line(out),
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) -> Result<(), Unsendable> {
        out.extend_from_slice(b"\r\n");
        self.at = At::Start;
        Ok(())
    }
}
