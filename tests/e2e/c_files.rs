//! C7 and C10: a sasldb that is damaged, cut or swapped while it is served, and a damaged memory of the limits.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::wait_until;
use protocol::control::{Login, Request};

use crate::accounts::sasldb;
use crate::events::Try;
use crate::house::{House, PASSWORD, Plan, ready};

/// Accounts of every file here; enough for more than one page of a small one.
fn accounts() -> Vec<(String, String)> {
    (0..12).map(|at| (format!("user{at}"), format!("secret of {at}"))).collect()
}

/// Puts `bytes` where the sasldb is, by a rename.
fn put(house: &House, bytes: &[u8]) {
    let new = house.at("/etc/nsasldb2");
    fs::write(&new, bytes).unwrap();
    fs::rename(&new, house.at("/etc/sasldb2")).unwrap();
}

fn berkeley() -> Option<House> {
    if !ready() || !harness::require("db5.3_load", "db5.3-util") {
        return None;
    }
    let plan = Plan::new().chain("\"sasldb\"").sections("[cache]\nmode = \"all\"");
    let sandbox = plan.furnish();
    let accounts = accounts();
    let records: Vec<(&str, &str, &str)> =
        accounts.iter().map(|(user, password)| (&**user, "mailhost", &**password)).collect();
    sasldb(&sandbox, &records);
    Some(plan.start_in(sandbox))
}

/// What may be answered whatever the file has become: never OK to a wrong password, always something, and soon.
fn hold(house: &House, right: &Try, what: &str) -> String {
    let began = Instant::now();
    for wrong in ["wrong", "secret of"] {
        let reply = Try { password: wrong.into(), ..right.clone() }.ask(house.mux());
        assert!(reply == "NO" || reply == "(closed)", "{what}: {reply} to a wrong password");
    }
    let reply = right.ask(house.mux());
    assert!(["OK", "NO", "(closed)"].contains(&&*reply), "{what}: {reply}");
    assert!(began.elapsed() < Duration::from_secs(5), "{what}: {:?}", began.elapsed());
    reply
}

#[test]
fn c7_flipped_bits_never_open_a_door_and_never_hang() {
    let Some(house) = berkeley() else { return };
    let whole = fs::read(house.at("/etc/sasldb2")).unwrap();
    let (user, right) = ("user7", "secret of 7");
    assert_eq!(house.ask(user, right), "OK");
    let pids = house.daemon.pids();
    // What belongs to this account in the file; a flip there makes another name, or another password.
    let own: Vec<std::ops::Range<usize>> =
        [&b"user7\0mailhost\0userPassword"[..], right.as_bytes()]
            .into_iter()
            .map(|bytes| {
                let at = whole.windows(bytes.len()).position(|window| window == bytes).unwrap();
                at..at + bytes.len()
            })
            .collect();
    let mut replies = std::collections::BTreeMap::<String, usize>::new();
    let step = whole.len() / 400;
    for number in 0..400 {
        // Every head of a page byte by byte, and the rest in steps of an odd length.
        let at = if number < 100 { number % 50 + (number / 50) * 4096 } else { number * step };
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (number % 8);
        put(&house, &bytes);
        let what = format!("bit {} of byte {at}", number % 8);
        let reply = hold(&house, &Try::new(user, right), &what);
        if reply == "NO" && !own.iter().any(|range| range.contains(&at)) {
            *replies.entry(format!("NO {what}")).or_default() += 1;
        }
        *replies.entry(reply).or_default() += 1;
    }
    eprintln!("{replies:?} of a file of {} bytes", whole.len());
    let noes: Vec<&String> = replies.keys().filter(|key| key.starts_with("NO b")).collect();
    assert!(noes.is_empty(), "a damaged file became a wrong password: {noes:?}");
    put(&house, &whole);
    assert_eq!(house.ask(user, right), "OK");
    assert_eq!(house.daemon.pids(), pids, "a process ended");
}

