//! One run of a program to its end: exit code, output, and nothing that hangs.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How a program ended and what it wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// The exit code; `None` when a signal ended it, ours included.
    pub code: Option<i32>,
    /// Whether it was still running at the deadline and was killed.
    pub hung: bool,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Ran {
    /// Runs `command` with `input` on its standard input, for at most `limit`.
    ///
    /// The output goes to files, so that a daemon that keeps the streams open can't hold the test.
    pub fn of(command: &mut Command, input: &[u8], limit: Duration) -> io::Result<Self> {
        let (mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(out.try_clone()?)
            .stderr(err.try_clone()?)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that exits before it reads is no failure of the test.
            let _ = stdin.write_all(input);
        }
        let mut ran = finish(&mut child, limit)?;
        ran.stdout = written(&mut out)?;
        ran.stderr = written(&mut err)?;
        Ok(ran)
    }

    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The end in a word: `exit 0`, `signal 11`, `hangs`.
    pub fn end(&self) -> String {
        match (self.hung, self.code, self.signal) {
            (true, ..) => "hangs".to_owned(),
            (_, Some(code), _) => format!("exit {code}"),
            (.., signal) => format!("signal {}", signal.unwrap_or_default()),
        }
    }
}

/// Waits for the end of a child whose output somebody else reads; kills it at the limit.
pub(crate) fn finish(child: &mut Child, limit: Duration) -> io::Result<Ran> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait()? {
            let (code, signal) = (status.code(), status.signal());
            return Ok(Ran { code, signal, ..Ran::default() });
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(Ran { hung: true, ..Ran::default() });
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}

/// The most output that is kept of one program, in bytes.
const MOST: u64 = 1 << 20;

fn written(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}
