//! DIGEST-MD5 (RFC 2831).
//!
//! Runs in the checker.

use crate::conversation::{Conversation, Event, Facts};
use crate::step::{Refusal, Step};

#[derive(Default)]
pub(crate) struct DigestMd5;

impl Conversation for DigestMd5 {
    fn turn(&mut self, _facts: &Facts, _event: Event<'_>) -> Step {
        Step::Refused(Refusal::Malformed)
    }
}
