//! Stored secrets ready to compare.
/// Placeholder.
pub struct Verifier;
