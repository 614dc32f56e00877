//! Postfix policy delegation: what a mail server tells of a session, and what it is told to do.
//!
//! Request: lines `name=value` and an empty one; reply: `action=…` and an empty line; any number of them on one
//! connection, each answered in turn (SMTPD_POLICY_README of Postfix 3.7). Runs in the listener (answering) and in
//! whatever asks. Nothing is trusted: values are what strangers said to the mail server, quoted by it or not.
//!
//! Postfix sends every attribute that its version knows, empty when there is nothing to say, so that an empty value and
//! none are the same here. Names that aren't known are ignored: each Postfix adds some. An attribute that comes twice
//! spoils the request: Postfix never does that, and a mail server that builds requests from templates does it when a
//! stranger got a line break into a value.

mod attribute;
pub mod client;
mod reply;

pub use attribute::Attribute;
pub use reply::{Action, MAX_VALUE, NoAction, Reply, Response, decode_reply};

/// Longest request, in bytes with the empty line; one of Postfix's has about a thousand.
pub const MAX_REQUEST: usize = 64 * 1024;
/// Most lines of a request, known or not.
pub const MAX_ATTRIBUTES: usize = 256;

/// One question about a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// In the order in which they came; never empty, each once.
    values: Vec<(Attribute, String)>,
}

impl Request {
    /// What was said; empty when nothing was.
    pub fn value(&self, attribute: Attribute) -> &str {
        let found = self.values.iter().find(|(name, _)| *name == attribute);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// Those of a value that lists several, separated by blanks.
    pub fn values(&self, attribute: Attribute) -> impl Iterator<Item = &str> {
        self.value(attribute).split_ascii_whitespace()
    }

    /// The same with one more; an empty value says nothing.
    ///
    /// # Errors
    /// [`Malformed`] when the value can't travel, or the attribute is there already.
    pub fn with(mut self, attribute: Attribute, value: &str) -> Result<Self, Malformed> {
        self.add(attribute, value.as_bytes())?;
        Ok(self)
    }

    fn add(&mut self, attribute: Attribute, value: &[u8]) -> Result<(), Malformed> {
        if value.iter().any(|byte| matches!(byte, b'\0' | b'\r' | b'\n')) {
            return Err(Malformed::Byte);
        }
        if value.is_empty() {
            return Ok(());
        }
        if self.values.iter().any(|(name, _)| *name == attribute) {
            return Err(Malformed::Twice(attribute));
        }
        // No key of a map has the replacement character, so that bytes which aren't UTF-8 match none.
        self.values.push((attribute, String::from_utf8_lossy(value).into_owned()));
        Ok(())
    }

    /// Writes it as a mail server does, with the line that says what is asked.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("{REQUEST}={SMTPD_ACCESS_POLICY}\n");
        for (attribute, value) in &self.values {
            text.push_str(&format!("{attribute}={value}\n"));
        }
        text.push('\n');
        text.into_bytes()
    }
}

const REQUEST: &str = "request";
const SMTPD_ACCESS_POLICY: &str = "smtpd_access_policy";

/// Why bytes are no request. What follows them can't be told from them, so that the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// Over [`MAX_REQUEST`].
    TooLong,
    /// Over [`MAX_ATTRIBUTES`].
    TooMany,
    /// A line without `=`.
    Line,
    /// A NUL or a line break in a value.
    Byte,
    /// An attribute is there twice, with one value or two.
    Twice(Attribute),
    /// It doesn't say `request=smtpd_access_policy`.
    NoPolicyRequest,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong => f.write_str("it is longer than 64 KiB"),
            Self::TooMany => f.write_str("it has more than 256 attributes"),
            Self::Line => f.write_str("a line has no ="),
            Self::Byte => f.write_str("a value has a NUL or a carriage return"),
            Self::Twice(attribute) => write!(f, "{attribute} is there twice"),
            Self::NoPolicyRequest => f.write_str("it lacks request=smtpd_access_policy"),
        }
    }
}

impl std::error::Error for Malformed {}

/// Reads the request that these bytes begin with, and says how many it has; `None` while some are missing.
///
/// The first `searched` bytes are known to hold no empty line: those that an earlier call was given, which keeps a peer
/// that sends byte by byte from having all of them read each time.
///
/// # Errors
/// [`Malformed`]; at once for a request that is too long, without waiting for its end.
pub fn decode(received: &[u8], searched: usize) -> Result<Option<(Request, usize)>, Malformed> {
    let Some(lines) = lines(received, searched) else {
        return if received.len() < MAX_REQUEST { Ok(None) } else { Err(Malformed::TooLong) };
    };
    // The line break of the last line, and the empty line.
    let used = lines.len() + if lines.is_empty() { 1 } else { 2 };
    if used > MAX_REQUEST {
        return Err(Malformed::TooLong);
    }
    let mut request = Request::default();
    let mut asked = None;
    for (count, line) in lines.split(|byte| *byte == b'\n').enumerate() {
        if count >= MAX_ATTRIBUTES {
            return Err(Malformed::TooMany);
        }
        let equals = line.iter().position(|byte| *byte == b'=').ok_or(Malformed::Line)?;
        let (name, value) = (line.get(..equals), line.get(equals + 1..));
        let (name, value) = name.zip(value).ok_or(Malformed::Line)?;
        if name == REQUEST.as_bytes() && asked.replace(value).is_some() {
            return Err(Malformed::NoPolicyRequest);
        } else if let Some(attribute) = Attribute::from_name(name) {
            request.add(attribute, value)?;
        }
    }
    match asked {
        Some(asked) if asked == SMTPD_ACCESS_POLICY.as_bytes() => Ok(Some((request, used))),
        _ => Err(Malformed::NoPolicyRequest),
    }
}

/// What stands before the first empty line.
fn lines(received: &[u8], searched: usize) -> Option<&[u8]> {
    if received.first() == Some(&b'\n') {
        return Some(&[]);
    }
    let from = searched.saturating_sub(1).min(received.len());
    let rest = received.get(from..)?;
    let end = from + rest.windows(2).position(|two| two == b"\n\n")?;
    received.get(..end)
}

#[cfg(test)]
mod tests;
