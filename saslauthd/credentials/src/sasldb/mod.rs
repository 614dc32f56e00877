//! The sasldb file: Berkeley DB hash, GDBM and LMDB, told apart by their own magic.
//!
//! The checker looks names up with [`Database`]; the operator's tools read all of a file with [`read`] and alter
//! it with [`change`]. Nothing in a file is trusted: it is loaded whole, every offset, count, chain and key is checked, and
//! what does not add up is an [`Error`], never a panic and never half an answer. Nothing here talks to a
//! database library, and nothing here writes into a file in place.

mod berkeley;
mod change;
mod database;
mod error;
mod fields;
mod file;
mod gdbm;
mod lmdb;
mod records;

use std::path::Path;

pub use change::{Edit, change};
pub use database::Database;
pub use error::Error;
pub use records::{Format, Key, Record, Records};

/// Where Cyrus's programs look when they are told nothing else.
pub const DEFAULT_PATH: &str = "/etc/sasldb2";

/// Property that holds the password itself.
pub const USER_PASSWORD: &[u8] = b"userPassword";
/// Property that holds a SCRAM secret, as `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`.
pub const AUTH_PASSWORD: &[u8] = b"authPassword";
/// Property that SASL version 1 left behind: 16 bytes of salt, NUL, MD5 of salt, `sasldb` and password.
pub const PLAIN_SECRET: &[u8] = b"cmusaslsecretPLAIN";
/// How the properties of all mechanisms' own secrets begin.
pub const MECHANISM_SECRET: &[u8] = b"cmusaslsecret";

/// Reads a whole sasldb, whatever its format.
///
/// A file that changes while it is read is read again, a few times; a file of no bytes is [`Error::Empty`].
pub fn read(path: &Path) -> Result<Records, Error> {
    file::read_settled(path).map(|(records, _)| records)
}

/// Takes apart the bytes of a whole file; `path` is what an error calls it.
pub fn decode(bytes: &[u8], path: &Path) -> Result<Records, Error> {
    records(bytes).map_err(|fault| fault.at(path))
}

/// Tells the format by its magic and takes the file apart.
fn records(bytes: &[u8]) -> Result<Records, error::Fault> {
    if berkeley::is_magic(bytes) {
        berkeley::read::records(bytes)
    } else if gdbm::is_magic(bytes) {
        gdbm::read::records(bytes)
    } else if lmdb::is_magic(bytes) {
        lmdb::read::records(bytes)
    } else {
        Err(error::Fault::Unknown)
    }
}

#[cfg(test)]
mod tests;
