//! The sockets on which connections stay: Dovecot's auth and userdb protocols.
//!
//! Runs in the listener. A connection has a session, which knows the protocol and does no I/O ([`session`], [`lookups`]);
//! a task, which reads ([`connection`]); and a desk, by which it asks the checker ([`desk`]). Passwords pass through as
//! opaque messages; nothing here decides who logs in.

mod connection;
mod desk;
mod greeting;
pub(crate) mod hall;
mod lookups;
mod penalties;
mod request;
mod session;

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ipc::config::Protocol;
use ipc::control::Event;
use ipc::exchange::Message;
use ipc::requests::Peer;
use protocol::Answer;
use sys::peer;
use tokio::io::Interest;
use tokio::time::sleep;

use crate::clients::Door;
use crate::core::Shared;
use crate::serving::Served;
use crate::watch::watch;
use connection::{Connection, Talk};
use greeting::Introduction;
use lookups::{Lookups, Standing};
use session::Session;

/// Clients accepted in a row before the others get their turn.
const BATCH: usize = 64;
/// Pause when no place or no descriptor is left.
const PAUSE: Duration = Duration::from_millis(5);

/// Accepts clients of one socket until the task is ended by the next configuration.
pub(crate) async fn accept(door: Rc<Door>, served: Rc<Served>) {
    loop {
        if !door.shared.core.borrow().has_room_to_stay() {
            let connections = door.shared.core.borrow().connections();
            door.events.full(connections);
            door.shared.press();
            sleep(PAUSE).await;
            continue;
        }
        let Ok(mut guard) = served.listening.readable().await else { return };
        for _ in 0..BATCH {
            if !door.shared.core.borrow().has_room_to_stay() {
                break;
            }
            match peer::accept(&served.listening) {
                Ok(Some(client)) => admit(&door, &served, client),
                Ok(None) => {
                    guard.clear_ready();
                    break;
                }
                // EMFILE and its kin: the client stays in the backlog, and spinning on it would help nobody.
                Err(_) => {
                    door.shared.press();
                    sleep(PAUSE).await;
                    break;
                }
            }
        }
        tokio::task::yield_now().await;
    }
}

fn admit(door: &Rc<Door>, served: &Rc<Served>, client: OwnedFd) {
    let Ok(credentials) = peer::credentials(&client) else { return };
    let peer = Peer { pid: credentials.pid, uid: credentials.uid, gid: credentials.gid };
    if !served.admits(peer.uid) {
        door.events.send(Event::PeerNotAllowed { socket: served.index, uid: peer.uid });
        let mut core = door.shared.core.borrow_mut();
        core.dismiss(client, served.protocol, Answer::Unavailable, Instant::now());
        drop(core);
        return door.shared.flush();
    }
    let Some(place) = Place::take(door, peer.uid) else { return };
    let Ok(client) = watch(client, Interest::READABLE | Interest::WRITABLE) else { return };
    let mut first = Message::default();
    let Some(talk) = talk(door, served, peer, &mut first) else { return };
    let connection = Connection::new(client, peer, Rc::clone(served), talk, first);
    let door = Rc::clone(door);
    tokio::task::spawn_local(async move {
        connection::serve(door, connection).await;
        drop(place);
    });
}

/// The session of a new client, and what it hears at once. `None`: the kernel has no random bytes.
fn talk(door: &Door, served: &Served, peer: Peer, first: &mut Message) -> Option<Talk> {
    let (pid, now) = (std::process::id(), Instant::now());
    if served.protocol == Protocol::Userdb {
        lookups::greet(pid, first);
        let standing = match served.may_list(peer.uid) {
            true => Standing::Privileged,
            false => Standing::Ordinary,
        };
        return Some(Talk::Userdb(Lookups::new(standing, served.answer, now)));
    }
    greeting::version(first);
    let mut cookie = [0; 16];
    getrandom::fill(&mut cookie).ok()?;
    let introduction = Introduction { pid, connection: door.hall.number(), cookie };
    Some(Talk::Auth(Session::new(served.handshake, served.answer, now), introduction))
}

/// The place of a connection that stays, for as long as its task lives.
pub(crate) struct Place {
    shared: Rc<Shared>,
    uid: u32,
}

impl Place {
    /// `None` when the peer's uid has had its share: the connection is to be closed, which every client takes for an
    /// outage.
    pub(crate) fn take(door: &Door, uid: u32) -> Option<Self> {
        let mut core = door.shared.core.borrow_mut();
        if core.stay(uid) {
            return Some(Self { shared: Rc::clone(&door.shared), uid });
        }
        door.events.full(core.connections());
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.core.borrow_mut().leave(self.uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e1_one_uid_leaves_places_to_others() {
        let config = ipc::config::Listener {
            sockets: Vec::new(),
            fields: ipc::config::Fields { login: 1, password: 1, service: 1, realm: 1 },
            request_ms: 1,
            drain_ms: 1,
            answer_ms: 1,
            connections: 0,
        };
        let shared = Shared::new();
        let mut core = shared.core.borrow_mut();
        core.configure(&config, 16);
        let stay = |core: &mut crate::core::Core, uid| {
            (0..16).take_while(|_| core.has_room_to_stay() && core.stay(uid)).count()
        };
        assert_eq!((stay(&mut core, 1000), stay(&mut core, 101)), (6, 2));
        core.leave(1000);
        assert_eq!((stay(&mut core, 1000), core.staying), (1, 8));
        // However few there are, somebody can be served.
        core.configure(&config, 1);
        (0..8).for_each(|_| core.leave(1000));
        assert_eq!(stay(&mut core, 7), 1);
    }
}
