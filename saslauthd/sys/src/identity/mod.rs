//! Becoming somebody else for good: users and groups looked up by file, and the drop that is verified.
//!
//! Each child calls [`drop_to`] as its first act as root. Files are parsed here rather than through NSS,
//! because NSS loads libraries of the host's choosing into a root process. It trusts `/etc/passwd` and
//! `/etc/group`, and it must never return with any way back to root.

mod create;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, getgroups, getresgid, getresuid, setgroups, setresgid, setresuid};

use crate::capabilities::{self, Kept};
use crate::{Error, Result};
pub use create::create_missing;

/// What a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Real, effective and saved user id.
    pub uid: u32,
    /// Real, effective and saved group id.
    pub gid: u32,
    /// All supplementary groups, exactly.
    pub groups: Vec<u32>,
}

/// One line of passwd(5), as far as an identity needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
}

/// One line of group(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Group name.
    pub name: String,
    /// Group id.
    pub gid: u32,
    /// Names of the members, without those whose primary group it is.
    pub members: Vec<String>,
}

/// The ids that systemd.exec(5) gives to dynamic users, which distributions keep free of accounts.
const TRANSIENT: std::ops::RangeInclusive<u32> = 61184..=65519;

/// Where accounts are looked up.
#[derive(Clone, Debug)]
pub struct AccountFiles {
    /// A file in the format of passwd(5).
    pub passwd: PathBuf,
    /// A file in the format of group(5).
    pub group: PathBuf,
}

impl Default for AccountFiles {
    fn default() -> Self {
        Self { passwd: "/etc/passwd".into(), group: "/etc/group".into() }
    }
}

impl AccountFiles {
    /// The user of that name, if the file has one.
    pub fn user(&self, name: &str) -> Result<Option<User>> {
        Ok(self.users()?.into_iter().find(|user| user.name == name))
    }

    /// The group of that name, if the file has one.
    pub fn group(&self, name: &str) -> Result<Option<Group>> {
        Ok(self.groups()?.into_iter().find(|group| group.name == name))
    }

    /// The user with its own supplementary groups and `extra` ones, all of which must exist.
    pub fn identity(&self, user: &str, extra: &[&str]) -> Result<Option<Identity>> {
        let Some(user) = self.user(user)? else { return Ok(None) };
        let all = self.groups()?;
        let mut groups: BTreeSet<u32> =
            all.iter().filter(|g| g.members.contains(&user.name)).map(|g| g.gid).collect();
        for name in extra {
            let Some(group) = all.iter().find(|group| group.name == *name) else {
                return Err(Error::Unsafe {
                    path: self.group.clone(),
                    why: format!("no group {name}; create it or name another in the config"),
                });
            };
            groups.insert(group.gid);
        }
        groups.remove(&user.gid);
        Ok(Some(Identity { uid: user.uid, gid: user.gid, groups: groups.into_iter().collect() }))
    }

    /// `count` ids that neither file uses as uid or gid and that are not among `busy`, each for one process of `house`
    /// without an account of its own. Each house begins to look at a place of its own, so that two of them share no
    /// number, and one finds the same at its next start.
    pub fn transient(&self, house: &str, count: usize, busy: &BTreeSet<u32>) -> Result<Vec<u32>> {
        let mut used = busy.clone();
        used.extend(self.groups()?.into_iter().map(|group| group.gid));
        for user in self.users()? {
            used.insert(user.uid);
            used.insert(user.gid);
        }
        let start = first_of(house);
        let all = (start..=*TRANSIENT.end()).chain(*TRANSIENT.start()..start);
        let free: Vec<u32> = all.filter(|id| !used.contains(id)).take(count).collect();
        if free.len() < count {
            return Err(Error::Unsafe {
                path: self.passwd.clone(),
                why: "no free id between 61184 and 65519; create the users of the daemon".into(),
            });
        }
        Ok(free)
    }

    fn users(&self) -> Result<Vec<User>> {
        let text = read(&self.passwd)?;
        Ok(text.lines().filter_map(parse_user).collect())
    }

    fn groups(&self) -> Result<Vec<Group>> {
        let text = read(&self.group)?;
        Ok(text.lines().filter_map(parse_group).collect())
    }
}

/// Where a house begins to look for a spare number: FNV-1a of its name.
fn first_of(house: &str) -> u32 {
    let mixed = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = house.bytes().fold(0x811c_9dc5, mixed);
    TRANSIENT.start() + hash % (TRANSIENT.end() - TRANSIENT.start())
}

/// The uids of all processes but those of `house`, whose names begin with its own: at a reload, or just after a parent
/// was killed, they are there under the very numbers that are wanted. Service managers give spare numbers away without
/// a line in any file.
pub fn busy(house: &str) -> BTreeSet<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return BTreeSet::new() };
    processes
        .filter_map(|process| std::fs::read(process.ok()?.path().join("status")).ok())
        .flat_map(|status| owners(&String::from_utf8_lossy(&status), house))
        .collect()
}

