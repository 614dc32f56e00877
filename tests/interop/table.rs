//! Prints what was heard: a table for each daemon and language, peers down, situations across.
//!
//! The table of ours is in the README too, shortened to what each client will do; a run of all compares it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use harness::Subject;

use crate::peers::{Socket, Verdict};
use crate::run::{Outcome, Report};
use crate::situation::{ALL, Situation};

const LEGEND: &str = "\
Each cell is what the peer told its own client. `†`: the peer cannot express an outage, so that its client takes it
for a wrong password whatever the daemon does. `‡`: the original's fault, an outage told as a wrong password or a
client left waiting. `?`: not expected. \"closed unanswered\" and `temp_fail` are a scripted daemon, the same for both.
";

const BEGIN: &str = "<!-- table of interop: begin -->\n";
const END: &str = "<!-- table of interop: end -->\n";

/// The whole report in Markdown.
pub(crate) fn render(reports: &[Report], subjects: &[Subject]) -> String {
    let mut text = format!("# Who asks, what happens, what the client is told\n\n{LEGEND}");
    for subject in subjects {
        for family in [Family::Mux, Family::Auth] {
            let title = match (subject, family) {
                (Subject::Theirs, Family::Mux) => "Debian's saslauthd (for pwcheck a stand-in)",
                (Subject::Theirs, Family::Auth) => "Debian's Dovecot 2.3",
                (Subject::Ours, Family::Mux) => "This saslauthd: mux and pwcheck",
                (Subject::Ours, Family::Auth) => "This saslauthd: Dovecot's auth protocol",
            };
            rows(&mut text, title, &table(reports, *subject, family), cell);
        }
    }
    failures(&mut text, reports);
    text
}

/// What the README says of ours. None when not all peers were asked to the end.
pub(crate) fn summary(reports: &[Report]) -> Option<String> {
    if reports.iter().any(|report| report.failure.is_some()) {
        return None;
    }
    let mut text = String::new();
    for (family, title) in
        [(Family::Mux, "Through mux and pwcheck"), (Family::Auth, "Through Dovecot's protocol")]
    {
        rows(&mut text, title, &table(reports, Subject::Ours, family), short);
    }
    text.push('\n');
    Some(text)
}

/// Where the README is.
pub(crate) fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

/// The README with another table between its marks.
pub(crate) fn replace(readme: &str, summary: &str) -> Option<String> {
    let (before, rest) = readme.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{summary}{END}{after}"))
}

/// The languages that share a table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Mux,
    Auth,
}

impl Family {
    fn of(socket: Socket) -> Self {
        if socket == Socket::Auth { Self::Auth } else { Self::Mux }
    }
}

/// A row for each route of each peer: its outcomes, by situation.
type Table<'a> = Vec<(&'a str, &'a str, Vec<&'a Outcome>)>;

fn table(reports: &[Report], subject: Subject, family: Family) -> Table<'_> {
    let mut table = Vec::new();
    for report in reports.iter().filter(|report| Family::of(report.socket) == family) {
        let here: Vec<&Outcome> =
            report.outcomes.iter().filter(|outcome| outcome.subject == subject).collect();
        let mut routes: Vec<&str> = here.iter().map(|outcome| outcome.route).collect();
        routes.sort_unstable();
        routes.dedup();
        for route in routes {
            let outcomes = here.iter().copied().filter(|outcome| outcome.route == route);
            table.push((report.peer, route, outcomes.collect()));
        }
    }
    table
}

fn rows(text: &mut String, title: &str, table: &Table<'_>, cell: fn(&Outcome) -> String) {
    let asked = |situation: &Situation| {
        table.iter().any(|(_, _, all)| all.iter().any(|outcome| outcome.situation == *situation))
    };
    let situations: Vec<Situation> = ALL.into_iter().filter(asked).collect();
    if situations.is_empty() {
        return;
    }
    let headings: Vec<&str> = situations.iter().map(|situation| situation.heading()).collect();
    let _ = writeln!(text, "\n## {title}\n\n| peer | route | {} |", headings.join(" | "));
    let _ = writeln!(text, "|{}", " --- |".repeat(headings.len() + 2));
    for (peer, route, outcomes) in table {
        let _ = write!(text, "| {peer} | {route} |");
        for situation in &situations {
            let outcome = outcomes.iter().find(|one| one.situation == *situation);
            let _ = write!(text, " {} |", outcome.map_or("–".to_owned(), |outcome| cell(outcome)));
        }
        text.push('\n');
    }
}

fn cell(outcome: &Outcome) -> String {
    let words = outcome.heard.words.replace('|', "/").replace('\n', " ");
    format!("{}{words}{}", unexpected(outcome), mark(outcome))
}

fn short(outcome: &Outcome) -> String {
    let word = match outcome.heard.verdict {
        Verdict::Accepted => "yes",
        Verdict::Refused => "no",
        Verdict::Temporary => "later",
        Verdict::Silent => "waits",
        Verdict::Strange => "strange",
    };
    format!("{}{word}{}", unexpected(outcome), mark(outcome))
}

fn unexpected(outcome: &Outcome) -> &'static str {
    if outcome.is_expected() { "" } else { "? " }
}

fn mark(outcome: &Outcome) -> &'static str {
    let told = matches!(outcome.expected, Verdict::Accepted | Verdict::Temporary);
    if told || !outcome.is_expected() || !outcome.situation.is_trouble() {
        return "";
    }
    // A fault of the original where the daemon decides, of the peer where it can't.
    let hangs = outcome.expected == Verdict::Silent && !outcome.situation.is_scripted_or_absent();
    match outcome.subject {
        Subject::Theirs if hangs || !outcome.is_peers_own() => " ‡",
        _ => " †",
    }
}

fn failures(text: &mut String, reports: &[Report]) {
    for report in reports {
        if let Some(failure) = &report.failure {
            let _ = writeln!(text, "\n**{}**: {failure}", report.peer);
        }
        for outcome in report.outcomes.iter().filter(|outcome| !outcome.is_expected()) {
            let Outcome { subject, route, situation, heard, expected, .. } = outcome;
            let _ = writeln!(
                text,
                "\n**{} {route}**, {subject:?}, {}: expected {expected:?}, heard {:?} ({})",
                report.peer,
                situation.heading(),
                heard.verdict,
                heard.words
            );
        }
        if !report.log.is_empty() {
            let _ =
                writeln!(text, "\n{}'s daemons printed:\n\n```\n{}```", report.peer, report.log);
        }
    }
}
