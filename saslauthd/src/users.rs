//! `--create-users`: the system users and groups of the children.
//!
//! Runs as root when the administrator asks. It uses the host's own useradd and groupadd, by their full paths and
//! with an empty environment, and changes nothing that is there.

use std::process::Command;

use sys::identity::{AccountFiles, is_root};

use crate::config::plan::Plan;
use crate::failure::Failure;

/// Makes what is missing and says what was done, a line each.
pub fn create(plan: &Plan) -> Result<String, Failure> {
    if !is_root() {
        return Err(Failure::new("--create-users needs root; try it with sudo"));
    }
    let accounts = AccountFiles::default();
    let mut done = String::new();
    for name in [&plan.listener_user, &plan.checker_user] {
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

fn run(program: &str, arguments: &[&str]) -> Result<(), Failure> {
    let failed = |why: String| Failure::new(format!("{program} {}: {why}", arguments.join(" ")));
    let status = Command::new(program).args(arguments).env_clear().status();
    let status = status.map_err(|e| failed(e.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(status.to_string())) }
}
