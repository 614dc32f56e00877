//! CRAM-MD5 (RFC 2195): the client answers a challenge with its name and HMAC-MD5 of the challenge.
//!
//! Runs in the checker, for accounts whose password is stored in the clear.

use credentials::SharedSecret;
use protocol::Name;
use zeroize::Zeroizing;

use crate::challenge::{misled, say, unhex};
use crate::conversation::{Conversation, Event, Facts};
use crate::step::{Material, Refusal, Step, Wanted};

/// What is remembered between turns.
#[derive(Default)]
pub(crate) enum CramMd5 {
    /// Nothing yet.
    #[default]
    New,
    /// The challenge is out.
    Challenged(Vec<u8>),
    /// The client answered.
    Answered(Answered),
    /// It is over.
    Done,
}

pub(crate) struct Answered {
    challenge: Vec<u8>,
    authid: Name,
    response: Zeroizing<Vec<u8>>,
    secret: Option<SharedSecret>,
}

impl Conversation for CramMd5 {
    fn turn(&mut self, facts: &Facts, event: Event<'_>) -> Step {
        match (std::mem::replace(self, Self::Done), event) {
            (Self::New, Event::Begin | Event::Message { bytes: b"", .. }) => {
                let challenge = challenge(facts);
                *self = Self::Challenged(challenge.clone());
                say(challenge)
            }
            (Self::Challenged(challenge), Event::Message { bytes, .. }) => {
                let Some((authid, response)) = answer(bytes) else {
                    return Step::Refused(Refusal::Malformed);
                };
                let (authid_, what) = (authid.clone(), Wanted::Shared);
                *self = Self::Answered(Answered { challenge, authid, response, secret: None });
                Step::Wants { authid: authid_, realm: Name::default(), what }
            }
            (Self::Answered(answered), Event::Material(Material::Shared(secret))) => {
                let authid = answered.authid.clone();
                *self = Self::Answered(Answered { secret: Some(secret), ..answered });
                Step::Proof { authzid: None, authid }
            }
            (
                Self::Answered(Answered { challenge, response, secret: Some(secret), .. }),
                Event::Conclude,
            ) => match secret.cram_md5(&challenge, &response) {
                Ok(proof) => Step::Proven { proof, last_words: None },
                Err(_) => Step::Refused(Refusal::WrongProof),
            },
            (Self::New, Event::Message { .. }) => Step::Refused(Refusal::Malformed),
            _ => misled(),
        }
    }
}

/// `<random.time@host>`, in the form of a message identifier (RFC 2195 §2). The random part alone would do.
fn challenge(facts: &Facts) -> Vec<u8> {
    let host = facts.hosts.first().map_or("localhost", String::as_str);
    format!("<{}.{}@{host}>", facts.nonce, facts.now).into_bytes()
}

/// Name, space, 32 digits of hexadecimal; a name may have spaces.
fn answer(message: &[u8]) -> Option<(Name, Zeroizing<Vec<u8>>)> {
    let space = message.iter().rposition(|byte| *byte == b' ')?;
    let (name, digits) = message.split_at_checked(space)?;
    let name = Name::new(name).ok().filter(|name| !name.is_empty())?;
    Some((name, unhex(digits.get(1..)?)?))
}
