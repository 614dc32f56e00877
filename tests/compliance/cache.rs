//! The cache of `-c`: what is remembered, for whom, how long, and what ends it.

use std::io;
use std::thread;
use std::time::Duration;

use harness::accounts::{quick_hash, today};
use harness::{Account, Daemon, Sandbox, Subject};

use crate::suite::{Case, Listed, case, compare, listed};

enum Step {
    /// Login, password, service, realm; the answer is told.
    Ask(&'static str, &'static str, &'static str, &'static str),
    /// A new password in the account file, as passwd(1) would write it.
    NewPassword(&'static str),
    /// The password field gets an exclamation mark in front.
    Lock,
    /// The account's lines go.
    Delete,
    /// The account expires as of yesterday.
    Expire,
    /// Longer than the lifetime of an entry.
    Outlive,
}

use Step::{Ask, Delete, Expire, Lock, NewPassword, Outlive};

struct Story {
    mech: &'static str,
    flags: &'static [&'static str],
    steps: Vec<Step>,
}

const LONG: &[&str] = &["-c"];
/// One second is the shortest lifetime.
const SHORT: &[&str] = &["-c", "-t", "1"];
const NONE: &[&str] = &[];

fn story(mech: &'static str, flags: &'static [&'static str], steps: Vec<Step>) -> Story {
    Story { mech, flags, steps }
}

fn right() -> Step {
    Ask("alice", "secret1", "smtp", "")
}

fn wrong() -> Step {
    Ask("alice", "secret2", "smtp", "")
}

/// What shadow answers, and what sasldb answers.
type Both = [&'static str; 2];

fn of(mech: &str, [shadow, sasldb]: Both) -> &'static str {
    if mech == "shadow" { shadow } else { sasldb }
}

fn cases(mech: &'static str) -> Vec<Case<Story>> {
    [changes(mech), keys(mech)].into_iter().flatten().collect()
}

/// The account changes between two logins.
fn changes(mech: &'static str) -> Vec<Case<Story>> {
    let table: Vec<(&str, &'static [&'static str], Vec<Step>, Both)> = vec![
        (
            "without-changed",
            NONE,
            vec![right(), NewPassword("secret2"), right(), wrong()],
            ["OK, NO Incorrect password, OK", "OK, NO, OK"],
        ),
        (
            "without-locked",
            NONE,
            vec![right(), Lock, right()],
            ["OK, NO Incorrect password", "OK, NO"],
        ),
        (
            "without-deleted",
            NONE,
            vec![right(), Delete, right()],
            ["OK, NO Invalid username", "OK, NO"],
        ),
        (
            "without-expired",
            NONE,
            vec![right(), Expire, right()],
            ["OK, NO Account expired", "OK, OK"],
        ),
        (
            "changed-old-password",
            LONG,
            vec![right(), NewPassword("secret2"), right()],
            ["OK, OK", "OK, OK"],
        ),
        (
            "changed-new-password",
            LONG,
            vec![right(), NewPassword("secret2"), wrong()],
            ["OK, OK", "OK, OK"],
        ),
        (
            "changed-new-then-old",
            LONG,
            vec![right(), NewPassword("secret2"), wrong(), right()],
            ["OK, OK, NO Incorrect password", "OK, OK, NO"],
        ),
        ("locked", LONG, vec![right(), Lock, right()], ["OK, OK", "OK, OK"]),
        ("deleted", LONG, vec![right(), Delete, right()], ["OK, OK", "OK, OK"]),
        ("expired", LONG, vec![right(), Expire, right()], ["OK, OK", "OK, OK"]),
        (
            "changed-outlived",
            SHORT,
            vec![right(), NewPassword("secret2"), Outlive, right()],
            ["OK, NO Incorrect password", "OK, NO"],
        ),
        (
            "locked-outlived",
            SHORT,
            vec![right(), Lock, Outlive, right()],
            ["OK, NO Incorrect password", "OK, NO"],
        ),
        (
            "deleted-outlived",
            SHORT,
            vec![right(), Delete, Outlive, right()],
            ["OK, NO Invalid username", "OK, NO"],
        ),
        ("unchanged-outlived", SHORT, vec![right(), Outlive, right()], ["OK, OK", "OK, OK"]),
        (
            "refusals-forgotten",
            LONG,
            vec![wrong(), NewPassword("secret2"), wrong()],
            ["NO Incorrect password, OK", "NO, OK"],
        ),
    ];
    let told = |(what, flags, steps, both): (_, _, _, Both)| {
        case(format!("cache-{mech}-{what}"), story(mech, flags, steps), of(mech, both))
    };
    table.into_iter().map(told).collect()
}

