//! The parent: reads the configuration, binds, starts the children and starts them again, and speaks to no stranger.
//!
//! Runs as root or as an ordinary user, with one thread and no runtime. It trusts its command line, its configuration and
//! the kernel. It must never read a byte that a client or a server sent, and it must never die of what a child says.

mod broker;
pub mod command_line;
pub mod demo;
pub mod failure;
mod help;
mod house;
pub mod identities;
pub mod listeners;
pub mod log;
mod manifest;
mod member;
mod reload;
pub mod serve;
mod sole;
mod stop;
pub mod version;
