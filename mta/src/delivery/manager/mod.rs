//! The manager of the queue: takes what has arrived, has it sent when it is time, and writes down what became of it.
//!
//! Runs in the sender. A message leaves the queue only when each of its recipients is done and every report about them is
//! in the queue itself; what a server said is on disk before anything else is done for the message. The process may be
//! killed at any moment: what is lost is what it knew beyond the disk, never mail.

mod agenda;
mod attempt;
mod close;
mod destination;
mod lines;
mod operator;
mod settle;
mod store;
mod watch;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sys::clock::wall_seconds;
use tokio::sync::Notify;

use super::route::hops;
use super::schedule::{self, Drawn};
use super::transport::Transport;
use crate::config::Config;
use crate::control::{FromChild, Kept, Level};
use crate::link::Link;
use crate::spool::id::Id;
use crate::spool::queue::{Arrivals, Message, Queue, Trouble};
use agenda::{Agenda, Entry, Limits, Phase, Task};
use store::{Store, locked};

/// When something is tried again that the disk refused.
const LOOK: Duration = Duration::from_secs(60);
/// Messages that are taken at a time: their fsyncs are shared. What arrives meanwhile is taken next.
const TAKES: usize = 64;

/// What the manager works by.
#[derive(Clone)]
pub struct Settings {
    /// All settings.
    pub config: Arc<Config>,
    /// What sends.
    pub transport: Transport,
}

/// The manager. A clone is the same one.
#[derive(Clone)]
pub struct Manager(Arc<House>);

struct House {
    link: Link,
    store: Store,
    agenda: Mutex<Agenda>,
    settings: Mutex<Settings>,
    wake: Notify,
    /// Messages on disk that haven't been read since the start.
    unread: AtomicU64,
    stopping: AtomicBool,
    figures: Figures,
    /// Hears operators.
    operators: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// Since the start.
#[derive(Debug, Default)]
struct Figures {
    delivered: AtomicU64,
    failed: AtomicU64,
    deferred: AtomicU64,
    reports: AtomicU64,
}

impl Manager {
    /// A manager of this queue.
    pub fn new(link: Link, queue: Queue, settings: Settings) -> Self {
        Self(Arc::new(House {
            link,
            store: Store::new(queue),
            agenda: Mutex::default(),
            settings: Mutex::new(settings),
            wake: Notify::new(),
            unread: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            figures: Figures::default(),
            operators: Mutex::default(),
        }))
    }

    /// Works by these from the next attempt on.
    pub fn load(&self, settings: Settings) {
        *locked(&self.0.settings) = settings;
        self.0.agenda().forget_hops();
        self.0.wake.notify_one();
    }

