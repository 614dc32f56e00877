//! The situations, and what each must end in.

use std::time::Duration;

use harness::Subject;

use crate::accounts::Store;
use crate::peers::{ALICE, ALICE_IN_REALM, Account, NOBODY, Peer, SHADOW, SQLITE, Socket, Verdict};

/// What is going on when a peer is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Situation {
    /// All is well and the password right.
    Right,
    /// The same for a name with a realm of its own.
    Realm,
    /// The password of another account.
    Wrong,
    /// A name that the daemon doesn't know.
    Unknown,
    /// All is well with a realm that is looked up in the shadow file.
    Shadow,
    /// All is well with a realm that is looked up in the SQLite accounts.
    Sqlite,
    /// The file of these accounts is gone or no database any more.
    Broken(Store),
    /// Clients that say nothing hold connections, more of them than the original has processes.
    Idle,
    /// The daemon stands still for a while and then goes on.
    Slow,
    /// The daemon, or what stands behind it, does not go on.
    Hung,
    /// The daemon was killed and its socket is still there.
    Killed,
    /// The daemon was stopped and its socket is gone.
    Down,
    /// A scripted daemon reads the request and closes: proves the peer, whatever the daemon under test does.
    Closed,
    /// After all that the daemon is back: the peer must be whole.
    Back,
}

/// In the order in which they are run and printed.
pub(crate) const ALL: [Situation; 16] = [
    Situation::Right,
    Situation::Realm,
    Situation::Wrong,
    Situation::Unknown,
    Situation::Broken(Store::Sasldb),
    Situation::Shadow,
    Situation::Broken(Store::Shadow),
    Situation::Sqlite,
    Situation::Broken(Store::Sqlite),
    Situation::Idle,
    Situation::Slow,
    Situation::Hung,
    Situation::Killed,
    Situation::Down,
    Situation::Closed,
    Situation::Back,
];

impl Situation {
    /// The heading of its column.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Right => "right password",
            Self::Realm => "right, user@realm",
            Self::Wrong => "wrong password",
            Self::Unknown => "unknown user",
            Self::Shadow => "right, shadow",
            Self::Sqlite => "right, SQLite",
            Self::Broken(Store::Sasldb) => "sasldb damaged",
            Self::Broken(Store::Shadow) => "shadow gone",
            Self::Broken(Store::Sqlite) => "SQLite damaged",
            Self::Idle => "8 idle clients",
            Self::Slow => "1.5 s late",
            Self::Hung => "hung",
            Self::Killed => "daemon killed",
            Self::Down => "daemon down",
            Self::Closed => "closed unanswered",
            Self::Back => "daemon back",
        }
    }

    /// Who logs in, and with what.
    pub(crate) fn credentials(self) -> Account {
        match self {
            Self::Realm => ALICE_IN_REALM,
            Self::Shadow | Self::Broken(Store::Shadow) => SHADOW,
            Self::Sqlite | Self::Broken(Store::Sqlite) => SQLITE,
            Self::Wrong => Account { password: ALICE_IN_REALM.password, ..ALICE },
            Self::Unknown => NOBODY,
            _ => ALICE,
        }
    }

    /// Why it is not run for this peer and daemon; none when it is.
    pub(crate) fn exempt(self, peer: &dyn Peer, subject: Subject) -> Option<&'static str> {
        match (self, peer.socket(), subject) {
            (
                Self::Shadow | Self::Sqlite | Self::Broken(Store::Shadow | Store::Sqlite),
                _,
                Subject::Theirs,
            ) => Some("one mechanism at a time, and no SQLite"),
            (
                Self::Realm
                | Self::Shadow
                | Self::Sqlite
                | Self::Broken(Store::Shadow | Store::Sqlite),
                Socket::Pwcheck,
                _,
            ) => Some("no realm in pwcheck"),
            (Self::Broken(_), Socket::Pwcheck, Subject::Theirs) => Some("stand-in has no accounts"),
            (Self::Idle, Socket::Pwcheck, Subject::Theirs) => Some("proves nothing of a stand-in"),
            _ => None,
        }
    }

    /// How long to wait for the peer's word.
    pub(crate) fn patience(self, subject: Subject) -> Duration {
        match (self, subject) {
            // No libsasl2 client ever gives up on the original; this long shows it.
            (Self::Hung | Self::Idle, Subject::Theirs) => Duration::from_secs(3),
            _ => Duration::from_secs(20),
        }
    }

    /// The verdict that the peer's client must reach.
    pub(crate) fn expected(self, peer: &dyn Peer, route: &str, subject: Subject) -> Verdict {
        let outage = if peer.tells_outage(route) { Verdict::Temporary } else { Verdict::Refused };
        match (self, subject) {
            (
                Self::Right | Self::Realm | Self::Shadow | Self::Sqlite | Self::Slow | Self::Back,
                _,
            ) => Verdict::Accepted,
            (Self::Wrong | Self::Unknown, _) => Verdict::Refused,
            // The original says `NO` when it can't read its accounts, and waits for whatever hangs.
            (Self::Broken(_), Subject::Theirs) => Verdict::Refused,
            (Self::Hung | Self::Idle, Subject::Theirs) => Verdict::Silent,
            (Self::Idle, Subject::Ours) => Verdict::Accepted,
            (Self::Broken(_) | Self::Hung, Subject::Ours) => outage,
            (Self::Killed | Self::Down | Self::Closed, _) => outage,
        }
    }

    /// Whether something is wrong that no wrong password explains, or that should not show at all.
    pub(crate) fn is_trouble(self) -> bool {
        matches!(
            self,
            Self::Broken(_) | Self::Idle | Self::Hung | Self::Killed | Self::Down | Self::Closed
        )
    }
}
