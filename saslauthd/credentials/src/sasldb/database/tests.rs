//! Lookups in a sasldb that stays, changes, goes away and comes back.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use md5::Digest;
use protocol::Password;

use super::super::tests::{expected, sample};
use super::super::{Edit, Format, change};
use super::*;
use crate::scratch::Scratch;
use crate::verdict::Verdict;

fn database(path: &Path) -> Database {
    Database::new(path, Policy::default()).unwrap()
}

fn entry(database: &mut Database, user: &[u8], realm: &[u8]) -> Entry {
    match database.lookup(user, realm) {
        Lookup::Found(entry) => entry,
        Lookup::NotFound => panic!("not found"),
        Lookup::Unavailable(trouble) => panic!("{trouble}"),
    }
}

fn is_not_found(lookup: &Lookup<Entry>) -> bool {
    matches!(lookup, Lookup::NotFound)
}

fn is_unavailable(lookup: &Lookup<Entry>) -> bool {
    matches!(lookup, Lookup::Unavailable(_))
}

/// The verdict as the checker makes it: comparison first, standing after.
fn accepts(database: &mut Database, user: &[u8], realm: &[u8], password: &[u8]) -> bool {
    let entry = entry(database, user, realm);
    let password = Password::new(password).unwrap();
    let verdict = entry.verifier.compare(&password, &mut Scratch::new());
    matches!(verdict, Verdict::Accept(_)) && entry.standing.is_ok()
}

#[test]
fn every_stored_password_and_no_other_is_accepted() {
    for name in
        ["basic.sasldb2", "many150.sasldb2", "unicode.sasldb2", "basic.gdbm", "unicode.lmdb"]
    {
        let mut database = database(&sample(name));
        for (key, value) in expected(name) {
            let mut parts = key.split(|byte| *byte == 0);
            let (user, realm) = (parts.next().unwrap(), parts.next().unwrap());
            assert!(accepts(&mut database, user, realm, &value), "{name}");
            for wrong in [[&value[..], b"x"].concat(), value[1..].to_vec(), b"x".to_vec()] {
                if !wrong.is_empty() {
                    assert!(!accepts(&mut database, user, realm, &wrong), "{name}");
                }
            }
            assert!(is_not_found(&database.lookup(user, b"elsewhere.example")));
        }
    }
}

#[test]
fn user_and_realm_are_compared_whole_and_by_case() {
    let mut database = database(&sample("basic.sasldb2"));
    for (user, realm) in [
        (&b"Alice"[..], &b"example.com"[..]),
        (b"alice", b"EXAMPLE.COM"),
        (b"alic", b"example.com"),
        (b"alice\0example.com", b"userPassword"),
        (b"alice\0example.com\0userPassword", b""),
        (b"alice", b"example.com\0userPassword"),
        (b"", b""),
    ] {
        assert!(is_not_found(&database.lookup(user, realm)));
    }
    assert!(accepts(&mut database, b"alice", b"example.com", b"secret1"));
    assert!(!accepts(&mut database, b"alice", b"example.org", b"secret1"));
}

#[test]
fn the_first_secret_counts() {
    let mut props = database(&sample("allprops.sasldb2"));
    assert!(accepts(&mut props, b"alice", b"example.com", b"secret1"));
    let plain = entry(&mut props, b"plainonly", b"example.com");
    assert_eq!((plain.verifier.scheme(), plain.standing), (crate::Scheme::CyrusPlain, Ok(())));
    assert!(accepts(&mut props, b"emptyrealm", b"", b"emptyrealmpw"));
    let mut scram = database(&sample("scram.sasldb2"));
    assert!(accepts(&mut scram, b"both", b"example.com", b"pencil"));
    assert_eq!(scram.lookup(b"both", b"example.com").scheme(), crate::Scheme::Plain);
    for user in [&b"scramonly"[..], b"sha1only"] {
        let entry = entry(&mut scram, user, b"example.com");
        assert_eq!(entry.standing, Ok(()));
        assert_ne!(entry.verifier.scheme(), crate::Scheme::Plain);
        assert!(accepts(&mut scram, user, b"example.com", b"pencil"));
        assert!(!accepts(&mut scram, user, b"example.com", b"pencils"));
    }
}

