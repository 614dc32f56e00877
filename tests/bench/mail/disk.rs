//! A disk of its own for a spool: ext4 with a journal, as mail servers have it, and new for each row.
//!
//! What a row leaves behind would slow the next one down: a file system without a journal, as build machines have it,
//! looks through all that was deleted lately before it makes a file.

use std::path::PathBuf;
use std::process::Command;

/// Its bytes.
const SIZE: u64 = 2 << 30;

/// A mounted file system; it ends when this is dropped.
pub(super) struct Disk {
    directory: tempfile::TempDir,
}

impl Disk {
    pub(super) fn make() -> Self {
        let directory = tempfile::Builder::new().prefix("disk").tempdir().expect("a directory");
        let disk = Self { directory };
        let made = format!(
            "mkdir spool && fallocate --length {SIZE} disk
             mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 disk
             mount -o loop disk spool && chmod 755 ."
        );
        assert!(disk.run(&made), "a file system is made and mounted on a loop device");
        disk
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("spool")
    }

    fn run(&self, script: &str) -> bool {
        let mut command = Command::new("sh");
        command.args(["-ec", script]).current_dir(self.directory.path());
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still has it open keeps it until then.
        self.run("umount --lazy spool");
    }
}
