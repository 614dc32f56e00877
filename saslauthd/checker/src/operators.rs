//! The operators' socket: who may ask is decided by the peer's uid before a byte is read.
//!
//! Runs in the checker's loop. One request a connection, a short deadline, few connections at a time. Requests are
//! decoded by `protocol::control`, whose bounds hold for operators as well.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use protocol::control::{MAX_REQUEST, Request};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::spawn_local;

use crate::serve::Checker;

/// Connections served at a time; more are closed unheard.
const MOST: usize = 8;
/// From accept to the last byte of the reply.
const DEADLINE: Duration = Duration::from_secs(5);

/// Accepts operators for as long as the checker lives.
///
/// # Errors
/// When the socket can't be watched.
pub(crate) fn serve(checker: &Rc<Checker>, socket: OwnedFd, uids: Rc<[u32]>) -> io::Result<()> {
    let socket = std::os::unix::net::UnixListener::from(socket);
    socket.set_nonblocking(true)?;
    spawn_local(accept(Rc::clone(checker), UnixListener::from_std(socket)?, uids));
    Ok(())
}

async fn accept(checker: Rc<Checker>, socket: UnixListener, uids: Rc<[u32]>) {
    let open = Rc::new(Cell::new(0));
    loop {
        match socket.accept().await {
            Ok((connection, _)) if open.get() < MOST => {
                open.set(open.get() + 1);
                let (checker, uids) = (Rc::clone(&checker), Rc::clone(&uids));
                spawn_local(one(checker, connection, uids, Rc::clone(&open)));
            }
            // Nobody has that many consoles.
            Ok(_) => {}
            // Out of descriptors, say: the connection stays in the queue, and so would a loop without a pause.
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

async fn one(checker: Rc<Checker>, connection: UnixStream, uids: Rc<[u32]>, open: Rc<Cell<usize>>) {
    let _ = tokio::time::timeout(DEADLINE, answer(&checker, &connection, &uids)).await;
    open.set(open.get() - 1);
}

async fn answer(checker: &Checker, stream: &UnixStream, uids: &[u32]) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    if !uids.contains(&uid) {
        checker.log(
            ipc::config::Level::Warning,
            format_args!("operator: uid {uid} may not ask; see [control] operators"),
        );
        return Ok(());
    }
    let reply = match line(stream).await? {
        Some(request) => checker.operator(&request),
        None => "{\"error\":\"no such request\"}\n".into(),
    };
    write(stream, reply.as_bytes()).await
}

/// The request of a line within its bounds; `None` for anything else.
async fn line(stream: &UnixStream) -> io::Result<Option<Request>> {
    let mut buffer = [0; MAX_REQUEST];
    let mut filled = 0;
    loop {
        stream.readable().await?;
        match stream.try_read(buffer.get_mut(filled..).unwrap_or_default()) {
            Ok(0) => return Ok(None),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        let received = buffer.get(..filled).unwrap_or_default();
        if let Some(end) = received.iter().position(|byte| *byte == b'\n') {
            return Ok(Request::decode(received.get(..end).unwrap_or_default()));
        }
    }
}

async fn write(stream: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
