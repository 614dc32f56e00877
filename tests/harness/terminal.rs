//! A conversation with a program that insists on a terminal.

use std::io::{self, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::ran::{Ran, finish};
use crate::{Sandbox, wait_for};

/// Runs `command` on a terminal of its own: each time the output ends with the next prompt, types the answer.
///
/// The answer to a prompt is typed when the program in `sandbox` has switched the echo off, or soon after.
/// Needs script(1). Both streams of the program arrive in `stdout`, with the terminal's CR LF made LF.
pub fn converse(
    sandbox: &Sandbox,
    command: &Command,
    script: &[(&str, &str)],
    limit: Duration,
) -> io::Result<Ran> {
    let line = shell_words(command);
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(mut keys), Some(stream)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("script(1) without its pipes"));
    };
    let mut screen = Screen::watch(stream, limit);
    for (prompt, answer) in script {
        if !screen.shows(prompt.as_bytes()) {
            break;
        }
        // A program prompts first and stops the echo then, dropping what was typed in between.
        wait_for(SETTLED, || sandbox.processes("sasl").into_iter().any(echo_is_off));
        keys.write_all(answer.as_bytes())?;
        keys.flush()?;
    }
    let ended = screen.ends();
    drop(keys);
    let mut ran = finish(&mut child, if ended { limit } else { Duration::ZERO })?;
    ran.stdout = screen.seen.into_iter().filter(|byte| *byte != b'\r').collect();
    Ok(ran)
}

/// What has appeared on the terminal so far, and until when more is awaited.
struct Screen {
    bytes: Receiver<u8>,
    seen: Vec<u8>,
    deadline: Instant,
}

impl Screen {
    fn watch(stream: impl Read + Send + 'static, limit: Duration) -> Self {
        let (sender, bytes) = mpsc::channel();
        thread::spawn(move || {
            let mut all = BufReader::new(stream).bytes().map_while(Result::ok);
            all.all(|byte| sender.send(byte).is_ok());
        });
        Self { bytes, seen: Vec::new(), deadline: Instant::now() + limit }
    }

    /// Waits until `prompt` appears behind what has been seen; false at the end or the deadline.
    fn shows(&mut self, prompt: &[u8]) -> bool {
        let from = self.seen.len();
        while !self.seen.get(from..).is_some_and(|new| new.ends_with(prompt)) {
            match self.next() {
                Ok(byte) => self.seen.push(byte),
                Err(_) => return false,
            }
        }
        true
    }

    /// Waits for the end of the output; false when the deadline came first.
    fn ends(&mut self) -> bool {
        loop {
            match self.next() {
                Ok(byte) => self.seen.push(byte),
                Err(why) => return why == RecvTimeoutError::Disconnected,
            }
        }
    }

    fn next(&self) -> Result<u8, RecvTimeoutError> {
        self.bytes.recv_timeout(self.deadline.saturating_duration_since(Instant::now()))
    }
}

/// How long a prompt may stand before the echo is off.
const SETTLED: Duration = Duration::from_secs(1);

fn echo_is_off(pid: i32) -> bool {
    let Ok(terminal) = std::fs::read_link(format!("/proc/{pid}/fd/0")) else { return false };
    let asked = Command::new("stty").arg("-F").arg(terminal).arg("-a").output();
    asked.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains(" -echo "))
}

fn shell_words(command: &Command) -> String {
    let quote =
        |word: &std::ffi::OsStr| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"));
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(quote).collect::<Vec<_>>().join(" ")
}
