//! libsasl2's own sample client, whose messages the test carries to the auth socket: each mechanism as libsasl2
//! speaks it, and its own judgement of the server's last words.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::auth_wire::{AuthWire, Line, ending, judge};
use super::namespace::Namespace;
use super::{Heard, Manner, Outage, Peer, Question, Result, Socket, Verdict};

/// `sasl-sample-client` of sasl2-bin.
pub(crate) struct SampleClient;

impl Peer for SampleClient {
    fn name(&self) -> &'static str {
        "libsasl2 client"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["/usr/bin/sasl-sample-client", "/usr/bin/stdbuf"]
    }

    fn routes(&self) -> &'static [&'static str] {
        &["PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "CRAM-MD5", "DIGEST-MD5"]
    }

    fn tells_outage(&self, _route: &str) -> bool {
        true
    }

    fn outage(&self, _route: &str, _outage: Outage) -> Verdict {
        Verdict::Temporary
    }

    fn service(&self, _route: &str) -> &'static str {
        "smtp"
    }

    fn socket(&self) -> Socket {
        Socket::Auth
    }

    fn takes(&self, _route: &str, manner: Manner) -> bool {
        manner == Manner::WithoutTls
    }

    fn start(&self, _world: &Namespace) -> Result<()> {
        Ok(())
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        let Question { route, login, .. } = question;
        // It asks for the password at its terminal or, where it has none, on its standard streams.
        let mut client = world
            .command("setsid")
            .args(["--wait", "stdbuf", "-oL", "sasl-sample-client", "-m", route])
            .args(["-a", login, "-u", login, "-s", "smtp", "-n", "mail.example.test"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let heard = carry(world, &mut client, question).or_else(ending);
        let _ = killpg(Pid::from_raw(client.id().cast_signed()), Signal::SIGKILL);
        let _ = client.wait();
        Ok(heard.unwrap_or_else(|why| Heard::new(Verdict::Strange, why.to_string())))
    }
}

fn carry(world: &Namespace, client: &mut Child, question: Question<'_>) -> io::Result<Heard> {
    let mut wire = AuthWire::connect(world, question.patience)?;
    wire.version()?;
    wire.say(&format!("VERSION\t1\t2\nCPID\t{}\n", client.id()))?;
    let offered = wire.mechanisms()?;
    let mut client = Client::take(client, question)?;
    client.say(offered.join(" ").as_bytes())?;
    let first = client.hear()?;
    let (mechanism, initial) = match first.iter().position(|byte| *byte == 0) {
        Some(place) => (first.get(..place), first.get(place + 1..)),
        None => (Some(first.as_slice()), None),
    };
    let mechanism = String::from_utf8_lossy(mechanism.unwrap_or_default()).into_owned();
    if mechanism != question.route {
        return Err(io::Error::other(format!("chose {mechanism}")));
    }
    let secured = if question.manner == Manner::WithoutTls { "" } else { "\tsecured" };
    let initial = initial.map(|bytes| format!("\tresp={}", BASE64.encode(bytes)));
    wire.say(&format!(
        "AUTH\t1\t{mechanism}\tservice=smtp\tfinal-resp-ok{secured}\tlip=192.0.2.1\trip=192.0.2.7{}\n",
        initial.unwrap_or_default()
    ))?;
    loop {
        let line = wire.hear()?;
        if line.command() != "CONT" {
            return conclude(&mut client, &line, question);
        }
        client.say(&decode(line.field(2))?)?;
        wire.say(&format!("CONT\t1\t{}\n", BASE64.encode(client.hear()?)))?;
    }
}

/// An `OK` is only one when the client, who has seen the server's last words, says so too.
fn conclude(client: &mut Client, line: &Line, question: Question<'_>) -> io::Result<Heard> {
    let heard = judge(line, "1", question.login)?;
    if heard.verdict != Verdict::Accepted {
        return Ok(heard);
    }
    if let Some(last) = line.value("resp") {
        client.say(&decode(last)?)?;
    }
    client.hear_for("Negotiation complete").map(|()| heard)
}

fn decode(text: &str) -> io::Result<Vec<u8>> {
    BASE64.decode(text).map_err(|why| io::Error::other(format!("base64: {why}")))
}

/// The running program: messages are base64 behind `S: ` and `C: `.
struct Client {
    input: ChildStdin,
    output: Receiver<String>,
    said: String,
    password: String,
    end: Instant,
}

impl Client {
    fn take(child: &mut Child, question: Question<'_>) -> io::Result<Self> {
        let (Some(input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("no pipes"));
        };
        let (sender, receiver) = mpsc::channel();
        read_lines(output, sender.clone());
        read_lines(errors, sender);
        Ok(Self {
            input,
            output: receiver,
            said: String::new(),
            password: question.password.to_owned(),
            end: Instant::now() + question.patience,
        })
    }

    fn say(&mut self, message: &[u8]) -> io::Result<()> {
        writeln!(self.input, "S: {}", BASE64.encode(message))
    }

    /// Its next message.
    fn hear(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let line = self.line()?;
            if let Some(message) = line.strip_prefix("C: ") {
                return decode(message);
            }
        }
    }

    /// Waits for a line with these words.
    fn hear_for(&mut self, words: &str) -> io::Result<()> {
        while !self.said.contains(words) {
            self.line()?;
        }
        Ok(())
    }

    /// Its next line; on the way it gets the password when it asks for it.
    fn line(&mut self) -> io::Result<String> {
        loop {
            let left = self.end.saturating_duration_since(Instant::now());
            let Ok(line) = self.output.recv_timeout(left.max(Duration::from_millis(1))) else {
                return Err(io::Error::other(format!("no more after {:?}", self.said)));
            };
            if line == PROMPT {
                writeln!(self.input, "{}", self.password)?;
                continue;
            }
            self.said.push_str(&line);
            self.said.push('\n');
            return Ok(line);
        }
    }
}

/// What it asks for without ending the line.
const PROMPT: &str = "Password: ";

fn read_lines(mut from: impl Read + Send + 'static, to: mpsc::Sender<String>) {
    thread::spawn(move || {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while let Ok(1) = from.read(&mut byte) {
            match byte {
                [b'\n'] => {}
                [other] => {
                    line.push(other);
                    if line != PROMPT.as_bytes() {
                        continue;
                    }
                }
            }
            let text = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            if to.send(text).is_err() {
                return;
            }
        }
    });
}
