//! The limits on failed logins: keys, defaults, and the reason of each.
//!
//! Runs in the parent; the checker enforces them. The doc comments are the manual.

use super::setting::settings;
use super::values::{Rate, Time, Whole};

settings! {
    /// Limits on failed logins. A failure takes a place before the hash is computed and a success gives it back. Whoever
    /// is over a limit gets the answer of a wrong password, and the password is not looked at. A rate is a burst that
    /// passes at once, and a count in a time after that. Requests without an address of the client (mux without the
    /// fifth field, pwcheck) are held by `user`, `user_day` and `peer` alone, so that one guesser can make a user wait:
    /// let the mail server state addresses where it can.
    pub struct Limits {
        /// false turns all limits off.
        on: bool = true,
        /// One user from one address. Five typing errors are human; one a minute after that is hopeless for a guesser.
        pair: Rate = Rate::new(5, 1, 60),
        /// One address (/32, or /64 of IPv6, since a customer has a /64). An office behind one address fails more often
        /// than one person.
        source: Rate = Rate::new(20, 10, 60),
        /// The same in a day: a patient guesser from one address.
        source_day: Rate = Rate::new(150, 150, 86_400),
        /// A network (/24, or /56 of IPv6): three times an address, for guessers with a few neighbours.
        network: Rate = Rate::new(60, 30, 60),
        /// A wide network (/16, or /48 of IPv6): nine times an address.
        network_wide: Rate = Rate::new(180, 90, 60),
        /// One user from all addresses together that never logged in as that user: guessing from many addresses.
        user: Rate = Rate::new(10, 6, 60),
        /// The same in a day. NIST SP 800-63B allows at most 100 consecutive failures on an account. Each
        /// address that is known good for the user has as much of its own.
        user_day: Rate = Rate::new(100, 100, 86_400),
        /// One user from an address that logged in as that user before. It has a limit of its own, so that guessers
        /// elsewhere never lock the owner out.
        known_good: Rate = Rate::new(10, 6, 60),
        /// All failures that one mail server (peer uid) reports. It bounds a mail server that lies about addresses, or
        /// states none; high, because it stands for all of its clients.
        peer: Rate = Rate::new(500, 50, 1),
        /// The same wrong password for the same user again costs nothing so often: a phone with an old password does not
        /// lock its owner out. Bounded, since a free answer is still an answer.
        repeats: Rate = Rate::new(60, 60, 3_600),
        /// Percent of the hashing pool that addresses which are not known good may take, so that a flood of guesses leaves
        /// room for those who log in daily.
        hashing_percent: Whole<1, 100> = Whole(70),
        /// How long an address stays known good for a user after a success.
        known_good_for: Time<86_400_000, { 49 * 86_400_000 }> = Time(30 * 86_400_000),
        /// Entries of each of the twelve tables, 16 bytes an entry. When a table is full the entry nearest to its end
        /// makes room, so more addresses than this in a few minutes make limits coarser, not the memory larger.
        entries: Whole<1_024, 16_777_216> = Whole(65_536),
    }
}
