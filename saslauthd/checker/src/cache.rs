//! Remembered successes, so that a costly hash isn't computed for each message of the same client.
//!
//! Runs in the checker. An entry is a tag under a key of this process over everything that decided, the stored
//! record's generation included: whoever changes, locks or deletes the record ends it at the next request,
//! because each request still looks the record up. It never says no.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use credentials::{Parts, Tag, TagKey, Trouble, Verified};
use ipc::config::{Cache as Settings, CacheMode};
use protocol::{Name, Password};

/// The cache of positive answers.
pub(crate) struct Cache {
    settings: Settings,
    key: TagKey,
    places: RandomState,
    entries: HashMap<u64, Remembered>,
    /// In the order in which they were made or passed over; an entry may stand here more than once.
    order: VecDeque<(u64, u64)>,
    serial: u64,
    hits: u64,
    misses: u64,
}

struct Remembered {
    tag: Tag,
    /// Whose it is, for [`Cache::flush_users`].
    user: Name,
    realm: Name,
    made_ns: u64,
    serial: u64,
    used: bool,
}

/// Figures for the operator.
pub(crate) struct Figures {
    /// Entries now.
    pub(crate) entries: usize,
    /// Answers from here.
    pub(crate) hits: u64,
    /// Questions without an answer from here.
    pub(crate) misses: u64,
}

impl Cache {
    /// An empty cache under a fresh key.
    pub(crate) fn new(settings: Settings) -> Result<Self, Trouble> {
        Ok(Self {
            settings,
            key: TagKey::random()?,
            places: RandomState::new(),
            entries: HashMap::new(),
            order: VecDeque::new(),
            serial: 0,
            hits: 0,
            misses: 0,
        })
    }

    /// Whether logins are remembered when their comparison is cheap (below 2 ms) or not.
    pub(crate) fn serves(&self, cheap: bool) -> bool {
        match self.settings.mode {
            CacheMode::Off => false,
            CacheMode::Costly => !cheap,
            CacheMode::All => true,
        }
    }

    /// The proof of an earlier comparison of the very same, if one is remembered.
    pub(crate) fn find(
        &mut self,
        parts: &Parts<'_>,
        password: &Password,
        now_ns: u64,
    ) -> Option<Verified> {
        let place = self.place(parts);
        let lifetime = u64::from(self.settings.seconds) * 1_000_000_000;
        let found = self.entries.get_mut(&place).and_then(|entry| {
            if now_ns.saturating_sub(entry.made_ns) >= lifetime {
                return None;
            }
            let proof = self.key.compare(&entry.tag, parts, password)?;
            entry.used = true;
            Some(proof)
        });
        match found {
            Some(_) => self.hits += 1,
            None => self.misses += 1,
        }
        found
    }

    /// Remembers a login that a comparison just agreed to.
    pub(crate) fn remember(
        &mut self,
        proof: &Verified,
        parts: &Parts<'_>,
        password: &Password,
        now_ns: u64,
    ) {
        let most = usize::try_from(self.settings.entries).unwrap_or(usize::MAX);
        if most == 0 || self.settings.seconds == 0 {
            return;
        }
        let place = self.place(parts);
        while self.entries.len() >= most && !self.entries.contains_key(&place) {
            self.drop_one();
        }
        self.serial += 1;
        let tag = self.key.remember(proof, parts, password);
        let (user, realm) = (parts.user.clone(), parts.realm.clone());
        let entry =
            Remembered { tag, user, realm, made_ns: now_ns, serial: self.serial, used: false };
        self.entries.insert(place, entry);
        self.order.push_back((place, self.serial));
        // An entry that is made again and again leaves its old places behind.
        if self.order.len() > most.saturating_mul(2) {
            let entries = &self.entries;
            self.order.retain(|(place, serial)| {
                entries.get(place).is_some_and(|entry| entry.serial == *serial)
            });
        }
    }

    /// Forgets everything.
    pub(crate) fn flush(&mut self) {
        self.entries.clear();
        self.order.clear();
    }

    /// Forgets the entries of all users and realms that `goes` says so of, and says how many there were.
    pub(crate) fn flush_users(&mut self, goes: impl Fn(&Name, &Name) -> bool) -> usize {
        let before = self.entries.len();
        self.entries.retain(|_, entry| !goes(&entry.user, &entry.realm));
        before - self.entries.len()
    }

    /// For the operator.
    pub(crate) fn figures(&self) -> Figures {
        Figures { entries: self.entries.len(), hits: self.hits, misses: self.misses }
    }

