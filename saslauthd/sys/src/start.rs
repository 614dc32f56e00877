//! The first lines of a parent: what was inherited is taken or thrown away.
//!
//! Runs in the parents. Whoever starts us may be careless or hostile, so nothing of the environment stays but what is named here, and
//! no descriptor but the standard streams and what a service manager handed over.

use std::cell::RefCell;

use crate::notify::{Activated, Notifier, ServiceEnvironment};
use crate::{Result, descriptors, environment, harden};

/// Takes sockets of one family from a service manager for the process with this id:
/// [`ServiceEnvironment::take_sockets`] or [`ServiceEnvironment::take_tcp_sockets`].
pub type Take = fn(&ServiceEnvironment, u32) -> Result<Vec<Activated>>;

/// What was handed over at start.
pub struct Handed {
    service: ServiceEnvironment,
    sockets: RefCell<Vec<Activated>>,
    /// Where a user's sockets may be, for `--demo`.
    pub runtime_dir: Option<std::ffi::OsString>,
}

impl Handed {
    /// Sanitises descriptors and environment; `take` knows what listening sockets there may be.
    ///
    /// # Errors
    /// What was handed over isn't what was announced.
    pub fn take(take: Take) -> Result<Self> {
        descriptors::open_standard_streams()?;
        let service = ServiceEnvironment::read();
        descriptors::close_strays(&service.listening_numbers(std::process::id())?)?;
        // Before anything is opened: a number that was promised and is not there would soon be one of our own.
        let sockets = RefCell::new(take(&service, std::process::id())?);
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
    pub fn notifier(&self) -> Result<Notifier> {
        Notifier::new(&self.service)
    }

    /// How often the service manager wants a sign of life.
    pub fn watchdog(&self) -> Option<std::time::Duration> {
        self.service.watchdog(std::process::id())
    }
}
