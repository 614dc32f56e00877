//! The listener's state: who waits for an answer, where requests go, and who is on the way out.
//!
//! Everything runs on one thread; tasks borrow the core for a moment and never across an await. Logins of
//! many clients leave in one write, and answers of one read are written to their clients at once.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ipc::config::Protocol;
use ipc::decided::Decided;
use ipc::requests::{Answered, Outgoing, Unreadable, Verify};
use protocol::{Answer, mux, pwcheck};
use sys::peer;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use crate::linger::{Linger, Ours};
use crate::slots::{Slots, Waiting};

/// More bytes than this towards the checker, and no more clients are accepted until it has read some.
const CONGESTED: usize = 1 << 20;

/// Who passes looks after the leaving when nobody did for so long.
const LOOK: Duration = Duration::from_millis(4);

/// The channel to the checker that gets new logins.
pub(crate) struct Link {
    /// Names it in the slots.
    pub(crate) number: u32,
    /// Our end.
    pub(crate) channel: Rc<AsyncFd<OwnedFd>>,
    /// What is not written yet.
    pub(crate) outgoing: Outgoing,
}

/// The state; see the module.
pub(crate) struct Core {
    slots: Slots,
    linger: Linger,
    /// The current channel, when there is one.
    pub(crate) link: Option<Link>,
    links: u32,
    deadlines: VecDeque<(Instant, u64)>,
    looked: Instant,
    answer_within: Duration,
    /// Channels before the current one that still owe answers.
    retiring: Vec<Link>,
    /// Clients whose request is not whole yet.
    pub(crate) late: usize,
    /// Connections that stay.
    pub(crate) staying: usize,
    /// The same of each uid that has any.
    staying_of: HashMap<u32, usize>,
    most: usize,
}

/// The core, and what its tasks wake each other by.
pub(crate) struct Shared {
    /// The state.
    pub(crate) core: RefCell<Core>,
    /// The channel's buffer is full: its writer has to wait for room.
    pub(crate) blocked: Notify,
    /// There is somebody to look after.
    pub(crate) busy: Notify,
    /// Places run out: who has been late for a while has to go.
    pub(crate) pressure: Notify,
}

impl Shared {
    /// An empty house.
    pub(crate) fn new() -> Rc<Self> {
        let core = Core {
            slots: Slots::default(),
            linger: Linger::new(Duration::from_secs(1)),
            link: None,
            links: 0,
            deadlines: VecDeque::new(),
            looked: Instant::now(),
            answer_within: Duration::from_secs(30),
            retiring: Vec::new(),
            late: 0,
            staying: 0,
            staying_of: HashMap::new(),
            most: usize::MAX,
        };
        Rc::new(Self {
            core: RefCell::new(core),
            blocked: Notify::new(),
            busy: Notify::new(),
            pressure: Notify::new(),
        })
    }

    /// Writes as much towards the checker as its channel takes.
    pub(crate) fn flush(&self) {
        let mut core = self.core.borrow_mut();
        if !core.flush() {
            self.blocked.notify_one();
        }
        if core.has_guests() {
            self.busy.notify_one();
        }
    }

    /// Makes room: the answered go, and who has been late for a while.
    pub(crate) fn press(&self) {
        self.core.borrow_mut().hurry(Instant::now());
        self.pressure.notify_waiters();
    }
}

impl Core {
    /// Takes the limits of a new configuration.
    pub(crate) fn configure(&mut self, config: &ipc::config::Listener, most: usize) {
        self.linger.set_drain(Duration::from_millis(config.drain_ms.into()));
        self.answer_within = Duration::from_millis(config.answer_ms.into());
        self.most = most;
    }

    /// Makes a channel the current one; the one before still answers what it was asked.
    pub(crate) fn adopt(&mut self, channel: Rc<AsyncFd<OwnedFd>>) -> (u32, Option<u32>) {
        self.links = self.links.wrapping_add(1);
        let number = self.links;
        let before = self.link.replace(Link { number, channel, outgoing: Outgoing::default() });
        let before_number = before.as_ref().map(|link| link.number);
        self.retiring.extend(before);
        (number, before_number)
    }

    /// A channel that still has to answer, for what belongs to its exchanges.
    pub(crate) fn link_mut(&mut self, number: u32) -> Option<&mut Link> {
        let current = self.link.as_mut().into_iter();
        current.chain(&mut self.retiring).find(|link| link.number == number)
    }

    /// Takes a channel out that was replaced and has answered everything.
    pub(crate) fn part_with(&mut self, number: u32) -> Option<Link> {
        let place = self.retiring.iter().position(|link| link.number == number)?;
        Some(self.retiring.swap_remove(place))
    }

    /// Forgets a channel, and tells everybody who waits for it that nobody knows.
    pub(crate) fn lose(&mut self, number: u32, now: Instant) {
        self.link.take_if(|link| link.number == number);
        self.retiring.retain(|link| link.number != number);
        for id in self.slots.on_link(number) {
            self.answer(Answered { id, answer: Answer::Unavailable }, now);
        }
    }

    /// Whether a channel still owes answers.
    pub(crate) fn owes(&self, number: u32) -> bool {
        !self.slots.on_link(number).is_empty()
    }

    /// Sends a login on its way; `make` gets the id.
    pub(crate) fn submit(
        &mut self,
        client: OwnedFd,
        protocol: Protocol,
        make: impl FnOnce(u64) -> Verify,
        now: Instant,
    ) {
        let Some(link) = self.link.as_mut() else {
            return self.dismiss(client, protocol, Answer::Unavailable, now);
        };
        let id = self.slots.insert(Waiting { client, protocol, link: link.number });
        link.outgoing.verify(&make(id));
        self.deadlines.push_back((now + self.answer_within, id));
    }

