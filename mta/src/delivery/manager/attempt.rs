//! One attempt for one message and one next hop: read, sent, settled.
//!
//! Runs in the sender. Whatever goes wrong in between, the attempt ends and its connection is counted as free.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sys::clock::wall_seconds;

use super::agenda::{Phase, Reached};
use super::close::Turn;
use super::store::locked;
use super::watch::Watch;
use super::{House, Manager, drawn, lines, settle};
use crate::control::Level;
use crate::delivery::route::Hop;
use crate::delivery::schedule::{self, Patience};
use crate::delivery::transport::{Contact, Job, Notifier, Outcome, Reply, Report};
use crate::spool::id::Id;
use crate::spool::queue::{Message, Trouble};
use crate::spool::state::Told;

impl Manager {
    /// The attempt.
    pub(super) async fn send(self, id: Id, number: u32, hop: Arc<Hop>) {
        let begun = Instant::now();
        let wanted = Arc::clone(&hop);
        let prepared = self.blocking(move |house| house.prepare(id, &wanted)).await;
        if let Some(Some((message, mut job))) = prepared {
            let watch = Watch::over(&mut job.text);
            let report = self.deliver(job).await;
            self.0.note(&message, &report, begun);
            let reached = self.0.reached(number, &report);
            self.0.agenda().learn(number, reached, Instant::now());
            self.blocking(move |house| house.settle(id, &report)).await;
            if let Some(why) = watch.damage() {
                self.blocking(move |house| house.put_aside(id, why)).await;
            }
        }
        self.0.agenda().sent(number);
        self.0.wake.notify_one();
    }

    /// Has it sent. A defect in there is one message's trouble, and no connection's for ever.
    async fn deliver(&self, job: Job) -> Report {
        let recipients = job.recipients.clone();
        let transport = self.0.settings().transport;
        let sent = tokio::spawn(async move { transport.deliver(job).await }).await;
        sent.unwrap_or_else(|error| {
            let text = format!("an attempt ended early: {error}");
            let reply = Reply::local(451, 3, 0, text);
            let outcomes = recipients.into_iter().map(|number| (number, reply.clone().outcome()));
            Report {
                outcomes: outcomes.collect(),
                mailer: "none",
                relay: String::new(),
                in_doubt: 0,
                contact: Contact::Made,
                notifier: Notifier::Relay,
            }
        })
    }
}

impl House {
    /// Reads what is to be sent; `None` when there is nothing for this next hop, which is settled then.
    fn prepare(&self, id: Id, hop: &Hop) -> Option<(Message, Job)> {
        let read = self.store.read(id).and_then(|message| {
            if message.state.held.is_some() {
                return Ok((message, None));
            }
            let text = self.store.queue.open_text(id)?;
            Ok((message, Some(text)))
        });
        match read {
            Ok((message, Some(text))) => {
                let mine = self.groups(&message).into_iter().find(|(group, _)| group == hop);
                if let Some((hop, recipients)) = mine {
                    let envelope = Arc::clone(&message.envelope);
                    let size = message.size;
                    return Some((message, Job { envelope, text, size, recipients, hop }));
                }
            }
            Ok((_, None)) => {}
            Err(trouble @ Trouble::Unavailable(_)) => self.freeze(id, &trouble),
            Err(trouble) => {
                self.unread(id, &trouble);
                return None;
            }
        }
        self.settle_without(id);
        None
    }

    /// Nobody knows whether a message whose text cannot be read ever can be: it waits for an operator.
    fn freeze(&self, id: Id, trouble: &Trouble) {
        let text = format!(
            "{id}: the message cannot be read: {trouble}; it is held: look at the disk, then \
             mailauth queue release {id}"
        );
        self.link.log(Level::Critical, text);
        let _guard = self.store.lock(id);
        if let Ok(mut message) = self.store.read(id) {
            message.state.held = Some(format!("it cannot be read: {trouble}"));
            let _ = self.store.record(id, &message.state);
        }
    }

    /// Writes down what an attempt came to.
    fn settle(&self, id: Id, report: &Report) {
        let _guard = self.store.lock(id);
        let mut message = match self.store.read(id) {
            Ok(message) => message,
            Err(trouble) => return self.settle_unread(id, report, &trouble),
        };
        settle::apply(&mut message.state, report);
        if self.agenda().outstanding(id) > 1 {
            if let Err(trouble) = self.store.record(id, &message.state) {
                self.cannot_record(id, &trouble);
            }
            return self.agenda().done_with_hop(id);
        }
        self.agenda().done_with_hop(id);
        self.close(id, message, Turn::Tried, None);
    }

