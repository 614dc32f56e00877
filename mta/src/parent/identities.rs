//! Who the children become, and whose the spool's directories are.
//!
//! Runs in the parent, as root or as an ordinary user. As root each child has a user of its own; a missing one is replaced
//! by a number that nobody has. Without root everything runs under one user, still separated by process, and that is
//! said once.

use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use sys::arguments;
use sys::capabilities::Kept;
use sys::dir::Directory;
use sys::identity::{self, AccountFiles, Identity};

use crate::config::Operation;
use crate::config::files::Child;

/// The names of all our processes begin so.
const HOUSE: &str = "mta";

/// The identities of both children; `None` keeps the parent's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    receiver: Option<Identity>,
    sender: Option<Identity>,
    /// What the administrator should know, a line each.
    pub warnings: Vec<String>,
}

impl Identities {
    /// Looks them up.
    ///
    /// # Errors
    /// A user that the configuration names isn't there, or is root.
    pub fn of(operation: &Operation, accounts: &AccountFiles) -> sys::Result<Self> {
        if !identity::is_root() {
            let warning = "not started as root: all processes run as one user, and a receiver that was taken over \
                           could read queued mail";
            return Ok(Self { warnings: vec![warning.into()], ..Self::default() });
        }
        let mut missing = Vec::new();
        let mut spare = accounts.transient(HOUSE, 2, &identity::busy(HOUSE))?.into_iter();
        let mut find = |name: &str, usual: &str| -> sys::Result<Option<Identity>> {
            let found = look_up(accounts, name, usual)?;
            let id = spare.next();
            Ok(found.or_else(|| {
                missing.push(name.to_owned());
                id.map(|id| Identity { uid: id, gid: id, groups: Vec::new() })
            }))
        };
        let mut identities = Self {
            receiver: find(&operation.receiver_user, "mta")?,
            sender: find(&operation.sender_user, "mta-out")?,
            warnings: Vec::new(),
        };
        if !missing.is_empty() {
            identities.warnings.push(format!(
                "no user {}: running under spare numbers for now; mta --create-users makes them",
                missing.join(" and ")
            ));
        }
        Ok(identities)
    }

    /// What a child is started with.
    pub fn arguments(&self, child: Child) -> Vec<std::ffi::OsString> {
        let identity = match child {
            Child::Receiver => &self.receiver,
            Child::Sender => &self.sender,
        };
        let role =
            identity.clone().map(|identity| arguments::Role { identity, kept: Kept::Nothing });
        role.map(|role| role.arguments()).unwrap_or_default()
    }

    /// Makes a directory that the sender alone uses, such as one of maildirs.
    ///
    /// # Errors
    /// It can't be made, or is somebody else's.
    pub fn prepare_for_sender(&self, path: &Path) -> sys::Result<()> {
        match &self.sender {
            Some(sender) => prepare(path, (sender.uid, sender.gid), 0o700),
            None => Directory::open_or_create(path, 0o700, None).map(drop),
        }
    }

    /// Makes the spool: `incoming/` is the receiver's, with the sender's group, which takes messages out; the others are
    /// the sender's alone.
    ///
    /// # Errors
    /// A directory can't be made, or is there and somebody else's.
    pub fn prepare_spool(&self, spool: &Path) -> sys::Result<()> {
        let (Some(receiver), Some(sender)) = (&self.receiver, &self.sender) else {
            Directory::open_or_create(spool, 0o700, None)?;
            for name in ["incoming", "queue", "corrupt"] {
                Directory::open_or_create(&spool.join(name), 0o700, None)?;
            }
            return Ok(());
        };
        Directory::open_or_create(spool, 0o755, None)?;
        // Messages get the group of the directory, by which the sender reads them.
        prepare(&spool.join("incoming"), (receiver.uid, sender.gid), 0o2770)?;
        prepare(&spool.join("queue"), (sender.uid, sender.gid), 0o700)?;
        prepare(&spool.join("corrupt"), (sender.uid, sender.gid), 0o700)
    }
}

/// A user that the administrator named must be there. Our usual ones may be missing.
fn look_up(accounts: &AccountFiles, name: &str, usual: &str) -> sys::Result<Option<Identity>> {
    let refuse = |why| Err(sys::Error::Unsafe { path: "/etc/passwd".into(), why });
    match accounts.identity(name, &[])? {
        None if name != usual => refuse(format!(
            "there is no user {name}, which the configuration names; mta --create-users makes it"
        )),
        Some(found) if found.uid == 0 || found.gid == 0 => refuse(format!(
            "user {name} is root or in its group; give the process a user of its own"
        )),
        found => Ok(found),
    }
}

/// Makes a directory, or finds it as it must be. The one above is ours, so that the name can't be swapped.
fn prepare(path: &Path, (uid, gid): (u32, u32), mode: u32) -> sys::Result<()> {
    let failed = |doing| move |source| sys::Error::Path { doing, path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Err(_) => {
            Directory::open_or_create(path, 0o700, None)?;
        }
        Ok(facts) if !facts.is_dir() => {
            let why = "is no directory; move it away".to_owned();
            return Err(sys::Error::Unsafe { path: path.to_owned(), why });
        }
        Ok(facts) if facts.uid() == uid && facts.gid() == gid => {}
        Ok(facts) if facts.uid() == 0 && is_empty(path) => {}
        Ok(facts) => {
            let why = format!(
                "belongs to uid {} and gid {}, not to {uid} and {gid}; stop mta and chown -R {uid}:{gid} it",
                facts.uid(),
                facts.gid()
            );
            return Err(sys::Error::Unsafe { path: path.to_owned(), why });
        }
    }
    lchown(path, Some(uid), Some(gid)).map_err(failed("give away the directory"))?;
    // After chown, which may take the setgid bit away.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(failed("set the mode of"))
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}
