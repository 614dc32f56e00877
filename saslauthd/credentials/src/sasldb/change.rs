//! Changes a sasldb as a whole: lock, read, alter, write beside, flush, rename, flush the directory.
//!
//! Runs in the operator's tools only. Whoever reads meanwhile sees the old file or the new one; of two tools that write
//! at once, the second waits. Cyrus's `saslpasswd2` knows no lock: what it changes between our reading and our
//! renaming is noticed by the file's time stamps and read again, but no two such programs should run at once.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::error::Error;
use super::file::{Identity, from_system, identity, read_settled};
use super::records::{Format, Records};

/// Mode of a file that is new, before the umask: Cyrus's.
const NEW_MODE: u32 = 0o660;
/// Mode of a replacement until it has the owner of what it replaces.
const UNFINISHED_MODE: u32 = 0o600;
/// How often a file that others change is read anew before giving up.
const ATTEMPTS: u32 = 10;

/// What is to become of the records that were handed out for alteration.
pub enum Edit<T> {
    /// Write them.
    Save(T),
    /// Leave the file as it is, or absent.
    Leave(T),
}

/// Hands the records of the file at `path` to `edit`, and writes them back in the format that was found.
///
/// A missing or empty file is as good as one without records, and is made in the format `fresh`. Owner, group and
/// mode stay those of the file; symbolic links are followed and stay. `edit` runs again from
/// the start if another program changed the file in the meantime. A lock file, `PATH.lock`, stays behind.
pub fn change<T>(
    path: &Path,
    fresh: Format,
    mut edit: impl FnMut(&mut Records) -> Edit<T>,
) -> Result<T, Error> {
    let path = resolved(path)?;
    let _lock = lock(&path)?;
    for _ in 0..ATTEMPTS {
        let (mut records, before) = match read_settled(&path) {
            Ok((records, identity)) => (records, Some(identity)),
            Err(Error::Missing(_)) => (Records::new(fresh), None),
            Err(Error::Empty(_)) => (Records::new(fresh), Some(identity(&path)?)),
            Err(error) => return Err(error),
        };
        let result = match edit(&mut records) {
            Edit::Leave(result) => return Ok(result),
            Edit::Save(result) => result,
        };
        let mut seed = [0; 20];
        getrandom::fill(&mut seed).map_err(|error| {
            Error::System(path.clone(), "make its identity", io::Error::other(error.to_string()))
        })?;
        let bytes =
            records.format().encode(records.as_slice(), seed).map_err(|fault| fault.at(&path))?;
        if replace(&path, &bytes, before)? {
            return Ok(result);
        }
    }
    Err(Error::Changing(path))
}

/// The path behind all symbolic links, so that the rename replaces the file and not the link.
fn resolved(path: &Path) -> Result<PathBuf, Error> {
    match fs::canonicalize(path) {
        Ok(path) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if fs::symlink_metadata(path).is_ok() {
                return Err(Error::System(path.to_owned(), "follow the symbolic link", error));
            }
            Ok(path.to_owned())
        }
        Err(error) => Err(Error::System(path.to_owned(), "resolve it", error)),
    }
}

/// `path` with something around its last part.
fn beside(path: &Path, before: &str, after: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(before);
    name.push(path.file_name().unwrap_or_default());
    name.push(after);
    path.with_file_name(name)
}

/// Waits for whoever holds the lock; the kernel frees it when its holder dies.
fn lock(path: &Path) -> Result<File, Error> {
    let path = beside(path, "", ".lock");
    let system = |doing| {
        let path = path.clone();
        move |error| Error::System(path, doing, error)
    };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(UNFINISHED_MODE)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&path)
        .map_err(system("open the lock file"))?;
    file.lock().map_err(system("lock it"))?;
    Ok(file)
}

/// Puts `bytes` in the place of the file; `false` if it is no longer the one that was read.
fn replace(path: &Path, bytes: &[u8], before: Option<Identity>) -> Result<bool, Error> {
    let unfinished = Unfinished(beside(path, ".", ".new"));
    // Under the lock this can only be what a killed program left.
    match fs::remove_file(&unfinished.0) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::System(unfinished.0.clone(), "remove it", error));
        }
        _ => {}
    }
    let system = |doing| move |error| Error::System(beside(path, ".", ".new"), doing, error);
    let mode = if before.is_some() { UNFINISHED_MODE } else { NEW_MODE };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&unfinished.0)
        .map_err(system("create it"))?;
    if before.is_some() {
        inherit(path, &file)?;
    }
    file.write_all(bytes).map_err(system("write it"))?;
    file.sync_all().map_err(system("flush it"))?;
    let now = match identity(path) {
        Ok(identity) => Some(identity),
        Err(Error::Missing(_)) => None,
        Err(error) => return Err(error),
    };
    if now != before {
        return Ok(false);
    }
    fs::rename(&unfinished.0, path)
        .map_err(|error| Error::System(path.to_owned(), "replace it by renaming", error))?;
    std::mem::forget(unfinished);
    flush_directory(path)?;
    Ok(true)
}

/// Gives the new file the owner, group and mode of the one that it replaces.
fn inherit(path: &Path, file: &File) -> Result<(), Error> {
    let old = fs::metadata(path).map_err(|error| from_system(path, "look at it", error))?;
    if old.nlink() > 1 {
        return Err(Error::HardLinked(path.to_owned()));
    }
    let new = file.metadata().map_err(|error| from_system(path, "look at its copy", error))?;
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid()))
            .map_err(|error| Error::System(path.to_owned(), "keep its owner and group", error))?;
    }
    file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))
        .map_err(|error| Error::System(path.to_owned(), "keep its mode", error))
}

fn flush_directory(path: &Path) -> Result<(), Error> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| Error::System(directory.to_owned(), "flush the directory", error))
}

/// A file with secrets that has not taken its place yet, and is removed unless it does.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Nothing better can be done about a failure than what comes next under the lock.
        let _ = fs::remove_file(&self.0);
    }
}
