//! What the checker is told of an account, and what it is told when the database does not work.

use std::fs;
use std::time::{Duration, Instant};

use credentials::policy::Policy;
use credentials::stand_in::Shape;
use credentials::{Reason, Verdict};

use super::*;
use crate::testing::*;
use crate::{Edit, Kind, NewAccount, Restrictions};

const VIC: &[u8] = b"vic";
const REALM: &[u8] = b"example.org";

fn lookup(backend: &mut Backend) -> Lookup<Found> {
    backend.lookup(VIC, REALM, NOW)
}

#[test]
fn the_right_password_of_the_right_name_is_accepted() {
    let place = Place::with_vic();
    let vic = found(lookup(&mut place.backend()));
    assert!(accepts(&vic, "secret"));
    assert_eq!(verdict(&vic.entry, "Secret"), Verdict::Refuse(Reason::WrongPassword));
    let own = vic.own.unwrap();
    assert_eq!((own.kind, own.has_scram_sha_256, own.last_used), (Kind::Person, false, None));
    assert_eq!(vic.complaint, None);
}

#[test]
fn c4_a_name_is_user_and_realm_byte_by_byte() {
    let place = Place::with_vic();
    let mut backend = place.backend();
    let others: [(&[u8], &[u8]); 9] = [
        (b"vic", b""),
        (b"vic", b"EXAMPLE.ORG"),
        (b"vic", b"example.org."),
        (b"Vic", REALM),
        (b"vice", REALM),
        (b"vi", b"cexample.org"),
        (b"vic@example.org", b""),
        (b"", REALM),
        (b"", b""),
    ];
    for (user, realm) in others {
        assert!(is_not_found(backend.lookup(user, realm, NOW)), "{user:?} {realm:?}");
    }
}

#[test]
fn c1_hostile_names_are_unknown_names_and_change_nothing() {
    let place = Place::with_vic();
    let before = dump(&place.path);
    let mut backend = place.backend();
    for hostile in HOSTILE {
        assert!(is_not_found(backend.lookup(hostile, REALM, NOW)));
        assert!(is_not_found(backend.lookup(VIC, hostile, NOW)));
        assert!(is_not_found(backend.lookup(hostile, hostile, NOW)));
    }
    assert_eq!(dump(&place.path), before);
    assert!(accepts(&found(lookup(&mut backend)), "secret"));
}

#[test]
fn c1_an_account_with_a_hostile_name_is_found_by_exactly_that_name() {
    let place = Place::with_vic();
    let mut store = place.store();
    let mut backend = place.backend();
    let mut added = 0;
    for hostile in HOSTILE {
        let Ok(text) = std::str::from_utf8(hostile) else { continue };
        let Ok(name) = crate::AccountName::new(text, "") else { continue };
        store.add(&NewAccount { name, ..account("x", "", text) }, NOW).unwrap();
        added += 1;
        assert!(accepts(&found(backend.lookup(hostile, b"", NOW)), text));
    }
    assert!(added > 15, "{added}");
    assert_eq!(store.list(None).unwrap().len(), added + 1);
    assert!(accepts(&found(lookup(&mut backend)), "secret"));
}

#[test]
fn b9_names_that_look_alike_are_other_names() {
    let place = Place::new();
    place.store().add(&account("jos\u{e9}", "", "secret"), NOW).unwrap();
    let mut backend = place.backend();
    assert!(accepts(&found(backend.lookup("jos\u{e9}".as_bytes(), b"", NOW)), "secret"));
    for other in ["jose\u{301}", "jos\u{e9}\u{200b}", "jose", "JOS\u{c9}"] {
        assert!(is_not_found(backend.lookup(other.as_bytes(), b"", NOW)));
    }
    for broken in [&b"jos\xe9"[..], b"jos\xc3", b"jos\xc3\xa9\xff", b"jos\xf0\x82\x83\xa9"] {
        assert!(is_not_found(backend.lookup(broken, b"", NOW)));
    }
}

