//! E1 to E3: descriptors, processor time and memory, each of which somebody asks for too much of.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use harness::accounts::crypt;
use harness::probe::counted;
use harness::{Account, PATIENCE, Probe, wait_for};
use rusqlite::Connection;

use crate::house::{House, LOGIN, PASSWORD, Plan, ready};
use crate::visitors::Visitors;

#[test]
fn e1_without_descriptors_it_neither_spins_nor_forgets() {
    for limit in ["64", "100"] {
        let plan = Plan::new().by(&["prlimit", &format!("--nofile={limit}:{limit}")]);
        let Some(house) = plan.start() else { return };
        assert_eq!(house.visit(), "OK");
        let clients: Vec<Probe> =
            (0..200).map(|_| Probe::connect(house.mux()).expect("room in the queue")).collect();
        thread::sleep(Duration::from_millis(200));
        let before = house.listener().spent();
        thread::sleep(Duration::from_secs(2));
        let spent = house.listener().spent() - before;
        assert!(spent <= Duration::from_millis(200), "{spent:?} of 2 s, {limit} descriptors");
        drop(clients);
        let began = Instant::now();
        assert_eq!(house.visit(), "OK", "{limit} descriptors");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        let open = house.listener().descriptors().len();
        assert!(
            wait_for(PATIENCE, || house.listener().descriptors().len() < 20),
            "{open} are open"
        );
        // The others of the house felt nothing of it.
        assert_eq!(house.figure("/house/processes/1/restarts"), 0);
        assert_eq!(house.figure("/house/processes/2/restarts"), 0);
    }
}

#[test]
fn e1_a_limit_of_connections_holds_in_all_sockets_together() {
    let sockets = "[[socket]]\npath = \"/run/saslauthd/mux\"\n[[socket]]\nprotocol = \"pwcheck\"";
    let plan = Plan::new().sections(sockets).sections("[listener]\nconnections = 50");
    let Some(house) = plan.start() else { return };
    let pwcheck = house.at("/run/saslauthd/pwcheck");
    let before = house.listener().descriptors().len();
    let clients: Vec<Probe> = [house.mux(), &pwcheck]
        .into_iter()
        .flat_map(|socket| (0..100).map(|_| Probe::connect(socket).expect("room in the queue")))
        .collect();
    for _ in 0..20 {
        let held = house.listener().descriptors().len() - before;
        assert!(held <= 50, "{held} connections are held");
        thread::sleep(Duration::from_millis(20));
    }
    house.await_log("connections are held; new clients wait");
    drop(clients);
    assert_eq!(house.visit(), "OK");
}

/// The four bytes of an answer, without waiting for the end of the connection.
fn answer(mux: &Path, request: &[u8]) -> Vec<u8> {
    let mut bytes = [0; 4];
    let heard = UnixStream::connect(mux).and_then(|mut stream| {
        stream.write_all(request)?;
        stream.read_exact(&mut bytes)
    });
    heard.map_or_else(|why| why.to_string().into_bytes(), |()| bytes.to_vec())
}

/// At so many a time: a refusal takes some milliseconds, whatever it was for.
const SIDES: usize = 40;

/// Asks with a new wrong password each time, from many sides, and gives back the replies other than `NO`.
fn guess(mux: &Path, login: impl Fn(usize) -> String + Sync, count: usize) -> Vec<Vec<u8>> {
    let side = |nth: usize| {
        let replies = (0..count / SIDES).map(|round| {
            let guess = nth * count + round;
            let password = format!("guess-{guess}");
            answer(mux, &counted(&[login(guess).as_bytes(), password.as_bytes(), b"smtp", b""]))
        });
        replies.filter(|reply| reply != b"\0\x02NO").collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let sides: Vec<_> = (0..SIDES).map(|nth| scope.spawn(move || side(nth))).collect();
        sides.into_iter().flat_map(|side| side.join().expect("no panic")).collect()
    })
}

