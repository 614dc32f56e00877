//! The daemon as a whole under attack and under faults: the built executables, in the sandbox of one test each.
//!
//! Cases carry the ids of the catalogue of attacks in their names. Everything goes through the sockets that mail
//! servers use, the signals of a service manager and the files of an administrator. Needs root, for sandboxes.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod a_outage;
mod a_slots;
mod a_wire;
mod accounts;
mod activation;
mod auth;
mod b_crypt;
mod b_names;
mod b_passwords;
mod b_shadow;
mod c_cache;
mod c_files;
mod c_sql;
mod d_logs;
mod d_timing;
mod e_exhaustion;
mod events;
mod f_processes;
mod f_sockets;
mod faults;
mod house;
mod limits;
mod policy;
mod process;
mod records;
mod visitors;
