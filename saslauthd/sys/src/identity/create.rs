//! `--create-users`: the system users and groups of the children, where they are missing.
//!
//! Runs in a parent, as root, when the administrator asks. It uses the host's own useradd and groupadd, by their full
//! paths and with an empty environment, and changes nothing that is there.

use std::process::Command;

use super::{AccountFiles, is_root};
use crate::{Error, Result};

/// Makes users of these names, each with a group of its own name, and says what was done, a line each.
///
/// # Errors
/// We aren't root, or useradd or groupadd fail.
pub fn create_missing(names: &[&str]) -> Result<String> {
    if !is_root() {
        return Err(Error::NotDone("--create-users needs root; try it with sudo".to_owned()));
    }
    let accounts = AccountFiles::default();
    let mut done = String::new();
    for name in names {
        if accounts.group(name)?.is_none() {
            run("/usr/sbin/groupadd", &["--system", name])?;
            done += &format!("created group {name}\n");
        }
        match accounts.user(name)? {
            Some(user) => done += &format!("user {name} is there, uid {}\n", user.uid),
            None => {
                let home = ["--home-dir", "/nonexistent", "--no-create-home"];
                let shell = ["--shell", "/usr/sbin/nologin", "--gid", name, name];
                run("/usr/sbin/useradd", &[&["--system"], &home[..], &shell[..]].concat())?;
                done += &format!("created user {name}\n");
            }
        }
    }
    Ok(done)
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let failed = |why: String| Error::NotDone(format!("{program} {}: {why}", arguments.join(" ")));
    let status = Command::new(program).args(arguments).env_clear().status();
    let status = status.map_err(|error| failed(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(status.to_string())) }
}
