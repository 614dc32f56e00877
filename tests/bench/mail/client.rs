//! The load: clients that begin with TLS, log in, and submit messages one after another.
//!
//! Each message has a number of its own in its header, so that a sink can tell what was lost and what came twice. A
//! client sends MAIL, RCPT and DATA in one piece, as PIPELINING allows, and has Nagle's algorithm off.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// The field that carries a message's number.
pub(super) const SEQUENCE: &str = "X-Sequence: ";
const PATIENCE: Duration = Duration::from_secs(60);

/// A server to submit to, and who does.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    tls: Arc<ClientConfig>,
    name: ServerName<'static>,
    user: String,
    password: String,
}

impl Target {
    /// A server with this certificate, which is its own authority.
    pub(super) fn new(
        address: SocketAddr,
        name: &str,
        certificate: CertificateDer<'static>,
        (user, password): (&str, &str),
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(certificate).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Each session is a full handshake.
        tls.resumption = Resumption::disabled();
        Self {
            address,
            tls: Arc::new(tls),
            name: ServerName::try_from(name.to_owned()).expect("a name"),
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    /// Connects and shakes hands, which the first byte of the greeting shows to be complete.
    pub(super) fn connect(&self) -> io::Result<Session> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let connection = ClientConnection::new(Arc::clone(&self.tls), self.name.clone())
            .map_err(io::Error::other)?;
        let mut session =
            Session { stream: StreamOwned::new(connection, stream), unread: VecDeque::new() };
        session.expect("220")?;
        Ok(session)
    }

    /// Connects and greets.
    pub(super) fn greet(&self) -> io::Result<Session> {
        let mut session = self.connect()?;
        session.say("EHLO client.example.test\r\n", &["250"])?;
        Ok(session)
    }

    /// Connects, greets and logs in.
    pub(super) fn log_in(&self) -> io::Result<Session> {
        let mut session = self.greet()?;
        let said = BASE64.encode(format!("\0{}\0{}", self.user, self.password));
        session.say(&format!("AUTH PLAIN {said}\r\n"), &["235"])?;
        Ok(session)
    }
}

/// A connection inside TLS.
pub(super) struct Session {
    stream: StreamOwned<ClientConnection, TcpStream>,
    unread: VecDeque<u8>,
}

impl Session {
    /// Says something in one piece, and hears these codes.
    pub(super) fn say(&mut self, text: &str, codes: &[&str]) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())?;
        self.stream.flush()?;
        codes.iter().try_for_each(|code| self.expect(code))
    }

    /// One message, from MAIL to the reply after its last line.
    pub(super) fn submit(&mut self, text: &str) -> io::Result<()> {
        self.say(
            "MAIL FROM:<bench@example.test>\r\nRCPT TO:<sink@elsewhere.test>\r\nDATA\r\n",
            &["250", "250", "354"],
        )?;
        self.say(text, &["250"])
    }

    fn expect(&mut self, code: &str) -> io::Result<()> {
        loop {
            let line = self.line()?;
            if !line.starts_with(code.as_bytes()) {
                let line = String::from_utf8_lossy(&line).into_owned();
                return Err(io::Error::new(ErrorKind::InvalidData, format!("{code}? {line}")));
            }
            if line.get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                return Ok(self.unread.drain(..=end).collect());
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => self.unread.extend(&chunk[..count]),
            }
        }
    }
}

/// How messages are submitted.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    /// Sessions at a time.
    pub(super) sessions: usize,
    /// Messages of a session.
    pub(super) messages: usize,
    /// Bytes of a message.
    pub(super) size: usize,
}

/// Numbers for messages, and how many were answered 250.
#[derive(Default)]
pub(super) struct Numbers {
    next: AtomicU64,
    pub(super) accepted: AtomicU64,
}