#[test]
fn a_secret_of_sasl_version_1_is_compared() {
    let salt = [9; 16];
    let sum = md5::Md5::new().chain_update(salt).chain_update(b"sasldb").chain_update(b"old pw");
    let secret = [&salt[..], &[0], &sum.finalize()].concat();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sasldb2");
    change(&path, Format::gdbm(), |records| {
        let key = super::super::Key { user: b"vic", realm: b"r", property: PLAIN_SECRET };
        assert!(records.set(key, &secret));
        Edit::Save(())
    })
    .unwrap();
    let mut database = database(&path);
    assert!(accepts(&mut database, b"vic", b"r", b"old pw"));
    assert!(!accepts(&mut database, b"vic", b"r", b"old pwd"));
}

impl Lookup<Entry> {
    fn scheme(self) -> crate::Scheme {
        let Self::Found(entry) = self else { panic!("not found") };
        entry.verifier.scheme()
    }
}

#[test]
fn an_empty_or_cut_password_never_logs_in() {
    let mut database = database(&sample("allprops.sasldb2"));
    let empty = entry(&mut database, b"emptypw", b"example.com");
    assert_eq!(empty.standing, Err(Reason::NoPassword));
    assert!(empty.verifier.is_stand_in());
    // The stored value has a NUL inside; C programs took it for `ab`.
    assert!(!accepts(&mut database, b"nulpw", b"example.com", b"ab"));
}

#[test]
fn an_empty_user_password_hides_what_is_left_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sasldb2");
    change(&path, Format::berkeley(), |records| {
        let key = |property| super::super::Key { user: b"vic", realm: b"r", property };
        let old = &expected("scram.sasldb2")[&b"scramonly\0example.com\0authPassword"[..]];
        assert!(records.set(key(AUTH_PASSWORD), old));
        assert!(records.set(key(USER_PASSWORD), b""));
        Edit::Save(())
    })
    .unwrap();
    let entry = entry(&mut database(&path), b"vic", b"r");
    assert_eq!(entry.standing, Err(Reason::NoPassword));
}

#[test]
fn no_file_and_no_good_file_are_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sasldb2");
    let mut database = database(&path);
    assert!(is_unavailable(&database.lookup(b"alice", b"example.com")));
    for name in ["garbage.sasldb2", "truncated.sasldb2", "zero-length.sasldb2", "notahash-btree.db"]
    {
        fs::copy(sample(name), &path).unwrap();
        assert!(is_unavailable(&database.lookup(b"alice", b"example.com")), "{name}");
        assert!(is_unavailable(&database.lookup(b"alice", b"example.com")), "{name}, again");
    }
    fs::copy(sample("basic.sasldb2"), &path).unwrap();
    assert!(accepts(&mut database, b"alice", b"example.com", b"secret1"));
    assert_eq!(database.trouble(), None);
    // A directory, a FIFO that nobody writes to, a file beyond the bound.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(is_unavailable(&database.lookup(b"alice", b"example.com")));
    fs::remove_dir(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(is_unavailable(&database.lookup(b"alice", b"example.com")));
    fs::remove_file(&path).unwrap();
    fs::File::create(&path).unwrap().set_len(super::super::file::MAX_BYTES + 1).unwrap();
    assert!(is_unavailable(&database.lookup(b"alice", b"example.com")));
}

