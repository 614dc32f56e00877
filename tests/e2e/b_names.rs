//! B9 and C4: one person has one name, however it is spelled, and one mapping decides about realms. Limits, cache,
//! log and backends see the same pair.

use harness::Subject;
use harness::accounts::quick_hash;
use harness::{Account, Daemon, Sandbox};
use protocol::control::{Login, Request, Reset};

use crate::accounts::{add_rows, sasldb, sqlite};
use crate::events::{Ear, Try, events};
use crate::house::{House, Plan, ready};

/// What stands in every store of [`names`], all with the password `pencil`.
const STORED: [&str; 6] =
    ["jos\u{e9}", "ann", "stra\u{df}e", "\u{5e9}\u{5dc}\u{5d5}\u{5dd}", "太郎", "J\u{f6}rg x"];

/// A login, and the name under which it is looked up; `None` where there is no such name.
const SPELLINGS: [(&str, Option<&str>); 21] = [
    ("jos\u{e9}", Some("jos\u{e9}")),
    ("jose\u{301}", Some("jos\u{e9}")),
    ("\u{ff41}nn", Some("ann")),
    ("a\u{ff4e}\u{ff4e}", Some("ann")),
    ("\u{ff21}nn", Some("Ann")),
    ("stra\u{df}e", Some("stra\u{df}e")),
    ("strasse", Some("strasse")),
    ("STRA\u{1e9e}E", Some("STRA\u{1e9e}E")),
    ("\u{5e9}\u{5dc}\u{5d5}\u{5dd}", Some("\u{5e9}\u{5dc}\u{5d5}\u{5dd}")),
    ("太郎", Some("太郎")),
    ("Jo\u{308}rg x", Some("J\u{f6}rg x")),
    ("an\u{ad}n", None),
    ("an\u{200b}n", None),
    ("ann\u{202e}", None),
    ("ann\u{feff}", None),
    ("\u{2168}", None),
    ("ann ", None),
    (" ann", None),
    ("ann\u{7}", None),
    ("ann\u{ff20}host", None),
    ("ann\u{a0}", None),
];

/// Bytes that are no UTF-8: Latin-1, overlong, a surrogate, cut.
const NOT_UTF8: [&[u8]; 5] = [b"jos\xe9", b"a\xc0\xaf", b"\xed\xa0\x80", b"ann\xff", b"\xf0\x9f"];

/// Shadow, sasldb and a table that ask for the same names, each alone in a realm.
fn names(mode: &str, limits: &str) -> Option<House> {
    if !ready() {
        return None;
    }
    let plan = Plan::new()
        .sections(&format!("[realms]\nnames = \"{mode}\""))
        .sections("[hashing]\nargon2_memory = \"8MiB\"\nargon2_passes = 1")
        .sections("[realm.\"db\"]\nchain = [\"sasldb\"]\n[realm.\"sql\"]\nchain = [\"table\"]")
        .sections(
            "[backend.table]\ntype = \"sqlite-query\"\npath = \"/etc/table.sqlite\"\n\
             query = \"SELECT pw FROM users WHERE name = %u\"",
        )
        .limits(limits);
    let sandbox = plan.furnish();
    let hash = quick_hash("pencil").unwrap();
    let mut rows: Vec<(String, Vec<u8>)> =
        STORED.map(|name| (name.to_owned(), hash.clone().into_bytes())).to_vec();
    let mut shadow = std::fs::read(sandbox.path().join("etc/shadow")).unwrap();
    shadow.extend([b"lat\xe9:", hash.as_bytes(), b":19000:0:99999:7:::\n"].concat());
    std::fs::write(sandbox.path().join("etc/shadow"), shadow).unwrap();
    add_rows(&sandbox, &std::mem::take(&mut rows));
    sasldb(&sandbox, &STORED.map(|name| (name, "db", "pencil")));
    let values = STORED.map(|name| format!("('{name}', '{hash}')")).join(", ");
    let table = sandbox.path().join("etc/table.sqlite");
    sqlite(
        &table,
        &format!("CREATE TABLE users (name TEXT, pw TEXT); INSERT INTO users VALUES {values}"),
    );
    Some(plan.start_in(sandbox))
}