    /// Tells the checker of a request that could not be read, for its log.
    pub(crate) fn note(&mut self, unreadable: &Unreadable) {
        if let Some(link) = self.link.as_mut() {
            link.outgoing.unreadable(unreadable);
        }
    }

    /// Tells the checker of a decision, for its log; not when it has much to read.
    pub(crate) fn decided(&mut self, note: &Decided) {
        if let Some(link) = self.link.as_mut()
            && link.outgoing.as_bytes().len() < CONGESTED
        {
            link.outgoing.decided(note);
        }
    }

    /// Passes an answer to its client. An id that nobody waits for is nothing: its time was up.
    pub(crate) fn answer(&mut self, answered: Answered, now: Instant) {
        if let Some(waiting) = self.slots.remove(answered.id) {
            self.dismiss(waiting.client, waiting.protocol, answered.answer, now);
        }
    }

    /// Writes the reply and shows the client out. Unavailable has no bytes: the client sees the end of
    /// the stream, which its library reports as a temporary failure.
    pub(crate) fn dismiss(
        &mut self,
        client: OwnedFd,
        protocol: Protocol,
        answer: Answer,
        now: Instant,
    ) {
        let reply = match (protocol, answer) {
            (Protocol::Mux, Answer::Accept) => mux::OK,
            (Protocol::Mux, Answer::Refuse) => mux::NO,
            (Protocol::Pwcheck, Answer::Accept) => pwcheck::OK,
            (Protocol::Pwcheck, Answer::Refuse) => pwcheck::NO,
            (_, Answer::Unavailable)
            | (Protocol::Auth | Protocol::Userdb | Protocol::Policy, _) => b"",
        };
        // A fresh socket takes four bytes always; an error means that the client is gone.
        if !reply.is_empty() && peer::send(&client, reply).is_err() {
            return;
        }
        // A mux client knows the end by the length; pwcheck's, and who gets nothing, wait for the end.
        let ours = if protocol == Protocol::Mux && !reply.is_empty() {
            Ours::Open
        } else {
            let _ = peer::shutdown_write(&client);
            Ours::Shut
        };
        self.linger.push(client, ours, now);
    }

    /// Writes towards the checker; false when its channel takes no more at the moment.
    pub(crate) fn flush(&mut self) -> bool {
        let Some(link) = self.link.as_mut() else { return true };
        while !link.outgoing.is_empty() {
            match peer::send(link.channel.get_ref(), link.outgoing.as_bytes()) {
                Ok(count) => link.outgoing.sent(count),
                // Any other error is seen by the reader of the channel, as its end.
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
        true
    }

    /// Looks after the same when the last look was a while ago.
    pub(crate) fn look_in_passing(&mut self, now: Instant) {
        if now.saturating_duration_since(self.looked) >= LOOK {
            self.look(now);
        }
    }

    /// When they were looked after last.
    pub(crate) fn looked(&self) -> Instant {
        self.looked
    }

    /// Looks after the leaving and those whose answer is overdue.
    pub(crate) fn look(&mut self, now: Instant) {
        self.looked = now;
        self.linger.look(now);
        while let Some((deadline, id)) = self.deadlines.front().copied() {
            if deadline > now && self.slots.holds(id) {
                break;
            }
            self.deadlines.pop_front();
            self.answer(Answered { id, answer: Answer::Unavailable }, now);
        }
    }

    /// Makes room of those who have their answer and stay.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.linger.hurry(now);
    }

    /// Whether anybody is there to look after.
    pub(crate) fn has_guests(&self) -> bool {
        self.linger.len() > 0 || !self.deadlines.is_empty()
    }

    /// How many connections are held.
    pub(crate) fn connections(&self) -> usize {
        self.slots.len() + self.linger.len() + self.late + self.staying
    }

    /// How many requests are with the checker.
    pub(crate) fn waiting(&self) -> usize {
        self.slots.len()
    }

    /// Whether another client can be taken in.
    pub(crate) fn has_room(&self) -> bool {
        self.connections() < self.most && !self.is_congested()
    }

    /// Whether another client can be taken in that stays: half of the places are for those who go.
    pub(crate) fn has_room_to_stay(&self) -> bool {
        self.staying < self.most_to_stay() && self.has_room()
    }

    /// Whether a connection that stays and needs no checker can be taken in.
    pub(crate) fn has_place(&self) -> bool {
        self.staying < self.most_to_stay() && self.connections() < self.most
    }

    fn most_to_stay(&self) -> usize {
        self.most.div_ceil(2)
    }

    /// Takes a place for one that stays. The programs of one uid have three of four at most: a connection may be idle
    /// for as long as it likes, so that a stranger could hold them all, and no mail server would find one.
    pub(crate) fn stay(&mut self, uid: u32) -> bool {
        let of_uid = self.staying_of.entry(uid).or_default();
        let is_free = *of_uid < (self.most.div_ceil(2) / 4 * 3).max(1);
        if is_free {
            *of_uid += 1;
            self.staying += 1;
        }
        is_free
    }

    /// One of that uid that stayed is gone.
    pub(crate) fn leave(&mut self, uid: u32) {
        self.staying = self.staying.saturating_sub(1);
        if let Some(of_uid) = self.staying_of.get_mut(&uid) {
            *of_uid = of_uid.saturating_sub(1);
            if *of_uid == 0 {
                self.staying_of.remove(&uid);
            }
        }
    }

    /// Whether the checker has much to read before it gets more.
    pub(crate) fn is_congested(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.outgoing.as_bytes().len() >= CONGESTED)
    }
}
