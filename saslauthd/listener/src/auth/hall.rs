//! What all connections that stay have in common: who asked what, what is offered, and refusals that are kept back.
//!
//! Everything runs on one thread; a task borrows for a moment and never across an await. Numbers of exchanges are used
//! once in the life of this process, so a late reply reaches nobody else.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use ipc::exchange::{Offer, Reply};
use protocol::auth::Id;
use protocol::{Answer, Senders};
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::connection::{Connection, News};
use super::penalties::{BATCH, Penalties};
use crate::clients::Door;
use crate::serving::Served;

/// Bytes read at a time from a client.
const CHUNK: usize = 16 * 1024 + 512;
/// Apart from the numbers that logins of the other protocols have.
const FIRST: u64 = 1 << 63;

/// Somebody who waits for the checker.
pub(crate) struct Waiting {
    /// On which connection.
    pub(crate) connection: Weak<Connection>,
    /// For what.
    pub(crate) id: Id,
    /// The channel that has it.
    pub(crate) link: u32,
}

/// The state; see the module.
pub(crate) struct Hall {
    waiting: RefCell<HashMap<u64, Waiting>>,
    next: Cell<u64>,
    serving: RefCell<Vec<Rc<Served>>>,
    /// What the checker told before the parent said what is served.
    early: RefCell<Vec<Offer>>,
    penalties: RefCell<Penalties>,
    penalised: Notify,
    connections: Cell<u32>,
    /// Rises with every change of what is served.
    pub(crate) epoch: Cell<u64>,
    /// Whether this process stops.
    pub(crate) stopping: Cell<bool>,
    /// What is served or offered has changed.
    pub(crate) changed: Notify,
    /// Where bytes of clients arrive; wiped after each look.
    pub(crate) scratch: RefCell<Zeroizing<Vec<u8>>>,
}

impl Hall {
    /// An empty one.
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            waiting: RefCell::default(),
            next: Cell::new(FIRST),
            serving: RefCell::default(),
            early: RefCell::default(),
            penalties: RefCell::default(),
            penalised: Notify::new(),
            connections: Cell::new(0),
            epoch: Cell::new(0),
            stopping: Cell::new(false),
            changed: Notify::new(),
            scratch: RefCell::new(Zeroizing::new(vec![0; CHUNK])),
        })
    }

    /// Serves these sockets from now on. What was offered on a socket that stays holds until the checker says more.
    pub(crate) fn serve(&self, serving: &[Rc<Served>]) {
        for new in serving {
            if let Some(old) = self.successor(new) {
                new.offer.set(old.offer.get());
            }
        }
        self.serving.replace(serving.to_vec());
        let early = self.early.take();
        self.offer(&early);
    }

    /// What is served at the place of a socket that was.
    pub(crate) fn successor(&self, before: &Served) -> Option<Rc<Served>> {
        let serving = self.serving.borrow();
        let same = |now: &&Rc<Served>| now.path == before.path && now.protocol == before.protocol;
        serving.iter().find(same).cloned()
    }

    /// Tells every connection to end when what is under way has ended.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
        self.change();
    }

    fn change(&self) {
        self.epoch.set(self.epoch.get() + 1);
        self.changed.notify_waiters();
    }

    /// Notes what is offered on each socket. Two processes tell of both: the one that speaks of sockets first must not
    /// have spoken in vain, since it does so once.
    fn offer(&self, offers: &[Offer]) {
        if self.serving.borrow().is_empty() {
            self.early.replace(offers.to_vec());
        }
        for (served, offer) in self.serving.borrow().iter().zip(offers) {
            served.offer.set(Some(*offer));
        }
        self.change();
    }

    /// The next connection's number.
    pub(crate) fn number(&self) -> u32 {
        self.connections.set(self.connections.get().wrapping_add(1));
        self.connections.get()
    }

    /// Gives a request its number.
    pub(crate) fn enter(&self, waiting: Waiting) -> u64 {
        let exchange = self.next.get();
        self.next.set(exchange.wrapping_add(1));
        self.waiting.borrow_mut().insert(exchange, waiting);
        exchange
    }

    /// The channel of a request that is still waited for.
    pub(crate) fn link_of(&self, exchange: u64) -> Option<u32> {
        self.waiting.borrow().get(&exchange).map(|waiting| waiting.link)
    }

    /// Nobody waits for this one any more; says which channel has it.
    pub(crate) fn leave(&self, exchange: u64) -> Option<u32> {
        self.waiting.borrow_mut().remove(&exchange).map(|waiting| waiting.link)
    }

    /// Whether a channel still has something that is waited for.
    pub(crate) fn owes(&self, link: u32) -> bool {
        self.waiting.borrow().values().any(|waiting| waiting.link == link)
    }

    /// Keeps a refusal back.
    pub(crate) fn delay(
        &self,
        connection: Weak<Connection>,
        id: Id,
        since: Instant,
        delay: Duration,
    ) -> Option<u64> {
        let token = self.penalties.borrow_mut().add(connection, id, since, delay)?;
        self.penalised.notify_one();
        Some(token)
    }

    /// Passes on what the checker behind a channel says. `current`: whether that channel gets new requests.
    pub(crate) fn reply(&self, door: &Rc<Door>, link: u32, current: bool, reply: Reply) {
        let (exchange, news, last) = match reply {
            Reply::Offers(offers) if current => return self.offer(&offers),
            // Of a checker that goes; its successor has said or will say more.
            Reply::Offers(_) => return,
            Reply::Challenge { id, message, binding } => {
                (id, News::Challenge(message, binding), false)
            }
            Reply::Ended { id, answer, user, last_words, senders } => {
                (id, News::Ended(answer, user, last_words, senders), true)
            }
            Reply::Found { id, answer, users, count, more } => {
                (id, News::Found(super::lookups::Part { answer, users, count, more }), !more)
            }
        };
        let mut waiting = self.waiting.borrow_mut();
        // A number that nobody waits for is nothing: it was given up, or its time was over.
        let Some(entry) = waiting.get(&exchange).filter(|entry| entry.link == link) else { return };
        let (connection, id) = (entry.connection.upgrade(), entry.id);
        if last {
            waiting.remove(&exchange);
        }
        drop(waiting);
        if let Some(connection) = connection {
            connection.hear(door, id, news);
        }
    }

    /// A channel is gone: nobody knows what was asked there.
    pub(crate) fn lose(&self, door: &Rc<Door>, link: u32) {
        let lost: Vec<Waiting> = self
            .waiting
            .borrow_mut()
            .extract_if(|_, waiting| waiting.link == link)
            .map(|(_, waiting)| waiting)
            .collect();
        for Waiting { connection, id, .. } in lost {
            if let Some(connection) = connection.upgrade() {
                connection.hear(
                    door,
                    id,
                    News::Ended(Answer::Unavailable, None, None, Senders::Own),
                );
            }
        }
    }
}

