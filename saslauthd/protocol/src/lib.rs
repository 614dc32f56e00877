//! What travels on the public sockets, seen from both ends.
//!
//! Runs in the listener (decoding requests), in the tools and in the mta (asking), and lends its value
//! types to every other crate. It trusts nothing: each byte may come from an attacker. The codecs do no I/O
//! and never allocate from a length that a peer states.

pub mod address;
pub mod auth;
pub mod certificate;
pub mod client;
pub mod control;
pub mod lines;
pub mod mechanism;
pub mod mux;
pub mod names;
pub mod policy;
pub mod pwcheck;
pub mod queue;
pub mod quoted;
pub mod senders;
pub mod userdb;

pub use address::Address;
pub use names::{Name, Password, Rejected};
pub use quoted::Quoted;
pub use senders::Senders;

/// What a login ends in, everywhere from the file on disk to the reply of an SMTP server.
///
/// An outage must never look like a wrong password, so there are three and not two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The password was compared with the stored one, and they agree.
    Accept,
    /// The name or the password is wrong, or the account may not log in.
    Refuse,
    /// Nobody knows: a backend, or one of our processes, is away.
    Unavailable,
}
