//! B1 to B3 and B5 to B7: what stands where a hash should be, and hashes that are worth nothing or too much.

use std::time::{Duration, Instant};

use harness::accounts::crypt;
use harness::sasldb::load;

use crate::accounts::{add_rows, sqlite};
use crate::events::{Ear, Try, ask_all};
use crate::house::{House, LOGIN, PASSWORD, Plan, ready};
use crate::visitors::Visitors;

const SECRET: &str = "secret12";
/// Whatever is weak counts here, so that each is refused for its own fault.
const WEAK: &str = "[hashing]\nweak = [\"plain\", \"des\", \"bsdi\", \"nt\", \"md5\", \"sha1\"]\ntruncate = true\n\
    argon2_memory = \"8MiB\"\nargon2_passes = 1";

/// What an unusable row of a table costs, and it is many of them.
const SMALL: &str = "[hashing]\nargon2_memory = \"8MiB\"\nargon2_passes = 1";

/// Every scheme of crypt(3), with a setting that is cheap to compute.
const SETTINGS: [&str; 13] = [
    "$y$j75$abcdefgh$",
    "$gy$j75$abcdefgh$",
    "$7$6U..../....abcdefgh$",
    "$2b$04$abcdefghijklmnopqrstuu",
    "$2a$04$abcdefghijklmnopqrstuu",
    "$2y$04$abcdefghijklmnopqrstuu",
    "$6$rounds=1000$abcdefgh$",
    "$5$rounds=1000$abcdefgh$",
    "$sha1$100$abcdefgh$",
    "$1$abcdefgh$",
    "$3$",
    "_J9..abcd",
    "ab",
];

/// Where Dovecot's forms are taken, which shadow never has.
const TABLE: &str = "[backend.table]\ntype = \"sqlite-query\"\npath = \"/etc/table.sqlite\"\n\
    query = \"SELECT pw FROM users WHERE name = %u\"\n[realm.\"table\"]\nchain = [\"table\"]";

/// A house with these rows in its shadow, and those of Dovecot's forms in a table as well.
fn with_rows(plan: Plan, rows: &[(String, Vec<u8>)]) -> Option<House> {
    if !ready() {
        return None;
    }
    let plan = plan.sections(TABLE);
    let sandbox = plan.furnish();
    add_rows(&sandbox, rows);
    let mut statements = "CREATE TABLE users (name TEXT, pw TEXT);".to_owned();
    for (name, field) in rows.iter().filter(|(_, field)| field.contains(&b'{')) {
        let hex: String = field.iter().map(|byte| format!("{byte:02x}")).collect();
        statements += &format!("INSERT INTO users VALUES ('{name}', CAST(X'{hex}' AS TEXT));");
    }
    sqlite(&sandbox.path().join("etc/table.sqlite"), &statements);
    Some(plan.start_in(sandbox))
}

/// A login where the row is: in the table for Dovecot's forms.
fn attempt((name, field): &(String, Vec<u8>), password: &str) -> Try {
    Try::new(name, password).realm(if field.contains(&b'{') { "table" } else { "" })
}

fn rows(fields: impl IntoIterator<Item = Vec<u8>>) -> Vec<(String, Vec<u8>)> {
    fields.into_iter().enumerate().map(|(at, field)| (format!("row{at}"), field)).collect()
}

/// Each row with each password has to be refused, with the same bytes.
fn all_refused(house: &House, rows: &[(String, Vec<u8>)], passwords: &[&[u8]]) {
    let mut tries = Vec::new();
    for (name, field) in rows {
        tries.extend(passwords.iter().map(|password| Try::new(name, password)));
        tries.push(Try::new(name, field));
    }
    for (one, reply) in tries.iter().zip(ask_all(house.mux(), &tries)) {
        let row = rows.iter().find(|(name, _)| name.as_bytes() == one.login).unwrap();
        let (field, tried) = (row.1.escape_ascii(), one.password.escape_ascii());
        assert_eq!(reply, "NO", "field {field} with password {tried}");
    }
}

