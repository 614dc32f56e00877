//! Reading a settings file: only what root or ourselves can have written.
//!
//! Runs in the parents, as root. Whoever can write such a file can name any file as a password database or as a key, so
//! one that others can write is refused.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// More than this is no configuration.
const MOST_BYTES: u64 = 1024 * 1024;

/// Does not wait for a writer when the path is a FIFO.
const O_NONBLOCK: i32 = 0o4000;

/// The text of a configuration that only root or `uid` can have written.
pub fn trusted_text(path: &Path, uid: u32) -> Result<String, String> {
    bounded(open_trusted(path, uid, "the configuration")?)
}

/// Opens `what`, if only root or `uid` can have written it.
pub fn open_trusted(path: &Path, uid: u32, what: &str) -> Result<File, String> {
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
