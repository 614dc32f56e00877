//! Password schemes, verifiers, account state, and the files that hold them.
//!
//! Runs in the checker and in the operator's tools, never in a process that reads a client's bytes. It trusts
//! no stored byte either: a hash, a shadow line or a page of a sasldb may be damaged or hostile, and ends in
//! [`Verdict::Refuse`] or [`Verdict::Unavailable`]. Only the comparisons make an Accept.

mod digests;
pub mod names;
pub mod new_hash;
pub mod policy;
pub mod sasldb;
pub mod scheme;
pub mod scram;
pub mod scratch;
pub mod shadow;
pub mod shared;
pub mod stand_in;
pub mod tag;
pub mod verdict;
pub mod verifier;

pub use new_hash::{Argon2Settings, needs_upgrade, new_hash};
pub use policy::{LongPasswords, Policy, WeakSchemes};
pub use scheme::{Cost, Scheme};
pub use scram::{ScramHash, ScramKeys};
pub use scratch::Scratch;
pub use shared::{DigestResponse, SharedSecret};
pub use stand_in::{Census, Shape, usable_or_stand_in};
pub use tag::{Guess, Parts, Tag, TagKey};
pub use verdict::{Entry, Generation, Lookup, Reason, Trouble, Verdict, Verified};
pub use verifier::Verifier;