#[test]
fn a1_a_name_with_a_nul_is_nobody_even_when_a_row_has_it() {
    let place = Place::with_vic();
    place
        .other_program()
        .execute("UPDATE account SET user = 'vic' || char(0) || 'root'", [])
        .unwrap();
    let mut backend = place.backend();
    for user in [&b"vic\0root"[..], b"vic", b"vic\0"] {
        assert!(is_not_found(backend.lookup(user, REALM, NOW)));
    }
}

#[test]
fn b2_an_account_without_a_password_lets_nobody_in() {
    let place = Place::with_vic();
    let mut backend = place.backend();
    let other = place.other_program();
    for sql in ["NULL", "''", "' '", "char(9, 10, 32)"] {
        other.execute(&format!("UPDATE account SET password = {sql}"), []).unwrap();
        let vic = found(lookup(&mut backend));
        assert!(is_unusable(&vic, Reason::NoPassword), "{sql}");
        for password in ["secret", " ", "x"] {
            assert!(!accepts(&vic, password), "{sql}");
        }
    }
}

#[test]
fn unusable_hashes_are_stand_ins_with_their_reason() {
    let place = Place::with_vic();
    let mut backend = place.backend();
    let other = place.other_program();
    for (stored, reason) in [
        ("!".to_owned() + &ssha256("secret"), Reason::Locked),
        ("*".into(), Reason::Locked),
        ("{PLAIN}secret".into(), Reason::SchemeNotAllowed),
        (
            "$argon2id$v=19$m=4194304,t=1000,p=64$c2FsdHNhbHQ$".to_owned() + &"A".repeat(43),
            Reason::TooExpensive,
        ),
        ("$6$".into(), Reason::Malformed),
    ] {
        other.execute("UPDATE account SET password = ?1", [&stored]).unwrap();
        let vic = found(lookup(&mut backend));
        assert!(is_unusable(&vic, reason), "{stored}: {:?}", vic.entry.standing);
        assert!(!accepts(&vic, "secret"), "{stored}");
    }
}

#[test]
fn closed_and_expired_accounts_compare_and_are_refused() {
    let place = Place::with_vic();
    let (mut store, mut backend, vic) =
        (place.store(), place.backend(), name("vic", "example.org"));
    store.edit(&vic, &Edit::Expire(Some(NOW)), NOW).unwrap();
    let expired = found(lookup(&mut backend));
    assert_eq!(expired.entry.standing, Err(Reason::AccountExpired));
    assert!(!expired.entry.verifier.is_stand_in());
    let a_second_before = UnixTime(NOW.0 - 1);
    assert!(accepts(&found(backend.lookup(VIC, REALM, a_second_before)), "secret"));
    store.edit(&vic, &Edit::Lock, NOW).unwrap();
    assert_eq!(found(lookup(&mut backend)).entry.standing, Err(Reason::Disabled));
    store.edit(&vic, &Edit::Unlock, NOW).unwrap();
    store.edit(&vic, &Edit::Expire(None), NOW).unwrap();
    assert!(accepts(&found(lookup(&mut backend)), "secret"));
}

#[test]
fn c5_a_change_by_any_program_shows_at_once_and_changes_the_generation() {
    let place = Place::with_vic();
    let mut backend = place.backend();
    let other = place.other_program();
    let mut seen = vec![found(lookup(&mut backend)).entry.generation];
    for change in [
        "password = 'x'",
        "disabled = 1",
        "expires = 1900000000",
        "expires = 1900000001",
        "services = 'smtp'",
        "networks = '192.0.2.0/24'",
        "kind = 'machine'",
        "scram_sha_256 = 'k'",
        "changed = changed + 1",
    ] {
        other.execute(&format!("UPDATE account SET {change}"), []).unwrap();
        let generation = found(lookup(&mut backend)).entry.generation;
        assert!(!seen.contains(&generation), "{change}");
        assert_eq!(found(lookup(&mut backend)).entry.generation, generation);
        seen.push(generation);
    }
    other.execute("UPDATE account SET last_used = 5", []).unwrap();
    assert_eq!(Some(&found(lookup(&mut backend)).entry.generation), seen.last());
    other.execute("DELETE FROM account", []).unwrap();
    assert!(is_not_found(lookup(&mut backend)));
    place.store().add(&account("vic", "example.org", "secret"), NOW).unwrap();
    assert!(!seen.contains(&found(lookup(&mut backend)).entry.generation));
}

