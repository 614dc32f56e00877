//! A connection that stays: bytes in and out, and the turns of its session.
//!
//! Replies are written where they arise; the connection's own task only reads, and writes what did not fit. What comes
//! in is untrusted and wiped after it was decoded.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use ipc::exchange::{Binding, Message};
use ipc::requests::Peer;
use protocol::auth::Id;
use protocol::{Answer, Name, Senders};
use sys::peer;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until};
use zeroize::Zeroize;

use super::desk::Counter;
use super::greeting::Introduction;
use super::lookups::{Lookups, Part};
use super::session::Session;
use crate::clients::Door;
use crate::serving::Served;

/// More bytes than this are not kept unread: the longest line, and the beginning of another.
const MOST_UNREAD: usize = protocol::auth::MAX_LINE + 1;
/// More bytes than this not taken by the client, and nothing more is read from it.
const MUCH: usize = 64 * 1024;
/// More than this, and it is cut off.
const TOO_MUCH: usize = 8 * 1024 * 1024;
/// Pause while the checker's channel is full.
const PAUSE: Duration = Duration::from_millis(5);

/// How long a client may take for our last words.
const FAREWELL: Duration = Duration::from_secs(1);

/// What becomes known to a session.
pub(crate) enum News {
    /// The mechanism's next words.
    Challenge(Message, Option<Binding>),
    /// The end of an exchange; without a checker, of a search as well.
    Ended(Answer, Option<Name>, Option<Message>, Senders),
    /// A part of what a search found.
    Found(Part),
    /// A refusal may go out.
    Penalty(u64),
}

/// What is spoken.
pub(crate) enum Talk {
    /// The auth protocol.
    Auth(Session, Introduction),
    /// The userdb protocol.
    Userdb(Lookups),
}

/// The connection; see the module.
pub(crate) struct Connection {
    client: AsyncFd<OwnedFd>,
    /// Who connected.
    pub(crate) peer: Peer,
    /// The socket by which it came, as it is served now.
    pub(crate) served: RefCell<Rc<Served>>,
    talk: RefCell<Talk>,
    unread: RefCell<Message>,
    unsent: RefCell<Message>,
    /// The client is gone.
    broken: Cell<bool>,
    /// Since when there is nothing more to say.
    said: Cell<Option<Instant>>,
    wake: Notify,
    me: Weak<Self>,
}

impl Connection {
    /// A client that was just accepted, with our first words, which `greeting` holds.
    pub(crate) fn new(
        client: AsyncFd<OwnedFd>,
        peer: Peer,
        served: Rc<Served>,
        talk: Talk,
        greeting: Message,
    ) -> Rc<Self> {
        Rc::new_cyclic(|me| Self {
            client,
            peer,
            served: RefCell::new(served),
            talk: RefCell::new(talk),
            unread: RefCell::default(),
            unsent: RefCell::new(greeting),
            broken: Cell::new(false),
            said: Cell::new(None),
            wake: Notify::new(),
            me: me.clone(),
        })
    }

    /// Something became known that concerns this connection.
    pub(crate) fn hear(&self, door: &Rc<Door>, id: Id, news: News) {
        let now = Instant::now();
        let mut desk = self.desk(door);
        let out = &mut *self.unsent.borrow_mut();
        match (&mut *self.talk.borrow_mut(), news) {
            (Talk::Auth(session, _), News::Challenge(message, binding)) => {
                session.challenged(id, message, binding, now, &mut desk, out);
            }
            (Talk::Auth(session, _), News::Ended(answer, user, last_words, senders)) => {
                session.ended(id, (answer, user, last_words, senders), now, &mut desk, out);
            }
            (Talk::Auth(session, _), News::Penalty(token)) => session.fail(id, token, out),
            (Talk::Userdb(lookups), News::Found(part)) => {
                lookups.found(id, part, &self.served.borrow().userdb, now, out);
            }
            (Talk::Userdb(lookups), News::Ended(..)) => lookups.lost(id, out),
            // Of the other protocol: numbers are never mixed up.
            _ => return,
        }
        self.write(out);
        // Usually everything is said and the task can sleep on.
        if !out.is_empty() || self.broken.get() || self.is_ending() {
            self.wake.notify_one();
        }
    }

