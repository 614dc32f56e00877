//! Files of keys and certificates: each appears whole or not at all, and is on the disk before its command ends.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Existing;
use crate::failure::Failure;
use crate::note;

/// Largest file of a key or of certificates, in bytes.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Who may read a file.
#[derive(Clone, Copy)]
pub(super) enum Readers {
    /// Its owner: a key.
    Owner,
    /// Everybody: a certificate.
    Everybody,
}

/// A file to be made.
pub(super) struct Made<'a> {
    pub(super) path: PathBuf,
    pub(super) text: &'a str,
    pub(super) readers: Readers,
}

/// Makes the directory if there is none.
pub(super) fn directory(path: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|error| of_directory(path, &error))
}

/// Says at once, before a key is made for nothing, that one of `paths` is there.
pub(super) fn vacant(paths: &[&Path], existing: Existing, next: &str) -> Result<(), Failure> {
    if existing == Existing::Replaced {
        return Ok(());
    }
    let is_there = |path: &&&Path| fs::symlink_metadata(path).is_ok();
    paths.iter().find(is_there).map_or(Ok(()), |path| Err(taken(path, next)))
}

fn taken(path: &Path, next: &str) -> Failure {
    Failure::failed(format!("{}: it is there already; {next}", path.display()))
}

/// Writes all of them, in this order, and then their directory.
pub(super) fn write(
    directory: &Path,
    files: &[Made<'_>],
    existing: Existing,
    next: &str,
) -> Result<(), Failure> {
    for file in files {
        let path = &file.path;
        one(file, existing).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => taken(path, next),
            _ => of_directory(path, &error),
        })?;
        note(&format!("wrote {}", path.display()));
    }
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| of_directory(directory, &error))
}

/// Through a file beside it, so that nobody reads half of it, nor a key before its mode is right.
fn one(file: &Made<'_>, existing: Existing) -> io::Result<()> {
    let mut beside = file.path.clone().into_os_string();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let mode = match file.readers {
        Readers::Owner => 0o600,
        Readers::Everybody => 0o644,
    };
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    let placed =
        opened.write_all(file.text.as_bytes()).and_then(|()| opened.sync_all()).and_then(|()| {
            match existing {
                Existing::Replaced => fs::rename(&beside, &file.path),
                // A second name is refused where there is a file, which a rename would replace.
                Existing::Kept => fs::hard_link(&beside, &file.path),
            }
        });
    // After a rename there is nothing any more to remove.
    let _ = fs::remove_file(&beside);
    placed
}

/// A file of a key or of certificates; `next` is what to do when there is none.
pub(super) fn read(path: &Path, next: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| Failure::of_file(path, &error, next))?;
    match file.take(MAX_FILE).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(Failure::failed(format!("{}: it is no PEM text; {next}", path.display())))
        }
        Err(error) => Err(Failure::of_file(path, &error, next)),
    }
}

fn of_directory(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::permission(format!(
            "{}: permission denied; do it as root, or name another --directory",
            path.display()
        )),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => Failure::failed(format!(
            "{}: that is no directory; name another --directory",
            path.display()
        )),
        _ => Failure::unavailable(format!("{}: {error}", path.display())),
    }
}
