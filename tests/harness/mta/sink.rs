//! A next hop by script: it speaks SMTP or LMTP, records all that it hears, and says what the test wants instead.
//!
//! Runs in the test process, one thread for each connection; it ends with the test.

mod wire;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::socket::{setsockopt, sockopt::Linger};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::tls::name_of;
use crate::PATIENCE;
use wire::Wire;

/// What a sink hears, for a script to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// A client connected.
    Connected,
    /// A command, without its end.
    Line(&'a str),
    /// The end of a message; with LMTP once for each recipient.
    Message(&'a Message),
}

/// What a sink does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// What servers do.
    Usual,
    /// Says these bytes, as they are.
    Say(Vec<u8>),
    /// Says these bytes and closes.
    SayAndClose(Vec<u8>),
    /// Says these bytes, and others when the client's next ones came, and closes.
    SayTwice(Vec<u8>, Vec<u8>),
    /// Says nothing.
    Silence,
    /// Closes.
    Close,
    /// Says these bytes and resets the connection.
    SayAndReset(Vec<u8>),
}

impl Act {
    /// One line.
    pub fn line(text: &str) -> Self {
        Self::Say(format!("{text}\r\n").into_bytes())
    }
}

/// A message that was heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// MAIL as it came.
    pub mail: String,
    /// Each RCPT that was accepted, as it came.
    pub recipients: Vec<String>,
    /// The bytes, without dots that were put before dots and without the last one.
    pub data: Vec<u8>,
    /// Whether it came inside TLS.
    pub tls: bool,
}

impl Message {
    /// Its text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }
}