#[test]
fn b9_every_store_and_the_log_see_the_one_spelling() {
    let Some(house) = names("precis", "on = false") else { return };
    for realm in ["", "db", "sql"] {
        for (login, prepared) in SPELLINGS {
            let mut ear = Ear::at(&house);
            let reply = Try::new(login, "pencil").realm(realm).ask(house.mux());
            let known = prepared.is_some_and(|name| STORED.contains(&name));
            assert_eq!(reply, if known { "OK" } else { "NO" }, "{login:?} in {realm:?}");
            let event = ear.next(&house);
            match prepared {
                Some(name) => assert_eq!(event.identity(), [name, realm], "{login:?}"),
                None => assert_eq!(event.get("reason"), "name-not-allowed", "{login:?}"),
            }
            if prepared.is_some() && !known {
                assert_eq!(event.get("reason"), "unknown-user", "{login:?} in {realm:?}");
            }
        }
        for login in NOT_UTF8 {
            let mut ear = Ear::at(&house);
            let one = Try::new(login, "pencil").realm(realm);
            assert_eq!(one.ask(house.mux()), "NO", "{}", login.escape_ascii());
            assert_eq!(ear.next(&house).get("reason"), "name-not-allowed");
        }
        // A realm is a name as well.
        let one = Try::new("ann", "pencil").realm(b"\xff".as_slice());
        assert_eq!(one.ask(house.mux()), "NO");
    }
}

