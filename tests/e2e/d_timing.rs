//! D1 to D3: whether a name is known, an account locked or a password nearly right, neither bytes nor time tell.
//!
//! Times are judged by ranks: how probable it is that an answer of one kind takes longer than one of the other. All
//! kinds are asked in one random order, so that a busy machine slows all of them alike and half is what chance
//! gives, whatever the noise; the bounds stand five standard deviations of chance away from it. That the same
//! judge sees a difference where there is one, Debian's saslauthd shows.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use harness::accounts::{crypt, today};
use harness::{Account, Daemon, Sandbox};

use crate::accounts::{database, mailauth, sasldb, sqlite, user};
use crate::events::{Ear, Try};
use crate::house::{Plan, ready};

/// The same each time, so that a failure can be looked at again.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.throw(at + 1));
        }
    }
}

/// Milliseconds of each kind, and every reply that came.
#[derive(Default)]
struct Times {
    kinds: BTreeMap<&'static str, Vec<f64>>,
    replies: BTreeMap<String, usize>,
}

/// Asks all in random order, by as many clients at a time.
fn measure(mux: &Path, mut tries: Vec<(&'static str, Try)>, clients: usize) -> Times {
    Dice(0x2545_f491_4f6c_dd1d).shuffle(&mut tries);
    let (next, times) = (AtomicUsize::new(0), Mutex::new(Times::default()));
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while let Some((kind, one)) = tries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    let reply = one.ask(mux);
                    let taken = began.elapsed().as_secs_f64() * 1000.0;
                    let mut times = times.lock().unwrap();
                    times.kinds.entry(kind).or_default().push(taken);
                    *times.replies.entry(reply).or_default() += 1;
                }
            });
        }
    });
    times.into_inner().unwrap()
}

/// How probable it is that one of `a` is longer than one of `b`; half when nothing tells them apart.
fn longer(a: &[f64], b: &[f64]) -> f64 {
    let wins: f64 = a
        .iter()
        .flat_map(|one| b.iter().map(move |other| one.total_cmp(other)))
        .map(|order| match order {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        })
        .sum();
    wins / (a.len() * b.len()) as f64
}

/// How far from half chance alone takes [`longer`], five times its standard deviation (Mann and Whitney).
fn chance(a: usize, b: usize) -> f64 {
    let (a, b) = (a as f64, b as f64);
    5.0 * ((a + b + 1.0) / (12.0 * a * b)).sqrt()
}

fn quantile(times: &[f64], part: f64) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * part) as usize]
}

/// Between which of its times the median of all such times is: five standard deviations of its rank, which is a
/// matter of coins. Times on a busy machine come in steps of its scheduler, so they follow no bell.
fn median(times: &[f64]) -> [f64; 2] {
    let off = (2.5 / (times.len() as f64).sqrt()).min(0.5);
    [quantile(times, 0.5 - off), quantile(times, 0.5 + off)]
}

impl Times {
    /// Holds that no kind is told from any other, and that all were refused by the same bytes.
    fn are_alike(&self) {
        assert_eq!(self.replies.keys().collect::<Vec<_>>(), ["NO"]);
        for (kind, times) in &self.kinds {
            let of = |part| quantile(times, part);
            eprintln!("{kind:>28}: {:7.3} {:7.3} {:7.3} ms", of(0.1), of(0.5), of(0.9));
        }
        for (one, a) in &self.kinds {
            for (other, b) in self.kinds.iter().filter(|(other, _)| one < *other) {
                let (longer, chance) = (longer(a, b), chance(a.len(), b.len()));
                assert!(
                    (longer - 0.5).abs() <= chance,
                    "{one} against {other}: {longer:.3} is no chance ({chance:.3})"
                );
                // Medians, too: each is somewhere between these two of its times, whatever the times are like.
                let ([low_a, high_a], [low_b, high_b]) = (median(a), median(b));
                let apart = (low_a - high_b).max(low_b - high_a);
                let allowed = (0.02 * quantile(a, 0.5)).max(0.1);
                assert!(
                    apart <= allowed,
                    "{one} against {other}: medians are {apart:.3} ms apart at least"
                );
            }
        }
    }
}

/// `TIMES=10` in the environment asks ten times as often, and sees what is a third as large.
fn times(usual: usize) -> usize {
    let more = std::env::var("TIMES").ok().and_then(|more| more.parse().ok());
    usual * more.unwrap_or(1)
}

/// About 25 ms here: more than the floor under cheap refusals.
const COSTLY: &str = "$6$rounds=40000$abcdefgh$";
const RIGHT: &str = "right secret";
const WRONG: &str = "wrong secret";

