//! Accounts in a sasldb: names and passwords, and nothing else.
//!
//! A sasldb holds passwords in the clear, for that is what libsasl2 reads there. The file keeps its format, owner and
//! mode, and is replaced as a whole.

use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use credentials::names::Preparation;
use credentials::sasldb::{self, Edit, Error, Format, Records};
use protocol::Name;

use crate::command_line::{Action, Details, Form, Who};
use crate::failure::Failure;
use crate::report::Holder;
use crate::secret::{Secret, Times};
use crate::{note, print, report};

/// The longest password that Cyrus's own programs store and read back.
const LONGEST: usize = 2048;

/// Does one thing to the sasldb at `path`.
pub(crate) fn run(path: &Path, action: Action) -> Result<(), Failure> {
    match action {
        Action::Add(who, secret, details, expires) => {
            bare(&details)?;
            if expires.is_some() {
                return Err(lacking("--expires", "keep this account in SQLite"));
            }
            add(path, &Id::new(&who)?, secret)
        }
        Action::Passwd(who, secret) => passwd(path, &Id::new(&who)?, secret),
        Action::List(realm, form) => list(path, realm.as_deref(), form),
        Action::Show(who, form) => show(path, &Id::new(&who)?, form),
        Action::Delete(who) => delete(path, &Id::new(&who)?),
        Action::Lock(_) => Err(lacking("user lock", LOCKED_OUT)),
        Action::Unlock(_) => Err(lacking("user unlock", LOCKED_OUT)),
        Action::Expire(..) => Err(lacking("user expire", "keep this account in SQLite")),
        Action::Senders(..) => Err(lacking("user senders", "keep this account in SQLite")),
        Action::Change(..) => Err(lacking("user change", "keep this account in SQLite")),
    }
}

const LOCKED_OUT: &str = "set a password that nobody knows (user passwd --sasldb --random NAME >/dev/null), or delete \
                          the account";

fn lacking(what: &str, next: &str) -> Failure {
    Failure::failed(format!("{what} needs what a sasldb cannot hold; {next}"))
}

fn bare(details: &Details) -> Result<(), Failure> {
    let Details { kind, services, networks } = details;
    let given = [
        (kind.is_some(), "--kind"),
        (services.is_some(), "--service"),
        (networks.is_some(), "--network"),
    ];
    match given.into_iter().find(|(given, _)| *given) {
        Some((_, option)) => Err(lacking(option, "keep this account in SQLite")),
        None => Ok(()),
    }
}

/// User and realm as the file has them: as they are written, or prepared as the daemon prepares a login.
struct Id {
    written: (Vec<u8>, Vec<u8>),
    prepared: (Vec<u8>, Vec<u8>),
}

impl Id {
    /// Without a realm it is the host's name, as Cyrus's programs and the daemon have it.
    fn new(who: &Who) -> Result<Self, Failure> {
        let realm = match &who.realm {
            Some(realm) => realm.clone().into_bytes(),
            None => nix::unistd::gethostname()
                .map_err(|error| Failure::failed(format!("cannot tell the host's name: {error}")))?
                .into_vec(),
        };
        let user = who.user.clone().into_bytes();
        if user.is_empty() {
            return Err(Failure::failed("the user cannot be used: it is empty"));
        }
        let prepared = (prepared(&user)?, prepared(&realm)?);
        Ok(Self { written: (user, realm), prepared })
    }

    /// Which of both spellings `records` know.
    fn in_file(&self, records: &Records) -> Option<(&[u8], &[u8])> {
        [&self.prepared, &self.written]
            .into_iter()
            .find(|(user, realm)| records.knows(user, realm))
            .map(|(user, realm)| (user.as_slice(), realm.as_slice()))
    }

    fn shown(&self) -> String {
        report::joined(&self.prepared.0, &self.prepared.1)
    }
}

fn prepared(text: &[u8]) -> Result<Vec<u8>, Failure> {
    let bad = |why: String| Failure::failed(format!("this name cannot be used: {why}"));
    let name = Name::new(text).map_err(|why| bad(why.to_string()))?;
    let name = Preparation::Precis.prepare(&name).map_err(|why| bad(why.to_string()))?;
    Ok(name.as_bytes().to_vec())
}

fn add(path: &Path, id: &Id, secret: Secret) -> Result<(), Failure> {
    let exists = || Failure::from(accounts::Refusal::Exists);
    // Before anybody types a password for nothing; what is found under the lock decides.
    match sasldb::read(path) {
        Ok(records) if id.in_file(&records).is_some() => return Err(exists()),
        Ok(_) | Err(Error::Missing(_) | Error::Empty(_)) => {}
        Err(error) => return Err(failure(path, error)),
    }
    let password = password(secret)?;
    let changed = sasldb::change(path, Format::berkeley(), |records| {
        if id.in_file(records).is_some() {
            return Edit::Leave(Err(exists()));
        }
        let (user, realm) = &id.prepared;
        stored(records.set_password(user, realm, &password))
    });
    changed.map_err(|error| failure(path, error))??;
    note(&format!("added {}", id.shown()));
    Ok(())
}