#[test]
fn b9_raw_passes_bytes_on_as_they_came() {
    let Some(house) = names("raw", "on = false") else { return };
    let ask = |login: &[u8], realm: &str| Try::new(login, "pencil").realm(realm).ask(house.mux());
    assert_eq!(ask(b"lat\xe9", ""), "OK", "a name in Latin-1");
    for realm in ["", "db", "sql"] {
        assert_eq!(ask("jos\u{e9}".as_bytes(), realm), "OK");
        assert_eq!(ask("jose\u{301}".as_bytes(), realm), "NO", "in {realm:?}");
        assert_eq!(ask("\u{ff41}nn".as_bytes(), realm), "NO");
        for login in NOT_UTF8 {
            assert_eq!(ask(login, realm), "NO", "{} in {realm:?}", login.escape_ascii());
        }
    }
    let log = house.daemon.log();
    assert!(log.contains(r#"user="lat\xe9""#), "bytes are quoted");
}

fn left(house: &House, login: &str, realm: &str) -> u64 {
    let login = Login::new(login.as_bytes(), realm.as_bytes()).unwrap();
    let figures = house.operator(&Request::LimitsOf(login));
    figures.pointer("/left/user").and_then(serde_json::Value::as_u64).expect("tokens of a user")
}

#[test]
fn b9_limits_count_every_spelling_as_one_user() {
    let limits = "user = { burst = 6, count = 1, every = \"1h\" }\nrepeats = { burst = 1, count = 1, every = \"1d\" }";
    let Some(house) = names("precis", limits) else { return };
    let spellings = ["jos\u{e9}", "jose\u{301}", "Jos\u{e9}", "JOSE\u{301}", "\u{ff4a}os\u{e9}"];
    for (number, login) in spellings.into_iter().enumerate() {
        assert_eq!(house.ask(login, &format!("guess {number}")), "NO");
        for asked in spellings {
            assert_eq!(left(&house, asked, ""), 5 - number as u64, "{asked:?} after {login:?}");
        }
    }
    assert_eq!(house.ask("jose\u{301}", "guess 5"), "NO");
    let mut ear = Ear::at(&house);
    assert_eq!(house.ask("jos\u{e9}", "pencil"), "NO", "nothing is left");
    let event = ear.next(&house);
    assert_eq!([event.get("reason"), event.get("throttled")], ["throttled", "user"]);
    let login = Login::new("jose\u{301}".as_bytes(), b"").unwrap();
    house.operator(&Request::Reset(Reset::User(login)));
    assert_eq!(house.ask("jos\u{e9}", "pencil"), "OK");
}

/// Login and realm of a request; then user and realm by each mapping without and with a default realm `dflt`.
const MAPPED: [(&str, &str, [[&str; 2]; 6]); 10] = [
    ("a", "", [["a", ""], ["a", "dflt"], ["a", ""], ["a@dflt", "dflt"], ["a", ""], ["a", "dflt"]]),
    ("a", "b", [["a", "b"], ["a", "b"], ["a@b", "b"], ["a@b", "b"], ["a", "b"], ["a", "b"]]),
    (
        "a@b",
        "",
        [["a@b", ""], ["a@b", "dflt"], ["a@b", ""], ["a@b@dflt", "dflt"], ["a", "b"], ["a", "b"]],
    ),
    (
        "a@b",
        "b",
        [["a@b", "b"], ["a@b", "b"], ["a@b@b", "b"], ["a@b@b", "b"], ["a", "b"], ["a", "b"]],
    ),
    (
        "a@b",
        "c",
        [["a@b", "c"], ["a@b", "c"], ["a@b@c", "c"], ["a@b@c", "c"], ["a@b", "c"], ["a@b", "c"]],
    ),
    (
        "a@b@c",
        "",
        [
            ["a@b@c", ""],
            ["a@b@c", "dflt"],
            ["a@b@c", ""],
            ["a@b@c@dflt", "dflt"],
            ["a@b", "c"],
            ["a@b", "c"],
        ],
    ),
    (
        "@b",
        "",
        [["@b", ""], ["@b", "dflt"], ["@b", ""], ["@b@dflt", "dflt"], ["@b", ""], ["@b", "dflt"]],
    ),
    (
        "a@",
        "",
        [["a@", ""], ["a@", "dflt"], ["a@", ""], ["a@@dflt", "dflt"], ["a@", ""], ["a@", "dflt"]],
    ),
    ("A", "B", [["A", "B"], ["A", "B"], ["A@B", "B"], ["A@B", "B"], ["A", "B"], ["A", "B"]]),
    (
        "a",
        "b.",
        [["a", "b."], ["a", "b."], ["a@b.", "b."], ["a@b.", "b."], ["a", "b."], ["a", "b."]],
    ),
];

#[test]
fn c4_each_mapping_gives_backend_log_and_limits_the_same_pair() {
    for (column, (rule, default)) in [
        ("cyrus", ""),
        ("cyrus", "dflt"),
        ("join", ""),
        ("join", "dflt"),
        ("split", ""),
        ("split", "dflt"),
    ]
    .into_iter()
    .enumerate()
    {
        if !ready() {
            return;
        }
        let plan = Plan::new()
            .chain("\"sasldb\"")
            .sections(&format!("[realms]\nmapping = \"{rule}\"\ndefault_realm = \"{default}\""))
            .limits("user = { burst = 3, count = 1, every = \"1h\" }");
        let sandbox = plan.furnish();
        // Every pair of the table has a password of its own; sasldb takes the host's name for no realm.
        let pairs: std::collections::BTreeSet<[&str; 2]> =
            MAPPED.iter().flat_map(|(.., pairs)| pairs.iter().copied()).collect();
        let own = |pair: [&str; 2]| format!("of {} in {}", pair[0], pair[1]);
        let passwords: Vec<String> = pairs.iter().map(|pair| own(*pair)).collect();
        let stored: Vec<(&str, &str, &str)> = pairs
            .iter()
            .zip(&passwords)
            .map(|(pair, password)| {
                (pair[0], if pair[1].is_empty() { "mailhost" } else { pair[1] }, &**password)
            })
            .collect();
        sasldb(&sandbox, &stored);
        let house = plan.start_in(sandbox);
        for (login, realm, pairs) in MAPPED {
            let mut ear = Ear::at(&house);
            let right = Try::new(login, own(pairs[column])).realm(realm);
            assert_eq!(right.ask(house.mux()), "OK", "{rule} {default}: {login} in {realm}");
            assert_eq!(
                ear.next(&house).identity(),
                pairs[column],
                "{rule} {default}: {login} in {realm}"
            );
            let others = pairs.iter().filter(|pair| **pair != pairs[column]);
            if let Some(other) = others.into_iter().next() {
                let wrong = Try::new(login, own(*other)).realm(realm);
                assert_eq!(
                    wrong.ask(house.mux()),
                    "NO",
                    "{rule} {default}: {login} in {realm} as {other:?}"
                );
                assert_eq!(left(&house, login, realm), 2, "{rule} {default}: {login} in {realm}");
                house.operator(&Request::Reset(Reset::All));
            }
        }
    }
}

#[test]
fn c4_names_that_read_alike_are_not_alike() {
    if !ready() {
        return;
    }
    let plan =
        Plan::new().chain("\"sasldb\"").limits("user = { burst = 3, count = 1, every = \"1h\" }");
    let sandbox = plan.furnish();
    sasldb(
        &sandbox,
        &[("ab", "c", "one"), ("a", "bc", "two"), ("a", "b", "three"), ("a@b", "mailhost", "four")],
    );
    let house = plan.start_in(sandbox);
    let ask = |login: &str, realm: &str, password: &str| {
        Try::new(login, password).realm(realm).ask(house.mux())
    };
    let all = [("ab", "c", "one"), ("a", "bc", "two"), ("a", "b", "three"), ("a@b", "", "four")];
    for (login, realm, own) in all {
        for (.., password) in all {
            let wanted = if password == own { "OK" } else { "NO" };
            assert_eq!(ask(login, realm, password), wanted, "{login} in {realm} with {password}");
            house.operator(&Request::Reset(Reset::All));
        }
    }
    ask("ab", "c", "x");
    ask("ab", "c", "y");
    let rest: Vec<u64> = all.iter().map(|(login, realm, _)| left(&house, login, realm)).collect();
    assert_eq!(rest, [1, 3, 3, 3]);
    // A key of sasldb has NUL between its parts; a name that has one is no name.
    assert_eq!(ask("a\0b", "", "three"), "NO");
    assert_eq!(ask("a\0b\0userPassword", "", "three"), "NO");
}

#[test]
fn c4_the_command_lines_r_joins() {
    if !ready() {
        return;
    }
    let hash = quick_hash("pencil").unwrap();
    let house = Sandbox::with(&[
        Account::with("ann", &hash),
        Account::with("ann@lab", &quick_hash("other").unwrap()),
    ])
    .unwrap();
    for (flags, pencil, other) in [(&[][..], "OK", "NO"), (&["-r"][..], "NO", "OK")] {
        let mut daemon = Daemon::cyrus(&house, Subject::Ours, "shadow", flags).unwrap();
        assert_eq!(daemon.ask("ann", "pencil", "smtp", ""), "OK", "{flags:?}");
        assert_eq!(daemon.ask("ann", "pencil", "smtp", "lab"), pencil, "{flags:?}");
        assert_eq!(daemon.ask("ann", "other", "smtp", "lab"), other, "{flags:?}");
        assert!(daemon.stop());
        let logged: Vec<_> = events(&house.syslog().lines().join("\n"));
        let name = if flags.is_empty() { "ann" } else { "ann@lab" };
        assert_eq!(logged.last().map(|event| event.get("user").to_owned()).as_deref(), Some(name));
        house.syslog().clear();
    }
}
