//! Debian's Dovecot in a sandbox, of which only the authentication process works.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Daemon, Sandbox};

/// Where it listens, inside.
pub(crate) const SOCKET: &str = "/run/auth-login";

/// What its passwd-file holds, and whether it remembers.
pub(crate) struct Setup<'a> {
    /// The stored password of each account.
    pub(crate) stored: &'a [(String, String)],
    /// `auth_cache_size`: `0` or such as `10M`.
    pub(crate) cache: &'a str,
}

/// Starts it. The package is downloaded and unpacked beside the interop tests' peers, and laid over the sandbox's
/// `/usr`.
pub(crate) fn start(sandbox: &Sandbox, setup: &Setup<'_>) -> Daemon {
    let tree = unpacked();
    let overlay = format!("lowerdir={}:/usr", tree.join("usr").display());
    let mounted = sandbox.run("mount", ["-t", "overlay", "overlay", "-o", &overlay, "/usr"]);
    assert_eq!(mounted.expect("mount runs").code, Some(0), "an overlay over /usr");
    let mut users = String::new();
    for (user, stored) in setup.stored {
        let _ = writeln!(users, "{user}:{stored}::::::");
    }
    let etc = sandbox.path().join("etc");
    fs::write(etc.join("users"), users).expect("users written");
    fs::write(etc.join("dovecot.conf"), settings(setup.cache)).expect("settings written");
    let mut command = sandbox.command("/usr/sbin/dovecot");
    command.args(["-F", "-c", "/etc/dovecot.conf"]);
    Daemon::start(sandbox, command, Path::new(SOCKET)).expect("Dovecot starts")
}

fn settings(cache: &str) -> String {
    format!(
        "base_dir = /run/dovecot
state_dir = /run/dovecot
protocols =
ssl = no
log_path = /dev/stderr
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = daemon
auth_mechanisms = plain scram-sha-256
auth_cache_size = {cache}
passdb {{
  driver = passwd-file
  args = username_format=%u /etc/users
}}
service auth {{
  vsz_limit = 0
  unix_listener {SOCKET} {{
    mode = 0666
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"
    )
}

/// The package's files.
fn unpacked() -> PathBuf {
    let program = harness::subject::built("bench");
    let target = program.parent().and_then(Path::parent).expect("target/PROFILE/bench");
    let peers = target.join("peers");
    let tree = peers.join("dovecot-core");
    if !tree.is_dir() {
        let downloads = peers.join("debs");
        fs::create_dir_all(&downloads).expect("a directory for packages");
        let script = "apt-get download dovecot-core && dpkg-deb -x dovecot-core_*.deb ../bench.partial \
                      && mv ../bench.partial ../dovecot-core";
        let status = Command::new("sh").args(["-c", script]).current_dir(&downloads).status();
        assert!(status.is_ok_and(|status| status.success()), "apt-get download dovecot-core");
    }
    tree
}
