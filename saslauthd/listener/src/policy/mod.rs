//! The policy socket: a mail server asks about a session, the access map decides.
//!
//! Runs in the listener and asks no checker, so that it answers while all others hash. The map comes from the parent; a
//! map that isn't there, or that this process cannot read, is a temporary failure and never a yes. What a request
//! says is as untrusted as the strangers whom it is about; it decides nothing but by [`answer`].

mod answer;
mod session;

use std::cell::RefCell;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use ::access::{Access, Generation, Map, Settings};
use ipc::Malformed;
use ipc::config;
use ipc::control::Event;
use ipc::decided::Decided;
use ipc::requests::{Fault, Peer, Unreadable};
use protocol::Name;
use protocol::policy::{self, Action, Attribute, Reply, Request};
use sys::peer;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use self::answer::Said;
use crate::auth::Place;
use crate::clients::Door;
use crate::core::Core;
use crate::parent::End;
use crate::serving::Served;
use crate::staying;
use crate::watch::watch;

/// Bytes read at a time.
const CHUNK: usize = 8 * 1024;
/// Answers that wait to be taken, and no more is read from their client.
const MOST_UNSENT: usize = 64 * 1024;

/// The access map as it stands, and a bell for those who ask about it.
#[derive(Default)]
pub(crate) struct Policy {
    held: RefCell<Held>,
    parting: Notify,
}

/// What decisions are made by. Without a map every one is a temporary failure.
#[derive(Default)]
struct Held {
    settings: Settings,
    map: Option<Map>,
}

impl Policy {
    /// Decides by another map from now on. The parent has read it without a mistake; one that cannot be read here
    /// leaves nothing to decide by.
    pub(crate) fn take(&self, config: &config::Access, text: OwnedFd) -> Result<(), End> {
        let wrong = || End::Malformed(Malformed::Descriptors);
        let mut settings = Settings {
            generation: Generation::from_name(&config.generation).ok_or_else(wrong)?,
            local_domains: config.local_domains.clone(),
            relay_domains: config.relay_domains.clone(),
            trusted_mechanisms: config.trusted_mechanisms.clone(),
            own_host_needs_a_word: true,
            ..Settings::default()
        };
        for feature in &config.features {
            settings.switch_on(feature).ok_or_else(wrong)?;
        }
        let length = usize::try_from(config.length).unwrap_or(usize::MAX);
        let text = sys::sealed::read(text, length)?;
        let map = String::from_utf8(text).ok().and_then(|text| Map::parse(&text).ok());
        *self.held.borrow_mut() = Held { settings, map };
        Ok(())
    }

    /// Lets everybody go who waits for nothing: the rules of their socket may have changed. Mail servers connect anew.
    pub(crate) fn part(&self) {
        self.parting.notify_waiters();
    }

    fn answer(&self, request: &Request) -> Said {
        let held = self.held.borrow();
        let access = held.map.as_ref().map_or(Access::Unavailable, Access::Loaded);
        answer::answer(&held.settings, access, request)
    }
}

/// Accepts clients of one socket until the task is ended by the next configuration.
pub(crate) async fn accept(door: Rc<Door>, served: Rc<Served>) {
    staying::accept(door, served, Core::has_place, admit).await;
}

fn admit(door: &Rc<Door>, served: &Rc<Served>, client: OwnedFd) {
    let Ok(credentials) = peer::credentials(&client) else { return };
    let peer = Peer { pid: credentials.pid, uid: credentials.uid, gid: credentials.gid };
    if !served.admits(peer.uid) {
        // The end of the connection is a temporary failure to Postfix.
        return door.events.send(Event::PeerNotAllowed { socket: served.index, uid: peer.uid });
    }
    let Some(place) = Place::take(door, peer.uid) else { return };
    let Ok(client) = watch(client, Interest::READABLE | Interest::WRITABLE) else { return };
    let asker = Asker {
        door: Rc::clone(door),
        served: Rc::clone(served),
        peer,
        client,
        unread: Vec::new(),
        searched: 0,
        unsent: Vec::new(),
        since: None,
    };
    tokio::task::spawn_local(async move {
        asker.serve().await;
        drop(place);
    });
}

/// A connection of a mail server, on which any number of requests come.
struct Asker {
    door: Rc<Door>,
    served: Rc<Served>,
    peer: Peer,
    client: AsyncFd<OwnedFd>,
    unread: Vec<u8>,
    /// So many bytes of `unread` are known to end no request.
    searched: usize,
    unsent: Vec<u8>,
    /// When the request that is not whole yet began, or the answer that is not taken yet was given.
    since: Option<Instant>,
}

/// How a turn of a connection ended.
#[derive(PartialEq, Eq)]
enum Turn {
    /// There may be more at once.
    Again,
    /// Nothing more for the moment.
    Idle,
    /// It is over.
    Over,
}

