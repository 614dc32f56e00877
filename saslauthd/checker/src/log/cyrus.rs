//! A request in the shape of Cyrus's own line, so that what reads logs today goes on reading.
//!
//! Debian's saslauthd leaves the function's name before the colon empty, and so do we. `[remote=…]` stands where
//! later versions of Cyrus have it. Brackets in names are escaped, which Cyrus doesn't.

use std::fmt;

use ipc::requests::Source;
use protocol::Name;
use protocol::quoted::Bracketed;

/// What the line says.
pub(super) struct Line<'a> {
    pub(super) verdict: Verdict,
    pub(super) user: &'a Name,
    pub(super) service: &'a Name,
    pub(super) realm: &'a Name,
    pub(super) source: Source,
    /// Name and kind.
    pub(super) mechanism: Option<(&'a str, &'static str)>,
}

/// How Cyrus would have put it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Refused, and our word why.
    Failure(&'static str),
    /// Accepted; Cyrus says so only with -V.
    Success,
    /// The same from the cache, of which Cyrus tells no mechanism.
    Remembered,
}

impl Verdict {
    /// Whether Cyrus logs it without -V.
    pub(super) fn is_failure(self) -> bool {
        matches!(self, Self::Failure(_))
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.verdict {
            Verdict::Failure(_) => "failure",
            Verdict::Success => "success",
            Verdict::Remembered => "success (cached)",
        };
        write!(f, "{:16}: auth {what}: [user={}]", "", Bracketed(self.user.as_bytes()))?;
        write!(f, " [service={}]", Bracketed(self.service.as_bytes()))?;
        write!(f, " [realm={}]", Bracketed(self.realm.as_bytes()))?;
        if let Source::Stated(address) = self.source {
            write!(f, " [remote={address}]")?;
        }
        let (name, kind) = self.mechanism.unwrap_or(("-", "-"));
        if self.verdict != Verdict::Remembered {
            write!(f, " [mech={name}]")?;
        }
        match self.verdict {
            Verdict::Failure(reason) => write!(f, " [reason={}]", words(kind, reason)),
            Verdict::Success | Verdict::Remembered => Ok(()),
        }
    }
}

/// The failure of a request whose names could not be read.
pub(super) struct Nameless;

impl fmt::Display for Nameless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = "auth failure: [user=] [service=] [realm=] [mech=-]";
        write!(f, "{:16}: {head} [reason={}]", "", words("-", "unreadable"))
    }
}

/// Cyrus's words where it has some; `Unknown` is what it says when a mechanism gives no reason, as sasldb never does.
fn words(kind: &str, reason: &'static str) -> &'static str {
    match reason {
        _ if kind == "sasldb" => "Unknown",
        "unknown-user" => "Invalid username",
        "wrong-password" | "locked" | "no-password" => "Incorrect password",
        "account-expired" => "Account expired",
        "password-expired" => "Password expired",
        _ => "Unknown",
    }
}