#[test]
fn c7_a_cut_file_is_an_outage_and_nobodys_wrong_password() {
    let Some(house) = berkeley() else { return };
    let whole = fs::read(house.at("/etc/sasldb2")).unwrap();
    for length in (0..whole.len()).step_by(512).chain([1, 11, 12, 71, 511, whole.len() - 1]) {
        put(&house, &whole[..length]);
        for (user, right) in accounts().iter().take(3) {
            let reply = hold(&house, &Try::new(user, right), &format!("cut to {length}"));
            assert_eq!(
                reply,
                "(closed)",
                "{user} when the file is cut to {length} of {}",
                whole.len()
            );
        }
    }
    // Cut in place, under the daemon's eyes.
    put(&house, &whole);
    assert_eq!(house.ask("user1", "secret of 1"), "OK");
    let file = fs::File::options().write(true).open(house.at("/etc/sasldb2")).unwrap();
    for length in [whole.len() - 1, whole.len() / 2, 100, 0] {
        file.set_len(length as u64).unwrap();
        assert_eq!(
            hold(&house, &Try::new("user1", "secret of 1"), "cut in place"),
            "(closed)",
            "{length}"
        );
    }
    put(&house, &whole);
    assert_eq!(house.ask("user1", "secret of 1"), "OK");
}

#[test]
fn c7_other_formats_are_no_softer() {
    let Some(house) = berkeley() else { return };
    let right = Try::new("alice", "secret1").realm("example.com");
    for name in ["basic.gdbm", "basic.lmdb"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sasldb").join(name);
        let whole = fs::read(path).unwrap();
        put(&house, &whole);
        assert_eq!(right.ask(house.mux()), "OK", "{name}");
        for number in 0..100 {
            let at = if number < 64 { number * 2 } else { number * (whole.len() / 100) };
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (number % 8);
            put(&house, &bytes);
            hold(&house, &right, &format!("{name}, byte {at}"));
        }
        for length in (0..whole.len()).step_by(whole.len() / 20) {
            put(&house, &whole[..length]);
            let reply = hold(&house, &right, &format!("{name} cut to {length}"));
            assert_ne!(reply, "NO", "{name} cut to {length}");
        }
        put(&house, &whole);
        assert_eq!(right.ask(house.mux()), "OK", "{name}");
    }
}

#[test]
fn c7_swapped_files_are_taken_whole() {
    let Some(house) = berkeley() else { return };
    let first = fs::read(house.at("/etc/sasldb2")).unwrap();
    sasldb(&house.sandbox, &[("user1", "mailhost", "another"), ("new", "mailhost", "comer")]);
    let second = fs::read(house.at("/etc/sasldb2")).unwrap();
    for round in 0..60 {
        put(&house, &first);
        assert_eq!(house.ask("user1", "secret of 1"), "OK", "round {round}");
        assert_eq!(house.ask("user1", "another"), "NO", "round {round}");
        put(&house, &second);
        assert_eq!(house.ask("user1", "another"), "OK", "round {round}");
        assert_eq!(house.ask("user1", "secret of 1"), "NO", "round {round}");
        assert_eq!(house.ask("user2", "secret of 2"), "NO", "round {round}");
    }
    // Not even while it happens all the time.
    let stop = std::sync::atomic::AtomicBool::new(false);
    let tries: Vec<Try> = (0..1500)
        .map(|at| Try::new("user1", ["secret of 1", "another", "neither"][at % 3]))
        .collect();
    let replies = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for bytes in [&first, &second] {
                    put(&house, bytes);
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        });
        let replies = crate::events::ask_all(house.mux(), &tries);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        replies
    });
    for (at, reply) in replies.iter().enumerate() {
        let wanted: &[&str] = if at % 3 == 2 { &["NO"] } else { &["OK", "NO"] };
        assert!(wanted.contains(&&**reply), "{reply} to {:?}", tries[at]);
    }
}

