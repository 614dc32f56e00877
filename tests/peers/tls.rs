//! TLS for peers: a certificate of their own, and a client that carries a dialogue through openssl.
//!
//! Runs in the test process. Servers with TLS listen on [`ADDRESS`], so that a client of 127.0.0.1 has another
//! address than they: Exim calls a connection secured when both are the same.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::namespace::Namespace;
use super::{Manner, Result};

/// Where servers with TLS listen.
pub(crate) const ADDRESS: &str = "127.0.0.2";
/// The same as a number.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Its name in the certificate.
pub(crate) const NAME: &str = "submission.example.test";

/// Makes `/etc/tls/cert.pem` and `/etc/tls/key.pem`, self-signed.
pub(crate) fn make_certificate(world: &Namespace) -> Result<()> {
    // Without Debian's own settings openssl wants to be told that it needs no more names.
    world.write("/etc/tls/openssl.cnf", "[req]\ndistinguished_name = none\n[none]\n")?;
    world
        .shell(&format!(
            "openssl req -config /etc/tls/openssl.cnf -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \\
                 -nodes -days 3650 -subj /CN={NAME} -addext subjectAltName=DNS:{NAME},IP:{ADDRESS} \\
                 -keyout /etc/tls/key.pem -out /etc/tls/cert.pem
             chmod 644 /etc/tls/key.pem"
        ))
        .map(drop)
}

/// A connection to a server of the namespace.
pub(crate) enum Wire {
    /// As it is.
    Clear(TcpStream),
    /// Through openssl, which does the TLS.
    Tls(UnixStream, Child),
}

impl Wire {
    /// Connects to a port of [`ADDRESS`] that begins with TLS. Whether somebody listens shows at the first read.
    pub(crate) fn tls(world: &Namespace, port: u16) -> io::Result<Self> {
        Self::tls_with(world, port, &[])
    }

    /// The same with more arguments of `openssl s_client`.
    pub(crate) fn tls_with(world: &Namespace, port: u16, arguments: &[String]) -> io::Result<Self> {
        let (here, there) = UnixStream::pair()?;
        let client = world
            .command("openssl")
            .args(["s_client", "-quiet", "-connect", &format!("{ADDRESS}:{port}")])
            .args(arguments)
            .stdin(OwnedFd::from(there.try_clone()?))
            .stdout(OwnedFd::from(there))
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self::Tls(here, client))
    }

    /// Connects to one of two ports of [`ADDRESS`], as the manner of the login demands.
    pub(crate) fn open(
        world: &Namespace,
        manner: Manner,
        secured: u16,
        clear: u16,
    ) -> io::Result<Self> {
        if manner != Manner::WithoutTls {
            return Self::tls(world, secured);
        }
        let stream = world.connect_to(SERVER, clear, harness::PATIENCE)?;
        stream.set_write_timeout(Some(harness::PATIENCE))?;
        Ok(Self::Clear(stream))
    }

    /// The most that a read may take.
    pub(crate) fn set_read_timeout(&self, limit: Duration) -> io::Result<()> {
        match self {
            Self::Clear(stream) => stream.set_read_timeout(Some(limit)),
            Self::Tls(stream, _) => stream.set_read_timeout(Some(limit)),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(bytes),
            Self::Tls(stream, _) => stream.read(bytes),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(bytes),
            Self::Tls(stream, _) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Self::Tls(_, client) = self {
            let _ = killpg(Pid::from_raw(client.id().cast_signed()), Signal::SIGKILL);
            let _ = client.wait();
        }
    }
}
