//! SMTP with no I/O, seen from both sides: bytes in, typed commands and replies out, and the other way round.
//!
//! Runs in the mta: the receiver (server side) and the sender (client side); probes of the tests use it too. It trusts
//! nothing, since each byte may come from an attacker, and knows no policy: who may relay is asked elsewhere. It must
//! never take one message for two, let a line break into a line, or print a secret. Nothing is allocated from a length
//! that a peer states.
//!
//! A server reads into a [`line::Splitter`], takes a line, asks [`session::Session::judge`] with its
//! [`command::verb`], and only then parses it ([`command::Command::parse`]); it asks its policy, answers with a
//! [`reply::Reply`], and tells [`session::Session::done`] what came of it. After DATA and BDAT it feeds what the splitter
//! holds to a [`data::Decoder`] or [`bdat::Collector`]. After STARTTLS, anything that the splitter still holds ends the
//! connection. A client reads replies from a [`reply::Reader`], what the server can do from
//! [`extensions::Extensions::read`], and writes the message through a [`data::Encoder`].

pub mod address;
pub mod bdat;
pub mod command;
pub mod data;
pub mod extensions;
pub mod header;
pub mod line;
pub mod proxy;
pub mod reply;
pub mod sasl;
pub mod session;
pub mod xtext;
