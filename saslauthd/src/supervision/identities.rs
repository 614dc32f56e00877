//! Who the children become, and what belongs to whom.
//!
//! Runs in the parent. As root each child gets a user of its own; without root everything runs under one user,
//! still separated by process, and that is said once.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ipc::config::BackendKind;
use sys::arguments;
use sys::capabilities::Kept;
use sys::dir::Directory;
use sys::identity::{self, AccountFiles, Identity};

use super::process::Role;
use crate::config::plan::Plan;
use crate::config::sections::Top;

/// The names of all our processes begin so.
const HOUSE: &str = "saslauthd";

/// The identities of both children; `None` keeps the parent's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    listener: Option<arguments::Role>,
    checker: Option<arguments::Role>,
    /// What the administrator should know, a line each.
    pub warnings: Vec<String>,
}

impl Identities {
    /// Looks them up.
    pub fn of(plan: &Plan, accounts: &AccountFiles) -> sys::Result<Self> {
        if !identity::is_root() {
            let warning = "not started as root: all processes run as one user, and only files \
                           that this user can read are served";
            return Ok(Self { warnings: vec![warning.into()], ..Self::default() });
        }
        let mut identities = Self::default();
        let usual = Top::default();
        let listener = look_up(accounts, &plan.listener_user, &usual.listener_user.value)?;
        let checker = look_up(accounts, &plan.checker_user, &usual.checker_user.value)?;
        let mut missing = Vec::new();
        let mut spare = accounts.transient(HOUSE, 2, &identity::busy(HOUSE))?.into_iter();
        let mut or_spare = |found: Option<Identity>, name: &str| {
            found.or_else(|| {
                missing.push(name.to_owned());
                let id = spare.next()?;
                Some(Identity { uid: id, gid: id, groups: Vec::new() })
            })
        };
        let role = |identity| arguments::Role { identity, kept: Kept::Nothing };
        identities.listener = or_spare(listener, &plan.listener_user).map(role);
        identities.checker = or_spare(checker, &plan.checker_user).map(role);
        if !missing.is_empty() {
            identities.warnings.push(format!(
                "no user {}: running under spare numbers for now; saslauthd --create-users makes them",
                missing.join(" and ")
            ));
        }
        identities.add_groups(plan, accounts)?;
        Ok(identities)
    }

    /// Of one child.
    pub fn of_role(&self, role: Role) -> Option<&arguments::Role> {
        match role {
            Role::Listener => self.listener.as_ref(),
            Role::Checker => self.checker.as_ref(),
        }
    }

    /// The checker reads shadow and sasldb by their files' groups, and where root alone may read one, by the
    /// capability to read any file, within the directories that Landlock leaves it.
    fn add_groups(&mut self, plan: &Plan, accounts: &AccountFiles) -> sys::Result<()> {
        let Some(arguments::Role { identity: checker, kept }) = &mut self.checker else {
            return Ok(());
        };
        for backend in &plan.checker.backends {
            let (path, usual) = match &backend.kind {
                BackendKind::Shadow { path, .. } => (path, Some("shadow")),
                BackendKind::Sasldb { path, .. } => (path, Some("sasl")),
                BackendKind::Query { path, .. } => (path, None),
                BackendKind::Sqlite { .. } => continue,
            };
            match access(Path::new(path), checker) {
                Access::Given => {}
                // Debian's group of such a file, for the day when somebody makes it.
                Access::NotThere => {
                    let group = usual.map(|name| accounts.group(name)).transpose()?.flatten();
                    checker.groups.extend(group.map(|group| group.gid));
                }
                Access::ByGroup(group) => checker.groups.push(group),
                Access::RootAlone => {
                    *kept = Kept::ReadAnyFile;
                    self.warnings.push(format!(
                        "{path}: only root may read it, so the checker keeps the capability to read any file; \
                         give it a group other than root and chmod g+r it"
                    ));
                }
            }
        }
        checker.groups.sort_unstable();
        checker.groups.dedup();
        Ok(())
    }
}

