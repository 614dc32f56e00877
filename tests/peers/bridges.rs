//! This project's bridges, put where a peer finds them: checkpassword, and the PAM module.
//!
//! Copied, since a peer's own user need not be able to reach the build directory.

use std::process::Command;

use harness::subject::built;

use super::namespace::Namespace;
use super::{Failure, Result};

/// Where a peer finds checkpassword.
pub(crate) const CHECKPASSWORD: &str = "/run/bridges/checkpassword";
/// Where it finds the PAM module.
pub(crate) const MODULE: &str = "/run/bridges/pam_saslauthd.so";

/// Copies both into the namespace.
pub(crate) fn install(world: &Namespace) -> Result<()> {
    world.directory("/run/bridges", 0)?;
    for (name, inside) in [("checkpassword", CHECKPASSWORD), ("libpam_saslauthd.so", MODULE)] {
        let (from, to) = (built(name), world.path(inside));
        if !from.exists() {
            let from = from.display();
            return Err(Failure::Missing(format!("{from}: run cargo build --workspace first")));
        }
        // By another process: what this one writes is open for a moment in whatever it starts beside, and cannot
        // be executed.
        let copied = Command::new("install").args(["-m", "755"]).arg(&from).arg(&to).status()?;
        if !copied.success() {
            return Err(Failure::Broken(format!("install {}: {copied}", from.display())));
        }
    }
    Ok(())
}

/// Writes the service file of a program that asks PAM, with these arguments of the module.
pub(crate) fn write_service(world: &Namespace, name: &str, arguments: &str) -> Result<()> {
    let text = format!("auth required {MODULE} {arguments}\naccount required {MODULE}\n");
    world.write(&format!("/etc/pam.d/{name}"), &text)
}