/// What an entry is good for.
fn keys(mech: &'static str) -> Vec<Case<Story>> {
    let table: Vec<(&str, Vec<Step>, Both)> = vec![
        ("twice", vec![right(), right()], ["OK, OK", "OK, OK"]),
        (
            "wrong-between",
            vec![right(), wrong(), right()],
            ["OK, NO Incorrect password, OK", "OK, NO, OK"],
        ),
        (
            "wrong-first",
            vec![wrong(), right(), wrong()],
            ["NO Incorrect password, OK, NO Incorrect password", "NO, OK, NO"],
        ),
        (
            "other-user-same-password",
            vec![right(), Ask("bob", "secret1", "smtp", "")],
            ["OK, NO Incorrect password", "OK, NO"],
        ),
        (
            "empty-password",
            vec![right(), Ask("alice", "", "smtp", "")],
            ["OK, NO NULL password received", "OK, NO NULL password received"],
        ),
        (
            "other-case",
            vec![right(), Ask("ALICE", "secret1", "smtp", "")],
            ["OK, NO Invalid username", "OK, NO"],
        ),
        (
            "moved-boundary",
            vec![right(), Ask("alic", "secret1", "esmtp", "")],
            ["OK, NO Invalid username", "OK, NO"],
        ),
        (
            "other-service-changed",
            vec![right(), NewPassword("secret2"), Ask("alice", "secret1", "imap", "")],
            ["OK, NO Incorrect password", "OK, NO"],
        ),
        (
            "other-realm",
            vec![right(), Ask("alice", "secret1", "smtp", "example.com")],
            ["OK, OK", "OK, NO"],
        ),
    ];
    let told = |(what, steps, both): (_, _, Both)| {
        case(format!("cache-{mech}-{what}"), story(mech, LONG, steps), of(mech, both))
    };
    table.into_iter().map(told).collect()
}

/// The account as it stands; alice and bob both, bob unchanged throughout.
fn write(house: &Sandbox, password: Option<&str>, lock: &str, expires: &str) -> io::Result<()> {
    let mut accounts = vec![Account::with("bob", &quick_hash("bob's own")?)];
    let mut records = vec![(&b"bob\0mailhost\0userPassword"[..], b"bob's own".to_vec())];
    if let Some(password) = password {
        let stored = format!("{lock}{}", quick_hash(password)?);
        let aging = format!("{}:0:99999:7::{expires}:", today() - 9);
        accounts.push(Account::with("alice", &stored).aged(&aging));
        let stored = format!("{lock}{password}").into_bytes();
        records.push((b"alice\0mailhost\0userPassword", stored));
    }
    house.set_accounts(&accounts)?;
    let records: Vec<(&[u8], &[u8])> =
        records.iter().map(|(key, value)| (*key, value.as_slice())).collect();
    house.load_sasldb(&records)
}

fn act(subject: &Subject, story: &Story) -> io::Result<String> {
    let house = Sandbox::with(&[])?;
    write(&house, Some("secret1"), "", "")?;
    let daemon = Daemon::cyrus(&house, *subject, story.mech, story.flags)?;
    let mut answers = Vec::new();
    for step in &story.steps {
        match step {
            Ask(login, password, service, realm) => {
                answers.push(daemon.ask(login, password, service, realm));
            }
            NewPassword(password) => write(&house, Some(password), "", "")?,
            Lock => write(&house, Some("secret1"), "!", "")?,
            Delete => write(&house, None, "", "")?,
            Expire => write(&house, Some("secret1"), "", &(today() - 1).to_string())?,
            Outlive => thread::sleep(Duration::from_millis(2100)),
        }
    }
    Ok(answers.join(", "))
}

pub(crate) fn all() -> Listed {
    [listed(&cases("shadow")), listed(&cases("sasldb"))].concat()
}

#[test]
fn cache_over_shadow() {
    compare("cache over shadow", &cases("shadow"), Ok, act);
}

#[test]
fn cache_over_sasldb() {
    compare("cache over sasldb", &cases("sasldb"), Ok, act);
}
