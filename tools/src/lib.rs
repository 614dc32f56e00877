//! What several of the operator's tools do alike.
//!
//! Linked into the tools alone. It must never echo or keep what somebody types.

pub mod connect;
pub mod terminal;
