//! What a mechanism of ours is: told what happened, it says the next step.
//!
//! Runs in the checker, under rsasl's session. Its memory of an exchange is in the type that implements
//! [`Conversation`]; what it was not told in time, it must not guess.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::mechanism::Mechanism;

use crate::step::{LastWords, Material, Plus, Start, Step};

/// Random bytes of one exchange: 18, so that base64 needs no padding.
const RANDOM: usize = 18;

/// The longest message of a client in any mechanism; the longest name and the longest password are half of it.
pub(crate) const LONGEST: usize = 12 * 1024;

/// The server's side of one mechanism.
pub(crate) trait Conversation: Send + Sync {
    /// One turn. After a step that ends the exchange there is no other.
    fn turn(&mut self, facts: &Facts, event: Event<'_>) -> Step;
}

/// What happened.
pub(crate) enum Event<'a> {
    /// A mechanism in which the server speaks first begins.
    Begin,
    /// The client said this, of at most [`LONGEST`] bytes.
    Message {
        /// Its message.
        bytes: &'a [u8],
        /// The data of the channel, where the last challenge asked for them.
        binding: Option<&'a [u8]>,
    },
    /// What was wanted is here.
    Material(Material),
    /// Limiter and account have nothing against a comparison.
    Conclude,
}

/// What stays the same during an exchange.
pub(crate) struct Facts {
    pub(crate) plus: Plus,
    pub(crate) last_words: LastWords,
    pub(crate) service: Vec<u8>,
    pub(crate) hosts: Vec<String>,
    pub(crate) realms: Vec<String>,
    pub(crate) now: u64,
    /// The random bytes of this exchange as 24 characters of base64, which have neither comma nor quote.
    pub(crate) nonce: String,
}

impl Facts {
    /// Copies what the mechanism will need.
    pub(crate) fn of(start: &mut Start<'_>) -> Self {
        let mut random = [0; RANDOM];
        if !start.mechanism.is_plaintext() {
            (start.random)(&mut random);
        }
        let md5 = matches!(start.mechanism, Mechanism::CramMd5 | Mechanism::DigestMd5);
        let (service, hosts, realms) = if md5 {
            (start.service.as_bytes().to_vec(), start.hosts.to_vec(), start.realms.to_vec())
        } else {
            (Vec::new(), Vec::new(), Vec::new())
        };
        let (plus, last_words, now) = (start.plus, start.last_words, start.now);
        Self { plus, last_words, service, hosts, realms, now, nonce: STANDARD.encode(random) }
    }
}
