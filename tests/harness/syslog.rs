//! A `/dev/log` that remembers: what programs inside a sandbox send to syslog.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The lines that arrived so far, oldest first; shared with the thread that receives them.
#[derive(Clone, Debug, Default)]
pub struct Syslog(Arc<Mutex<Vec<Vec<u8>>>>);

impl Syslog {
    /// Binds `path` and collects until the process ends or the socket is removed with its sandbox.
    pub fn listen(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        path.metadata().map(|meta| {
            let mut mode = meta.permissions();
            mode.set_mode(0o666);
            std::fs::set_permissions(path, mode)
        })??;
        let log = Self::default();
        let lines = log.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(length) = socket.recv(&mut buffer) {
                let line = buffer.get(..length).unwrap_or_default();
                if line == STOP {
                    break;
                }
                lines.locked().push(line.to_vec());
            }
        });
        Ok(log)
    }

    /// Ends the receiving thread of the `/dev/log` at `path`.
    pub(crate) fn stop(path: &Path) {
        if let Ok(socket) = UnixDatagram::unbound() {
            let _ = socket.send_to(STOP, path);
        }
    }

    /// All that has arrived, each line with its `<priority>` header, lossily as text.
    pub fn lines(&self) -> Vec<String> {
        self.locked().iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    /// Forgets what has arrived.
    pub fn clear(&self) {
        self.locked().clear();
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the receiving thread to end; no syslog client sends this.
const STOP: &[u8] = b"\0stop\0";
