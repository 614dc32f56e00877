//! Which answer, from which backend, and what the log says of it.

use accounts::Edit;
use ipc::config::{BackendKind, MappingRule, RealmChain};
use protocol::Answer;

use super::house::*;

#[test]
fn right_wrong_and_unknown() {
    let files = Files::new();
    let backend = files.sqlite("db", &[("alice", "", &argon("pencil")), ("bob", "", "{PLAIN}ink")]);
    let mut house = House::new(config(vec![backend]));
    assert_eq!(house.ask(&login("alice", "pencil")), Answer::Accept);
    let event = house.event();
    assert!(event.contains(" outcome=accept reason=- user=\"alice\" realm=\"\" service=\"smtp\" backend=db scheme=argon2id cache=off "), "{event}");
    assert_eq!(house.ask(&login("alice", "Pencil")), Answer::Refuse);
    assert!(house.event().contains(" outcome=refuse reason=wrong-password "));
    assert_eq!(house.ask(&login("bob", "ink")), Answer::Accept);
    assert!(house.event().contains(" scheme=plain "));
    assert_eq!(house.ask(&login("carol", "ink")), Answer::Refuse);
    assert!(house.event().contains(" reason=unknown-user "));
    assert!(house.event().contains(" backend=- scheme=- "));
}

#[test]
fn every_backend_of_the_chain_is_tried_until_one_accepts() {
    let files = Files::new();
    let first = files.sqlite("first", &[("alice", "", &argon("one")), ("locked", "", "!x")]);
    let second = files.shadow(
        "second",
        &[("alice", &argon("two")), ("bob", &argon("two")), ("locked", &argon("two"))],
    );
    let mut house = House::new(config(vec![first, second]));
    for (user, password, answer) in [
        ("alice", "one", Answer::Accept),
        ("alice", "two", Answer::Accept),
        ("bob", "two", Answer::Accept),
        ("locked", "two", Answer::Accept),
        ("alice", "three", Answer::Refuse),
        ("bob", "one", Answer::Refuse),
    ] {
        assert_eq!(house.ask(&login(user, password)), answer, "{user} {password}");
    }
    // The first backend's reason is the one that is told.
    assert_eq!(house.ask(&login("locked", "one")), Answer::Refuse);
    assert!(house.event().contains(" reason=locked "));
    assert!(house.event().contains(" backend=first "));
}

#[test]
fn a12_a_backend_that_is_away_is_unavailable_unless_another_accepts() {
    let files = Files::new();
    let works = files.sqlite("works", &[("alice", "", &argon("pencil"))]);
    for backends in [vec![files.missing("gone"), works.clone()], vec![works, files.missing("gone")]]
    {
        let mut house = House::new(config(backends));
        assert_eq!(house.ask(&login("alice", "pencil")), Answer::Accept);
        assert_eq!(house.ask(&login("alice", "wrong")), Answer::Unavailable);
        assert_eq!(house.ask(&login("nobody", "wrong")), Answer::Unavailable);
        assert!(house.event().contains(" outcome=unavailable reason=backend "));
        assert!(house.event().contains(" backend=gone "));
        let log = house.logged();
        assert_eq!(log.matches("backend gone is unavailable: ").count(), 1, "told once: {log}");
        // An outage locks nobody out.
        (0..50).for_each(|_| assert_eq!(house.ask(&login("nobody", "x")), Answer::Unavailable));
        assert_eq!(house.core.operator(&of("nobody"), serde_json::Value::Null)["left"]["user"], 10);
        // But while one backend is away the other gives no free guesses.
        let before = house.hashed();
        for n in 0..50 {
            assert_ne!(house.ask(&login("alice", &format!("guess{n}"))), Answer::Accept);
        }
        assert_eq!(house.hashed() - before, 9);
    }
}

fn of(user: &str) -> protocol::control::Request {
    let login = protocol::control::Login::new(user.as_bytes(), b"").unwrap();
    protocol::control::Request::LimitsOf(login)
}

#[test]
fn a_backend_that_comes_back_is_told() {
    let files = Files::new();
    let backend = files.shadow("shadow", &[("alice", &argon("pencil"))]);
    let away = files.path("away");
    std::fs::rename(files.path("shadow"), &away).unwrap();
    let mut house = House::new(config(vec![backend]));
    assert_eq!(house.ask(&login("alice", "pencil")), Answer::Unavailable);
    std::fs::rename(&away, files.path("shadow")).unwrap();
    assert_eq!(house.ask(&login("alice", "pencil")), Answer::Accept);
    assert!(house.logged().contains("backend shadow works again"));
}

