//! What the tests of this crate share: databases in directories of their own, cheap hashes, and hostile names.

use std::path::{Path, PathBuf};

use credentials::policy::Policy;
use credentials::scratch::Scratch;
use credentials::stand_in::Shape;
use credentials::{Entry, Lookup, Reason, Verdict};
use protocol::Password;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::{AccountName, Backend, Found, Kind, NewAccount, Secrets, Store, StoredHash, UnixTime};

pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);

/// The strings that break programs which paste names into SQL, and some that break those which expand templates.
pub(crate) const HOSTILE: &[&[u8]] = &[
    b"' OR 1=1 --",
    b"\\'",
    b"\"",
    b";",
    b"'; DROP TABLE account; --",
    b"%27",
    b"\xbf'",
    b"\xbf\x27 OR 1=1 --",
    b"$$",
    b"/* */",
    b"*/ OR 1 /*",
    b"x'/**/UNION/**/SELECT/**/X'41'--",
    b"' UNION SELECT '{PLAIN}x' --",
    b"vic\0root",
    b"\0",
    b"%u",
    b"%r",
    b"%%",
    b"%{env:X}",
    b"${run{x}}",
    b"%0999999999d",
    b"?1",
    b":user",
    b"vic%",
    b"vi_",
    b"VIC",
    b"vic ",
    b" vic",
    b"vic\n",
    b"\xff\xfe",
    b"\xc0\xa7",
    b"",
    &[b'x'; 65_536],
];

pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) path: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accounts.db");
        Self { directory, path }
    }

    /// A store with `vic` of realm `example.org`, whose password is `secret`.
    pub(crate) fn with_vic() -> Self {
        let place = Self::new();
        place.store().add(&account("vic", "example.org", "secret"), NOW).unwrap();
        place
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.path).unwrap()
    }

    pub(crate) fn backend(&self) -> Backend {
        Backend::new(&self.path, Policy::default(), Shape::plain())
    }

    /// The way another program would open it.
    pub(crate) fn other_program(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }
}

pub(crate) fn name(user: &str, realm: &str) -> AccountName {
    AccountName::new(user, realm).unwrap()
}

pub(crate) fn account(user: &str, realm: &str, password: &str) -> NewAccount {
    NewAccount {
        name: name(user, realm),
        kind: Kind::Person,
        secrets: Secrets::of(hash(password)),
        expires: None,
        restrictions: crate::Restrictions::default(),
    }
}

/// One salted SHA-256: known to the verifier, and so cheap that a test can compare thousands.
pub(crate) fn hash(password: &str) -> StoredHash {
    StoredHash::new(&ssha256(password)).unwrap()
}

pub(crate) fn ssha256(password: &str) -> String {
    use sha2::{Digest, Sha256};
    let mut bytes = Sha256::digest([password.as_bytes(), b"salt"].concat()).to_vec();
    bytes.extend_from_slice(b"salt");
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{{SSHA256.HEX}}{digits}")
}

pub(crate) fn verdict(entry: &Entry, password: &str) -> Verdict {
    let password = Password::new(password.as_bytes()).unwrap();
    match entry.verifier.compare(&password, &mut Scratch::new()) {
        Verdict::Accept(proof) => {
            entry.standing.map_or_else(Verdict::Refuse, |()| Verdict::Accept(proof))
        }
        other => other,
    }
}

pub(crate) fn accepts(found: &Found, password: &str) -> bool {
    matches!(verdict(&found.entry, password), Verdict::Accept(_))
}

pub(crate) fn found(lookup: Lookup<Found>) -> Found {
    match lookup {
        Lookup::Found(found) => found,
        Lookup::NotFound => panic!("not found"),
        Lookup::Unavailable(trouble) => panic!("unavailable: {trouble}"),
    }
}

pub(crate) fn unavailable(lookup: Lookup<Found>) -> String {
    match lookup {
        Lookup::Unavailable(trouble) => trouble.to_string(),
        Lookup::NotFound => panic!("not found"),
        Lookup::Found(_) => panic!("found"),
    }
}

pub(crate) fn is_not_found(lookup: Lookup<Found>) -> bool {
    matches!(lookup, Lookup::NotFound)
}

/// Nobody logs in with it, and `reason` is why.
pub(crate) fn is_unusable(found: &Found, reason: Reason) -> bool {
    found.entry.verifier.is_stand_in() && found.entry.standing == Err(reason)
}

/// Everything in a database, as text.
pub(crate) fn dump(path: &Path) -> String {
    let connection = Connection::open(path).unwrap();
    let mut tables = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .unwrap();
    let tables: Vec<String> =
        tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut text = String::new();
    for table in tables {
        let mut all = connection.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let columns = all.column_count();
        let mut rows = all.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                text.push_str(&format!("{table}.{column}={:?};", row.get_ref(column).unwrap()));
            }
        }
    }
    text
}
