//! The cache, newer hashes, and notes of use.

use accounts::{AccountName, Edit, SCRAM_HASHES, Secrets, StoredHash};
use ipc::config::{CacheMode, Checker};
use protocol::Answer;

use super::house::*;

fn cached(backends: Vec<ipc::config::Backend>) -> Checker {
    let mut config = config(backends);
    config.cache.mode = CacheMode::All;
    config
}

fn secrets(hash: &str) -> Secrets {
    Secrets::of(StoredHash::new(hash).unwrap())
}

#[test]
fn c5_a_hit_hashes_nothing_and_any_change_ends_it() {
    let files = Files::new();
    let backend =
        files.sqlite("db", &[("alice", "", &argon("pencil")), ("bob", "", &argon("ink"))]);
    let mut house = House::new(cached(vec![backend]));
    let ask = |house: &mut House, what: Try<'_>, answer, cache: &str, hashed: u64| {
        let before = house.hashed();
        assert_eq!(house.ask(&what), answer);
        assert!(house.event().contains(&format!(" cache={cache} ")), "{}", house.event());
        assert_eq!(house.hashed() - before, hashed);
    };
    ask(&mut house, login("alice", "pencil"), Answer::Accept, "miss", 1);
    ask(&mut house, login("alice", "pencil"), Answer::Accept, "hit", 0);
    assert!(house.event().contains(" backend=db scheme=argon2id "));
    ask(&mut house, login("alice", "Pencil"), Answer::Refuse, "miss", 1);
    ask(&mut house, login("bob", "pencil"), Answer::Refuse, "miss", 1);
    ask(&mut house, login("alice", "pencil").service("imap"), Answer::Accept, "miss", 1);
    // A new password, of whatever program.
    files.edit("db", "alice", &Edit::Secrets(secrets(&argon("brush"))));
    ask(&mut house, login("alice", "pencil"), Answer::Refuse, "miss", 1);
    ask(&mut house, login("alice", "brush"), Answer::Accept, "miss", 1);
    ask(&mut house, login("alice", "brush"), Answer::Accept, "hit", 0);
    // A lock, and its end.
    files.edit("db", "alice", &Edit::Lock);
    assert_eq!(house.ask(&login("alice", "brush")), Answer::Refuse);
    files.edit("db", "alice", &Edit::Unlock);
    assert_eq!(house.ask(&login("alice", "brush")), Answer::Accept);
    // An expiry that comes with time alone.
    let end = accounts::UnixTime(NOW.wall_s as i64 + 30);
    files.edit("db", "alice", &Edit::Expire(Some(end)));
    assert_eq!(house.ask(&login("alice", "brush")), Answer::Accept);
    house.pass(31 * SECOND);
    assert_eq!(house.ask(&login("alice", "brush")), Answer::Refuse);
    // A deletion.
    files.store("db").delete(&AccountName::new("alice", "").unwrap()).unwrap();
    assert_eq!(house.ask(&login("alice", "brush")), Answer::Refuse);
}

#[test]
fn a_hit_from_a_network_that_is_not_allowed_is_refused() {
    let files = Files::new();
    let backend = files.sqlite("db", &[]);
    files.add("db", "near", "", &argon("pencil"), restrictions("*", "192.0.2.0/24"));
    let mut house = House::new(cached(vec![backend]));
    assert_eq!(house.ask(&login("near", "pencil").from("192.0.2.1")), Answer::Accept);
    assert_eq!(house.ask(&login("near", "pencil").from("198.51.100.1")), Answer::Refuse);
}

#[test]
fn a_throttled_login_is_not_answered_from_memory() {
    let files = Files::new();
    let backend = files.sqlite("db", &[("alice", "", &argon("pencil"))]);
    let mut house = House::new(cached(vec![backend]));
    assert_eq!(house.ask(&login("alice", "pencil")), Answer::Accept);
    (0..20).for_each(|n| assert_eq!(house.ask(&login("alice", &format!("g{n}"))), Answer::Refuse));
    assert_eq!(house.ask(&login("alice", "pencil")), Answer::Refuse);
}

