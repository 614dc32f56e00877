//! Taking tokens before a password is looked at, and what becomes of them after.
//!
//! Runs in the checker. Which classes a login counts in:
//!
//! - **From a source that is known good for its user** (a login from its /24 or /64 succeeded within days): only two
//!   buckets of that user and source, for minutes and for a day. So nobody elsewhere can lock a user out; and who
//!   shares a user's network, or a mail server that lies about addresses, guesses no faster than those.
//! - **From another stated address**: the pair, the source in minutes and in a day, both networks, the user from
//!   anywhere in minutes and in a day, and the peer. All must have a token.
//! - **Without an address**: the user in minutes and in a day. And the peer's, which is the same mail server for
//!   everybody, so it must not be a switch that stops all: who logged in through this peer within days isn't held
//!   to it. What that can't give is a user whom nobody locks out; only an address can.
//!
//! The same wrong password again costs nothing, up to the rate of repeats, and only while no class is exhausted.
//! Success gives all back and fills the pair; it never fills the source or the user, or an attacker would log in
//! with an account of his own between his guesses.

use std::net::IpAddr;

use super::Limiter;
use super::classes::Class;

/// Who asks to try a password.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    /// The user's tag, of [`Limiter::user`].
    pub(crate) user: u64,
    /// The name's tag, of [`Limiter::name`]. Names that are counted together may be several people's, and one of
    /// them must not make a source known good for another.
    pub(crate) name: u64,
    /// The mail client's address, when it counts.
    pub(crate) source: Option<IpAddr>,
    /// The uid of the mail server.
    pub(crate) peer_uid: u32,
    /// For the digest of wrong passwords.
    pub(crate) password: &'a [u8],
}

/// A bucket without a token: its class and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Busy(pub(crate) Class, u64);

/// Whether a password may be tried.
pub(crate) enum Reserved {
    /// It may; the tokens are taken.
    Taken(Reservation),
    /// It may not now; nothing was taken.
    Throttled(Busy),
}

/// Taken tokens. Ends in exactly one of [`Limiter::accepted`], [`Limiter::refused`] and [`Limiter::unknown`];
/// one that is dropped stays taken, which is the safe side.
#[must_use]
pub(crate) struct Reservation {
    charged: [Option<Busy>; MOST],
    /// Of accounts that were found under this name.
    accounts: Vec<Busy>,
    user: u64,
    name: u64,
    place: u64,
    pair: Option<u64>,
    /// `None` of a proof.
    digest: Option<u64>,
    known: bool,
    calm: bool,
    repeat: bool,
}

/// Most classes that one login counts in.
const MOST: usize = 8;

impl Reservation {
    /// Whether this user logged in from this place within days: such go first in the hashing pool.
    ///
    /// A mail server that states no address is the same place for everybody who guesses through it, so there only a
    /// user goes first against whom nothing is counted: a flood of guesses at many users soon has none left of those.
    pub(crate) fn known_good(&self) -> bool {
        self.known && self.calm
    }

    /// The buckets that gave a token.
    pub(crate) fn charged(&self) -> impl Iterator<Item = Busy> {
        self.charged.into_iter().flatten().chain(self.accounts.iter().copied())
    }
}

impl Limiter {
    /// Takes the tokens of one try, or none.
    pub(crate) fn reserve(&mut self, ask: Ask<'_>) -> Reserved {
        let reservation = self.begin(ask);
        self.take_all(ask, reservation)
    }

    /// The same for the proof of a password, which is never the same twice: none is known as a repetition, and none
    /// is remembered as one.
    pub(crate) fn reserve_proof(&mut self, ask: Ask<'_>) -> Reserved {
        let mut reservation = self.begin(ask);
        reservation.digest = None;
        self.take_all(ask, reservation)
    }

    fn take_all(&mut self, ask: Ask<'_>, mut reservation: Reservation) -> Reserved {
        if !self.on {
            return Reserved::Taken(reservation);
        }
        let wanted = self.wanted(ask, &reservation);
        if self.is_repeat(&reservation) && wanted.iter().flatten().all(|busy| self.has(*busy)) {
            let repeats = Busy(Class::Repeats, reservation.user);
            if self.take(repeats) {
                reservation.repeat = true;
                reservation.charged = [Some(repeats), None, None, None, None, None, None, None];
                return Reserved::Taken(reservation);
            }
        }
        for (slot, busy) in reservation.charged.iter_mut().zip(wanted.into_iter().flatten()) {
            if self.take(busy) {
                *slot = Some(busy);
                continue;
            }
            self.give_back(&reservation);
            return Reserved::Throttled(busy);
        }
        Reserved::Taken(reservation)
    }

