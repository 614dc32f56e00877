//! The tables: Postfix and ours in turn.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use harness::Sandbox;

use super::client::{self, Manner, Numbers, Submitted, Target};
use super::sink::{self, Seen};
use super::{Keeping, Keys, PASSWORD, USER, house, ours, postfix};
use crate::{memory, processor};

const SESSIONS: [usize; 3] = [1, 16, 64];
const SIZES: [usize; 2] = [4_000, 100_000];
/// Messages of a session.
const MESSAGES: usize = 10;
const WARM_UP: Duration = Duration::from_secs(1);
/// Sessions that wait.
const IDLE: usize = 1_000;
/// Sessions that wait on ours alone.
const MANY: usize = 9_000;

/// Both in turn, each in a house of its own.
pub(crate) fn beside_postfix(measured: Duration) {
    print_head();
    for keeping in [Keeping::Held, Keeping::Relayed] {
        for size in SIZES {
            for sessions in SESSIONS {
                row(keeping, Manner { sessions, messages: MESSAGES, size }, measured);
            }
        }
    }
    println!("\n| full handshakes/s | Postfix | ours | ratio |\n| --- | --- | --- | --- |");
    for clients in [4, 16] {
        let theirs = with_postfix(Keeping::Held, |stage| {
            client::shake_hands(&stage.target, clients, (WARM_UP, measured))
        });
        let ours = with_ours(Keeping::Held, |stage| {
            client::shake_hands(&stage.target, clients, (WARM_UP, measured))
        });
        let ratio = ours.rate() / theirs.rate();
        println!(
            "| {clients} clients | {:.0}{} | {:.0}{} | {ratio:.2} |",
            theirs.rate(),
            faults(&theirs),
            ours.rate(),
            faults(&ours)
        );
    }
    println!();
    memory_alone();
}

/// One row, again and again, for whoever works on it: `held` or `relayed`, sessions and bytes.
pub(crate) fn one_row(
    mail: &str,
    (sessions, size): (usize, usize),
    measured: Duration,
    times: usize,
) {
    let keeping = if mail == "held" { Keeping::Held } else { Keeping::Relayed };
    print_head();
    for _ in 0..times {
        row(keeping, Manner { sessions, messages: MESSAGES, size }, measured);
    }
}

fn print_head() {
    println!("messages accepted: TLS 1.3 and AUTH PLAIN, {MESSAGES} messages a session\n");
    println!(
        "| mail | sessions | bytes | Postfix msg/s | ours msg/s | ratio | Postfix p50/p99 ms | ours p50/p99 ms \
         | Postfix, ours: processor ms a message |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
}

/// Both in turn.
fn row(keeping: Keeping, manner: Manner, measured: Duration) {
    let work = |stage: &Stage<'_>| submit(stage, manner, measured, keeping);
    let theirs = with_postfix(keeping, work);
    let ours = with_ours(keeping, work);
    print_row(keeping, manner, &theirs, &ours);
}

/// What sessions cost that are logged in to nothing and wait.
fn memory_alone() {
    println!("| sessions that wait | Postfix RSS/PSS MB | ours RSS/PSS MB |\n| --- | --- | --- |");
    let theirs = {
        let house = house();
        let (keys, (sink, _)) = (Keys::make(), sink::start());
        let postfix = postfix::start(&house.sandbox, &keys, sink, Keeping::Held, IDLE + 100);
        let target = target(postfix.address, &keys);
        let held: Vec<_> = (0..IDLE).map(|_| target.greet()).collect();
        let memory = memory::of(&house.sandbox.processes(""));
        (memory, held.iter().filter(|session| session.is_ok()).count())
    };
    let house = house();
    let (keys, (sink, _)) = (Keys::make(), sink::start());
    let mta = ours::start(&house.sandbox, &keys, sink, Keeping::Relayed);
    let target = target(mta.address, &keys);
    let before = memory::of(&house.sandbox.processes("mta"));
    let mut held: Vec<_> = (0..IDLE).map(|_| target.greet()).collect();
    let memory = memory::of(&house.sandbox.processes("mta"));
    let here = held.iter().filter(|session| session.is_ok()).count();
    println!("| 0 | | {before} |");
    println!("| {} of {IDLE}, {here} of {IDLE} | {} | {memory} |", theirs.1, theirs.0);
    let began = Instant::now();
    held.extend((0..MANY).map(|_| target.greet()));
    let here = held.iter().filter(|session| session.is_ok()).count();
    let memory = memory::of(&house.sandbox.processes("mta"));
    let login = Instant::now();
    let other = target.log_in().is_ok();
    println!(
        "| {here} of {} (in {:.1} s; a login beside them: {other}, {:.1} ms) | | {memory} |\n",
        IDLE + MANY,
        began.elapsed().as_secs_f64(),
        login.elapsed().as_secs_f64() * 1000.0
    );
    drop(held);
}

fn target(address: std::net::SocketAddr, keys: &Keys) -> Target {
    Target::new(address, super::HOST, keys.certificate.clone(), (USER, PASSWORD))
}

/// A server that runs, and what its sink has.
struct Stage<'a> {
    sandbox: &'a Sandbox,
    target: Target,
    seen: Seen,
}

