//! Accounts in SQLite, by the store of the accounts crate.
//!
//! Names are prepared as the daemon prepares those of a login, so that an account can be found again. A file that root
//! makes or changes goes on belonging to whom it belonged, or to the owner of its directory.

use std::io;
use std::path::Path;

use accounts::{
    Account, AccountName, Edit, Kind, NewAccount, Restrictions, Secrets, Store, StoredHash,
};
use credentials::names::Preparation;
use credentials::{
    Argon2Settings, Policy, Reason, ScramHash, ScramKeys, Scratch, Trouble, Verifier, new_hash,
};
use protocol::{Name, Password};

use crate::command_line::{Action, Details, Form, Who};
use crate::failure::Failure;
use crate::secret::{self, Secret, Times};
use crate::{moment, note, print, report};

/// Does one thing to the database at `path`.
pub(crate) fn run(path: &Path, action: Action) -> Result<(), Failure> {
    let mut accounts = Accounts::open(path, &action)?;
    match action {
        Action::Add(who, secret, details, expires) => accounts.add(&who, secret, details, expires),
        Action::Passwd(who, secret) => accounts.passwd(&who, secret),
        Action::List(realm, form) => accounts.list(realm.as_deref(), form),
        Action::Show(who, form) => {
            let account = accounts.store.show(&name(&who)?)?;
            match form {
                Form::Text => print(&report::account(&account, moment::now())),
                Form::Json => print(&format!("{}\n", report::account_json(&account))),
            }
        }
        Action::Lock(who) => accounts.edit(&who, Edit::Lock, "locked"),
        Action::Unlock(who) => accounts.edit(&who, Edit::Unlock, "unlocked"),
        Action::Expire(who, end) => {
            let said = match end {
                Some(end) => format!("from {} on no login is accepted:", moment::shown(end)),
                None => "no longer expires:".into(),
            };
            accounts.edit(&who, Edit::Expire(end), &said)
        }
        Action::Senders(who, None) => {
            let account = accounts.store.show(&name(&who)?)?;
            print(&format!("{}\n", report::senders(&account.senders)))
        }
        Action::Senders(who, Some(senders)) => {
            let said = format!("sends as {}:", report::senders(&senders));
            accounts.edit(&who, Edit::Senders(senders), &said)
        }
        Action::Change(who, details) => accounts.change(&who, details),
        Action::Delete(who) => {
            let name = name(&who)?;
            accounts.store.delete(&name)?;
            note(&format!("deleted {}", report::name(&name)));
            Ok(())
        }
    }
}

struct Accounts {
    store: Store,
}

impl Accounts {
    /// Only an account that is added makes a database; anything else would hide a mistyped path.
    fn open(path: &Path, action: &Action) -> Result<Self, Failure> {
        let found = std::fs::OpenOptions::new().read(true).write(true).open(path);
        match found.map_err(|error| (error.kind(), error)) {
            Ok(_) => {}
            Err((io::ErrorKind::NotFound, _)) if matches!(action, Action::Add(..)) => {
                check_directory(path)?;
            }
            Err((_, error)) => {
                let next = "add an account first, or name another with --database";
                return Err(Failure::of_file(path, &error, next));
            }
        }
        Ok(Self { store: Store::open(path)? })
    }

    fn add(
        &mut self,
        who: &Who,
        secret: Secret,
        details: Details,
        expires: Option<accounts::UnixTime>,
    ) -> Result<(), Failure> {
        let name = name(who)?;
        // Before anybody types a password for nothing; the insert itself decides.
        if self.store.show(&name).is_ok() {
            return Err(accounts::Refusal::Exists.into());
        }
        let new = NewAccount {
            kind: details.kind.unwrap_or(Kind::Person),
            secrets: secrets(secret)?,
            expires,
            restrictions: Restrictions {
                services: details.services.unwrap_or_default(),
                networks: details.networks.unwrap_or_default(),
            },
            name,
        };
        self.store.add(&new, moment::now())?;
        note(&format!("added {}", report::name(&new.name)));
        Ok(())
    }

    fn passwd(&mut self, who: &Who, secret: Secret) -> Result<(), Failure> {
        let name = name(who)?;
        self.store.show(&name)?;
        let secrets = secrets(secret)?;
        self.store.edit(&name, &Edit::Secrets(secrets), moment::now())?;
        note(&format!("changed the password of {}", report::name(&name)));
        Ok(())
    }

