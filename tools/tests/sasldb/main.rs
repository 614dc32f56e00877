//! `saslpasswd2` and `sasldblistusers2` from outside, beside the originals and the databases' own tools.
//!
//! Needs Debian's sasl2-bin, db5.3-util, lmdb-utils and gdbmtool; a missing one fails by name.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod command_line;
mod formats;
mod replacement;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use credentials::sasldb;

const OURS: [&str; 2] = [env!("CARGO_BIN_EXE_saslpasswd2"), env!("CARGO_BIN_EXE_sasldblistusers2")];
const THEIRS: [&str; 2] = ["/usr/sbin/saslpasswd2", "/usr/sbin/sasldblistusers2"];

fn sample(name: &str) -> PathBuf {
    let tests_data = "../saslauthd/credentials/tests-data/sasldb";
    Path::new(env!("CARGO_MANIFEST_DIR")).join(tests_data).join(name)
}

/// A copy that may be written.
fn copy(name: &str, directory: &Path) -> PathBuf {
    let path = directory.join(name);
    fs::copy(sample(name), &path).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    path
}

fn run(program: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{program}: {error}; install sasl2-bin, db5.3-util, lmdb-utils and gdbmtool")
        });
    // A program that fails early does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn set(program: &str, path: &Path, user: &str, password: &str) -> Output {
    run(program, &["-c", "-f", text(path), "-u", "example.com", user], password.as_bytes())
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

fn listed(program: &str, path: &Path) -> Vec<u8> {
    let output = run(program, &["-f", text(path)], b"");
    succeeded(&output);
    output.stdout
}

fn verified(path: &Path) {
    succeeded(&run("db5.3_verify", &["-q", text(path)], b""));
}

/// Keys and values, sorted.
fn passwords(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all: Vec<_> = sasldb::read(path)
        .unwrap()
        .iter()
        .map(|record| (record.raw_key().to_vec(), record.value().to_vec()))
        .collect();
    all.sort();
    all
}
