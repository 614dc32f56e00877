//! A refused request in the shape of Cyrus's own line, so that what reads logs today goes on reading.
//!
//! Debian's saslauthd leaves the function's name before the colon empty, and so do we. `[remote=…]` stands where
//! later versions of Cyrus have it. Brackets in names are escaped, which Cyrus doesn't.

use std::fmt;

use ipc::requests::Source;
use protocol::Name;
use protocol::quoted::Bracketed;

/// What the line says.
pub(super) struct Refusal<'a> {
    pub(super) user: &'a Name,
    pub(super) service: &'a Name,
    pub(super) realm: &'a Name,
    pub(super) source: Source,
    pub(super) mechanism: &'a str,
    pub(super) reason: &'static str,
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:16}: auth failure: [user={}]", "", Bracketed(self.user.as_bytes()))?;
        write!(f, " [service={}]", Bracketed(self.service.as_bytes()))?;
        write!(f, " [realm={}]", Bracketed(self.realm.as_bytes()))?;
        if let Source::Stated(address) = self.source {
            write!(f, " [remote={address}]")?;
        }
        write!(f, " [mech={}] [reason={}]", self.mechanism, words(self.reason))
    }
}

/// Cyrus's words where it has some; `Unknown` is what it says when a mechanism gives no reason.
fn words(reason: &'static str) -> &'static str {
    match reason {
        "unknown-user" => "Invalid username",
        "wrong-password" | "locked" | "no-password" => "Incorrect password",
        "account-expired" => "Account expired",
        "password-expired" => "Password expired",
        _ => "Unknown",
    }
}