    /// Takes tokens of the account that was found as well, by the digest of its stored record: an operator's query
    /// may find one account under any number of names, each with tokens of its own.
    ///
    /// # Errors
    /// The bucket that has none; the password may not be tried, then.
    pub(crate) fn charge_account(
        &self,
        reservation: &mut Reservation,
        record: &[u8; 16],
    ) -> Result<(), Busy> {
        let is_apart = reservation.known && reservation.pair.is_some();
        if !self.on || reservation.repeat || is_apart {
            return Ok(());
        }
        let account = self.keys.account(record);
        for class in [Class::User, Class::UserDay] {
            let busy = Busy(class, account);
            if !self.take(busy) {
                // What was not tried must not become a wrong password whose repetition is free.
                reservation.repeat = true;
                return Err(busy);
            }
            reservation.accounts.push(busy);
        }
        Ok(())
    }

    /// Counts a request that was refused for want of tokens.
    pub(crate) fn note_throttled(&mut self, busy: Busy) {
        if let Some(count) = self.throttled.get_mut(busy.0.place()) {
            *count += 1;
        }
    }

    /// The password was right: all tokens go back, the pair's failures are forgotten, the place is known good.
    pub(crate) fn accepted(&self, reservation: Reservation) {
        if !self.on {
            return;
        }
        self.give_back(&reservation);
        // From a known-good source the pair isn't asked; what others fail there under the same tag stays counted.
        if let (Some(pair), Some(bucket), false) =
            (reservation.pair, self.bucket(Class::Pair), reservation.known)
        {
            bucket.fill(pair);
        }
        self.known.add(reservation.name, reservation.place);
        if let Some(digest) = reservation.digest {
            self.digests.remove(reservation.user, digest);
        }
    }

    /// The password was wrong, or the account may not log in: the tokens are spent.
    pub(crate) fn refused(&self, reservation: Reservation) {
        if let Some(digest) = reservation.digest.filter(|_| self.on && !reservation.repeat) {
            self.digests.add(reservation.user, digest);
        }
    }

    /// Nobody knows: an outage must lock nobody out.
    pub(crate) fn unknown(&self, reservation: Reservation) {
        if self.on {
            self.give_back(&reservation);
        }
    }

    fn begin(&self, ask: Ask<'_>) -> Reservation {
        let source = ask.source.map(|ip| self.keys.source(ip));
        let place = source.map_or_else(|| self.keys.peer(ask.peer_uid), |tags| tags.place);
        Reservation {
            charged: [None; MOST],
            accounts: Vec::new(),
            user: ask.user,
            name: ask.name,
            place,
            pair: source.map(|tags| self.keys.pair(ask.user, tags.host)),
            digest: Some(self.keys.password(ask.user, ask.password)),
            known: self.on && self.known.has(ask.name, place),
            calm: source.is_some()
                || self.bucket(Class::User).is_none_or(|bucket| bucket.is_full(ask.user)),
            repeat: false,
        }
    }

    fn wanted(&self, ask: Ask<'_>, reservation: &Reservation) -> [Option<Busy>; MOST] {
        let user = Busy(Class::User, ask.user);
        let user_day = Busy(Class::UserDay, ask.user);
        let peer = Busy(Class::Peer, self.keys.peer(ask.peer_uid));
        let Some((ip, pair)) = ask.source.zip(reservation.pair) else {
            let peer = (!reservation.known).then_some(peer);
            return [Some(user), Some(user_day), peer, None, None, None, None, None];
        };
        if reservation.known {
            let own = self.keys.pair(ask.name, reservation.place);
            let (minutes, day) = (Busy(Class::KnownGood, own), Busy(Class::UserDay, own));
            return [Some(minutes), Some(day), None, None, None, None, None, None];
        }
        let tags = self.keys.source(ip);
        [
            Some(Busy(Class::Pair, pair)),
            Some(Busy(Class::Source, tags.host)),
            Some(Busy(Class::SourceDay, tags.host)),
            Some(Busy(Class::Network, tags.network)),
            Some(Busy(Class::NetworkWide, tags.wide)),
            Some(user),
            Some(user_day),
            Some(peer),
        ]
    }

    fn is_repeat(&self, reservation: &Reservation) -> bool {
        reservation.digest.is_some_and(|digest| self.digests.has(reservation.user, digest))
    }

    fn take(&self, busy: Busy) -> bool {
        self.bucket(busy.0).is_none_or(|bucket| bucket.take(busy.1))
    }

    fn has(&self, busy: Busy) -> bool {
        self.bucket(busy.0).is_none_or(|bucket| bucket.has(busy.1))
    }

    fn give_back(&self, reservation: &Reservation) {
        for Busy(class, key) in reservation.charged() {
            if let Some(bucket) = self.bucket(class) {
                bucket.give_back(key);
            }
        }
    }
}
