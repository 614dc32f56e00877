//! What an operator changes, and who may read the files afterwards.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use credentials::scram::{ScramHash, ScramKeys};
use protocol::Password;

use super::*;
use crate::Kind;
use crate::testing::*;

fn vic() -> AccountName {
    name("vic", "example.org")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_is_added_is_shown_and_listed() {
    let place = Place::new();
    let mut store = place.store();
    let new = NewAccount {
        kind: Kind::Machine,
        expires: Some(UnixTime(5)),
        restrictions: Restrictions {
            services: "smtp imap".parse().unwrap(),
            networks: "192.0.2.0/24 2001:db8::/32".parse().unwrap(),
        },
        ..account("vic", "example.org", "secret")
    };
    let id = store.add(&new, NOW).unwrap();
    store.add(&account("ann", "example.net", "x"), NOW).unwrap();
    store.add(&account("zoe", "example.org", "x"), NOW).unwrap();
    let shown = place.store().show(&vic()).unwrap();
    assert_eq!((shown.id, &shown.name, shown.kind), (id, &vic(), Kind::Machine));
    assert_eq!((shown.disabled, shown.expires), (false, Some(UnixTime(5))));
    assert_eq!(shown.restrictions, new.restrictions);
    assert_eq!((shown.created, shown.changed, shown.last_used), (NOW, NOW, None));
    assert_eq!(shown.secrets.password().unwrap().reveal(), ssha256("secret"));
    let users = |realm: Option<&str>| -> Vec<String> {
        let list = store.list(realm).unwrap();
        list.iter().map(|account| account.name.user().to_owned()).collect()
    };
    assert_eq!(users(None), ["ann", "vic", "zoe"]);
    assert_eq!(users(Some("example.org")), ["vic", "zoe"]);
    assert_eq!(users(Some("")), Vec::<String>::new());
}

#[test]
fn a_taken_name_and_an_unknown_one_are_told() {
    let place = Place::with_vic();
    let mut store = place.store();
    let again = store.add(&account("vic", "example.org", "x"), NOW);
    assert_eq!(again, Err(Refusal::Exists.into()));
    assert!(store.add(&account("vic", "", "x"), NOW).is_ok());
    let nobody = name("nobody", "");
    assert_eq!(store.edit(&nobody, &Edit::Lock, NOW), Err(Refusal::NoSuchAccount.into()));
    let secrets = Edit::Secrets(Secrets::default());
    assert_eq!(store.edit(&nobody, &secrets, NOW), Err(Refusal::NoSuchAccount.into()));
    assert_eq!(store.delete(&nobody), Err(Refusal::NoSuchAccount.into()));
    assert_eq!(store.show(&nobody).err(), Some(Refusal::NoSuchAccount.into()));
}

#[test]
fn each_edit_changes_its_part_and_the_time() {
    let place = Place::with_vic();
    let mut store = place.store();
    let mut later = NOW;
    let mut edit = |edit: &Edit| {
        later = UnixTime(later.0 + 1);
        store.edit(&vic(), edit, later).unwrap();
        let shown = store.show(&vic()).unwrap();
        assert_eq!((shown.created, shown.changed), (NOW, later));
        shown
    };
    assert!(edit(&Edit::Lock).disabled);
    assert!(!edit(&Edit::Unlock).disabled);
    assert_eq!(edit(&Edit::Expire(Some(UnixTime(7)))).expires, Some(UnixTime(7)));
    assert_eq!(edit(&Edit::Expire(None)).expires, None);
    assert_eq!(edit(&Edit::Kind(Kind::Machine)).kind, Kind::Machine);
    let limits = Restrictions { services: "smtp".parse().unwrap(), ..Restrictions::default() };
    assert_eq!(edit(&Edit::Restrict(limits.clone())).restrictions, limits);
    let nothing: Restrictions =
        Restrictions { services: "".parse().unwrap(), networks: "".parse().unwrap() };
    assert_eq!(edit(&Edit::Restrict(nothing.clone())).restrictions, nothing);
    assert_eq!(
        edit(&Edit::Restrict(Restrictions::default())).restrictions,
        Restrictions::default()
    );
    let last = edit(&Edit::Secrets(Secrets::of(hash("new"))));
    assert_eq!(last.secrets.password().unwrap().reveal(), ssha256("new"));
}

#[test]
fn new_secrets_replace_all_old_ones() {
    let place = Place::with_vic();
    let mut store = place.store();
    let keys = |hash| {
        let password = Password::new(b"secret").ok().unwrap();
        ScramKeys::derive(hash, &password, b"salt and salt", 4096)
    };
    let all = Secrets::of(hash("secret"))
        .with_scram(keys(ScramHash::Sha1))
        .and_then(|secrets| secrets.with_scram(keys(ScramHash::Sha256)))
        .and_then(|secrets| secrets.with_scram(keys(ScramHash::Sha512)))
        .unwrap();
    store.edit(&vic(), &Edit::Secrets(all), NOW).unwrap();
    let shown = store.show(&vic()).unwrap().secrets;
    assert_eq!(
        shown.scram(ScramHash::Sha1).unwrap().stored_key(),
        keys(ScramHash::Sha1).stored_key()
    );
    assert_eq!(
        shown.scram(ScramHash::Sha256).unwrap().server_key(),
        keys(ScramHash::Sha256).server_key()
    );
    let longest = shown.scram(ScramHash::Sha512).unwrap();
    assert_eq!(longest.stored_key(), keys(ScramHash::Sha512).stored_key());
    store.edit(&vic(), &Edit::Secrets(Secrets::of(hash("new"))), NOW).unwrap();
    let shown = store.show(&vic()).unwrap().secrets;
    assert!(crate::SCRAM_HASHES.into_iter().all(|hash| shown.scram(hash).is_none()));
    let foreign = Secrets::default().with_scram(keys(ScramHash::Sha384));
    assert_eq!(foreign.err(), Some(Refusal::NoSuchMechanism("SCRAM-SHA-384")));
}

#[test]
fn names_and_hashes_that_cannot_be_are_refused() {
    for user in ["", "a\0b", "a\nb", " a", "a ", "a\u{85}b", &"x".repeat(1025)] {
        assert!(matches!(AccountName::new(user, ""), Err(Refusal::InvalidUser(_))), "{user:?}");
    }
    for realm in ["a\0b", "a\rb", " a", "a@b", &"x".repeat(1025)] {
        assert!(matches!(AccountName::new("a", realm), Err(Refusal::InvalidRealm(_))), "{realm:?}");
    }
    assert!(AccountName::new("a@b", "c").is_ok());
    for text in ["", " ", "a\nb", "a\0b", " a", "a\t", &"x".repeat(2049)] {
        let refused = crate::StoredHash::new(text).err();
        assert!(matches!(refused, Some(Refusal::InvalidHash(_))), "{text:?}");
    }
}

#[test]
fn the_files_are_for_their_owner_alone() {
    let place = Place::with_vic();
    let _open = place.store();
    for suffix in ["db", "db-wal", "db-shm"] {
        assert_eq!(mode(&place.path.with_extension(suffix)), 0o600, "{suffix}");
    }
}

#[test]
fn a_database_that_anybody_may_write_to_is_not_used() {
    let place = Place::with_vic();
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o602)).unwrap();
    let refused = Store::open(&place.path).err().unwrap().to_string();
    assert!(refused.contains("chmod o-w"), "{refused}");
    let told = unavailable(place.backend().lookup(b"vic", b"example.org", NOW));
    assert!(told.contains("chmod o-w"), "{told}");
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(Store::open(&place.path).is_ok());
}