#[test]
fn b1_what_is_no_hash_lets_nobody_in_and_ends_nothing() {
    let hash = crypt(SECRET, "$6$rounds=1000$abcdefgh$").unwrap();
    let multibyte = "$\u{e9}2\u{e9}b\u{e9}04$abcdefghijklmnop\u{e9}qrstuuyvPXIbu7xe6/CED2DzX8z6S";
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "no-password"),
        (b"!".to_vec(), "locked"),
        (b"!!".to_vec(), "locked"),
        (b"*".to_vec(), "locked"),
        (b"*0".to_vec(), "locked"),
        (b"*1".to_vec(), "locked"),
        (b"*LK*".to_vec(), "locked"),
        (b"x".to_vec(), "scheme-not-allowed"),
        (b"NP".to_vec(), "scheme-not-allowed"),
        (b"..".to_vec(), "scheme-not-allowed"),
        (b"ab".to_vec(), "scheme-not-allowed"),
        (b"$6".to_vec(), "scheme-not-allowed"),
        (b"$6$".to_vec(), "malformed-hash"),
        (b"$y$".to_vec(), "malformed-hash"),
        (b"$3$".to_vec(), "malformed-hash"),
        (b"$2y$10$short".to_vec(), "malformed-hash"),
        (b"$9$abcdefgh$abcdefghijklmnop".to_vec(), "scheme-not-allowed"),
        (b"$6$rounds=10$abcdefgh$".to_vec(), "malformed-hash"),
        (b"$6$rounds=4294967297$abcdefgh$".to_vec(), "malformed-hash"),
        (b"$argon2id$v=19$m=16,t=2,p=1$garbage".to_vec(), "malformed-hash"),
        (b"$argon2id$garbage".to_vec(), "malformed-hash"),
        (format!("!{hash}").into_bytes(), "locked"),
        (format!("*{hash}").into_bytes(), "locked"),
        (multibyte.into(), "scheme-not-allowed"),
        (b"\xff\xfe$6$\xc0\xaf".to_vec(), "scheme-not-allowed"),
        (
            b"$2b$04$\xff\xffcdefghijklmnopqrstuuyvPXIbu7xe6/CED2DzX8z6Si09Mlzl".to_vec(),
            "malformed-hash",
        ),
        (b"{NO-SUCH}abc".to_vec(), "scheme-not-allowed"),
        (b"%s%n%s%n".to_vec(), "scheme-not-allowed"),
    ];
    let rows = rows(cases.iter().map(|(field, _)| field.clone()));
    let Some(house) = with_rows(Plan::new().sections(WEAK), &rows) else { return };
    let pids = house.daemon.pids();
    for (name, (field, reason)) in rows.iter().map(|(name, _)| name).zip(&cases) {
        let mut ear = Ear::at(&house);
        assert_eq!(house.ask(name, SECRET), "NO", "{}", field.escape_ascii());
        assert_eq!(ear.next(&house).get("reason"), *reason, "{}", field.escape_ascii());
    }
    all_refused(&house, &rows, &[b"x", b"pw", b"\xff", &[b'a'; 512]]);
    assert_eq!(house.daemon.pids(), pids, "a process ended");
    assert_eq!(house.visit(), "OK");
    let log = house.daemon.log();
    assert!(!log.contains("abcdefgh") && !log.contains("garbage"), "a hash is in the log");
}

