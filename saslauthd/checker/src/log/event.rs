//! The event of one request, its fields in their fixed order.
//!
//! `login id=… outcome=… reason=… user="…" realm="…" service="…" backend=… scheme=… cache=… peer_uid=… peer_pid=…
//! rip=… rip_source=… throttled=… ms=…`. A SASL exchange has `authid="…"` and `authzid="…"` behind the service where they
//! are not the user, and `mech=… transport=…` behind the cache. What a client sent stands in quotes; everything behind the quotes is
//! ours, so a log reader that matches from the start can be steered by no name.

use std::fmt;

use credentials::Scheme;
use ipc::exchange::Transport;
use ipc::requests::{Peer, Source};
use protocol::{Name, Quoted};

use super::cyrus::{Line, Verdict};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Accepted.
    Accept,
    /// Refused, and the word why.
    Refuse(&'static str),
    /// Nobody knows, and the word why.
    Unavailable(&'static str),
}

/// What the cache did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheUse {
    /// It knew the answer.
    Hit,
    /// It was asked and did not.
    Miss,
    /// It was not asked.
    Off,
}

/// What a log may hold of a SASL exchange besides.
#[derive(Clone, Copy)]
pub(crate) struct Exchanged<'a> {
    /// The mechanism's name.
    pub(crate) mechanism: &'static str,
    /// Whether passwords were safe on the way.
    pub(crate) transport: Transport,
    /// Whose password it was, of one who acts for the user.
    pub(crate) authid: Option<&'a Name>,
    /// Whom the client wanted to be, as it said it, where that came to nothing.
    pub(crate) authzid: Option<&'a Name>,
}

/// Everything about one request that a log may hold.
pub(crate) struct Event<'a> {
    /// The decision's id: the process's and its number.
    pub(crate) id: (u32, u64),
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// As looked up.
    pub(crate) user: &'a Name,
    /// As looked up.
    pub(crate) realm: &'a Name,
    /// As stated.
    pub(crate) service: &'a Name,
    /// The backend that decided.
    pub(crate) backend: Option<&'a str>,
    /// Name and kind of the backend that Cyrus would have asked.
    pub(crate) mechanism: Option<(&'a str, &'static str)>,
    /// The scheme it compared.
    pub(crate) scheme: Option<Scheme>,
    /// The cache's part.
    pub(crate) cache: CacheUse,
    /// Who asked.
    pub(crate) peer: Peer,
    /// The mail client's address and whether it counts.
    pub(crate) source: Source,
    /// The class of limit that refused.
    pub(crate) throttled: Option<&'static str>,
    /// Microseconds from arrival to decision.
    pub(crate) micros: u64,
    /// Of a SASL exchange.
    pub(crate) exchanged: Option<Exchanged<'a>>,
}

impl Event<'_> {
    /// Outcome and reason as words.
    fn words(&self) -> (&'static str, &'static str) {
        match self.outcome {
            Outcome::Accept => ("accept", "-"),
            Outcome::Refuse(reason) => ("refuse", reason),
            Outcome::Unavailable(reason) => ("unavailable", reason),
        }
    }

    /// Cyrus's line, of a request that was answered.
    pub(super) fn cyrus(&self) -> Option<Line<'_>> {
        let verdict = match (self.outcome, self.cache) {
            (Outcome::Unavailable(_), _) => return None,
            (Outcome::Refuse(reason), _) => Verdict::Failure(reason),
            (Outcome::Accept, CacheUse::Hit) => Verdict::Remembered,
            (Outcome::Accept, _) => Verdict::Success,
        };
        Some(Line {
            verdict,
            user: self.user,
            service: self.service,
            realm: self.realm,
            source: self.source,
            mechanism: self.mechanism,
        })
    }

    /// Fields of the journal; quoted where a client had a say.
    pub(super) fn journal_fields(&self) -> Vec<(&'static str, String)> {
        let (outcome, reason) = self.words();
        vec![
            ("SASLAUTHD_ID", format!("{:08x}-{:x}", self.id.0, self.id.1)),
            ("SASLAUTHD_OUTCOME", outcome.into()),
            ("SASLAUTHD_REASON", reason.into()),
            ("SASLAUTHD_USER", Quoted(self.user.as_bytes()).to_string()),
            ("SASLAUTHD_REALM", Quoted(self.realm.as_bytes()).to_string()),
            ("SASLAUTHD_SERVICE", Quoted(self.service.as_bytes()).to_string()),
            ("SASLAUTHD_BACKEND", self.backend.unwrap_or("-").into()),
            ("SASLAUTHD_PEER_UID", self.peer.uid.to_string()),
            ("SASLAUTHD_RIP", Rip(self.source).to_string()),
        ]
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (outcome, reason) = self.words();
        write!(
            f,
            "login id={:08x}-{:x} outcome={outcome} reason={reason} user={} realm={} service={}",
            self.id.0, self.id.1, self.user, self.realm, self.service
        )?;
        if let Some(authid) = self.exchanged.and_then(|sasl| sasl.authid) {
            write!(f, " authid={authid}")?;
        }
        if let Some(authzid) = self.exchanged.and_then(|sasl| sasl.authzid) {
            write!(f, " authzid={authzid}")?;
        }
        let cache = match self.cache {
            CacheUse::Hit => "hit",
            CacheUse::Miss => "miss",
            CacheUse::Off => "off",
        };
        let scheme = self.scheme.map_or("-", Scheme::as_str);
        write!(f, " backend={} scheme={scheme} cache={cache}", self.backend.unwrap_or("-"))?;
        if let Some(Exchanged { mechanism, transport, .. }) = self.exchanged {
            let transport = if transport == Transport::Tls { "tls" } else { "clear" };
            write!(f, " mech={mechanism} transport={transport}")?;
        }
        write!(f, " peer_uid={} peer_pid={}", self.peer.uid, self.peer.pid)?;
        let source = match self.source {
            Source::Absent => "none",
            Source::Stated(_) => "stated",
            Source::Ignored(_) => "ignored",
        };
        write!(f, " rip={} rip_source={source}", Rip(self.source))?;
        write!(f, " throttled={}", self.throttled.unwrap_or("-"))?;
        write!(f, " ms={}.{:03}", self.micros / 1000, self.micros % 1000)
    }
}

/// The address alone, or `-`.
struct Rip(Source);

impl fmt::Display for Rip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::Absent => f.write_str("-"),
            Source::Stated(address) | Source::Ignored(address) => write!(f, "{}", address.ip),
        }
    }
}
