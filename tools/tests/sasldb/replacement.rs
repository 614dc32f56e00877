//! How a file is replaced: nothing is lost, and owner, mode and links stay.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Stdio};

use super::{OURS, THEIRS, copy, listed, passwords, set, succeeded, text, verified};

#[test]
fn sixty_at_once_all_survive() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sasldb2");
    let children: Vec<_> = (0..60)
        .map(|number| {
            let user = format!("user{number}");
            let mut child = Command::new(OURS[0])
                .args(["-c", "-p", "-f", text(&path), "-u", "example.com", &user])
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(b"secret").unwrap();
            child
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(passwords(&path).len(), 60);
    verified(&path);
}

#[test]
fn owner_mode_and_links_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy("basic.sasldb2", directory.path());
    fs::set_permissions(&path, PermissionsExt::from_mode(0o604)).unwrap();
    // Only root can give a file away.
    let given = std::os::unix::fs::chown(&path, Some(65534), Some(65534)).is_ok();
    let link = directory.path().join("link");
    symlink("basic.sasldb2", &link).unwrap();
    succeeded(&set(OURS[0], &link, "vic", "x"));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let after = fs::metadata(&path).unwrap();
    assert_eq!(after.mode() & 0o7777, 0o604);
    assert!(!given || (after.uid(), after.gid()) == (65534, 65534));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3, "file, link, lock");
}

#[test]
fn a_new_file_has_the_originals_mode() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (directory.path().join("ours"), directory.path().join("theirs"));
    succeeded(&set(OURS[0], &ours, "vic", "x"));
    succeeded(&set(THEIRS[0], &theirs, "vic", "x"));
    assert_eq!(fs::metadata(&ours).unwrap().mode(), fs::metadata(&theirs).unwrap().mode());
}

#[test]
fn a_file_with_other_hard_links_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy("basic.sasldb2", directory.path());
    fs::hard_link(&path, directory.path().join("other")).unwrap();
    let output = set(OURS[0], &path, "vic", "y");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("hard link"), "{output:?}");
    assert!(!directory.path().join(".basic.sasldb2.new").exists());
}

#[test]
fn an_empty_file_is_filled_and_keeps_its_mode() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sasldb2");
    File::create(&path).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    succeeded(&set(OURS[0], &path, "vic", "x"));
    verified(&path);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(listed(THEIRS[1], &path), b"vic@example.com: userPassword\n");
}

#[test]
fn what_a_killed_run_left_is_cleared_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy("basic.sasldb2", directory.path());
    let left = directory.path().join(".basic.sasldb2.new");
    fs::write(&left, "half a file").unwrap();
    succeeded(&set(OURS[0], &path, "vic", "x"));
    verified(&path);
    assert!(!left.exists());
}
