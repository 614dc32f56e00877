//! PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login): the password itself crosses the wire.
//!
//! Runs in the checker. The password stays the bytes that came: shadow files and PAM know no preparation, and what a
//! scheme needs it does itself. Nothing is compared here.

use protocol::{Name, Password};

use crate::challenge::{misled, say};
use crate::conversation::{Conversation, Event, Facts};
use crate::step::{Refusal, Step};

/// The prompts of LOGIN; clients compare these very words.
const USERNAME: &[u8] = b"Username:";
const PASSWORD: &[u8] = b"Password:";

/// `[authzid] NUL authcid NUL passwd` (RFC 4616 §2).
pub(crate) struct Plain;

impl Conversation for Plain {
    fn turn(&mut self, _facts: &Facts, event: Event<'_>) -> Step {
        match event {
            Event::Message { bytes, .. } => {
                plain(bytes).unwrap_or(Step::Refused(Refusal::Malformed))
            }
            _ => misled(),
        }
    }
}

/// A third NUL would be in the password, which has none.
fn plain(message: &[u8]) -> Option<Step> {
    let mut parts = message.splitn(3, |byte| *byte == 0);
    let (authzid, authid) = (parts.next()?, name(parts.next()?)?);
    let password = Password::new(parts.next()?).ok()?;
    let authzid = if authzid.is_empty() { None } else { Some(name(authzid)?) };
    Some(Step::Password { authzid, authid, password })
}

fn name(bytes: &[u8]) -> Option<Name> {
    Name::new(bytes).ok().filter(|name| !name.is_empty())
}

/// Two prompts and two answers; an initial response answers the first.
#[derive(Default)]
pub(crate) enum Login {
    /// Nothing was said.
    #[default]
    New,
    /// The name was asked for.
    Prompted,
    /// The password was asked for.
    Named(Name),
    /// It is over.
    Done,
}

impl Conversation for Login {
    fn turn(&mut self, _facts: &Facts, event: Event<'_>) -> Step {
        match (std::mem::replace(self, Self::Done), event) {
            (Self::New, Event::Begin | Event::Message { bytes: b"", .. }) => {
                *self = Self::Prompted;
                say(USERNAME.to_vec())
            }
            (Self::New | Self::Prompted, Event::Message { bytes, .. }) => match name(bytes) {
                Some(authid) => {
                    *self = Self::Named(authid);
                    say(PASSWORD.to_vec())
                }
                None => Step::Refused(Refusal::Malformed),
            },
            (Self::Named(authid), Event::Message { bytes, .. }) => match Password::new(bytes) {
                Ok(password) => Step::Password { authzid: None, authid, password },
                Err(_) => Step::Refused(Refusal::Malformed),
            },
            _ => misled(),
        }
    }
}