    fn list(&self, realm: Option<&str>, form: Form) -> Result<(), Failure> {
        let accounts = self.store.list(realm)?;
        match form {
            Form::Json => print(&format!("{}\n", report::accounts_json(&accounts))),
            Form::Text => {
                if accounts.is_empty() {
                    note("no accounts");
                }
                print(&report::accounts(&accounts, moment::now()))
            }
        }
    }

    fn change(&mut self, who: &Who, details: Details) -> Result<(), Failure> {
        let Details { kind, services, networks } = details;
        if kind.is_none() && services.is_none() && networks.is_none() {
            return Err(Failure::usage("user change needs --kind, --service or --network"));
        }
        let name = name(who)?;
        let Account { restrictions: before, .. } = self.store.show(&name)?;
        if services.is_some() || networks.is_some() {
            let restrictions = Restrictions {
                services: services.unwrap_or(before.services),
                networks: networks.unwrap_or(before.networks),
            };
            self.store.edit(&name, &Edit::Restrict(restrictions), moment::now())?;
        }
        if let Some(kind) = kind {
            self.store.edit(&name, &Edit::Kind(kind), moment::now())?;
        }
        note(&format!("changed {}", report::name(&name)));
        Ok(())
    }

    fn edit(&mut self, who: &Who, edit: Edit, said: &str) -> Result<(), Failure> {
        let name = name(who)?;
        self.store.edit(&name, &edit, moment::now())?;
        note(&format!("{said} {}", report::name(&name)));
        Ok(())
    }
}

/// Tells a missing directory from one that this user may not write to.
fn check_directory(path: &Path) -> Result<(), Failure> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let next = "start saslauthd once, which makes its own, or make it with mode 0700";
    let writable = nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK;
    nix::unistd::access(directory, writable)
        .map_err(|error| Failure::of_file(directory, &error.into(), next))
}

/// The name as a login of it comes out of the daemon's preparation.
fn name(who: &Who) -> Result<AccountName, Failure> {
    let user = prepared(&who.user)?;
    let realm = prepared(who.realm.as_deref().unwrap_or_default())?;
    Ok(AccountName::new(&user, &realm)?)
}

fn prepared(text: &str) -> Result<String, Failure> {
    let bad = |why: String| Failure::failed(format!("this name cannot be used: {why}"));
    let name = Name::new(text.as_bytes()).map_err(|why| bad(why.to_string()))?;
    let name = Preparation::Precis.prepare(&name).map_err(|why| bad(why.to_string()))?;
    String::from_utf8(name.as_bytes().to_vec()).map_err(|why| bad(why.to_string()))
}

/// A hash of the new password with the keys for SCRAM, or the hash that was handed over.
fn secrets(secret: Secret) -> Result<Secrets, Failure> {
    if secret == Secret::Hash {
        let text = secret::hash()?;
        Verifier::parse(text.as_bytes(), &Policy::default()).map_err(unfit)?;
        return Ok(Secrets::of(StoredHash::new(&text)?));
    }
    let password = secret.password(Times::Twice, |made| print(&format!("{made}\n")))?;
    hashed(&password)
}

fn hashed(password: &Password) -> Result<Secrets, Failure> {
    let trouble = |trouble: Trouble| Failure::failed(format!("cannot hash: {trouble}"));
    let hash =
        new_hash(password, &Argon2Settings::default(), &mut Scratch::new()).map_err(trouble)?;
    let keys = |hash| ScramKeys::new(hash, password).map_err(trouble);
    // Who offers SCRAM-SHA-1 has the daemon derive its keys, at the next login.
    let secrets = Secrets::of(StoredHash::new(&hash)?)
        .with_scram(keys(ScramHash::Sha256)?)?
        .with_scram(keys(ScramHash::Sha512)?)?;
    Ok(secrets)
}

fn unfit(reason: Reason) -> Failure {
    Failure::failed(match reason {
        Reason::Locked => "this hash is locked; import it without the ! or * and lock the account",
        Reason::SchemeNotAllowed => {
            "the scheme of this hash is unknown or too weak; set a password instead"
        }
        Reason::TooExpensive => "this hash asks for more time or memory than a login may take",
        Reason::NoPassword => "this hash is empty",
        _ => "this is no whole hash of its scheme; see that all of it was handed over",
    })
}
