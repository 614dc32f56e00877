//! What a source file looks like, and what the top of the checkout holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::top;

/// Lines that a file may have.
const MOST_LINES: usize = 500;
/// Rooms that everything ends up in.
const NO_ROOMS: [&str; 4] = ["common", "utils", "misc", "helpers"];
/// What may stand at the top.
const AT_THE_TOP: [&str; 8] =
    ["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "mta", "saslauthd", "tests", "tools"];

/// Every file that git knows or would take.
fn tracked() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(top())
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("names are text");
    let files: Vec<PathBuf> = names.lines().map(PathBuf::from).collect();
    assert!(files.len() > 50, "git names only {} files", files.len());
    files.into_iter().filter(|file| top().join(file).exists()).collect()
}

fn sources() -> Vec<(PathBuf, String)> {
    let sources = tracked().into_iter().filter(|file| file.extension().is_some_and(|e| e == "rs"));
    sources.map(|file| (file.clone(), read(&file))).collect()
}

fn read(file: &Path) -> String {
    fs::read_to_string(top().join(file))
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn every_source_file_opens_with_what_it_is_and_stays_short() {
    for (file, text) in sources() {
        assert!(text.starts_with("//!"), "{} opens without //!", file.display());
        let lines = text.lines().count();
        assert!(lines <= MOST_LINES, "{} has {lines} lines", file.display());
    }
}

#[test]
fn unsafe_code_lives_in_three_rooms() {
    for (file, text) in sources() {
        let rooms = ["saslauthd/sys", "saslauthd/crypt", "tools/pam"];
        let allowed = rooms.iter().any(|room| file.starts_with(room));
        let has = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
        });
        assert!(
            allowed || !has || file.ends_with("architecture/files.rs"),
            "unsafe in {}",
            file.display()
        );
    }
}

#[test]
fn no_room_is_called_after_nothing() {
    for file in tracked() {
        for part in file.iter() {
            let name = Path::new(part).file_stem().and_then(|s| s.to_str()).unwrap_or_default();
            assert!(!NO_ROOMS.contains(&name), "{} is no name for a room", file.display());
        }
        let first = file.iter().next().and_then(|s| s.to_str()).unwrap_or_default();
        assert!(
            first.starts_with('.') || AT_THE_TOP.contains(&first),
            "{first} does not belong at the top"
        );
    }
}

#[test]
fn nothing_is_left_undone_or_switched_off() {
    let marks = [["#[ig", "nore"], ["todo", "!("], ["unimpl", "emented!("], ["FIX", "ME"]];
    for (file, text) in sources() {
        for mark in marks.map(|halves| halves.concat()) {
            assert!(!text.contains(&mark), "{} has {mark}", file.display());
        }
    }
}