fn passwd(path: &Path, id: &Id, secret: Secret) -> Result<(), Failure> {
    known(&read(path)?, id)?;
    let password = password(secret)?;
    let changed = sasldb::change(path, Format::berkeley(), |records| {
        let Some((user, realm)) = id.in_file(records) else { return Edit::Leave(Err(nobody())) };
        stored(records.set_password(user, realm, &password))
    });
    changed.map_err(|error| failure(path, error))??;
    note(&format!("changed the password of {}", id.shown()));
    Ok(())
}

fn delete(path: &Path, id: &Id) -> Result<(), Failure> {
    // A file that is not there is not made by deleting from it.
    known(&read(path)?, id)?;
    let changed = sasldb::change(path, Format::berkeley(), |records| match id.in_file(records) {
        Some((user, realm)) if records.remove_user(user, realm) => Edit::Save(Ok(())),
        _ => Edit::Leave(Err(nobody())),
    });
    changed.map_err(|error| failure(path, error))??;
    note(&format!("deleted {}", id.shown()));
    Ok(())
}

fn stored(done: bool) -> Edit<Result<(), Failure>> {
    if done {
        Edit::Save(Ok(()))
    } else {
        Edit::Leave(Err(Failure::failed("this name cannot be used: it contains a NUL byte")))
    }
}

fn list(path: &Path, realm: Option<&str>, form: Form) -> Result<(), Failure> {
    let records = read(path)?;
    let mut holders = holders(&records);
    holders.retain(|holder| realm.is_none_or(|realm| holder.realm == realm.as_bytes()));
    match records.bad_keys() {
        0 => {}
        bad => note(&format!("{bad} keys skipped that are not user, realm, property")),
    }
    match form {
        Form::Json => print(&format!("{}\n", report::holders_json(&holders))),
        Form::Text => {
            if holders.is_empty() {
                note("no accounts");
            }
            print(&report::holders(&holders))
        }
    }
}

fn show(path: &Path, id: &Id, form: Form) -> Result<(), Failure> {
    let records = read(path)?;
    let (user, realm) = known(&records, id)?;
    let mut holders = holders(&records).into_iter();
    let holder = holders.find(|holder| holder.user == user && holder.realm == realm);
    let holder = holder.ok_or_else(nobody)?;
    match form {
        Form::Json => print(&format!("{}\n", report::holder_json(&holder))),
        Form::Text => print(&report::holder(&holder, records.format())),
    }
}

/// Everybody with a secret, by realm and user.
fn holders(records: &Records) -> Vec<Holder> {
    let mut keys: Vec<_> =
        records.iter().filter_map(sasldb::Record::key).filter(|key| key.is_secret()).collect();
    keys.sort_by_key(|key| (key.realm, key.user, key.property));
    let same = |one: &sasldb::Key<'_>, other: &sasldb::Key<'_>| {
        (one.realm, one.user) == (other.realm, other.user)
    };
    let holder = |keys: &[sasldb::Key<'_>]| {
        let first = keys.first()?;
        let secrets = keys.iter().map(|key| key.property.to_vec()).collect();
        Some(Holder { user: first.user.to_vec(), realm: first.realm.to_vec(), secrets })
    };
    keys.chunk_by(same).filter_map(holder).collect()
}

fn read(path: &Path) -> Result<Records, Failure> {
    sasldb::read(path).map_err(|error| failure(path, error))
}

fn known<'a>(records: &Records, id: &'a Id) -> Result<(&'a [u8], &'a [u8]), Failure> {
    id.in_file(records).ok_or_else(nobody)
}

fn nobody() -> Failure {
    accounts::Refusal::NoSuchAccount.into()
}

fn password(secret: Secret) -> Result<zeroize::Zeroizing<Vec<u8>>, Failure> {
    if secret == Secret::Hash {
        return Err(lacking("--hash-stdin", "it keeps passwords in the clear: set a password"));
    }
    let password = secret.password(Times::Twice, |made| print(&format!("{made}\n")))?;
    if password.reveal().len() > LONGEST {
        let line = format!("the password is longer than {LONGEST} bytes, which Cyrus cannot read");
        return Err(Failure::failed(line));
    }
    Ok(zeroize::Zeroizing::new(password.reveal().to_vec()))
}

fn failure(path: &Path, error: Error) -> Failure {
    match error {
        Error::Missing(_) => Failure::unavailable(format!(
            "{}: no such file; add an account first, or name another with --sasldb=PATH",
            path.display()
        )),
        Error::System(_, _, source) if source.kind() == std::io::ErrorKind::PermissionDenied => {
            Failure::of_file(path, &source, "")
        }
        Error::Changing(_) => Failure::temporary(error.to_string()),
        error => Failure::unavailable(error.to_string()),
    }
}