type Script = dyn Fn(Heard<'_>) -> Act + Send + Sync;

/// What a sink is like before it starts.
#[derive(Clone)]
pub struct Manner {
    tls: Option<Arc<ServerConfig>>,
    implicit: bool,
    lmtp: bool,
    offers: Vec<String>,
    script: Arc<Script>,
}

impl Default for Manner {
    fn default() -> Self {
        Self::smtp()
    }
}

impl Manner {
    /// SMTP without TLS.
    pub fn smtp() -> Self {
        let offers = ["PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"];
        let offers = offers.map(str::to_owned).to_vec();
        Self { tls: None, implicit: false, lmtp: false, offers, script: Arc::new(|_| Act::Usual) }
    }

    /// LMTP without TLS.
    pub fn lmtp() -> Self {
        Self { lmtp: true, ..Self::smtp() }
    }

    /// STARTTLS is offered.
    #[must_use]
    pub fn starttls(mut self, config: Arc<ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// TLS begins at once.
    #[must_use]
    pub fn implicit(mut self, config: Arc<ServerConfig>) -> Self {
        (self.tls, self.implicit) = (Some(config), true);
        self
    }

    /// Exactly these extensions are offered, and STARTTLS if there is TLS.
    #[must_use]
    pub fn offers(mut self, extensions: &[&str]) -> Self {
        self.offers = extensions.iter().map(|extension| (*extension).to_owned()).collect();
        self
    }

    /// Asks `script` before everything that it does.
    #[must_use]
    pub fn script(mut self, script: impl Fn(Heard<'_>) -> Act + Send + Sync + 'static) -> Self {
        self.script = Arc::new(script);
        self
    }
}

/// All that was heard.
#[derive(Debug, Default)]
struct Record {
    wire: Vec<String>,
    messages: Vec<Message>,
    /// Of TCP, by the number of their session, to be closed with the sink.
    streams: BTreeMap<usize, TcpStream>,
    /// Sessions that have begun.
    begun: usize,
    /// Sessions that have not ended.
    sessions: usize,
}

impl Record {
    /// The number of a session that begins.
    fn begin(&mut self, stream: Option<TcpStream>) -> usize {
        self.begun += 1;
        self.sessions += 1;
        self.streams.extend(stream.map(|stream| (self.begun, stream)));
        self.begun
    }
}

/// A running next hop.
#[derive(Debug)]
pub struct Sink {
    address: Option<SocketAddr>,
    path: Option<std::path::PathBuf>,
    record: Arc<Mutex<Record>>,
    ends: Arc<AtomicBool>,
}

impl Sink {
    /// Listens on a port of this address; 0 for a free one.
    pub fn listen(address: IpAddr, port: u16, manner: Manner) -> io::Result<Self> {
        let listener = TcpListener::bind((address, port))?;
        let sink = Self::new(Some(listener.local_addr()?), None);
        let (record, ends) = (sink.record.clone(), sink.ends.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let _ = stream.set_read_timeout(Some(6 * PATIENCE));
                let _ = stream.set_nodelay(true);
                let (record, manner) = (record.clone(), manner.clone());
                let number = lock(&record).begin(stream.try_clone().ok());
                thread::spawn(move || {
                    Session::new(Wire::Tcp(stream), record, manner, number).run();
                });
            }
        });
        Ok(sink)
    }

    /// Listens on a Unix socket.
    pub fn listen_at(path: &Path, manner: Manner) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
        let sink = Self::new(None, Some(path.to_owned()));
        let (record, ends) = (sink.record.clone(), sink.ends.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (record, manner) = (record.clone(), manner.clone());
                let number = lock(&record).begin(None);
                thread::spawn(move || {
                    Session::new(Wire::Unix(stream), record, manner, number).run();
                });
            }
        });
        Ok(sink)
    }

    fn new(address: Option<SocketAddr>, path: Option<std::path::PathBuf>) -> Self {
        Self { address, path, record: Arc::default(), ends: Arc::default() }
    }

    /// Its port; 0 for a Unix socket.
    pub fn port(&self) -> u16 {
        self.address.map_or(0, |address| address.port())
    }

    /// The messages that it said 250 to, or was told to.
    pub fn messages(&self) -> Vec<Message> {
        lock(&self.record).messages.clone()
    }

    /// Everything heard, in sendmail's oracle's words: `<connect>`, `EHLO x`, `<tls TLSv1.3>`, `[tls] QUIT`.
    pub fn wire(&self) -> Vec<String> {
        lock(&self.record).wire.clone()
    }

    /// Closes every connection, as a server that is stopped does; the messages that it had said its word to.
    pub fn stop(self) -> Vec<Message> {
        self.close();
        crate::wait_until(|| lock(&self.record).sessions == 0);
        self.messages()
    }

    fn close(&self) {
        if self.ends.swap(true, Ordering::SeqCst) {
            return;
        }
        // Wakes the thread that waits for clients.
        match (&self.address, &self.path) {
            (Some(address), _) => drop(TcpStream::connect_timeout(address, PATIENCE)),
            (None, Some(path)) => drop(UnixStream::connect(path)),
            (None, None) => {}
        }
        for stream in lock(&self.record).streams.values() {
            // One that has ended already is closed as it should be.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Waits until so many messages are there.
    pub fn await_messages(&self, count: usize) -> Vec<Message> {
        crate::wait_until(|| lock(&self.record).messages.len() >= count);
        self.messages()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What follows a command.
enum Next {
    Command,
    Data,
    StartTls,
    End,
}

struct Session {
    stream: BufReader<Wire>,
    record: Arc<Mutex<Record>>,
    manner: Manner,
    message: Message,
    tls: bool,
    number: usize,
}

impl Session {
    fn new(wire: Wire, record: Arc<Mutex<Record>>, manner: Manner, number: usize) -> Self {
        Self {
            number,
            stream: BufReader::new(wire),
            record,
            manner,
            message: Message::default(),
            tls: false,
        }
    }

    fn run(mut self) {
        // A client that goes away is no fault of the sink's; what it said is recorded.
        let _ = self.serve();
        let Self { stream, record, number, .. } = self;
        // The last end of the connection, or it would stay open as long as the sink.
        lock(&record).streams.remove(&number);
        drop(stream);
        lock(&record).sessions -= 1;
    }

    fn serve(&mut self) -> io::Result<()> {
        lock(&self.record).wire.push("<connect>".to_owned());
        if self.manner.implicit && !self.begin_tls()? {
            return Ok(());
        }
        let act = (self.manner.script)(Heard::Connected);
        if !self.act(act, "220 sink.test ESMTP")? {
            return Ok(());
        }
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end_matches(['\r', '\n']).to_owned();
            self.note(&line);
            match self.command(&line)? {
                Next::Command => {}
                Next::Data if !self.data()? => return Ok(()),
                Next::Data => {}
                Next::StartTls if !self.begin_tls()? => return Ok(()),
                Next::StartTls => {}
                Next::End => return Ok(()),
            }
        }
    }

    fn note(&self, line: &str) {
        let mark = if self.tls { "[tls] " } else { "" };
        lock(&self.record).wire.push(format!("{mark}{line}"));
    }

    fn command(&mut self, line: &str) -> io::Result<Next> {
        let verb: String = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let act = (self.manner.script)(Heard::Line(line));
        let usual = act == Act::Usual;
        let accepted = match &act {
            Act::Usual => true,
            Act::Say(bytes) => bytes.starts_with(b"2") || bytes.starts_with(b"3"),
            _ => false,
        };
        let reply = match verb.as_str() {
            "EHLO" | "LHLO" | "HELO" => self.greeting(),
            "MAIL" | "RSET" | "NOOP" => "250 2.0.0 ok".to_owned(),
            "RCPT" => "250 2.1.5 ok".to_owned(),
            "DATA" => "354 go on".to_owned(),
            "STARTTLS" if self.manner.tls.is_some() && !self.tls => "220 2.0.0 ready".to_owned(),
            "AUTH" => "235 2.7.0 ok".to_owned(),
            "QUIT" => "221 2.0.0 bye".to_owned(),
            _ => "502 5.5.1 not here".to_owned(),
        };
        if !self.act(act, &reply)? {
            return Ok(Next::End);
        }
        Ok(match verb.as_str() {
            "MAIL" if accepted => {
                self.message =
                    Message { mail: line.to_owned(), tls: self.tls, ..Message::default() };
                Next::Command
            }
            "RCPT" if accepted => {
                self.message.recipients.push(line.to_owned());
                Next::Command
            }
            "DATA" if accepted => Next::Data,
            "STARTTLS" if usual && reply.starts_with('2') => Next::StartTls,
            "QUIT" => Next::End,
            _ => Next::Command,
        })
    }

    fn greeting(&self) -> String {
        let mut lines = vec!["sink.test".to_owned()];
        lines.extend(self.manner.offers.iter().cloned());
        if self.manner.tls.is_some() && !self.tls {
            lines.push("STARTTLS".to_owned());
        }
        let last = lines.len() - 1;
        let marked = lines.iter().enumerate().map(|(index, line)| {
            let mark = if index == last { ' ' } else { '-' };
            format!("250{mark}{line}")
        });
        marked.collect::<Vec<_>>().join("\r\n")
    }

    /// Does it; false when the connection is to end.
    fn act(&mut self, act: Act, usual: &str) -> io::Result<bool> {
        let wire = self.stream.get_mut();
        match act {
            Act::Usual => wire.write_all(format!("{usual}\r\n").as_bytes())?,
            Act::Say(bytes) => wire.write_all(&bytes)?,
            Act::SayAndClose(bytes) => {
                wire.write_all(&bytes)?;
                wire.flush()?;
                return Ok(false);
            }
            Act::SayTwice(first, then) => {
                wire.write_all(&first)?;
                wire.flush()?;
                self.stream.fill_buf()?;
                self.stream.get_mut().write_all(&then)?;
                return Ok(false);
            }
            Act::SayAndReset(bytes) => {
                wire.write_all(&bytes)?;
                let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                if let Wire::Tcp(stream) = wire {
                    setsockopt(stream, Linger, &at_once)?;
                }
                return Ok(false);
            }
            Act::Silence => return Ok(true),
            Act::Close => return Ok(false),
        }
        wire.flush()?;
        Ok(true)
    }

    fn data(&mut self) -> io::Result<bool> {
        let mut data = Vec::new();
        loop {
            let mut line = Vec::new();
            if self.stream.read_until(b'\n', &mut line)? == 0 {
                return Ok(false);
            }
            if line == b".\r\n" {
                break;
            }
            data.extend(line.strip_prefix(b".").unwrap_or(&line));
        }
        self.message.data = data;
        let message = std::mem::take(&mut self.message);
        let replies = if self.manner.lmtp { message.recipients.len() } else { 1 };
        let (mut goes_on, mut kept) = (true, false);
        for _ in 0..replies {
            let act = (self.manner.script)(Heard::Message(&message));
            kept |= match &act {
                Act::Usual => true,
                Act::Say(bytes) | Act::SayAndClose(bytes) | Act::SayAndReset(bytes) => {
                    bytes.starts_with(b"2")
                }
                Act::SayTwice(..) | Act::Silence | Act::Close => false,
            };
            // Only what was answered counts: without an answer the client comes again.
            goes_on = self.act(act, "250 2.0.0 kept")?;
            if kept {
                let mut record = lock(&self.record);
                if record.messages.last() != Some(&message) || !self.manner.lmtp {
                    record.messages.push(message.clone());
                }
            }
            if !goes_on {
                break;
            }
        }
        Ok(goes_on)
    }

    fn begin_tls(&mut self) -> io::Result<bool> {
        let Some(config) = self.manner.tls.clone() else { return Ok(false) };
        let Wire::Tcp(stream) = self.stream.get_ref() else { return Ok(false) };
        let mut stream = stream.try_clone()?;
        let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
        while session.is_handshaking() {
            if session.complete_io(&mut stream).is_err() {
                lock(&self.record).wire.push("<tls failed>".to_owned());
                return Ok(false);
            }
        }
        let version = match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let shown = match session.peer_certificates().and_then(<[_]>::first) {
            Some(leaf) => format!("client certificate {}", name_of(leaf)),
            None => "no certificate".to_owned(),
        };
        lock(&self.record).wire.push(format!("<tls {version}, {shown}>"));
        self.stream = BufReader::new(Wire::Tls(Box::new(StreamOwned::new(session, stream))));
        self.tls = true;
        Ok(true)
    }
}
