//! A next hop as the agenda knows it: who waits for it, and whether it could be reached.
//!
//! Runs in the sender. It is forgotten when no message is for it any more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::agenda::Reached;
use crate::delivery::route::Hop;
use crate::delivery::transport::Reply;
use crate::spool::id::Id;

/// A next hop with mail.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) hop: Arc<Hop>,
    /// Messages that are due and wait for a connection.
    pub(super) line: VecDeque<Id>,
    /// Connections to it.
    pub(super) active: usize,
    /// Those of them that were begun to see whether it is back.
    pub(super) probes: usize,
    /// Messages in the queue that are for it.
    pub(super) users: usize,
    /// Attempts in a row that didn't reach it.
    pub(super) failures: u32,
    /// It is left alone until then.
    pub(super) paused: Option<Instant>,
    /// What was said last when it couldn't be reached.
    pub(super) last: Option<Reply>,
}

impl Destination {
    pub(super) fn new(hop: Arc<Hop>) -> Self {
        Self {
            hop,
            line: VecDeque::new(),
            active: 0,
            probes: 0,
            users: 0,
            failures: 0,
            paused: None,
            last: None,
        }
    }

    pub(super) fn is_paused(&self, now: Instant) -> bool {
        self.paused.is_some_and(|until| until > now)
    }

    pub(super) fn learn(&mut self, reached: Reached, now: Instant) {
        match reached {
            Reached::Yes => {
                self.failures = 0;
                self.paused = None;
                self.last = None;
            }
            // Several that were begun together say it once.
            Reached::No(..) if self.is_paused(now) => {}
            Reached::No(pause, reply) => {
                self.failures = self.failures.saturating_add(1);
                self.paused = now.checked_add(pause);
                self.last = reply;
            }
        }
    }

    /// Whether it can be forgotten.
    pub(super) fn is_idle(&self) -> bool {
        self.users == 0 && self.active == 0 && self.line.is_empty()
    }
}
