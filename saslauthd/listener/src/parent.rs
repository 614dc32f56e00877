//! The parent's messages: what to serve, which checker to ask, and when to stop.
//!
//! A parent that is gone, or that says what it may not, ends this process: it must never serve on its own.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use ipc::Malformed;
use ipc::config::Protocol;
use ipc::control::{self, FromChild, MAX_PACKET, ToListener};
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::clients::{self, Door};
use crate::{auth, link, policy, serving};

/// Descriptors kept back for the channels, the log and the runtime when places are counted.
const RESERVED: usize = 64;
/// Most sockets that one Serve message may bring (SCM_MAX_FD is 253).
const MOST_SOCKETS: usize = 64;
/// How long a stopping listener waits for answers.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why the listener ends.
pub(crate) enum End {
    /// The parent said so, or is gone.
    Orderly,
    /// The parent sent what it may not.
    Malformed(Malformed),
    /// The kernel refused something.
    System(std::io::Error),
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> Self {
        Self::System(error)
    }
}

/// Obeys the parent until the end.
pub(crate) async fn obey(door: Rc<Door>, parent: Rc<AsyncFd<OwnedFd>>) -> End {
    let mut gate = control::gate::<ToListener>();
    let mut packet = vec![0; MAX_PACKET];
    let mut accepting = Vec::new();
    loop {
        let Ok(mut guard) = parent.readable().await else { return End::Orderly };
        let received = sys::channel::receive_with_fds(parent.get_ref(), &mut packet, MOST_SOCKETS);
        let (length, descriptors) = match received {
            Ok((0, _)) => return End::Orderly,
            Ok(received) => received,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                guard.clear_ready();
                continue;
            }
            Err(error) => return End::System(error),
        };
        let message = match control::decode(packet.get(..length).unwrap_or_default(), &mut gate) {
            Ok(message) => message,
            Err(malformed) => return End::Malformed(malformed),
        };
        match act(&door, message, descriptors, &mut accepting) {
            Ok(Next::Serve) => {}
            Ok(Next::Stop) => {
                farewell(&door).await;
                return End::Orderly;
            }
            Err(end) => return end,
        }
    }
}

enum Next {
    Serve,
    Stop,
}

fn act(
    door: &Rc<Door>,
    message: ToListener,
    mut descriptors: Vec<OwnedFd>,
    accepting: &mut Vec<AbortHandle>,
) -> Result<Next, End> {
    let expected = match &message {
        ToListener::Serve(config) => config.sockets.len(),
        ToListener::Checker | ToListener::Access(_) => 1,
        ToListener::Ping | ToListener::Stop => 0,
    };
    if descriptors.len() != expected {
        return Err(End::Malformed(Malformed::Descriptors));
    }
    match message {
        ToListener::Serve(config) => serve(door, &config, descriptors, accepting)?,
        ToListener::Checker => {
            if let Some(channel) = descriptors.pop() {
                link::adopt(door, channel)?;
            }
        }
        ToListener::Access(config) => {
            if let Some(text) = descriptors.pop() {
                door.policy.take(&config, text)?;
            }
        }
        ToListener::Ping => door.events.say(&FromChild::Alive),
        ToListener::Stop => {
            accepting.drain(..).for_each(|task| task.abort());
            return Ok(Next::Stop);
        }
    }
    Ok(Next::Serve)
}

fn serve(
    door: &Rc<Door>,
    config: &ipc::config::Listener,
    sockets: Vec<OwnedFd>,
    accepting: &mut Vec<AbortHandle>,
) -> Result<(), End> {
    let served = serving::register(config, sockets)?;
    accepting.drain(..).for_each(|task| task.abort());
    door.shared.core.borrow_mut().configure(config, places(door.descriptors, config.connections));
    let served: Vec<_> = served.into_iter().map(Rc::new).collect();
    door.hall.serve(&served);
    door.policy.part();
    for socket in served {
        let door = Rc::clone(door);
        let task = match socket.protocol {
            Protocol::Mux | Protocol::Pwcheck => {
                tokio::task::spawn_local(clients::accept(door, socket))
            }
            Protocol::Auth | Protocol::Userdb => {
                tokio::task::spawn_local(auth::accept(door, socket))
            }
            Protocol::Policy => tokio::task::spawn_local(policy::accept(door, socket)),
        };
        accepting.push(task.abort_handle());
    }
    Ok(())
}

/// How many connections can be held: what was configured, but never more than descriptors allow.
fn places(descriptors: usize, configured: u32) -> usize {
    let descriptors = descriptors.saturating_sub(RESERVED).max(1);
    match usize::try_from(configured) {
        Ok(0) | Err(_) => descriptors,
        Ok(configured) => configured.min(descriptors),
    }
}

/// Waits until everybody who asked has an answer, for a bounded time.
async fn farewell(door: &Door) {
    let end = tokio::time::Instant::now() + FAREWELL;
    door.hall.stop();
    door.policy.part();
    let busy = || {
        let core = door.shared.core.borrow();
        core.waiting() > 0 || core.staying > 0
    };
    while busy() && tokio::time::Instant::now() < end {
        sleep(Duration::from_millis(5)).await;
    }
    // A request that was answered and not yet taken out would become a reset behind its reply.
    door.shared.core.borrow_mut().hurry(std::time::Instant::now() + FAREWELL);
}