#[test]
fn restrictions_come_with_the_account_and_broken_ones_are_an_outage() {
    let place = Place::with_vic();
    let mut backend = place.backend();
    let restrictions = Restrictions {
        services: "smtp".parse().unwrap(),
        networks: "192.0.2.0/24".parse().unwrap(),
    };
    let edit = Edit::Restrict(restrictions.clone());
    place.store().edit(&name("vic", "example.org"), &edit, NOW).unwrap();
    assert_eq!(found(lookup(&mut backend)).restrictions, restrictions);
    place.other_program().execute("UPDATE account SET networks = 'office'", []).unwrap();
    let trouble = unavailable(lookup(&mut backend));
    assert!(trouble.contains("account number 1: column networks"), "{trouble}");
}

#[test]
fn c3_no_file_is_an_outage_for_every_name_until_it_is_back() {
    let place = Place::new();
    let mut backend = place.backend();
    assert!(unavailable(lookup(&mut backend)).contains("no such file"));
    assert!(unavailable(backend.lookup(b"\xff", b"", NOW)).contains("no such file"));
    assert!(!place.path.exists(), "a lookup must not make a database");
    place.store().add(&account("vic", "example.org", "secret"), NOW).unwrap();
    assert!(accepts(&found(lookup(&mut backend)), "secret"));
    let away = place.directory.path().join("away.db");
    fs::rename(&place.path, &away).unwrap();
    assert!(unavailable(lookup(&mut backend)).contains("no such file"));
    fs::rename(&away, &place.path).unwrap();
    assert!(accepts(&found(lookup(&mut backend)), "secret"));
}

#[test]
fn another_file_under_the_path_is_asked_at_once() {
    let place = Place::with_vic();
    let mut backend = place.backend();
    assert!(accepts(&found(lookup(&mut backend)), "secret"));
    let second = Place::new();
    second.store().add(&account("vic", "example.org", "other"), NOW).unwrap();
    fs::rename(&second.path, &place.path).unwrap();
    let vic = found(lookup(&mut backend));
    assert!(accepts(&vic, "other") && !accepts(&vic, "secret"));
}

#[test]
fn a_truncated_emptied_or_foreign_file_is_an_outage_and_a_restored_one_is_not() {
    let place = Place::with_vic();
    let good = fs::read(&place.path).unwrap();
    let mut backend = place.backend();
    let health = |backend: &mut Backend| backend.health().map_err(|trouble| trouble.to_string());
    assert_eq!(health(&mut backend), Ok(()));
    fs::write(&place.path, b"").unwrap();
    assert!(unavailable(lookup(&mut backend)).contains("mailauth user add"));
    fs::write(&place.path, &good[..1000]).unwrap();
    let _ = unavailable(lookup(&mut backend));
    fs::write(&place.path, b"root:x:0:0:root:/root:/bin/sh\n".repeat(100)).unwrap();
    assert!(unavailable(lookup(&mut backend)).contains("damaged"));
    fs::remove_file(&place.path).unwrap();
    place.other_program().execute_batch("CREATE TABLE account (user TEXT)").unwrap();
    assert!(unavailable(lookup(&mut backend)).contains("another program"));
    assert!(health(&mut backend).is_err());
    fs::write(&place.path, &good).unwrap();
    assert!(accepts(&found(lookup(&mut backend)), "secret"));
}

#[test]
fn a_missing_column_is_an_outage() {
    let place = Place::with_vic();
    let mut backend = place.backend();
    assert!(accepts(&found(lookup(&mut backend)), "secret"));
    place.other_program().execute_batch("ALTER TABLE account DROP COLUMN services").unwrap();
    assert!(unavailable(lookup(&mut backend)).contains("services"));
}

