//! The load: clients that log in one after another, one connection a login, and check every reply.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// One login as bytes, and what must be answered.
#[derive(Clone)]
pub(crate) struct Login {
    /// The whole request.
    pub(crate) request: Vec<u8>,
    /// The first bytes of the reply after its length.
    pub(crate) expected: &'static [u8],
}

impl Login {
    /// A four-field request of the mux.
    pub(crate) fn mux(login: &str, password: &str, realm: &str, expected: &'static [u8]) -> Self {
        let mut request = Vec::new();
        for field in [login, password, "smtp", realm] {
            let length = u16::try_from(field.len()).expect("a short field");
            request.extend_from_slice(&length.to_be_bytes());
            request.extend_from_slice(field.as_bytes());
        }
        Self { request, expected }
    }

    /// The same with a stated client address.
    pub(crate) fn from(mut self, address: &str) -> Self {
        let length = u16::try_from(address.len()).expect("a short address");
        self.request.extend_from_slice(&length.to_be_bytes());
        self.request.extend_from_slice(address.as_bytes());
        self
    }
}

/// What came of a load.
#[derive(Default)]
pub(crate) struct Figures {
    /// Latencies in microseconds, sorted.
    pub(crate) latencies: Vec<u32>,
    /// Replies that were not the expected ones.
    pub(crate) wrong: usize,
    /// Logins that ended without a reply.
    pub(crate) failed: usize,
    /// How long it was measured.
    pub(crate) elapsed: Duration,
}

impl Figures {
    /// Answered logins in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// A percentile of the latencies, in milliseconds.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        if self.latencies.is_empty() {
            return f64::NAN;
        }
        let place = (self.latencies.len() as f64 * percent / 100.0) as usize;
        f64::from(self.latencies[place.min(self.latencies.len() - 1)]) / 1000.0
    }
}

/// Runs `clients` threads for `warm_up` and `measured`; each takes the logins in turn.
pub(crate) fn run(
    socket: &Path,
    logins: &[Login],
    clients: usize,
    warm_up: Duration,
    measured: Duration,
) -> Figures {
    let (socket, logins): (PathBuf, Arc<[Login]>) = (socket.to_path_buf(), logins.into());
    let client = move |number: usize| {
        let (socket, logins) = (socket.clone(), Arc::clone(&logins));
        let mut next = number * 7;
        move || {
            let login = &logins[next % logins.len()];
            next += 1;
            ask(&socket, login)
        }
    };
    drive(client, clients, warm_up, measured)
}

/// Runs `clients` threads, each with what `client` makes of its number: a function that logs in once and tells whether
/// the reply was the expected one, or that there was none.
pub(crate) fn drive<Ask: FnMut() -> Option<bool>>(
    client: impl Fn(usize) -> Ask + Send + Sync + 'static,
    clients: usize,
    warm_up: Duration,
    measured: Duration,
) -> Figures {
    let stop = Arc::new(AtomicBool::new(false));
    let counting = Arc::new(AtomicBool::new(false));
    let client = Arc::new(client);
    let threads: Vec<_> = (0..clients)
        .map(|number| {
            let client = Arc::clone(&client);
            let (stop, counting) = (Arc::clone(&stop), Arc::clone(&counting));
            thread::Builder::new()
                .stack_size(128 * 1024)
                .spawn(move || count(client(number), &stop, &counting))
                .expect("a thread for a client")
        })
        .collect();
    thread::sleep(warm_up);
    let began = Instant::now();
    counting.store(true, Ordering::Relaxed);
    thread::sleep(measured);
    counting.store(false, Ordering::Relaxed);
    let elapsed = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    let mut all = Figures { elapsed, ..Figures::default() };
    for thread in threads {
        let figures = thread.join().expect("a client ends");
        all.latencies.extend(figures.latencies);
        all.wrong += figures.wrong;
        all.failed += figures.failed;
    }
    all.latencies.sort_unstable();
    all
}

fn count(
    mut ask: impl FnMut() -> Option<bool>,
    stop: &AtomicBool,
    counting: &AtomicBool,
) -> Figures {
    let mut figures = Figures::default();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answered = ask();
        let micros = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
        if !counting.load(Ordering::Relaxed) {
            continue;
        }
        match answered {
            Some(true) => figures.latencies.push(micros),
            Some(false) => figures.wrong += 1,
            None => figures.failed += 1,
        }
    }
    figures
}

/// One login: whether the reply was the expected one; `None` without a reply.
pub(crate) fn ask(socket: &Path, login: &Login) -> Option<bool> {
    let mut stream = connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    stream.write_all(&login.request).ok()?;
    let mut reply = [0; 256];
    let mut filled = 0;
    loop {
        let count = stream.read(&mut reply[filled..]).ok()?;
        filled += count;
        let whole =
            filled >= 2 && filled - 2 >= usize::from(u16::from_be_bytes([reply[0], reply[1]]));
        if whole {
            return Some(reply[2..filled].starts_with(login.expected));
        }
        if count == 0 {
            return None;
        }
    }
}

/// Connects; a full backlog (EAGAIN, as Cyrus's of 32 gets) is waited out like a client library's retry.
fn connect(socket: &Path) -> Option<UnixStream> {
    for _ in 0..2000 {
        match UnixStream::connect(socket) {
            Ok(stream) => return Some(stream),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(_) => return None,
        }
    }
    None
}

/// A server that says OK without checking anything: the ceiling that the transport allows.
pub(crate) fn ceiling(socket: PathBuf) {
    let listening = std::os::unix::net::UnixListener::bind(socket).expect("the ceiling's socket");
    for _ in 0..2 {
        let listening = listening.try_clone().expect("a second handle");
        thread::spawn(move || {
            let mut request = [0; 8192];
            while let Ok((mut client, _)) = listening.accept() {
                if client.read(&mut request).is_ok() {
                    let _ = client.write_all(b"\x00\x02OK");
                }
            }
        });
    }
}
