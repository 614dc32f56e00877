//! The account record, and the SQLite store of accounts.
//!
//! Runs in the checker, which looks names up, and in the operator's tools, which change accounts. It trusts neither
//! the names it is asked for nor the files it reads: both end in an answer, a [`credentials::Trouble`] or an
//! [`Error`], never in a panic and never in "not found" when the database does not work. Values reach SQL as bound
//! parameters only. It must never print a password or a hash.

mod backend;
mod database;
mod error;
mod found;
mod generation;
pub mod query;
mod record;
mod restrictions;
mod row;
mod schema;
mod store;
#[cfg(test)]
mod testing;
mod time;

pub use backend::{Backend, Upgrade};
pub use error::{Error, Refusal};
pub use found::{Found, Own, SECONDS_BETWEEN_NOTES};
pub use record::{
    Account, AccountId, AccountName, Edit, Kind, NewAccount, SCRAM_HASHES, Secrets, StoredHash,
};
pub use restrictions::{Network, NetworkList, Restrictions, ServiceList};
pub use store::Store;
pub use time::UnixTime;
