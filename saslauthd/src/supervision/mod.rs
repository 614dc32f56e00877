//! Keeping the house standing: sockets, children, reload, end.
//!
//! Runs in the parent, in one thread without a runtime. It trusts the configuration and the kernel, and no child.

mod access;
pub mod errors;
pub mod house;
pub mod identities;
pub mod limiter;
pub mod member;
pub mod process;
pub mod pulse;
mod reload;
mod report;
pub mod sockets;
mod stop;
