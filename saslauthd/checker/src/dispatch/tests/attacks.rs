//! What attackers try.

use ipc::config::{Backend, BackendKind};
use protocol::Answer;

use super::house::*;

#[test]
fn r11_a_thousand_guesses_at_once_reach_no_more_hashes_than_the_burst() {
    let files = Files::new();
    let backend = files.sqlite("db", &[("alice", "", &argon("pencil"))]);
    let mut house = House::new(config(vec![backend]));
    for number in 0..1000 {
        house.send(&login("alice", &format!("guess{number}")));
    }
    let answers = house.settle();
    assert_eq!(answers.len(), 1000);
    assert!(answers.values().all(|answer| *answer == Answer::Refuse));
    assert_eq!(house.hashed(), 10);
    assert_eq!(house.logged().matches(" throttled=user ").count(), 990);
    // The right one is not compared now.
    assert_eq!(house.ask(&login("alice", "pencil")), Answer::Refuse);
    assert_eq!(house.hashed(), 10);
    house.pass(10 * SECOND);
    assert_eq!(house.ask(&login("alice", "pencil")), Answer::Accept);
}

#[test]
fn many_right_logins_at_once_are_all_right() {
    let files = Files::new();
    let backend = files.sqlite("db", &[("alice", "", &argon("pencil"))]);
    let mut house = House::new(config(vec![backend]));
    for number in 0..300 {
        let what = login("alice", "pencil");
        let what = if number % 2 == 0 { what.from("192.0.2.1") } else { what };
        house.send(&what);
    }
    let answers = house.settle();
    assert_eq!(answers.values().filter(|answer| **answer == Answer::Accept).count(), 300);
    assert_eq!(house.core.waiting.len(), 0);
}

#[test]
fn who_waits_too_long_for_a_token_learns_that_nobody_knows() {
    let files = Files::new();
    let backend = files.sqlite("db", &[("alice", "", &argon("pencil"))]);
    let mut house = House::new(config(vec![backend]));
    let ids: Vec<u64> = (0..12).map(|_| house.send(&login("alice", "pencil"))).collect();
    assert_eq!((house.core.hashing.len(), house.core.waiting.len()), (10, 2));
    house.pass(10 * SECOND);
    house.core.due();
    let answers = house.ready();
    assert_eq!(answers.len(), 2);
    assert!(ids[10..].iter().all(|id| answers[id] == Answer::Unavailable));
    assert!(house.event().contains(" outcome=unavailable reason=overload "));
    assert!(house.settle().values().all(|answer| *answer == Answer::Accept));
}

#[test]
fn d1_an_unknown_user_costs_what_a_known_one_costs() {
    let files = Files::new();
    let backend = files.sqlite("db", &[("alice", "", &argon("pencil")), ("locked", "", "!$6$x$y")]);
    let mut house = House::new(config(vec![backend]));
    for (number, user) in ["alice", "nobody", "locked"].into_iter().enumerate() {
        assert_eq!(house.ask(&login(user, "wrong")), Answer::Refuse);
        assert_eq!(house.hashed(), number as u64 + 1, "{user}");
    }
}

#[test]
fn d1_in_a_mixed_chain_a_cheap_record_takes_the_time_of_the_others() {
    let files = Files::new();
    let dear = files.shadow("dear", &[("alice", &argon("pencil"))]);
    let cheap = files.sqlite("cheap", &[("bob", "", "{PLAIN}pencil")]);
    let mut house = House::new(config(vec![dear, cheap]));
    for (number, user) in ["alice", "bob", "nobody"].into_iter().enumerate() {
        assert_eq!(house.ask(&login(user, "wrong")), Answer::Refuse);
        assert_eq!(house.hashed(), number as u64 + 1, "{user}");
    }
    assert!(house.event().contains(" user=\"nobody\" "));
    assert_eq!(house.ask(&login("bob", "wrong2")), Answer::Refuse);
    assert!(
        house.event().contains(" reason=wrong-password ")
            && house.event().contains(" scheme=plain ")
    );
    assert_eq!(house.ask(&login("bob", "pencil")), Answer::Accept);
    assert_eq!(house.hashed(), 4, "a right one waits for nothing");
}

