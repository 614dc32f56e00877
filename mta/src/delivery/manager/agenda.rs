//! Which message is next, for which next hop: all that is kept in memory of the queue.
//!
//! Runs in the sender. Time is an argument, and nothing here reads a disk or speaks to anybody. An entry is small: a
//! message's id, its next time, and numbers of its next hops; envelopes stay on disk until they are needed. Next hops
//! take turns, so that none holds up another; one that cannot be reached is looked at by one message at a time, and all
//! such ones together hold at most half of the connections.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::destination::Destination;
use crate::delivery::route::Hop;
use crate::delivery::transport::Reply;
use crate::spool::id::Id;
use crate::spool::state::Told;

/// A message in memory.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// When it arrived, by the wall clock.
    pub(super) arrived: u64,
    /// How long it had been watched at `since`.
    pub(super) watched: Duration,
    /// When this was known.
    pub(super) since: Instant,
    /// Whether its sender was told that it takes longer.
    pub(super) warned: Told,
    /// Failed attempts.
    pub(super) attempts: u32,
    /// Recipients that wait.
    pub(super) waiting: usize,
    pub(super) phase: Phase,
    /// Numbers of the next hops of those who wait; unknown after new settings.
    pub(super) hops: Option<Box<[u32]>>,
}

/// What is being done for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing before this moment.
    Until(Instant),
    /// Its next hops are found out, or what became of it is written down.
    Busy,
    /// It is with so many next hops, or in their lines.
    Sent(usize),
    /// Nothing until an operator says so.
    Held,
}

impl Entry {
    /// How long it has been watched.
    pub(super) fn age(&self, now: Instant) -> Duration {
        self.watched.saturating_add(now.saturating_duration_since(self.since))
    }

    /// One as it was read, with nothing to do before a moment or at all.
    pub(super) fn new(arrived: u64, watched: Duration, since: Instant, phase: Phase) -> Self {
        Self {
            arrived,
            watched,
            since,
            warned: Told::No,
            attempts: 0,
            waiting: 0,
            phase,
            hops: None,
        }
    }
}

/// What is to be done now.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// Find out the next hops of this message: [`Agenda::sorted`].
    Sort(Id),
    /// Send it there: [`Agenda::sent`].
    Send(Id, u32, Arc<Hop>),
    /// Not tried, since its next hops cannot be reached: see what its age means for it.
    PutOff(Id, Arc<Hop>, Option<Reply>),
}

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) connections: usize,
    pub(super) per_destination: usize,
}

/// Everything that is to be done.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: HashMap<Id, Entry>,
    due: BTreeSet<(Instant, Id)>,
    destinations: HashMap<u32, Destination>,
    numbers: HashMap<Arc<Hop>, u32>,
    next_number: u32,
    /// Destinations that have mail in line, in the order of their turns.
    turns: VecDeque<u32>,
    active: usize,
    /// Connections of destinations that could not be reached last time.
    probing: usize,
    sorting: usize,
}

/// Messages whose next hops are found out at a time.
const SORTING: usize = 16;

impl Agenda {
    /// Adds a message, or gives it another entry.
    pub(super) fn put(&mut self, id: Id, entry: Entry) {
        self.forget(id);
        if let Phase::Until(at) = entry.phase {
            self.due.insert((at, id));
        }
        self.entries.insert(id, entry);
    }

    /// The same with its next hops, so that what is known of them isn't forgotten as long as a message waits for them.
    pub(super) fn put_down(&mut self, id: Id, mut entry: Entry, hops: Vec<Hop>) {
        entry.hops = Some(self.used(hops));
        self.put(id, entry);
    }

