//! What became of a message.
//!
//! Written by the sender beside the message, after a server's reply and before anything else is done for its recipient.

use std::time::Duration;

use crate::delivery::transport::Reply;

/// What became of a message, and when it is tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// How long it had been watched when this was written, on a clock that nobody sets.
    pub watched: Duration,
    /// When this was written: seconds since 1970.
    pub noted: u64,
    /// When it is tried again: seconds since 1970.
    pub next: u64,
    /// Failed attempts.
    pub attempts: u32,
    /// Why it is held, if it is: nothing is tried until an operator releases it.
    pub held: Option<String>,
    /// Whether its sender was told that it takes longer.
    pub warned: Told,
    /// One for each recipient of the envelope, in its order.
    pub recipients: Vec<Standing>,
}

/// Whether a sender was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// Not yet.
    #[default]
    No,
    /// It was, or needn't be.
    Yes,
}

/// Where one recipient stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What became of it.
    pub fate: Fate,
    /// The last that was said about it.
    pub reply: Option<Reply>,
}

/// What became of a recipient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// It waits.
    #[default]
    Waiting,
    /// It is in its mailbox, and whether the sender was told.
    Delivered(Told),
    /// A server has it that reports nothing, and whether the sender was told.
    Relayed(Told),
    /// A server has it that tells the sender itself, if it is to be told.
    HandedOver,
    /// It never will arrive, and whether the sender was told.
    Failed(Told),
}

impl State {
    /// That of a new message.
    pub fn new(arrived: u64, recipients: usize) -> Self {
        Self {
            noted: arrived,
            recipients: vec![Standing::default(); recipients],
            ..Self::default()
        }
    }
}
