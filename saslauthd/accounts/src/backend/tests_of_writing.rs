//! What the checker writes: upgrades that lose every race against a change, and notes of use.

use credentials::scram::{ScramHash, ScramKeys};
use protocol::Password;

use super::*;
use crate::testing::*;
use crate::{Edit, SECONDS_BETWEEN_NOTES};

fn vic(backend: &mut Backend) -> Found {
    found(backend.lookup(b"vic", b"example.org", NOW))
}

/// A hash of `secret` that is another text than the one in the store.
fn newer() -> Secrets {
    let text = ssha256("secret").replace("HEX}", "hex}");
    Secrets::of(crate::StoredHash::new(&text).unwrap())
}

fn keys(hash: ScramHash) -> ScramKeys {
    let password = Password::new(b"secret").ok().unwrap();
    ScramKeys::derive(hash, &password, b"salt and salt", 4096)
}

#[test]
fn an_upgrade_is_there_at_the_next_lookup() {
    let place = Place::with_vic();
    let mut backend = place.backend();
    let before = vic(&mut backend);
    let account = before.own.unwrap().account;
    let secrets = newer().with_scram(keys(ScramHash::Sha256)).unwrap();
    let upgrade = backend.upgrade(account, before.entry.generation, &secrets).unwrap();
    let after = vic(&mut backend);
    assert_eq!(upgrade, Upgrade::Written(after.entry.generation));
    assert_ne!(before.entry.generation, after.entry.generation);
    assert!(accepts(&after, "secret"));
    assert!(after.own.unwrap().has_scram_sha_256 && !after.own.unwrap().has_scram_sha_1);
    let shown = place.store().show(&name("vic", "example.org")).unwrap();
    assert_eq!(shown.secrets.password().unwrap().reveal(), newer().password().unwrap().reveal());
    assert_eq!(shown.secrets.scram(ScramHash::Sha256).unwrap().iterations(), 4096);
    assert_eq!(shown.changed, NOW);
}

#[test]
fn a_change_of_the_password_in_between_wins() {
    let place = Place::with_vic();
    let mut backend = place.backend();
    let seen = vic(&mut backend);
    let edit = Edit::Secrets(Secrets::of(hash("new password")));
    place.store().edit(&name("vic", "example.org"), &edit, NOW).unwrap();
    let account = seen.own.unwrap().account;
    let upgrade = backend.upgrade(account, seen.entry.generation, &newer()).unwrap();
    assert_eq!(upgrade, Upgrade::Superseded);
    let now = vic(&mut backend);
    assert!(accepts(&now, "new password") && !accepts(&now, "secret"));
}

#[test]
fn a_lock_or_a_deletion_in_between_wins() {
    let place = Place::with_vic();
    let mut backend = place.backend();
    let seen = vic(&mut backend);
    let account = seen.own.unwrap().account;
    let mut store = place.store();
    store.edit(&name("vic", "example.org"), &Edit::Lock, NOW).unwrap();
    let upgrade = backend.upgrade(account, seen.entry.generation, &newer()).unwrap();
    assert_eq!(upgrade, Upgrade::Superseded);
    store.delete(&name("vic", "example.org")).unwrap();
    let upgrade = backend.upgrade(account, seen.entry.generation, &newer()).unwrap();
    assert_eq!(upgrade, Upgrade::Superseded);
    assert!(is_not_found(backend.lookup(b"vic", b"example.org", NOW)));
}

#[test]
fn of_upgrades_that_race_one_is_written() {
    let place = Place::with_vic();
    let seen = vic(&mut place.backend());
    let (account, generation) = (seen.own.unwrap().account, seen.entry.generation);
    let race = || loop {
        // Locked out by another of us for longer than the server waits: ask again.
        if let Ok(upgrade) = place.backend().upgrade(account, generation, &newer()) {
            return upgrade;
        }
    };
    let outcomes: Vec<Upgrade> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..4).map(|_| scope.spawn(race)).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    let written = outcomes.iter().filter(|one| matches!(one, Upgrade::Written(_))).count();
    assert_eq!(written, 1);
    assert!(accepts(&vic(&mut place.backend()), "secret"));
}

#[test]
fn an_upgrade_that_finds_the_database_locked_leaves_the_old_hash() {
    let place = Place::with_vic();
    let mut backend = place.backend();
    let seen = vic(&mut backend);
    let other = place.other_program();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let account = seen.own.unwrap().account;
    let trouble = backend.upgrade(account, seen.entry.generation, &newer()).unwrap_err();
    assert!(trouble.to_string().contains("locked"), "{trouble}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(vic(&mut backend).entry.generation, seen.entry.generation);
    assert!(matches!(
        backend.upgrade(account, seen.entry.generation, &newer()),
        Ok(Upgrade::Written(_))
    ));
}

#[test]
fn a_new_hash_without_keys_ends_the_older_keys_and_keys_alone_keep_the_hash() {
    let place = Place::with_vic();
    let mut backend = place.backend();
    let mut upgrade = |secrets: &Secrets| {
        let seen = vic(&mut backend);
        let account = seen.own.unwrap().account;
        assert!(matches!(
            backend.upgrade(account, seen.entry.generation, secrets),
            Ok(Upgrade::Written(_))
        ));
        let now = vic(&mut backend);
        assert!(accepts(&now, "secret"));
        (now.own.unwrap().has_scram_sha_1, now.own.unwrap().has_scram_sha_256)
    };
    let keys_alone = Secrets::default().with_scram(keys(ScramHash::Sha1)).unwrap();
    assert_eq!(upgrade(&keys_alone), (true, false));
    assert_eq!(upgrade(&newer()), (false, false));
}

#[test]
fn notes_of_use_are_rare_and_leave_the_generation() {
    let place = Place::with_vic();
    let mut backend = place.backend();
    let before = vic(&mut backend);
    let own = before.own.unwrap();
    assert!(own.wants_note(NOW));
    backend.note_used(&[(own.account, NOW), (AccountId(99), NOW)]).unwrap();
    let after = vic(&mut backend);
    assert_eq!(after.entry.generation, before.entry.generation);
    let own = after.own.unwrap();
    assert_eq!(own.last_used, Some(NOW));
    assert!(!own.wants_note(UnixTime(NOW.0 + SECONDS_BETWEEN_NOTES - 1)));
    assert!(own.wants_note(UnixTime(NOW.0 + SECONDS_BETWEEN_NOTES)));
    backend.note_used(&[(own.account, UnixTime(NOW.0 - 50))]).unwrap();
    assert_eq!(vic(&mut backend).own.unwrap().last_used, Some(NOW));
    assert_eq!(backend.note_used(&[]), Ok(()));
}
