//! The line-by-line conversations of SMTP, IMAP and POP3, with a deadline, as far as a login needs them.
//!
//! Runs in the test process, as the peer's own client. Trusts nothing it hears; must never wait for ever.

use std::io::{self, BufRead, BufReader, Write};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;

use super::namespace::Namespace;
use super::tls::Wire;
use super::{Heard, Manner, Question, Result, Verdict, WRONG};

/// How long greetings and everything else before the login may take.
const COURTESY: Duration = Duration::from_secs(10);

/// A conversation in lines that end in CRLF.
pub(crate) struct Dialogue {
    stream: BufReader<Wire>,
    end: Instant,
}

impl Dialogue {
    /// Connects to a port of the namespace; no greeting is read yet.
    pub(crate) fn open(world: &Namespace, port: u16) -> io::Result<Self> {
        let stream = world.connect(port, COURTESY)?;
        stream.set_write_timeout(Some(COURTESY))?;
        Ok(Self::over(Wire::Clear(stream)))
    }

    /// A conversation on a connection that is there.
    pub(crate) fn over(wire: Wire) -> Self {
        Self { stream: BufReader::new(wire), end: Instant::now() + COURTESY }
    }

    /// From now on lines are awaited for this long.
    pub(crate) fn patience(&mut self, patience: Duration) {
        self.end = Instant::now() + patience;
    }

    /// Sends one line.
    pub(crate) fn say(&mut self, line: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes())
    }

    /// The next line without its end; an error of kind `UnexpectedEof` when the peer has closed.
    pub(crate) fn hear(&mut self) -> io::Result<String> {
        let left = self.end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.get_ref().set_read_timeout(left)?;
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// The next line of which `wanted` says yes.
    pub(crate) fn hear_until(&mut self, wanted: impl Fn(&str) -> bool) -> io::Result<String> {
        loop {
            let line = self.hear()?;
            if wanted(&line) {
                return Ok(line);
            }
        }
    }

    /// The last line of an SMTP reply.
    pub(crate) fn reply(&mut self) -> io::Result<String> {
        self.hear_until(|line| line.as_bytes().get(3) != Some(&b'-'))
    }
}

/// A line that did not come in time is silence; other faults of the connection are words of their own.
pub(crate) fn heard(line: io::Result<String>, meanings: &[(&str, Verdict)]) -> Result<Heard> {
    match line {
        Ok(line) => Ok(Heard::among(&line, meanings)),
        Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Ok(Heard::new(Verdict::Silent, "waits"))
        }
        Err(why) => Ok(Heard::new(Verdict::Strange, format!("connection: {why}"))),
    }
}

/// Logs in over SMTP (RFC 4954) with the mechanism that the route names.
pub(crate) fn smtp(
    world: &Namespace,
    port: u16,
    question: Question<'_>,
    meanings: &[(&str, Verdict)],
) -> Result<Heard> {
    let mut dialogue = Dialogue::open(world, port)?;
    dialogue.reply()?;
    converse(&mut dialogue, question, meanings)
}

/// The same on a connection that is there. A server that ends it before its greeting is a temporary failure.
pub(crate) fn smtp_over(
    wire: Wire,
    question: Question<'_>,
    meanings: &[(&str, Verdict)],
) -> Result<Heard> {
    let mut dialogue = Dialogue::over(wire);
    match dialogue.reply() {
        Ok(_) => converse(&mut dialogue, question, meanings),
        Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => {
            Ok(Heard::new(Verdict::Temporary, "no greeting"))
        }
        Err(why) => heard(Err(why), meanings),
    }
}

fn converse(
    dialogue: &mut Dialogue,
    question: Question<'_>,
    meanings: &[(&str, Verdict)],
) -> Result<Heard> {
    dialogue.say("EHLO client.example.test")?;
    dialogue.reply()?;
    match question.manner {
        Manner::Plainly | Manner::WithoutTls => {}
        Manner::AfterRefusal => {
            let refused = log_in(dialogue, Question { password: WRONG, ..question });
            let refused = heard(refused, meanings)?;
            if refused.verdict != Verdict::Refused {
                return Ok(Heard::new(Verdict::Strange, format!("wrong: {}", refused.words)));
            }
        }
        Manner::AfterCancel => {
            dialogue.say(&format!("AUTH {}", question.route))?;
            dialogue.reply()?;
            dialogue.say("*")?;
            let cancelled = dialogue.reply()?;
            if !cancelled.starts_with("501") {
                return Ok(Heard::new(Verdict::Strange, format!("cancel: {cancelled}")));
            }
        }
    }
    let answer = log_in(dialogue, question);
    let _ = dialogue.say("QUIT");
    heard(answer, meanings)
}

fn log_in(dialogue: &mut Dialogue, question: Question<'_>) -> io::Result<String> {
    match question.route {
        "LOGIN" => {
            dialogue.say("AUTH LOGIN")?;
            dialogue.patience(question.patience);
            for word in [question.login, question.password] {
                let prompt = dialogue.reply()?;
                if !prompt.starts_with("334") {
                    return Ok(prompt);
                }
                dialogue.say(&BASE64.encode(word))?;
            }
        }
        _ => dialogue.say(&format!("AUTH PLAIN {}", plain(question)))?,
    }
    dialogue.patience(question.patience);
    dialogue.reply()
}

/// The initial response of PLAIN (RFC 4616) in base64.
pub(crate) fn plain(question: Question<'_>) -> String {
    BASE64.encode(format!("\0{}\0{}", question.login, question.password))
}
