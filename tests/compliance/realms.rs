//! Login and realm in every shape, with and without `-r`: which account is asked for.

use std::io;

use harness::accounts::quick_hash;
use harness::{Account, Daemon, Sandbox, Subject};

use crate::suite::{Case, Listed, case, compare, listed};

const REALMS: [&str; 5] = ["", "example.com", "EXAMPLE.COM", "example.com.", "mailhost"];

/// Which daemon, which login, which realm.
struct Ask(usize, &'static str, &'static str);

/// Mechanism and flags of the four daemons.
const DAEMONS: [(&str, &[&str], &str); 4] = [
    ("sasldb", &[], "sasldb"),
    ("sasldb", &["-r"], "sasldb-r"),
    ("shadow", &[], "shadow"),
    ("shadow", &["-r"], "shadow-r"),
];

/// For each login and each daemon, the answers in the order of [`REALMS`]: `+` OK, `-` refused, `0` no login.
///
/// sasldb holds alice in the realms mailhost and example.com, and `a@b` in `c`-less example.com. shadow holds
/// the names alice and alice@example.com.
const TABLE: [(&str, [&str; 4]); 9] = [
    ("alice", ["++--+", "+----", "+++++", "++---"]),
    ("ALICE", ["-----", "-----", "-----", "-----"]),
    ("alice@example.com", ["-----", "-----", "+++++", "+----"]),
    ("alice@mailhost", ["-----", "-----", "-----", "-----"]),
    ("alice@", ["-----", "-----", "-----", "-----"]),
    ("@example.com", ["-----", "-----", "-----", "-----"]),
    ("", ["00000", "00000", "00000", "00000"]),
    ("a@b", ["-+---", "-----", "-----", "-----"]),
    ("a@b@example.com", ["-----", "-----", "-----", "-----"]),
];

fn cases() -> Vec<Case<Ask>> {
    let mut cases = Vec::new();
    for (login, rows) in TABLE {
        for (daemon, row) in rows.iter().enumerate() {
            for (realm, answer) in REALMS.into_iter().zip(row.chars()) {
                let id = format!("realm-{}-[{login}]-[{realm}]", DAEMONS[daemon].2);
                let expect = match (answer, DAEMONS[daemon].0) {
                    ('+', _) => "OK",
                    ('0', _) => "NO NULL login received",
                    (_, "shadow") => "NO Invalid username",
                    _ => "NO",
                };
                cases.push(case(id, Ask(daemon, login, realm), expect));
            }
        }
    }
    cases
}

/// The daemons in the order of [`DAEMONS`], each with its house.
struct Bench(Vec<(Daemon, Sandbox)>);

fn set_up(subject: Subject) -> io::Result<Bench> {
    let hash = quick_hash("secret1")?;
    let start = |(mech, flags, _): &(&str, &[&str], &str)| {
        let house = Sandbox::with(&[
            Account::with("alice", &hash),
            Account::with("alice@example.com", &hash),
        ])?;
        house.load_sasldb(&[
            (&b"alice\0mailhost\0userPassword"[..], &b"secret1"[..]),
            (b"alice\0example.com\0userPassword", b"secret1"),
            (b"a@b\0example.com\0userPassword", b"secret1"),
        ])?;
        Ok((Daemon::cyrus(&house, subject, mech, flags)?, house))
    };
    DAEMONS.iter().map(start).collect::<io::Result<_>>().map(Bench)
}

fn act(Bench(bench): &Bench, Ask(daemon, login, realm): &Ask) -> io::Result<String> {
    Ok(bench[*daemon].0.ask(login, "secret1", "smtp", realm))
}

pub(crate) fn all() -> Listed {
    listed(&cases())
}

#[test]
fn realms() {
    compare("realms", &cases(), set_up, act);
}
