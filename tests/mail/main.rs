//! The mta from outside, through the sockets that mail clients and servers use, with the daemon beside it.
//!
//! Runs as root: every test has a house of its own (harness/mta.rs). Names in tests such as g1 and h3 are those of the
//! list of attacks that a mail server has to stand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod answers;
mod certificates;
mod deliveries;
mod dialogues;
mod divergences;
mod ends;
mod faults;
mod held;
mod hops;
mod keeping;
mod kills;
mod logins;
mod mint;
mod names;
mod next_hop;
mod original;
mod peers_in;
mod peers_lmtp;
mod peers_many;
mod peers_out;
mod peers_relay;
mod peers_smarthost;
mod peers_words;
mod presented;
mod proxied;
mod reload;
mod replay;
mod reuse;
mod smuggling;
mod starttls;
mod tickets;
mod tunnel;
mod two_houses;
mod vectors;
mod verdicts;
mod whole;
mod words;
mod written;

#[path = "../peers/mod.rs"]
#[allow(dead_code, reason = "this suite needs only some of them, and their worlds")]
mod peers;