#[test]
fn a_database_of_a_newer_version_is_an_outage() {
    let place = Place::with_vic();
    place.other_program().pragma_update(None, "user_version", 99).unwrap();
    assert!(unavailable(lookup(&mut place.backend())).contains("newer version"));
}

#[test]
fn a_locked_database_is_an_outage_that_ends_with_the_lock() {
    let place = Place::with_vic();
    let mut backend = place.backend();
    let other = place.other_program();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; UPDATE account SET kind = kind").unwrap();
    let start = Instant::now();
    assert!(unavailable(lookup(&mut backend)).contains("locked"));
    assert!(start.elapsed() < Duration::from_secs(1));
    drop(other);
    assert!(accepts(&found(lookup(&mut backend)), "secret"));
}

#[test]
fn readers_do_not_wait_for_a_writer() {
    let place = Place::with_vic();
    let mut backend = place.backend();
    let other = place.other_program();
    other.execute_batch("BEGIN IMMEDIATE; UPDATE account SET password = 'x'").unwrap();
    assert!(accepts(&found(lookup(&mut backend)), "secret"));
    other.execute_batch("COMMIT").unwrap();
    assert!(!accepts(&found(lookup(&mut backend)), "secret"));
}

#[test]
fn a_lookup_is_planned_once_and_not_for_each_name() {
    let place = Place::with_vic();
    let mut backend = place.backend();
    for number in 0..100 {
        assert!(is_not_found(backend.lookup(format!("user{number}").as_bytes(), REALM, NOW)));
    }
    let status = |status| {
        let read = |connection: &mut Connection| {
            Ok(connection.prepare_cached(BY_NAME)?.get_status(status))
        };
        backend.database.with(read).unwrap()
    };
    use rusqlite::StatementStatus::{FullscanStep, RePrepare, Run};
    assert_eq!([RePrepare, FullscanStep, Run].map(status), [0, 0, 100]);
}

#[test]
fn a_backend_may_move_to_another_thread() {
    fn may_move<T: Send>() {}
    may_move::<Backend>();
    may_move::<crate::query::Query>();
}

#[test]
fn the_census_finds_the_majority() {
    let place = Place::with_vic();
    assert!(place.backend().census().unwrap().majority().is_some());
    let mut store = place.store();
    let argon = |salt: &str| {
        let text = format!("$argon2id$v=19$m=64,t=1,p=1${salt}${}", "A".repeat(43));
        Secrets::of(crate::StoredHash::new(&text).unwrap())
    };
    for user in ["a", "b"] {
        let secrets = argon("c2FsdHNhbHQ");
        store.add(&NewAccount { secrets, ..account(user, "", "x") }, NOW).unwrap();
    }
    let other = place.other_program();
    other
        .execute_batch("INSERT INTO account (user, realm, password) VALUES ('l', '', '!')")
        .unwrap();
    let census = place.backend().census().unwrap();
    let verifier = Verifier::stand_in(census.majority().unwrap());
    assert_eq!(verifier.scheme(), credentials::scheme::Scheme::Argon2id);
    let mut backend = place.backend();
    backend.set_stand_in(census.majority().unwrap().clone());
    let locked = found(backend.lookup(b"l", b"", NOW));
    assert_eq!(locked.entry.verifier.cost(), verifier.cost());
    other.execute("DELETE FROM account", []).unwrap();
    assert!(place.backend().census().unwrap().majority().is_none());
}

#[test]
fn stand_ins_take_the_given_shape() {
    let place = Place::with_vic();
    place.other_program().execute("UPDATE account SET password = NULL", []).unwrap();
    let settings = credentials::new_hash::Argon2Settings::default();
    let mut backend = Backend::new(&place.path, Policy::default(), Shape::argon2id(&settings));
    assert_eq!(found(lookup(&mut backend)).entry.verifier.cost(), settings.cost());
}
