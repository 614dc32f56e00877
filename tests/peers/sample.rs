//! libsasl2's own sample server, the plainest user of the library, driven over its standard input.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::namespace::Namespace;
use super::{Failure, Heard, Peer, Question, Result, Verdict};

/// `sasl-sample-server` of sasl2-bin.
pub(crate) struct SampleServer;

const SAMPLE_CONF: &str = "\
pwcheck_method: saslauthd
saslauthd_path: /run/saslauthd/mux
mech_list: PLAIN LOGIN
";

const MEANINGS: [(&str, Verdict); 3] = [
    ("Negotiation complete", Verdict::Accepted),
    ("authentication failure", Verdict::Refused),
    ("generic failure", Verdict::Temporary),
];

impl Peer for SampleServer {
    fn name(&self) -> &'static str {
        "libsasl2 sample"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["/usr/sbin/sasl-sample-server"]
    }

    fn routes(&self) -> &'static [&'static str] {
        &["PLAIN", "LOGIN"]
    }

    fn tells_outage(&self, _route: &str) -> bool {
        true
    }

    fn service(&self, _route: &str) -> &'static str {
        "rcmd"
    }

    fn start(&self, world: &Namespace) -> Result<()> {
        world.write("/etc/sasl2/sample.conf", SAMPLE_CONF)
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        let mut server = world
            .command("sasl-sample-server")
            .args(["-m", question.route])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let answer = converse(&mut server, question);
        let _ = killpg(Pid::from_raw(server.id().cast_signed()), Signal::SIGKILL);
        let _ = server.wait();
        answer
    }
}

fn converse(server: &mut Child, question: Question<'_>) -> Result<Heard> {
    let (Some(mut input), Some(output), Some(errors)) =
        (server.stdin.take(), server.stdout.take(), server.stderr.take())
    else {
        return Err(Failure::Broken("sasl-sample-server has no pipes".to_owned()));
    };
    say(&mut input, question)?;
    // Its prints stay in its buffer until it ends, which it does when it can't read on.
    drop(input);
    let (sender, lines) = mpsc::channel();
    read_lines(output, sender.clone());
    read_lines(errors, sender);
    Ok(listen(&lines, question))
}

/// Its lines are base64 behind `C: `; the mechanism and its initial response are parted by a NUL.
fn say(input: &mut ChildStdin, question: Question<'_>) -> io::Result<()> {
    let Question { route, login, password, .. } = question;
    let messages = match route {
        "LOGIN" => vec![route.to_owned(), login.to_owned(), password.to_owned()],
        _ => vec![format!("{route}\0\0{login}\0{password}")],
    };
    for message in messages {
        writeln!(input, "C: {}", BASE64.encode(message))?;
    }
    Ok(())
}

fn read_lines(from: impl io::Read + Send + 'static, to: mpsc::Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            if to.send(line).is_err() {
                return;
            }
        }
    });
}

fn listen(lines: &Receiver<String>, question: Question<'_>) -> Heard {
    let mut said = String::new();
    loop {
        let line = match lines.recv_timeout(question.patience) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Heard::new(Verdict::Silent, "waits"),
            Err(RecvTimeoutError::Disconnected) => return Heard::new(Verdict::Strange, said),
        };
        for (words, verdict) in MEANINGS {
            if line.contains(words) {
                return Heard::new(verdict, words);
            }
        }
        said = line;
    }
}