/// Accounts in each state. Right and wrong password have the same length, on which the hash's time depends.
fn accounts() -> Vec<Account> {
    let hash = crypt(RIGHT, COSTLY).unwrap();
    let day = |offset: i64| today() + offset;
    let mut all = vec![
        Account::with("locked", &format!("!{hash}")),
        Account::with("starred", "*"),
        Account::with("empty", ""),
        Account::with("cut", &hash[..hash.len() - 9]),
        Account::with("expired", &hash).aged(&format!("{}:0:99999:7::{}:", day(-9), day(-1))),
        Account::with("old", &hash).aged(&format!("{}:0:30:7:::", day(-60))),
        Account::with("bomb", &hash.replace("40000", "999999999")),
    ];
    all.extend((0..20).map(|at| Account::with(&format!("user{at}"), &hash)));
    all
}

#[test]
fn d1_in_shadow_no_state_of_an_account_shows() {
    let Some(house) = Plan::new().accounts(&accounts()).start() else { return };
    let mut tries = Vec::new();
    for number in 0..times(100) {
        let known = format!("user{}", number % 20);
        tries.push(("wrong password", Try::new(&known, WRONG)));
        tries.push(("unknown", Try::new(format!("nobody{}", number % 20), WRONG)));
        tries.push(("expired, right password", Try::new("expired", RIGHT)));
        tries.push(("too old, wrong password", Try::new("old", WRONG)));
        let odd = ["locked", "starred", "empty", "cut", "bomb"][number % 5];
        tries.push(("locked or unusable", Try::new(odd, RIGHT)));
    }
    measure(house.mux(), tries, 2).are_alike();
}

#[test]
fn d1_in_shadow_no_length_of_a_password_shows_a_name() {
    let Some(house) = Plan::new().accounts(&accounts()).start() else { return };
    for (length, usual) in [(1, 60), (64, 60), (255, 40), (8192, 30)] {
        let password = "p".repeat(length);
        let mut tries = Vec::new();
        for number in 0..times(usual) {
            tries.push(("known", Try::new(format!("user{}", number % 20), &password)));
            tries.push(("unknown", Try::new(format!("nobody{}", number % 20), &password)));
        }
        eprintln!("{length} bytes");
        measure(house.mux(), tries, 2).are_alike();
    }
}

#[test]
fn d1_the_original_is_seen_through_by_the_same_judge() {
    if !ready() || !harness::require("/usr/sbin/saslauthd", "sasl2-bin") {
        return;
    }
    let sandbox = Sandbox::with(&accounts()).unwrap();
    let daemon = Daemon::theirs(&sandbox, "shadow", &[]).unwrap();
    let mut tries = Vec::new();
    for number in 0..60 {
        tries.push(("known", Try::new(format!("user{}", number % 20), WRONG)));
        tries.push(("unknown", Try::new(format!("nobody{}", number % 20), WRONG)));
    }
    let times = measure(daemon.socket(), tries, 2);
    let (known, unknown) = (&times.kinds["known"], &times.kinds["unknown"]);
    let (longer, chance) = (longer(known, unknown), chance(known.len(), unknown.len()));
    assert!(longer - 0.5 > chance, "{longer} within {chance}: the judge sees nothing");
    assert!(times.replies.len() > 1, "nor do the bytes tell: {:?}", times.replies);
}

#[test]
fn d1_in_sasldb_the_floor_hides_what_is_cheap() {
    if !ready() {
        return;
    }
    let plan = Plan::new().chain("\"sasldb\"");
    let sandbox = plan.furnish();
    const USERS: usize = 300;
    let names: Vec<String> = (0..USERS).map(|at| format!("u{at}")).collect();
    let stored: Vec<(&str, &str, &str)> = names
        .iter()
        .flat_map(|name| [(&**name, "mailhost", RIGHT), (&**name, "elsewhere", WRONG)])
        .collect();
    sasldb(&sandbox, &stored);
    let house = plan.start_in(sandbox);
    let mut tries = Vec::new();
    // Each name has a floor of its own, so each is asked once in each way.
    for (number, name) in names.iter().enumerate() {
        tries.push(("wrong password", Try::new(name, WRONG)));
        tries.push(("unknown", Try::new(format!("n{number}"), WRONG)));
        tries.push(("wrong realm", Try::new(name, RIGHT).realm("nowhere")));
        tries.push(("password of another realm", Try::new(name, RIGHT).realm("elsewhere")));
        tries.push(("long password", Try::new(name, "p".repeat(8192))));
        tries.push(("impossible name", Try::new(format!("{name}\u{200b}"), WRONG)));
    }
    measure(house.mux(), tries, 4).are_alike();
}

