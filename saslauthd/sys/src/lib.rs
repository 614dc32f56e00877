//! What the house asks of the kernel, and the only crate (beside crypt) where `unsafe` is allowed.
//!
//! Every daemon process links it, the listener that faces strangers and the mta included, so it holds no
//! secret, knows no protocol and leans on no other crate of ours. It trusts the kernel and the caller's
//! configuration. It must never follow a path that an unprivileged user can redirect, and it must never
//! report a protection as reached that the kernel did not confirm.
//!
//! The order in which a `main` uses it: [`descriptors`] (close strays, take what was handed over),
//! [`identity`] (drop to the own user), [`harden`] (what survives no uid change), [`sandbox`] (Landlock before
//! any thread, seccomp last).

pub mod arguments;
pub mod bind;
pub mod capabilities;
pub mod channel;
pub mod children;
pub mod clock;
pub mod daemon;
pub mod descriptors;
pub mod dir;
pub mod environment;
mod error;
pub mod harden;
pub mod identity;
pub mod log_line;
pub mod log_socket;
pub mod notify;
pub mod peer;
pub mod pidfile;
pub mod sandbox;
pub mod sealed;
pub mod shared;
pub mod signals;
pub mod start;

pub use error::{Error, Result};

#[cfg(test)]
mod in_child;
