//! R1, R2: every system call between accept and the end of a delivery fails, or is the last one of its process, and no
//! message is lost, halved, falsely promised, or sent twice without an excuse; nobody relays who may not, and no outage
//! is told as a wrong password.
//!
//! Runs in the test process, as root. Three messages pass at each point: see messages.rs. With `FAULTS=fsync` only points
//! with this word in their name are tried.

mod messages;
mod points;
mod restarts;
mod rig;
mod tally;
mod tracer;

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use rig::{Rig, Role};
use tally::Tally;
use tracer::{Blow, Point};

/// Houses in which calls fail.
const HOUSES: usize = 3;
/// Houses in which processes are killed, or the parent fails: most of their time they wait.
const GRAVES: usize = 6;
/// Kills of each child.
const KILLS: usize = 210;
/// Kills of the parent, which are the whole mta's.
const KILLS_OF_THE_PARENT: usize = 60;

#[test]
fn r1_a_receiver_whose_calls_fail_keeps_what_it_promised() {
    failures(Role::Receiver, 250);
}

#[test]
fn r1_a_sender_whose_calls_fail_loses_nothing() {
    failures(Role::Sender, 250);
}

#[test]
fn r1_a_parent_whose_calls_fail_starts_its_children_again() {
    failures(Role::Parent, 100);
}

#[test]
fn r2_a_receiver_that_is_killed_at_any_call_keeps_what_it_promised() {
    kills(Role::Receiver, KILLS);
}

#[test]
fn r2_a_sender_that_is_killed_at_any_call_loses_nothing() {
    kills(Role::Sender, KILLS);
}

#[test]
fn r2_a_parent_that_is_killed_at_any_call_takes_no_mail_with_it() {
    kills(Role::Parent, KILLS_OF_THE_PARENT);
}

#[test]
fn a_child_that_ends_by_itself_is_not_said_to_be_killed() {
    if !harness::mta::ready() {
        return;
    }
    for role in [Role::Receiver, Role::Sender] {
        let mut rig = Rig::start(role);
        let told = rig.deafen();
        assert!(!told.contains("signal"), "{told}");
        let tally = rig.close();
        assert!(tally.wrong.is_empty(), "{:?}", tally.wrong);
    }
}

/// At least so many calls are to be struck.
fn failures(role: Role, least: usize) {
    if !harness::mta::ready() {
        return;
    }
    let mut rig = Rig::start(role);
    let counts = rig.count();
    let houses = if role == Role::Parent { GRAVES } else { HOUSES };
    let tally = work(rig, points::failures(role, &counts), houses);
    report("failures", role, &counts, &tally);
    // A fault that passes needs no new process to be got over.
    assert!(tally.renewed.is_empty(), "only a new sender went on: {:?}", tally.renewed);
    assert!(tally.hits.len() >= least, "{} calls were struck", tally.hits.len());
}

fn kills(role: Role, most: usize) {
    if !harness::mta::ready() {
        return;
    }
    let mut rig = Rig::start(role);
    let counts = rig.count();
    let tally = work(rig, points::kills(&counts, most), GRAVES);
    report("kills", role, &counts, &tally);
    assert!(tally.deaths * 10 >= most * 9, "{} of {most} were killed", tally.deaths);
}

/// Works through the points, in several houses.
fn work(first: Rig, mut list: Vec<Point>, houses: usize) -> Tally {
    if let Ok(some) = std::env::var("FAULTS") {
        list.retain(|point| point_name(point).contains(&some));
    }
    list.reverse();
    let (role, list, total) = (first.role(), Mutex::new(list), Mutex::new(Tally::default()));
    let one = |mut rig: Rig| {
        loop {
            let Some(point) = list.lock().unwrap().pop() else { break };
            rig.strike(point, &point_name(&point));
        }
        total.lock().unwrap().add(rig.close());
    };
    std::thread::scope(|scope| {
        for _ in 1..houses {
            scope.spawn(|| one(Rig::start(role)));
        }
        one(first);
    });
    total.into_inner().unwrap()
}

fn point_name(point: &Point) -> String {
    let call = point.call.map_or_else(|| "any call".to_owned(), points::name);
    match point.blow {
        Blow::Error(error) => format!("{call} {} {error:?}", point.ordinal),
        Blow::Answer(error) => format!("{call} {} made, {error:?}", point.ordinal),
        Blow::Kill => format!("{call} {} the last", point.ordinal),
    }
}

fn report(what: &str, role: Role, counts: &HashMap<i64, usize>, tally: &Tally) {
    let counts: BTreeMap<String, usize> =
        counts.iter().map(|(call, count)| (points::name(*call), *count)).collect();
    eprintln!("{what} of the {role:?}, which makes {counts:?}");
    eprintln!(
        "{} points, {} struck, {} deaths ({} by a filter); {} accepted, {} refused, {} without an answer; \
         {} came unpromised, {} twice; {} times an operator was needed, {} times a new sender: {:?}",
        tally.points,
        tally.hits.len(),
        tally.deaths,
        tally.forbidden,
        tally.accepted,
        tally.refused,
        tally.unanswered,
        tally.unpromised.len(),
        tally.doubles.len(),
        tally.asked,
        tally.renewed.len(),
        tally.renewed,
    );
    for double in &tally.doubles {
        eprintln!("  twice: {double}");
    }
    for unpromised in &tally.unpromised {
        eprintln!("  unpromised: {unpromised}");
    }
    assert!(tally.wrong.is_empty(), "{}", tally.wrong.join("\n"));
    // Or this would be another test of kills.
    assert_eq!(tally.forbidden, 0, "a filter ended a process");
}
