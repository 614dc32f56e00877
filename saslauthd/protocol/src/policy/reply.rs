//! What a mail server is told to do: `action=…` and an empty line.
//!
//! Runs in the listener (writing) and in whatever asks (reading). The words are those of Postfix's access(5). Text
//! from a map goes through here, so that it stays on its line.

use std::fmt;

/// Longest text of a refusal, in bytes (RFC 5321 §4.5.3.1.5: a reply line has 512 with its code).
const MAX_TEXT: usize = 480;
/// Longest value that travels beside an action, in bytes.
pub const MAX_VALUE: usize = 2048;
/// Longest reply that is read, in bytes.
pub(super) const MAX_REPLY: usize = 4096;

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing is known against it and nothing for it: the mail server's next rule decides.
    Dunno,
    /// It is permitted, relaying too.
    Ok,
    /// Taken and thrown away.
    Discard,
    /// The SMTP reply, `4NN X.Y.Z text` or `5NN X.Y.Z text`.
    Reply(Reply),
    /// What else a policy server may say; ours never does.
    Other(String),
}

/// A refusal as the SMTP client reads it: permanent with 5, temporary with 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply(String);

impl Reply {
    /// A reply of these parts. A code that isn't 4NN or 5NN becomes 451, since anything else could mean yes.
    pub fn new(code: u16, enhanced: &str, text: &str) -> Self {
        let code = if (400..600).contains(&code) { code } else { 451 };
        let mut line = format!("{code} {enhanced} {text}").replace(|c: char| c.is_control(), " ");
        while line.len() > MAX_TEXT {
            line.pop();
        }
        Self(line.trim_end().to_owned())
    }

    /// Whether the client shall try again.
    pub fn is_temporary(&self) -> bool {
        self.0.starts_with('4')
    }

    /// The line, without its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dunno => f.write_str("DUNNO"),
            Self::Ok => f.write_str("OK"),
            Self::Discard => f.write_str("DISCARD"),
            Self::Reply(Reply(text)) | Self::Other(text) => f.write_str(text),
        }
    }
}

impl Action {
    /// The reply on the wire.
    pub fn encode(&self) -> Vec<u8> {
        format!("action={self}\n\n").into_bytes()
    }

    fn parse(text: &str) -> Self {
        let is_reply = |code: &str| {
            code.len() == 3
                && code.starts_with(['4', '5'])
                && code.bytes().all(|byte| byte.is_ascii_digit())
        };
        let (word, _) = text.split_once(' ').unwrap_or((text, ""));
        match word.to_ascii_uppercase().as_str() {
            "DUNNO" => Self::Dunno,
            "OK" => Self::Ok,
            "DISCARD" => Self::Discard,
            code if is_reply(code) => Self::Reply(Reply(text.to_owned())),
            _ => Self::Other(text.to_owned()),
        }
    }
}

/// An action, and what was asked for besides: a line `value=…` of ours, which Postfix leaves alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// What to do.
    pub action: Action,
    /// Features or options, where the question was about them; empty when there are none.
    pub value: Option<String>,
}

impl From<Action> for Response {
    fn from(action: Action) -> Self {
        Self { action, value: None }
    }
}

impl Response {
    /// The reply on the wire. A value that can't travel makes it a temporary failure: half of it would mean something
    /// else.
    pub fn encode(&self) -> Vec<u8> {
        match &self.value {
            None => self.action.encode(),
            Some(value) if value.len() > MAX_VALUE || value.contains(char::is_control) => {
                Action::Reply(Reply::new(451, "4.3.0", "The answer is too long")).encode()
            }
            Some(value) => format!("action={}\nvalue={value}\n\n", self.action).into_bytes(),
        }
    }

    /// Reads the reply that these bytes begin with, and says how many it has; `None` while some is missing.
    ///
    /// # Errors
    /// As of [`decode_reply`]; also for a value that is there twice, or longer than [`MAX_VALUE`].
    pub fn decode(received: &[u8]) -> Result<Option<(Self, usize)>, NoAction> {
        let Some(end) = received.windows(2).position(|two| two == b"\n\n") else {
            return if received.len() < MAX_REPLY { Ok(None) } else { Err(NoAction) };
        };
        let text = String::from_utf8_lossy(received.get(..end).unwrap_or_default());
        let action = text.lines().find_map(|line| line.strip_prefix("action=")).ok_or(NoAction)?;
        let mut values = text.lines().filter_map(|line| line.strip_prefix("value="));
        let value = values.next().map(str::to_owned);
        if values.next().is_some() || value.as_ref().is_some_and(|value| value.len() > MAX_VALUE) {
            return Err(NoAction);
        }
        Ok(Some((Self { action: Action::parse(action.trim()), value }, end + 2)))
    }
}

/// Reads a reply; `None` while some is missing. Attributes other than `action` are ignored, as Postfix does.
///
/// # Errors
/// The reply is over 4096 bytes or names no action.
pub fn decode_reply(received: &[u8]) -> Result<Option<Action>, NoAction> {
    Response::decode(received).map(|read| read.map(|(response, _)| response.action))
}

/// What came is no reply to a policy request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAction;

impl fmt::Display for NoAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the policy server's answer names no action")
    }
}

impl std::error::Error for NoAction {}
