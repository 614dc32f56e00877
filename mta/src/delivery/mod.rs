//! Sending: from the queue to whoever is next on the way.
//!
//! Runs in the sender. Names come from strangers' mail, and servers are strangers too: nothing that they say is believed
//! beyond the recipients it is about. What isn't known to be delivered is tried again.

mod attempt;
pub mod connection;
pub mod dialogue;
pub mod login;
pub mod maildir;
pub mod manager;
pub mod pool;
pub mod report;
pub mod resolve;
pub mod route;
pub mod schedule;
pub mod security;
pub mod session;
pub mod text;
pub mod transfer;
pub mod transport;

#[cfg(test)]
mod tests;
