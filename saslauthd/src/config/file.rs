//! Reading the configuration file: only what root or ourselves can have written.
//!
//! Runs in the parent, as root. Whoever can write the file can name any file as a password database, so one
//! that others can write is refused.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::Config;
use super::complaint::Report;

/// Where the configuration is when nobody says.
pub const DEFAULT: &str = "/etc/saslauthd.toml";

/// More than this is no configuration.
const MOST_BYTES: u64 = 1024 * 1024;

/// Does not wait for a writer when the path is a FIFO.
const O_NONBLOCK: i32 = 0o4000;

/// Reads and parses `path`, or [`DEFAULT`] where there is one, or takes the built-in defaults.
pub fn load(path: Option<&Path>, uid: u32) -> Result<Config, Report> {
    match path {
        Some(path) => read(path, uid),
        None if Path::new(DEFAULT).exists() => read(Path::new(DEFAULT), uid),
        None => Ok(Config::default()),
    }
}

fn read(path: &Path, uid: u32) -> Result<Config, Report> {
    let name = path.to_string_lossy();
    let text = trusted_text(path, uid).map_err(|message| Report::of(&name, message))?;
    Config::parse(&name, &text)
}

fn trusted_text(path: &Path, uid: u32) -> Result<String, String> {
    bounded(open_trusted(path, uid, "the configuration")?)
}

/// Opens `what`, if only root or ourselves can have written it.
pub(super) fn open_trusted(path: &Path, uid: u32, what: &str) -> Result<File, String> {
    let open = std::fs::OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path);
    let file = open.map_err(|e| format!("cannot open {what}: {e}"))?;
    // Of the open file, not of the path, which may name another one by now.
    let facts = file.metadata().map_err(|e| format!("cannot look at {what}: {e}"))?;
    if !facts.is_file() {
        return Err(format!("{what} is not a regular file"));
    }
    if facts.uid() != 0 && facts.uid() != uid {
        return Err(format!("belongs to user {}; chown it to root", facts.uid()));
    }
    if facts.mode() & 0o022 != 0 {
        return Err(format!(
            "is writable by others (mode {:04o}); chmod go-w it",
            facts.mode() & 0o7777
        ));
    }
    Ok(file)
}

fn bounded(file: File) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|e| format!("cannot read the configuration: {e}"))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST_BYTES) {
        return Err("is longer than 1 MiB, which no configuration is".into());
    }
    String::from_utf8(bytes).map_err(|e| {
        format!("is not UTF-8 from byte {} on; save it as UTF-8", e.utf8_error().valid_up_to())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(text: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf, u32) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("saslauthd.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let uid = std::fs::metadata(&path).unwrap().uid();
        (directory, path, uid)
    }

    #[test]
    fn our_own_file_is_read() {
        let (_directory, path, uid) = file(b"[cache]\nmode = \"off\"\n", 0o644);
        assert!(load(Some(&path), uid).is_ok());
    }

    #[test]
    fn a_file_that_others_can_write_is_refused() {
        for mode in [0o664, 0o646, 0o666] {
            let (_directory, path, uid) = file(b"", mode);
            let report = load(Some(&path), uid).unwrap_err().to_string();
            assert!(report.contains("writable by others"), "{report}");
        }
    }

    #[test]
    fn what_is_no_text_file_is_refused() {
        let (directory, path, uid) = file(b"a = \"\xff\"", 0o600);
        assert!(load(Some(&path), uid).unwrap_err().to_string().contains("UTF-8 from byte 5"));
        let report = load(Some(directory.path()), uid).unwrap_err().to_string();
        assert!(report.contains("not a regular file"), "{report}");
        assert!(load(Some(&directory.path().join("none")), uid).is_err());
    }
}