#[test]
fn d1_a_refusal_costs_one_comparison_for_each_costly_backend_of_the_chain() {
    let files = Files::new();
    let hash = argon("pencil");
    let one = files.sqlite("one", &[("alice", "", &hash), ("both", "", &hash)]);
    let cheap = files.sqlite("cheap", &[("carl", "", "{PLAIN}pencil")]);
    let two = files.shadow("two", &[("bob", &hash), ("both", &hash), ("locked", "!$6$x$y")]);
    let mut house = House::new(config(vec![one, cheap, two]));
    for user in ["alice", "bob", "both", "locked", "carl", "nobody"] {
        let before = house.hashed();
        assert_eq!(house.ask(&login(user, "wrong")), Answer::Refuse);
        assert_eq!(house.hashed() - before, 2, "{user}");
    }
    let before = house.hashed();
    assert_eq!(house.ask(&login("alice", "wrong")), Answer::Refuse);
    let event = house.event();
    assert!(
        event.contains(" reason=wrong-password ") && event.contains(" backend=one "),
        "{event}"
    );
    for (user, cost) in [("alice", 1), ("bob", 1), ("both", 1), ("carl", 0)] {
        let before = house.hashed();
        assert_eq!(house.ask(&login(user, "pencil")), Answer::Accept);
        assert_eq!(house.hashed() - before, cost, "a right one of {user} waits for nothing");
    }
    assert_eq!(house.hashed() - before, 5);
}

#[test]
fn d1_a_cheap_refusal_waits_for_its_floor_and_so_does_a_throttled_one() {
    let files = Files::new();
    let backend = files.sqlite("db", &[("alice", "", "{PLAIN}pencil")]);
    let mut house = House::new(config(vec![backend]));
    let mut took = |user: &str, password: &str| {
        house.send(&login(user, password));
        let mut passed = 0;
        while house.ready().is_empty() {
            house.pass(MILLISECOND / 10);
            passed += MILLISECOND / 10;
            house.core.due();
        }
        passed
    };
    let floor = 5 * MILLISECOND..=9 * MILLISECOND + MILLISECOND / 10;
    let known = took("alice", "wrong");
    assert!(floor.contains(&known));
    let unknown = took("nobody", "wrong");
    assert!(floor.contains(&unknown));
    assert!(floor.contains(&took("not\u{200b}a name", "wrong")));
    assert_eq!(took("alice", "wrong"), known, "a user's delay is the user's own");
    (0..10).for_each(|n| assert_eq!(took("alice", &format!("guess{n}")), known));
    assert_eq!(took("alice", "pencil"), known, "throttled");
    assert_eq!(took("nobody", "wrong"), unknown);
}

#[test]
fn accepts_wait_for_nothing() {
    let files = Files::new();
    let backend = files.sqlite("db", &[("alice", "", "{PLAIN}pencil")]);
    let mut house = House::new(config(vec![backend]));
    let id = house.send(&login("alice", "pencil"));
    assert_eq!(house.ready()[&id], Answer::Accept);
}

#[test]
fn r11_realms_that_a_backend_ignores_give_no_more_guesses() {
    let files = Files::new();
    let backend = files.shadow("shadow", &[("alice", &argon("pencil"))]);
    let mut house = House::new(config(vec![backend]));
    for number in 0..200 {
        let (realm, user) = (format!("r{number}"), if number % 2 == 0 { "alice" } else { "ALICE" });
        house.send(&login(user, &format!("guess{number}")).realm(&realm));
    }
    house.settle();
    assert_eq!(house.hashed(), 10);
}