    /// A text was not as it was written. What became of recipients before that was seen is written down.
    fn put_aside(&self, id: Id, why: String) {
        let _guard = self.store.lock(id);
        self.cannot(id, &Trouble::Damaged(why));
    }

    /// What a server said of a message that cannot be read now is not forgotten: it would be sent again.
    fn settle_unread(&self, id: Id, report: &Report, trouble: &Trouble) {
        if !matches!(trouble, Trouble::Gone | Trouble::Damaged(_)) {
            self.store.remember(id, report.clone());
        }
        self.unread(id, trouble);
    }

    /// An attempt is over whose message cannot be read. It is put down by the last of its next hops: earlier, it would be
    /// sent again to those that still have it.
    fn unread(&self, id: Id, trouble: &Trouble) {
        let left = self.agenda().outstanding(id);
        self.agenda().done_with_hop(id);
        if left <= 1 || matches!(trouble, Trouble::Gone | Trouble::Damaged(_)) {
            self.cannot(id, trouble);
        }
    }

    /// There was nothing to do for a next hop.
    fn settle_without(&self, id: Id) {
        let _guard = self.store.lock(id);
        let left = self.agenda().outstanding(id);
        self.agenda().done_with_hop(id);
        if left <= 1
            && let Some(message) = self.read(id)
        {
            self.close(id, message, Turn::Tried, None);
        }
    }

    /// A next hop is left alone for now: nothing is written for a message that has been told of before.
    pub(super) fn put_off(&self, id: Id, hop: &Hop, last: Option<&Reply>) {
        let _guard = self.store.lock(id);
        let now = Instant::now();
        let until = self.agenda().paused_until(hop).filter(|until| *until > now).unwrap_or(now);
        let until = until + Duration::from_millis(100);
        let left = self.agenda().outstanding(id);
        self.agenda().done_with_hop(id);
        let Some(entry) = self.agenda().entry(id).cloned() else { return };
        if left > 1 {
            return;
        }
        let delivery = &self.settings().config.delivery;
        let due = match schedule::patience(delivery, entry.age(now)) {
            Patience::Kept => false,
            Patience::Worn => entry.warned == Told::No,
            Patience::Ended => true,
        };
        let is_new = entry.attempts == 0 || entry.phase != Phase::Busy;
        if !due && !is_new {
            return self.agenda().wait(id, until);
        }
        let Some(message) = self.read(id) else { return };
        let wrote_before = message.state.recipients.iter().any(|standing| standing.reply.is_some());
        if !due && wrote_before {
            return self.agenda().wait(id, until);
        }
        if let Some(reply) = last {
            let delay = lines::clock(entry.age(now));
            let stat = lines::plain(&format!("Deferred: {reply} (of another message)"));
            let text = format!("{id}: delay={delay}, dsn={}, stat={stat}", reply.dsn());
            self.link.log(Level::Info, text);
        }
        self.close(id, message, Turn::PutOff(until), last);
    }

    pub(super) fn cannot_record(&self, id: Id, trouble: &Trouble) {
        let text = format!(
            "{id}: what became of it cannot be written down: {trouble}; nothing new is sent until it can: \
             look at the disk of the spool"
        );
        self.link.log(Level::Critical, text);
    }

    /// The log, and the figures.
    fn note(&self, message: &Message, report: &Report, begun: Instant) {
        let delay = Duration::from_secs(wall_seconds().saturating_sub(message.envelope.arrived));
        for line in lines::attempt(message, report, delay, begun.elapsed()) {
            self.link.log(Level::Info, line);
        }
        if report.in_doubt > 0 {
            let text = format!(
                "{}: nobody knows whether {} took it: {} recipients may get it twice",
                message.envelope.id,
                lines::plain(&report.relay),
                report.in_doubt
            );
            self.link.log(Level::Notice, text);
        }
        for (_, outcome) in &report.outcomes {
            let figure = match outcome {
                Outcome::Delivered(_) => &self.figures.delivered,
                Outcome::Failed(_) => &self.figures.failed,
                Outcome::Deferred(_) => &self.figures.deferred,
            };
            figure.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Nobody was reached when all wait and nobody was there to take them.
    fn reached(&self, number: u32, report: &Report) -> Reached {
        let deferred = |(_, outcome): &(u32, Outcome)| matches!(outcome, Outcome::Deferred(_));
        if report.contact == Contact::Made || !report.outcomes.iter().all(deferred) {
            return Reached::Yes;
        }
        let reply = report.outcomes.first().map(|(_, outcome)| outcome.reply().clone());
        let failures = self.agenda().failures(number) + 1;
        let delivery = &locked(&self.settings).config.delivery;
        Reached::No(schedule::pause(delivery, failures, drawn()), reply)
    }
}
