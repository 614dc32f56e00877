//! Peers: the mail programs of Debian that ask a saslauthd, each started in a world of its own.
//!
//! Runs in the test process, as root. A peer's package is downloaded and unpacked under `target/peers`, laid
//! over `/usr` in a private mount namespace and given its own `/etc`, `/var`, `/run`, host name, network and
//! process ids. Trusts Debian's archive; must never install a mail server, nor read or change a file of the
//! host's `/etc`, `/var` or `/run`.

pub(crate) mod auth_client;
pub(crate) mod auth_wire;
pub(crate) mod bridges;
pub(crate) mod clients;
pub(crate) mod cyrus;
pub(crate) mod dialogue;
pub(crate) mod dovecot_passdb;
pub(crate) mod etc;
pub(crate) mod exim;
pub(crate) mod exim_auth;
pub(crate) mod exim_cyrus;
pub(crate) mod exim_relay;
pub(crate) mod fetch;
pub(crate) mod imap_login;
pub(crate) mod namespace;
pub(crate) mod pamtester;
pub(crate) mod perdition;
pub(crate) mod postfix;
pub(crate) mod postfix_relay;
pub(crate) mod pwcheck;
pub(crate) mod relay;
pub(crate) mod sample;
pub(crate) mod sample_client;
pub(crate) mod sendmail;
pub(crate) mod slapd;
pub(crate) mod submission;
pub(crate) mod testsaslauthd;
pub(crate) mod tls;

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
    /// What goes on around the login.
    pub(crate) manner: Manner,
}

/// What goes on around a login in the same session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Nothing.
    Plainly,
    /// A wrong password was refused before.
    AfterRefusal,
    /// A login was begun and cancelled with `*` before.
    AfterCancel,
    /// There is no TLS.
    WithoutTls,
}

/// A password of nobody, for [`Manner::AfterRefusal`].
pub(crate) const WRONG: &str = "wrong for everybody";

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

/// What a daemon on the mux is asked about.
pub(crate) const ACCOUNTS: [Account; 5] = [ALICE, ALICE_IN_REALM, SHADOW, SQLITE, NOBODY];

/// Known, and locked.
pub(crate) const LOCKED: Account =
    Account { login: "bob@sqlite.test", password: "right of the locked" };
/// Known by a name beyond ASCII that Latin-1 has, which DIGEST-MD5 treats in its own way.
pub(crate) const UTF8: Account = Account { login: "jürgen", password: "grüße von jürgen" };

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
    /// What its client makes of an outage on this route. Most ask in a version of the protocol that has no word.
    fn outage(&self, route: &str, outage: Outage) -> Verdict {
        if self.tells_outage(route) && outage != Outage::Word {
            Verdict::Temporary
        } else {
            Verdict::Refused
        }
    }
    /// Whether it ends its wait for a daemon that does not answer.
    fn gives_up(&self, _route: &str) -> bool {
        false
    }
    /// Whether the login on this route can be asked in this manner: where the test itself is the client.
    fn takes(&self, route: &str, _manner: Manner) -> bool {
        self.socket() == Socket::Auth && self.course() == Course::Whole && !self.needs_secret(route)
    }
    /// Whether Debian's daemon understands it on this route.
    fn known_to_original(&self, _route: &str) -> bool {
        true
    }
    /// How much it is asked.
    fn course(&self) -> Course {
        Course::Whole
    }
    /// Whether its mechanism needs more than a hash of the password on the daemon's side.
    fn needs_secret(&self, route: &str) -> bool {
        route.contains("SCRAM") || route.contains("MD5")
    }
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
    /// Dovecot's authentication protocol.
    Auth,
}

/// The kinds of outage that a peer may tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    /// Nothing listens.
    Absent,
    /// The connection ends without an answer.
    Closed,
    /// `FAIL` with `code=temp_fail`, of the auth protocol.
    Word,
    /// In the way of these that a daemon should choose for the peer.
    Told,
}

/// How much a peer is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// Everything.
    Whole,
    /// What differs between mechanisms: it asks through another peer, which is asked the rest.
    Mechanisms,
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
        Box::new(exim_cyrus::EximCyrus),
        Box::new(submission::Submission),
        Box::new(exim_auth::EximAuth),
        Box::new(imap_login::ImapLogin),
        Box::new(auth_client::AuthClient),
        Box::new(sample_client::SampleClient),
        Box::new(clients::GSASL),
        Box::new(clients::MSMTP),
        Box::new(clients::SWAKS),
        Box::new(clients::CURL),
        Box::new(clients::MUTT),
        Box::new(dovecot_passdb::CHECKPASSWORD),
        Box::new(dovecot_passdb::PAM),
        Box::new(perdition::Perdition),
        Box::new(pamtester::MUX),
        Box::new(pamtester::AUTH),
    ]
}
