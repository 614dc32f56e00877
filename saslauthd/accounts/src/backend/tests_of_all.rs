//! What is said of all accounts at once: who lacks keys of SCRAM, and their names; and one account's keys.

use credentials::scram::{ScramHash, ScramKeys};
use protocol::Password;

use super::*;
use crate::testing::*;
use crate::{Edit, SCRAM_HASHES};

fn keys(hash: ScramHash) -> ScramKeys {
    let password = Password::new(b"secret").ok().unwrap();
    ScramKeys::derive(hash, &password, b"salt and salt", 4096)
}

fn with_keys(hashes: &[ScramHash]) -> Edit {
    let secrets = Secrets::of(hash("secret"));
    let with = |secrets: Secrets, hash: &ScramHash| secrets.with_scram(keys(*hash)).unwrap();
    Edit::Secrets(hashes.iter().fold(secrets, with))
}

#[test]
fn keys_come_with_a_lookup_that_asks_for_them() {
    let place = Place::with_vic();
    let edit = with_keys(&[ScramHash::Sha256, ScramHash::Sha512]);
    place.store().edit(&name("vic", "example.org"), &edit, NOW).unwrap();
    let mut backend = place.backend();
    assert!(found(backend.lookup(b"vic", b"example.org", NOW)).keys.is_none());
    for hash in ScramHash::ALL {
        let found = found(backend.lookup_keys(b"vic", b"example.org", NOW, hash));
        let has = matches!(hash, ScramHash::Sha256 | ScramHash::Sha512);
        assert_eq!(found.own.unwrap().has_scram(hash), has, "{hash:?}");
        assert_eq!(
            found.keys.map(|keys| keys.stored_key().to_vec()),
            has.then(|| keys(hash).stored_key().to_vec())
        );
        assert!(accepts(&place_found(&mut backend), "secret"));
    }
    // What is no keys of that mechanism is as if there were none.
    let other = keys(ScramHash::Sha1).to_auth_password();
    place
        .other_program()
        .execute("UPDATE account SET scram_sha_256 = ?1", [other.as_str()])
        .unwrap();
    let found = found(backend.lookup_keys(b"vic", b"example.org", NOW, ScramHash::Sha256));
    assert!(found.keys.is_none());
}

fn place_found(backend: &mut Backend) -> Found {
    found(backend.lookup(b"vic", b"example.org", NOW))
}

#[test]
fn an_account_that_may_log_in_and_has_no_keys_is_noticed() {
    let place = Place::with_vic();
    let vic = name("vic", "example.org");
    let mut backend = place.backend();
    let mut lacks = |hash| backend.lacks_keys(hash, NOW).unwrap();
    assert!(SCRAM_HASHES.into_iter().all(&mut lacks));
    place.store().edit(&vic, &with_keys(&[ScramHash::Sha256]), NOW).unwrap();
    assert!(!lacks(ScramHash::Sha256) && lacks(ScramHash::Sha512) && lacks(ScramHash::Sha1));
    assert!(lacks(ScramHash::Sha384));
    // One more account without keys, closed in each of the ways that there are.
    place.store().add(&account("bob", "", "secret"), NOW).unwrap();
    assert!(lacks(ScramHash::Sha256));
    let bob = name("bob", "");
    place.store().edit(&bob, &Edit::Lock, NOW).unwrap();
    assert!(!lacks(ScramHash::Sha256));
    place.store().edit(&bob, &Edit::Unlock, NOW).unwrap();
    place.store().edit(&bob, &Edit::Expire(Some(UnixTime(NOW.0 + 1))), NOW).unwrap();
    assert!(lacks(ScramHash::Sha256));
    place.store().edit(&bob, &Edit::Expire(Some(NOW)), NOW).unwrap();
    assert!(!lacks(ScramHash::Sha256));
    place.store().edit(&bob, &Edit::Expire(None), NOW).unwrap();
    for password in ["'!' || password", "NULL"] {
        let lock = format!("UPDATE account SET password = {password} WHERE user = 'bob'");
        place.other_program().execute(&lock, []).unwrap();
        assert!(!lacks(ScramHash::Sha256), "{password}");
    }
}

#[test]
fn the_look_for_accounts_without_keys_reads_no_other_rows() {
    let place = Place::with_vic();
    let database = place.other_program();
    for sql in [lacking!("scram_sha_1"), lacking!("scram_sha_256"), lacking!("scram_sha_512")] {
        let mut statement = database.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = statement.query_map([NOW.0], |row| row.get::<_, String>(3)).unwrap();
        let steps: Vec<String> = steps.map(Result::unwrap).collect();
        let looks: Vec<_> = steps.iter().filter(|step| step.contains(" account ")).collect();
        assert_eq!(looks.len(), 2, "{steps:?}");
        assert!(looks.iter().all(|look| look.contains("account_without_scram_sha_")), "{steps:?}");
    }
}

#[test]
fn names_come_in_their_order_and_in_parts() {
    let place = Place::new();
    let mut store = place.store();
    for (user, realm) in [("bob", "b"), ("bob", "a"), ("alice", "z"), ("carol", ""), ("dave", "")] {
        store.add(&account(user, realm, "secret"), NOW).unwrap();
    }
    store.edit(&name("carol", ""), &Edit::Lock, NOW).unwrap();
    let mut backend = place.backend();
    let mut all = Vec::new();
    loop {
        let part = backend.names(all.last(), 2, NOW).unwrap();
        assert!(part.len() <= 2);
        if part.is_empty() {
            break;
        }
        all.extend(part);
    }
    let expected = [("alice", "z"), ("bob", "a"), ("bob", "b"), ("dave", "")];
    assert_eq!(all, expected.map(|(user, realm)| name(user, realm)));
}
