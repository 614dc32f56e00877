//! Clients let in: one task for each listening socket, and one for each of its clients.
//!
//! Runs in the receiver. Where there are too many, a client is told to come later and costs nothing else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::desk::{Arrival, Desk};
use super::dialogue::serve;
use crate::config::Role;
use crate::control::Level;

/// Pause when no descriptor or no memory is left.
const PAUSE: Duration = Duration::from_millis(50);
/// Said in the clear; whoever expects TLS is left without a word.
const TOO_MANY: &[u8] = b"421 4.3.2 Too many connections; try again later\r\n";

/// How many sessions there are.
#[derive(Clone, Default)]
pub(super) struct Sessions(Arc<AtomicUsize>);

struct Counted(Sessions);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sessions {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn enter(&self, most: usize) -> Option<Counted> {
        let counted = Counted(self.clone());
        // Dropped when there are too many, which takes it back.
        (self.0.fetch_add(1, Ordering::Relaxed) < most).then_some(counted)
    }
}

/// Accepts clients until it is aborted.
pub(super) async fn accept(
    index: usize,
    socket: TcpListener,
    desk: watch::Receiver<Arc<Desk>>,
    sessions: Sessions,
) {
    loop {
        let (stream, client) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if is_ours(&error) {
                    let text = format!("no client can be accepted: {error}");
                    desk.borrow().link.log(Level::Warning, text);
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
        };
        let desk = Arc::clone(&desk.borrow());
        // Without it a reply waits for the acknowledgement of the one before.
        let server = stream.set_nodelay(true).and_then(|()| stream.local_addr());
        let Ok(server) = server else { continue };
        let Some(counted) = sessions.enter(desk.config.limits.connections) else {
            turn_away(&desk, index, &stream);
            continue;
        };
        let arrival = Arrival { listener: index, client, server };
        tokio::spawn(async move {
            serve(stream, arrival, desk).await;
            drop(counted);
        });
    }
}

/// Whether the trouble is ours, and would be the same at once.
fn is_ours(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

fn turn_away(desk: &Desk, index: usize, stream: &TcpStream) {
    let is_clear = desk.listener(index).is_some_and(|(it, _)| it.role != Role::Submissions);
    if is_clear {
        let _ = stream.try_write(TOO_MANY);
    }
}
