//! Logins that found no token left, while other logins under way may yet give theirs back.
//!
//! Runs in the checker. Forty messages of one client at once are not forty guesses: who is throttled only by
//! logins that are being checked waits for their end, and is throttled then or not. So a limit is never exceeded, and
//! no right password is refused because others of the same user were in the pool before it.

use std::collections::{HashMap, VecDeque};

use super::login::Login;
use crate::limiter::{Busy, Reservation};

/// Who holds tokens while it is checked, and who waits for them.
#[derive(Default)]
pub(super) struct Waiting {
    held: HashMap<Busy, u32>,
    queues: HashMap<Busy, VecDeque<Box<Login>>>,
    count: usize,
}

impl Waiting {
    /// A login goes to the pool with these tokens.
    pub(super) fn hold(&mut self, reservation: &Reservation) {
        for busy in reservation.charged() {
            *self.held.entry(busy).or_default() += 1;
        }
    }

    /// It came back.
    pub(super) fn release(&mut self, busy: Busy) {
        if let Some(count) = self.held.get_mut(&busy) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(&busy);
            }
        }
    }

    /// Whether a token may yet come back.
    pub(super) fn is_held(&self, busy: Busy) -> bool {
        self.held.contains_key(&busy)
    }

    /// Lets a login wait for a token.
    pub(super) fn add(&mut self, busy: Busy, login: Box<Login>) {
        self.count += 1;
        self.queues.entry(busy).or_default().push_back(login);
    }

    /// All that wait for this token, first come first.
    pub(super) fn take(&mut self, busy: Busy) -> VecDeque<Box<Login>> {
        let queue = self.queues.remove(&busy).unwrap_or_default();
        self.count -= queue.len();
        queue
    }

    /// Those of them for whom there was none.
    pub(super) fn put_back(&mut self, busy: Busy, queue: VecDeque<Box<Login>>) {
        if !queue.is_empty() {
            self.count += queue.len();
            self.queues.insert(busy, queue);
        }
    }

    /// One that came before `start_ns`, if there is any.
    pub(super) fn expired(&mut self, start_ns: u64) -> Option<Box<Login>> {
        let (busy, queue) = self
            .queues
            .iter_mut()
            .find(|(_, queue)| queue.front().is_some_and(|login| login.started_ns <= start_ns))?;
        let (busy, login) = (*busy, queue.pop_front());
        if queue.is_empty() {
            self.queues.remove(&busy);
        }
        self.count -= usize::from(login.is_some());
        login
    }

    /// When the login that has waited longest came.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.queues.values().filter_map(|queue| Some(queue.front()?.started_ns)).min()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }
}