#[test]
fn c7_keys_with_parts_of_their_own_are_nobodys() {
    if !ready() {
        return;
    }
    let plan = Plan::new().chain("\"sasldb\"");
    let sandbox = plan.furnish();
    let large = vec![b'x'; 1024 * 1024];
    sandbox
        .load_sasldb(&[
            (b"ann\0mailhost\0userPassword", b"anns"),
            (b"nul\0mailhost\0userPassword", b"be\0fore"),
            (b"large\0mailhost\0userPassword", &large),
            (b"other\0mailhost\0unknownProperty", b"x"),
            (b"bad", b"x"),
            (b"bad\0mailhost", b"x"),
            (b"\0mailhost\0userPassword", b"x"),
            (b"\0\0", b"x"),
            (b"four\0mailhost\0userPassword\0x", b"x"),
        ])
        .unwrap();
    let house = plan.start_in(sandbox);
    assert_eq!(house.ask("ann", "anns"), "OK");
    for (user, realm, password) in [
        ("nul", "", "be"),
        ("nul", "", "fore"),
        ("large", "", "x"),
        ("other", "", "x"),
        ("bad", "", "x"),
        ("bad", "mailhost", "x"),
        ("", "", "x"),
        ("four", "", "x"),
        ("ann\0mailhost", "", "anns"),
        ("ann\0mailhost\0userPassword", "", "anns"),
    ] {
        let reply = Try::new(user, password).realm(realm).ask(house.mux());
        assert_eq!(reply, "NO", "{user:?} in {realm:?}");
    }
    assert_eq!(Try::new("nul", b"be\0fore").ask(house.mux()), "NO", "no field carries a NUL");
    assert_eq!(house.ask("large", &"x".repeat(8192)), "NO");
}

/// What is left to the usual user, and how often the checker said that it found something odd.
fn state(house: &House) -> (u64, usize) {
    let login = Login::new(b"alice", b"").unwrap();
    let figures = house.operator(&Request::LimitsOf(login));
    let left = figures.pointer("/left/user").and_then(serde_json::Value::as_u64).unwrap();
    (left, house.daemon.log().matches("limits").count())
}

#[test]
fn c10_a_damaged_memory_of_the_limits_is_discarded_and_told() {
    if !ready() {
        return;
    }
    let plan =
        Plan::new().limits("user = { burst = 50, count = 1, every = \"1d\" }\nentries = 1024");
    let sandbox = plan.furnish();
    let path = sandbox.path().join("tmp/state/limits");
    let mut house = plan.start_in(sandbox);
    for number in 0..10 {
        assert_eq!(house.ask("alice", &format!("guess {number}")), "NO");
    }
    assert_eq!(state(&house).0, 40);
    assert!(house.daemon.stop());
    let whole = fs::read(&path).unwrap();
    // As it was: the failures still count.
    let House { daemon, sandbox } = house;
    drop(daemon);
    house = plan.start_in(sandbox);
    assert_eq!(state(&house).0, 40, "{}", house.daemon.log());
    let flip = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        bytes
    };
    let cases: Vec<(String, Vec<u8>)> = vec![
        ("empty".into(), Vec::new()),
        ("one byte".into(), vec![1]),
        ("half".into(), whole[..whole.len() / 2].to_vec()),
        ("one byte less".into(), whole[..whole.len() - 1].to_vec()),
        ("longer".into(), [&whole[..], b"x"].concat()),
        ("other magic".into(), flip(0)),
        ("other head 8".into(), flip(8)),
        ("other head 16".into(), flip(16)),
        ("other head 48".into(), flip(48)),
        ("in the middle".into(), flip(whole.len() / 2)),
        ("at the end".into(), flip(whole.len() - 1)),
        ("all ones".into(), vec![0xff; whole.len()]),
        (
            "noise".into(),
            (0..whole.len()).map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8).collect(),
        ),
        ("no file but a directory".into(), Vec::new()),
    ];
    for (what, bytes) in cases {
        assert!(house.daemon.stop(), "{what}");
        let House { daemon, sandbox } = house;
        drop(daemon);
        let _ = fs::remove_file(&path);
        if what.contains("directory") {
            fs::create_dir(&path).unwrap()
        } else {
            fs::write(&path, &bytes).unwrap()
        }
        house = plan.start_in(sandbox);
        let told = wait_until(|| house.daemon.log().contains("limits start empty"));
        assert!(told, "{what} is not told:\n{}", house.daemon.log());
        assert_eq!(state(&house).0, 50, "{what}");
        assert_eq!(house.ask("alice", PASSWORD), "OK", "{what}");
        if what.contains("directory") {
            fs::remove_dir(&path).unwrap()
        }
    }
}
