//! A client of SMTP that says exactly the bytes it is told to, before and inside TLS, in as many pieces as it is told to.
//!
//! Runs in the test process. It knows no rule of SMTP but where a reply ends, and believes no certificate: what the server
//! shows is for the test to look at.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::PATIENCE;

/// A connection to a server.
pub struct Client {
    wire: Wire,
    heard: Vec<u8>,
}

enum Wire {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// Between two wires, and after a handshake that failed.
    None,
}

/// What a server said at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// All its lines, without their ends; none when the server closed, or said nothing in time.
    pub lines: Vec<String>,
}

impl Reply {
    /// Its code; 0 for none.
    pub fn code(&self) -> u16 {
        self.lines.last().and_then(|line| line.get(..3)?.parse().ok()).unwrap_or(0)
    }

    /// Its last line, or `closed`.
    pub fn text(&self) -> &str {
        self.lines.last().map_or("closed", String::as_str)
    }

    /// Whether a line of an EHLO's reply is this word, or begins with it.
    pub fn offers(&self, word: &str) -> bool {
        let offered = self.lines.iter().filter_map(|line| line.get(4..));
        offered.filter_map(|line| line.split(' ').next()).any(|first| first == word)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl Client {
    /// Connects from an address of its own, or from whichever the system takes; the greeting is not read yet.
    pub fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<Self> {
        let stream = match from {
            None => TcpStream::connect_timeout(&to, PATIENCE)?,
            Some(from) => connect_from(to, from)?,
        };
        Self::over(stream)
    }

    /// A connection that is there.
    pub fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { wire: Wire::Clear(stream), heard: Vec::new() })
    }

    /// From now on replies are awaited so long.
    pub fn patience(&mut self, limit: Duration) -> io::Result<()> {
        self.socket()?.set_read_timeout(Some(limit))
    }

    /// Sends bytes, as they are, at once.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.wire {
            Wire::Clear(stream) => stream.write_all(bytes),
            Wire::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Wire::None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Sends a line and waits for its reply.
    pub fn say(&mut self, line: &str) -> io::Result<Reply> {
        self.send(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// The next reply; one without lines when the server closed.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let Some(line) = self.line()? else { return Ok(Reply { lines }) };
            let last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if last {
                return Ok(Reply { lines });
            }
        }
    }

    /// The next line; `None` at the end of the connection.
    pub fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                return Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()));
            }
            if self.more()? == 0 {
                return Ok(None);
            }
        }
    }

    /// All that comes until the server closes.
    pub fn rest(&mut self) -> io::Result<String> {
        while self.more()? > 0 {}
        Ok(String::from_utf8_lossy(&std::mem::take(&mut self.heard)).into_owned())
    }

    /// What was heard and not yet asked for.
    pub fn unread(&self) -> &[u8] {
        &self.heard
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 16 * 1024];
        let read = match &mut self.wire {
            Wire::Clear(stream) => stream.read(&mut bytes),
            Wire::Tls(stream) => stream.read(&mut bytes),
            Wire::None => Ok(0),
        };
        match read {
            Ok(count) => {
                self.heard.extend(bytes.iter().take(count));
                Ok(count)
            }
            // A peer that ends without close_notify, or resets, has closed for all that a test asks.
            Err(error)
                if [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset]
                    .contains(&error.kind()) =>
            {
                Ok(0)
            }
            // A read with a deadline isn't begun again by the system when the machine has stood still.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.more(),
            Err(error) => Err(error),
        }
    }

    /// Begins TLS on this connection; what comes of the handshake is in the error.
    pub fn handshake(&mut self, config: Arc<ClientConfig>, name: &str) -> io::Result<()> {
        let Wire::Clear(mut stream) = std::mem::replace(&mut self.wire, Wire::None) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        self.wire = Wire::Tls(Box::new(StreamOwned::new(session, stream)));
        Ok(())
    }

    /// The TLS of the connection, if it has any.
    pub fn tls(&self) -> Option<&ClientConnection> {
        match &self.wire {
            Wire::Tls(stream) => Some(&stream.conn),
            _ => None,
        }
    }

    /// Closes the sending side, and says nothing of it before in TLS.
    pub fn half_close(&mut self) -> io::Result<()> {
        self.socket()?.shutdown(std::net::Shutdown::Write)
    }

    fn socket(&self) -> io::Result<&TcpStream> {
        match &self.wire {
            Wire::Clear(stream) => Ok(stream),
            Wire::Tls(stream) => Ok(&stream.sock),
            Wire::None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

fn connect_from(to: SocketAddr, from: IpAddr) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket: OwnedFd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&socket);
    bind(number, &SockaddrStorage::from(SocketAddr::new(from, 0)))?;
    connect(number, &SockaddrStorage::from(to))?;
    Ok(TcpStream::from(socket))
}
