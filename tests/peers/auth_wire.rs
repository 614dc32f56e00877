//! The lines of Dovecot's authentication protocol, for clients that the tests play themselves.
//!
//! Runs in the test process. Shares no code with the daemon, and complains of every line that some client of the
//! field can't read.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::namespace::Namespace;
use super::{Heard, Verdict};

/// Where the daemons' socket is. Dovecot's imap takes logins only from a socket that is called `…login`.
pub(crate) const PATH: &str = "/run/auth/auth-login";

/// A connection to the daemon, with a deadline.
pub(crate) struct AuthWire {
    stream: BufReader<UnixStream>,
    end: Instant,
    server: String,
}

/// One line from the daemon, parted at its tabs.
#[derive(Debug)]
pub(crate) struct Line(Vec<String>);

impl Line {
    /// The first word.
    pub(crate) fn command(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// The field of this place; 1 is the first after the command.
    pub(crate) fn field(&self, place: usize) -> &str {
        self.0.get(place).map_or("", String::as_str)
    }

    /// The value of the first `key=value` of this key.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().skip(2).find_map(|field| field.strip_prefix(key)?.strip_prefix('='))
    }

    /// Whether it has this word of its own.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.0.iter().skip(2).any(|field| field == word)
    }
}

impl AuthWire {
    /// Connects; nothing is said yet.
    pub(crate) fn connect(world: &Namespace, patience: Duration) -> io::Result<Self> {
        Self::open(&world.path(PATH), patience)
    }

    /// The same by the socket's name on the host.
    pub(crate) fn open(path: &Path, patience: Duration) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_write_timeout(Some(patience))?;
        let end = Instant::now() + patience;
        Ok(Self { stream: BufReader::new(stream), end, server: String::new() })
    }

    /// The daemon's number of itself, known when its mechanisms are.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Sends bytes in one write.
    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(text.as_bytes())
    }

    /// The next line; an error of kind `UnexpectedEof` when the daemon has closed.
    pub(crate) fn hear(&mut self) -> io::Result<Line> {
        let left = self.end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.get_ref().set_read_timeout(Some(left))?;
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.strip_suffix('\n') {
            Some("") | None => Err(io::Error::other(format!("broken line {line:?}"))),
            Some(line) => Ok(Line(line.split('\t').map(str::to_owned).collect())),
        }
    }

    /// Reads `VERSION` of the daemon.
    pub(crate) fn version(&mut self) -> io::Result<()> {
        let line = self.hear()?;
        if line.command() == "VERSION" && line.field(1) == "1" && line.0.len() == 3 {
            return Ok(());
        }
        Err(io::Error::other(format!("not a version: {line:?}")))
    }

    /// Reads what follows it, to `DONE`; the names of the mechanisms.
    ///
    /// Postfix and Exim want a mechanism before `SPID`, Dovecot's own clients a cookie.
    pub(crate) fn mechanisms(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        let mut order = Vec::new();
        loop {
            let line = self.hear()?;
            match line.command() {
                "MECH" => names.push(line.field(1).to_owned()),
                "COOKIE" if !is_cookie(line.field(1)) => {
                    return Err(io::Error::other(format!("not a cookie: {line:?}")));
                }
                "DONE" => break,
                other => {
                    if other == "SPID" {
                        line.field(1).clone_into(&mut self.server);
                    }
                    order.push(other.to_owned());
                }
            }
            if order.len() == 1 && names.is_empty() {
                return Err(io::Error::other("something before the first MECH"));
            }
        }
        if order != ["SPID", "CUID", "COOKIE"] {
            return Err(io::Error::other(format!("greeted with {order:?}")));
        }
        Ok(names)
    }

    /// The outcome of request `id`: `OK` of this user, `FAIL`, or the end of the connection.
    pub(crate) fn outcome(&mut self, id: &str, user: &str) -> io::Result<Heard> {
        let line = match self.hear() {
            Ok(line) => line,
            Err(why) => return ending(why),
        };
        judge(&line, id, user)
    }
}

/// What a last line means. Maddy's client dies of an `OK` with a word that has no `=`.
pub(crate) fn judge(line: &Line, id: &str, user: &str) -> io::Result<Heard> {
    if line.field(1) != id {
        return Err(io::Error::other(format!("answers something else: {line:?}")));
    }
    match line.command() {
        "OK" if line.field(2) != format!("user={user}") => {
            Err(io::Error::other(format!("logs somebody else in: {line:?}")))
        }
        "OK" if line.0.iter().skip(2).any(|field| !field.contains('=')) => {
            Err(io::Error::other(format!("a word without a value: {line:?}")))
        }
        "OK" => Ok(Heard::new(Verdict::Accepted, "OK")),
        "FAIL" if line.value("code") == Some("temp_fail") || line.has("temp") => {
            Ok(Heard::new(Verdict::Temporary, "FAIL temp_fail"))
        }
        "FAIL" => Ok(Heard::new(Verdict::Refused, "FAIL")),
        _ => Err(io::Error::other(format!("not an outcome: {line:?}"))),
    }
}

/// What the end of a connection means: an outage, or silence.
pub(crate) fn ending(why: io::Error) -> io::Result<Heard> {
    match why.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Ok(Heard::new(Verdict::Silent, "waits"))
        }
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            Ok(Heard::new(Verdict::Temporary, "connect"))
        }
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => Ok(Heard::new(Verdict::Temporary, "EOF")),
        _ => Err(why),
    }
}

fn is_cookie(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
