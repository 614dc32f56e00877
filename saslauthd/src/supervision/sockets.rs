//! The listening sockets: bound here, or handed over by a service manager, kept over every reload.
//!
//! Runs in the parent. A socket whose path stays is never closed or bound again, so no client ever finds it
//! missing. Only what was bound here is removed, and only while it is still ours.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use sys::bind;
use sys::notify::Activated;

use crate::config::plan::{Plan, SocketPlan};

/// As many as the kernel lets wait by default; Cyrus's 32 made clients fail under load.
const BACKLOG: i32 = 4096;

/// The children of a daemon that was killed end with it, but not in the same instant, and hold its sockets until then.
const ORPHANS: Duration = Duration::from_millis(500);
/// Between two looks at a socket that is in use.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// One listening socket.
#[derive(Debug)]
pub struct Listening {
    plan: SocketPlan,
    socket: OwnedFd,
    origin: Origin,
}

/// Where a socket comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Bound here; the file's device and inode.
    Bound(Option<(u64, u64)>),
    /// A service manager's.
    HandedOver,
}

impl Listening {
    /// Binds one.
    pub fn bind(plan: &SocketPlan, directory: Directory) -> sys::Result<Self> {
        let wanted = bind::Socket {
            path: &plan.path,
            mode: plan.mode,
            owner: plan.owner,
            group: plan.group,
            directory_mode: directory.mode,
            directory_group: directory.group,
            backlog: BACKLOG,
        };
        let until = Instant::now() + ORPHANS;
        let socket = loop {
            match bind::listen_at(&wanted) {
                Err(sys::Error::InUse { .. }) if Instant::now() < until => {
                    thread::sleep(LOOK_AGAIN)
                }
                bound => break bound?,
            }
        };
        Ok(Self { plan: plan.clone(), socket, origin: Origin::Bound(file(&plan.path)) })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.plan.path
    }

    /// Whether it is as wanted.
    pub fn is(&self, plan: &SocketPlan) -> bool {
        self.plan == *plan
    }

    /// Removes its file if that is still the one that was bound here.
    pub fn unlink(&self) {
        if let Origin::Bound(Some(bound)) = self.origin
            && file(&self.plan.path) == Some(bound)
        {
            // Somebody else may have removed it in between, which is as good.
            let _ = std::fs::remove_file(&self.plan.path);
        }
    }

    /// Gives it another owner, group or mode.
    pub fn change(&mut self, plan: &SocketPlan) -> sys::Result<()> {
        let same = (self.plan.owner, self.plan.group, self.plan.mode)
            == (plan.owner, plan.group, plan.mode);
        if same || self.origin == Origin::HandedOver {
            self.plan = plan.clone();
            return Ok(());
        }
        let failed =
            |doing| move |source| sys::Error::Path { doing, path: plan.path.clone(), source };
        // Only we and root can change names in this directory, which was checked at binding and is again now.
        sys::dir::Directory::open(plan.path.parent().unwrap_or(Path::new("/")))?;
        std::os::unix::fs::lchown(&plan.path, plan.owner, plan.group)
            .map_err(failed("give away the socket"))?;
        std::fs::set_permissions(&plan.path, std::fs::Permissions::from_mode(plan.mode))
            .map_err(failed("set the mode of"))?;
        self.plan = plan.clone();
        Ok(())
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What a directory that has to be made is like.
#[derive(Clone, Copy, Debug)]
pub struct Directory {
    /// Its permissions.
    pub mode: u32,
    /// Its group.
    pub group: Option<u32>,
}

impl Directory {
    /// As the configuration wants it.
    pub fn of(plan: &Plan) -> Self {
        Self { mode: plan.run_dir_mode, group: plan.run_dir_group }
    }
}

/// All public sockets, in the order of the configuration.
#[derive(Debug, Default)]
pub struct Sockets(Vec<Listening>);

/// Sockets that a new configuration needs and that are not there yet.
#[derive(Debug, Default)]
pub struct Added(Vec<Listening>);

impl Sockets {
    /// Takes what was handed over and binds the rest.
    pub fn open(plan: &Plan, handed: Vec<Activated>) -> Result<Self, sys::Error> {
        let mut sockets = Self::default();
        for activated in handed {
            sockets.0.push(matched(activated, &plan.sockets)?);
        }
        let added = sockets.add(plan)?;
        sockets.commit(plan, added)?;
        Ok(sockets)
    }

    /// Binds what `plan` wants and is not there. When one fails, those bound before it are removed again.
    pub fn add(&self, plan: &Plan) -> sys::Result<Added> {
        let mut added = Added::default();
        for wanted in &plan.sockets {
            if self.0.iter().any(|there| there.plan.path == wanted.path) {
                continue;
            }
            match Listening::bind(wanted, Directory::of(plan)) {
                Ok(socket) => added.0.push(socket),
                Err(e) => {
                    added.discard();
                    return Err(e);
                }
            }
        }
        Ok(added)
    }

    /// Makes these the sockets: keeps, adds, and removes what `plan` does not want any more.
    pub fn commit(&mut self, plan: &Plan, added: Added) -> sys::Result<()> {
        let mut there: Vec<Listening> = std::mem::take(&mut self.0);
        there.extend(added.0);
        let mut failed = None;
        for wanted in &plan.sockets {
            let Some(place) = there.iter().position(|socket| socket.plan.path == wanted.path)
            else {
                continue;
            };
            let mut socket = there.swap_remove(place);
            if let Err(e) = socket.change(wanted) {
                failed = Some(e);
            }
            self.0.push(socket);
        }
        there.iter().for_each(Listening::unlink);
        failed.map_or(Ok(()), Err)
    }

    /// The descriptors, in order.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.0.iter().map(AsFd::as_fd).collect()
    }

    /// The paths, in order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(Listening::path)
    }

