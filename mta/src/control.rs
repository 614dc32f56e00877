//! What travels between the parent and its children, on one channel each (SOCK_SEQPACKET, descriptor 3).
//!
//! Both ends are ours, but a child may have been taken over: the parent believes no length and no number of it, opens
//! nothing by a name that it says, and never dies of what it says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a child works by, in a sealed memory file that comes with [`ToChild::Load`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Material {
    /// The text of the configuration, which the parent has read without a mistake.
    pub config: String,
    /// What is in the files that it names: certificates, keys, authorities, lists of revoked ones. A child gets those
    /// that it needs and no other: keys of the receiver's certificates never reach the sender.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
}

/// The sockets of the daemon to which the parent connects for a child that cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Socket {
    /// Who may log in. The sender never gets one.
    Logins,
    /// Who may relay, and which TLS must be.
    Policy,
}

/// From the parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToChild {
    /// Work by this from now on: one descriptor, a sealed memory file of so many bytes with [`Material`]. The first one
    /// comes before anything else.
    Load {
        /// Bytes of it.
        length: u64,
    },
    /// To the receiver: accept clients of these sockets from now on and of no other. So many descriptors.
    Listen(Vec<Listening>),
    /// To the sender: operators are heard here. One descriptor, listening.
    Control,
    /// What was asked for with this number: one descriptor, connected; or none, when the daemon isn't there.
    Connection {
        /// The number.
        number: u32,
        /// Whether a descriptor came with it.
        reached: Reached,
    },
    /// To the receiver: so much is in the spool.
    Queue(Kept),
    /// End in good order: what was begun is finished within a few seconds.
    Stop,
}

/// Whether the daemon was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reached {
    /// It was; the descriptor comes with the message.
    Yes,
    /// It wasn't, and why.
    No(String),
}

/// A listening socket that was handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// Which of [`crate::config::Config::listeners`].
    pub index: usize,
}

/// What is in the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Messages.
    pub messages: u64,
}

/// From a child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromChild {
    /// It is confined like this, and waits for what [`ToChild::Load`] brings.
    Ready {
        /// For the log: uid, Landlock, seccomp.
        confinement: String,
        /// What is missing on this kernel.
        missing: Vec<String>,
    },
    /// What [`ToChild::Load`] brought is in use; or it is not, and the one before it stays, and why.
    Loaded(Result<(), String>),
    /// Connect to the daemon.
    Connect {
        /// To tell the answers apart.
        number: u32,
        /// Where.
        socket: Socket,
    },
    /// A line for the log; see [`Level`].
    Log {
        /// How grave.
        level: Level,
        /// Without a line break.
        text: String,
    },
    /// From the sender: so much is in the spool.
    Queue(Kept),
}

/// How grave a line is: syslog's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Mail or data is in danger.
    Critical,
    /// Something does not work.
    Error,
    /// Something may not work soon.
    Warning,
    /// Something unusual that is in order.
    Notice,
    /// What happened.
    Info,
}

/// The longest message on a channel, in bytes.
pub const MAX_MESSAGE: usize = 8 * 1024;
