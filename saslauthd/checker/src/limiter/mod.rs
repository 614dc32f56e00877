//! Rate limits of failures: how often anybody may guess, however the guesses are spread.
//!
//! Runs in the checker, so that no client, no lying mail server and no taken-over listener guesses faster. It
//! trusts names only after they are prepared and mapped, and addresses only when their mail server may state them.
//! Tokens are taken before a password is looked at and given back when it was right or when nobody knows; so of a
//! thousand guesses at once no more are tried than the limits allow one after the other. What is throttled is never
//! compared, so it can't tell a right password.

mod bucket;
mod classes;
mod header;
mod keys;
mod remember;
mod reserve;
mod table;
#[cfg(test)]
pub(crate) mod tests;

use std::net::IpAddr;
use std::sync::atomic::AtomicU64;

use ipc::config::Limits;

use bucket::{Bucket, longest};
pub(crate) use classes::{CLASSES, Class};
use header::Header;
pub(crate) use header::{Found, Reading};
use keys::Keys;
use remember::Remembered;
pub(crate) use reserve::{Ask, Busy, Reservation, Reserved};
use table::{Now, Table};

/// Digests of wrong passwords kept per user, as Dovecot keeps them.
const DIGESTS: usize = 10;
/// Bits of each; few, so that the table can't be used to find a password.
const DIGEST_BITS: u32 = 16;
/// A digest is remembered for a day.
const DIGEST_LASTING: u64 = DAY;
/// Known-good sources kept per user.
const PLACES: usize = 16;
const PLACE_BITS: u32 = 32;
const DAY: u64 = 86_400_000_000_000;

/// All limits of this house.
pub(crate) struct Limiter {
    header: Header,
    keys: Keys,
    now: Now,
    buckets: [Option<Bucket>; CLASSES.len()],
    /// Every class's table, also of those that are off, and at the end known-good sources and digests.
    known: Remembered,
    digests: Remembered,
    on: bool,
    throttled: [u64; CLASSES.len()],
}

/// The figures of one class.
pub(crate) struct Figures {
    /// Which class.
    pub(crate) class: Class,
    /// Whether it limits anything.
    pub(crate) on: bool,
    /// Rows, and those that count now.
    pub(crate) rows: usize,
    /// Rows that count now.
    pub(crate) counting: usize,
    /// Requests that it throttled since this checker started.
    pub(crate) throttled: u64,
    /// Rows that had to go although they counted.
    pub(crate) evicted: u64,
}

/// What is left to one user.
pub(crate) struct UserFigures {
    /// Tokens left and their most, by class, of the classes that count a user from anywhere.
    pub(crate) left: Vec<(Class, u32)>,
    /// Sources that are known good.
    pub(crate) known: usize,
    /// Digests of wrong passwords.
    pub(crate) digests: usize,
}

impl Limiter {
    /// Takes the words that the parent keeps. `None` when there are fewer than `limits` needs.
    pub(crate) fn open(
        words: &'static [AtomicU64],
        limits: &Limits,
        reading: Reading,
        fresh_key: [u64; 2],
    ) -> Option<(Self, Found)> {
        if words.len() < limits.table_words() {
            return None;
        }
        let (header, found) = Header::open(words, u64::from(limits.entries), reading, fresh_key)?;
        let now = Now::default();
        now.set(header.time(reading.boot_ns));
        let rows = usize::try_from(limits.entries).ok()?.checked_mul(2)?;
        let part = |place: usize| {
            let start = Limits::HEADER_WORDS + place * rows;
            words.get(start..start + rows).unwrap_or_default()
        };
        let buckets = CLASSES.map(|class| {
            let rate = class.rate(limits);
            let table = Table::new(part(class.place()), longest(rate), now.clone());
            Bucket::new(rate, table)
        });
        let lasting = DAY * u64::from(limits.known_good_days);
        let remembered = |place, bits, most, lasting| {
            let table = Table::with_ways(part(place), remember::WAYS, lasting, now.clone());
            Remembered::new(table, bits, most, lasting)
        };
        let limiter = Self {
            header,
            keys: Keys::new(header.key()),
            buckets,
            known: remembered(CLASSES.len(), PLACE_BITS, PLACES, lasting),
            digests: remembered(CLASSES.len() + 1, DIGEST_BITS, DIGESTS, DIGEST_LASTING),
            now,
            on: limits.on,
            throttled: [0; CLASSES.len()],
        };
        Some((limiter, found))
    }

