//! C1 and C2: names and passwords that would be SQL, a template or a file name to somebody careless.

use std::time::Duration;

use harness::Ran;
use harness::accounts::quick_hash;

use crate::accounts::{database, sqlite, user};
use crate::events::{Try, ask_all};
use crate::house::{CONFIG, House, Plan, ready};

/// What an attacker writes for a name.
const HOSTILE: [&[u8]; 34] = [
    b"' OR 1=1 --",
    b"' OR '1'='1",
    b"\" OR 1=1 --",
    b"\\'",
    b"\\",
    b"'",
    b"''",
    b"\"",
    b";",
    b"'; DROP TABLE users; --",
    b"x'; UPDATE account SET password = NULL; --",
    b"%27",
    b"%",
    b"_",
    b"ann%",
    b"a__",
    b"*",
    b"ann' --",
    b"\xbf\x27 OR 1=1 --",
    b"\xbf'",
    b"$$",
    b"/* */",
    b"ann/*",
    b"x'/**/UNION/**/SELECT/**/X'41'--",
    b"?1",
    b":u",
    b"@u",
    b"%u",
    b"%r",
    b"%%",
    b"%{env:PATH}",
    b"${run{/bin/sh}}",
    b"%0999999999d",
    b"%s%s%n",
];

/// Templates as they are written for other programs, and the account table of our own.
const TEMPLATES: [(&str, &str); 5] = [
    ("bare", "SELECT pw FROM users WHERE name = %u AND realm = %r"),
    ("quoted", "SELECT pw FROM users WHERE name = '%u' AND realm = '%r'"),
    ("joined", "SELECT pw FROM users WHERE name || '@' || realm = '%u@%r'"),
    ("service", "SELECT pw FROM users WHERE name = %u AND realm = %r AND %s <> 'none'"),
    ("domain", "SELECT pw FROM users WHERE name = '%u' AND realm = '%d'"),
];

fn house() -> Option<House> {
    if !ready() {
        return None;
    }
    // Unknown names cost a hash of new accounts, and there are many here.
    let mut plan = Plan::new()
        .chain("\"sqlite\"")
        .sections("[hashing]\nargon2_memory = \"8MiB\"\nargon2_passes = 1");
    for (realm, query) in TEMPLATES {
        plan = plan.sections(&format!(
            "[backend.{realm}]\ntype = \"sqlite-query\"\npath = \"/etc/table.sqlite\"\nquery = \"{query}\"\n\
             [realm.\"{realm}\"]\nchain = [\"{realm}\"]"
        ));
    }
    let sandbox = plan.furnish();
    let table = sandbox.path().join("etc/table.sqlite");
    sqlite(&table, "CREATE TABLE users (name TEXT, realm TEXT, pw TEXT)");
    let hash = quick_hash("pencil").unwrap();
    for (realm, _) in TEMPLATES {
        // Names that only a careless program takes for something else are accounts like any others.
        for name in ["ann", "%u", "' OR 1=1 --"] {
            let name = name.replace('\'', "''");
            sqlite(&table, &format!("INSERT INTO users VALUES ('{name}', '{realm}', '{hash}')"));
        }
    }
    let house = plan.start_in(sandbox);
    for name in ["ann", "%u", "' OR 1=1 --"] {
        user(&house, "add", name, "", &["--password-stdin"], "pencil");
    }
    Some(house)
}

fn realms() -> impl Iterator<Item = &'static str> {
    std::iter::once("").chain(TEMPLATES.map(|(realm, _)| realm))
}

fn dumps(house: &House) -> [String; 2] {
    [house.at("/etc/table.sqlite"), database(house)].map(|path| sqlite(&path, ".dump"))
}

/// The hostile strings in one field each, and all the others as they should be.
fn attacks() -> Vec<Try> {
    let long = vec![b'\''; 1000];
    let longer = vec![b'\''; 65_535];
    let mut tries = Vec::new();
    for realm in realms() {
        for text in HOSTILE.into_iter().chain([&long[..], &longer, b"ann\0", b"\0"]) {
            tries.push(Try::new(text, "wrong").realm(realm));
            tries.push(Try::new(text, text).realm(realm));
            tries.push(Try::new("ann", text).realm(realm));
            tries.push(Try::new("ann", "wrong").realm(realm).service(text));
            tries.push(Try::new("nobody-here", "pencil").realm(realm).service(text));
        }
    }
    for text in HOSTILE.into_iter().chain([&long[..], &longer]) {
        tries.push(Try::new("ann", "wrong").realm(text));
        tries.push(Try::new(text, "wrong").realm(text));
    }
    tries
}

