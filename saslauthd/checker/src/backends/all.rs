//! What a backend says of all its accounts: whether a SCRAM mechanism serves each of them, and who they are.
//!
//! Runs in the checker. None of it decides about a login. A foreign table is never listed: its query asks for one name.

use accounts::{AccountName, UnixTime};
use credentials::{ScramHash, Trouble};
use protocol::Name;

use super::{Backend, Kind};

/// Where a list of names goes on.
pub(crate) enum Place {
    /// Behind this account of our own database.
    Account(Option<AccountName>),
    /// These are left of a file in memory.
    Left(std::vec::IntoIter<(Name, Name)>),
}

impl Backend {
    /// Whether passwords in the clear or keys can be had from it for SCRAM, of some accounts at least.
    pub(crate) fn may_have_keys(&self) -> bool {
        !matches!(self.kind, Kind::Shadow(_))
    }

    /// Whether it holds passwords in the clear by design.
    pub(crate) fn holds_passwords(&self) -> bool {
        matches!(self.kind, Kind::Sasldb { .. })
    }

    /// Whether some account that may log in with its password could not do so with this mechanism.
    ///
    /// # Errors
    /// Why it can't be asked now.
    pub(crate) fn lacks_keys(&mut self, hash: ScramHash, wall: u64) -> Result<bool, Trouble> {
        match &mut self.kind {
            Kind::Sqlite { accounts, .. } => accounts.lacks_keys(hash, time(wall)),
            Kind::Sasldb { file, .. } => file.lacks_keys(hash),
            // Nobody can look at all rows of a query, and a shadow file has hashes alone.
            Kind::Shadow(_) | Kind::Query { .. } => Ok(true),
        }
    }

    /// Where a list of its accounts begins; `None` where there is none.
    ///
    /// # Errors
    /// Why it can't be asked now.
    pub(crate) fn first(&mut self, wall: u64) -> Result<Option<Place>, Trouble> {
        let left = |names: Vec<(Name, Name)>| Ok(Some(Place::Left(names.into_iter())));
        match &mut self.kind {
            Kind::Sqlite { .. } => Ok(Some(Place::Account(None))),
            Kind::Sasldb { file, default_realm } => {
                let names = file.names()?.into_iter().filter_map(|(user, realm)| {
                    // A request without a realm is looked up in the default one.
                    let realm = if realm == default_realm.as_bytes() { Vec::new() } else { realm };
                    Some((Name::new(&user).ok()?, Name::new(&realm).ok()?))
                });
                left(names.collect())
            }
            Kind::Shadow(file) => {
                let days = i64::try_from(wall / 86_400).unwrap_or(i64::MAX);
                let names = file.names(days)?.into_iter();
                left(
                    names
                        .filter_map(|user| Some((Name::new(&user).ok()?, Name::default())))
                        .collect(),
                )
            }
            Kind::Query { .. } => Ok(None),
        }
    }

    /// The next names, at most `most`, and the place is moved behind them; none is the end.
    ///
    /// # Errors
    /// Why it can't be asked now.
    pub(crate) fn more(
        &mut self,
        place: &mut Place,
        most: usize,
        wall: u64,
    ) -> Result<Vec<(Name, Name)>, Trouble> {
        match (&mut self.kind, place) {
            (Kind::Sqlite { accounts, .. }, Place::Account(after)) => {
                let found = accounts.names(after.as_ref(), most, time(wall))?;
                let name = |name: &AccountName| {
                    let user = Name::new(name.user().as_bytes()).ok()?;
                    Some((user, Name::new(name.realm().as_bytes()).ok()?))
                };
                let names = found.iter().filter_map(name).collect();
                if let Some(last) = found.into_iter().next_back() {
                    *after = Some(last);
                }
                Ok(names)
            }
            (_, Place::Left(names)) => Ok(names.take(most).collect()),
            _ => Ok(Vec::new()),
        }
    }
}

fn time(wall: u64) -> UnixTime {
    UnixTime(i64::try_from(wall).unwrap_or(i64::MAX))
}
