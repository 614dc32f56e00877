//! Where the daemons' accounts are, and how they come to harm.
//!
//! Runs in the test process, on files of the namespace. Accounts are made by Debian's own programs, except those
//! of the SQLite store, which only this project has.

use harness::Subject;
use harness::accounts::quick_hash;

use crate::peers::namespace::Namespace;
use crate::peers::{ALICE, ALICE_IN_REALM, Account, Failure, LOCKED, Result, SHADOW, SQLITE, UTF8};

/// A place of accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// The only one that Debian's daemon is asked about.
    Sasldb,
    /// The system's own accounts.
    Shadow,
    /// This project's own.
    Sqlite,
}

impl Store {
    fn path(self) -> &'static str {
        match self {
            Self::Sasldb => "/etc/sasldb2",
            Self::Shadow => "/etc/shadow",
            Self::Sqlite => "/var/lib/saslauthd/accounts/accounts.sqlite",
        }
    }

    /// Takes the file away; in the place of a database come bytes that are none, as a full disk or a bad copy leaves
    /// them. What SQLite keeps beside its file goes too, for it may hold every account.
    pub(crate) fn damage(self, world: &Namespace) -> Result<()> {
        let path = self.path();
        world.shell(&format!(
            "for file in {path} {path}-wal {path}-shm; do
                 if [ -e $file ]; then mv $file $file.good; fi
             done"
        ))?;
        if self == Self::Shadow {
            return Ok(());
        }
        world
            .shell(&format!(
                "printf 'no database at all' >{path}.new
                 chown --reference={path}.good {path}.new
                 chmod --reference={path}.good {path}.new
                 mv {path}.new {path}"
            ))
            .map(drop)
    }

    /// Puts it back.
    pub(crate) fn mend(self, world: &Namespace) -> Result<()> {
        let path = self.path();
        world.shell(&format!(
            "rm -f {path}-wal {path}-shm
                 for file in {path}-wal {path}-shm {path}; do
                     if [ -e $file.good ]; then mv $file.good $file; fi
                 done"
        ))?;
        Ok(())
    }
}

/// Makes the accounts that are there before any daemon is.
pub(crate) fn make(world: &Namespace) -> Result<()> {
    let (alice, other) = (ALICE.password, ALICE_IN_REALM.password);
    let (utf8, greeting) = (UTF8.login, UTF8.password);
    let hash = quick_hash(SHADOW.password)?;
    world.shell(&format!(
        "printf '%s' '{alice}' | saslpasswd2 -p -c alice
         printf '%s' '{other}' | saslpasswd2 -p -c -u example.org alice
         printf '%s' '{greeting}' | saslpasswd2 -p -c '{utf8}'
         chgrp sasl /etc/sasldb2
         chmod 640 /etc/sasldb2
         echo 'alice:x:1001:1001::/nonexistent:/bin/sh' >>/etc/passwd
         echo 'alice:{hash}:20000:0:99999:7:::' >>/etc/shadow"
    ))?;
    Ok(())
}

/// Makes the accounts of the SQLite store, which the daemon lays out at its first start.
pub(crate) fn make_sqlite(world: &Namespace) -> Result<()> {
    let program = Subject::Ours.program("mailauth");
    if !program.exists() {
        let program = program.display();
        return Err(Failure::Missing(format!("{program}: run cargo build --workspace first")));
    }
    let program = program.display();
    let mut script = String::new();
    for Account { login, password } in [SQLITE, LOCKED] {
        script.push_str(&format!(
            "printf '%s' '{password}' | {program} user add --password-stdin {login}\n"
        ));
    }
    world.shell(&format!("{script}{program} user lock {}", LOCKED.login)).map(drop)
}
