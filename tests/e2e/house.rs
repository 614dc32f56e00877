//! A whole daemon of ours for one test: sandbox, configuration, accounts, and who its processes are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::accounts::quick_hash;
use harness::subject::{Subject, require_built};
use harness::{Account, Daemon, Identity, Probe, Sandbox, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::control::{Request, ask};

use crate::process::Process;

/// The account that every house has.
pub(crate) const LOGIN: &str = "alice";
/// Its password, unlike any other bytes in memory.
pub(crate) const PASSWORD: &str = "Wonder-Sentinel-7341-land";
/// Where the configuration lies inside.
pub(crate) const CONFIG: &str = "/etc/saslauthd.toml";
/// The mux socket inside.
pub(crate) const MUX: &str = "/run/saslauthd/mux";

/// The executables of a house.
const PROGRAMS: [&str; 3] = ["saslauthd", "saslauthd-listener", "saslauthd-checker"];

/// What a house is like before it starts.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    chain: String,
    top: String,
    sections: String,
    limits: String,
    accounts: Vec<Account>,
    identity: Identity,
    before: Vec<String>,
    programs: Programs,
}

/// Which executables a house runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Programs {
    /// Those of the build.
    Built,
    /// A copy in the sandbox, `tmp/programs`.
    Copied,
}

impl Plan {
    /// Shadow with [`LOGIN`] alone, without limits, as root.
    pub(crate) fn new() -> Self {
        let hash = quick_hash(PASSWORD).expect("perl makes a hash");
        Self {
            chain: "\"shadow\"".into(),
            top: String::new(),
            sections: String::new(),
            limits: "[limits]\non = false\n".into(),
            accounts: vec![Account::with(LOGIN, &hash)],
            identity: Identity::Root,
            before: Vec::new(),
            programs: Programs::Built,
        }
    }

    /// Other backends, each in quotes.
    pub(crate) fn chain(mut self, chain: &str) -> Self {
        self.chain = chain.into();
        self
    }

    /// More keys above the first section.
    pub(crate) fn top(mut self, text: &str) -> Self {
        self.top += text;
        self.top += "\n";
        self
    }

    /// More sections.
    pub(crate) fn sections(mut self, text: &str) -> Self {
        self.sections += text;
        self.sections += "\n";
        self
    }

    /// The keys of `[limits]`, instead of none being in force.
    pub(crate) fn limits(mut self, text: &str) -> Self {
        self.limits = format!("[limits]\n{text}\n");
        self
    }

    /// More accounts in shadow.
    pub(crate) fn accounts(mut self, accounts: &[Account]) -> Self {
        self.accounts.extend_from_slice(accounts);
        self
    }

    /// Without root.
    pub(crate) fn unprivileged(mut self) -> Self {
        self.identity = Identity::Nobody;
        self
    }

    /// Starts it by way of another program: `prlimit --nofile=64`, say.
    pub(crate) fn by(mut self, words: &[&str]) -> Self {
        self.before.extend(words.iter().map(ToString::to_string));
        self
    }

    /// With a copy of the programs, for tests that change them.
    pub(crate) fn copied(mut self) -> Self {
        self.programs = Programs::Copied;
        self
    }

    /// The sandbox with everything but the daemon.
    pub(crate) fn furnish(&self) -> Sandbox {
        let sandbox = Sandbox::with(&self.accounts).expect("a sandbox");
        let state = sandbox.path().join("tmp/state");
        std::fs::create_dir(&state).expect("a state directory");
        if self.identity == Identity::Nobody {
            for directory in [&state, &sandbox.outside(Path::new("/run/saslauthd"))] {
                nix::unistd::chown(directory, Some(65534.into()), Some(65534.into())).unwrap();
            }
        }
        if self.programs == Programs::Copied {
            let directory = sandbox.path().join("tmp/programs");
            std::fs::create_dir(&directory).expect("a directory");
            for name in PROGRAMS {
                std::fs::copy(Subject::Ours.program(name), directory.join(name)).expect("a copy");
            }
        }
        self.configure(&sandbox);
        sandbox
    }

    /// The text of the configuration.
    pub(crate) fn text(&self, sandbox: &Sandbox) -> String {
        let Self { chain, top, sections, limits, .. } = self;
        let state = sandbox.path().join("tmp/state");
        format!(
            "state_dir = \"{}\"\nchain = [{chain}]\n{top}\n{sections}\n{limits}",
            state.display()
        )
    }

    /// Writes the configuration.
    pub(crate) fn configure(&self, sandbox: &Sandbox) {
        replace(&sandbox.outside(Path::new(CONFIG)), self.text(sandbox).as_bytes());
    }

