//! Limits end to end: what a guesser gets, and what nobody loses by it.

use std::time::Duration;

use nix::sys::signal::Signal;
use protocol::control::{Login, Request, Reset};

use crate::accounts::mailauth;
use crate::events::{Ear, Try};
use crate::house::{House, LOGIN, PASSWORD, Plan};

const STATING: &str = "[[socket]]\npath = \"/run/saslauthd/mux\"\naddress_uids = [\"root\"]";

fn house(limits: &str) -> Option<House> {
    Plan::new().sections(STATING).limits(limits).start()
}

fn from(house: &House, address: &str, password: &str) -> String {
    Try::new(LOGIN, password).ask_from(house.mux(), &format!("{address};4242"))
}

/// Guesses that all differ, until one is throttled; how many were not.
fn guesses(house: &House, address: &str, most: usize) -> usize {
    let mut ear = Ear::at(house);
    for number in 0..most {
        assert_eq!(from(house, address, &format!("guess {number} from {address}")), "NO");
        if ear.next(house).get("reason") == "throttled" {
            return number;
        }
    }
    most
}

#[test]
fn a_user_from_one_address_has_a_burst_and_others_have_their_own() {
    let Some(house) = house("pair = { burst = 5, count = 1, every = \"1h\" }") else { return };
    assert_eq!(guesses(&house, "192.0.2.7", 20), 5);
    let mut ear = Ear::at(&house);
    assert_eq!(from(&house, "192.0.2.7", PASSWORD), "NO", "not even the right one is looked at");
    let event = ear.next(&house);
    assert_eq!([event.get("throttled"), event.get("scheme")], ["pair", "-"]);
    assert_eq!(from(&house, "192.0.2.8", PASSWORD), "OK", "the neighbour");
    assert_eq!(
        from(&house, "192.0.2.7", PASSWORD),
        "OK",
        "whose network is known good from now on"
    );
}

#[test]
fn a_throttled_answer_is_a_refusal_to_the_byte() {
    let Some(house) = house("user = { burst = 1, count = 1, every = \"1h\" }") else { return };
    let mut replies = Vec::new();
    for password in ["wrong", "other", PASSWORD, "wrong", ""] {
        let bytes = harness::probe::counted(&[LOGIN.as_bytes(), password.as_bytes(), b"smtp", b""]);
        replies.push(house.send(&bytes).hear(Duration::from_secs(5)).unwrap());
    }
    assert!(replies.iter().all(|heard| *heard == replies[0]), "{replies:?}");
    assert_eq!(replies[0].bytes, b"\0\x02NO");
}

#[test]
fn addresses_count_only_from_those_who_may_state_them() {
    let limits = "pair = { burst = 2, count = 1, every = \"1h\" }\nuser = { burst = 4, count = 1, every = \"1h\" }";
    let Some(house) = Plan::new().limits(limits).start() else { return };
    // Each guess from another address: without the right to state it they are all one.
    let mut ear = Ear::at(&house);
    let mut reasons = Vec::new();
    for number in 0..6 {
        let address = format!("198.51.100.{number}");
        assert_eq!(from(&house, &address, &format!("guess {number}")), "NO");
        let event = ear.next(&house);
        assert_eq!(event.get("rip_source"), "ignored");
        reasons.push(format!("{} {}", event.get("reason"), event.get("throttled")));
    }
    let wrong = "wrong-password -";
    assert_eq!(reasons, [wrong, wrong, wrong, wrong, "throttled user", "throttled user"]);
}

#[test]
fn who_logged_in_from_there_before_is_not_locked_out_by_others() {
    let limits = "user = { burst = 10, count = 1, every = \"1h\" }";
    let Some(house) = house(limits) else { return };
    assert_eq!(from(&house, "192.0.2.7", PASSWORD), "OK");
    // A guesser with an address of its own for each guess.
    let mut ear = Ear::at(&house);
    let mut compared = 0;
    for number in 0..60 {
        let address = format!("203.{number}.113.{number}");
        assert_eq!(from(&house, &address, &format!("guess {number}")), "NO");
        compared += usize::from(ear.next(&house).get("reason") == "wrong-password");
    }
    assert_eq!(compared, 10, "all guessers together have the user's burst");
    for _ in 0..5 {
        assert_eq!(from(&house, "192.0.2.7", PASSWORD), "OK", "the owner");
        assert_eq!(from(&house, "192.0.2.200", PASSWORD), "OK", "the owner, a few addresses on");
    }
    assert_eq!(from(&house, "203.0.113.99", PASSWORD), "NO", "the owner from where nobody knows");
    // Whoever shares the owner's network guesses no faster than its bucket.
    assert_eq!(guesses(&house, "192.0.2.8", 40), 10);
}

