//! Whose turn it is, by given moments.

use super::*;

const LIMITS: Limits = Limits { connections: 4, per_destination: 2 };

fn id(number: usize) -> Id {
    Id::parse(format!("{number:016}").as_bytes()).unwrap()
}

fn hop(name: &str) -> Hop {
    Hop::Mx(name.into())
}

fn entry(now: Instant) -> Entry {
    Entry::new(0, Duration::ZERO, now, Phase::Busy)
}

/// So many messages for a next hop, due.
fn add(agenda: &mut Agenda, now: Instant, first: usize, count: usize, name: &str) {
    for number in first..first + count {
        agenda.put(id(number), entry(now));
        agenda.line_up(id(number), vec![hop(name)]);
    }
}

fn sends(tasks: &[Task]) -> Vec<(Id, u32, String)> {
    tasks
        .iter()
        .filter_map(|task| match task {
            Task::Send(id, number, hop) => match &**hop {
                Hop::Mx(name) => Some((*id, *number, name.clone())),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

#[test]
fn next_hops_take_turns_and_keep_their_limits() {
    let now = Instant::now();
    let mut agenda = Agenda::default();
    add(&mut agenda, now, 0, 10, "big.example");
    add(&mut agenda, now, 10, 1, "small.example");
    let (tasks, _) = agenda.advance(now, LIMITS);
    let names: Vec<String> = sends(&tasks).into_iter().map(|(_, _, name)| name).collect();
    assert_eq!(names, ["big.example", "small.example", "big.example"]);
    assert!(agenda.advance(now, LIMITS).0.is_empty());
    let (done, number, _) = sends(&tasks)[0].clone();
    agenda.done_with_hop(done);
    agenda.forget(done);
    agenda.learn(number, Reached::Yes, now);
    agenda.sent(number);
    assert_eq!(sends(&agenda.advance(now, LIMITS).0).len(), 1);
}

#[test]
fn the_limit_of_all_connections_holds() {
    let now = Instant::now();
    let mut agenda = Agenda::default();
    for number in 0..20 {
        add(&mut agenda, now, number, 1, &format!("{number}.example"));
    }
    assert_eq!(sends(&agenda.advance(now, LIMITS).0).len(), 4);
    assert_eq!(agenda.active(), 4);
}

#[test]
fn a_dead_hop_is_tried_by_one_message_and_the_others_are_put_off() {
    let now = Instant::now();
    let mut agenda = Agenda::default();
    add(&mut agenda, now, 0, 5, "dead.example");
    let (tasks, _) = agenda.advance(now, LIMITS);
    let begun = sends(&tasks);
    assert_eq!(begun.len(), 2);
    let pause = Duration::from_secs(60);
    for (id, number, _) in &begun {
        agenda.done_with_hop(*id);
        agenda.learn(*number, Reached::No(pause, None), now);
        agenda.sent(*number);
        agenda.wait(*id, now + pause);
    }
    let (tasks, _) = agenda.advance(now, LIMITS);
    assert_eq!(tasks.len(), 3);
    for task in tasks {
        let Task::PutOff(id, ..) = task else { panic!("{task:?}") };
        assert_eq!(agenda.outstanding(id), 1);
        agenda.done_with_hop(id);
        agenda.wait(id, now + pause);
    }
    let later = now + pause;
    let (tasks, _) = agenda.advance(later, LIMITS);
    assert_eq!(sends(&tasks).len(), 1, "a single one looks whether it is back");
    let (first, number, _) = sends(&tasks)[0].clone();
    agenda.done_with_hop(first);
    agenda.forget(first);
    agenda.learn(number, Reached::Yes, later);
    agenda.sent(number);
    assert_eq!(sends(&agenda.advance(later, LIMITS).0).len(), 2, "it is");
}

#[test]
fn dead_hops_together_leave_half_of_the_connections_to_others() {
    let now = Instant::now();
    let mut agenda = Agenda::default();
    let limits = Limits { connections: 4, per_destination: 1 };
    for number in 0..10 {
        add(&mut agenda, now, number, 1, &format!("dead{number}.example"));
    }
    let later = now + Duration::from_secs(10);
    let mut known = 0;
    while known < 10 {
        for (id, number, _) in sends(&agenda.advance(now, limits).0) {
            agenda.done_with_hop(id);
            agenda.learn(number, Reached::No(Duration::from_secs(1), None), now);
            agenda.sent(number);
            agenda.wait(id, later);
            known += 1;
        }
    }
    add(&mut agenda, now, 100, 3, "a.example");
    add(&mut agenda, now, 200, 3, "b.example");
    let names: Vec<String> =
        sends(&agenda.advance(later, limits).0).into_iter().map(|(_, _, name)| name).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("dead")).count(), 2, "{names:?}");
    assert_eq!(names.len(), 4);
}

#[test]
fn what_is_due_is_sorted_first_and_a_few_at_a_time() {
    let now = Instant::now();
    let mut agenda = Agenda::default();
    for number in 0..100 {
        let entry = Entry { phase: Phase::Until(now), ..entry(now) };
        agenda.put(id(number), entry);
    }
    let (tasks, next) = agenda.advance(now, LIMITS);
    assert_eq!((tasks.len(), next), (SORTING, None));
    agenda.sorted(id(0), vec![hop("a.example"), hop("b.example")]);
    let (tasks, _) = agenda.advance(now, LIMITS);
    assert_eq!(tasks.len(), 3, "one more to sort, and the first one goes to two next hops");
    assert_eq!(agenda.outstanding(id(0)), 2);
}

#[test]
fn nothing_is_left_of_a_hop_that_nobody_needs() {
    let now = Instant::now();
    let mut agenda = Agenda::default();
    add(&mut agenda, now, 0, 1, "a.example");
    let (first, number, _) = sends(&agenda.advance(now, LIMITS).0)[0].clone();
    agenda.done_with_hop(first);
    agenda.forget(first);
    agenda.learn(number, Reached::Yes, now);
    agenda.sent(number);
    assert_eq!(agenda.destinations().count(), 0);
    assert!(agenda.numbers.is_empty() && agenda.turns.is_empty() && agenda.due.is_empty());
}

#[test]
fn an_age_is_of_a_clock_that_nobody_sets() {
    let now = Instant::now();
    let entry = Entry::new(0, Duration::from_secs(10), now, Phase::Held);
    assert_eq!(entry.age(now + Duration::from_secs(5)), Duration::from_secs(15));
}

#[test]
fn a_next_hop_is_known_as_long_as_a_message_waits_for_it() {
    let now = Instant::now();
    let mut agenda = Agenda::default();
    add(&mut agenda, now, 1, 1, "dead");
    let (tasks, _) = agenda.advance(now, LIMITS);
    let (message, number, _) = sends(&tasks)[0].clone();
    agenda.learn(number, Reached::No(Duration::from_secs(30), None), now);
    agenda.done_with_hop(message);
    let later = entry(now);
    let later = Entry { phase: Phase::Until(now + Duration::from_secs(60)), ..later };
    agenda.put_down(message, later, vec![hop("dead")]);
    agenda.sent(number);
    assert_eq!(agenda.failures(number), 1);
    add(&mut agenda, now, 2, 1, "dead");
    let (tasks, _) = agenda.advance(now, LIMITS);
    assert!(matches!(tasks.as_slice(), [Task::PutOff(..)]), "{tasks:?}");
    agenda.forget(message);
    agenda.forget(id(2));
    assert_eq!(agenda.destinations().count(), 0, "and no longer");
}

#[test]
fn what_was_put_down_meanwhile_comes_up_once() {
    let now = Instant::now();
    let mut agenda = Agenda::default();
    agenda.put(id(1), entry(now));
    agenda.line_up(id(1), vec![hop("a"), hop("b")]);
    assert_eq!(sends(&agenda.advance(now, LIMITS).0).len(), 2);
    // One of the two attempts found that nothing can be read, the other one ends later.
    agenda.wait(id(1), now + Duration::from_secs(1));
    agenda.done_with_hop(id(1));
    let again = Entry { phase: Phase::Until(now + Duration::from_secs(2)), ..entry(now) };
    agenda.put_down(id(1), again, vec![hop("a")]);
    let (tasks, next) = agenda.advance(now + Duration::from_secs(1), LIMITS);
    assert!(tasks.is_empty(), "{tasks:?}");
    assert_eq!(next, Some(now + Duration::from_secs(2)));
}