    fn desk<'a>(&self, door: &'a Rc<Door>) -> Counter<'a> {
        let (peer, connection) = (self.peer, self.me.clone());
        Counter { door, peer, connection, served: Rc::clone(&self.served.borrow()) }
    }

    /// Writes what the client takes at the moment.
    fn write(&self, out: &mut Message) {
        let mut sent = 0;
        while sent < out.len() && !self.broken.get() {
            match peer::send(self.client.get_ref(), out.get(sent..).unwrap_or_default()) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.broken.set(true),
            }
        }
        out.drain(..sent);
        if out.len() > TOO_MUCH {
            self.broken.set(true);
        }
    }

    fn is_ending(&self) -> bool {
        match &*self.talk.borrow() {
            Talk::Auth(session, _) => session.is_ending(),
            Talk::Userdb(lookups) => lookups.is_ending(),
        }
    }

    /// Whether the client is gone, or everything was said; it has a moment to take the last of it.
    fn is_over(&self, now: Instant) -> bool {
        let said = match &*self.talk.borrow() {
            Talk::Auth(session, _) => session.is_over(),
            Talk::Userdb(lookups) => lookups.is_over(),
        };
        if !said || self.broken.get() {
            return self.broken.get();
        }
        let since = self.said.get().unwrap_or(now);
        self.said.set(Some(since));
        self.unsent.borrow().is_empty() || now >= since + FAREWELL
    }

    /// Lets the session act on what came, and writes what it says.
    fn act(&self, door: &Rc<Door>, bytes: &[u8]) -> usize {
        let now = Instant::now();
        let mut desk = self.desk(door);
        let out = &mut *self.unsent.borrow_mut();
        let used = match &mut *self.talk.borrow_mut() {
            Talk::Auth(session, introduction) => {
                let mut used = session.consume(bytes, now, &mut desk, out);
                session.tick(now, &mut desk, out);
                if session.greet(desk.served.offer.get(), introduction, now, out) {
                    let rest = bytes.get(used..).unwrap_or_default();
                    used += session.consume(rest, now, &mut desk, out);
                }
                used
            }
            Talk::Userdb(lookups) => {
                let used = lookups.consume(bytes, now, &mut desk, out);
                lookups.tick(now, &mut desk, out);
                used
            }
        };
        self.write(out);
        used
    }

    /// Reads what came and acts on it; false when nothing is there at the moment.
    fn read(&self, door: &Rc<Door>) -> bool {
        let mut scratch = door.hall.scratch.borrow_mut();
        let most = scratch.len();
        let count = match peer::receive(self.client.get_ref(), &mut scratch) {
            Ok(0) => {
                self.finish(door);
                return true;
            }
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => {
                self.broken.set(true);
                return true;
            }
        };
        let came = scratch.get_mut(..count).unwrap_or_default();
        if self.unread.borrow().is_empty() {
            let used = self.act(door, came);
            self.keep(came.get(used..).unwrap_or_default());
        } else {
            self.keep(came);
            self.act_on_unread(door);
        }
        came.zeroize();
        // A part of the buffer means that the socket is empty; what comes later is told anew.
        count == most
    }

    fn act_on_unread(&self, door: &Rc<Door>) {
        let mut unread = self.unread.take();
        let used = self.act(door, &unread);
        if used == unread.len() {
            return;
        }
        let rest = unread.len() - used;
        unread.copy_within(used.., 0);
        unread.get_mut(rest..).unwrap_or_default().zeroize();
        unread.truncate(rest);
        self.unread.replace(unread);
    }

    /// Keeps the beginning of a line, without a copy of it left behind in freed memory.
    fn keep(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut unread = self.unread.borrow_mut();
        if unread.capacity() - unread.len() < bytes.len() {
            let room = (unread.len() + bytes.len()).next_power_of_two();
            let mut larger = Message::new(Vec::with_capacity(room));
            larger.extend_from_slice(&unread);
            *unread = larger;
        }
        unread.extend_from_slice(bytes);
    }

    /// The client says nothing more: it is gone, or waits for its last answers.
    fn finish(&self, door: &Rc<Door>) {
        let fd = std::iter::once(std::os::fd::AsFd::as_fd(self.client.get_ref()));
        let gone = peer::hung_up(fd).is_ok_and(|gone| gone.contains(&true));
        self.broken.set(self.broken.get() || gone);
        let now = Instant::now();
        match &mut *self.talk.borrow_mut() {
            Talk::Auth(session, _) => session.give_up(now, &mut self.desk(door)),
            Talk::Userdb(lookups) => lookups.give_up(now),
        }
    }

    /// Follows a change of what is served: to the socket's successor, or to the end.
    fn follow(&self, door: &Rc<Door>) {
        let successor = door.hall.successor(&self.served.borrow());
        match successor.filter(|now| now.admits(self.peer.uid) && !door.hall.stopping.get()) {
            Some(now) => drop(self.served.replace(now)),
            None => match &mut *self.talk.borrow_mut() {
                Talk::Auth(session, _) => session.end(Instant::now()),
                Talk::Userdb(lookups) => lookups.end(Instant::now()),
            },
        }
    }

    fn deadline(&self) -> Option<Instant> {
        if let Some(since) = self.said.get() {
            return Some(since + FAREWELL);
        }
        match &*self.talk.borrow() {
            Talk::Auth(session, _) => session.deadline(self.served.borrow().offer.get()),
            Talk::Userdb(lookups) => lookups.deadline(),
        }
    }

    fn is_listening(&self) -> bool {
        let deaf = match &*self.talk.borrow() {
            Talk::Auth(session, _) => session.is_deaf(),
            Talk::Userdb(lookups) => lookups.is_deaf(),
        };
        !deaf && self.unread.borrow().len() < MOST_UNREAD && self.unsent.borrow().len() < MUCH
    }

    /// One thing that happens to the connection.
    async fn turn(&self, door: &Rc<Door>) {
        let deadline = self.deadline().map(tokio::time::Instant::from_std);
        let late = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let (listening, writing) = (self.is_listening(), !self.unsent.borrow().is_empty());
        tokio::select! {
            biased;
            ready = self.client.readable(), if listening => {
                let Ok(mut guard) = ready else { return self.broken.set(true) };
                if !self.read(door) {
                    guard.clear_ready();
                }
            }
            ready = self.client.writable(), if writing => {
                let Ok(mut guard) = ready else { return self.broken.set(true) };
                let out = &mut *self.unsent.borrow_mut();
                self.write(out);
                if !out.is_empty() {
                    guard.clear_ready();
                }
            }
            () = door.hall.changed.notified() => {}
            () = self.wake.notified() => {}
            () = late => {}
        }
    }
}

/// Serves one connection until its end.
pub(crate) async fn serve(door: Rc<Door>, connection: Rc<Connection>) {
    // A change between accept and now was missed: 0 is before the first.
    let mut epoch = 0;
    loop {
        if epoch != door.hall.epoch.get() {
            epoch = door.hall.epoch.get();
            connection.follow(&door);
        }
        connection.act_on_unread(&door);
        door.shared.flush();
        if connection.is_over(Instant::now()) {
            return leave(&door, connection);
        }
        if door.shared.core.borrow().is_congested() {
            sleep(PAUSE).await;
        }
        connection.turn(&door).await;
    }
}

/// The end: what is under way is forgotten, and the client sees the end of the stream.
fn leave(door: &Rc<Door>, connection: Rc<Connection>) {
    let mut desk = connection.desk(door);
    match &mut *connection.talk.borrow_mut() {
        Talk::Auth(session, _) => session.abandon(&mut desk),
        Talk::Userdb(lookups) => lookups.abandon(&mut desk),
    }
    drop(desk);
    // Closed at once, since nobody else holds it: into a connection that only one side has ended Postfix would
    // write its next request, and take the end that it still sees for another outage.
    drop(connection);
    door.shared.flush();
}