    /// Forgets a message.
    pub(super) fn forget(&mut self, id: Id) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        if let Phase::Until(at) = entry.phase {
            self.due.remove(&(at, id));
        }
        self.release(&entry);
        Some(entry)
    }

    /// Lets go of its next hops.
    fn release(&mut self, entry: &Entry) {
        for number in entry.hops.iter().flatten() {
            if let Some(destination) = self.destinations.get_mut(number) {
                destination.users = destination.users.saturating_sub(1);
            }
            self.tidy(*number);
        }
    }

    pub(super) fn entry(&self, id: Id) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&Id, &Entry)> {
        self.entries.iter()
    }

    pub(super) fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.destinations.values()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Attempts under way.
    pub(super) fn active(&self) -> usize {
        self.active
    }

    /// After new settings: next hops are found out anew at the next attempt.
    pub(super) fn forget_hops(&mut self) {
        let waiting = |entry: &Entry| matches!(entry.phase, Phase::Until(_) | Phase::Held);
        let ids: Vec<Id> =
            self.entries.iter().filter(|(_, entry)| waiting(entry)).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(mut entry) = self.entries.get(&id).cloned() {
                self.release(&entry);
                entry.hops = None;
                self.entries.insert(id, entry);
            }
        }
    }

    /// What is to be done now, and when to ask again if nothing happens before.
    pub(super) fn advance(&mut self, now: Instant, limits: Limits) -> (Vec<Task>, Option<Instant>) {
        let mut tasks = Vec::new();
        self.take_due(now, &mut tasks);
        self.take_turns(now, limits, &mut tasks);
        let next = match self.sorting < SORTING {
            true => self.due.first().map(|(at, _)| *at),
            // Whoever ends sorting asks again.
            false => None,
        };
        (tasks, next)
    }

    fn take_due(&mut self, now: Instant, tasks: &mut Vec<Task>) {
        while let Some((at, id)) = self.due.first().copied() {
            if at > now || self.sorting >= SORTING {
                break;
            }
            self.due.pop_first();
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            match entry.hops.clone() {
                Some(hops) if !hops.is_empty() => {
                    entry.phase = Phase::Sent(hops.len());
                    hops.iter().for_each(|number| self.stand_in_line(*number, id));
                }
                _ => {
                    entry.phase = Phase::Busy;
                    self.sorting += 1;
                    tasks.push(Task::Sort(id));
                }
            }
        }
    }

    fn stand_in_line(&mut self, number: u32, id: Id) {
        let Some(destination) = self.destinations.get_mut(&number) else { return };
        if destination.line.is_empty() {
            self.turns.push_back(number);
        }
        destination.line.push_back(id);
    }

    /// The next hops of a message are known.
    pub(super) fn sorted(&mut self, id: Id, hops: Vec<Hop>) {
        self.sorting = self.sorting.saturating_sub(1);
        self.line_up(id, hops);
    }

    /// Sorting came to nothing; [`Self::put`] or [`Self::forget`] says what is next.
    pub(super) fn not_sorted(&mut self) {
        self.sorting = self.sorting.saturating_sub(1);
    }

    /// Puts a message whose next hops are known into their lines.
    pub(super) fn line_up(&mut self, id: Id, hops: Vec<Hop>) {
        let Some(mut entry) = self.entries.get(&id).cloned() else { return };
        let numbers = self.used(hops);
        if let Phase::Until(at) = entry.phase {
            self.due.remove(&(at, id));
        }
        self.release(&entry);
        entry.phase = Phase::Sent(numbers.len());
        numbers.iter().for_each(|number| self.stand_in_line(*number, id));
        entry.hops = Some(numbers);
        self.entries.insert(id, entry);
    }

    /// Numbers of next hops that a message is for.
    fn used(&mut self, hops: Vec<Hop>) -> Box<[u32]> {
        let numbers: Box<[u32]> = hops.into_iter().map(|hop| self.number(hop)).collect();
        for number in &numbers {
            if let Some(destination) = self.destinations.get_mut(number) {
                destination.users += 1;
            }
        }
        numbers
    }

    fn number(&mut self, hop: Hop) -> u32 {
        if let Some(number) = self.numbers.get(&hop) {
            return *number;
        }
        // Wraps after four thousand million next hops; those of today are skipped.
        while self.destinations.contains_key(&self.next_number) {
            self.next_number = self.next_number.wrapping_add(1);
        }
        let number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1);
        let hop = Arc::new(hop);
        self.numbers.insert(Arc::clone(&hop), number);
        self.destinations.insert(number, Destination::new(hop));
        number
    }

    fn take_turns(&mut self, now: Instant, limits: Limits, tasks: &mut Vec<Task>) {
        let mut blocked = 0;
        while blocked < self.turns.len() {
            let Some(number) = self.turns.pop_front() else { break };
            let Some(destination) = self.destinations.get_mut(&number) else { continue };
            if destination.is_paused(now) {
                for id in std::mem::take(&mut destination.line) {
                    let (hop, last) = (Arc::clone(&destination.hop), destination.last.clone());
                    tasks.push(Task::PutOff(id, hop, last));
                }
                continue;
            }
            let probes = destination.failures > 0;
            let most = if probes { 1 } else { limits.per_destination.max(1) };
            if self.active >= limits.connections.max(1) {
                // Nobody has room: to ask each of ten thousand next hops would be work for nothing.
                self.turns.push_front(number);
                break;
            }
            let room = destination.active < most
                && !(probes && self.probing * 2 >= limits.connections.max(2));
            if !room {
                self.turns.push_back(number);
                blocked += 1;
                continue;
            }
            blocked = 0;
            if let Some(id) = destination.line.pop_front() {
                destination.active += 1;
                self.active += 1;
                self.probing += usize::from(probes);
                destination.probes += usize::from(probes);
                tasks.push(Task::Send(id, number, Arc::clone(&destination.hop)));
            }
            if !destination.line.is_empty() {
                self.turns.push_back(number);
            }
        }
    }

    /// An attempt has come to something: whether the next hop was reached, and how long it is left alone if it wasn't.
    /// Known at once, before anything is written, so that nobody else tries in vain.
    pub(super) fn learn(&mut self, number: u32, reached: Reached, now: Instant) {
        if let Some(destination) = self.destinations.get_mut(&number) {
            destination.learn(reached, now);
        }
    }

    /// An attempt has ended, and what became of it is written.
    pub(super) fn sent(&mut self, number: u32) {
        self.active = self.active.saturating_sub(1);
        if let Some(destination) = self.destinations.get_mut(&number) {
            destination.active = destination.active.saturating_sub(1);
            if destination.probes > 0 {
                destination.probes -= 1;
                self.probing = self.probing.saturating_sub(1);
            }
        }
        self.tidy(number);
    }

    /// How many attempts in a row didn't reach this next hop.
    pub(super) fn failures(&self, number: u32) -> u32 {
        self.destinations.get(&number).map_or(0, |destination| destination.failures)
    }

    /// How many next hops a message is still with.
    pub(super) fn outstanding(&self, id: Id) -> usize {
        match self.entries.get(&id).map(|entry| entry.phase) {
            Some(Phase::Sent(count)) => count,
            _ => 0,
        }
    }

    /// One of them is done with it. When it was the last one, the message is busy until it is [`Self::put`] again.
    pub(super) fn done_with_hop(&mut self, id: Id) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.phase = match entry.phase {
                Phase::Sent(count) if count > 1 => Phase::Sent(count - 1),
                Phase::Sent(_) | Phase::Busy => Phase::Busy,
                // It was put down meanwhile, and is in `due` by that moment.
                other => other,
            };
        }
    }

    /// Puts a message down until a moment, with next hops as they are known.
    pub(super) fn wait(&mut self, id: Id, until: Instant) {
        if let Some(entry) = self.entries.get_mut(&id) {
            if let Phase::Until(at) = entry.phase {
                self.due.remove(&(at, id));
            }
            entry.phase = Phase::Until(until);
            self.due.insert((until, id));
        }
    }

    /// When a next hop is tried again, if it is left alone.
    pub(super) fn paused_until(&self, hop: &Hop) -> Option<Instant> {
        let number = self.numbers.get(hop)?;
        self.destinations.get(number)?.paused
    }

    /// Lets all next hops be tried at once: an operator says so.
    pub(super) fn end_pauses(&mut self) {
        self.destinations.values_mut().for_each(|destination| destination.paused = None);
    }

    /// Forgets a destination that nobody waits for and nothing is known of.
    fn tidy(&mut self, number: u32) {
        let idle = self.destinations.get(&number).is_some_and(Destination::is_idle);
        if idle && let Some(destination) = self.destinations.remove(&number) {
            self.numbers.remove(&destination.hop);
        }
    }
}

/// Whether a next hop was reached.
#[derive(Clone, Debug)]
pub(super) enum Reached {
    Yes,
    /// It wasn't: leave it alone for so long, and what was said.
    No(Duration, Option<Reply>),
}

#[cfg(test)]
#[path = "agenda_tests.rs"]
mod tests;