    /// The command that starts the daemon inside.
    pub(crate) fn command(&self, sandbox: &Sandbox) -> Command {
        let mut words: Vec<String> = self.before.clone();
        if self.identity == Identity::Nobody {
            let drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
            words.extend(drop.map(Into::into));
        }
        let program = match self.programs {
            Programs::Built => Subject::Ours.program("saslauthd"),
            Programs::Copied => sandbox.path().join("tmp/programs/saslauthd"),
        };
        words.push(program.display().to_string());
        words.extend(["--foreground", "--config", CONFIG].map(Into::into));
        let mut command = sandbox.command(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// A daemon that serves; `None` after a loud skip.
    pub(crate) fn start(&self) -> Option<House> {
        ready().then(|| self.start_in(self.furnish()))
    }

    /// The same in a sandbox that was furnished already.
    pub(crate) fn start_in(&self, sandbox: Sandbox) -> House {
        let command = self.command(&sandbox);
        let daemon = Daemon::start(&sandbox, command, Path::new(MUX)).expect("a daemon");
        let house = House { daemon, sandbox };
        assert!(wait_until(|| house.serves()), "never ready:\n{}", house.daemon.log());
        house
    }
}

/// Whether everything is here that a house needs.
pub(crate) fn ready() -> bool {
    harness::require_root()
        && harness::require("perl", "perl-base")
        && PROGRAMS.into_iter().all(require_built)
}

/// A running daemon and its sandbox.
#[derive(Debug)]
pub(crate) struct House {
    // First, since it must end before its sandbox does.
    pub(crate) daemon: Daemon,
    pub(crate) sandbox: Sandbox,
}

impl House {
    /// Another daemon in the same sandbox; this one has to be gone.
    pub(crate) fn start_again(self, plan: &Plan) -> Self {
        let Self { daemon, sandbox } = self;
        drop(daemon);
        plan.start_in(sandbox)
    }

    /// The mux socket as the test sees it.
    pub(crate) fn mux(&self) -> &Path {
        self.daemon.socket()
    }

    /// A path inside, as the test sees it.
    pub(crate) fn at(&self, inside: &str) -> PathBuf {
        self.sandbox.outside(Path::new(inside))
    }

    /// One question on the mux with this password.
    pub(crate) fn ask(&self, login: &str, password: &str) -> String {
        self.daemon.ask(login, password, "smtp", "")
    }

    /// The right password of the usual account.
    pub(crate) fn visit(&self) -> String {
        self.ask(LOGIN, PASSWORD)
    }

    /// A connection on which `bytes` were sent.
    pub(crate) fn send(&self, bytes: &[u8]) -> Probe {
        let mut probe = Probe::connect(self.mux()).expect("a connection");
        probe.send(bytes).expect("room for a request");
        probe
    }

    /// Whether all three processes are ready, as the operators' socket tells.
    fn serves(&self) -> bool {
        let socket = self.at("/run/saslauthd/control");
        let status = ask(&socket, &Request::Status, Duration::from_secs(10)).unwrap_or_default();
        status.matches("\"landlock\"").count() == 2
    }

    /// Waits until the daemon's log has this text.
    pub(crate) fn await_log(&self, text: &str) {
        assert!(
            wait_until(|| self.daemon.log().contains(text)),
            "the log never says {text:?}:\n{}",
            self.daemon.log()
        );
    }

    /// The process that the test started.
    pub(crate) fn parent(&self) -> Process {
        self.role("saslauthd")
    }

    /// The one that reads what clients send.
    pub(crate) fn listener(&self) -> Process {
        self.role("saslauthd-listener")
    }

    /// The one that reads passwords.
    pub(crate) fn checker(&self) -> Process {
        self.role("saslauthd-checker")
    }

    /// The oldest process of that very name.
    pub(crate) fn role(&self, name: &str) -> Process {
        let mut found = None;
        wait_until(|| {
            let pids = self.sandbox.processes(name).into_iter().map(Process);
            found = pids.into_iter().find(|process| process.executable() == name);
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("no process {name}:\n{}", self.daemon.log()))
    }

    /// Sends a signal to the parent.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.parent().0), signal).expect("the parent lives");
    }

    /// What the operators' socket says.
    pub(crate) fn operator(&self, request: &Request) -> serde_json::Value {
        let socket = self.at("/run/saslauthd/control");
        let text = ask(&socket, request, Duration::from_secs(10)).expect("the control socket");
        serde_json::from_str(&text).expect("a reply of JSON")
    }

    /// One figure of the status, by its JSON pointer.
    pub(crate) fn figure(&self, pointer: &str) -> u64 {
        let status = self.operator(&Request::Status);
        let figure = status.pointer(pointer).and_then(serde_json::Value::as_u64);
        figure.unwrap_or_else(|| panic!("no {pointer} in {status}"))
    }
}

/// Puts `bytes` at `path` by a rename.
pub(crate) fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).expect("room for a file");
    std::fs::rename(&new, path).expect("a rename");
}
