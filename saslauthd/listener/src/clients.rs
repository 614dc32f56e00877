//! Taking clients in: accept, read, and either the whole request is there or its client has to wait.
//!
//! The usual client has written its request before it is accepted, so reading right after accept spares the
//! reactor. Only who is late gets a task. Every byte here is untrusted, and wiped after it was decoded.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ipc::config::Protocol;
use ipc::control::Event;
use ipc::requests::{Fault, Peer, Source, Unreadable, Verify};
use protocol::{Answer, Name, Password, Rejected, mux, pwcheck};
use sys::peer;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{sleep, sleep_until};
use zeroize::{Zeroize, Zeroizing};

use crate::auth::hall::Hall;
use crate::core::Shared;
use crate::events::Events;
use crate::policy::Policy;
use crate::serving::Served;
use crate::watch::watch;

/// Clients accepted in a row before the answers get their turn.
const BATCH: usize = 64;
/// The checker begins with so many of a batch while more are taken in, and then with ever more.
const FIRST: usize = 2;
/// From so many clients in a row on, more are probably about to come.
const CROWD: usize = 8;
/// Pause when no place or no descriptor is left.
const PAUSE: Duration = Duration::from_millis(5);
/// Who has been late for less than this keeps its place even when places run out.
const GRACE: Duration = Duration::from_millis(500);
/// Bytes read at a time from a client.
const CHUNK: usize = 16 * 1024;

/// What the accepting tasks share.
pub(crate) struct Door {
    /// The core.
    pub(crate) shared: Rc<Shared>,
    /// What the parent is told.
    pub(crate) events: Rc<Events>,
    /// The connections that stay.
    pub(crate) hall: Rc<Hall>,
    /// The access map, and those who ask about it.
    pub(crate) policy: Rc<Policy>,
    /// The limit of descriptors of this process.
    pub(crate) descriptors: usize,
}

/// Accepts clients of one socket until the task is ended by the next configuration.
pub(crate) async fn accept(door: Rc<Door>, served: Rc<Served>) {
    let mut chunk = Zeroizing::new(vec![0; CHUNK]);
    loop {
        if !door.shared.core.borrow().has_room() {
            let connections = door.shared.core.borrow().connections();
            door.events.full(connections);
            door.shared.press();
            sleep(PAUSE).await;
            continue;
        }
        let Ok(mut guard) = served.listening.readable().await else { return };
        let (mut drained, accepted) = accept_batch(&door, &served, &mut chunk);
        if matches!(drained, Batch::Drained) && accepted >= CROWD {
            // Who is about to write gets the processor for a moment, and goes along in the same write.
            std::thread::yield_now();
            (drained, _) = accept_batch(&door, &served, &mut chunk);
        }
        door.shared.flush();
        // While the checker has something to do.
        door.shared.core.borrow_mut().look_in_passing(Instant::now());
        match drained {
            Batch::Drained => guard.clear_ready(),
            Batch::More => tokio::task::yield_now().await,
            // EMFILE and its kin: the client stays in the backlog, and spinning on it would help nobody.
            Batch::NoDescriptor => {
                door.shared.press();
                sleep(PAUSE).await;
            }
        }
    }
}

enum Batch {
    Drained,
    More,
    NoDescriptor,
}

/// Takes in a batch of clients, and says how it ended and how many came.
fn accept_batch(door: &Rc<Door>, served: &Rc<Served>, chunk: &mut [u8]) -> (Batch, usize) {
    let now = Instant::now();
    let mut late = Vec::new();
    let (mut count, mut next) = (0, FIRST);
    let taken = accept_some(door, served, |client| {
        if count == next {
            door.shared.flush();
            next = next * 2 + FIRST;
        }
        count += 1;
        if let Some(client) = read(door, served, client, chunk, now) {
            // Counted now, not when its task first runs: the next of this batch has to know of it.
            late.push((client, Late::count(Rc::clone(&door.shared))));
        }
    });
    // Who had just connected has written by now.
    for (client, late) in late {
        if let Some(client) = read(door, served, client, chunk, now) {
            tokio::task::spawn_local(wait_for(Rc::clone(door), Rc::clone(served), client, late));
        }
    }
    taken
}

