//! Password schemes, verifiers, account state, and the files that hold them.
//!
//! Runs in the checker and in the operator's tools, never in a process that reads a client's bytes. It trusts
//! no stored byte either: a hash, a shadow line or a page of a sasldb may be damaged or hostile, and ends in
//! [`Verdict::Refuse`] or [`Verdict::Unavailable`]. Only the comparisons make an Accept.

pub mod sasldb;
pub mod verdict;
pub mod verifier;

pub use verdict::{Entry, Generation, Lookup, Reason, Trouble, Verdict, Verified};
