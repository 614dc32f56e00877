//! The first lines of the parent: what was inherited is taken or thrown away.
//!
//! Whoever starts us may be careless or hostile, so nothing of the environment stays but what is named here, and no
//! descriptor but the standard streams and what a service manager handed over.

use std::cell::RefCell;
use std::ffi::OsString;

use sys::notify::{Activated, Notifier, ServiceEnvironment};
use sys::{descriptors, environment, harden};

/// What was handed over at start.
pub struct Handed {
    service: ServiceEnvironment,
    sockets: RefCell<Vec<Activated>>,
    /// Where a user's sockets may be, for `--demo`.
    pub runtime_dir: Option<OsString>,
}

impl Handed {
    /// Sanitises descriptors and environment.
    ///
    /// # Errors
    /// What was handed over isn't what was announced.
    pub fn take() -> sys::Result<Self> {
        descriptors::open_standard_streams()?;
        let service = ServiceEnvironment::read();
        descriptors::close_strays(&service.listening_numbers(std::process::id())?)?;
        // Before anything is opened: a number that was promised and is not there would soon be one of our own.
        let sockets = RefCell::new(service.take_tcp_sockets(std::process::id())?);
        let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR");
        environment::keep_only(&[])?;
        harden::forbid_dumps()?;
        Ok(Self { service, sockets, runtime_dir })
    }

    /// Whether a service manager waits to hear of us: then the process that it started must stay.
    pub fn is_supervised(&self) -> bool {
        self.service.notify_socket.is_some() || self.service.listen_pid == Some(std::process::id())
    }

    /// The listening sockets that were handed over; whoever asks first has them.
    pub fn sockets(&self) -> Vec<Activated> {
        self.sockets.take()
    }

    /// The service manager to notify.
    ///
    /// # Errors
    /// Its address makes no sense.
    pub fn notifier(&self) -> sys::Result<Notifier> {
        Notifier::new(&self.service)
    }

    /// How often the service manager wants a sign of life.
    pub fn watchdog(&self) -> Option<std::time::Duration> {
        self.service.watchdog(std::process::id())
    }
}