#[test]
fn the_same_wrong_password_again_is_free_up_to_a_bound() {
    let limits = "pair = { burst = 3, count = 1, every = \"1h\" }\nrepeats = { burst = 8, count = 1, every = \"1d\" }";
    let Some(house) = house(limits) else { return };
    let mut ear = Ear::at(&house);
    for _ in 0..9 {
        assert_eq!(from(&house, "192.0.2.7", "last year's"), "NO");
        assert_eq!(ear.next(&house).get("reason"), "wrong-password");
    }
    // One was charged and eight were free; two charged ones are left.
    let mut reasons = Vec::new();
    for _ in 0..4 {
        assert_eq!(from(&house, "192.0.2.7", "last year's"), "NO");
        reasons.push(ear.next(&house).get("reason").to_owned());
    }
    assert_eq!(reasons, ["wrong-password", "wrong-password", "throttled", "throttled"]);
}

#[test]
fn a_success_gives_the_pair_its_burst_back_but_not_the_source() {
    let limits = "pair = { burst = 4, count = 1, every = \"1h\" }\nsource = { burst = 6, count = 1, every = \"1h\" }";
    let Some(house) = house(limits) else { return };
    let unknown = |number: usize| {
        Try::new(format!("nobody{number}"), "x").ask_from(house.mux(), "192.0.2.7;1")
    };
    let mut ear = Ear::at(&house);
    let mut compared = 0;
    // Between the guesses at others the guesser logs in with an account of its own.
    for number in 0..12 {
        assert_eq!(unknown(number), "NO");
        compared += usize::from(ear.next(&house).get("reason") == "unknown-user");
        assert_eq!(from(&house, "192.0.2.7", PASSWORD), "OK");
        ear.next(&house);
    }
    assert_eq!(compared, 6, "the source's burst");
}

#[test]
fn operators_let_go_by_mailauth_and_by_the_socket() {
    let limits = "pair = { burst = 2, count = 1, every = \"1h\" }\nuser = { burst = 4, count = 1, every = \"1h\" }\n\
                  source = { burst = 3, count = 1, every = \"1h\" }";
    let Some(house) = house(limits) else { return };
    let silent = |password: &str| house.ask(LOGIN, password);
    for number in 0..4 {
        assert_eq!(silent(&format!("guess {number}")), "NO");
    }
    assert_eq!(silent(PASSWORD), "NO", "throttled");
    let shown = mailauth(&house, &["limits", "show", LOGIN], "");
    assert!(shown.contains("user"), "{shown}");
    mailauth(&house, &["limits", "reset", "user", LOGIN], "");
    assert_eq!(silent(PASSWORD), "OK");
    for number in 0..4 {
        Try::new(format!("nobody{number}"), "x").ask_from(house.mux(), "203.0.113.5;1");
    }
    assert_eq!(from(&house, "203.0.113.5", PASSWORD), "NO", "the source is exhausted");
    mailauth(&house, &["limits", "reset", "source", "203.0.113.5"], "");
    assert_eq!(from(&house, "203.0.113.5", PASSWORD), "OK");
    for number in 0..6 {
        assert_eq!(silent(&format!("more {number}")), "NO");
    }
    house.operator(&Request::Reset(Reset::All));
    assert_eq!(silent(PASSWORD), "OK");
}

#[test]
fn a_checker_that_is_killed_forgets_no_failure() {
    let Some(house) = house("user = { burst = 5, count = 1, every = \"1d\" }") else { return };
    for number in 0..3 {
        assert_eq!(house.ask(LOGIN, &format!("guess {number}")), "NO");
    }
    for _ in 0..5 {
        house.checker().signal(Signal::SIGKILL);
        assert!(harness::wait_until(|| house.ask("nobody-here", "x") == "NO"), "back again");
        let login = Login::new(LOGIN.as_bytes(), b"").unwrap();
        let figures = house.operator(&Request::LimitsOf(login));
        assert_eq!(figures.pointer("/left/user").and_then(serde_json::Value::as_u64), Some(2));
    }
    assert_eq!(house.visit(), "OK");
}
