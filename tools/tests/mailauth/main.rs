//! `mailauth` from outside: what it stores, what it prints, what it asks the daemon, and how it ends.
//!
//! Needs script(1) for the terminal, and Debian's sasl2-bin for the sasldb; what needs root says so and is left out
//! elsewhere.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod accounts;
mod daemon;
mod passwords;
mod sasldb;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mailauth");

/// How a run ended, and what it said.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What was printed, after a good end.
    #[track_caller]
    fn good(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// After an end with `code` that said something with `part`, and printed nothing.
    #[track_caller]
    fn bad(self, code: i32, part: &str) {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        assert!(self.err.starts_with("mailauth: ") && self.err.contains(part), "{}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
    }
}

fn fed(line: &[&str], input: &[u8]) -> Ran {
    let mut child = Command::new(PROGRAM)
        .args(line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that fails early does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    Ran::of(child.wait_with_output().unwrap())
}

/// `mailauth user WORDS… --database PATH`, with words split at blanks.
fn user(database: &Path, words: &str, input: &str) -> Ran {
    let path = database.to_str().unwrap();
    let words = words.split_whitespace();
    let line: Vec<&str> = ["user"].into_iter().chain(words).chain(["--database", path]).collect();
    fed(&line, input.as_bytes())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("SKIP: only root can make files of others");
    }
    is_root
}