/// A user that the administrator named must be there, or a slip of the pen would choose who reads passwords. Our usual
/// ones may be missing.
fn look_up(accounts: &AccountFiles, name: &str, usual: &str) -> sys::Result<Option<Identity>> {
    let refuse = |why| Err(sys::Error::Unsafe { path: "/etc/passwd".into(), why });
    match accounts.identity(name, &[])? {
        None if name != usual => refuse(format!(
            "there is no user {name}, which the configuration names; saslauthd --create-users makes it"
        )),
        Some(found) if found.uid == 0 || found.gid == 0 => refuse(format!(
            "user {name} is root or in its group; give the process a user of its own"
        )),
        found => Ok(found),
    }
}

/// How the checker can read a file.
#[derive(Debug, PartialEq, Eq)]
enum Access {
    /// It can.
    Given,
    /// There is no such file yet.
    NotThere,
    /// As a member of this group.
    ByGroup(u32),
    /// Not by owner or group.
    RootAlone,
}

fn access(path: &Path, who: &Identity) -> Access {
    let Ok(facts) = std::fs::metadata(path) else { return Access::NotThere };
    let mode = facts.mode();
    if facts.uid() == who.uid && mode & 0o400 != 0 || mode & 0o004 != 0 {
        return Access::Given;
    }
    match facts.gid() {
        gid if mode & 0o040 != 0 && (gid == who.gid || who.groups.contains(&gid)) => Access::Given,
        gid if mode & 0o040 != 0 && gid != 0 => Access::ByGroup(gid),
        _ => Access::RootAlone,
    }
}

/// Makes the directory of our own accounts, which the checker writes.
///
/// The state directory itself stays ours: root never writes where a service could plant links.
pub fn prepare_accounts(plan: &Plan, identities: &Identities) -> sys::Result<()> {
    let directory = plan.state_dir.join("accounts");
    let uses_it = plan.checker.backends.iter().any(|backend| match &backend.kind {
        BackendKind::Sqlite { path } => Path::new(path).parent() == Some(&directory),
        _ => false,
    });
    if !uses_it {
        return Ok(());
    }
    let Some(arguments::Role { identity: checker, .. }) = &identities.checker else {
        return Directory::open_or_create(&directory, 0o700, None).map(drop);
    };
    match std::fs::symlink_metadata(&directory) {
        Ok(facts) if facts.is_dir() && facts.uid() == checker.uid => Ok(()),
        Ok(facts) if facts.uid() == 0 && is_empty(&directory) => give(&directory, checker),
        Ok(facts) => Err(sys::Error::Unsafe {
            why: format!(
                "belongs to uid {} and not to the checker's {}; stop the daemon and chown -R {}:{} it",
                facts.uid(),
                checker.uid,
                checker.uid,
                checker.gid
            ),
            path: directory,
        }),
        Err(_) => {
            Directory::open_or_create(&directory, 0o700, None)?;
            give(&directory, checker)
        }
    }
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

/// The directory above is ours, so the name cannot be swapped.
fn give(directory: &Path, who: &Identity) -> sys::Result<()> {
    std::os::unix::fs::lchown(directory, Some(who.uid), Some(who.gid)).map_err(|source| {
        sys::Error::Path { doing: "give away the directory", path: directory.to_owned(), source }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_are_read_by_their_group_and_never_by_that_of_root() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shadow");
        std::fs::write(&path, "").unwrap();
        let gid = std::fs::metadata(&path).unwrap().gid();
        let uid = std::fs::metadata(&path).unwrap().uid();
        let stranger = Identity { uid: 61_184, gid: 61_184, groups: Vec::new() };
        let set = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        set(0o644);
        assert_eq!(access(&path, &stranger), Access::Given);
        set(0o600);
        assert_eq!(access(&path, &stranger), Access::RootAlone);
        assert_eq!(access(&path, &Identity { uid, ..stranger.clone() }), Access::Given);
        set(0o640);
        match gid {
            0 => assert_eq!(access(&path, &stranger), Access::RootAlone),
            gid => assert_eq!(access(&path, &stranger), Access::ByGroup(gid)),
        }
        assert_eq!(access(&directory.path().join("none"), &stranger), Access::NotThere);
    }
}
