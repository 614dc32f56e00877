//! Reads the result of a configured query: which columns it has, and what a row says.
//!
//! Runs in the checker. The table belongs to another program: a value of an unforeseen type is a fault, since taking
//! it for "not disabled" or "no limit" would let somebody in.

use std::path::Path;

use credentials::{Generation, Reason, Trouble};
use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement};

use crate::database::Fault;
use crate::found::{Found, Judge};
use crate::generation::RowDigest;
use crate::restrictions::Restrictions;
use crate::row::{networks, services, standing};
use crate::time::UnixTime;

/// Where the columns stand; the password is the first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    count: usize,
    disabled: Option<usize>,
    expires: Option<usize>,
    services: Option<usize>,
    networks: Option<usize>,
}

impl Columns {
    /// Finds the optional columns by their names. Any other name is an error: a slip in `disabled` must not open
    /// closed accounts.
    pub(super) fn of(statement: &Statement<'_>) -> Result<Self, Fault> {
        let mut columns = Self { count: statement.column_count(), ..Self::default() };
        for at in 1..columns.count {
            let name = statement.column_name(at)?;
            let place = match name.to_ascii_lowercase().as_str() {
                "disabled" => &mut columns.disabled,
                "expires" => &mut columns.expires,
                "services" => &mut columns.services,
                "networks" => &mut columns.networks,
                _ => {
                    return Err(Fault::Said(format!(
                        "the query's column {} is called {name:?}; after the password there may be \
                         disabled, expires, services and networks",
                        at + 1
                    )));
                }
            };
            if place.replace(at).is_some() {
                return Err(Fault::Said(format!("the query has two columns called {name:?}")));
            }
        }
        Ok(columns)
    }
}

/// What one row says. The stored password is copied, because asking for a second row moves on from the first.
pub(super) struct Answer {
    password: Option<zeroize::Zeroizing<Vec<u8>>>,
    disabled: bool,
    expires: Option<UnixTime>,
    restrictions: Restrictions,
    generation: Generation,
}

impl Answer {
    pub(super) fn of(row: &Row<'_>, columns: &Columns) -> Result<Self, Fault> {
        let mut digest = RowDigest::new(b"query");
        for at in 0..columns.count {
            digest.value(row.get_ref(at)?);
        }
        let at = |place: Option<usize>| match place {
            Some(at) => row.get_ref(at),
            None => Ok(ValueRef::Null),
        };
        Ok(Self {
            password: text(row.get_ref(0)?, "with the password")?
                .map(|text| zeroize::Zeroizing::new(text.as_bytes().to_vec())),
            disabled: switch(at(columns.disabled)?)?,
            expires: moment(at(columns.expires)?)?,
            restrictions: Restrictions {
                services: services(text(at(columns.services)?, "services")?)?,
                networks: networks(text(at(columns.networks)?, "networks")?)?,
            },
            generation: digest.finish(),
        })
    }

    pub(super) fn found(&self, judge: &Judge, now: UnixTime) -> Found {
        let standing = standing(self.disabled, self.expires, now);
        let stored = self.password.as_ref().map(|bytes| bytes.as_slice());
        Found {
            entry: judge.entry(stored, standing, self.generation),
            restrictions: self.restrictions.clone(),
            own: None,
            keys: None,
            complaint: None,
        }
    }

    /// In the place of the first of several rows. Which of them comes first is an accident, so none counts.
    pub(super) fn ambiguous(&self, judge: &Judge, path: &Path) -> Found {
        Found {
            entry: judge.unusable(Err(Reason::Ambiguous), self.generation),
            restrictions: Restrictions::default(),
            own: None,
            keys: None,
            complaint: Some(Trouble::new(format!(
                "{}: the query finds more than one row for a name, which nobody can log in with; \
                 make the name unique or the query narrower",
                path.display()
            ))),
        }
    }
}

fn text<'row>(value: ValueRef<'row>, column: &str) -> Result<Option<&'row str>, Fault> {
    match value {
        ValueRef::Null => Ok(None),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Fault::Said(format!("the query's column {column} is not UTF-8"))),
        other => Err(wrong_type(column, "text", other)),
    }
}

fn switch(value: ValueRef<'_>) -> Result<bool, Fault> {
    let unknown =
        || Fault::Said("the query's column disabled holds neither 0 or no nor 1 or yes".into());
    match value {
        ValueRef::Null | ValueRef::Integer(0) => Ok(false),
        ValueRef::Integer(_) => Ok(true),
        ValueRef::Text(bytes) => match bytes.to_ascii_lowercase().as_slice() {
            b"" | b"0" | b"n" | b"no" | b"f" | b"false" => Ok(false),
            b"1" | b"y" | b"yes" | b"t" | b"true" => Ok(true),
            _ => Err(unknown()),
        },
        ValueRef::Real(_) | ValueRef::Blob(_) => Err(unknown()),
    }
}

fn moment(value: ValueRef<'_>) -> Result<Option<UnixTime>, Fault> {
    match value {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(seconds) => Ok(Some(UnixTime(seconds))),
        other => Err(wrong_type("expires", "an integer (see unixepoch() in SQL)", other)),
    }
}

fn wrong_type(column: &str, wanted: &str, value: ValueRef<'_>) -> Fault {
    let kind = value.data_type();
    Fault::Said(format!("the query's column {column} must be {wanted} or NULL, and is {kind}"))
}
