//! Brings a peer's Debian package under `target/peers`, unpacked and never installed.
//!
//! Runs in the test process. Trusts apt's signatures. Must never run `apt-get install`: mail servers conflict
//! with each other and with the host's.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Failure, Result};

/// Where the build puts its files; the peers live in `peers/` below it.
pub(crate) fn target() -> PathBuf {
    let below = Path::new(env!("CARGO_TARGET_TMPDIR"));
    below.parent().unwrap_or(below).to_path_buf()
}

/// The directory that `package` is unpacked in, after downloading it once.
pub(crate) fn fetch(package: &str) -> Result<PathBuf> {
    let peers = target().join("peers");
    let downloads = peers.join("debs");
    fs::create_dir_all(&downloads)?;
    let lock = File::create(peers.join(".lock"))?;
    lock.lock()?;
    let unpacked = peers.join(package);
    if unpacked.is_dir() {
        return Ok(unpacked);
    }
    let archive = match downloaded(&downloads, package)? {
        Some(archive) => archive,
        None => download(&downloads, package)?,
    };
    unpack(&archive, &unpacked)?;
    Ok(unpacked)
}

fn download(downloads: &Path, package: &str) -> Result<PathBuf> {
    let first = run(Command::new("apt-get").args(["download", package]).current_dir(downloads));
    if first.is_err() {
        run(Command::new("apt-get").arg("update"))?;
        run(Command::new("apt-get").args(["download", package]).current_dir(downloads))?;
    }
    let missing = || Failure::Missing(format!("apt-get download {package} left no file"));
    downloaded(downloads, package)?.ok_or_else(missing)
}

fn downloaded(downloads: &Path, package: &str) -> Result<Option<PathBuf>> {
    let start = format!("{package}_");
    for entry in fs::read_dir(downloads)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&start) && name.ends_with(".deb") {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// Unpacks beside the final place and renames, so that a killed run leaves nothing half done there.
fn unpack(archive: &Path, place: &Path) -> Result<()> {
    let partial = place.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    run(Command::new("dpkg-deb").arg("-x").arg(archive).arg(&partial))?;
    fs::create_dir_all(partial.join("usr"))?;
    fs::rename(&partial, place)?;
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let shown: OsString = command.get_program().to_os_string();
    let output = command
        .env("LC_ALL", "C")
        .output()
        .map_err(|why| Failure::Missing(format!("{}: {why}", shown.to_string_lossy())))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("no message").to_owned();
    Err(Failure::Missing(format!("{}: {last}", shown.to_string_lossy())))
}
