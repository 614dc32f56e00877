//! What an auth server says first: its version at once, then its mechanisms, and who it is.
//!
//! Every MECH stands before SPID: Postfix and Exim take the reverse for a master socket. Nothing here is secret but the
//! cookie, which a master connection would quote; we have none, and Dovecot's clients insist on it.

use ipc::exchange::Message;
use protocol::auth::{MAJOR, MINOR, MINOR_WITH_BINDING, ServerLine, Version};
use protocol::mechanism::MechanismSet;

/// Who we are to one connection.
pub(crate) struct Introduction {
    /// Our process.
    pub(crate) pid: u32,
    /// The connection's number.
    pub(crate) connection: u32,
    /// 128 bits that nobody guesses.
    pub(crate) cookie: [u8; 16],
}

/// The line that goes out at once, whoever the client is.
pub(crate) fn version(out: &mut Message) {
    let _ = ServerLine::Version(Version { major: MAJOR, minor: MINOR }).encode(out);
}

/// All the rest. A client that did not say its minor yet is an old one.
pub(crate) fn write(
    offered: MechanismSet,
    minor: Option<u32>,
    introduction: &Introduction,
    out: &mut Message,
) {
    let binds = minor >= Some(MINOR_WITH_BINDING);
    let mechanisms = offered.iter().filter(|mechanism| binds || !mechanism.binds_channel());
    for mechanism in mechanisms {
        let _ = ServerLine::Mechanism(mechanism).encode(out);
    }
    for line in [
        ServerLine::Spid(introduction.pid),
        ServerLine::Cuid(introduction.connection),
        ServerLine::Cookie(introduction.cookie),
        ServerLine::Done,
    ] {
        let _ = line.encode(out);
    }
}
