//! Mail beside Postfix: messages accepted and relayed, handshakes, and the memory of sessions that wait.
//!
//! Both have TLS 1.3 from the first byte with one P-256 key, log their clients in by the same daemon, keep each message on
//! the same disk with an fsync before its 250, and hand it to the same sink. The load is a process of this machine and
//! takes its share of the two processors from either: what a server itself used of them, the daemon included, stands
//! beside its rate.

mod client;
mod disk;
mod ours;
mod postfix;
mod rows;
mod sink;

pub(crate) use rows::{beside_postfix, one_row};

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Account, Daemon, Identity, Ran, Sandbox};
use rustls::pki_types::CertificateDer;

use self::disk::Disk;

/// The name of both servers.
const HOST: &str = "mail.example.test";
const USER: &str = "bench@example.test";
const PASSWORD: &str = "a password of the bench";

/// What becomes of accepted mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeping {
    /// It stays in the spool.
    Held,
    /// It goes on to the sink at once.
    Relayed,
}

/// The key and certificate of both servers.
struct Keys {
    certificate: CertificateDer<'static>,
    pem: String,
    key: String,
}

impl Keys {
    fn make() -> Self {
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).expect("a certificate");
        Self {
            certificate: made.cert.der().clone(),
            pem: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    fn write(&self, place: &Path) {
        for (name, text) in [("cert.pem", &self.pem), ("key.pem", &self.key)] {
            let path = place.join(name);
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("only root's");
        }
    }
}

/// Where a server runs. What is above ends before what is below.
struct House {
    _daemon: Daemon,
    sandbox: Sandbox,
    _disk: Disk,
}

/// A disk for the spool, a sandbox with the daemon in it, and one account.
fn house() -> House {
    let disk = Disk::make();
    let users = ["postfix", "postdrop"].map(|name| Account::with(name, "*"));
    let plan = Sandbox::plan().accounts(&users).bind(&disk.path(), Path::new("/var/spool"));
    let sandbox = plan.start().expect("a sandbox");
    let place = "install -d -m 711 /var/lib/saslauthd
         install -d -m 700 -o saslauthd-checker -g saslauthd-checker /var/lib/saslauthd/accounts";
    let made = sandbox.run("sh", ["-ec", place]).expect("sh runs");
    assert_eq!(made.code, Some(0), "directories: {}", made.err());
    let mut command = sandbox.command(harness::subject::built("mailauth"));
    command.args(["user", "add", "--password-stdin", USER]);
    let ran = Ran::of(&mut command, PASSWORD.as_bytes(), harness::PATIENCE).expect("mailauth runs");
    assert_eq!(ran.code, Some(0), "mailauth user add: {}", ran.err());
    fs::write(sandbox.path().join("etc/access"), "").expect("an empty map");
    let config = "run_dir_mode = \"0755\"\nchain = [\"sqlite\"]\n[access]\nmap = \"/etc/access\"\ntrusted_mechanisms = [\"PLAIN\"]\n\
                  [[socket]]\nprotocol = \"auth\"\nmode = \"0666\"\n[[socket]]\nprotocol = \"policy\"\nmode = \"0666\"\n";
    let daemon = Daemon::ours(&sandbox, config, "/run/saslauthd/auth", Identity::Root);
    House { _daemon: daemon.expect("the daemon starts"), sandbox, _disk: disk }
}

/// An address of the loopback that nobody listens at for the moment.
fn free_address() -> SocketAddr {
    let listening = TcpListener::bind("127.0.0.1:0").expect("a port");
    listening.local_addr().expect("an address")
}

/// A package's files, downloaded and unpacked beside the interop tests' peers.
fn peer(package: &str) -> PathBuf {
    let program = harness::subject::built("bench");
    let target = program.parent().and_then(Path::parent).expect("target/PROFILE/bench");
    let peers = target.join("peers");
    let tree = peers.join(package);
    if !tree.is_dir() {
        let downloads = peers.join("debs");
        fs::create_dir_all(&downloads).expect("a directory for packages");
        let script = format!(
            "apt-get download {package} && dpkg-deb -x {package}_*.deb ../bench.partial \
             && mv ../bench.partial ../{package}"
        );
        let status = Command::new("sh").args(["-c", &script]).current_dir(&downloads).status();
        assert!(status.is_ok_and(|status| status.success()), "apt-get download {package}");
    }
    tree
}
