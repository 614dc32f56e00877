//! testsaslauthd, Cyrus's own client of the mux socket: no libsasl2 between it and the daemon.

use std::process::{Output, Stdio};
use std::sync::mpsc;
use std::thread;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::namespace::Namespace;
use super::{Heard, Peer, Question, Result, Verdict};

/// `testsaslauthd` of sasl2-bin.
pub(crate) struct TestSaslauthd;

/// What it prints; an outage ends in words of the system, or in none after the colon.
const MEANINGS: [(&str, Verdict); 4] = [
    ("0: OK \"Success.\"", Verdict::Accepted),
    ("0: NO \"authentication failed\"", Verdict::Refused),
    ("connect() :", Verdict::Temporary),
    ("size read failed", Verdict::Temporary),
];

impl Peer for TestSaslauthd {
    fn name(&self) -> &'static str {
        "testsaslauthd"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["/usr/sbin/testsaslauthd"]
    }

    fn routes(&self) -> &'static [&'static str] {
        &["-s smtp"]
    }

    fn tells_outage(&self, _route: &str) -> bool {
        true
    }

    fn service(&self, _route: &str) -> &'static str {
        "smtp"
    }

    fn start(&self, _world: &Namespace) -> Result<()> {
        Ok(())
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        let (login, realm) = question.login.rsplit_once('@').unwrap_or((question.login, ""));
        let child = world
            .command("testsaslauthd")
            .args(["-u", login, "-r", realm, "-p", question.password, "-s", "smtp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
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

fn heard(output: &Output) -> Heard {
    let words = [&output.stderr, &output.stdout].map(|text| String::from_utf8_lossy(text));
    let words = words.concat();
    let heard = Heard::among(&words, &MEANINGS);
    // Its exit status says no more than whether the login was accepted.
    if output.status.success() == (heard.verdict == Verdict::Accepted) {
        return heard;
    }
    Heard::new(Verdict::Strange, format!("{words} with {}", output.status))
}
