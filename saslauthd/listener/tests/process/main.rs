//! The listener as a process of its own, confined, with this test as its parent, its checker and its clients.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod auth;
mod house;
mod userdb;
