//! A scripted daemon on a real socket: says what a test tells it to, and keeps what clients sent.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What the stand-in does with a whole mux request.
#[derive(Clone, Debug)]
pub enum Script {
    /// Sends these bytes, then closes.
    Say(Vec<u8>),
    /// Sends these bytes one at a time, then closes.
    Drip(Vec<u8>),
    /// Reads the request and closes without a word.
    Hang,
}

/// A listening stand-in; its thread ends with it.
#[derive(Debug)]
pub struct Standin {
    socket: PathBuf,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    thread: Option<JoinHandle<()>>,
}

impl Standin {
    /// Listens at `socket`, replacing what is there, and treats every client by `script`.
    pub fn listen(socket: &Path, script: Script) -> io::Result<Self> {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket)?;
        let received = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&received);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { break };
                match serve(stream, &script) {
                    Ok(None) => break,
                    Ok(Some(request)) => {
                        log.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                    }
                    Err(why) => eprintln!("stand-in: {why}"),
                }
            }
        });
        Ok(Self { socket: socket.to_owned(), received, thread: Some(thread) })
    }

    /// The requests so far, each as it came.
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Standin {
    /// Serves whoever has connected already, ends, and tells all requests.
    pub fn finish(mut self) -> Vec<Vec<u8>> {
        self.end();
        self.received()
    }

    fn end(&mut self) {
        // An empty connection tells the thread to end.
        drop(UnixStream::connect(&self.socket));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end();
        }
    }
}

/// Reads four counted fields and answers; `None` when the client sent nothing at all.
fn serve(mut stream: UnixStream, script: &Script) -> io::Result<Option<Vec<u8>>> {
    stream.set_read_timeout(Some(crate::PATIENCE))?;
    let mut request = Vec::new();
    for _ in 0..4 {
        let mut length = [0; 2];
        if let Err(why) = stream.read_exact(&mut length) {
            return if request.is_empty() { Ok(None) } else { Err(why) };
        }
        let mut field = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut field)?;
        request.extend_from_slice(&length);
        request.extend_from_slice(&field);
    }
    match script {
        Script::Say(bytes) => stream.write_all(bytes)?,
        Script::Drip(bytes) => {
            for byte in bytes {
                stream.write_all(std::slice::from_ref(byte))?;
                thread::sleep(Duration::from_millis(2));
            }
        }
        Script::Hang => {}
    }
    Ok(Some(request))
}