#[test]
fn a_database_that_another_program_keeps_locked_does_not_stop_the_others() {
    let files = Files::new();
    let foreign = rusqlite::Connection::open(files.path("foreign")).unwrap();
    foreign.execute_batch("CREATE TABLE users (name TEXT, hash TEXT)").unwrap();
    let query = ipc::config::Backend {
        name: "foreign".into(),
        kind: BackendKind::Query {
            path: files.path("foreign").to_str().unwrap().into(),
            query: "SELECT hash FROM users WHERE name = %u".into(),
        },
    };
    let shadow = files.shadow("shadow", &[("alice", &argon("pencil"))]);
    let mut house = House::new(config(vec![query, shadow]));
    assert_eq!(house.ask(&login("nobody", "pencil")), Answer::Refuse);
    foreign.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let start = std::time::Instant::now();
    assert_eq!(house.ask(&login("alice", "pencil")), Answer::Accept);
    let once = start.elapsed();
    assert_eq!(house.ask(&login("nobody", "pencil")), Answer::Unavailable);
    (0..50).for_each(|_| assert_eq!(house.ask(&login("alice", "pencil")), Answer::Accept));
    assert!(start.elapsed() < once * 10, "it was asked again and again");
}

#[test]
fn a_name_that_takes_too_long_is_away_alone_and_not_for_free() {
    let files = Files::new();
    let table = rusqlite::Connection::open(files.path("mail")).unwrap();
    table.execute_batch("CREATE TABLE users (name TEXT, hash TEXT)").unwrap();
    for name in ["alice", "slow"] {
        table.execute("INSERT INTO users VALUES (?1, ?2)", [name, &argon("pencil")]).unwrap();
    }
    let kind = BackendKind::Query {
        path: files.path("mail").to_str().unwrap().into(),
        query: "SELECT hash FROM users WHERE name = %u AND (name <> 'slow' OR (WITH RECURSIVE \
                t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t) > 0)"
            .into(),
    };
    let mut house = House::new(config(vec![ipc::config::Backend { name: "mail".into(), kind }]));
    assert_eq!(house.ask(&login("slow", "pencil")), Answer::Unavailable);
    assert!(house.logged().contains("the query took longer"), "{}", house.logged());
    assert_eq!(house.ask(&login("alice", "pencil")), Answer::Accept);
    let of_slow = house.core.operator(&of("slow"), serde_json::Value::Null);
    assert_eq!(
        (&of_slow["left"]["user"], &of_slow["digests"]),
        (&9.into(), &0.into()),
        "{of_slow}"
    );
}

#[test]
fn no_backend_at_all_refuses_everybody() {
    let mut house = House::new(config(vec![]));
    assert_eq!(house.ask(&login("alice", "pencil")), Answer::Refuse);
}

#[test]
fn a_realm_has_its_own_chain_and_only_that() {
    let files = Files::new();
    let [one, two] = ["one", "two"].map(|name| {
        files.sqlite(name, &[("alice", "", &argon(name)), ("alice", "own.example", &argon(name))])
    });
    let mut config = config(vec![one, two]);
    config.chain = vec![0];
    config.realms = vec![RealmChain { realm: "own.example".into(), chain: vec![1] }];
    config.mapping.rule = MappingRule::Split;
    let mut house = House::new(config);
    assert_eq!(house.ask(&login("alice@own.example", "two")), Answer::Accept);
    assert_eq!(house.ask(&login("alice", "two").realm("own.example")), Answer::Accept);
    assert_eq!(house.ask(&login("alice@own.example", "one")), Answer::Refuse);
    assert_eq!(house.ask(&login("alice", "one")), Answer::Accept);
    assert_eq!(house.ask(&login("alice", "two")), Answer::Refuse);
    assert_eq!(house.ask(&login("alice@OWN.example", "two")), Answer::Refuse);
}

#[test]
fn realms_of_the_config_are_prepared_as_those_of_requests() {
    let files = Files::new();
    let (composed, apart) = ("b\u{fc}cher.example", "bu\u{308}cher.example");
    let [one, two] =
        ["one", "two"].map(|name| files.sqlite(name, &[("alice", composed, &argon(name))]));
    let mut config = config(vec![one, two]);
    config.chain = vec![0];
    config.realms = vec![RealmChain { realm: apart.into(), chain: vec![1] }];
    config.mapping.default_realm = apart.into();
    let mut house = House::new(config.clone());
    for realm in [composed, apart, ""] {
        assert_eq!(house.ask(&login("alice", "two").realm(realm)), Answer::Accept, "{realm}");
        assert_eq!(house.ask(&login("alice", "one").realm(realm)), Answer::Refuse, "{realm}");
    }
    let complaint = |config| House::open(config).err().unwrap().to_string();
    config.mapping.default_realm = "not\u{200b}one".into();
    assert!(complaint(config.clone()).starts_with("default realm \"not\\u{200b}one\": it has"));
    config.mapping.default_realm.clear();
    config.realms[0].realm = "none\u{200b}either".into();
    assert!(complaint(config).starts_with("realm \"none\\u{200b}either\": it has"));
}

