//! Which job is next: lanes, shares of threads, and the budget of memory. Pure bookkeeping under the pool's lock.

use std::collections::VecDeque;

use super::{Figures, Job};

/// Most jobs that wait in one lane. A lane's wait is bounded by its deadline; this bounds its memory.
const MOST_WAITING: usize = 8192;

/// A job's place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Logins of users who logged in from there before.
    Known,
    /// All other logins.
    Others,
    /// New hashes for old records.
    Renewals,
}

/// The jobs that wait, and what the running ones take.
pub(super) struct Queue {
    known: VecDeque<Job>,
    others: VecDeque<Job>,
    renewals: VecDeque<Job>,
    threads: usize,
    /// Threads that logins not known good may have at a time.
    others_most: usize,
    memory_kib: u64,
    running: usize,
    running_others: usize,
    running_kib: u64,
    done: u64,
    given_up: u64,
}

impl Queue {
    pub(super) fn new(threads: usize, memory_kib: u64, others_percent: u8) -> Self {
        // Rounded up: on two cores 70 % is both, and then only the order helps, on four it is three.
        let others_most = (threads * usize::from(others_percent)).div_ceil(100).max(1);
        Self {
            known: VecDeque::new(),
            others: VecDeque::new(),
            renewals: VecDeque::new(),
            threads,
            others_most,
            memory_kib,
            running: 0,
            running_others: 0,
            running_kib: 0,
            done: 0,
            given_up: 0,
        }
    }

    /// Lets a job wait, or gives it back when its lane is full.
    pub(super) fn push(&mut self, job: Job) -> Option<Job> {
        let lane = match job.lane {
            Lane::Known => &mut self.known,
            Lane::Others => &mut self.others,
            Lane::Renewals => &mut self.renewals,
        };
        if lane.len() >= MOST_WAITING {
            self.given_up += 1;
            return Some(job);
        }
        lane.push_back(job);
        None
    }

    /// The next job that may run now; it is counted as running.
    pub(super) fn pop(&mut self) -> Option<Job> {
        let job = self.choose()?;
        self.running += 1;
        self.running_kib += job.kib();
        if job.lane != Lane::Known {
            self.running_others += 1;
        }
        Some(job)
    }

    /// In a lane nobody overtakes; so a job that needs much memory gets it in the end.
    fn choose(&mut self) -> Option<Job> {
        if let Some(first) = self.known.front() {
            return if self.fits(first) { self.known.pop_front() } else { None };
        }
        if self.running_others >= self.others_most {
            return None;
        }
        if let Some(first) = self.others.front() {
            return if self.fits(first) { self.others.pop_front() } else { None };
        }
        // Renewals leave one thread to the next login, where there is more than one.
        if self.running > 0 && self.running + 1 >= self.threads {
            return None;
        }
        let first = self.renewals.front()?;
        if self.fits(first) { self.renewals.pop_front() } else { None }
    }

    /// Within the budget, or alone: the policy's ceiling bounds a single one.
    fn fits(&self, job: &Job) -> bool {
        self.running == 0 || self.running_kib + job.kib() <= self.memory_kib
    }

    /// A running job ended.
    pub(super) fn ended(&mut self, lane: Lane, kib: u64) {
        self.running = self.running.saturating_sub(1);
        self.running_kib = self.running_kib.saturating_sub(kib);
        if lane != Lane::Known {
            self.running_others = self.running_others.saturating_sub(1);
        }
        self.done += 1;
    }

    /// A job that had to be given up; it still ends.
    pub(super) fn note_given_up(&mut self) {
        self.given_up += 1;
    }

    pub(super) fn figures(&self) -> Figures {
        Figures {
            threads: self.threads,
            running: self.running,
            waiting: self.known.len() + self.others.len() + self.renewals.len(),
            done: self.done,
            given_up: self.given_up,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use credentials::Argon2Settings;
    use protocol::Password;

    use super::super::Work;
    use super::*;

    fn job(ticket: u64, lane: Lane, kib: u32) -> Job {
        let settings = Argon2Settings { memory_kib: kib, iterations: 1, lanes: 1 };
        let password = Password::new(b"x").unwrap();
        Job {
            ticket,
            lane,
            work: Work::Renew(Some(settings), Vec::new()),
            password,
            deadline: Instant::now(),
        }
    }

    fn tickets(queue: &mut Queue) -> Vec<u64> {
        std::iter::from_fn(|| queue.pop()).map(|job| job.ticket).collect()
    }

    #[test]
    fn known_first_and_others_within_their_share() {
        let mut queue = Queue::new(4, 1000, 50);
        for ticket in 0..4 {
            assert!(queue.push(job(ticket, Lane::Others, 1)).is_none());
        }
        queue.push(job(9, Lane::Renewals, 1));
        queue.push(job(10, Lane::Known, 1));
        assert_eq!(tickets(&mut queue), [10, 0, 1], "two of four threads for others");
        queue.push(job(11, Lane::Known, 1));
        assert_eq!(tickets(&mut queue), [11]);
        queue.ended(Lane::Others, 1);
        assert_eq!(tickets(&mut queue), [2]);
    }

    #[test]
    fn e3_concurrency_is_the_budget_by_the_memory() {
        let mut queue = Queue::new(8, 100, 100);
        for ticket in 0..6 {
            queue.push(job(ticket, Lane::Known, 30));
        }
        assert_eq!(tickets(&mut queue), [0, 1, 2]);
        queue.ended(Lane::Known, 30);
        assert_eq!(tickets(&mut queue), [3]);
        // A large one waits for room and is not overtaken; alone it runs.
        let mut queue = Queue::new(8, 100, 100);
        queue.push(job(0, Lane::Known, 60));
        queue.push(job(1, Lane::Known, 500));
        queue.push(job(2, Lane::Known, 1));
        assert_eq!(tickets(&mut queue), [0]);
        queue.ended(Lane::Known, 60);
        assert_eq!(tickets(&mut queue), [1]);
    }

    #[test]
    fn renewals_leave_a_thread_to_logins() {
        let mut queue = Queue::new(2, 100, 100);
        queue.push(job(0, Lane::Renewals, 1));
        queue.push(job(1, Lane::Renewals, 1));
        assert_eq!(tickets(&mut queue), [0]);
        queue.push(job(2, Lane::Others, 1));
        assert_eq!(tickets(&mut queue), [2]);
        let mut single = Queue::new(1, 100, 100);
        single.push(job(0, Lane::Renewals, 1));
        assert_eq!(tickets(&mut single), [0], "with one thread only an idle moment is left");
    }

    #[test]
    fn a_full_lane_gives_the_job_back() {
        let mut queue = Queue::new(1, 100, 100);
        for ticket in 0..MOST_WAITING as u64 {
            assert!(queue.push(job(ticket, Lane::Others, 1)).is_none());
        }
        assert!(queue.push(job(0, Lane::Others, 1)).is_some());
        assert!(queue.push(job(0, Lane::Known, 1)).is_none());
    }
}
