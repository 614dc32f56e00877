//! What every suite of this package stands on: sandboxes, accounts, daemons, probes and loud skips.
//!
//! Runs in test binaries only, as root, and gives each test a house of its own: private mount and host name,
//! own `/etc`, `/run`, `/var/lib` and `/dev/log`. The host's account files are never read and never changed. It links no
//! crate of the daemon except the codecs of the public sockets, so that a test can't agree with a bug.

pub mod accounts;
pub mod daemon;
pub mod file;
pub mod mta;
pub mod probe;
pub mod ran;
pub mod sandbox;
pub mod sasldb;
pub mod standin;
pub mod subject;
pub mod syslog;
pub mod terminal;

pub use accounts::Account;
pub use daemon::{Daemon, Identity};
pub use probe::{Heard, Probe};
pub use ran::Ran;
pub use sandbox::Sandbox;
pub use standin::Standin;
pub use subject::Subject;
pub use syslog::Syslog;

use std::path::Path;
use std::time::{Duration, Instant};

/// How long anything may take that should happen at once; reaching it is a failure.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Whether `program` (a name for PATH, or a path) is here; otherwise says which Debian package brings it.
///
/// With `CI=true` a missing program fails the test; elsewhere the test is skipped with a line nobody overlooks.
#[must_use]
pub fn require(program: &str, package: &str) -> bool {
    let found = if program.contains('/') {
        Path::new(program).exists()
    } else {
        let mut places = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter();
        places.any(|place| Path::new(place).join(program).exists())
    };
    found || skip(&format!("{program} is missing; install it with: apt-get install {package}"))
}

/// Whether this process is root, which private namespaces and foreign identities need.
#[must_use]
pub fn require_root() -> bool {
    nix::unistd::geteuid().is_root() || skip("not root; run the tests as root")
}

/// Says loudly that a test can't run, and why; with `CI=true` fails it. Always false.
#[must_use]
pub fn skip(reason: &str) -> bool {
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "with CI=true nothing is skipped: {reason}");
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("SKIP {name}: {reason}");
    false
}

/// Asks `ready` until it says yes; false when [`PATIENCE`] ends first.
pub fn wait_until(ready: impl FnMut() -> bool) -> bool {
    wait_for(PATIENCE, ready)
}

/// Asks `ready` every few milliseconds until it says yes; false when `limit` ends first.
pub fn wait_for(limit: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if ready() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}