#[test]
fn e2_five_thousand_guesses_at_one_account_cost_as_many_hashes_as_its_limit_allows() {
    let hash = crypt("right", "$6$rounds=200000$sandboxsalt$").expect("perl makes a hash");
    let plan = Plan::new()
        .limits("")
        .accounts(&[Account::with("costly", &hash)])
        .sections("[log]\nlevel = \"warning\"\ncyrus_lines = false");
    let Some(house) = plan.start() else { return };
    let before = house.checker().spent();
    let began = Instant::now();
    let other = guess(house.mux(), |_| "costly".into(), 5000);
    let (took, spent) = (began.elapsed(), house.checker().spent() - before);
    assert!(other.is_empty(), "{other:?}");
    let hashed = house.figure("/pool/done");
    let allowed = 10 + took.as_secs() / 10 + 1;
    eprintln!("{hashed} hashes, {spent:?} of the checker in {took:?}");
    assert!(hashed <= allowed, "{hashed} of {allowed} hashes");
    assert!(house.figure("/logins/throttled") >= 5000 - allowed);
    // All of them would take minutes of it.
    assert!(spent < Duration::from_secs(10), "{spent:?}");
    // A right password is not even looked at, so it can't be told from a wrong one.
    assert_eq!(house.ask("costly", "right"), "NO");
    assert_eq!(house.figure("/pool/done"), hashed);
}

#[test]
fn e2_five_thousand_guesses_at_all_names_cost_what_one_mail_server_may() {
    let plan = Plan::new()
        .limits("peer = { burst = 50, count = 5, every = \"1s\" }")
        .sections("[log]\nlevel = \"warning\"\ncyrus_lines = false");
    let Some(house) = plan.start() else { return };
    // From now on this mail server is known to be good for them.
    assert_eq!(house.visit(), "OK");
    let visitors = Visitors::arrive(house.mux());
    let began = Instant::now();
    let other = guess(house.mux(), |guess| format!("name{guess}"), 5000);
    let took = began.elapsed();
    visitors.leave_after(20).all_were_served(Duration::from_secs(1));
    assert!(other.is_empty(), "{other:?}");
    let throttled = house.figure("/logins/throttled");
    let allowed = 50 + 5 * (took.as_secs() + 2);
    eprintln!("{throttled} of 5000 were throttled in {took:?}");
    assert!(throttled >= 5000 - allowed, "{throttled} throttled, {allowed} allowed");
}

/// argon2id of [`PASSWORD`] in 64 MiB, made by the reference program: `argon2 sandboxsalt -id -m 16 -t 2 -p 1 -e`.
const ARGON2: &str =
    "$argon2id$v=19$m=65536,t=2,p=1$c2FuZGJveHNhbHQ$Orwlr9Y0Ew37Gd6LqXRS6IwK2XbYkOnZuFkGFqf2lqY";
/// What the hashes may use together, in KiB.
const BUDGET: u64 = 128 * 1024;

/// A house whose only account costs 64 MiB a login.
fn with_costly_memory() -> Option<House> {
    if !ready() {
        return None;
    }
    let plan = Plan::new().chain("\"table\"");
    let sandbox = plan.furnish();
    let directory = sandbox.path().join("tmp/table");
    fs::create_dir(&directory).expect("a directory");
    let file: PathBuf = directory.join("users.sqlite");
    let table = Connection::open(&file).expect("a database");
    table.execute_batch("CREATE TABLE users (name TEXT PRIMARY KEY, hash TEXT)").expect("a table");
    table.execute("INSERT INTO users VALUES (?1, ?2)", [LOGIN, ARGON2]).expect("a row");
    let section = format!(
        "[backend.table]\ntype = \"sqlite-query\"\npath = \"{}\"\n\
         query = \"SELECT hash FROM users WHERE name = %u\"\n\
         [hashing]\nmemory = \"128MiB\"\nmax_memory = \"128MiB\"\nthreads = 8\nwait = \"3s\"\n\
         [cache]\nmode = \"off\"",
        file.display()
    );
    let plan = plan.sections(&section);
    plan.configure(&sandbox);
    Some(plan.start_in(sandbox))
}

#[test]
fn e3_two_hundred_costly_hashes_stay_within_their_memory_and_are_all_answered() {
    let Some(house) = with_costly_memory() else { return };
    assert_eq!(house.visit(), "OK");
    let request = counted(&[LOGIN.as_bytes(), PASSWORD.as_bytes(), b"smtp", b""]);
    let probes: Vec<Probe> = (0..200).map(|_| house.send(&request)).collect();
    let mut served = 0;
    for mut probe in probes {
        match &*probe.hear(3 * PATIENCE).expect("a conversation").mux() {
            "OK" => served += 1,
            "(closed)" => {}
            other => panic!("too much to do made a right password {other:?}"),
        }
    }
    let peak = house.checker().peak_kib();
    eprintln!("{served} of 200 were served; at most {} MiB", peak / 1024);
    assert!(served >= 5, "only {served} were served");
    assert!(peak <= BUDGET + 64 * 1024, "{} MiB", peak / 1024);
    assert_eq!(house.visit(), "OK");
    assert_eq!(house.figure("/house/processes/2/restarts"), 0);
}
