//! One running child: its process, its channel, and what it may say.
//!
//! Runs in the parent. A child may have been taken over, so each of its messages is held to the allow table, and
//! nothing here ever waits for it: a child that does not read its channel is a stuck child.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ipc::allow::Gate;
use ipc::control::{FromChild, MAX_PACKET, Message, decode, encode, gate};
use ipc::status::Confinement;
use sys::children::{Child, End, Exit};
use sys::{arguments, channel, children, descriptors};

/// Which child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads what clients send.
    Listener,
    /// Reads password files.
    Checker,
}

impl Role {
    /// The name of its executable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Listener => "saslauthd-listener",
            Self::Checker => "saslauthd-checker",
        }
    }
}

/// The executables of the children.
#[derive(Clone, Debug)]
pub struct Programs {
    listener: PathBuf,
    checker: PathBuf,
}

/// Where the executables are, seen from our own: beside it, or where distributions put helpers.
const PLACES: [&str; 4] = ["", "../libexec/saslauthd", "../libexec", "../lib/saslauthd"];

impl Programs {
    /// Finds them relative to this very executable, never by a search path.
    pub fn find() -> Result<Self, String> {
        let own =
            std::env::current_exe().map_err(|e| format!("cannot read /proc/self/exe: {e}"))?;
        let directory = own.parent().unwrap_or(Path::new("/"));
        Ok(Self {
            listener: find(directory, Role::Listener.name())?,
            checker: find(directory, Role::Checker.name())?,
        })
    }

    fn of(&self, role: Role) -> &Path {
        match role {
            Role::Listener => &self.listener,
            Role::Checker => &self.checker,
        }
    }
}

/// The executable `name` that belongs to the one in `directory`.
pub fn find(directory: &Path, name: &str) -> Result<PathBuf, String> {
    let mut places = PLACES.iter().map(|place| directory.join(place).join(name));
    places.find(|path| path.is_file()).ok_or_else(|| {
        format!("there is no {name} beside {}; build or install all programs", directory.display())
    })
}

/// Why a child is to be ended.
#[derive(Debug)]
pub enum Fault {
    /// It closed its channel: it ended, or is about to.
    Closed,
    /// It said what it may not say.
    Malformed(ipc::Malformed),
    /// The other child says that this one said what it may not say, and closed their channel.
    Accused,
    /// It does not read its channel, or the kernel refused.
    Channel(io::Error),
    /// The message does not fit into a packet; the fault is ours.
    TooLong,
    /// It says more than anybody has to say, and would keep the parent from everything else.
    Flood,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => out.write_str("closed its channel"),
            Self::Malformed(malformed) => write!(out, "sent a malformed message: {malformed}"),
            Self::Accused => out.write_str("sent a malformed message to the other child"),
            Self::Channel(e) => write!(out, "does not read its channel: {e}"),
            Self::TooLong => out.write_str("would have to be told more than fits into a message"),
            Self::Flood => out.write_str("sent more messages than it may"),
        }
    }
}

/// A running child.
pub struct Process {
    child: Child,
    channel: OwnedFd,
    gate: Gate,
    /// How far it is confined, once it said so.
    pub confinement: Option<Confinement>,
}

impl Process {
    /// Starts the child of that role. `identity` is what it makes of itself before anything else.
    pub fn start(
        programs: &Programs,
        role: Role,
        identity: Option<&arguments::Role>,
    ) -> sys::Result<Self> {
        let (ours, theirs) = channel::pair(channel::Kind::Packets)
            .map_err(sys::Error::system("make a channel to a child"))?;
        descriptors::set_nonblocking(&ours)
            .map_err(sys::Error::system("make a channel nonblocking"))?;
        let arguments = identity.map(arguments::Role::arguments).unwrap_or_default();
        let child = children::spawn(programs.of(role), &arguments, &[], theirs.as_fd())?;
        Ok(Self { child, channel: ours, gate: gate::<FromChild>(), confinement: None })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.pid
    }

    /// Tells it something, with descriptors.
    pub fn tell<M: Message>(
        &self,
        message: &M,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Fault> {
        let packet = encode(message).ok_or(Fault::TooLong)?;
        channel::send_with_fds(&self.channel, &packet, descriptors)
            .map(|_| ())
            .map_err(Fault::Channel)
    }

    /// The next thing it said, or `None` when it said nothing.
    pub fn hear(&mut self) -> Result<Option<FromChild>, Fault> {
        let mut packet = [0; LONGEST];
        let mut received = channel::receive_plain(&self.channel, &mut packet);
        // A child that ended without reading all resets the channel; what it said before is still there.
        if received.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::ConnectionReset) {
            received = channel::receive_plain(&self.channel, &mut packet);
        }
        let count = match received {
            Ok(0) => return Err(Fault::Closed),
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Err(Fault::Closed),
            Err(e) => return Err(Fault::Channel(e)),
        };
        let packet = packet.get(..count).unwrap_or_default();
        decode(packet, &mut self.gate).map(Some).map_err(Fault::Malformed)
    }

    /// Ends it without asking.
    pub fn kill(&self) {
        // It can only fail when the process is gone already.
        let _ = self.child.end(End::AtOnce);
    }

    /// How it ended, if it did.
    pub fn ended(&self) -> Option<Exit> {
        self.child.try_wait().ok().flatten()
    }
}

/// The longest thing that a child may say is 4 KiB; a longer one arrives cut and is refused.
const LONGEST: usize = 8 * 1024;
const _: () = assert!(LONGEST <= MAX_PACKET);

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}