#[test]
fn a_file_that_root_makes_belongs_to_the_owner_of_the_directory() {
    let place = Place::new();
    if let Err(error) = chown(place.directory.path(), Some(54_321), Some(54_322)) {
        eprintln!("SKIPPED: only root can try whether files are given away: {error}");
        assert!(std::env::var_os("CI").is_none(), "the tests need root in CI");
        return;
    }
    let _open = place.store();
    for suffix in ["db", "db-wal", "db-shm"] {
        let made = fs::metadata(place.path.with_extension(suffix)).unwrap();
        assert_eq!((made.uid(), made.gid()), (54_321, 54_322), "{suffix}");
    }
}

#[test]
fn f1_a_symbolic_link_in_the_place_of_the_database_is_not_followed() {
    let place = Place::new();
    let elsewhere = Place::with_vic();
    symlink(&elsewhere.path, &place.path).unwrap();
    assert!(matches!(Store::open(&place.path), Err(Error::Database(_))));
    fs::remove_file(&place.path).unwrap();
    symlink(place.directory.path().join("nowhere"), &place.path).unwrap();
    assert!(matches!(Store::open(&place.path), Err(Error::Database(_))));
    assert!(!place.directory.path().join("nowhere").exists());
}

#[test]
fn a_directory_behind_a_symbolic_link_is_no_hindrance() {
    let place = Place::with_vic();
    let outer = tempfile::tempdir().unwrap();
    let link = outer.path().join("state");
    symlink(place.directory.path(), &link).unwrap();
    assert!(Store::open(&link.join("accounts.db")).unwrap().show(&vic()).is_ok());
}

#[test]
fn a_replaced_or_deleted_hash_is_nowhere_in_the_files() {
    let place = Place::with_vic();
    let reader = place.store();
    let mut store = place.store();
    let everywhere = || -> Vec<u8> {
        let files = fs::read_dir(place.directory.path()).unwrap();
        files.flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
    };
    let holds =
        |hash: &str| everywhere().windows(hash.len()).any(|window| window == hash.as_bytes());
    assert!(holds(&ssha256("secret")));
    store.edit(&vic(), &Edit::Secrets(Secrets::of(hash("new"))), NOW).unwrap();
    assert!(!holds(&ssha256("secret")) && holds(&ssha256("new")));
    store.delete(&vic()).unwrap();
    assert!(!holds(&ssha256("new")));
    assert!(reader.list(None).unwrap().is_empty());
}

#[test]
fn the_settings_hold_on_every_connection() {
    let place = Place::with_vic();
    let connection = open_accounts(&place.path, BUSY).unwrap();
    let pragma = |name: &str| -> String {
        let value: rusqlite::types::Value =
            connection.pragma_query_value(None, name, |row| row.get(0)).unwrap();
        match value {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => panic!("{other:?}"),
        }
    };
    for (name, value) in [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("foreign_keys", "0"),
        ("trusted_schema", "0"),
        ("secure_delete", "1"),
        ("temp_store", "2"),
        ("application_id", "1835103604"),
    ] {
        assert_eq!(pragma(name), value, "{name}");
    }
}

#[test]
fn nothing_that_is_printed_holds_a_hash() {
    let place = Place::with_vic();
    let mut store = place.store();
    let hash = ssha256("secret");
    place.other_program().execute("UPDATE account SET networks = ?1", [&hash]).unwrap();
    let shown = store.show(&vic()).err().unwrap().to_string();
    assert!(shown.contains("column networks") && !shown.contains(&hash[14..]), "{shown}");
    drop(place.other_program().execute("DROP TABLE account", []));
    let told = store.add(&account("a", "", "secret"), NOW).err().unwrap();
    assert!(!format!("{told} {told:?}").contains(&hash[14..]), "{told}");
}
