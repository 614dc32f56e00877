//! SCRAM (RFC 5802, RFC 7677), with and without channel binding (RFC 9266, RFC 5929).
//!
//! Runs in the checker. It trusts the account's keys, or the stand-in that it is given for a name without any, and
//! goes the same way with both. The proof is compared in `credentials`, and the server's signature is made there
//! after it. What is hashed into the AuthMessage are the bytes that were sent.

mod grammar;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use credentials::{ScramHash, ScramKeys};
use protocol::Name;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::challenge::Ending;
use crate::conversation::{Conversation, Event, Facts};
use crate::step::{Binding, Material, Plus, Refusal, Step, Wanted};
use grammar::{First, Flag, Last};

/// The server's side of one SCRAM mechanism.
pub(crate) struct Scram {
    hash: ScramHash,
    variant: Variant,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    Bare,
    Plus,
}

enum State {
    New,
    /// The client named itself.
    Named(Named),
    /// The client knows salt and iterations.
    Challenged {
        named: Named,
        keys: ScramKeys,
    },
    /// The client sent its proof.
    Answered {
        keys: ScramKeys,
        auth_message: Vec<u8>,
        proof: Zeroizing<Vec<u8>>,
    },
    /// The client knows the server's signature.
    Ending(Ending),
    Done,
}

/// What the client's first message leaves behind.
struct Named {
    authzid: Option<Name>,
    authid: Name,
    /// Client's and server's.
    nonce: Vec<u8>,
    header: Vec<u8>,
    binding: Option<Binding>,
    /// The AuthMessage as far as it is known, each part with its comma.
    said: Vec<u8>,
}

impl Scram {
    /// Without channel binding.
    pub(crate) fn new(hash: ScramHash) -> Self {
        Self { hash, variant: Variant::Bare, state: State::New }
    }

    /// `-PLUS`.
    pub(crate) fn plus(hash: ScramHash) -> Self {
        Self { hash, variant: Variant::Plus, state: State::New }
    }

    fn hear_first(&mut self, facts: &Facts, message: &[u8]) -> Result<Step, Refusal> {
        let first = First::parse(message).ok_or(Refusal::Malformed)?;
        let binding = self.binding(facts.plus, first.flag)?;
        let named = Named {
            authzid: first.authzid,
            authid: first.authid,
            nonce: [first.nonce, facts.nonce.as_bytes()].concat(),
            header: first.header.to_vec(),
            binding,
            said: [first.bare, b","].concat(),
        };
        let (authid, realm) = (named.authid.clone(), Name::default());
        self.state = State::Named(named);
        Ok(Step::Wants { authid, realm, what: Wanted::Scram(self.hash) })
    }

    /// Which data the client will bind; RFC 5802 §6 says what each flag means to whom.
    fn binding(&self, plus: Plus, flag: Flag<'_>) -> Result<Option<Binding>, Refusal> {
        match (self.variant, flag) {
            (Variant::Plus, Flag::Binds(name)) => {
                Binding::from_name(name).map(Some).ok_or(Refusal::BindingMismatch)
            }
            (Variant::Plus, _) => Err(Refusal::Downgrade),
            (Variant::Bare, Flag::Binds(_)) => Err(Refusal::Malformed),
            (Variant::Bare, Flag::ThinksWeCannot) if plus == Plus::Offered => {
                Err(Refusal::Downgrade)
            }
            (Variant::Bare, _) => Ok(None),
        }
    }

    fn challenge(&mut self, mut named: Named, keys: ScramKeys) -> Result<Step, Refusal> {
        let (salt, iterations) = (STANDARD.encode(keys.salt()), keys.iterations());
        let tail = format!(",s={salt},i={iterations}");
        let message = [b"r=", named.nonce.as_slice(), tail.as_bytes()].concat();
        named.said.extend_from_slice(&message);
        named.said.push(b',');
        let binding = named.binding;
        self.state = State::Challenged { named, keys };
        Ok(Step::Challenge { bytes: Zeroizing::new(message), binding })
    }

    fn hear_last(
        &mut self,
        mut named: Named,
        keys: ScramKeys,
        message: &[u8],
        channel: Option<&[u8]>,
    ) -> Result<Step, Refusal> {
        let last = Last::parse(message).ok_or(Refusal::Malformed)?;
        if last.nonce != named.nonce || last.proof.len() != self.hash.proof_len() {
            return Err(Refusal::Malformed);
        }
        named.check_binding(&last.binding, channel)?;
        named.said.extend_from_slice(last.unproven);
        let Named { authzid, authid, said, .. } = named;
        self.state = State::Answered { keys, auth_message: said, proof: last.proof };
        Ok(Step::Proof { authzid, authid })
    }
}

impl Named {
    /// `c=` must hold the very header of the first message, and the data of our side's channel after it.
    fn check_binding(&self, said: &[u8], channel: Option<&[u8]>) -> Result<(), Refusal> {
        let data = match (self.binding, channel) {
            (None, _) => b"".as_slice(),
            (Some(_), Some(data)) if !data.is_empty() => data,
            (Some(_), _) => return Err(Refusal::BindingMismatch),
        };
        let ours = Zeroizing::new([self.header.as_slice(), data].concat());
        if bool::from(ours.as_slice().ct_eq(said)) { Ok(()) } else { Err(Refusal::BindingMismatch) }
    }
}

impl Conversation for Scram {
    fn turn(&mut self, facts: &Facts, event: Event<'_>) -> Step {
        let step = match (std::mem::replace(&mut self.state, State::Done), event) {
            (State::New, Event::Message { bytes, .. }) => self.hear_first(facts, bytes),
            (State::Named(named), Event::Material(Material::Scram(keys)))
                if keys.hash() == self.hash =>
            {
                self.challenge(named, keys)
            }
            (State::Challenged { named, keys }, Event::Message { bytes, binding }) => {
                self.hear_last(named, keys, bytes, binding)
            }
            (State::Answered { keys, auth_message, proof }, Event::Conclude) => {
                match keys.verify_proof(&auth_message, &proof) {
                    Ok((proof, signature)) => {
                        let words = format!("v={}", STANDARD.encode(&*signature)).into_bytes();
                        let mut ending = Ending::default();
                        let step = ending.begin(facts, proof, words);
                        self.state = State::Ending(ending);
                        Ok(step)
                    }
                    Err(_) => Err(Refusal::WrongProof),
                }
            }
            (State::Ending(mut ending), Event::Message { bytes, .. }) => {
                ending.finish(bytes).ok_or(Refusal::Malformed)
            }
            _ => return crate::challenge::misled(),
        };
        step.unwrap_or_else(Step::Refused)
    }
}
