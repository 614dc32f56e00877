//! The parent of the house: it reads the configuration, binds the sockets, starts the listener and the
//! checker, and keeps them running.
//!
//! Runs as root or as an ordinary user, with one thread and no runtime. It trusts its command line, its
//! configuration and the kernel. It must never read a byte that a client sent or a file that holds a
//! password, and it must never die of what a child says.

pub mod command_line;
pub mod config;
pub mod demo;
pub mod failure;
pub mod log;
pub mod serve;
pub mod supervision;
pub mod version;