fn with_postfix<T>(keeping: Keeping, work: impl FnOnce(&Stage<'_>) -> T) -> T {
    let house = house();
    let (keys, (sink, seen)) = (Keys::make(), sink::start());
    let postfix = postfix::start(&house.sandbox, &keys, sink, keeping, 150);
    work(&Stage { sandbox: &house.sandbox, target: target(postfix.address, &keys), seen })
}

fn with_ours<T>(keeping: Keeping, work: impl FnOnce(&Stage<'_>) -> T) -> T {
    let house = house();
    let (keys, (sink, seen)) = (Keys::make(), sink::start());
    let mta = ours::start(&house.sandbox, &keys, sink, keeping);
    work(&Stage { sandbox: &house.sandbox, target: target(mta.address, &keys), seen })
}

/// A load, and what the sink had of it in the end.
struct Row {
    submitted: Submitted,
    /// Accepted messages that never came, and those that came again; only of relayed ones.
    lost: usize,
    again: usize,
    /// Messages a second from the first MAIL to the last one at the sink.
    relayed: f64,
    /// Milliseconds of a processor that the server and the daemon used for a message, in all their processes.
    processor: f64,
}

fn submit(stage: &Stage<'_>, manner: Manner, measured: Duration, keeping: Keeping) -> Row {
    let Stage { sandbox, target, seen } = stage;
    let numbers = Arc::new(Numbers::default());
    let used = || processor::of(&sandbox.processes(""));
    let (before, began) = (used(), Instant::now());
    let submitted = client::submit(target, manner, &numbers, (WARM_UP, measured));
    let accepted = usize::try_from(numbers.accepted.load(Ordering::Relaxed)).unwrap_or(0);
    let mut row = Row { submitted, lost: 0, again: 0, relayed: f64::NAN, processor: f64::NAN };
    if keeping == Keeping::Relayed {
        harness::wait_for(Duration::from_secs(60), || seen.count().different >= accepted);
        row.relayed = seen.count().different as f64 / began.elapsed().as_secs_f64();
        row.lost = accepted.saturating_sub(seen.count().different);
        row.again = seen.count().again;
    }
    row.processor = (used() - before).as_secs_f64() * 1000.0 / accepted as f64;
    row
}

fn print_row(keeping: Keeping, manner: Manner, theirs: &Row, ours: &Row) {
    let mail = match keeping {
        Keeping::Held => "held".to_owned(),
        Keeping::Relayed => format!(
            "relayed: {:.0} and {:.0} a second at the sink, ratio {:.2}; lost {} and {}, twice {} and {}",
            theirs.relayed,
            ours.relayed,
            ours.relayed / theirs.relayed,
            theirs.lost,
            ours.lost,
            theirs.again,
            ours.again
        ),
    };
    let (their, our) = (&theirs.submitted, &ours.submitted);
    println!(
        "| {mail} | {} | {} | {:.0}{} | {:.0}{} | {:.2} | {:.1}/{:.1} | {:.1}/{:.1} | {:.2}, {:.2} |",
        manner.sessions,
        manner.size,
        their.rate(),
        faults(their),
        our.rate(),
        faults(our),
        our.rate() / their.rate(),
        their.percentile(50.0),
        their.percentile(99.0),
        our.percentile(50.0),
        our.percentile(99.0),
        theirs.processor,
        ours.processor,
    );
}

fn faults(submitted: &Submitted) -> String {
    match submitted.broken.first() {
        None => String::new(),
        Some(first) => format!(" ({} broken: {first})", submitted.broken.len()),
    }
}
