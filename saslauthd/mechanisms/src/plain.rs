//! PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login): the password itself crosses the wire.
//!
//! Runs in the checker. The password stays the bytes that came: shadow files and PAM know no preparation, and what a
//! scheme needs it does itself. Nothing is compared here.

use protocol::{Name, Password};
use zeroize::Zeroizing;

use crate::conversation::{Conversation, Event, Facts};
use crate::step::{Refusal, Step};

/// `[authzid] NUL authcid NUL passwd` (RFC 4616 §2).
pub(crate) struct Plain;

impl Conversation for Plain {
    fn turn(&mut self, _facts: &Facts, event: Event<'_>) -> Step {
        match event {
            Event::Message { bytes, .. } => {
                plain(bytes).unwrap_or(Step::Refused(Refusal::Malformed))
            }
            _ => Step::Refused(Refusal::Malformed),
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
pub(crate) struct Login {
    authid: Option<Name>,
}

impl Conversation for Login {
    fn turn(&mut self, _facts: &Facts, event: Event<'_>) -> Step {
        let heard = match event {
            Event::Message { bytes, .. } => bytes,
            Event::Begin if self.authid.is_none() => return prompt(b"Username:"),
            _ => return Step::Refused(Refusal::Malformed),
        };
        let Some(authid) = self.authid.take() else {
            self.authid = name(heard);
            return match self.authid {
                Some(_) => prompt(b"Password:"),
                None => Step::Refused(Refusal::Malformed),
            };
        };
        match Password::new(heard) {
            Ok(password) => Step::Password { authzid: None, authid, password },
            Err(_) => Step::Refused(Refusal::Malformed),
        }
    }
}

/// Clients compare these words.
fn prompt(words: &[u8]) -> Step {
    Step::Challenge { bytes: Zeroizing::new(words.to_vec()), binding: None }
}