/// A field of NULL, of nothing and of white space in each kind of store.
#[test]
fn b2_an_empty_hash_is_no_password_in_any_store() {
    if !ready() {
        return;
    }
    let plan = Plan::new().chain("\"shadow\", \"sasldb\", \"table\"").sections(
        "[backend.table]\ntype = \"sqlite-query\"\npath = \"/etc/table.sqlite\"\n\
         query = \"SELECT pw FROM users WHERE name = %u\"",
    );
    let sandbox = plan.furnish();
    let blank = [&b""[..], b" ", b"\t", b"   "];
    add_rows(
        &sandbox,
        &blank
            .iter()
            .enumerate()
            .map(|(at, field)| (format!("s{at}"), field.to_vec()))
            .collect::<Vec<_>>(),
    );
    let keys: Vec<Vec<u8>> =
        (0..2).map(|at| format!("d{at}\0mailhost\0userPassword").into_bytes()).collect();
    load(&sandbox.path().join("etc/sasldb2"), &[(&keys[0], b""), (&keys[1], b"\0")]).unwrap();
    let table = sandbox.path().join("etc/table.sqlite");
    sqlite(&table, "CREATE TABLE users (name TEXT, pw);
        INSERT INTO users VALUES ('q0', NULL), ('q1', ''), ('q2', ' '), ('q3', X''), ('q4', X'00'), ('q5', char(9)), ('q6', 0)");
    let house = plan.start_in(sandbox);
    let names: Vec<String> = ["s0", "s1", "s2", "s3", "d0", "d1", "q0", "q1", "q2", "q5"]
        .map(ToOwned::to_owned)
        .to_vec();
    let mut tries = Vec::new();
    for name in &names {
        for password in [&b""[..], b" ", b"x", b"\t", b"\0", b"NULL"] {
            tries.push(Try::new(name, password));
        }
    }
    for (one, reply) in tries.iter().zip(ask_all(house.mux(), &tries)) {
        assert_eq!(reply, "NO", "{one:?}");
    }
    // Numbers and blobs are no hashes either; a query that returns them is the operator's slip, and never a way in.
    for (name, password) in [("q3", "x"), ("q4", "\u{1}"), ("q6", "0")] {
        assert_eq!(house.ask(name, password), "(closed)", "{name}");
    }
    for name in ["s0", "s1", "q0", "q1", "q2"] {
        let mut ear = Ear::at(&house);
        assert_eq!(house.ask(name, "x"), "NO");
        assert_eq!(ear.next(&house).get("reason"), "no-password", "{name}");
    }
    assert_eq!(house.visit(), "OK");
}

#[test]
fn b3_a_hash_that_is_locked_cut_or_longer_lets_nobody_in() {
    if !ready() {
        return;
    }
    let mut hashes: Vec<String> =
        SETTINGS.iter().map(|setting| crypt(SECRET, setting).expect("crypt(3) knows it")).collect();
    // Of "secret12": argon2id and what Dovecot writes.
    hashes.push(ARGON2ID.to_owned());
    hashes.push(format!("{{CRYPT}}{}", hashes[6]));
    hashes.push("{SSHA}ecV3Yvu6ACsw5bUb6Fcevq/T76xzYWx0".to_owned());
    let whole = rows(hashes.iter().map(|hash| hash.clone().into_bytes()));
    let mut broken = Vec::new();
    for hash in &hashes {
        broken.extend((1..hash.len()).map(|length| hash.as_bytes()[..length].to_vec()));
        for tail in ["x", "$", ".", " ", "\t", "\r", "\\", "\u{e9}"] {
            broken.push(format!("{hash}{tail}").into_bytes());
        }
        for head in ["!", "!!", "*", " ", "x"] {
            broken.push(format!("{head}{hash}").into_bytes());
        }
    }
    let named: Vec<(String, Vec<u8>)> =
        broken.into_iter().enumerate().map(|(at, field)| (format!("b{at}"), field)).collect();
    let plan = Plan::new().sections(WEAK);
    let Some(house) = with_rows(plan, &[whole.clone(), named.clone()].concat()) else { return };
    for row in &whole {
        assert_eq!(attempt(row, SECRET).ask(house.mux()), "OK", "{}", row.1.escape_ascii());
    }
    let tries: Vec<Try> = named.iter().map(|row| attempt(row, SECRET)).collect();
    assert!(tries.len() > 700, "{}", tries.len());
    for ((_, field), reply) in named.iter().zip(ask_all(house.mux(), &tries)) {
        assert_eq!(reply, "NO", "{}", field.escape_ascii());
    }
    assert_eq!(house.visit(), "OK");
}

/// argon2id of `secret12`, by the reference program argon2(1) with `-id -t 2 -k 64 -p 1` and salt `abcdefgh`.
const ARGON2ID: &str =
    "$argon2id$v=19$m=64,t=2,p=1$YWJjZGVmZ2g$ToFg5cdQ3mEMSP2jbvIugFtMT5AHwaAzZtATxjcR+To";

#[test]
fn b5_weak_schemes_need_a_word_of_the_configuration() {
    // md5 and sha1 of "secret12", in the clear, and three of crypt(3).
    let cases: [(&str, String); 6] = [
        ("des", crypt(SECRET, "ab").unwrap()),
        ("bsdi", crypt(SECRET, "_J9..abcd").unwrap()),
        ("nt", crypt(SECRET, "$3$").unwrap()),
        ("plain", format!("{{PLAIN}}{SECRET}")),
        ("md5", "{PLAIN-MD5}8b2fee48cd255fddee9a662b55da4fd4".into()),
        ("sha1", "{SHA}6UJOfiqIYKDTGYp5TpQiLXoQg9I=".into()),
    ];
    let rows = rows(cases.iter().map(|(_, field)| field.clone().into_bytes()));
    let Some(strict) = with_rows(Plan::new(), &rows) else { return };
    for (row, (word, _)) in rows.iter().zip(&cases) {
        let mut ear = Ear::at(&strict);
        assert_eq!(attempt(row, SECRET).ask(strict.mux()), "NO", "{word}");
        assert_eq!(ear.next(&strict).get("reason"), "scheme-not-allowed", "{word}");
    }
    // Each word opens its own scheme and no other.
    for (open, _) in &cases {
        let plan = Plan::new().sections(&format!("[hashing]\nweak = [\"{open}\"]"));
        let house = with_rows(plan, &rows).unwrap();
        for (row, (word, _)) in rows.iter().zip(&cases) {
            let wanted = if word == open { "OK" } else { "NO" };
            let reply = attempt(row, SECRET).ask(house.mux());
            assert_eq!(reply, wanted, "{word} where {open} is allowed");
        }
    }
}

#[test]
fn b6_passwords_longer_than_a_scheme_looks_at() {
    let letters = |count: usize| "A".repeat(count);
    let fields = [
        crypt(&letters(80), "$2b$04$abcdefghijklmnopqrstuu").unwrap(),
        crypt(&letters(12), "ab").unwrap(),
        crypt(&letters(511), "$6$rounds=1000$abcdefgh$").unwrap(),
    ];
    let rows = rows(fields.map(String::into_bytes));
    // What a stored hash can't tell apart is let in only up to the length that it is made of.
    let lengths = [
        (
            "row0",
            [
                (71, "NO", "NO"),
                (72, "OK", "OK"),
                (73, "NO", "OK"),
                (80, "NO", "OK"),
                (600, "NO", "OK"),
            ],
        ),
        (
            "row1",
            [
                (7, "NO", "NO"),
                (8, "OK", "OK"),
                (9, "NO", "OK"),
                (12, "NO", "OK"),
                (600, "NO", "OK"),
            ],
        ),
        (
            "row2",
            [
                (510, "NO", "NO"),
                (511, "OK", "OK"),
                (512, "NO", "NO"),
                (1022, "NO", "NO"),
                (8192, "NO", "NO"),
            ],
        ),
    ];
    let strict = with_rows(Plan::new().sections("[hashing]\nweak = [\"des\"]"), &rows);
    let Some(strict) = strict else { return };
    let plan = Plan::new().sections("[hashing]\nweak = [\"des\"]\ntruncate = true");
    let truncating = with_rows(plan, &rows).unwrap();
    for (name, tries) in lengths {
        for (length, refused, cut) in tries {
            assert_eq!(strict.ask(name, &letters(length)), refused, "{name}, {length} bytes");
            assert_eq!(truncating.ask(name, &letters(length)), cut, "{name}, {length} bytes, cut");
        }
    }
}

#[test]
fn b7_hashes_that_ask_for_the_whole_machine_are_refused_by_their_price() {
    let tail86 = "a".repeat(85) + ".";
    let (tail43, tail22) = ("a".repeat(42) + ".", "a".repeat(21) + ".");
    let bombs: Vec<String> = vec![
        format!("$6$rounds=999999999$abcdefgh${tail86}"),
        format!("$5$rounds=999999999$abcdefgh${tail43}"),
        "$2b$31$abcdefghijklmnopqrstuuyvPXIbu7xe6/CED2DzX8z6Si09MlzlW".into(),
        format!("$sha1$4294967295$abcdefgh${}", "a".repeat(28)),
        format!("$md5,rounds=4000000000$abcdefgh$${tail22}"),
        format!("$y$jzz$abcdefgh${tail43}"),
        format!("$y$jS/$abcdefgh${tail43}"),
        format!("$gy$jS/$abcdefgh${tail43}"),
        format!("$7$SU..../....abcdefgh${tail43}"),
        "$argon2id$v=19$m=4194304,t=1000,p=64$YWJjZGVmZ2g$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into(),
        "$argon2id$v=19$m=4294967295,t=1,p=1$YWJjZGVmZ2g$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into(),
        "$argon2id$v=19$m=64,t=4294967295,p=1$YWJjZGVmZ2g$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into(),
        "$argon2i$v=19$m=524288,t=3,p=1$YWJjZGVmZ2g$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into(),
        "{PBKDF2}$1$abcdefgh$4000000000$0123456789abcdef0123456789abcdef01234567".into(),
    ];
    let rows = rows(bombs.iter().cloned().map(String::into_bytes));
    let Some(house) = with_rows(Plan::new().sections(SMALL), &rows) else { return };
    assert_eq!(house.visit(), "OK");
    let before = house.checker().peak_kib();
    let visitors = Visitors::arrive(house.mux());
    let began = Instant::now();
    let tries: Vec<Try> = rows.iter().cycle().take(300).map(|row| attempt(row, "pencil")).collect();
    for (one, reply) in tries.iter().zip(ask_all(house.mux(), &tries)) {
        assert_eq!(reply, "NO", "{one:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    visitors.leave_after(5).all_were_served(Duration::from_secs(1));
    let grown = house.checker().peak_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "the checker grew by {grown} KiB");
    for (row, bomb) in rows.iter().zip(&bombs) {
        let mut ear = Ear::at(&house);
        let began = Instant::now();
        assert_eq!(attempt(row, "pencil").ask(house.mux()), "NO");
        assert!(began.elapsed() < Duration::from_millis(500), "{bomb}: {:?}", began.elapsed());
        let reason = ear.next(&house).get("reason").to_owned();
        assert!(["too-expensive", "malformed-hash"].contains(&&*reason), "{bomb}: {reason}");
    }
    assert_eq!(house.ask(LOGIN, PASSWORD), "OK");
}
