//! The end of an attempt for all of a message's next hops: reports, and either its end or its next time.
//!
//! Runs in the sender, under the message's lock. The order is what keeps mail: what became of recipients is on disk
//! before a report is made of it, the report before the state that calls it told, and all of it before the message goes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use smtp::address::{Recipient, Sender};
use smtp::command::{Notify, RcptParameters};
use sys::clock::wall_seconds;

use super::agenda::Phase;
use super::{House, drawn, settle};
use crate::control::Level;
use crate::delivery::report::{self, Action};
use crate::delivery::schedule::{self, Patience};
use crate::delivery::transport::Reply;
use crate::spool::envelope::{Addressee, Envelope, Origin};
use crate::spool::id::Id;
use crate::spool::queue::{Message, Trouble};

/// What ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// An attempt.
    Tried,
    /// None was made, and none will be before this moment.
    PutOff(Instant),
}

impl House {
    /// Ends a message, or puts it down until its next time.
    pub(super) fn close(&self, id: Id, mut message: Message, turn: Turn, last: Option<&Reply>) {
        let (now, wall) = (Instant::now(), wall_seconds());
        let config = self.settings().config;
        let age = self.agenda().entry(id).map_or(Duration::ZERO, |entry| entry.age(now));
        let patience = schedule::patience(&config.delivery, age);
        let held = message.state.held.is_some();
        let patience = if held { Patience::Kept } else { patience };
        settle::grow_old(&mut message.state, patience, last);
        message.state.watched = age;
        message.state.noted = wall;
        let until = wall + config.delivery.give_up_after.saturating_sub(age).as_secs();
        let told = self.tell(id, &message, patience, until);
        match &told {
            Ok(_) => settle::mark_told(&mut message.state, patience),
            Err(trouble) => {
                let text = format!("{id}: a report cannot be made: {trouble}; tried again later");
                self.link.log(Level::Error, text);
            }
        }
        let done = told.is_ok() && settle::waiting(&message.state).is_empty();
        match done {
            true => self.finish(id, &message),
            false => self.put_down(id, &mut message, turn, now),
        }
        if let Ok(Some(report)) = told
            && let Some(message) = self.read(report)
        {
            self.admit_read(report, &message);
        }
    }

    fn finish(&self, id: Id, message: &Message) {
        match self.store.remove(id, &message.state) {
            Ok(()) => drop(self.agenda().forget(id)),
            Err(trouble) => {
                self.cannot_record(id, &trouble);
                self.agenda().wait(id, Instant::now() + super::LOOK);
            }
        }
    }

    fn put_down(&self, id: Id, message: &mut Message, turn: Turn, now: Instant) {
        let config = self.settings().config;
        let state = &mut message.state;
        let until = match turn {
            Turn::Tried => {
                state.attempts = state.attempts.saturating_add(1);
                now + schedule::wait(&config.delivery, state.attempts, drawn())
            }
            Turn::PutOff(until) => until,
        };
        let wait = until.saturating_duration_since(now);
        state.next = state.noted.saturating_add(wait.as_millis().div_ceil(1000) as u64);
        if let Err(trouble) = self.store.record(id, state) {
            self.cannot_record(id, &trouble);
        }
        let mut entry = self.entry(message);
        if entry.phase != Phase::Held {
            entry.phase = Phase::Until(until);
        }
        let hops = self.groups(message).into_iter().map(|(hop, _)| hop).collect();
        self.agenda().put_down(id, entry, hops);
    }

    /// Makes the report that is due, if one is, and says under which id it is kept.
    fn tell(
        &self,
        id: Id,
        message: &Message,
        patience: Patience,
        until: u64,
    ) -> Result<Option<Id>, Trouble> {
        let envelope = &message.envelope;
        let untold = settle::untold(&message.state, envelope, patience);
        if untold.is_empty() {
            return Ok(None);
        }
        let Sender::Address(to) = &envelope.sender else {
            let failed = untold.iter().filter(|(_, action)| *action == Action::Failed).count();
            if failed > 0 {
                let text = format!(
                    "{id}: it could not be delivered to {failed} recipients, and nobody is told: it has \
                     no sender"
                );
                self.link.log(Level::Notice, text);
            }
            return Ok(None);
        };
        self.store.record(id, &message.state)?;
        let written = self.write(message, &untold, until)?;
        let own = Envelope {
            id,
            arrived: wall_seconds(),
            sender: Sender::Null,
            parameters: written.parameters,
            recipients: vec![Addressee {
                recipient: Recipient::Address(to.clone()),
                parameters: RcptParameters { notify: Some(Notify::Never), orcpt: None },
            }],
            origin: Origin::Own,
        };
        let kept = self.store.queue.keep(&own, &written.text)?;
        self.figures.reports.fetch_add(1, Ordering::Relaxed);
        self.link.log(Level::Info, format!("{id}: {kept}: DSN: {}", word(&untold)));
        Ok(Some(kept))
    }

    fn write(
        &self,
        message: &Message,
        untold: &[(usize, Action)],
        until: u64,
    ) -> Result<report::Written, Trouble> {
        let envelope = &message.envelope;
        let unsaid = Reply::local(451, 4, 7, "its time ran out");
        let fate = |(number, action): &(usize, Action)| {
            let standing = message.state.recipients.get(*number)?;
            let addressee = envelope.recipients.get(*number)?;
            let reply = standing.reply.as_ref().unwrap_or(&unsaid);
            Some(report::Fate { addressee, action: *action, reply })
        };
        let fates: Vec<_> = untold.iter().filter_map(fate).collect();
        let config = self.settings().config;
        let report = report::Report {
            hostname: &config.hostname,
            envelope,
            fates: &fates,
            now: wall_seconds(),
            until,
            nonce: &nonce(),
        };
        let text = self.store.queue.open_text(envelope.id)?;
        let unreadable = |error: std::io::Error| Trouble::Unavailable(error.to_string());
        let written = Arc::clone(&text).open().and_then(|text| report.write(text, message.size));
        written.map_err(unreadable)
    }
}

fn word(untold: &[(usize, Action)]) -> &'static str {
    let is_here = |wanted: Action| untold.iter().any(|(_, action)| *action == wanted);
    match () {
        () if is_here(Action::Failed) => "could not be delivered",
        () if is_here(Action::Delayed) => "delayed",
        () if is_here(Action::Relayed) => "passed on",
        () => "delivered",
    }
}

fn nonce() -> String {
    let mut bytes = [0; 12];
    // Without randomness the time still makes it another one.
    let _ = getrandom::fill(&mut bytes);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{:x}.{hex}", wall_seconds())
}
