//! SASL mechanisms on rsasl: one exchange with one client, turn by turn, on the server's side.
//!
//! Runs in the checker, which owns the bytes that come and go, the accounts, and the say about them. Every byte of a
//! client is hostile: an exchange ends with any of them, in bounded time and memory. It must never do I/O, wait, or
//! decide that a proof is right: only a comparison in `credentials` does.

mod challenge;
mod conversation;
mod cram_md5;
mod digest_md5;
mod exchange;
mod plain;
mod registry;
mod scram;
mod step;

pub use exchange::Exchange;
pub use step::{Binding, LastWords, Material, Plus, Refusal, Start, Step, Wanted};