impl Asker {
    /// Waits without an end for the next request, and for the rest of one that began as long as the listener waits
    /// for any.
    async fn serve(mut self) {
        let policy = Rc::clone(&self.door.policy);
        let mut parting = std::pin::pin!(policy.parting.notified());
        loop {
            parting.as_mut().enable();
            match self.turn() {
                Turn::Over => return,
                Turn::Again => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Turn::Idle => {}
            }
            let within = self.served.request;
            let deadline = self.since.map(|since| since + within);
            tokio::select! {
                biased;
                ready = self.ready() => if ready.is_err() { return },
                () = &mut parting => {
                    if self.since.is_none() { return }
                    parting.set(policy.parting.notified());
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    return self.note(Fault::Late);
                }
            }
        }
    }

    /// Until there is something to read, or room for what is not sent yet.
    async fn ready(&self) -> std::io::Result<()> {
        if self.unsent.is_empty() {
            drop(self.client.readable().await?);
        } else {
            drop(self.client.writable().await?);
        }
        Ok(())
    }

    fn turn(&mut self) -> Turn {
        match self.send() {
            Turn::Over => return Turn::Over,
            // Whoever takes no answers is not read from.
            Turn::Idle if self.unsent.len() > MOST_UNSENT => return Turn::Idle,
            _ => {}
        }
        let turn = self.read();
        if turn == Turn::Over {
            return turn;
        }
        let went_well = self.act();
        let sent = self.send();
        match (went_well, sent) {
            (false, _) | (_, Turn::Over) => Turn::Over,
            _ => {
                let busy = !self.unread.is_empty() || !self.unsent.is_empty();
                self.since = busy.then(|| self.since.unwrap_or_else(Instant::now));
                turn
            }
        }
    }

    fn read(&mut self) -> Turn {
        let mut chunk = [0; CHUNK];
        match peer::receive(self.client.get_ref(), &mut chunk) {
            Ok(0) => Turn::Over,
            Ok(count) => {
                self.unread.extend_from_slice(chunk.get(..count).unwrap_or_default());
                Turn::Again
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.clear(Interest::READABLE);
                Turn::Idle
            }
            Err(_) => Turn::Over,
        }
    }

    /// Answers what is whole. False when what came is no request: its answer is the last one.
    fn act(&mut self) -> bool {
        loop {
            match policy::decode(&self.unread, self.searched) {
                Ok(Some((request, used))) => {
                    let said = self.door.policy.answer(&request);
                    self.unsent.extend_from_slice(&said.response.encode());
                    self.tell(&request, &said);
                    self.unread.drain(..used);
                    self.searched = 0;
                    self.since = None;
                }
                Ok(None) => {
                    self.searched = self.unread.len();
                    // A mail server's connection stays for hours, and one long request is no reason to keep room.
                    if self.unread.is_empty() {
                        self.unread.shrink_to(CHUNK);
                    }
                    return true;
                }
                Err(_) => {
                    self.note(Fault::Malformed);
                    let reply = Reply::new(451, "4.3.5", "The policy request was malformed");
                    self.unsent.extend_from_slice(&Action::Reply(reply).encode());
                    return false;
                }
            }
        }
    }

    fn send(&mut self) -> Turn {
        let mut sent = 0;
        let turn = loop {
            let rest = self.unsent.get(sent..).unwrap_or_default();
            if rest.is_empty() {
                break Turn::Again;
            }
            match peer::send(self.client.get_ref(), rest) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.clear(Interest::WRITABLE);
                    break Turn::Idle;
                }
                Err(_) => break Turn::Over,
            }
        };
        self.unsent.drain(..sent);
        turn
    }

    /// Forgets that the kernel called the client ready, unless it did so again meanwhile.
    fn clear(&self, interest: Interest) {
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        let ready = match interest {
            Interest::READABLE => self.client.poll_read_ready(&mut context),
            _ => self.client.poll_write_ready(&mut context),
        };
        if let std::task::Poll::Ready(Ok(mut guard)) = ready {
            guard.clear_ready();
        }
    }

    /// A line in the log for whatever is more than "nothing known".
    fn tell(&self, request: &Request, said: &Said) {
        let action = &said.response.action;
        if *action == Action::Dunno || said.because.is_empty() {
            return;
        }
        let decided = Decided {
            socket: self.served.index,
            peer: self.peer,
            action: name(&action.to_string()),
            client: name(request.value(Attribute::ClientAddress)),
            because: name(&said.because),
        };
        self.door.shared.core.borrow_mut().decided(&decided);
        self.door.shared.flush();
    }

    fn note(&self, fault: Fault) {
        let Self { served, peer, .. } = self;
        let unreadable = Unreadable { socket: served.index, peer: *peer, fault };
        self.door.shared.core.borrow_mut().note(&unreadable);
        self.door.shared.flush();
    }
}

/// As much of a text as a name takes. The text is for the log alone.
fn name(text: &str) -> Name {
    let mut text = text.replace(char::is_control, "?");
    while text.len() > Name::MAX {
        text.pop();
    }
    Name::new(text.as_bytes()).unwrap_or_default()
}
