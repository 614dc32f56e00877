//! Peers: the mail programs of Debian that ask a saslauthd, each started in a world of its own.
//!
//! Runs in the test process, as root. A peer's package is downloaded and unpacked under `target/peers`, laid
//! over `/usr` in a private mount namespace and given its own `/etc`, `/var`, `/run`, host name, network and
//! process ids. Trusts Debian's archive; must never install a mail server, nor read or change a file of the
//! host's `/etc`, `/var` or `/run`.

pub(crate) mod cyrus;
pub(crate) mod dialogue;
pub(crate) mod etc;
pub(crate) mod exim;
pub(crate) mod fetch;
pub(crate) mod namespace;
pub(crate) mod postfix;
pub(crate) mod pwcheck;
pub(crate) mod sample;
pub(crate) mod sendmail;
pub(crate) mod slapd;
pub(crate) mod testsaslauthd;

use std::fmt;
use std::io;
use std::time::Duration;

use namespace::Namespace;

/// Why a peer gave no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something this machine lacks; the text says what and how to get it.
    Missing(String),
    /// Everything was there and it went wrong.
    Broken(String),
}

/// What the functions here return.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(out, "missing: {what}"),
            Self::Broken(what) => out.write_str(what),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(why: io::Error) -> Self {
        Self::Broken(why.to_string())
    }
}

/// What a peer told its own client, reduced to what that client will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Logged in.
    Accepted,
    /// The password is wrong, for good.
    Refused,
    /// Try again later.
    Temporary,
    /// No answer within the patience of the question.
    Silent,
    /// Words that the peer was not expected to use.
    Strange,
}

/// A peer's answer in its own words.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// What it means.
    pub(crate) verdict: Verdict,
    /// How the peer put it, shortened to what differs between answers.
    pub(crate) words: String,
}

impl Heard {
    /// An answer of these words.
    pub(crate) fn new(verdict: Verdict, words: impl Into<String>) -> Self {
        Self { verdict, words: words.into() }
    }

    /// The first entry of `meanings` that `words` start with decides; the words kept are that entry's.
    pub(crate) fn among(words: &str, meanings: &[(&str, Verdict)]) -> Self {
        meanings.iter().find(|(start, _)| words.starts_with(start)).map_or_else(
            || Self::new(Verdict::Strange, words.trim_end()),
            |(start, verdict)| Self::new(*verdict, *start),
        )
    }
}

/// One login, asked of a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    /// One of the peer's routes.
    pub(crate) route: &'a str,
    /// The name as the user types it, with or without `@realm`.
    pub(crate) login: &'a str,
    /// The password as the user types it.
    pub(crate) password: &'a str,
    /// How long to wait for the peer's answer.
    pub(crate) patience: Duration,
}

/// An account that the daemons under test know, or don't.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    /// The name as the user types it.
    pub(crate) login: &'static str,
    /// The right password.
    pub(crate) password: &'static str,
}

/// Known without a realm, that is in the host's own.
pub(crate) const ALICE: Account = Account { login: "alice", password: "right of alice" };
/// Known in a realm, with a password that is wrong for [`ALICE`].
pub(crate) const ALICE_IN_REALM: Account =
    Account { login: "alice@example.org", password: "right of the other" };
/// Known to the host's shadow file, of which the daemon is told by the realm.
pub(crate) const SHADOW: Account =
    Account { login: "alice@shadow.test", password: "right of shadow" };
/// Known to the SQLite accounts, likewise.
pub(crate) const SQLITE: Account =
    Account { login: "alice@sqlite.test", password: "right of sqlite" };
/// Known to nobody.
pub(crate) const NOBODY: Account = Account { login: "mallory", password: "right of alice" };

/// All of them.
pub(crate) const ACCOUNTS: [Account; 5] = [ALICE, ALICE_IN_REALM, SHADOW, SQLITE, NOBODY];

/// The fields of one mux request, as the daemon sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Who.
    pub(crate) login: String,
    /// With what.
    pub(crate) password: String,
    /// For which service.
    pub(crate) service: String,
    /// In which realm; empty for none.
    pub(crate) realm: String,
}

/// A program of Debian that asks a saslauthd on behalf of its own clients.
pub(crate) trait Peer: Send + Sync {
    /// Its name in the table.
    fn name(&self) -> &'static str;
    /// The packages that are unpacked over `/usr`; empty for what apt installs.
    fn packages(&self) -> &'static [&'static str] {
        &[]
    }
    /// The programs whose libraries must all be found.
    fn programs(&self) -> &'static [&'static str];
    /// The ways of logging in that differ, for instance SASL mechanisms.
    fn routes(&self) -> &'static [&'static str];
    /// Whether its client can tell an outage from a wrong password on this route.
    fn tells_outage(&self, route: &str) -> bool;
    /// The service name in its requests.
    fn service(&self, route: &str) -> &'static str;
    /// Which socket it asks.
    fn socket(&self) -> Socket {
        Socket::Mux
    }
    /// Writes its settings into the namespace, starts it and waits until it listens.
    fn start(&self, world: &Namespace) -> Result<()>;
    /// Logs in through it. An answer that does not come in time is [`Verdict::Silent`], not an error.
    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard>;
}

/// The languages that the peers here speak to a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    /// Counted fields, `/run/saslauthd/mux`.
    Mux,
    /// `user NUL password NUL`.
    Pwcheck,
}

/// Every peer, in the order of the table.
pub(crate) fn all() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(testsaslauthd::TestSaslauthd),
        Box::new(sample::SampleServer),
        Box::new(postfix::Postfix),
        Box::new(exim::Exim),
        Box::new(sendmail::Sendmail),
        Box::new(cyrus::Cyrus),
        Box::new(slapd::Slapd),
        Box::new(pwcheck::Pwcheck),
    ]
}
