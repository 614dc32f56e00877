//! Replies: what a server says (written here) and what a server said (read by [`Reader`]).
//!
//! Runs on both sides. A reply that is written never holds a line break of somebody's making; one that was read is
//! bounded, and holds printable text only. The class of an enhanced status is that of the code, so that the two can't
//! contradict each other.

mod read;

use std::borrow::Cow;
use std::fmt;

pub use read::{Broken, Reader, Received};

/// Longest line of a reply with its CR LF (RFC 5321 section 4.5.3.1.5).
pub const LINE: usize = 512;
/// Most lines of a reply.
pub const LINES: usize = 100;

/// A reply code, 200 to 599.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(u16);

impl Code {
    /// Help for whoever reads it.
    pub const HELP: Self = Self(214);
    /// The service is ready; STARTTLS may go on.
    pub const READY: Self = Self(220);
    /// Closing, as asked.
    pub const CLOSING: Self = Self(221);
    /// Logged in.
    pub const AUTHENTICATED: Self = Self(235);
    /// Done.
    pub const DONE: Self = Self(250);
    /// Can't verify the user, but will try.
    pub const UNVERIFIED: Self = Self(252);
    /// A challenge of AUTH.
    pub const CHALLENGE: Self = Self(334);
    /// Send the message.
    pub const SEND: Self = Self(354);
    /// Closing, not as asked.
    pub const UNAVAILABLE: Self = Self(421);
    /// A mailbox is busy, or policy says not now.
    pub const MAILBOX_BUSY: Self = Self(450);
    /// Failed here, for now.
    pub const LOCAL_ERROR: Self = Self(451);
    /// No room for more.
    pub const NO_ROOM: Self = Self(452);
    /// Security is out of order, for now.
    pub const TEMPORARY_AUTH: Self = Self(454);
    /// No such command.
    pub const UNRECOGNIZED: Self = Self(500);
    /// Bad arguments.
    pub const SYNTAX: Self = Self(501);
    /// A command that isn't implemented.
    pub const NOT_IMPLEMENTED: Self = Self(502);
    /// Not now: wrong order.
    pub const BAD_SEQUENCE: Self = Self(503);
    /// A parameter value that isn't implemented.
    pub const NO_SUCH_PARAMETER: Self = Self(504);
    /// Log in, or begin TLS, first.
    pub const LOGIN_NEEDED: Self = Self(530);
    /// The mechanism is too weak.
    pub const TOO_WEAK: Self = Self(534);
    /// Wrong name or password.
    pub const WRONG: Self = Self(535);
    /// This mechanism needs TLS.
    pub const TLS_NEEDED: Self = Self(538);
    /// No such mailbox, or policy says no.
    pub const REFUSED: Self = Self(550);
    /// The message is too large.
    pub const TOO_LARGE: Self = Self(552);
    /// A mailbox name that isn't allowed.
    pub const BAD_MAILBOX: Self = Self(553);
    /// Failed for good.
    pub const FAILED: Self = Self(554);
    /// A parameter of MAIL or RCPT that isn't known.
    pub const PARAMETER: Self = Self(555);

    /// A code by its number.
    pub fn new(number: u16) -> Option<Self> {
        (200..=599).contains(&number).then_some(Self(number))
    }

    /// Its number.
    pub fn number(self) -> u16 {
        self.0
    }

    /// What it amounts to.
    pub fn class(self) -> Class {
        match self.0 / 100 {
            2 => Class::Success,
            3 => Class::More,
            4 => Class::Temporary,
            _ => Class::Permanent,
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The first digit of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 2xx
    Success,
    /// 3xx: go on.
    More,
    /// 4xx: later.
    Temporary,
    /// 5xx: never.
    Permanent,
}

/// The second and third number of an enhanced status (RFC 3463); the first is the code's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status {
    /// The subject, at most 999.
    pub subject: u16,
    /// The detail, at most 999.
    pub detail: u16,
}

/// What a server says, before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: Code,
    status: Option<Status>,
    lines: Vec<Cow<'static, str>>,
}

impl Reply {
    /// A reply with an enhanced status: `new(Code::DONE, 1, 0, "Sender ok")` is `250 2.1.0 Sender ok`.
    pub fn new(code: Code, subject: u16, detail: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, status: Some(Status { subject, detail }), lines: vec![text.into()] }
    }

    /// A reply that has none: greetings, EHLO, 334 and 354.
    pub fn plain(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, status: None, lines: vec![text.into()] }
    }

    /// The same with one more line; beyond [`LINES`] it is left out.
    pub fn and(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        if self.lines.len() < LINES {
            self.lines.push(text.into());
        }
        self
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Its enhanced status.
    pub fn status(&self) -> Option<Status> {
        self.status
    }

    /// Its text, line by line, as it was given.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(AsRef::as_ref)
    }

    /// Appends it as it travels. What isn't printable ASCII becomes `?`, and a line is cut at [`LINE`].
    ///
    /// A 334 is never cut: its text is base64, which a client couldn't read then, and RFC 4954 allows it
    /// [`crate::line::AUTH`] bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let most = if self.code == Code::CHALLENGE { crate::line::AUTH } else { LINE } - 2;
        for (index, text) in self.lines.iter().enumerate() {
            let start = out.len();
            let last = index + 1 == self.lines.len();
            out.extend_from_slice(self.code.to_string().as_bytes());
            out.push(if last { b' ' } else { b'-' });
            if let Some(Status { subject, detail }) = self.status {
                out.extend_from_slice(
                    format!("{}.{subject}.{detail} ", self.code.0 / 100).as_bytes(),
                );
            }
            out.extend(text.chars().map(printable));
            out.truncate(start + most);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        self.write(&mut out);
        out
    }
}

fn printable(letter: char) -> u8 {
    u8::try_from(letter).ok().filter(|byte| (b' '..=b'~').contains(byte)).unwrap_or(b'?')
}

#[cfg(test)]
mod tests;
