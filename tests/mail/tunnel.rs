//! Carries connections between a house and the world of a peer, whose networks don't know each other.
//!
//! Runs in the test process, as root. Bytes are handed over as they come and never looked at. A tunnel that is dropped
//! takes no more connections; those that it carries end with their two ends.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use harness::PATIENCE;
use nix::sys::socket::{Shutdown, shutdown};

use crate::peers::namespace::Namespace;

/// A listener and where its connections go.
pub(crate) struct Tunnel {
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
        let ends = Arc::new(AtomicBool::new(false));
        let asked = ends.clone();
        let thread = thread::spawn(move || {
            while !asked.load(Ordering::SeqCst) {
                match accept() {
                    // A connection that leads nowhere is closed, as by a server that is away.
                    Ok(near) => drop(dial().and_then(|far| carry(near, far))),
                    Err(_) => thread::sleep(Duration::from_millis(3)),
                }
            }
        });
        Self { ends, thread: Some(thread) }
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

fn carry(near: OwnedFd, far: OwnedFd) -> io::Result<()> {
    let (near, far) = (File::from(near), File::from(far));
    let (near_too, far_too) = (near.try_clone()?, far.try_clone()?);
    thread::spawn(move || pour(near, far));
    thread::spawn(move || pour(far_too, near_too));
    Ok(())
}

/// Hands over until the end, which is handed over too.
fn pour(mut from: File, mut to: File) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = shutdown(to.as_raw_fd(), Shutdown::Write);
}
