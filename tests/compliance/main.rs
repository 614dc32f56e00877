//! One source, two subjects: each case runs against Debian's saslauthd and tools and against ours.
//!
//! `UNDER_TEST=theirs` or `ours` picks one; by default both run, theirs first. Trusts the originals for what
//! is compatible and `divergences.txt` for what is better on purpose. Must never touch the host's accounts.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod backend_sasldb;
mod backend_shadow;
mod cache;
mod daemon_flags;
mod daemon_life;
mod lists;
mod logs;
mod mux_fields;
mod mux_framing;
mod passwd;
mod passwd_input;
mod passwd_terminal;
mod realms;
mod suite;
mod tester;
mod words;

use std::collections::HashSet;

use suite::Listed;

/// The groups and their cases; a group that is left out here isn't counted.
fn all() -> Listed {
    [
        mux_framing::all(),
        mux_fields::all(),
        backend_shadow::all(),
        backend_sasldb::all(),
        realms::all(),
        cache::all(),
        logs::all(),
        daemon_flags::all(),
        daemon_life::all(),
        tester::all(),
        passwd::all(),
        passwd_input::all(),
        passwd_terminal::all(),
        lists::all(),
    ]
    .concat()
}

#[test]
fn there_are_at_least_four_hundred_cases_with_names_of_their_own() {
    let cases = all();
    let names: HashSet<&String> = cases.iter().map(|(id, _)| id).collect();
    assert_eq!(names.len(), cases.len(), "two cases share a name");
    eprintln!("{} cases", cases.len());
    assert!(cases.len() >= 400, "only {} cases", cases.len());
}

#[test]
fn every_divergence_covers_a_case() {
    let cases = all();
    for line in suite::divergences() {
        let covers = cases.iter().any(|(id, expect)| line.covers(id, expect));
        assert!(covers, "covers no case: {}", line.text);
    }
}

#[test]
fn a_star_stands_for_anything() {
    assert!(suite::like("NO *", "NO Incorrect password"));
    assert!(suite::like("a*c", "abc") && suite::like("*", "") && suite::like("a*", "a"));
    assert!(!suite::like("NO *", "NO") && !suite::like("a*c", "abd") && !suite::like("a", "ab"));
}
