//! Reads the replies of a server that may be hostile.
//!
//! Runs in the sender of the mta. Nothing is trusted: the size is bounded, what is kept is printable, and what can't be
//! a reply ends the connection rather than the process (CVE-2020-8794). What came after a reply stays visible: bytes
//! behind the 220 of STARTTLS were put there by somebody else.

use std::fmt;

use super::{Class, Code, LINE, LINES, Status};
use crate::line::{Scan, scan};

/// A reply as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its code.
    pub code: Code,
    /// Its enhanced status, when the first line has one of the code's class.
    pub status: Option<Status>,
    /// Its text without codes and statuses: 1 to [`LINES`] lines of printable ASCII, each at most [`LINE`] bytes.
    pub lines: Vec<Box<str>>,
}

impl Received {
    /// What it amounts to.
    pub fn class(&self) -> Class {
        self.code.class()
    }
}

/// In one line, for a log or a bounce.
impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(Status { subject, detail }) = self.status {
            write!(f, " {}.{subject}.{detail}", self.code.number() / 100)?;
        }
        self.lines.iter().try_for_each(|line| write!(f, " {line}"))
    }
}

/// Why bytes are no reply. The dialogue is out of step then, so that the connection ends and the message waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// A line over [`LINE`].
    LineTooLong,
    /// More than [`LINES`] lines.
    TooManyLines,
    /// A line doesn't begin with a code from 200 to 599 and a blank, a hyphen or nothing.
    NoCode,
    /// Two codes in one reply.
    CodeChanged,
    /// A CR without its LF.
    BareCr,
    /// An LF without its CR.
    BareLf,
    /// A NUL.
    Nul,
    /// The connection ended within a reply.
    Cut,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LineTooLong => "a line of the reply is longer than 512 bytes",
            Self::TooManyLines => "the reply has more than 100 lines",
            Self::NoCode => "the reply has no code",
            Self::CodeChanged => "the code changes within the reply",
            Self::BareCr => "the reply has a CR without its LF",
            Self::BareLf => "the reply has an LF without its CR",
            Self::Nul => "the reply has a NUL",
            Self::Cut => "the connection ended within a reply",
        })
    }
}

impl std::error::Error for Broken {}

/// Puts replies together from what arrives. It holds one read, one line and one reply.
#[derive(Default)]
pub struct Reader {
    buffer: Vec<u8>,
    taken: usize,
    begun: Option<Received>,
    broken: Option<Broken>,
}

impl Reader {
    /// Adds what was read. Read again only when [`Self::next`] has no reply left.
    pub fn push(&mut self, bytes: &[u8]) {
        let taken = std::mem::take(&mut self.taken).min(self.buffer.len());
        self.buffer.drain(..taken);
        self.buffer.extend_from_slice(bytes);
    }

    /// The next reply, or `None` until more was pushed.
    ///
    /// # Errors
    /// [`Broken`], for ever.
    #[expect(clippy::should_implement_trait, reason = "more may come after there was nothing")]
    pub fn next(&mut self) -> Result<Option<Received>, Broken> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        self.advance().inspect_err(|broken| self.broken = Some(*broken))
    }

    /// What arrived after the last reply that was handed out, a begun one included.
    ///
    /// Not empty after the 220 of STARTTLS: the connection ends (NO STARTTLS, response injection).
    pub fn has_more(&self) -> bool {
        self.begun.is_some() || self.taken < self.buffer.len()
    }

    /// What the end of the connection means.
    ///
    /// # Errors
    /// [`Broken::Cut`] within a reply.
    pub fn finish(&self) -> Result<(), Broken> {
        if self.has_more() { Err(Broken::Cut) } else { Ok(()) }
    }

    fn advance(&mut self) -> Result<Option<Received>, Broken> {
        loop {
            let rest = self.buffer.get(self.taken..).unwrap_or_default();
            let length = match scan(rest) {
                Scan::Line(length) if length + 2 > LINE => return Err(Broken::LineTooLong),
                Scan::Line(length) => length,
                Scan::Incomplete if rest.len() >= LINE => return Err(Broken::LineTooLong),
                Scan::Incomplete => return Ok(None),
                Scan::BareCr => return Err(Broken::BareCr),
                Scan::BareLf => return Err(Broken::BareLf),
            };
            let line = Line::parse(rest.get(..length).unwrap_or_default())?;
            let complete = add(&mut self.begun, line)?;
            self.taken += length + 2;
            if complete {
                return Ok(self.begun.take());
            }
        }
    }
}

/// One line of a reply.
struct Line<'a> {
    code: Code,
    position: Position,
    text: &'a [u8],
}

/// Whether more lines follow.
#[derive(PartialEq)]
enum Position {
    Within,
    Last,
}

impl<'a> Line<'a> {
    fn parse(line: &'a [u8]) -> Result<Self, Broken> {
        if line.contains(&0) {
            return Err(Broken::Nul);
        }
        let (digits, rest) = line.split_at_checked(3).ok_or(Broken::NoCode)?;
        let number = digits.iter().try_fold(0, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u16::from(digit - b'0'))
        });
        let code = number.and_then(Code::new).ok_or(Broken::NoCode)?;
        let (position, text) = match rest {
            [b'-', text @ ..] => (Position::Within, text),
            [b' ', text @ ..] => (Position::Last, text),
            // RFC 5321 section 4.2.1: a client should take a code alone.
            [] => (Position::Last, rest),
            _ => return Err(Broken::NoCode),
        };
        Ok(Self { code, position, text })
    }
}

/// Takes a line into the reply; true when that was its last.
fn add(begun: &mut Option<Received>, line: Line<'_>) -> Result<bool, Broken> {
    let (status, text) = match enhanced(line.text, line.code) {
        Some((status, text)) => (Some(status), text),
        None => (None, line.text),
    };
    let reply = begun.get_or_insert(Received { code: line.code, status, lines: Vec::new() });
    if reply.code != line.code {
        return Err(Broken::CodeChanged);
    }
    if reply.lines.len() == LINES {
        return Err(Broken::TooManyLines);
    }
    // A status that belongs to this line alone is part of its text.
    let text = if status == reply.status { text } else { line.text };
    reply.lines.push(text.iter().map(|byte| sanitised(*byte)).collect::<String>().into());
    Ok(line.position == Position::Last)
}

fn sanitised(byte: u8) -> char {
    if (b' '..=b'~').contains(&byte) { char::from(byte) } else { '?' }
}

/// The enhanced status at the beginning of a text, when its class is the code's.
fn enhanced(text: &[u8], code: Code) -> Option<(Status, &[u8])> {
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end)?;
    let word = str::from_utf8(word).ok()?;
    let mut numbers = word.split('.').map(|number| {
        let digits = (1..=3).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| number.parse::<u16>().ok()).flatten()
    });
    let (class, subject, detail) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let fits = class == code.number() / 100 && class != 3 && numbers.next().is_none();
    fits.then(|| (Status { subject, detail }, rest.strip_prefix(b" ").unwrap_or(rest)))
}
