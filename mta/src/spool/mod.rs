//! Mail on disk: what was answered 250 is here until somebody else has it, or its sender has it back.
//!
//! ```text
//! incoming/   the receiver appends (Incoming); the sender takes from it
//! queue/      the sender's own: ID a message, ID.state what became of its recipients
//! corrupt/    what is not as it was written: never sent, never deleted
//! ```

pub mod envelope;
pub mod id;
pub mod incoming;
pub mod queue;
pub mod record;
pub mod state;

mod disk;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tape;