/// The uids in `/proc/PID/status`; the owner of the directory is root where a process can't be dumped.
fn owners(status: &str, house: &str) -> Vec<u32> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
    if field("Name:").trim().starts_with(house) {
        return Vec::new();
    }
    field("Uid:").split_ascii_whitespace().filter_map(|uid| uid.parse().ok()).collect()
}

fn read(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|source| Error::Path {
        doing: "read",
        path: path.to_owned(),
        source,
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Lines that are damaged, comments, or NIS's `+` are nobody.
fn parse_user(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| is_name(name))?;
    let _password = fields.next()?;
    let uid = fields.next()?.parse().ok().filter(|id| *id != u32::MAX)?;
    let gid = fields.next()?.parse().ok().filter(|id| *id != u32::MAX)?;
    Some(User { name: name.to_owned(), uid, gid })
}

fn parse_group(line: &str) -> Option<Group> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| is_name(name))?;
    let _password = fields.next()?;
    let gid = fields.next()?.parse().ok().filter(|id| *id != u32::MAX)?;
    let members = fields.next().unwrap_or_default().split(',').map(str::trim);
    let members = members.filter(|m| !m.is_empty()).map(str::to_owned).collect();
    Some(Group { name: name.to_owned(), gid, members })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['+', '-', '#'])
}

/// Whether the effective user is root.
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// What this process runs as now.
pub fn current() -> Result<Identity> {
    let groups = getgroups().map_err(Error::errno("read the supplementary groups"))?;
    let groups: Vec<u32> = groups.into_iter().map(Gid::as_raw).collect();
    let (uid, gid) = (Uid::effective().as_raw(), Gid::effective().as_raw());
    Ok(Identity { uid, gid, groups: sorted(&groups) })
}

/// Whether children can be given users of their own: root may have been stripped of the capabilities
/// that take (rootless containers).
pub fn may_change() -> Result<bool> {
    const SETGID_AND_SETUID: u64 = 1 << 6 | 1 << 7;
    Ok(capabilities::current()?.effective & SETGID_AND_SETUID == SETGID_AND_SETUID)
}

fn sorted(groups: &[u32]) -> Vec<u32> {
    let unique: BTreeSet<u32> = groups.iter().copied().collect();
    unique.into_iter().collect()
}

/// Becomes `identity` for good, with no capability left.
///
/// Any error is fatal to the process: it may be half changed.
pub fn drop_to(identity: &Identity) -> Result<()> {
    drop_keeping(identity, Kept::Nothing)
}

/// Becomes `identity` for good, keeping what `kept` says and nothing else.
///
/// Single-threaded only: capabilities belong to the calling thread.
pub fn drop_keeping(identity: &Identity, kept: Kept) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    let in_roots_group = identity.gid == 0 || identity.groups.contains(&0);
    // Without root, group 0 is what some containers give everybody, and nothing to give up.
    if uid.is_root() || (is_root() && in_roots_group) {
        return Err(Error::NotConfined("refusing to run as root or in root's group".into()));
    }
    capabilities::drop_bounding()?;
    let keep_over_setuid = kept != Kept::Nothing;
    if keep_over_setuid {
        nix::sys::prctl::set_keepcaps(true).map_err(Error::errno("keep a capability"))?;
    }
    // setgroups needs a capability even to change nothing.
    if current()?.groups != sorted(&identity.groups) {
        let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
        setgroups(&groups).map_err(Error::errno("set the supplementary groups"))?;
    }
    setresgid(gid, gid, gid).map_err(Error::errno("set the group"))?;
    setresuid(uid, uid, uid).map_err(Error::errno("set the user"))?;
    if keep_over_setuid {
        nix::sys::prctl::set_keepcaps(false).map_err(Error::errno("stop keeping capabilities"))?;
    }
    capabilities::clear_ambient()?;
    capabilities::reduce_to(kept)?;
    verify(identity, kept)
}

/// Asks the kernel whether the drop is what was wanted and cannot be undone (CVE-2011-0017: Exim
/// ignored the result of setuid).
pub fn verify(identity: &Identity, kept: Kept) -> Result<()> {
    let users = getresuid().map_err(Error::errno("read the user ids"))?;
    let groups = getresgid().map_err(Error::errno("read the group ids"))?;
    let uid = Uid::from_raw(identity.uid);
    let gid = Gid::from_raw(identity.gid);
    if [users.real, users.effective, users.saved] != [uid; 3] {
        return not_dropped("user ids");
    }
    if [groups.real, groups.effective, groups.saved] != [gid; 3] {
        return not_dropped("group ids");
    }
    if current()?.groups != sorted(&identity.groups) {
        return not_dropped("supplementary groups");
    }
    let sets = capabilities::current()?;
    if sets.effective | sets.permitted != kept.bits() || sets.inheritable != 0 {
        return not_dropped("capabilities");
    }
    if setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok()
        || nix::unistd::setuid(Uid::from_raw(0)).is_ok()
    {
        return not_dropped("user id: root could be had back");
    }
    Ok(())
}

fn not_dropped(what: &str) -> Result<()> {
    Err(Error::NotConfined(format!("after dropping root, unexpected {what}")))
}

#[cfg(test)]
mod tests;
