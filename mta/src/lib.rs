//! A submission and relay server that asks another daemon who may log in and who may relay.
//!
//! Three programs are made of it, each under an identity of its own: the parent (`mta`), which binds, starts and restarts
//! the others and reads no byte of a stranger; the receiver (`mta-receiver`), which hears strangers and can only append
//! to the spool; and the sender (`mta-sender`), which reads the spool and speaks to other servers. There is no password
//! database here, no user account, and no privileged code. What is answered 250 is on disk.

pub mod auth;
pub mod config;
pub mod control;
pub mod daemon;
pub mod delivery;
pub mod link;
pub mod parent;
pub mod policy;
pub mod processors;
pub mod spool;
pub mod submission;
pub mod tls;