#[test]
fn another_user_is_not_kept_by_an_attacked_one() {
    let files = Files::new();
    let hash = argon("pencil");
    let backend = files.sqlite("db", &[("alice", "", &hash), ("bob", "", &hash)]);
    let mut house = House::new(config(vec![backend]));
    (0..100).for_each(|n| assert_eq!(house.ask(&login("alice", &format!("g{n}"))), Answer::Refuse));
    assert_eq!(house.ask(&login("bob", "pencil")), Answer::Accept);
}

#[test]
fn d5_no_password_and_no_hash_in_the_log_at_any_level() {
    let files = Files::new();
    let hash = argon("sentinel-right");
    let first = files.sqlite("first", &[("alice", "", &hash), ("bad", "", "$6$sentinel-hash")]);
    let second = files.shadow("second", &[("alice", &hash), ("odd", "$y$sentinel-hash$")]);
    let mut config = config(vec![first, second, files.missing("gone")]);
    config.hashing.upgrade = true;
    let mut house = House::new(config);
    for user in ["alice", "bad", "odd", "nobody", "not\u{200b}a name"] {
        for password in ["sentinel-right", "sentinel-wrong"] {
            house.ask(&login(user, password));
            house.ask(&login(user, password).from("192.0.2.1"));
        }
    }
    let log = house.logged();
    assert!(log.lines().count() > 20);
    assert!(!log.contains("sentinel") && !log.contains("$argon2") && !log.contains("$y$"), "{log}");
}

#[test]
fn c1_sql_in_every_field_is_an_unknown_user() {
    let files = Files::new();
    let own = files.sqlite("db", &[("alice", "", &argon("pencil"))]);
    let path = files.path("db").to_str().unwrap().to_owned();
    let query = ipc::config::Backend {
        name: "query".into(),
        kind: ipc::config::BackendKind::Query {
            path,
            query: "SELECT password FROM account WHERE user = %u AND realm = %r AND %s <> 'x'"
                .into(),
        },
    };
    for backend in [own, query] {
        let mut house = House::new(config(vec![backend]));
        for text in [
            "' OR 1=1 --",
            "\\'",
            "\"",
            ";",
            "%27",
            "$$",
            "/* */",
            "%u",
            "%%",
            "%{env:X}",
            "${run}",
            "x'/**/UNION/**/SELECT/**/X'41'--",
        ] {
            for what in
                [login(text, "pencil"), login("alice", text), login("alice", "pencil").realm(text)]
            {
                assert_eq!(house.ask(&what), Answer::Refuse, "{text}");
            }
            house.pass(100 * SECOND);
            assert_eq!(
                house.ask(&login("alice", "pencil").service(text)),
                Answer::Accept,
                "{text}"
            );
        }
    }
}

#[test]
fn c4_all_names_of_one_account_share_its_limit() {
    let files = Files::new();
    let path = files.path("mail.db");
    let table = rusqlite::Connection::open(&path).unwrap();
    table.execute_batch("CREATE TABLE users (email TEXT, hash TEXT)").unwrap();
    table.execute("INSERT INTO users VALUES ('alice@x.org', ?1)", [argon("pencil")]).unwrap();
    let query = "SELECT hash FROM users WHERE email = %u OR email = %u || '@' || %r".into();
    let kind = BackendKind::Query { path: path.to_str().unwrap().into(), query };
    let mut house = House::new(config(vec![Backend { name: "mail".into(), kind }]));
    for number in 0..40 {
        let realm = format!("r{number}");
        let guess = format!("guess{number}");
        for _ in 0..2 {
            assert_eq!(house.ask(&login("alice@x.org", &guess).realm(&realm)), Answer::Refuse);
        }
    }
    assert_eq!(house.hashed(), 20, "ten guesses, each twice");
    assert_eq!(house.ask(&login("alice@x.org", "pencil").realm("x")), Answer::Refuse);
    assert!(house.event().contains(" throttled=user "));
    house.pass(200 * SECOND);
    for number in 0..40 {
        let realm = format!("s{number}");
        assert_eq!(house.ask(&login("alice@x.org", "pencil").realm(&realm)), Answer::Accept);
    }
}
