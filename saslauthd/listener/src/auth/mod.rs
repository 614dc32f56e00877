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
use std::time::Instant;

use ipc::config::Protocol;
use ipc::control::Event;
use ipc::exchange::Message;
use ipc::requests::Peer;
use protocol::Answer;
use sys::peer;
use tokio::io::Interest;

use crate::clients::Door;
use crate::core::{Core, Shared};
use crate::serving::Served;
use crate::staying;
use crate::watch::watch;
use connection::{Connection, Talk};
use greeting::Introduction;
use lookups::{Lookups, Standing};
use session::Session;

/// Accepts clients of one socket until the task is ended by the next configuration.
pub(crate) async fn accept(door: Rc<Door>, served: Rc<Served>) {
    staying::accept(door, served, Core::has_room_to_stay, admit).await;
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
