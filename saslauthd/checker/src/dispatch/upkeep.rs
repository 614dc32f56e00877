//! What time brings: refusals that are due, waits that end, and upkeep.

use ipc::config::Level;

use super::{Dispatcher, Moment};
use crate::backends::Change;
use crate::log::Outcome;

impl Dispatcher {
    /// When [`Self::due`] wants to be called at the latest.
    pub(crate) fn next_due(&self) -> u64 {
        let expiry = self.waiting.oldest().map(|started| started.saturating_add(self.wait_ns));
        let next = [
            self.parked.next(),
            expiry,
            Some(self.upkeep_ns),
            Some(self.offers.next()),
            self.exchanges.next(),
            self.lists.next(),
        ];
        next.into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    /// What time brings: refusals that have waited, logins that waited too long, and upkeep.
    pub(crate) fn due(&mut self) {
        let now = (self.clock)();
        self.limiter.at(now.boot_ns);
        while let Some((origin, id, form)) = self.parked.pop(now.boot_ns) {
            self.release(origin, id, form);
        }
        self.sweep(now);
        if now.boot_ns >= self.offers.next() {
            self.refresh_offers(now);
        }
        if let Some(latest) = now.boot_ns.checked_sub(self.wait_ns) {
            while let Some(login) = self.waiting.expired(latest) {
                self.finish(login, Outcome::Unavailable("overload"));
            }
        }
        if now.boot_ns >= self.upkeep_ns {
            self.upkeep(now);
        }
        self.wake();
    }

    /// Once in a while: clocks for the next boot, notes to the disk, and a look at what hashes are like.
    pub(super) fn upkeep(&mut self, now: Moment) {
        const EVERY_NS: u64 = 60_000_000_000;
        self.upkeep_ns = now.boot_ns.saturating_add(EVERY_NS);
        self.limiter.touch(now.boot_ns, now.wall_s);
        self.tell_unread(now.boot_ns);
        self.renewals.write_notes();
        while let Some(line) = self.renewals.trouble() {
            self.log.say(Level::Error, format_args!("{line}"));
        }
        for index in 0..self.backends.len() {
            let Some(backend) = self.backends.get_mut(index) else { continue };
            let change = backend.probe(now.wall_s);
            backend.take_census();
            self.tell(index, change);
        }
    }

    /// Says how many requests could not be read and had no line.
    pub(super) fn tell_unread(&mut self, now_ns: u64) {
        let untold = self.unread.take_untold(now_ns);
        if untold > 0 {
            let what =
                format_args!("{untold} more requests could not be read; not logged one by one");
            self.log.say(Level::Warning, what);
        }
    }

    /// Says what became of a backend.
    pub(super) fn tell(&mut self, index: usize, change: Change) {
        let Some(backend) = self.backends.get(index) else { return };
        match (change, &backend.health().trouble) {
            (Change::Worse, Some(trouble)) => {
                let what = format_args!("backend {} is unavailable: {trouble}", backend.name());
                self.log.say(Level::Error, what);
            }
            (Change::Better, _) => {
                let what = format_args!("backend {} works again", backend.name());
                self.log.say(Level::Info, what);
            }
            _ => {}
        }
    }
}
