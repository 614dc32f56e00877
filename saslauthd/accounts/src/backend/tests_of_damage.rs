//! C10: a database that a failing disk or a hostile hand has changed.

use std::fs;

use super::*;
use crate::testing::*;

const ACCOUNTS: usize = 40;

/// Accounts over several pages, all in the one file.
fn many() -> (Place, Vec<u8>) {
    let place = Place::new();
    let mut store = place.store();
    for number in 0..ACCOUNTS {
        store.add(&account(&format!("user{number:02}"), "r", &number.to_string()), NOW).unwrap();
    }
    drop(store);
    let bytes = fs::read(&place.path).unwrap();
    assert!(bytes.len() > 5 * 4096 && !place.path.with_extension("db-wal").exists());
    (place, bytes)
}

/// Looks every account up. Whatever comes back, nobody may log in with the password of another; returns how many
/// still log in with their own.
fn nobody_is_somebody_else(place: &Place) -> usize {
    let mut backend = place.backend();
    let mut own = 0;
    for number in 0..ACCOUNTS {
        let user = format!("user{number:02}");
        let Lookup::Found(found) = backend.lookup(user.as_bytes(), b"r", NOW) else { continue };
        if accepts(&found, &number.to_string()) {
            own += 1;
        }
        for other in (0..ACCOUNTS).filter(|other| *other != number).step_by(3) {
            assert!(!accepts(&found, &other.to_string()), "{user} got in as {other}");
        }
    }
    let mut names_nobody_has = backend.lookup(b"nobody", b"r", NOW);
    if let Lookup::Found(found) = &mut names_nobody_has {
        assert!((0..ACCOUNTS).all(|other| !accepts(found, &other.to_string())));
    }
    own
}

#[test]
fn c10_a_flipped_bit_never_lends_an_account_to_another() {
    let (place, good) = many();
    assert_eq!(nobody_is_somebody_else(&place), ACCOUNTS);
    let mut noticed = 0;
    for at in (0..good.len()).step_by(41) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&place.path, &bad).unwrap();
        if nobody_is_somebody_else(&place) < ACCOUNTS {
            noticed += 1;
        }
        let _ = fs::remove_file(place.path.with_extension("db-wal"));
        let _ = fs::remove_file(place.path.with_extension("db-shm"));
    }
    assert!(noticed > 50, "the flips hit nothing: {noticed}");
}

#[test]
fn c10_a_file_cut_anywhere_never_lends_an_account_to_another() {
    let (place, good) = many();
    for end in (0..good.len()).step_by(512) {
        fs::write(&place.path, &good[..end]).unwrap();
        nobody_is_somebody_else(&place);
    }
}

#[test]
fn c10_an_index_that_does_not_fit_its_table_is_damage_and_not_another_account() {
    let (place, mut bytes) = many();
    // The index has "user01r" and a row number; the table has the kind behind the realm.
    let mut swap = |from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
    };
    swap(b"user01rperson", b"user99rperson");
    swap(b"user02rperson", b"user01rperson");
    swap(b"user99rperson", b"user02rperson");
    fs::write(&place.path, &bytes).unwrap();
    let mut backend = place.backend();
    for user in [b"user01", b"user02"] {
        assert!(unavailable(backend.lookup(user, b"r", NOW)).contains("does not fit its table"));
    }
    assert!(accepts(&found(backend.lookup(b"user03", b"r", NOW)), "3"));
}
