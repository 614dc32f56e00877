//! A raw client of a Unix socket: sends any bytes in any pieces, and tells what came back and how it ended.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer closed.
    Closed,
    /// The peer reset the connection.
    Reset,
    /// The deadline passed and the peer had not closed.
    Open,
}

/// What a peer said until the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Everything received.
    pub bytes: Vec<u8>,
    /// Why there is no more.
    pub end: End,
}

impl Heard {
    /// The mux reply in words, exact to the byte: the text of the one frame, or why it is none.
    ///
    /// `OK` means `00 02 O K` and a close. `(closed)`: nothing was said; `(waiting)`: nothing yet.
    pub fn mux(&self) -> String {
        let open = match self.end {
            End::Closed => "",
            End::Reset => " (reset)",
            End::Open => " (open)",
        };
        let text = self.bytes.split_first_chunk().and_then(|(length, text)| {
            (usize::from(u16::from_be_bytes(*length)) == text.len()).then_some(text)
        });
        match (text, self.end) {
            (Some(text), _) => format!("{}{open}", text.escape_ascii()),
            (None, End::Closed) if self.bytes.is_empty() => "(closed)".to_owned(),
            (None, End::Reset) if self.bytes.is_empty() => "(reset)".to_owned(),
            (None, End::Open) if self.bytes.is_empty() => "(waiting)".to_owned(),
            (None, _) => format!("raw {}{open}", self.bytes.escape_ascii()),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Probe(UnixStream);

impl Probe {
    /// Connects; the socket must be listening already.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        UnixStream::connect(socket).map(Self)
    }

    /// Sends bytes in one write. A peer that has closed already is no error here: [`Probe::hear`] tells.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.0.write_all(bytes) {
            Err(why)
                if matches!(why.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    /// Sends pieces, each with enough time between for the peer to read it alone.
    pub fn send_pieces<'a>(
        &mut self,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> io::Result<()> {
        for (nth, piece) in pieces.into_iter().enumerate() {
            if nth > 0 {
                thread::sleep(Duration::from_millis(3));
            }
            self.send(piece)?;
        }
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    /// Reads until the peer closes or `limit` has passed.
    pub fn hear(&mut self, limit: Duration) -> io::Result<Heard> {
        let deadline = Instant::now() + limit;
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Heard { bytes, end: End::Open });
            }
            self.0.set_read_timeout(Some(left))?;
            match self.0.read(&mut chunk) {
                Ok(0) => return Ok(Heard { bytes, end: End::Closed }),
                Ok(count) => bytes.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(why) => match why.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                        return Ok(Heard { bytes, end: End::Open });
                    }
                    ErrorKind::ConnectionReset => return Ok(Heard { bytes, end: End::Reset }),
                    ErrorKind::Interrupted => {}
                    _ => return Err(why),
                },
            }
        }
    }
}

/// A mux request of any fields, counted as the protocol counts, without any check.
pub fn counted(fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        let length = u16::try_from(field.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(field);
    }
    bytes
}

/// Asks a mux socket once and tells the reply as [`Heard::mux`] does, or the error of the connection.
pub fn ask_mux(
    socket: &Path,
    login: &[u8],
    password: &[u8],
    service: &[u8],
    realm: &[u8],
) -> String {
    let asked = Probe::connect(socket).and_then(|mut probe| {
        probe.send(&counted(&[login, password, service, realm]))?;
        probe.hear(crate::PATIENCE)
    });
    match asked {
        Ok(heard) => heard.mux(),
        Err(why) => format!("({why})"),
    }
}