fn accept_some(door: &Door, served: &Served, mut admit: impl FnMut(OwnedFd)) -> (Batch, usize) {
    for accepted in 0..BATCH {
        if !door.shared.core.borrow().has_room() {
            return (Batch::More, accepted);
        }
        match peer::accept(&served.listening) {
            Ok(Some(client)) => admit(client),
            Ok(None) => return (Batch::Drained, accepted),
            Err(_) => return (Batch::NoDescriptor, accepted),
        }
    }
    (Batch::More, BATCH)
}

/// Acts on what a client has written, and gives it back when that is no whole request yet.
fn read(
    door: &Door,
    served: &Served,
    client: OwnedFd,
    chunk: &mut [u8],
    now: Instant,
) -> Option<OwnedFd> {
    let most = served.most().min(chunk.len());
    let chunk = chunk.get_mut(..most)?;
    // Only looked at: the request is taken out when its client is shown out (see `peer::peek`).
    let received = match peer::peek(&client, chunk) {
        Ok(0) => return None,
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(_) => return None,
    };
    let bytes = chunk.get_mut(..received).unwrap_or_default();
    let client = decode(door, served, client, bytes, now);
    bytes.zeroize();
    client
}

/// Acts on the bytes so far; gives the client back when they are no whole request yet.
fn decode(
    door: &Door,
    served: &Served,
    client: OwnedFd,
    bytes: &[u8],
    now: Instant,
) -> Option<OwnedFd> {
    if bytes.is_empty() {
        return Some(client);
    }
    match parse(served, bytes) {
        Parsed::Incomplete => return Some(client),
        Parsed::Login(login) => submit(door, served, client, login, now),
        Parsed::Unreadable(fault) => {
            note(door, served, &client, fault);
            door.shared.core.borrow_mut().dismiss(client, served.protocol, Answer::Refuse, now);
        }
    }
    None
}

struct Login {
    login: Name,
    password: Password,
    service: Name,
    realm: Name,
    address: Option<protocol::Address>,
}

enum Parsed {
    Incomplete,
    Login(Login),
    Unreadable(Fault),
}

fn parse(served: &Served, bytes: &[u8]) -> Parsed {
    match served.protocol {
        // Served by rooms of their own.
        Protocol::Auth | Protocol::Userdb | Protocol::Policy => Parsed::Incomplete,
        Protocol::Mux => match mux::decode(bytes, &served.fields) {
            mux::Decoded::Incomplete => Parsed::Incomplete,
            mux::Decoded::Request(request) => {
                let mux::Request { login, password, service, realm, address } = *request;
                Parsed::Login(Login { login, password, service, realm, address })
            }
            mux::Decoded::Refused(field, why) => Parsed::Unreadable(fault(field, why)),
        },
        Protocol::Pwcheck => match pwcheck::decode(bytes) {
            pwcheck::Decoded::Incomplete => Parsed::Incomplete,
            pwcheck::Decoded::Request(request) => {
                let pwcheck::Request { login, password } = *request;
                let (service, realm) = (Name::default(), Name::default());
                Parsed::Login(Login { login, password, service, realm, address: None })
            }
            pwcheck::Decoded::Refused(why) => Parsed::Unreadable(fault(mux::Field::Login, why)),
        },
    }
}

fn fault(field: mux::Field, why: Rejected) -> Fault {
    match why {
        Rejected::Empty if field == mux::Field::Password => Fault::EmptyPassword,
        Rejected::Empty => Fault::EmptyLogin,
        Rejected::Nul => Fault::Nul,
        Rejected::LineBreak => Fault::LineBreak,
        _ => Fault::TooLong,
    }
}

