//! A12: whatever is wrong with a backend, the client hears nothing, never `NO`; and no restart mends it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::accounts::quick_hash;
use harness::{PATIENCE, wait_for, wait_until};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use rusqlite::Connection;

use crate::house::{House, LOGIN, PASSWORD, Plan};

/// What a client hears while nobody knows.
const NOTHING: &str = "(closed)";

/// Nobody gets an answer, neither a right password nor a wrong one nor a stranger.
fn hold_outage(house: &House, what: &str) {
    for round in 0..5 {
        for (login, password) in [(LOGIN, PASSWORD), (LOGIN, "wrong"), ("stranger", "wrong")] {
            let began = Instant::now();
            let heard = house.ask(login, password);
            assert_eq!(heard, NOTHING, "{what}, round {round}: {login} {password}");
            assert!(began.elapsed() < Duration::from_secs(5), "{what}: {:?}", began.elapsed());
        }
    }
    let log = house.daemon.log();
    assert!(log.contains("outcome=unavailable reason=backend"), "{what}:\n{log}");
}

fn hold_service(house: &House, what: &str) {
    assert_eq!(house.visit(), "OK", "{what}: {}", house.daemon.log());
    assert_eq!(house.ask(LOGIN, "wrong"), "NO", "{what}");
    assert_eq!(house.ask("stranger", "wrong"), "NO", "{what}");
}

/// Breaks a backend's file in every way that a file can be broken, and mends it each time.
fn break_and_mend(house: &House, file: &Path, damage: &[(&str, Vec<u8>)]) {
    let spare = file.with_extension("spare");
    let keep = |what: &str| {
        assert!(Path::new(file).exists(), "{what}");
        fs::rename(file, &spare).expect("the file was there");
    };
    let restore = || {
        if file.is_dir() && !file.is_symlink() {
            fs::remove_dir(file).expect("an empty directory");
        }
        fs::rename(&spare, file).expect("the spare file");
    };
    let broken = |what: &str, harm: &dyn Fn()| {
        hold_service(house, &format!("before {what}"));
        keep(what);
        harm();
        hold_outage(house, what);
        restore();
        hold_service(house, &format!("after {what}"));
    };
    broken("missing", &|| {});
    broken("a directory", &|| fs::create_dir(file).expect("a directory"));
    broken("a pipe", &|| {
        nix::unistd::mkfifo(file, Mode::from_bits_truncate(0o644)).expect("a pipe");
    });
    broken("a link to itself", &|| symlink(file, file).expect("a link"));
    broken("not readable", &|| {
        fs::copy(&spare, file).expect("a copy");
        fs::set_permissions(file, fs::Permissions::from_mode(0o000)).expect("root sets modes");
        nix::unistd::chown(file, Some(0.into()), Some(0.into())).expect("root owns files");
    });
    for (what, bytes) in damage {
        broken(what, &|| {
            fs::write(file, bytes).expect("room");
            fs::set_permissions(file, fs::Permissions::from_mode(0o644)).expect("a mode");
        });
    }
}

#[test]
fn a12_shadow() {
    let Some(house) = Plan::new().start() else { return };
    let file = house.at("/etc/shadow");
    let whole = fs::read(&file).expect("root reads it");
    let half = whole[..whole.len() - 40].to_vec();
    let damage = [("cut", half), ("empty", Vec::new()), ("noise", vec![0xA5; 4096])];
    break_and_mend(&house, &file, &damage);
}

#[test]
fn a12_sasldb() {
    if !harness::require("/usr/sbin/saslpasswd2", "sasl2-bin") || !crate::house::ready() {
        return;
    }
    let plan = Plan::new().chain("\"sasldb\"");
    let sandbox = plan.furnish();
    sandbox.add_sasldb_user(LOGIN, "", PASSWORD).expect("Debian's tool makes a sasldb");
    // As Debian keeps it: for the group of mail servers.
    let file = sandbox.path().join("etc/sasldb2");
    nix::unistd::chown(&file, None, Some(45.into())).expect("root gives files away");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("a mode");
    let house = plan.start_in(sandbox);
    let whole = fs::read(&file).expect("root reads it");
    let mut flipped = whole.clone();
    flipped[4096..4096 + 64].iter_mut().for_each(|byte| *byte ^= 0xFF);
    let damage = [
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("cut in its header", whole[..100].to_vec()),
        ("empty", Vec::new()),
        ("noise", vec![0xA5; 16_384]),
        ("damaged in a page", flipped),
    ];
    break_and_mend(&house, &file, &damage);
}

