//! A scripted daemon on a mux socket of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub(crate) const OK: &[u8] = b"\x00\x02OK";
pub(crate) const NO: &[u8] = b"\x00\x02NO";

/// Serves its clients one after another, and closes after each answer.
pub(crate) struct Daemon {
    _directory: tempfile::TempDir,
    socket: PathBuf,
    script: Script,
}

enum Script {
    /// The fields of the last request.
    Answers(JoinHandle<Vec<String>>),
    /// Nobody is expected.
    Silent(UnixListener),
    /// Closes each connection unread, for as long as the process lives.
    HangsUp,
}

impl Daemon {
    /// Answers one request of so many fields.
    pub(crate) fn saying(reply: &'static [u8], fields: usize) -> Self {
        Self::answering(vec![reply], fields)
    }

    /// Answers a request with each of the replies.
    pub(crate) fn answering(replies: Vec<&'static [u8]>, fields: usize) -> Self {
        Self::with(|listener| {
            Script::Answers(thread::spawn(move || {
                let answer = |reply: &[u8]| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let heard = (0..fields).map(|_| field(&mut stream)).collect();
                    // A field too many would be lost otherwise.
                    stream.set_nonblocking(true).unwrap();
                    let mut rest = [0; 1];
                    assert_ne!(stream.read(&mut rest).unwrap_or(0), 1, "after {heard:?}");
                    stream.write_all(reply).unwrap();
                    // What the module leaves open, its host would have for ever.
                    stream.set_nonblocking(false).unwrap();
                    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                    assert_eq!(stream.read(&mut rest).unwrap(), 0);
                    heard
                };
                replies.into_iter().map(answer).fold(Vec::new(), |_, heard| heard)
            }))
        })
    }

    /// A Dovecot auth server with these mechanisms, which answers the first request and closes; it hears that line.
    pub(crate) fn auth(mechanisms: &'static str, reply: &'static str) -> Self {
        Self::with(|listener| {
            Script::Answers(thread::spawn(move || {
                let (stream, _) = listener.accept().unwrap();
                let cookie = "0123456789abcdef0123456789abcdef";
                let hello = format!(
                    "VERSION\t1\t2\n{mechanisms}SPID\t9\nCUID\t1\nCOOKIE\t{cookie}\nDONE\n"
                );
                (&stream).write_all(hello.as_bytes()).unwrap();
                let mut lines = BufReader::new(&stream).lines();
                let request =
                    lines.find(|line| !line.as_ref().is_ok_and(|line| !line.starts_with("AUTH")));
                // A client that asked nothing has gone.
                if request.is_some() {
                    (&stream).write_all(reply.as_bytes()).unwrap();
                }
                request.map(Result::unwrap).into_iter().collect()
            }))
        })
    }

    /// Accepts nothing; see [`Daemon::was_asked`].
    pub(crate) fn silent() -> Self {
        Self::with(Script::Silent)
    }

    /// Accepts and closes, again and again.
    pub(crate) fn hanging_up() -> Self {
        Self::with(|listener| {
            thread::spawn(move || listener.incoming().for_each(drop));
            Script::HangsUp
        })
    }

    fn with(script: impl FnOnce(UnixListener) -> Script) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("mux");
        let listener = UnixListener::bind(&socket).unwrap();
        Self { _directory: directory, socket, script: script(listener) }
    }

    /// A line of a service file: `start`, the module, this socket and more arguments.
    pub(crate) fn line(&self, start: &str, arguments: &str) -> String {
        format!("{start} MODULE socket={} {arguments}", self.socket.display())
    }

    /// As [`Daemon::line`], with the socket as one that speaks Dovecot's protocol.
    pub(crate) fn auth_line(&self, arguments: &str) -> String {
        format!("auth required MODULE auth={} {arguments}", self.socket.display())
    }

    /// The fields or the line of the last request, when all replies were given.
    pub(crate) fn heard(self) -> Vec<String> {
        match self.script {
            Script::Answers(thread) => thread.join().unwrap(),
            Script::Silent(_) | Script::HangsUp => panic!("this one hears nothing"),
        }
    }

    /// Whether somebody connected.
    pub(crate) fn was_asked(&self) -> bool {
        let Script::Silent(listener) = &self.script else { panic!("this one answers") };
        listener.set_nonblocking(true).unwrap();
        listener.accept().is_ok()
    }
}

fn field(stream: &mut UnixStream) -> String {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut field = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut field).unwrap();
    String::from_utf8(field).unwrap()
}
