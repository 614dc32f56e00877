//! A client of the pwcheck socket, written to the protocol as libsasl2 speaks it when built with pwcheck.
//!
//! Debian builds no client with it, so this one stands for them all: one write of `user NUL password NUL`, then
//! everything up to EOF, of which the first two bytes decide. Shares no code with the daemon.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::namespace::Namespace;
use super::{Heard, Peer, Question, Result, Socket, Verdict};

/// The client.
pub(crate) struct Pwcheck;

/// Where the tests' daemons put the socket.
pub(crate) const PATH: &str = "/run/pwcheck/pwcheck";

const MEANINGS: [(&str, Verdict); 2] = [("OK", Verdict::Accepted), ("", Verdict::Refused)];

impl Peer for Pwcheck {
    fn name(&self) -> &'static str {
        "pwcheck client"
    }

    fn programs(&self) -> &'static [&'static str] {
        &[]
    }

    fn routes(&self) -> &'static [&'static str] {
        &["to EOF"]
    }

    fn tells_outage(&self, _route: &str) -> bool {
        true
    }

    fn service(&self, _route: &str) -> &'static str {
        ""
    }

    fn socket(&self) -> Socket {
        Socket::Pwcheck
    }

    fn start(&self, world: &Namespace) -> Result<()> {
        world.directory("/run/pwcheck", 0)
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        let Ok(mut stream) = UnixStream::connect(world.path(PATH)) else {
            return Ok(Heard::new(Verdict::Temporary, "connect"));
        };
        stream.write_all(format!("{}\0{}\0", question.login, question.password).as_bytes())?;
        match read_to_end(&mut stream, question.patience) {
            Ok(reply) if reply.is_empty() => Ok(Heard::new(Verdict::Temporary, "EOF")),
            Ok(reply) => {
                let heard = Heard::among(&String::from_utf8_lossy(&reply), &MEANINGS);
                let words = String::from_utf8_lossy(&reply).into_owned();
                Ok(Heard::new(heard.verdict, words))
            }
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                Ok(Heard::new(Verdict::Silent, "waits"))
            }
            Err(why) => Ok(Heard::new(Verdict::Strange, why.to_string())),
        }
    }
}

/// The reply is over at EOF and not before: a daemon that doesn't close keeps its client waiting.
fn read_to_end(stream: &mut UnixStream, patience: Duration) -> io::Result<Vec<u8>> {
    let end = Instant::now() + patience;
    let mut reply = Vec::new();
    let mut chunk = [0; 256];
    loop {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk)? {
            0 => return Ok(reply),
            count => reply.extend_from_slice(chunk.get(..count).unwrap_or_default()),
        }
    }
}