/// A table of somebody else's, with the usual account, in a directory of its own.
fn with_table() -> Option<(House, PathBuf)> {
    if !crate::house::ready() {
        return None;
    }
    let plan = Plan::new().chain("\"table\"");
    let sandbox = plan.furnish();
    let directory = sandbox.path().join("tmp/table");
    fs::create_dir(&directory).expect("a directory");
    let file = directory.join("users.sqlite");
    make_table(&file, PASSWORD);
    let section = format!(
        "[backend.table]\ntype = \"sqlite-query\"\npath = \"{}\"\n\
         query = \"SELECT hash FROM users WHERE name = %u\"",
        file.display()
    );
    let plan = plan.sections(&section);
    plan.configure(&sandbox);
    Some((plan.start_in(sandbox), file))
}

fn make_table(file: &Path, password: &str) {
    let database = Connection::open(file).expect("a database");
    database.execute_batch("CREATE TABLE users (name TEXT PRIMARY KEY, hash TEXT)").unwrap();
    let hash = quick_hash(password).unwrap();
    database.execute("INSERT INTO users VALUES (?1, ?2)", [LOGIN, &hash]).unwrap();
}

#[test]
fn a12_sqlite_file() {
    let Some((house, file)) = with_table() else { return };
    let whole = fs::read(&file).unwrap();
    let mut header = whole.clone();
    header[..16].fill(0);
    let mut root = whole.clone();
    root[100..200].fill(0xFF);
    let damage = [
        ("empty", Vec::new()),
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("without its magic", header),
        ("with a damaged first page", root),
        ("noise", vec![0xA5; 16_384]),
    ];
    break_and_mend(&house, &file, &damage);
}

#[test]
fn a12_sqlite_table() {
    let Some((house, file)) = with_table() else { return };
    hold_service(&house, "before");
    let other = Connection::open(&file).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE; UPDATE users SET hash = ''").unwrap();
    hold_outage(&house, "locked by another program");
    other.execute_batch("ROLLBACK").unwrap();
    // A database that kept everybody waiting is left alone for up to a second, for the sake of other backends.
    assert!(wait_until(|| house.visit() == "OK"), "unlocked");
    hold_service(&house, "unlocked");
    other.execute_batch("ALTER TABLE users RENAME TO people").unwrap();
    hold_outage(&house, "the table is gone");
    other.execute_batch("ALTER TABLE people RENAME TO users").unwrap();
    hold_service(&house, "the table is back");
    other.execute_batch("ALTER TABLE users RENAME COLUMN hash TO secret").unwrap();
    hold_outage(&house, "the column is gone");
    other.execute_batch("ALTER TABLE users RENAME COLUMN secret TO hash").unwrap();
    hold_service(&house, "the column is back");
    drop(other);
    // Another file in its place, with another password: the old one ends at once.
    let new = file.with_extension("other");
    make_table(&new, "another-password");
    fs::rename(&new, &file).unwrap();
    assert_eq!(house.visit(), "NO");
    assert_eq!(house.ask(LOGIN, "another-password"), "OK");
}

#[test]
fn a12_a_broken_backend_leaves_the_others_of_its_chain() {
    let Some(house) = Plan::new().chain("\"sasldb\", \"shadow\"").start() else { return };
    // There is no sasldb at all: it might have known, so nobody is refused, but whoever is right comes in.
    assert_eq!(house.visit(), "OK");
    assert_eq!(house.ask(LOGIN, "wrong"), NOTHING);
    assert_eq!(house.ask("stranger", "wrong"), NOTHING);
}

#[test]
fn a12_a_frozen_checker_is_answered_for_and_replaced() {
    let plan = Plan::new().sections("[listener]\nanswer = \"1s\"");
    let Some(house) = plan.start() else { return };
    hold_service(&house, "before");
    let frozen = house.checker();
    frozen.signal(Signal::SIGSTOP);
    let began = Instant::now();
    assert_eq!(house.visit(), NOTHING);
    let waited = began.elapsed();
    assert!(waited > Duration::from_millis(900), "before its time: {waited:?}");
    assert!(waited < Duration::from_secs(4), "long after its time: {waited:?}");
    assert_eq!(house.ask(LOGIN, "wrong"), NOTHING);
    assert!(wait_for(Duration::from_secs(20), || !frozen.lives()), "nobody ends a frozen checker");
    assert!(wait_until(|| house.visit() == "OK"), "no other took its place");
    assert!(house.daemon.log().contains("it gave no sign of life"), "{}", house.daemon.log());
    hold_service(&house, "after");
}

#[test]
fn a12_a_frozen_listener_is_replaced() {
    let Some(house) = Plan::new().start() else { return };
    hold_service(&house, "before");
    let frozen = house.listener();
    frozen.signal(Signal::SIGSTOP);
    // Its clients wait in the kernel's queue, which the next listener serves.
    let mut early = house.send(&harness::probe::counted(&[
        LOGIN.as_bytes(),
        PASSWORD.as_bytes(),
        b"smtp",
        b"",
    ]));
    assert!(wait_for(Duration::from_secs(20), || !frozen.lives()), "nobody ends a frozen listener");
    assert_eq!(early.hear(PATIENCE).expect("a conversation").mux(), "OK");
    hold_service(&house, "after");
}
