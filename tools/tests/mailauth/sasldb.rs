//! Accounts in a sasldb, as Debian's own tools see them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use super::{Ran, fed, is_root, text};

fn user(sasldb: &Path, words: &str, input: &str) -> Ran {
    let place = format!("--sasldb={}", text(sasldb));
    let words = words.split_whitespace();
    let line: Vec<&str> = ["user"].into_iter().chain(words).chain([place.as_str()]).collect();
    fed(&line, input.as_bytes())
}

/// What Debian's sasldblistusers2 says, sorted.
fn theirs(sasldb: &Path) -> Vec<String> {
    let output = Command::new("/usr/sbin/sasldblistusers2").args(["-f", text(sasldb)]).output();
    let output = output.unwrap_or_else(|error| panic!("{error}; install sasl2-bin"));
    assert!(output.status.success(), "{output:?}");
    let mut lines: Vec<_> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn passwords(sasldb: &Path) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let records = credentials::sasldb::read(sasldb).unwrap();
    let mut all: Vec<_> =
        records.iter().map(|one| (text(one.raw_key()), text(one.value()))).collect();
    all.sort();
    all
}

#[test]
fn what_is_added_changed_and_deleted_is_so_for_debians_tools() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sasldb2");
    user(&path, "add alice@example.com --password-stdin", "secret\n").good();
    user(&path, "add bob --realm example.com --password-stdin", "other").good();
    assert_eq!(theirs(&path), ["alice@example.com: userPassword", "bob@example.com: userPassword"]);
    user(&path, "passwd alice@example.com --password-stdin", "changed").good();
    let key = |name: &str| format!("{name}\0example.com\0userPassword");
    assert_eq!(passwords(&path), [(key("alice"), "changed".into()), (key("bob"), "other".into())]);
    user(&path, "delete alice@example.com", "").good();
    assert_eq!(theirs(&path), ["bob@example.com: userPassword"]);
    user(&path, "delete alice@example.com", "").bad(1, "no such account");
    let verified = Command::new("db5.3_verify").args(["-q", text(&path)]).status();
    assert!(verified.unwrap().success());
}

#[test]
fn what_debians_tool_made_is_listed_shown_and_changed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sasldb2");
    for (name, password) in [("carol", "one"), ("dave", "two")] {
        let line = format!(
            "printf {password} | /usr/sbin/saslpasswd2 -p -c -f {} -u example.net {name}",
            text(&path)
        );
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    }
    let table = user(&path, "list", "").good();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["USER", "REALM", "SECRETS"]);
    assert!(lines[1].starts_with("carol  example.net  ") && lines[1].contains("userPassword"));
    assert!(lines[2].starts_with("dave   example.net  "), "{table}");
    let all: serde_json::Value =
        serde_json::from_str(&user(&path, "list --json", "").good()).unwrap();
    assert_eq!(all[1]["user"], "dave");
    assert!(!all.to_string().contains("two") && !table.contains("two"), "a password is printed");
    assert_eq!(user(&path, "list --realm nowhere", "").good(), "");
    let shown = user(&path, "show dave@example.net", "").good();
    assert!(shown.contains("format:    berkeley\n") && !shown.contains("two"), "{shown}");
    let password = user(&path, "passwd dave@example.net --random", "").good();
    let stored = passwords(&path);
    assert!(
        stored
            .iter()
            .any(|(key, value)| key.starts_with("dave\0") && *value == password.trim_end())
    );
}

#[test]
fn without_a_realm_it_is_the_hosts_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sasldb2");
    user(&path, "add alice --password-stdin", "x").good();
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    assert_eq!(theirs(&path), [format!("alice@{host}: userPassword")]);
}

#[test]
fn what_a_sasldb_cannot_hold_is_refused_by_name_with_the_next_step() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sasldb2");
    user(&path, "add a@b --password-stdin", "x").good();
    let before = fs::read(&path).unwrap();
    for (words, what, next) in [
        ("lock a@b", "user lock", "--random"),
        ("unlock a@b", "user unlock", "--random"),
        ("expire a@b never", "user expire", "SQLite"),
        ("change a@b --kind machine", "user change", "SQLite"),
        ("add c@b --kind machine --random", "--kind", "SQLite"),
        ("add c@b --service smtp --random", "--service", "SQLite"),
        ("add c@b --network ::1 --random", "--network", "SQLite"),
        ("add c@b --expires +1d --random", "--expires", "SQLite"),
        ("passwd a@b --hash-stdin", "--hash-stdin", "set a password"),
    ] {
        let ran = user(&path, words, "x");
        assert!(ran.err.contains(next), "{}", ran.err);
        ran.bad(1, what);
    }
    user(&path, "add a@b --password-stdin", "y").bad(1, "exists already");
    user(&path, "passwd nobody@b --password-stdin", "y").bad(1, "no such account");
    user(&path, "passwd a@b --password-stdin", &"x".repeat(2049)).bad(1, "longer than 2048");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_missing_or_damaged_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("typo");
    for words in ["list", "show a@b", "passwd a@b --random", "delete a@b"] {
        user(&path, words, "").bad(69, "typo: no such file; add an account first");
    }
    assert!(!path.exists());
    fs::write(&path, [7; 4096]).unwrap();
    user(&path, "list", "").bad(69, "neither a Berkeley DB hash");
    user(&path, "add a@b --password-stdin", "x").bad(69, "neither a Berkeley DB hash");
    assert_eq!(fs::read(&path).unwrap(), [7; 4096]);
}

#[test]
fn owner_group_mode_and_format_stay() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let samples =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../saslauthd/credentials/tests-data/sasldb");
    for (sample, format) in
        [("basic.sasldb2", "berkeley"), ("basic.gdbm", "gdbm"), ("basic.lmdb", "lmdb")]
    {
        let path = directory.path().join(sample);
        fs::copy(samples.join(sample), &path).unwrap();
        chown(&path, Some(64_001), Some(64_002)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        user(&path, "add new@example.com --password-stdin", "x").good();
        let facts = fs::metadata(&path).unwrap();
        assert_eq!((facts.uid(), facts.gid(), facts.mode() & 0o7777), (64_001, 64_002, 0o640));
        let shown = user(&path, "show new@example.com", "").good();
        assert!(shown.contains(&format!("format:    {format}\n")), "{shown}");
    }
}