#[test]
fn d1_in_our_own_accounts_neither_realm_nor_restriction_shows() {
    let plan = Plan::new()
        .chain("\"sqlite\"")
        .sections("[hashing]\nargon2_memory = \"19MiB\"\nargon2_passes = 1");
    let Some(house) = plan.start() else { return };
    // mailauth's settings are its own, so that the checker has to find out what most hashes are like.
    user(&house, "add", "ann", "lab", &["--password-stdin"], RIGHT);
    for (name, rest) in [
        ("ann", &[][..]),
        ("bob", &[]),
        ("far", &["--network", "192.0.2.0/24"]),
        ("imap", &["--service", "imap"]),
        ("past", &["--expires", "2020-01-01"]),
        ("locked", &[]),
    ] {
        user(&house, "add", name, "", &[&["--password-stdin"], rest].concat(), RIGHT);
    }
    let path = database(&house).display().to_string();
    mailauth(&house, &["user", "lock", "--database", &path, "locked"], "");
    // A checker that starts takes a census.
    house.checker().signal(nix::sys::signal::Signal::SIGKILL);
    assert!(harness::wait_until(|| house.ask("ann", RIGHT) == "OK"), "back again");
    let mut tries = Vec::new();
    for number in 0..times(80) {
        tries.push(("wrong password", Try::new(["ann", "bob"][number % 2], WRONG)));
        tries.push(("unknown", Try::new(format!("nobody{}", number % 20), WRONG)));
        tries.push(("wrong realm", Try::new("ann", RIGHT).realm("nowhere")));
        let odd = ["far", "imap", "past", "locked"][number % 4];
        tries.push(("restricted, right password", Try::new(odd, RIGHT)));
    }
    measure(house.mux(), tries, 2).are_alike();
}

#[test]
fn d1_in_somebody_elses_table_unknown_names_are_like_those_who_log_in() {
    if !ready() {
        return;
    }
    let plan = Plan::new().chain("\"table\"").sections(
        "[backend.table]\ntype = \"sqlite-query\"\npath = \"/etc/table.sqlite\"\n\
         query = \"SELECT pw FROM users WHERE name = %u\"",
    );
    let sandbox = plan.furnish();
    let hash = crypt(RIGHT, COSTLY).unwrap();
    let rows: String =
        (0..20).map(|at| format!("INSERT INTO users VALUES ('user{at}', '{hash}');")).collect();
    let table = sandbox.path().join("etc/table.sqlite");
    sqlite(&table, &format!("CREATE TABLE users (name TEXT, pw TEXT);{rows}"));
    let house = plan.start_in(sandbox);
    // One login tells what hashes are like here, and no minute has to pass.
    assert_eq!(house.ask("user1", RIGHT), "OK");
    let mut tries = Vec::new();
    for number in 0..times(100) {
        tries.push(("wrong password", Try::new(format!("user{}", number % 20), WRONG)));
        tries.push(("unknown", Try::new(format!("nobody{}", number % 20), WRONG)));
    }
    measure(house.mux(), tries, 2).are_alike();
}

#[test]
fn d1_in_a_chain_nobody_learns_which_backend_knows_a_name() {
    let plan = Plan::new()
        .chain("\"shadow\", \"sqlite\"")
        .accounts(&accounts())
        .accounts(&[Account::with("both", &crypt(RIGHT, COSTLY).unwrap())]);
    let Some(house) = plan.start() else { return };
    for name in ["ann", "bob", "both"] {
        user(&house, "add", name, "", &["--password-stdin"], RIGHT);
    }
    assert_eq!([house.ask("ann", RIGHT), house.ask("user1", RIGHT)], ["OK", "OK"]);
    let mut tries = Vec::new();
    for number in 0..times(50) {
        let known = format!("user{}", number % 20);
        tries.push(("in the first", Try::new(known, WRONG)));
        tries.push(("in the second", Try::new(["ann", "bob"][number % 2], WRONG)));
        tries.push(("in both", Try::new("both", WRONG)));
        tries.push(("in none", Try::new(format!("nobody{}", number % 20), WRONG)));
        tries.push(("expired in the first", Try::new("expired", RIGHT)));
    }
    measure(house.mux(), tries, 2).are_alike();
}