#[test]
fn states_and_restrictions_count_after_the_comparison() {
    let files = Files::new();
    let hash = argon("pencil");
    let backend = files.sqlite("db", &[("off", "", &hash), ("gone", "", &hash)]);
    files.edit("db", "off", &Edit::Lock);
    files.edit("db", "gone", &Edit::Expire(Some(accounts::UnixTime(1_700_000_000))));
    files.add("db", "imap", "", &hash, restrictions("imap", "*"));
    files.add("db", "near", "", &hash, restrictions("*", "192.0.2.0/24"));
    let mut house = House::new(config(vec![backend]));
    let mut check = |what: Try<'_>, answer, reason: &str| {
        assert_eq!(house.ask(&what), answer, "{} {reason}", what.login);
        assert!(house.event().contains(&format!(" reason={reason} ")), "{}", house.event());
    };
    check(login("off", "pencil"), Answer::Refuse, "disabled");
    check(login("off", "wrong"), Answer::Refuse, "wrong-password");
    check(login("gone", "pencil"), Answer::Refuse, "account-expired");
    check(login("imap", "pencil"), Answer::Refuse, "service-not-allowed");
    check(login("imap", "pencil").service("imap"), Answer::Accept, "-");
    check(login("near", "pencil").from("192.0.2.9"), Answer::Accept, "-");
    check(login("near", "pencil").from("198.51.100.9"), Answer::Refuse, "network-not-allowed");
    // An address that nobody stated, or that does not count, is nowhere.
    check(login("near", "pencil"), Answer::Refuse, "network-not-allowed");
    check(login("near", "pencil").ignored("192.0.2.9"), Answer::Refuse, "network-not-allowed");
}

#[test]
fn c6_two_backends_on_one_file_keep_their_own_filters() {
    let files = Files::new();
    let db = files.sqlite("db", &[("alice", "", &argon("pencil"))]);
    let BackendKind::Sqlite { path } = db.kind else { unreachable!() };
    let query = |name: &str, service: &str| ipc::config::Backend {
        name: name.into(),
        kind: BackendKind::Query {
            path: path.clone(),
            query: format!("SELECT password FROM account WHERE user = %u AND '{service}' = %s"),
        },
    };
    let mut config = config(vec![query("smtp-only", "smtp"), query("imap-only", "imap")]);
    config.realms = vec![RealmChain { realm: "imap".into(), chain: vec![1] }];
    config.chain = vec![0];
    let mut house = House::new(config);
    assert_eq!(house.ask(&login("alice", "pencil").service("smtp")), Answer::Accept);
    assert_eq!(house.ask(&login("alice", "pencil").service("imap")), Answer::Refuse);
    assert_eq!(house.ask(&login("alice", "pencil").service("imap").realm("imap")), Answer::Accept);
    assert_eq!(house.ask(&login("alice", "pencil").service("smtp").realm("imap")), Answer::Refuse);
}

#[test]
fn b9_one_spelling_everywhere() {
    let files = Files::new();
    let backend = files.sqlite("db", &[("b\u{fc}cher", "", &argon("pencil"))]);
    let mut house = House::new(config(vec![backend]));
    assert_eq!(house.ask(&login("bu\u{308}cher", "pencil")), Answer::Accept);
    assert!(house.event().contains("user=\"b\u{fc}cher\""), "the log has the prepared name");
    assert_eq!(house.ask(&login("b\u{fc}cher\u{200b}", "pencil")), Answer::Refuse);
    assert!(house.event().contains(" reason=name-not-allowed "));
    assert_eq!(house.ask(&login("alice\u{ff20}x", "pencil")), Answer::Refuse);
}

#[test]
fn an_operator_sees_what_happened() {
    use protocol::control::{Login, Request, Reset};
    let files = Files::new();
    let backend = files.sqlite("db", &[("alice", "", &argon("pencil"))]);
    let mut house = House::new(config(vec![backend, files.missing("gone")]));
    assert_eq!(house.ask(&login("alice", "pencil")), Answer::Accept);
    let mut ask = |request: Request| house.core.operator(&request, serde_json::json!("house"));
    let status = ask(Request::Status);
    assert_eq!(status["house"], "house");
    assert_eq!(status["logins"]["accepted"], 1);
    assert_eq!(status["backends"][0]["trouble"], serde_json::Value::Null);
    assert!(status["backends"][1]["trouble"].as_str().unwrap().contains("no such file"));
    assert_eq!(status["pool"]["done"], 1);
    let alice = || Login::new(b"alice", b"").unwrap();
    assert_eq!(ask(Request::LimitsOf(alice()))["known_good"], 1);
    assert_eq!(ask(Request::LimitsOf(alice()))["left"]["user"], 10);
    assert_eq!(ask(Request::Limits)["classes"].as_array().unwrap().len(), 10);
    for reset in [Reset::All, Reset::User(alice()), Reset::Source("192.0.2.1".parse().unwrap())] {
        assert!(ask(Request::Reset(reset))["done"].is_string());
    }
    assert!(ask(Request::CacheFlush)["done"].is_string());
}