    /// Begins nothing new, and waits until what was begun has ended, at most so long.
    pub async fn stop(&self, patience: Duration) {
        self.0.stopping.store(true, Ordering::Relaxed);
        let end = tokio::time::Instant::now() + patience;
        while self.0.agenda().active() > 0 && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Manages the queue for good.
    pub async fn serve(&self, arrivals: Arrivals) {
        tokio::spawn(self.clone().read_all());
        tokio::spawn(self.clone().welcome(arrivals));
        tokio::spawn(self.clone().tell_parent());
        loop {
            let next = self.begin(Instant::now());
            let woken = self.0.wake.notified();
            match next {
                Some(at) => drop(tokio::time::timeout_at(at.into(), woken).await),
                None => woken.await,
            }
        }
    }

    /// Begins what is due, and says when to look again.
    fn begin(&self, now: Instant) -> Option<Instant> {
        if self.0.stopping.load(Ordering::Relaxed) {
            return None;
        }
        if let Some(until) = self.0.store.in_trouble(now) {
            return Some(until);
        }
        let limits = {
            let settings = locked(&self.0.settings);
            let delivery = &settings.config.delivery;
            Limits {
                connections: delivery.connections,
                per_destination: delivery.connections_per_destination,
            }
        };
        let (tasks, next) = self.0.agenda().advance(now, limits);
        for task in tasks {
            let manager = self.clone();
            match task {
                Task::Sort(id) => drop(tokio::spawn(async move {
                    manager.blocking(move |house| house.sort(id)).await;
                })),
                Task::Send(id, number, hop) => {
                    drop(tokio::spawn(async move { manager.send(id, number, hop).await }));
                }
                Task::PutOff(id, hop, last) => drop(tokio::spawn(async move {
                    manager.blocking(move |house| house.put_off(id, &hop, last.as_ref())).await;
                })),
            }
        }
        next
    }

    /// Runs what blocks, and has the agenda looked at afterwards.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&House) -> T + Send + 'static,
    ) -> Option<T> {
        let house = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&house)).await;
        self.0.wake.notify_one();
        done.inspect_err(|error| {
            self.0.link.log(Level::Error, format!("work on the queue ended early: {error}"));
        })
        .ok()
    }

    /// Reads all that was in the queue at the start, a little at a time: what arrives meanwhile doesn't wait for it.
    async fn read_all(self) {
        let ids = loop {
            match self.blocking(|house| house.store.queue.taken()).await {
                Some(Ok(ids)) => break ids,
                // Or all that waits would wait for the next start.
                Some(Err(trouble)) => {
                    let text = format!(
                        "the queue cannot be listed: {trouble}; tried again in {} s: look at its disk",
                        LOOK.as_secs()
                    );
                    self.0.link.log(Level::Critical, text);
                    tokio::time::sleep(LOOK).await;
                }
                None => return,
            }
        };
        self.0.unread.store(ids.len() as u64, Ordering::Relaxed);
        for some in ids.chunks(64) {
            let some = some.to_vec();
            self.blocking(move |house| {
                some.into_iter().for_each(|id| house.learn(id));
            })
            .await;
        }
    }

    /// Takes what arrives.
    async fn welcome(self, mut arrivals: Arrivals) {
        loop {
            match arrivals.next().await {
                Ok(ids) => self.admit(ids).await,
                Err(trouble) => {
                    let text = format!("incoming/ cannot be listed: {trouble}; look at its disk");
                    self.0.link.log(Level::Critical, text);
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// Takes these, many at a time.
    async fn admit(&self, ids: Vec<Id>) {
        for some in ids.chunks(TAKES) {
            let some = some.to_vec();
            self.blocking(move |house| house.take(some)).await;
        }
    }

    /// Tells the parent how much is kept, at most once a second.
    async fn tell_parent(self) {
        let mut told = None;
        loop {
            let messages = self.0.kept();
            if told != Some(messages) {
                self.0.link.say(FromChild::Queue(Kept { messages }));
                told = Some(messages);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

impl House {
    fn agenda(&self) -> std::sync::MutexGuard<'_, Agenda> {
        locked(&self.agenda)
    }

    fn settings(&self) -> Settings {
        locked(&self.settings).clone()
    }

    fn kept(&self) -> u64 {
        self.agenda().len() as u64 + self.unread.load(Ordering::Relaxed)
    }

    /// Takes messages that have arrived. One that is taken by somebody else at the same time is in order or gone.
    fn take(&self, mut ids: Vec<Id>) {
        ids.retain(|id| self.agenda().entry(*id).is_none());
        let outcomes = self.store.queue.take_all(&ids);
        for (id, outcome) in ids.into_iter().zip(outcomes) {
            let _guard = self.store.lock(id);
            // One that was there at the start may have been read meanwhile.
            if self.agenda().entry(id).is_some() {
                continue;
            }
            match outcome {
                Ok(()) => {
                    if let Some(message) = self.read(id) {
                        self.admit_read(id, &message);
                    }
                }
                // Told twice.
                Err(Trouble::Gone) => {}
                Err(trouble) => self.cannot(id, &trouble),
            }
        }
    }

    /// Reads a message that was taken before this process began.
    fn learn(&self, id: Id) {
        let _guard = self.store.lock(id);
        self.unread.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).ok();
        if self.agenda().entry(id).is_none()
            && let Some(message) = self.read(id)
        {
            let entry = self.entry(&message);
            self.agenda().put(id, entry);
        }
    }

    /// Enters a message that was just read, and sends it on its way if it is due.
    fn admit_read(&self, id: Id, message: &Message) {
        let entry = self.entry(message);
        let due = matches!(entry.phase, Phase::Until(at) if at <= Instant::now());
        let groups = self.groups(message);
        let mut agenda = self.agenda();
        // A report that was found when the queue was listed: one of the two is enough.
        if agenda.entry(id).is_some() {
            return;
        }
        agenda.put(id, entry);
        if due && !groups.is_empty() {
            agenda.line_up(id, groups.into_iter().map(|(hop, _)| hop).collect());
        }
    }

    /// Finds out the next hops of a message that is due.
    fn sort(&self, id: Id) {
        let guard = self.store.lock(id);
        // One whose taking failed, or was interrupted by a crash, still has its name in incoming/ too: it would arrive
        // once more after it is sent.
        let message = match self.store.queue.take(id).and_then(|()| self.store.read(id)) {
            Ok(message) => message,
            Err(trouble) => {
                self.cannot(id, &trouble);
                return self.agenda().not_sorted();
            }
        };
        let groups = self.groups(&message);
        if message.state.held.is_some() {
            let mut agenda = self.agenda();
            agenda.not_sorted();
            return agenda.put(id, self.entry(&message));
        }
        if groups.is_empty() {
            self.agenda().not_sorted();
            self.close(id, message, close::Turn::Tried, None);
        } else {
            self.agenda().sorted(id, groups.into_iter().map(|(hop, _)| hop).collect());
        }
        drop(guard);
    }

    /// Next hops of those who wait.
    fn groups(&self, message: &Message) -> Vec<(super::route::Hop, Vec<u32>)> {
        let numbers = settle::waiting(&message.state);
        let addressee = |number: u32| {
            let index = usize::try_from(number).ok()?;
            Some((number, message.envelope.recipients.get(index)?))
        };
        hops(&self.settings().config, numbers.into_iter().filter_map(addressee))
    }

    /// What is kept in memory of a message.
    fn entry(&self, message: &Message) -> Entry {
        let (now, wall) = (Instant::now(), wall_seconds());
        let state = &message.state;
        let config = self.settings().config;
        let longest = config.delivery.retry.iter().max().copied().unwrap_or(LOOK);
        let watched = schedule::watched(state.watched, state.noted, wall, longest.max(LOOK));
        // A clock that was set back makes nothing wait longer than the settings say.
        let wait = Duration::from_secs(state.next.saturating_sub(wall)).min(longest.mul_f64(1.1));
        let phase = match state.held {
            Some(_) => Phase::Held,
            None => Phase::Until(now + wait),
        };
        Entry {
            warned: state.warned,
            attempts: state.attempts,
            waiting: settle::waiting(state).len(),
            ..Entry::new(message.envelope.arrived, watched, now, phase)
        }
    }

    /// A message, or `None` when it is gone, damaged or cannot be read now; that was taken care of then.
    fn read(&self, id: Id) -> Option<Message> {
        self.store.read(id).inspect_err(|trouble| self.cannot(id, trouble)).ok()
    }

    /// Something cannot be done with a message.
    fn cannot(&self, id: Id, trouble: &Trouble) {
        match trouble {
            Trouble::Gone => {
                self.store.forget(id);
                self.agenda().forget(id);
                // Its state may be left, where its own end was interrupted; the next start would clear it away.
                let _ = self.store.queue.clear_state(id);
            }
            Trouble::Damaged(why) => {
                self.store.forget(id);
                self.agenda().forget(id);
                let outcome = match self.store.queue.quarantine(id) {
                    Ok(()) => "it is in corrupt/ and is not sent".to_owned(),
                    Err(trouble) => format!("it cannot be moved to corrupt/: {trouble}"),
                };
                let text = format!("{id}: the message is damaged: {why}; {outcome}");
                self.link.log(Level::Critical, text);
            }
            _ => {
                self.link.log(Level::Error, format!("{id}: {trouble}; it is tried again later"));
                let now = Instant::now();
                let mut agenda = self.agenda();
                if agenda.entry(id).is_none() {
                    agenda.put(id, Entry::new(wall_seconds(), Duration::ZERO, now, Phase::Busy));
                }
                agenda.wait(id, now + LOOK);
            }
        }
    }
}

/// For spreading.
fn drawn() -> Drawn {
    let mut bytes = [0; 2];
    // Without randomness mail is tried on the minute, and that is all.
    let _ = getrandom::fill(&mut bytes);
    Drawn::new(u16::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests;
