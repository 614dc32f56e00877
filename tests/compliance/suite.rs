//! The judge: what the original does is written beside each case, and where ours differs on purpose stands
//! in `divergences.txt`. Anything else is a failure, and so is a difference that has gone away.

use std::fmt::Write;
use std::io;

use harness::Subject;

/// One case: its name, what is done, and what the original does then, in the words of the group's runner.
pub(crate) struct Case<A> {
    pub(crate) id: String,
    pub(crate) act: A,
    pub(crate) expect: String,
}

/// A case; `expect` is what Debian's program does.
pub(crate) fn case<A>(id: impl Into<String>, act: A, expect: impl Into<String>) -> Case<A> {
    Case { id: id.into(), act, expect: expect.into() }
}

/// Name and expectation of each case, for the counts and for the divergence list.
pub(crate) type Listed = Vec<(String, String)>;

pub(crate) fn listed<A>(cases: &[Case<A>]) -> Listed {
    cases.iter().map(|case| (case.id.clone(), case.expect.clone())).collect()
}

/// Runs every case against each selected subject and fails with all differences at once.
///
/// `set_up` makes what the cases of one subject share; `act` runs one case and tells what happened.
pub(crate) fn compare<A, B>(
    group: &str,
    cases: &[Case<A>],
    set_up: impl Fn(Subject) -> io::Result<B>,
    act: impl Fn(&B, &A) -> io::Result<String>,
) {
    let mut failures = String::new();
    for subject in Subject::selected().into_iter().filter(|subject| subject.available()) {
        let bench = match set_up(subject) {
            Ok(bench) => bench,
            Err(why) => {
                let _ = writeln!(failures, "{subject} {group}: cannot start: {why}");
                continue;
            }
        };
        for case in cases {
            let got = act(&bench, &case.act).unwrap_or_else(|why| format!("(test failed: {why})"));
            if let Some(complaint) = judge(subject, &case.id, &case.expect, &got) {
                let _ = writeln!(failures, "{subject} {}: {complaint}", case.id);
            }
        }
    }
    assert!(failures.is_empty(), "{group}:\n{failures}");
}

fn judge(subject: Subject, id: &str, expect: &str, got: &str) -> Option<String> {
    let divergence = match subject {
        Subject::Theirs => None,
        Subject::Ours => divergences().into_iter().find(|line| line.covers(id, expect)),
    };
    match divergence {
        None if got == expect => None,
        None => Some(format!("\n    original {expect}\n    got      {got}")),
        Some(line) if got == expect => {
            Some(format!("the divergence `{}` has vanished: got {got}", line.text))
        }
        Some(line) if like(&line.ours, got) => None,
        Some(line) => {
            Some(format!("\n    original {expect}\n    wanted   {}\n    got      {got}", line.ours))
        }
    }
}

/// One line of the list.
pub(crate) struct Divergence {
    pub(crate) text: String,
    id: String,
    theirs: String,
    ours: String,
}

impl Divergence {
    /// Whether it speaks about this case.
    pub(crate) fn covers(&self, id: &str, expect: &str) -> bool {
        like(&self.id, id) && like(&self.theirs, expect)
    }
}

/// The list: `case | original | ours | reason`, `*` for anything, the first line that covers a case counts.
pub(crate) fn divergences() -> Vec<Divergence> {
    let lines = include_str!("divergences.txt").lines();
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let parts: Vec<&str> = line.split(" | ").map(str::trim).collect();
            let [id, theirs, ours, reason] = parts[..] else {
                panic!("divergences.txt: not four parts: {line}");
            };
            assert!(!reason.is_empty(), "divergences.txt: no reason: {line}");
            Divergence {
                text: line.into(),
                id: id.into(),
                theirs: theirs.into(),
                ours: ours.into(),
            }
        })
        .collect()
}

/// Whether `text` is what `pattern` says, `*` standing for any run of characters.
pub(crate) fn like(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(head) else { return false };
    (0..=rest.len()).any(|at| rest.is_char_boundary(at) && like(tail, &rest[at..]))
}
