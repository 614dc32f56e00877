//! What travels between our own processes: one enum per direction, and a table of what each may say.
//!
//! Used by the parent, the listener and the checker. Each end treats the other as possibly taken over: every
//! length is bounded, every message is checked against its [`allow`] table, and what does not fit is
//! [`Malformed`], which ends the process that sent it and no other.
//!
//! Two kinds of channel. [`requests`] is the hot path between listener and checker: a stream of small frames,
//! many to a write. [`control`] is between the parent and a child: one message per packet, with descriptors.

pub mod allow;
pub mod config;
pub mod control;
pub mod decided;
pub mod exchange;
mod frame;
pub mod requests;
pub mod status;

/// A message that its sender was not allowed to send, or that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// No message of this direction has the tag.
    UnknownTag(u8),
    /// Longer than the table allows.
    TooLong(u8),
    /// Sent again, although it may come once.
    Repeated(u8),
    /// The bytes are no message of their tag.
    Body(u8),
    /// The descriptors that came along are not the ones that the message needs.
    Descriptors,
    /// An empty packet.
    Empty,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownTag(tag) => write!(f, "unknown message {tag}"),
            Self::TooLong(tag) => write!(f, "message {tag} is too long"),
            Self::Repeated(tag) => write!(f, "message {tag} may come once and came again"),
            Self::Body(tag) => write!(f, "message {tag} is malformed"),
            Self::Descriptors => f.write_str("message with the wrong descriptors"),
            Self::Empty => f.write_str("empty message"),
        }
    }
}

impl std::error::Error for Malformed {}