fn submit(door: &Door, served: &Served, client: OwnedFd, login: Login, now: Instant) {
    let Ok(credentials) = peer::credentials(&client) else { return };
    let peer = Peer { pid: credentials.pid, uid: credentials.uid, gid: credentials.gid };
    let mut core = door.shared.core.borrow_mut();
    if !served.admits(peer.uid) {
        door.events.send(Event::PeerNotAllowed { socket: served.index, uid: peer.uid });
        return core.dismiss(client, served.protocol, Answer::Unavailable, now);
    }
    let source = match login.address {
        None => Source::Absent,
        Some(address) if served.believes(peer.uid) => Source::Stated(address),
        Some(address) => Source::Ignored(address),
    };
    let Login { login, password, service, realm, .. } = login;
    let socket = served.index;
    let make = |id| Verify { id, socket, peer, source, login, password, service, realm };
    core.submit(client, served.protocol, make, now);
}

fn note(door: &Door, served: &Served, client: &OwnedFd, fault: Fault) {
    let Ok(credentials) = peer::credentials(client) else { return };
    let peer = Peer { pid: credentials.pid, uid: credentials.uid, gid: credentials.gid };
    door.shared.core.borrow_mut().note(&Unreadable { socket: served.index, peer, fault });
}

/// Waits for the rest of a request, until its deadline or until places run out.
async fn wait_for(door: Rc<Door>, served: Rc<Served>, client: OwnedFd, _late: Late) {
    let mut so_far = Zeroizing::new(Vec::new());
    let began = Instant::now();
    let deadline = tokio::time::Instant::from_std(began + served.request);
    let Ok(client) = watch(client, Interest::READABLE) else { return };
    loop {
        tokio::select! {
            biased;
            ready = client.readable() => {
                let Ok(mut guard) = ready else { return };
                match more(&client, &mut so_far, served.most()) {
                    More::Some => {}
                    More::None => { guard.clear_ready(); continue; }
                    More::End => return,
                }
            }
            () = door.shared.pressure.notified() => {
                if began.elapsed() >= GRACE { break; }
                continue;
            }
            () = sleep_until(deadline) => break,
        }
        if matches!(parse(&served, &so_far), Parsed::Incomplete) {
            continue;
        }
        let client = client.into_inner();
        decode(&door, &served, client, &so_far, Instant::now());
        return door.shared.flush();
    }
    give_up(&door, &served, client.into_inner(), &so_far);
}

/// The deadline passed: the client sees the end of the stream and is drained like an answered one.
fn give_up(door: &Door, served: &Served, client: OwnedFd, so_far: &[u8]) {
    if !so_far.is_empty() {
        note(door, served, &client, Fault::Late);
    }
    let mut core = door.shared.core.borrow_mut();
    core.dismiss(client, served.protocol, Answer::Unavailable, Instant::now());
    drop(core);
    door.shared.flush();
}

enum More {
    Some,
    None,
    End,
}

fn more(client: &AsyncFd<OwnedFd>, so_far: &mut Zeroizing<Vec<u8>>, most: usize) -> More {
    let mut chunk = Zeroizing::new([0; 2048]);
    let room = most.saturating_sub(so_far.len()).clamp(1, chunk.len());
    let Some(room) = chunk.get_mut(..room) else { return More::End };
    match peer::receive(client.get_ref(), room) {
        Ok(0) => More::End,
        Ok(count) => {
            append(so_far, room.get(..count).unwrap_or_default());
            More::Some
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => More::None,
        Err(_) => More::End,
    }
}

/// Appends without leaving a copy of a password behind in freed memory.
fn append(so_far: &mut Zeroizing<Vec<u8>>, bytes: &[u8]) {
    if so_far.capacity() - so_far.len() < bytes.len() {
        let room = (so_far.len() + bytes.len()).next_power_of_two();
        let mut larger = Zeroizing::new(Vec::with_capacity(room));
        larger.extend_from_slice(so_far);
        *so_far = larger;
    }
    so_far.extend_from_slice(bytes);
}

/// Counts a late client for as long as its task lives.
struct Late(Rc<Shared>);

impl Late {
    fn count(shared: Rc<Shared>) -> Self {
        shared.core.borrow_mut().late += 1;
        Self(shared)
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        let mut core = self.0.core.borrow_mut();
        core.late = core.late.saturating_sub(1);
    }
}
