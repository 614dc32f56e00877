//! Mail on its way in: sessions of strangers, people and machines.
//!
//! Runs in the receiver, which holds no password and no queued mail, and can only append to the spool. Nothing that a
//! client says is trusted: who it is says the daemon, what it may do says the daemon, and what may come when says
//! [`smtp::session::Session`]. Nobody is believed outside TLS. The address of a client is that of its socket, unless a
//! proxy that the configuration names brought it. Names of clients are not looked up, since this process reaches no
//! network: a client is called by its address in brackets, and entries of the access map fit by address alone.
//!
//! What is answered 250 is on disk. What the daemon did not answer is a temporary failure, never a yes and never a no.

mod accept;
mod commands;
mod desk;
mod dialogue;
mod doors;
mod envelope;
mod features;
mod foresight;
mod greeting;
mod head;
mod log;
mod login;
mod message;
mod opening;
mod proxied;
mod receiver;
mod trace;
mod wire;

pub use desk::{Arrival, Desk};
pub use dialogue::serve;
pub use doors::Doors;
pub use receiver::obey;

#[cfg(test)]
mod tests;
