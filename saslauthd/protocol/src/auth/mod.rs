//! The Dovecot auth client protocol, major 1, from both ends: what mail servers ask and what they are told.
//!
//! The listener decodes [`Command`]s and writes [`ServerLine`]s; the mta and the bridges do the reverse, also against a
//! real Dovecot. No I/O here except in [`client`]. Nothing is trusted: each line is bounded, and what is wrong with one
//! request is told apart from what is wrong with the connection, since many logins may share one.
//!
//! Sources: Dovecot's auth_protocol.md, `auth-client-interface.h`, `auth-request-handler.c`; what Postfix
//! (`xsasl_dovecot_server.c`), Exim (`auths/dovecot.c`), chasquid and maddy really send and read.

mod base64;
pub mod client;
mod command;
mod parameters;
mod reply;

use std::num::NonZeroU32;

use zeroize::Zeroizing;

pub use crate::mechanism::LastWords;
pub use client::{Client, Outcome};
pub use command::{Auth, Command, Continue, Flaw, Initial, Mistake};
pub use parameters::{Certificate, Order, Parameters, Security};
pub use reply::{Code, NEUTRAL, Refusal, ServerLine, Unspeakable, is_speakable};

/// The version that both ends must have.
pub const MAJOR: u32 = 1;
/// What our server states. Its peer's own decides what it hears.
pub const MINOR: u32 = 4;
/// What our client states: it understands `code=`, and binds no channel by itself.
pub const CLIENT_MINOR: u32 = 2;
/// The first minor whose client takes an empty `resp=` for an empty initial response, and reads `code=`.
pub const MINOR_WITH_CODES: u32 = 2;
/// The first minor whose client knows channel binding.
pub const MINOR_WITH_BINDING: u32 = 3;
/// The first minor whose client expects CANCELLED.
pub const MINOR_WITH_CANCELLED: u32 = 4;
/// Longest line of a client, in bytes without its line feed (`AUTH_CLIENT_MAX_LINE_LENGTH`).
pub const MAX_LINE: usize = 16_384;
/// Longest line that our server writes: half of Exim's buffer.
pub const MAX_REPLY: usize = 4096;
/// Longest channel binding data, in bytes.
pub const MAX_BINDING: usize = 128;

/// A request's number: the client chooses it, and no two live requests of a connection share one.
pub type Id = NonZeroU32;

/// A SASL message: a password may be in it.
pub type Message = Zeroizing<Vec<u8>>;

/// A stated version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Must be [`MAJOR`].
    pub major: u32,
    /// Tells generations apart.
    pub minor: u32,
}

impl Version {
    /// Reads what follows the verb. Further fields are ignored.
    fn decode<'a>(mut fields: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let major = crate::lines::number(fields.next()?)?;
        Some(Self { major, minor: crate::lines::number(fields.next()?)? })
    }

    fn encode(self, line: &mut Vec<u8>) {
        line.extend_from_slice(format!("VERSION\t{}\t{}", self.major, self.minor).as_bytes());
    }
}
