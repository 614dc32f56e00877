//! pamtester, which is PAM's application's side and nothing else: our module between it and either socket.

use std::io::Write;
use std::process::{Output, Stdio};
use std::sync::mpsc;
use std::thread;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::namespace::Namespace;
use super::{Heard, Manner, Outage, Peer, Question, Result, Socket, Verdict, auth_wire, bridges};

/// `pamtester` of Debian, by way of one socket.
pub(crate) struct PamTester {
    socket: Socket,
}

/// By the mux socket.
pub(crate) const MUX: PamTester = PamTester { socket: Socket::Mux };
/// By the auth socket.
pub(crate) const AUTH: PamTester = PamTester { socket: Socket::Auth };

/// The service file, by whose name the daemon is asked.
const SERVICE: &str = "imap";

const MEANINGS: [(&str, Verdict); 3] = [
    ("pamtester: account management done.", Verdict::Accepted),
    ("pamtester: Authentication failure", Verdict::Refused),
    ("pamtester: Authentication service cannot retrieve authentication info", Verdict::Temporary),
];

impl Peer for PamTester {
    fn name(&self) -> &'static str {
        match self.socket {
            Socket::Auth => "pamtester, auth",
            _ => "pamtester",
        }
    }

    fn packages(&self) -> &'static [&'static str] {
        &["pamtester"]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["/usr/bin/pamtester"]
    }

    fn routes(&self) -> &'static [&'static str] {
        &["auth, account"]
    }

    fn tells_outage(&self, _route: &str) -> bool {
        true
    }

    /// The module knows every form of it.
    fn outage(&self, _route: &str, _outage: Outage) -> Verdict {
        Verdict::Temporary
    }

    /// One run is one login.
    fn takes(&self, _route: &str, _manner: Manner) -> bool {
        false
    }

    fn service(&self, _route: &str) -> &'static str {
        SERVICE
    }

    fn socket(&self) -> Socket {
        self.socket
    }

    fn start(&self, world: &Namespace) -> Result<()> {
        bridges::install(world)?;
        let arguments = match self.socket {
            Socket::Auth => format!("auth={} secured", auth_wire::PATH),
            _ => "socket=/run/saslauthd/mux".to_owned(),
        };
        bridges::write_service(world, SERVICE, &arguments)
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        let mut child = world
            .command("pamtester")
            .args(["-I", "rhost=127.0.0.1", SERVICE, question.login, "authenticate", "acct_mgmt"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            writeln!(input, "{}", question.password)?;
        }
        let group = Pid::from_raw(child.id().cast_signed());
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(child.wait_with_output()));
        match receiver.recv_timeout(question.patience) {
            Ok(output) => Ok(heard(&output?)),
            Err(_) => {
                let _ = killpg(group, Signal::SIGKILL);
                Ok(Heard::new(Verdict::Silent, "waits"))
            }
        }
    }
}

/// The last line decides; the prompt stands before it on the same one.
fn heard(output: &Output) -> Heard {
    let words = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    let words = words.concat();
    let last = words.rfind("pamtester: ").and_then(|at| words.get(at..)).unwrap_or(&words);
    let heard = Heard::among(last, &MEANINGS);
    if output.status.success() == (heard.verdict == Verdict::Accepted) {
        return heard;
    }
    Heard::new(Verdict::Strange, format!("{words} with {}", output.status))
}
