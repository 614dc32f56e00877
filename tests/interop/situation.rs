//! The situations, and what each must end in.

use std::time::Duration;

use harness::Subject;

use crate::accounts::Store;
use crate::peers::{
    ALICE, ALICE_IN_REALM, Account, Course, LOCKED, Manner, NOBODY, Outage, Peer, SHADOW, SQLITE,
    Socket, UTF8, Verdict,
};

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
    /// The right password of a locked account.
    Locked,
    /// A name and a password beyond ASCII.
    Utf8,
    /// In the same session a wrong password was refused before.
    AfterRefusal,
    /// In the same session a login was begun and cancelled before.
    AfterCancel,
    /// All is well, but for the TLS that isn't there.
    WithoutTls,
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
    /// A scripted daemon says that it can't tell for now, in the one word that the protocol has for it.
    Word,
    /// After all that the daemon is back: the peer must be whole.
    Back,
}

/// In the order in which they are run and printed.
pub(crate) const ALL: [Situation; 22] = [
    Situation::Right,
    Situation::Realm,
    Situation::Wrong,
    Situation::Unknown,
    Situation::Locked,
    Situation::Utf8,
    Situation::AfterRefusal,
    Situation::AfterCancel,
    Situation::WithoutTls,
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
    Situation::Word,
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
            Self::Locked => "locked user",
            Self::Utf8 => "right, UTF-8",
            Self::AfterRefusal => "right after wrong",
            Self::AfterCancel => "right after `*`",
            Self::WithoutTls => "right, no TLS",
            Self::Shadow => "right, shadow",
            Self::Sqlite => "right, SQLite",
            Self::Broken(Store::Sasldb) => "sasldb damaged",
            Self::Broken(Store::Shadow) => "shadow gone",
            Self::Broken(Store::Sqlite) => "SQLite damaged",
            Self::Idle => "8 idle clients",
            Self::Slow => "late",
            Self::Hung => "hung",
            Self::Killed => "daemon killed",
            Self::Down => "daemon down",
            Self::Closed => "closed unanswered",
            Self::Word => "`temp_fail`",
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
            Self::Locked => LOCKED,
            Self::Utf8 => UTF8,
            _ => ALICE,
        }
    }

    /// What goes on around the login.
    pub(crate) fn manner(self) -> Manner {
        match self {
            Self::AfterRefusal => Manner::AfterRefusal,
            Self::AfterCancel => Manner::AfterCancel,
            Self::WithoutTls => Manner::WithoutTls,
            _ => Manner::Plainly,
        }
    }

    /// How long a daemon that is late stands still: well within the patience of the peers and of ours.
    pub(crate) fn lateness(socket: Socket) -> Duration {
        match socket {
            Socket::Mux | Socket::Pwcheck => Duration::from_millis(1500),
            Socket::Auth => Duration::from_millis(3500),
        }
    }

    /// Whether this peer is asked in it on this route, when this daemon answers.
    pub(crate) fn is_asked(self, peer: &dyn Peer, route: &str, subject: Subject) -> bool {
        if subject == Subject::Theirs && !peer.known_to_original(route) {
            return false;
        }
        let socket = peer.socket();
        match self {
            // One mechanism at a time, and no SQLite; pwcheck has no realm.
            Self::Shadow | Self::Sqlite | Self::Broken(Store::Shadow | Store::Sqlite) => {
                subject == Subject::Ours
                    && socket != Socket::Pwcheck
                    && peer.course() == Course::Whole
                    && !peer.needs_secret(route)
            }
            Self::Realm => socket != Socket::Pwcheck,
            // The stand-in has no accounts, and proves nothing in a crowd. Dovecot refuses when its file is gone, but
            // only the first login of a second.
            Self::Broken(Store::Sasldb) => subject == Subject::Ours || socket == Socket::Mux,
            Self::Idle => {
                (socket, subject) != (Socket::Pwcheck, Subject::Theirs)
                    && peer.course() == Course::Whole
            }
            Self::Locked => socket == Socket::Auth,
            // What can be written in Latin-1 is hashed in Latin-1 (RFC 2831 §2.1.2.1), which Dovecot does not do.
            Self::Utf8 => {
                socket == Socket::Auth && (subject == Subject::Ours || route != "DIGEST-MD5")
            }
            // Where the test itself speaks to the server.
            Self::AfterRefusal | Self::AfterCancel | Self::WithoutTls => {
                peer.takes(route, self.manner())
            }
            // Only who has seen the daemon go can see it come back.
            Self::Hung | Self::Killed | Self::Down | Self::Back => peer.course() == Course::Whole,
            // The script reads the password.
            Self::Closed => peer.course() == Course::Whole && !peer.needs_secret(route),
            Self::Word => {
                socket == Socket::Auth
                    && peer.course() == Course::Whole
                    && !peer.needs_secret(route)
            }
            _ => true,
        }
    }

    /// How long to wait for the peer's word.
    pub(crate) fn patience(self, peer: &dyn Peer, route: &str, subject: Subject) -> Duration {
        if self.expected(peer, route, subject) == Verdict::Silent {
            // Nobody here ever gives up; this long shows it.
            return Duration::from_secs(3);
        }
        Duration::from_secs(20)
    }

    /// The verdict that the peer's client must reach.
    pub(crate) fn expected(self, peer: &dyn Peer, route: &str, subject: Subject) -> Verdict {
        match self {
            Self::Right
            | Self::Realm
            | Self::Utf8
            | Self::AfterRefusal
            | Self::AfterCancel
            | Self::Shadow
            | Self::Sqlite
            | Self::Slow
            | Self::Back => Verdict::Accepted,
            Self::Wrong | Self::Unknown | Self::Locked => Verdict::Refused,
            Self::Killed | Self::Down => peer.outage(route, Outage::Absent),
            Self::Closed => peer.outage(route, Outage::Closed),
            Self::Word => peer.outage(route, Outage::Word),
            _ if subject == Subject::Theirs => self.fault(peer, route),
            Self::Idle => Verdict::Accepted,
            Self::WithoutTls => Verdict::Refused,
            Self::Broken(_) | Self::Hung => peer.outage(route, Outage::Told),
        }
    }

    /// What the originals make of it: both say no when they can't read their accounts and wait for whatever hangs.
    /// saslauthd has as many processes as idle clients; Dovecot leaves TLS to the server that asks.
    fn fault(self, peer: &dyn Peer, route: &str) -> Verdict {
        match (self, peer.socket()) {
            (Self::WithoutTls | Self::Idle, Socket::Auth) => Verdict::Accepted,
            (Self::Hung, Socket::Auth) if peer.gives_up(route) => Verdict::Temporary,
            (Self::Hung | Self::Idle, _) => Verdict::Silent,
            _ => Verdict::Refused,
        }
    }

    /// Whether no daemon under test is there to answer.
    pub(crate) fn is_scripted_or_absent(self) -> bool {
        matches!(self, Self::Killed | Self::Down | Self::Closed | Self::Word)
    }

    /// Whether something is wrong that no wrong password explains, or that should not show at all.
    pub(crate) fn is_trouble(self) -> bool {
        matches!(
            self,
            Self::Broken(_)
                | Self::Idle
                | Self::Hung
                | Self::Killed
                | Self::Down
                | Self::Closed
                | Self::Word
        )
    }
}
