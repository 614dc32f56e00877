//! What a test wants to know about a file: kind, mode, owner.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Kind and permissions of `path` as `file 0640 root`, `socket 0777`, `absent`; the owner only by number when not 0.
pub fn facts(path: &Path) -> String {
    let Ok(meta) = path.symlink_metadata() else { return "absent".to_owned() };
    let kind = match meta.file_type() {
        kind if kind.is_socket() => "socket",
        kind if kind.is_dir() => "directory",
        kind if kind.is_symlink() => "link",
        kind if kind.is_file() => "file",
        _ => "other",
    };
    let owner = match (meta.uid(), meta.gid()) {
        (0, 0) => String::new(),
        (uid, gid) => format!(" {uid}:{gid}"),
    };
    format!("{kind} {:04o}{owner}", meta.mode() & 0o7777)
}