    /// The oldest goes, unless it was of use since it was last looked at.
    fn drop_one(&mut self) {
        while let Some((place, serial)) = self.order.pop_front() {
            let Some(entry) = self.entries.get_mut(&place).filter(|entry| entry.serial == serial)
            else {
                continue;
            };
            if !std::mem::take(&mut entry.used) {
                self.entries.remove(&place);
                return;
            }
            self.order.push_back((place, serial));
        }
        // Every entry has a place in the order, so this is only reached when there are none.
        self.entries.clear();
    }

    /// Where an entry is kept. Two that meet cost each other a hit; what agrees is decided by the tag.
    fn place(&self, parts: &Parts<'_>) -> u64 {
        self.places.hash_one((parts.user, parts.realm, parts.service, parts.backend))
    }
}

#[cfg(test)]
mod tests {
    use credentials::{Generation, Scratch, Verdict, Verifier};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn cache(mode: CacheMode, entries: u32) -> Cache {
        Cache::new(Settings { mode, seconds: 5, entries }).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::new(text.as_bytes()).unwrap()
    }

    fn proof() -> Verified {
        let verifier = Verifier::plaintext(b"x").ok().unwrap();
        match verifier.compare(&password("x"), &mut Scratch::new()) {
            Verdict::Accept(proof) => proof,
            _ => unreachable!(),
        }
    }

    struct Who([Name; 3], u8);

    impl Who {
        fn new(user: &str, generation: u8) -> Self {
            let name = |text: &str| Name::new(text.as_bytes()).unwrap();
            Self([name(user), name(""), name("smtp")], generation)
        }

        fn parts(&self) -> Parts<'_> {
            let [user, realm, service] = &self.0;
            let generation = Generation([self.1; 16]);
            Parts { user, realm, service, backend: "shadow", generation }
        }
    }

    fn hit(cache: &mut Cache, who: &Who, text: &str, now: u64) -> bool {
        cache.find(&who.parts(), &password(text), now).is_some()
    }

    #[test]
    fn c5_only_the_very_same_login_within_its_time() {
        let mut cache = cache(CacheMode::All, 10);
        let ann = Who::new("ann", 1);
        cache.remember(&proof(), &ann.parts(), &password("pencil"), SECOND);
        assert!(hit(&mut cache, &ann, "pencil", 5 * SECOND));
        assert!(!hit(&mut cache, &ann, "Pencil", 5 * SECOND));
        assert!(!hit(&mut cache, &Who::new("bob", 1), "pencil", 5 * SECOND));
        assert!(!hit(&mut cache, &Who::new("ann", 2), "pencil", 5 * SECOND), "the record changed");
        assert!(hit(&mut cache, &ann, "pencil", 6 * SECOND - 1));
        assert!(!hit(&mut cache, &ann, "pencil", 6 * SECOND), "no use makes it live longer");
        assert_eq!((cache.figures().hits, cache.figures().misses), (2, 4));
        cache.remember(&proof(), &ann.parts(), &password("new"), 7 * SECOND);
        assert!(
            hit(&mut cache, &ann, "new", 7 * SECOND)
                && !hit(&mut cache, &ann, "pencil", 7 * SECOND)
        );
        cache.flush();
        assert!(!hit(&mut cache, &ann, "new", 7 * SECOND));
    }

    #[test]
    fn it_is_bounded_and_what_is_used_stays() {
        let mut cache = cache(CacheMode::All, 8);
        let often = Who::new("often", 1);
        cache.remember(&proof(), &often.parts(), &password("p"), 0);
        for number in 0..1000 {
            let once = Who::new(&format!("u{number}"), 1);
            cache.remember(&proof(), &once.parts(), &password("p"), 0);
            assert!(hit(&mut cache, &often, "p", 1), "{number}");
            assert!(cache.entries.len() <= 8 && cache.order.len() <= 17);
        }
        for _ in 0..1000 {
            cache.remember(&proof(), &often.parts(), &password("p"), 0);
            assert!(cache.order.len() <= 17);
        }
    }

    #[test]
    fn which_schemes() {
        for (mode, cheap, costly) in [
            (CacheMode::Off, false, false),
            (CacheMode::Costly, false, true),
            (CacheMode::All, true, true),
        ] {
            let cache = cache(mode, 1);
            assert_eq!((cache.serves(true), cache.serves(false)), (cheap, costly));
        }
        let mut none = cache(CacheMode::All, 0);
        let ann = Who::new("ann", 1);
        none.remember(&proof(), &ann.parts(), &password("p"), 0);
        assert!(!hit(&mut none, &ann, "p", 0));
    }
}