#[test]
fn c1_no_field_is_ever_sql() {
    let Some(house) = house() else { return };
    for realm in realms() {
        assert_eq!(Try::new("ann", "pencil").realm(realm).ask(house.mux()), "OK", "{realm}");
    }
    let before = dumps(&house);
    assert!(before.iter().all(|dump| dump.contains("CREATE TABLE")), "{before:?}");
    let tries = attacks();
    for (one, reply) in tries.iter().zip(ask_all(house.mux(), &tries)) {
        let fields = [&one.login, &one.password, &one.service, &one.realm];
        let shown = fields.map(|field| field.get(..60).unwrap_or(field).escape_ascii().to_string());
        // Who goes on sending what nobody reads is cut off behind the answer.
        assert_eq!(reply.trim_end_matches(" (reset)"), "NO", "{shown:?}");
    }
    assert!(dumps(&house) == before, "the tables changed:\n{:?}\n{before:?}", dumps(&house));
    for realm in realms() {
        assert_eq!(Try::new("ann", "pencil").realm(realm).ask(house.mux()), "OK", "{realm}");
    }
}

#[test]
fn c2_a_name_is_a_name_whatever_it_looks_like() {
    let Some(house) = house() else { return };
    for realm in realms() {
        for name in ["ann", "%u", "' OR 1=1 --"] {
            let ask = |password: &str| Try::new(name, password).realm(realm).ask(house.mux());
            assert_eq!(ask("pencil"), "OK", "{name} in {realm:?}");
            assert_eq!(ask("wrong"), "NO", "{name} in {realm:?}");
        }
    }
    // One that the name would be after a second expansion.
    for name in ["%u%u", "ann%r", "%%u", "'%u'", "%25u", "\\%u"] {
        for realm in realms() {
            let one = Try::new(name, "pencil").realm(realm);
            assert_eq!(one.ask(house.mux()), "NO", "{name} in {realm:?}");
        }
    }
}

#[test]
fn c2_what_a_template_may_not_say_is_an_error_before_the_start() {
    if !ready() {
        return;
    }
    for (query, complaint) in [
        ("SELECT pw FROM users WHERE name = %x", "%x"),
        ("SELECT pw FROM users WHERE name = %{user}", "%{"),
        ("SELECT pw FROM users WHERE name = '%u", "quote"),
        ("SELECT pw FROM users WHERE name = %u /* ", "comment"),
        ("SELECT pw FROM %u", ""),
        ("SELECT pw FROM users WHERE name = ?1", ""),
        ("SELECT pw FROM users WHERE name = %", ""),
        ("UPDATE users SET pw = NULL WHERE name = %u", ""),
        ("SELECT pw FROM users WHERE name = %u; DROP TABLE users", ""),
    ] {
        let plan = Plan::new().chain("\"table\"").sections(&format!(
            "[backend.table]\ntype = \"sqlite-query\"\npath = \"/etc/table.sqlite\"\nquery = \"{query}\""
        ));
        let sandbox = plan.furnish();
        let table = sandbox.path().join("etc/table.sqlite");
        sqlite(
            &table,
            "CREATE TABLE users (name TEXT, pw TEXT); INSERT INTO users VALUES ('ann', 'x')",
        );
        let program = harness::Subject::Ours.program("saslauthd");
        let checked = sandbox.run(&program, ["--check", "--config", CONFIG]).unwrap();
        let said = [checked.out(), checked.err()].concat();
        let found = if checked.code == Some(0) {
            // The rest is found by the one process that speaks SQL: it doesn't start, or never has an answer.
            let ran = Ran::of(&mut plan.command(&sandbox), b"", Duration::from_secs(2)).unwrap();
            if ran.hung {
                let house = plan.start_in(sandbox);
                assert_eq!(house.ask("ann", "x"), "(closed)", "{query}");
                house.await_log("backend table is unavailable: ");
                let table = house.at("/etc/table.sqlite");
                assert_eq!(sqlite(&table, "SELECT * FROM users"), "ann|x", "{query}");
                assert_eq!(complaint, "", "{query} is no error at the start");
                continue;
            }
            assert_ne!(ran.code, Some(0), "{query}");
            ran.err()
        } else {
            assert!(said.contains("saslauthd.toml:"), "{query}: {said}");
            said
        };
        assert!(found.contains(complaint), "{query}: {found}");
        assert_eq!(sqlite(&table, "SELECT * FROM users"), "ann|x", "{query}");
    }
}