    /// A secret that goes on over restarts, for what a name is given that has nothing of its own.
    pub(crate) fn secret(&self) -> [u8; 32] {
        let (first, second) = self.header.key();
        let mut secret = [0; 32];
        let halves = first.to_le_bytes().into_iter().chain(second.to_le_bytes());
        secret.iter_mut().zip(halves).for_each(|(to, from)| *to = from);
        secret
    }

    /// Sets the time of everything that follows.
    pub(crate) fn at(&self, boot_ns: u64) {
        self.now.set(self.header.time(boot_ns));
    }

    /// Notes both clocks for the next boot; once a second is enough.
    pub(crate) fn touch(&self, boot_ns: u64, wall_s: u64) {
        self.header.touch(boot_ns, wall_s);
    }

    /// The tag that failures of a user are counted by, for [`Ask`].
    pub(crate) fn user(&self, user: &[u8], realm: &[u8]) -> u64 {
        self.keys.user(user, realm)
    }

    /// The tag that known-good sources of a name are kept by, for [`Ask`].
    pub(crate) fn name(&self, user: &[u8], realm: &[u8]) -> u64 {
        self.keys.name(user, realm)
    }

    /// Forgets all failures, and all digests. Known-good sources stay.
    pub(crate) fn reset_all(&self) {
        self.buckets.iter().flatten().for_each(|bucket| bucket.table().clear());
        self.digests.table().clear();
    }

    /// Forgets the failures of one user from anywhere, and those of one name from its known-good sources.
    pub(crate) fn reset_user(&self, user: u64, name: u64) {
        for (class, first) in [(Class::Pair, user), (Class::KnownGood, name)] {
            if let Some(bucket) = self.bucket(class) {
                bucket.table().free_all(|tag| Keys::is_pair_of(tag, first));
            }
        }
        for class in [Class::User, Class::UserDay, Class::Repeats] {
            if let Some(bucket) = self.bucket(class) {
                bucket.fill(user);
            }
        }
        self.digests.remove_all(user);
    }

    /// Forgets the failures of an address and of the networks around it.
    pub(crate) fn reset_source(&self, ip: IpAddr) {
        let tags = self.keys.source(ip);
        for (class, tag) in [
            (Class::Source, tags.host),
            (Class::SourceDay, tags.host),
            (Class::Network, tags.network),
            (Class::NetworkWide, tags.wide),
        ] {
            if let Some(bucket) = self.bucket(class) {
                bucket.fill(tag);
            }
        }
    }

    /// The figures of each class; looks at every row.
    pub(crate) fn figures(&self) -> Vec<Figures> {
        let of = |class: Class| {
            let bucket = self.bucket(class);
            let (rows, counting) = bucket.map_or((0, 0), |bucket| bucket.table().census());
            Figures {
                class,
                on: self.on && bucket.is_some(),
                rows,
                counting,
                throttled: self.throttled_by(class),
                evicted: bucket.map_or(0, |bucket| bucket.table().evicted()),
            }
        };
        CLASSES.into_iter().map(of).collect()
    }

    /// How many requests a class throttled since this checker started.
    pub(crate) fn throttled_by(&self, class: Class) -> u64 {
        self.throttled.get(class.place()).copied().unwrap_or(0)
    }

    /// Known-good sources and digests that count now; looks at every row.
    pub(crate) fn remembered(&self) -> (usize, usize) {
        (self.known.table().census().1, self.digests.table().census().1)
    }

    /// What is left to one user, and what is known of one name.
    pub(crate) fn of_user(&self, user: u64, name: u64) -> UserFigures {
        let classes = [Class::User, Class::UserDay, Class::Repeats];
        let left = |class| Some((class, self.bucket(class)?.left(user)));
        UserFigures {
            left: classes.into_iter().filter_map(left).collect(),
            known: self.known.count(name),
            digests: self.digests.count(user),
        }
    }

    fn bucket(&self, class: Class) -> Option<&Bucket> {
        self.buckets.get(class.place())?.as_ref()
    }
}