/// What came of a load.
#[derive(Default)]
pub(super) struct Submitted {
    /// Messages that were answered 250 within the time that counts.
    pub(super) accepted: usize,
    /// Milliseconds from MAIL to the 250, sorted.
    pub(super) latencies: Vec<f64>,
    /// Sessions that ended otherwise than by QUIT, and how the first of them did.
    pub(super) broken: Vec<String>,
    /// The time that counts.
    pub(super) elapsed: Duration,
}

impl Submitted {
    pub(super) fn rate(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    pub(super) fn percentile(&self, percent: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let place = (self.latencies.len() as f64 * percent / 100.0) as usize;
        self.latencies.get(place.min(last)).copied().unwrap_or(f64::NAN)
    }
}

/// Submits for `measured` after `warm_up`.
pub(super) fn submit(
    target: &Target,
    manner: Manner,
    numbers: &Arc<Numbers>,
    (warm_up, measured): (Duration, Duration),
) -> Submitted {
    let begin = Instant::now() + warm_up;
    let end = begin + measured;
    let threads: Vec<_> = (0..manner.sessions)
        .map(|_| {
            let (target, numbers) = (target.clone(), Arc::clone(numbers));
            std::thread::spawn(move || one_after_another(&target, manner, &numbers, (begin, end)))
        })
        .collect();
    let mut all = Submitted { elapsed: measured, ..Submitted::default() };
    for thread in threads {
        let one = thread.join().expect("a client ends");
        all.accepted += one.accepted;
        all.latencies.extend(one.latencies);
        all.broken.extend(one.broken);
    }
    all.latencies.sort_by(f64::total_cmp);
    all
}

fn one_after_another(
    target: &Target,
    manner: Manner,
    numbers: &Numbers,
    (begin, end): (Instant, Instant),
) -> Submitted {
    let mut done = Submitted::default();
    let body = "Seventy characters of text, and two that end the line, make it neat.\r\n";
    let body = body.repeat(manner.size / body.len() + 1);
    while Instant::now() < end {
        let session = target.log_in().and_then(|mut session| {
            for _ in 0..manner.messages {
                let number = numbers.next.fetch_add(1, Ordering::Relaxed);
                let header = format!(
                    "From: <bench@example.test>\r\nTo: <sink@elsewhere.test>\r\nSubject: bench\r\n\
                     Date: Sun, 1 Nov 2026 00:00:00 +0000\r\nMessage-ID: <{number}@bench>\r\n{SEQUENCE}{number}\r\n\r\n"
                );
                let text = body.get(..manner.size.saturating_sub(header.len())).unwrap_or_default();
                let text = text.trim_end();
                let text = format!("{header}{text}\r\n.\r\n");
                let began = Instant::now();
                session.submit(&text)?;
                numbers.accepted.fetch_add(1, Ordering::Relaxed);
                let now = Instant::now();
                if now >= begin && now < end {
                    done.accepted += 1;
                    done.latencies.push((now - began).as_secs_f64() * 1000.0);
                }
            }
            session.say("QUIT\r\n", &["221"])
        });
        if let Err(error) = session {
            done.broken.push(error.to_string());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    done
}

/// Full handshakes a second over so many connections at a time.
pub(super) fn shake_hands(
    target: &Target,
    clients: usize,
    (warm_up, measured): (Duration, Duration),
) -> Submitted {
    let begin = Instant::now() + warm_up;
    let end = begin + measured;
    let threads: Vec<_> = (0..clients)
        .map(|_| {
            let target = target.clone();
            std::thread::spawn(move || {
                let mut done = Submitted::default();
                while Instant::now() < end {
                    match target.connect() {
                        Ok(_) if Instant::now() >= begin && Instant::now() < end => {
                            done.accepted += 1
                        }
                        Ok(_) => {}
                        Err(error) => done.broken.push(error.to_string()),
                    }
                }
                done
            })
        })
        .collect();
    let mut all = Submitted { elapsed: measured, ..Submitted::default() };
    for thread in threads {
        let one = thread.join().expect("a client ends");
        all.accepted += one.accepted;
        all.broken.extend(one.broken);
    }
    all
}
