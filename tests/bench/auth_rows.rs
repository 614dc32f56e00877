//! The table beside Dovecot: every store, with growing numbers of connections that are kept.

use std::path::Path;
use std::time::Duration;

use harness::{Daemon, Identity, Sandbox, accounts};

use crate::accounts::{Store, password, user};
use crate::auth::{self, Mechanism};
use crate::dovecot::{self, Setup};
use crate::load::Figures;
use crate::memory::{self, Memory};
use crate::{rows, scram};

/// Connections at a time.
const CLIENTS: [usize; 3] = [1, 8, 64];
const WARM_UP: Duration = Duration::from_millis(500);
/// Who logs in.
const ACCOUNTS: usize = 8;

/// One store of Dovecot, and what of ours is like it.
struct Case {
    name: &'static str,
    mechanism: Mechanism,
    /// Dovecot's `auth_cache_size`.
    cache: &'static str,
    /// The chain and cache of ours.
    config: &'static str,
    stored: fn(usize) -> String,
    sandbox: fn() -> Sandbox,
}

const CASES: [Case; 5] = [
    Case {
        name: "PLAIN: {PLAIN}, sasldb",
        mechanism: Mechanism::Plain,
        cache: "0",
        config: "chain = [\"sasldb\"]\n[cache]\nmode = \"off\"\n",
        stored: |number| format!("{{PLAIN}}{}", password(number)),
        sandbox: || Store::Sasldb.sandbox(),
    },
    Case {
        name: "PLAIN: {PLAIN}, sasldb, both cached",
        mechanism: Mechanism::Plain,
        cache: "10M",
        config: "chain = [\"sasldb\"]\n[cache]\nmode = \"all\"\n",
        stored: |number| format!("{{PLAIN}}{}", password(number)),
        sandbox: || Store::Sasldb.sandbox(),
    },
    Case {
        name: "PLAIN: {SHA512-CRYPT}, shadow",
        mechanism: Mechanism::Plain,
        cache: "0",
        config: "chain = [\"shadow\"]\n[cache]\nmode = \"off\"\n",
        stored: sha512_crypt,
        sandbox: || Store::Sha512.sandbox(),
    },
    Case {
        name: "PLAIN: {SHA512-CRYPT}, shadow, both cached",
        mechanism: Mechanism::Plain,
        cache: "10M",
        config: "chain = [\"shadow\"]\n[cache]\nmode = \"costly\"\n",
        stored: sha512_crypt,
        sandbox: || Store::Sha512.sandbox(),
    },
    Case {
        name: "SCRAM-SHA-256: {SCRAM-SHA-256}, SQLite",
        mechanism: Mechanism::ScramSha256,
        cache: "0",
        config: "chain = [\"sqlite\"]\n",
        stored: |number| scram::stored(&password(number), format!("salt of {number}").as_bytes()),
        sandbox: sqlite,
    },
];

/// Theirs and ours in turn.
pub(crate) fn beside_dovecot(measured: Duration) {
    println!("connections are kept; PSS is that of Dovecot's auth process, and of all of ours\n");
    println!(
        "| mechanism and stores | connections | Dovecot req/s | ours req/s | ratio | Dovecot p50/p99 ms | ours p50/p99 ms | Dovecot RSS/PSS MB | ours RSS/PSS MB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for case in &CASES {
        let (theirs_at, ours_at) = ((case.sandbox)(), (case.sandbox)());
        let stored: Vec<(String, String)> =
            (0..ACCOUNTS).map(|number| (user(number), (case.stored)(number))).collect();
        let theirs = dovecot::start(&theirs_at, &Setup { stored: &stored, cache: case.cache });
        let ours = start(&ours_at, case);
        for clients in CLIENTS {
            let of = |socket: &Path| {
                auth::run(socket, case.mechanism, ACCOUNTS, clients, WARM_UP, measured)
            };
            let theirs = (of(theirs.socket()), memory::of(&theirs_at.processes("auth")));
            let ours = (of(ours.socket()), memory::of(&ours.pids()));
            print_row(case, clients, theirs, ours);
        }
    }
    println!();
}

fn start(sandbox: &Sandbox, case: &Case) -> Daemon {
    let socket = "[[socket]]\nprotocol = \"auth\"\npath = \"/run/saslauthd/auth\"\n";
    let config = format!("{}{socket}", case.config);
    let daemon = Daemon::ours(sandbox, &config, "/run/saslauthd/auth", Identity::Root);
    daemon.expect("ours starts")
}

fn sha512_crypt(number: usize) -> String {
    let hash = accounts::crypt(&password(number), &format!("$6$saltsalt{number}$"));
    format!("{{SHA512-CRYPT}}{}", hash.expect("crypt works"))
}

/// A sandbox with the accounts in the daemon's own store.
fn sqlite() -> Sandbox {
    let sandbox = Sandbox::with(&[]).expect("a sandbox");
    let place = "install -d -m 711 /var/lib/saslauthd
                 install -d -m 700 -o saslauthd-checker -g saslauthd-checker /var/lib/saslauthd/accounts";
    let made = sandbox.run("sh", ["-ec", place]).expect("sh runs");
    assert_eq!(made.code, Some(0), "a directory for accounts: {}", made.err());
    let program = harness::subject::built("mailauth");
    for number in 0..ACCOUNTS {
        let mut command = sandbox.command(&program);
        command.args(["user", "add", "--password-stdin", &user(number)]);
        let ran = harness::Ran::of(&mut command, password(number).as_bytes(), harness::PATIENCE);
        let ran = ran.expect("mailauth runs");
        assert_eq!(ran.code, Some(0), "mailauth user add: {}", ran.err());
    }
    sandbox
}

fn print_row(
    case: &Case,
    clients: usize,
    (theirs, their_memory): (Figures, Memory),
    (ours, our_memory): (Figures, Memory),
) {
    println!(
        "| {} | {clients} | {:.0}{} | {:.0}{} | {:.2} | {:.2}/{:.2} | {:.2}/{:.2} | {} | {} |",
        case.name,
        theirs.rate(),
        rows::faults(&theirs),
        ours.rate(),
        rows::faults(&ours),
        ours.rate() / theirs.rate(),
        theirs.percentile(50.0),
        theirs.percentile(99.0),
        ours.percentile(50.0),
        ours.percentile(99.0),
        their_memory,
        our_memory,
    );
}
