//! Reading the configuration file: only what root or ourselves can have written.
//!
//! Runs in the parent, as root. Whoever can write the file can name any file as a password database, so one
//! that others can write is refused.

use std::path::Path;

use settings::file::trusted_text;

use super::Config;
use super::complaint::Report;

/// Where the configuration is when nobody says.
pub const DEFAULT: &str = "/etc/saslauthd.toml";

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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

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
