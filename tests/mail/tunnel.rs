//! Carries connections between a house and the world of a peer, whose networks don't know each other.
//!
//! Runs in the test process, as root. Bytes are handed over as they come; what clients say to a peer is noted on the way,
//! for a test that wants to know what went in the clear. A tunnel that is dropped takes no more connections; those that it
//! carries end with their two ends.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use harness::PATIENCE;
use nix::sys::socket::{Shutdown, shutdown};

use crate::peers::namespace::Namespace;

/// Most bytes that are noted of a tunnel.
const NOTED: usize = 1 << 20;

/// What clients said, of all connections.
type Notes = Arc<Mutex<Vec<u8>>>;

/// A listener and where its connections go.
pub(crate) struct Tunnel {
    notes: Notes,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tunnel {
    /// A port of the peer's loopback that leads to a server of the host.
    pub(crate) fn out_of(
        world: &Namespace,
        at: (Ipv4Addr, u16),
        to: SocketAddr,
    ) -> io::Result<Self> {
        let listener = world.inside(move || TcpListener::bind(at))?;
        Self::of_tcp(listener, move || Ok(TcpStream::connect_timeout(&to, PATIENCE)?.into()))
    }

    /// A port of the host that leads to one of the peer's loopback.
    pub(crate) fn into_world(
        world: &Namespace,
        at: SocketAddr,
        to: (Ipv4Addr, u16),
    ) -> io::Result<Self> {
        let (network, to) = (world.network()?, SocketAddr::from(to));
        let dial = move || {
            let stream = network.inside(move || TcpStream::connect_timeout(&to, PATIENCE))?;
            stream.set_nodelay(true)?;
            Ok(stream.into())
        };
        Self::of_tcp(TcpListener::bind(at)?, dial)
    }

    /// What clients said so far; what they said inside TLS is no text.
    pub(crate) fn said(&self) -> String {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&notes).into_owned()
    }

    fn of_tcp(
        listener: TcpListener,
        dial: impl Fn() -> io::Result<OwnedFd> + Send + 'static,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let accept = move || {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            Ok(stream.into())
        };
        Ok(Self::start(accept, dial))
    }

    fn start(
        accept: impl Fn() -> io::Result<OwnedFd> + Send + 'static,
        dial: impl Fn() -> io::Result<OwnedFd> + Send + 'static,
    ) -> Self {
        let (ends, notes) = (Arc::new(AtomicBool::new(false)), Notes::default());
        let (asked, noted) = (ends.clone(), notes.clone());
        let thread = thread::spawn(move || {
            while !asked.load(Ordering::SeqCst) {
                match accept() {
                    // A connection that leads nowhere is closed, as by a server that is away.
                    Ok(near) => drop(dial().and_then(|far| carry(near, far, noted.clone()))),
                    Err(_) => thread::sleep(Duration::from_millis(3)),
                }
            }
        });
        Self { notes, ends, thread: Some(thread) }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn carry(near: OwnedFd, far: OwnedFd, notes: Notes) -> io::Result<()> {
    let (near, far) = (File::from(near), File::from(far));
    let (near_too, far_too) = (near.try_clone()?, far.try_clone()?);
    let note = move |bytes: &[u8]| {
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        let room = NOTED.saturating_sub(notes.len()).min(bytes.len());
        notes.extend_from_slice(&bytes[..room]);
    };
    thread::spawn(move || pour(near, far, note));
    thread::spawn(move || pour(far_too, near_too, |_| {}));
    Ok(())
}

/// Hands over until the end, which is handed over too.
fn pour(mut from: File, mut to: File, note: impl Fn(&[u8])) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        note(&bytes[..count]);
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = shutdown(to.as_raw_fd(), Shutdown::Write);
}
