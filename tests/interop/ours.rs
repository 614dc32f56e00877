//! This project's saslauthd with Cyrus's command line, and a file for what that can't say.

use harness::Subject;
use nix::sys::signal::Signal;

use crate::accounts;
use crate::daemon::{self, Daemon, End, Freeze, NAME};
use crate::peers::namespace::Namespace;
use crate::peers::{Failure, Result, Socket};

/// The process behind the one that clients talk to; command names are cut at 15 bytes.
const CHECKER: &str = "saslauthd-check";

/// An answer that takes this long is none: the default is longer than a test should take. Realms choose the other
/// backends.
const CONFIG: &str = "\
[listener]
answer = \"2s\"
[realm.\"shadow.test\"]
chain = [\"shadow\"]
[realm.\"sqlite.test\"]
chain = [\"sqlite\"]
[[socket]]
protocol = \"mux\"
";

/// Every mechanism, names as mail programs give them, and time for a daemon that is late.
const AUTH_CONFIG: &str = "\
[realms]
mapping = \"split\"
[sasl]
mechanisms = [\"PLAIN\", \"LOGIN\", \"SCRAM-SHA-1\", \"SCRAM-SHA-256\", \"CRAM-MD5\", \"DIGEST-MD5\"]
hosts = [\"mail.example.test\", \"submission.example.test\", \"127.0.0.2\"]
[listener]
answer = \"4500ms\"
[realm.\"shadow.test\"]
chain = [\"shadow\"]
[realm.\"sqlite.test\"]
chain = [\"sqlite\"]
[[socket]]
protocol = \"auth\"
path = \"/run/auth/auth-login\"
address_uids = [\"root\", \"postfix\", \"Debian-exim\", \"dovenull\"]
";

const PWCHECK_CONFIG: &str = "\
[[socket]]
protocol = \"pwcheck\"
path = \"/run/pwcheck/pwcheck\"
";

/// The daemon under test.
pub(crate) struct Ours<'a> {
    world: &'a Namespace,
    socket: Socket,
    has_sqlite_account: bool,
}

impl<'a> Ours<'a> {
    /// Not yet running.
    pub(crate) fn new(world: &'a Namespace, socket: Socket) -> Self {
        Self { world, socket, has_sqlite_account: false }
    }
}

impl Daemon for Ours<'_> {
    fn start(&mut self) -> Result<()> {
        let program = Subject::Ours.program(NAME);
        if !program.exists() {
            let program = program.display();
            return Err(Failure::Missing(format!("{program}: run cargo build --workspace first")));
        }
        let config = match self.socket {
            Socket::Mux => CONFIG.to_owned(),
            Socket::Pwcheck => format!("{CONFIG}{PWCHECK_CONFIG}"),
            Socket::Auth => AUTH_CONFIG.to_owned(),
        };
        self.world.write("/etc/saslauthd.toml", &config)?;
        if self.socket == Socket::Auth {
            // Dovecot's login processes are not in the group that a directory made by the daemon is for.
            self.world.directory("/run/auth", 0)?;
        }
        let arguments =
            ["-a", "sasldb", "-m", "/run/saslauthd", "-d", "--config", "/etc/saslauthd.toml"];
        self.world.spawn(NAME, &program.to_string_lossy(), &arguments)?;
        daemon::await_socket(self.world, daemon::path(self.socket))?;
        if !self.has_sqlite_account {
            accounts::make_sqlite(self.world)?;
            self.has_sqlite_account = true;
        }
        Ok(())
    }

    fn stop(&mut self, end: End) -> Result<()> {
        let leader = self.world.processes(NAME).into_iter().min();
        daemon::end(self.world, NAME, end, leader)
    }

    fn freeze(&self, what: Freeze) -> Result<()> {
        let name = match what {
            Freeze::Whole => NAME,
            Freeze::Backend => CHECKER,
        };
        daemon::signal(self.world, name, Signal::SIGSTOP)
    }

    fn thaw(&self) -> Result<()> {
        daemon::signal(self.world, NAME, Signal::SIGCONT)
    }
}
