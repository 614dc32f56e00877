//! What children are handed: the configuration's text, and what is in the files that it names.
//!
//! Runs in the parent, which alone opens them. A key or a password that everybody on the host may read is refused, and so
//! is a file that others can write: nobody but root and ourselves decides whom we believe.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use settings::file::open_trusted;
use sys::sealed;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::config::files::{Child, Holds, Needed};
use crate::control::Material;

/// Longest file: a list of revoked certificates can be long.
const LONGEST: u64 = 16 * 1024 * 1024;

/// What one child is handed, as a sealed memory file.
pub(super) struct Manifest {
    bytes: Zeroizing<Vec<u8>>,
}

impl Manifest {
    /// Reads all files that a child needs.
    ///
    /// # Errors
    /// All that is wrong with them, a line each.
    pub(super) fn read(
        config: &Config,
        text: &str,
        child: Child,
        uid: u32,
    ) -> Result<Self, Vec<String>> {
        let mut wrong = Vec::new();
        let mut files = BTreeMap::new();
        for needed in config.files(child) {
            match read(&needed, uid) {
                Ok(bytes) => {
                    files.insert(needed.path, bytes);
                }
                Err(_) if needed.holds == Holds::Optional => {}
                Err(why) => wrong.push(format!("{}: {why}", needed.path.display())),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        // A child can't ask the kernel for the host's name, and reads the text with the same result.
        let mut whole = String::new();
        if !is_named(text) {
            whole = format!("hostname = \"{}\"\n", config.hostname);
        }
        whole += text;
        let material = Material { config: whole, files };
        let bytes = postcard::to_allocvec(&material).map_err(|e| vec![e.to_string()])?;
        material.files.into_values().for_each(|bytes| drop(Zeroizing::new(bytes)));
        Ok(Self { bytes: Zeroizing::new(bytes) })
    }

    /// Sealed memory with it, and how many bytes that is.
    pub(super) fn sealed(&self) -> sys::Result<(OwnedFd, u64)> {
        let length = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        sealed::seal(&self.bytes).map(|memory| (memory, length))
    }
}

/// Whether the text says the host's name; it was read without a mistake before.
fn is_named(text: &str) -> bool {
    let table = text.parse::<settings::toml::Table>();
    table.is_ok_and(|table| table.contains_key("hostname"))
}

fn read(needed: &Needed, uid: u32) -> Result<Vec<u8>, String> {
    let file = match needed.holds {
        // The host's own; whoever keeps them for it may own them.
        Holds::Optional => File::open(&needed.path).map_err(|e| e.to_string())?,
        Holds::Public | Holds::Secret => open_trusted(&needed.path, uid, "it")?,
    };
    let facts = file.metadata().map_err(|e| format!("cannot look at it: {e}"))?;
    if needed.holds == Holds::Secret && facts.mode() & 0o007 != 0 {
        let mode = facts.mode() & 0o7777;
        return Err(format!("everybody may read this secret (mode {mode:04o}); chmod o-rwx it"));
    }
    if facts.len() > LONGEST {
        return Err("is longer than 16 MiB, which nothing here is".into());
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).map_err(|e| format!("cannot read it: {e}"))?;
    Ok(bytes)
}

/// What tells that a file is another one, or has another content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traces(BTreeMap<PathBuf, Option<(i64, i64, u64, u64)>>);

impl Traces {
    /// Of all files that children need.
    pub(super) fn of(config: &Config) -> Self {
        let all = config.files(Child::Receiver).into_iter().chain(config.files(Child::Sender));
        Self(all.map(|needed| (needed.path.clone(), trace(&needed.path))).collect())
    }
}

fn trace(path: &Path) -> Option<(i64, i64, u64, u64)> {
    let facts = std::fs::metadata(path).ok()?;
    Some((facts.mtime(), facts.mtime_nsec(), facts.ino(), facts.size()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn written(mode: u32) -> (tempfile::TempDir, Config, String, u32) {
        let directory = tempfile::tempdir().unwrap();
        for name in ["c.pem", "c.key"] {
            let path = directory.path().join(name);
            std::fs::write(&path, name).unwrap();
            let mode = if name == "c.key" { mode } else { 0o644 };
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let place = directory.path().display();
        let text =
            format!("[[certificate]]\ncertificate = \"{place}/c.pem\"\nkey = \"{place}/c.key\"\n");
        let config = Config::parse(&text).unwrap();
        let uid = std::fs::metadata(directory.path()).unwrap().uid();
        (directory, config, text, uid)
    }

    #[test]
    fn the_receiver_gets_its_key_and_the_hosts_name() {
        let (_directory, config, text, uid) = written(0o640);
        let manifest = Manifest::read(&config, &text, Child::Receiver, uid).unwrap();
        let (memory, length) = manifest.sealed().unwrap();
        let bytes = sealed::read(memory, usize::try_from(length).unwrap()).unwrap();
        let material: Material = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(material.files[&config.tls.certificates[0].key], b"c.key");
        assert_eq!(Config::parse(&material.config).unwrap(), config);
        assert!(material.config.starts_with("hostname = "));
    }

    #[test]
    fn a_key_that_everybody_can_read_is_refused_and_so_is_what_is_missing() {
        let (directory, config, text, uid) = written(0o644);
        std::fs::remove_file(directory.path().join("c.pem")).unwrap();
        let wrong = Manifest::read(&config, &text, Child::Receiver, uid).err().unwrap();
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong.iter().any(|line| line.contains("chmod o-rwx it")), "{wrong:?}");
        assert!(wrong.iter().any(|line| line.contains("c.pem: cannot open it")), "{wrong:?}");
    }

    #[test]
    fn another_file_leaves_another_trace() {
        let (directory, config, _, _) = written(0o600);
        let before = Traces::of(&config);
        assert_eq!(Traces::of(&config), before);
        std::fs::write(directory.path().join("c.pem"), "longer than before").unwrap();
        assert_ne!(Traces::of(&config), before);
    }
}