/// Lets refusals out, for as long as there are any.
pub(crate) async fn let_out(door: Rc<Door>) {
    loop {
        door.hall.penalised.notified().await;
        while !door.hall.penalties.borrow().is_empty() {
            tokio::time::sleep(BATCH).await;
            let due = door.hall.penalties.borrow_mut().due(Instant::now());
            for penalty in due {
                if let Some(connection) = penalty.connection.upgrade() {
                    connection.hear(&door, penalty.id, News::Penalty(penalty.token));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use ipc::config::{Auth, Fields, Listener, Protocol, Socket, Userdb};
    use protocol::mechanism::{Mechanism, MechanismSet};

    use super::*;
    use crate::serving;

    #[test]
    fn what_is_offered_before_it_is_served_is_offered_then() {
        let socket = Socket {
            path: "auth".into(),
            protocol: Protocol::Auth,
            uids: None,
            address_uids: Vec::new(),
            auth: Auth::default(),
            userdb: Userdb::default(),
        };
        let config = Listener {
            sockets: vec![socket],
            fields: Fields { login: 1, password: 1, service: 1, realm: 1 },
            request_ms: 1,
            drain_ms: 1,
            answer_ms: 1,
            connections: 0,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _inside = runtime.enter();
        let serve = |hall: &Hall| {
            let directory = tempfile::tempdir().unwrap();
            let listening = UnixListener::bind(directory.path().join("auth")).unwrap();
            let served = serving::register(&config, vec![listening.into()]).unwrap();
            let served: Vec<_> = served.into_iter().map(Rc::new).collect();
            hall.serve(&served);
            served.first().and_then(|served| served.offer.get())
        };
        let offer =
            |mechanism| Offer { tls: MechanismSet::default().with(mechanism), ..Offer::default() };
        let hall = Hall::new();
        hall.offer(&[offer(Mechanism::Plain)]);
        assert_eq!(serve(&hall), Some(offer(Mechanism::Plain)));
        // Only the last word counts, and what was told of sockets that are there is not told to others.
        hall.offer(&[offer(Mechanism::Login)]);
        assert_eq!(serve(&hall), Some(offer(Mechanism::Login)));
        let hall = Hall::new();
        assert_eq!(serve(&hall), None);
    }
}