#[test]
fn cheap_schemes_are_not_remembered_by_default() {
    let files = Files::new();
    let backend = files.sqlite("db", &[("alice", "", "{PLAIN}pencil")]);
    let mut config = config(vec![backend]);
    config.cache.mode = CacheMode::Costly;
    let mut house = House::new(config);
    (0..2).for_each(|_| assert_eq!(house.ask(&login("alice", "pencil")), Answer::Accept));
    assert!(house.event().contains(" cache=off "));
}

#[test]
fn an_older_scheme_is_replaced_after_a_success_and_never_after_a_failure() {
    let files = Files::new();
    let backend = files.sqlite(
        "db",
        &[("alice", "", "{PLAIN}pencil"), ("bob", "", "{PLAIN}ink"), ("new", "", &argon("pencil"))],
    );
    let mut config = config(vec![backend]);
    config.hashing.upgrade = true;
    config.sasl.derive = ipc::config::Mechanisms::of_names(["SCRAM-SHA-256", "SCRAM-SHA-512"]);
    let mut house = House::new(config);
    let fresh = files.store("db").show(&AccountName::new("new", "").unwrap()).unwrap();
    let fresh = fresh.secrets.password().unwrap().reveal().to_owned();
    assert_eq!(house.ask(&login("alice", "wrong")), Answer::Refuse);
    assert_eq!(house.ask(&login("bob", "wrong")), Answer::Refuse);
    (0..5).for_each(|_| assert_eq!(house.ask(&login("alice", "pencil")), Answer::Accept));
    assert_eq!(house.ask(&login("new", "pencil")), Answer::Accept);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    while house.core.renewals.waiting().0 > 0 {
        let pool = house.core.pool();
        runtime.block_on(pool.wait());
        house.core.finished();
    }
    house.core.close();
    // The end waits for the writer.
    drop(house);
    let show = |user: &str| files.store("db").show(&AccountName::new(user, "").unwrap()).unwrap();
    let alice = show("alice");
    assert!(
        alice.secrets.password().unwrap().reveal().starts_with("$argon2id$v=19$m=256,t=1,p=1$")
    );
    for (hash, has) in SCRAM_HASHES.into_iter().zip([false, true, true]) {
        assert_eq!(alice.secrets.scram(hash).is_some(), has, "{hash:?}");
    }
    assert_eq!(alice.last_used, Some(accounts::UnixTime(NOW.wall_s as i64)));
    assert_eq!(show("bob").secrets.password().unwrap().reveal(), "{PLAIN}ink");
    assert_eq!(show("bob").last_used, None);
    assert_eq!(show("new").secrets.password().unwrap().reveal(), fresh);
    for (user, has) in [("new", true), ("bob", false)] {
        let secrets = show(user).secrets;
        assert_eq!(secrets.scram(SCRAM_HASHES[1]).is_some(), has, "{user}");
        assert_eq!(secrets.scram(SCRAM_HASHES[2]).is_some(), has, "{user}");
    }
    let backend = files.sqlite("db", &[]);
    let mut house = House::new(super::house::config(vec![backend]));
    assert_eq!(house.ask(&login("alice", "pencil")), Answer::Accept);
    assert!(house.event().contains(" scheme=argon2id "));
    assert_eq!(house.ask(&login("alice", "wrong")), Answer::Refuse);
}

#[test]
fn b6_a_password_of_which_only_the_beginning_was_compared_replaces_no_hash() {
    let files = Files::new();
    // crypt(3) of "pencil-long", of which DES compares eight bytes.
    let mut config = config(vec![files.sqlite("db", &[("alice", "", "{CRYPT}abPisYqwykSPA")])]);
    config.hashing.upgrade = true;
    config.hashing.truncate = true;
    config.hashing.weak = vec!["des".into()];
    let mut house = House::new(config);
    for password in ["pencil-l", "pencil-lost", "pencil-long"] {
        assert_eq!(house.ask(&login("alice", password)), Answer::Accept, "{password}");
        assert_eq!(house.core.renewals.waiting().0, 0, "{password}");
    }
}
