//! A scripted daemon: what the original can't be brought to do, and the socket that it hasn't.
//!
//! Runs as threads of the test process on a real socket of the namespace. Reads whole requests before it answers
//! or closes, since closing earlier kills its clients. Shares no code with the daemons under test.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use harness::{PATIENCE, wait_for};

use crate::daemon::{Daemon, End, Freeze};
use crate::peers::{ALICE, Request, Result};

/// A listening script; it ends when dropped.
pub(crate) struct Script {
    path: PathBuf,
    over: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<UnixStream>>>,
}

impl Script {
    /// Listens at `path`; every connection is given to `serve` on a thread of its own.
    pub(crate) fn listen(
        path: &Path,
        serve: impl Fn(&UnixStream) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let _ = fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
        let over = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (ends, serve) = (Arc::clone(&over), Arc::new(serve));
        let kept = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let _ = stream.set_read_timeout(Some(PATIENCE));
                if let (Ok(stream), Ok(mut kept)) = (stream.try_clone(), kept.lock()) {
                    kept.push(stream);
                }
                let serve = Arc::clone(&serve);
                thread::spawn(move || {
                    serve(&stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Ok(Self { path: path.to_path_buf(), over, connections })
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(&self.path);
        let _ = fs::remove_file(&self.path);
        // A peer that keeps its connection must not be answered any more.
        for connection in self.connections.lock().iter().flat_map(|all| all.iter()) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// What a closing script has been asked.
pub(crate) type Requests = Arc<Mutex<Vec<Request>>>;

/// A mux daemon that reads every request whole, keeps it, and closes without a word.
pub(crate) fn close_mux(path: &Path) -> io::Result<(Script, Requests)> {
    let requests = Requests::default();
    let kept = Arc::clone(&requests);
    let script = Script::listen(path, move |stream| {
        if let (Ok(request), Ok(mut kept)) = (read_mux(stream), kept.lock()) {
            kept.push(request);
        }
    })?;
    Ok((script, requests))
}

/// A pwcheck daemon that reads every request whole, keeps it, and closes without a word.
pub(crate) fn close_pwcheck(path: &Path) -> io::Result<(Script, Requests)> {
    let requests = Requests::default();
    let kept = Arc::clone(&requests);
    let script = Script::listen(path, move |stream| {
        if let (Ok(request), Ok(mut kept)) = (read_pwcheck(stream), kept.lock()) {
            kept.push(request);
        }
    })?;
    Ok((script, requests))
}

/// Four counted fields: login, password, service, realm.
fn read_mux(mut stream: &UnixStream) -> io::Result<Request> {
    let mut field = || {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut bytes)?;
        io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Request { login: field()?, password: field()?, service: field()?, realm: field()? })
}

/// Two fields that end in NUL.
fn read_pwcheck(mut stream: &UnixStream) -> io::Result<Request> {
    let mut field = || {
        let (mut bytes, mut byte) = (Vec::new(), [0]);
        loop {
            stream.read_exact(&mut byte)?;
            match byte {
                [0] => return io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned()),
                [other] => bytes.push(other),
            }
        }
    };
    let (login, password) = (field()?, field()?);
    Ok(Request { login, password, service: String::new(), realm: String::new() })
}

/// A pwcheck daemon that knows one account: Debian ships none to prove the client against.
pub(crate) struct StandIn {
    path: PathBuf,
    frozen: Arc<AtomicBool>,
    script: Option<Script>,
}

impl StandIn {
    /// Not yet running.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, frozen: Arc::default(), script: None }
    }
}

impl Daemon for StandIn {
    fn start(&mut self) -> Result<()> {
        let frozen = Arc::clone(&self.frozen);
        let serve = move |mut stream: &UnixStream| {
            let Ok(request) = read_pwcheck(stream) else { return };
            wait_for(PATIENCE, || !frozen.load(Ordering::SeqCst));
            let known = request.login == ALICE.login && request.password == ALICE.password;
            let _ = stream.write_all(if known { b"OK" } else { b"Incorrect password" });
        };
        self.script = Some(Script::listen(&self.path, serve)?);
        Ok(())
    }

    fn stop(&mut self, end: End) -> Result<()> {
        self.script = None;
        if end == End::Abrupt {
            // A socket that nobody listens on any more, as a killed daemon leaves it.
            drop(UnixListener::bind(&self.path)?);
        }
        Ok(())
    }

    fn freeze(&self, _what: Freeze) -> Result<()> {
        self.frozen.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn thaw(&self) -> Result<()> {
        self.frozen.store(false, Ordering::SeqCst);
        Ok(())
    }
}
