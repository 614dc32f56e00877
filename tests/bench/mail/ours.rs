//! Our mta in a sandbox, with the same key, daemon, disk and sink as Postfix.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Stdio};

use harness::{Sandbox, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{HOST, Keeping, Keys};

/// A running mta.
pub(super) struct Mta {
    parent: Child,
    pub(super) address: SocketAddr,
}

/// Starts it. The sandbox has a disk of its own at `/var/spool`.
pub(super) fn start(sandbox: &Sandbox, keys: &Keys, sink: SocketAddr, keeping: Keeping) -> Mta {
    let address = super::free_address();
    let etc = sandbox.path().join("etc");
    keys.write(&etc);
    fs::write(etc.join("mta.toml"), settings(address, sink)).expect("settings written");
    let log_file = sandbox.path().join("tmp/mta.log");
    let log = fs::File::create(&log_file).expect("a log");
    let mut command = sandbox.command(harness::subject::built("mta"));
    command.args(["--foreground", "--config", "/etc/mta.toml"]);
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
    let parent = command.spawn().expect("mta starts");
    let mta = Mta { parent, address };
    let listens = wait_until(|| std::net::TcpStream::connect(address).is_ok());
    let log = || fs::read_to_string(&log_file).unwrap_or_default();
    assert!(listens, "the mta listens; its log: {}", log());
    // The parent listens before it has children.
    let serves = wait_until(|| log().contains("serving; process id"));
    assert!(serves, "the mta serves; its log: {}", log());
    if keeping == Keeping::Held {
        // Mail stays in incoming/ while the sender stands still.
        for pid in sandbox.processes("mta-sender") {
            kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("the sender stands still");
        }
    }
    mta
}

fn settings(address: SocketAddr, sink: SocketAddr) -> String {
    format!(
        "\
hostname = \"{HOST}\"
spool = \"/var/spool/mta\"
[[listener]]
role = \"submissions\"
addresses = [\"{address}\"]
[[certificate]]
certificate = \"/etc/cert.pem\"
key = \"/etc/key.pem\"
[limits]
connections = 12000
connections_per_address = 12000
[[route]]
to = \"*\"
via = \"smtp\"
host = \"{}\"
port = {}
",
        sink.ip(),
        sink.port()
    )
}

impl Drop for Mta {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.parent.id().cast_signed()), Signal::SIGTERM);
        let _ = self.parent.wait();
    }
}