#[test]
fn a_change_counts_at_the_next_lookup() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sasldb2");
    let set = |password: &[u8]| {
        change(&path, Format::berkeley(), |records| {
            assert!(records.set_password(b"vic", b"example.com", password));
            assert!(records.set_password(b"bob", b"example.com", b"same"));
            Edit::Save(())
        })
        .unwrap();
    };
    let mut database = database(&path);
    set(b"one");
    assert!(accepts(&mut database, b"vic", b"example.com", b"one"));
    let first = entry(&mut database, b"vic", b"example.com").generation;
    let bob = entry(&mut database, b"bob", b"example.com").generation;
    assert_eq!(first, entry(&mut database, b"vic", b"example.com").generation);
    set(b"two");
    assert!(!accepts(&mut database, b"vic", b"example.com", b"one"));
    assert!(accepts(&mut database, b"vic", b"example.com", b"two"));
    assert_ne!(first, entry(&mut database, b"vic", b"example.com").generation);
    assert_eq!(bob, entry(&mut database, b"bob", b"example.com").generation);
    // The same password again is the same state.
    set(b"one");
    assert_eq!(first, entry(&mut database, b"vic", b"example.com").generation);
    change(&path, Format::berkeley(), |records| {
        Edit::Save(records.remove_user(b"vic", b"example.com"))
    })
    .unwrap();
    assert!(is_not_found(&database.lookup(b"vic", b"example.com")));
    // In place, to the damage of the file: the old state is not served on.
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096 + 8] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(is_unavailable(&database.lookup(b"bob", b"example.com")));
    fs::remove_file(&path).unwrap();
    assert!(is_unavailable(&database.lookup(b"bob", b"example.com")));
}

#[test]
fn who_was_there_at_the_last_look_needs_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sasldb2");
    fs::copy(sample("basic.sasldb2"), &path).unwrap();
    let mut database = database(&path);
    assert!(is_unavailable(&database.lookup_loaded(b"alice", b"example.com")));
    let before = entry(&mut database, b"alice", b"example.com").generation;
    fs::remove_file(&path).unwrap();
    let Lookup::Found(again) = database.lookup_loaded(b"alice", b"example.com") else {
        panic!("the state of the last look is not at hand");
    };
    assert_eq!(before, again.generation);
    assert!(is_not_found(&database.lookup_loaded(b"nobody", b"example.com")));
    // An outage that was seen holds for those who were there, too.
    assert!(is_unavailable(&database.lookup(b"alice", b"example.com")));
    assert!(is_unavailable(&database.lookup_loaded(b"alice", b"example.com")));
    fs::write(&path, [7; 100]).unwrap();
    assert!(is_unavailable(&database.lookup(b"alice", b"example.com")));
    assert!(is_unavailable(&database.lookup_loaded(b"alice", b"example.com")));
}

#[test]
fn a_file_that_has_just_changed_is_looked_at_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sasldb2");
    fs::copy(sample("basic.sasldb2"), &path).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    let changed = SystemTime::UNIX_EPOCH
        + Duration::new(
            metadata.ctime().try_into().unwrap(),
            metadata.ctime_nsec().try_into().unwrap(),
        );
    let mut database = database(&path);
    let age_at = |database: &mut Database, now| {
        assert!(!is_unavailable(&database.lookup_at(b"alice", b"example.com", || now)));
        database.loaded.as_ref().unwrap().age
    };
    for near in [changed, changed + Duration::from_millis(20), changed - Duration::from_millis(20)]
    {
        assert!(age_at(&mut database, near) == Age::Fresh);
    }
    assert!(age_at(&mut database, changed + Duration::from_secs(1)) == Age::Settled);
    // Settled stays settled, without another look at the clock.
    assert!(age_at(&mut database, changed) == Age::Settled);
}

#[test]
fn the_stand_in_costs_what_most_cost() {
    let mut plain = database(&sample("basic.sasldb2"));
    assert!(is_not_found(&plain.lookup(b"nobody", b"nowhere")));
    assert_eq!(plain.stand_in().scheme(), crate::Scheme::Plain);
    let mut scram = database(&sample("scram.sasldb2"));
    assert!(is_not_found(&scram.lookup(b"nobody", b"nowhere")));
    let stand_in = scram.stand_in();
    assert_ne!(stand_in.scheme(), crate::Scheme::Plain);
    let password = Password::new(b"pencil").unwrap();
    assert!(matches!(
        stand_in.compare(&password, &mut Scratch::new()),
        Verdict::Refuse(Reason::WrongPassword)
    ));
}