#[test]
fn d2_passwords_over_the_limit_are_refused_before_anybody_is_looked_up() {
    let Some(house) = Plan::new().accounts(&accounts()).start() else { return };
    assert_eq!(house.ask("user1", RIGHT), "OK");
    let asked = house.figure("/backends/0/lookups");
    let mut tries = Vec::new();
    for number in 0..100 {
        let password = "p".repeat([8193, 25_600, 65_535][number % 3]);
        tries.push(("known", Try::new(format!("user{}", number % 20), &password)));
        tries.push(("unknown", Try::new(format!("nobody{number}"), &password)));
        tries.push(("locked", Try::new("locked", &password)));
    }
    let times = measure(house.mux(), tries, 2);
    assert_eq!(house.figure("/backends/0/lookups"), asked, "a backend was asked");
    assert!(times.replies.keys().all(|reply| reply.starts_with("NO")), "{:?}", times.replies);
    let (known, unknown) = (&times.kinds["known"], &times.kinds["unknown"]);
    let (longer, chance) = (longer(known, unknown), chance(known.len(), unknown.len()));
    assert!((longer - 0.5).abs() <= chance, "{longer} is no chance ({chance})");
    // The limit itself still is a password.
    let mut ear = Ear::at(&house);
    assert_eq!(house.ask("user1", &"p".repeat(8192)), "NO");
    assert_eq!(ear.next(&house).get("reason"), "password-too-long");
}

#[test]
fn d3_a_password_that_begins_right_takes_no_longer() {
    if !ready() {
        return;
    }
    let plan = Plan::new().chain("\"sasldb\"");
    let sandbox = plan.furnish();
    let right = "q".repeat(4000);
    sasldb(&sandbox, &[("ann", "mailhost", &right)]);
    let house = plan.start_in(sandbox);
    assert_eq!(house.ask("ann", &right), "OK");
    let mut tries = Vec::new();
    for _ in 0..200 {
        tries.push(("nothing right", Try::new("ann", "x".repeat(4000))));
        tries.push(("all but the last", Try::new("ann", format!("{}x", &right[1..]))));
        tries.push(("all but the first", Try::new("ann", format!("x{}", &right[1..]))));
        tries.push(("one byte less", Try::new("ann", &right[1..])));
    }
    measure(house.mux(), tries, 4).are_alike();
}

/// A salt is shown to whoever asks, and no limit counts how often that is.
#[test]
fn d1_in_sqlite_no_challenge_of_scram_shows_a_name() {
    let auth = "[[socket]]\nprotocol = \"auth\"\nmechanisms = [\"SCRAM-SHA-1\", \"SCRAM-SHA-256\"]";
    let mux = "[[socket]]\npath = \"/run/saslauthd/mux\"";
    let plan = Plan::new().chain("\"sqlite\"").sections(mux).sections(auth);
    let Some(house) = plan.start() else { return };
    for number in 0..5 {
        user(&house, "add", &format!("user{number}"), "", &["--password-stdin"], RIGHT);
    }
    let mut stream = UnixStream::connect(house.at("/run/saslauthd/auth")).unwrap();
    stream.write_all(b"VERSION\t1\t4\nCPID\t7\n").unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    while replies.next().unwrap() != "DONE" {}
    // These accounts have keys for the one mechanism and none for the other.
    let mut tries: Vec<(&str, &str, String)> = Vec::new();
    for number in 0..times(1000) {
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-1"] {
            tries.push(("known", mechanism, format!("n,,n=user{},r=nonce", number % 5)));
            tries.push(("unknown", mechanism, format!("n,,n=nobo{},r=nonce", number % 5)));
        }
    }
    Dice(0x2545_f491_4f6c_dd1d).shuffle(&mut tries);
    let mut kinds: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for (at, (kind, mechanism, first)) in (1..).zip(&tries) {
        let first = STANDARD.encode(first);
        let began = Instant::now();
        let line = format!("AUTH\t{at}\t{mechanism}\tservice=smtp\tsecured=tls\tresp={first}\n");
        stream.write_all(line.as_bytes()).unwrap();
        let reply = replies.next().unwrap();
        let taken = began.elapsed().as_secs_f64() * 1000.0;
        assert!(reply.starts_with(&format!("CONT\t{at}\t")), "{reply}");
        kinds.entry((mechanism, kind)).or_default().push(taken);
        stream.write_all(format!("CANCEL\t{at}\n").as_bytes()).unwrap();
        assert_eq!(replies.next().unwrap(), format!("CANCELLED\t{at}"));
    }
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-1"] {
        let (known, unknown) = (&kinds[&(mechanism, "known")], &kinds[&(mechanism, "unknown")]);
        let (longer, chance) = (longer(known, unknown), chance(known.len(), unknown.len()));
        eprintln!("{mechanism}: {longer:.3} {:.3}", quantile(known, 0.5) - quantile(unknown, 0.5));
        assert!(
            (longer - 0.5).abs() <= chance,
            "{mechanism}: {longer:.3} is no chance ({chance:.3})"
        );
    }
}