    /// Removes the files of those that were bound here.
    pub fn unlink(&self) {
        self.0.iter().for_each(Listening::unlink);
    }
}

impl Added {
    /// Removes them again.
    pub fn discard(self) {
        self.0.iter().for_each(Listening::unlink);
    }
}

/// Finds the configured socket that was handed over: by its address, or by its name being the path or the
/// last part of it.
fn matched(activated: Activated, plans: &[SocketPlan]) -> sys::Result<Listening> {
    let listener = UnixListener::from(activated.socket);
    let address = listener.local_addr().ok().and_then(|a| a.as_pathname().map(PathBuf::from));
    let by_address = plans.iter().find(|plan| Some(&plan.path) == address.as_ref());
    let name = Path::new(&activated.name);
    let by_name = || {
        plans.iter().find(|plan| {
            plan.path == name || plan.path.file_name().is_some_and(|last| last == name)
        })
    };
    let Some(plan) = by_address.or_else(by_name) else {
        return Err(sys::Error::HandedOver(format!(
            "socket {:?} ({}) is not in the configuration; write a [[socket]] with that path",
            activated.name,
            address.map_or("no path".into(), |path| path.display().to_string()),
        )));
    };
    Ok(Listening { plan: plan.clone(), socket: listener.into(), origin: Origin::HandedOver })
}

fn file(path: &Path) -> Option<(u64, u64)> {
    let facts = std::fs::symlink_metadata(path).ok()?;
    Some((facts.dev(), facts.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::config::Config;
    use crate::config::plan::{Foreground, Host};

    fn plan(directory: &Path, sockets: &[(&str, u32)]) -> Plan {
        let mut text = format!("run_dir = \"{}\"\n", directory.display());
        for (name, mode) in sockets {
            let path = directory.join(name);
            text += &format!("[[socket]]\npath = \"{}\"\nmode = \"{mode:o}\"\n", path.display());
        }
        let host = Host {
            accounts: sys::identity::AccountFiles::default(),
            name: "host".into(),
            foreground: Foreground::Yes,
            is_root: false,
        };
        Config::parse("x", &text).unwrap().plan(&host).unwrap()
    }

    fn private() -> tempfile::TempDir {
        tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o700)).tempdir().unwrap()
    }

    #[test]
    fn a_reload_keeps_adds_changes_and_removes() {
        let directory = private();
        let at = |name: &str| directory.path().join(name);
        let first = plan(directory.path(), &[("a", 0o600), ("b", 0o600)]);
        let mut sockets = Sockets::open(&first, Vec::new()).unwrap();
        let kept = file(&at("b"));
        let second = plan(directory.path(), &[("c", 0o666), ("b", 0o660)]);
        let added = sockets.add(&second).unwrap();
        assert!(at("a").exists() && at("c").exists());
        sockets.commit(&second, added).unwrap();
        assert!(!at("a").exists());
        assert_eq!(file(&at("b")), kept);
        assert_eq!(std::fs::metadata(at("b")).unwrap().mode() & 0o777, 0o660);
        assert_eq!(sockets.paths().collect::<Vec<_>>(), [at("c"), at("b")]);
        assert!(UnixStream::connect(at("b")).is_ok());
        sockets.unlink();
        assert!(!at("b").exists() && !at("c").exists());
    }

    #[test]
    fn what_cannot_be_bound_leaves_nothing_behind() {
        let directory = private();
        std::fs::write(directory.path().join("z"), "").unwrap();
        let sockets = Sockets::default();
        let wanted = plan(directory.path(), &[("a", 0o600), ("z", 0o600)]);
        assert!(sockets.add(&wanted).is_err());
        assert!(!directory.path().join("a").exists());
    }

    #[test]
    fn another_daemons_socket_is_left_alone() {
        let directory = private();
        let wanted = plan(directory.path(), &[("a", 0o600)]);
        let sockets = Sockets::open(&wanted, Vec::new()).unwrap();
        assert!(matches!(Sockets::open(&wanted, Vec::new()), Err(sys::Error::InUse { .. })));
        let path = directory.path().join("a");
        std::fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        sockets.unlink();
        assert!(path.exists());
    }

    #[test]
    fn handed_over_sockets_are_found_by_address_or_name() {
        let directory = private();
        let wanted = plan(directory.path(), &[("mux", 0o600), ("pw", 0o600)]);
        let path = directory.path().join("mux");
        let activated = |path: &Path, name: &str| Activated {
            socket: UnixListener::bind(path).unwrap().into(),
            name: name.into(),
        };
        let by_name = activated(&directory.path().join("elsewhere"), "pw");
        let by_address = activated(&path, "unknown");
        let sockets = Sockets::open(&wanted, vec![by_name, by_address]).unwrap();
        sockets.unlink();
        assert!(path.exists(), "a service manager's socket stays");
        let strange = activated(&directory.path().join("strange"), "strange");
        let error = Sockets::open(&wanted, vec![strange]).unwrap_err().to_string();
        assert!(error.contains("write a [[socket]]"), "{error}");
    }
}
