//! What an exchange is told and what it says: the types between the checker's dispatcher and the mechanisms.

use std::fmt;

use credentials::{ScramHash, ScramKeys, SharedSecret, Trouble, Verified};
use protocol::mechanism::Mechanism;
pub use protocol::mechanism::{Binding, LastWords};
use protocol::{Name, Password};
use zeroize::Zeroizing;

/// What is known when a client asks for a mechanism.
pub struct Start<'a> {
    /// What it asks for. Whether it is offered at all is the checker's to know.
    pub mechanism: Mechanism,
    /// Whether this client was offered SCRAM with channel binding.
    pub plus: Plus,
    /// What becomes of SCRAM's `v=` and DIGEST-MD5's `rspauth=`.
    pub last_words: LastWords,
    /// As the peer said it; DIGEST-MD5 holds the client's `serv-type` against it.
    pub service: &'a Name,
    /// The names that clients know this server by. The first is said in the challenge of CRAM-MD5; the `digest-uri`
    /// of DIGEST-MD5 must have one of them, and may have any where there are none.
    pub hosts: &'a [String],
    /// The realms that DIGEST-MD5 offers; the client must take one of them. Where there are none, the realm is empty.
    pub realms: &'a [String],
    /// Seconds since 1970, for the challenge of CRAM-MD5.
    pub now: u64,
    /// Fills with random bytes that nobody can predict; called once or not at all.
    pub random: &'a mut dyn FnMut(&mut [u8]),
}

/// Whether SCRAM with channel binding was offered; a client that could bind and saw no such offer says so (`y`), and
/// where there was one, somebody in between took it away (RFC 5802 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plus {
    /// Some `-PLUS` was.
    Offered,
    /// None was.
    NotOffered,
}

/// What of an account a mechanism needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Its keys for this hash function, or a stand-in: [`Material::Scram`].
    Scram(ScramHash),
    /// Its password in the clear, or a stand-in: [`Material::Shared`].
    Shared,
}

/// What was wanted. For a name that has none, whatever the reason, a stand-in: the client must not see a difference.
pub enum Material {
    /// [`ScramKeys::stand_in`] makes stand-ins.
    Scram(ScramKeys),
    /// [`SharedSecret::stand_in`] makes stand-ins.
    Shared(SharedSecret),
}

/// What an exchange says. After anything but `Challenge`, `Wants` and `Proof` it is over.
///
/// Names are as the client sent them, with the mechanism's escapes resolved and nothing else: whoever looks them up
/// prepares and maps them, as those of every other request.
#[must_use]
pub enum Step {
    /// Send this, and call `step` with the response. As the answer of `conclude` it holds the last words, and the
    /// proof was right.
    Challenge {
        /// At most a few hundred bytes; may be empty.
        bytes: Zeroizing<Vec<u8>>,
        /// Which binding's data `step` is to be given with the response.
        binding: Option<Binding>,
    },
    /// Look up the account, and call `supply`.
    Wants {
        /// Not empty.
        authid: Name,
        /// DIGEST-MD5's; empty in all others.
        realm: Name,
        /// What of it.
        what: Wanted,
    },
    /// PLAIN and LOGIN: compare this as any other login.
    Password {
        /// Whom the client wants to be, when it said so; never empty.
        authzid: Option<Name>,
        /// Not empty.
        authid: Name,
        /// As it was typed.
        password: Password,
    },
    /// EXTERNAL: it is whoever the TLS client certificate says.
    Certificate {
        /// Whom the client wants to be, when it said so; never empty.
        authzid: Option<Name>,
    },
    /// ANONYMOUS.
    Anonymous {
        /// What the client says of itself (RFC 4505 §2), at most 1020 bytes of UTF-8; nobody has checked it.
        trace: Name,
    },
    /// The client's proof is here and not judged. Have the limiter's say and the account's, then call `conclude`.
    ///
    /// A proof is never the same twice, and from a wrong one nothing can be computed that is: `ClientSignature` is
    /// keyed with what the client made of the wrong password (RFC 5802 §3). So each wrong proof counts as another guess.
    Proof {
        /// Whom the client wants to be, when it said so; never empty.
        authzid: Option<Name>,
        /// The same as in `Wants`.
        authid: Name,
    },
    /// The comparison agreed.
    Proven {
        /// Says so.
        proof: Verified,
        /// To be sent with the outcome; the client checks by them that the server knew its password.
        last_words: Option<Zeroizing<Vec<u8>>>,
    },
    /// The exchange failed. The client is told no more than that: neither `e=` nor anything else.
    Refused(Refusal),
    /// The exchange was not carried on as it must be: a fault of ours.
    Unavailable(Trouble),
}

/// Why an exchange was refused; for the log only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The client's message is none of this mechanism's, or has an extension that must be understood.
    Malformed,
    /// The comparison did not agree.
    WrongProof,
    /// The client's channel is not the one that the mail server sees, or nobody knows the latter, or the client
    /// asks for a binding that is not supported.
    BindingMismatch,
    /// The client could bind the channel and was not offered it though we did, or took `-PLUS` and does not bind.
    Downgrade,
    /// The client's realm, service or host is not ours (DIGEST-MD5).
    WrongPlace,
}

impl Refusal {
    /// The word for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed-exchange",
            Self::WrongProof => "wrong-password",
            Self::BindingMismatch => "binding-mismatch",
            Self::Downgrade => "downgrade",
            Self::WrongPlace => "wrong-place",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
