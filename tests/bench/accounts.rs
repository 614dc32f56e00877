//! The accounts that are logged in: a thousand in sasldb, eight in shadow.

use std::path::Path;

use harness::{Account, Sandbox, sandbox};

use crate::load::Login;

/// What the password check costs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// Plain text in a Berkeley DB of a thousand users.
    Sasldb,
    /// sha512crypt with 5000 rounds.
    Sha512,
    /// yescrypt as Debian makes it.
    Yescrypt,
}

impl Store {
    pub(crate) const ALL: [Self; 3] = [Self::Sasldb, Self::Sha512, Self::Yescrypt];

    /// The name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sasldb => "sasldb",
            Self::Sha512 => "shadow sha512crypt",
            Self::Yescrypt => "shadow yescrypt",
        }
    }

    /// The name after `-a`.
    pub(crate) fn mechanism(self) -> &'static str {
        match self {
            Self::Sasldb => "sasldb",
            Self::Sha512 | Self::Yescrypt => "shadow",
        }
    }

    fn setting(self, number: usize) -> String {
        match self {
            Self::Yescrypt => format!("$y$j9T$F5Jx5fExrKuPp53xLKQ.{number}/"),
            _ => format!("$6$saltsalt{number}$"),
        }
    }

    /// Right logins for its accounts.
    pub(crate) fn logins(self) -> Vec<Login> {
        let count = if self == Self::Sasldb { 200 } else { SHADOW_USERS };
        (0..count).map(|n| Login::mux(&user(n), &password(n), "", b"OK")).collect()
    }

    /// A sandbox with its accounts.
    pub(crate) fn sandbox(self) -> Sandbox {
        let accounts: Vec<Account> = match self {
            Self::Sasldb => Vec::new(),
            _ => (0..SHADOW_USERS).map(|n| self.account(n)).collect(),
        };
        let sandbox = Sandbox::with(&accounts).expect("a sandbox");
        if self == Self::Sasldb {
            fill(&sandbox);
        }
        sandbox
    }

    fn account(self, number: usize) -> Account {
        let hash = harness::accounts::crypt(&password(number), &self.setting(number));
        Account::with(&user(number), &hash.expect("crypt works"))
    }
}

const SHADOW_USERS: usize = 8;
const SASLDB_USERS: usize = 1000;

/// Loads the thousand users into the sandbox's sasldb.
fn fill(sandbox: &Sandbox) {
    let records: Vec<(Vec<u8>, Vec<u8>)> = (0..SASLDB_USERS)
        .map(|n| {
            let key = format!("{}\0{}\0userPassword", user(n), sandbox::HOSTNAME);
            (key.into_bytes(), password(n).into_bytes())
        })
        .collect();
    let records: Vec<(&[u8], &[u8])> =
        records.iter().map(|(key, value)| (key.as_slice(), value.as_slice())).collect();
    let path = sandbox.outside(Path::new("/etc/sasldb2"));
    harness::sasldb::load(&path, &records).expect("db5.3_load fills the sasldb");
}

/// The name of an account.
pub(crate) fn user(number: usize) -> String {
    format!("user{number}")
}

/// Its password.
pub(crate) fn password(number: usize) -> String {
    format!("right-password-{number}")
}
