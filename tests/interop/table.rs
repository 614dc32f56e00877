//! Prints what was heard: a table for each daemon, peers down, situations across.

use std::fmt::Write;

use harness::Subject;

use crate::peers::Verdict;
use crate::run::{Outcome, Report};
use crate::situation::ALL;

const LEGEND: &str = "\
Each cell is what the peer told its own client. `†`: the peer cannot express an outage, so that its client takes it
for a wrong password whatever the daemon does. `‡`: the original's fault, an outage told as a wrong password or a
client left waiting. `?`: not expected. \"closed unanswered\" is a scripted daemon, the same for both.
";

/// The whole report in Markdown.
pub(crate) fn render(reports: &[Report], subjects: &[Subject]) -> String {
    let mut text = format!("# Who asks, what happens, what the client is told\n\n{LEGEND}");
    for subject in subjects {
        let title = match subject {
            Subject::Theirs => "Debian's saslauthd (for pwcheck a stand-in)",
            Subject::Ours => "This saslauthd",
        };
        let _ = writeln!(text, "\n## {title}\n");
        rows(&mut text, reports, *subject);
    }
    failures(&mut text, reports);
    text
}

fn rows(text: &mut String, reports: &[Report], subject: Subject) {
    let headings: Vec<&str> = ALL.iter().map(|situation| situation.heading()).collect();
    let _ = writeln!(text, "| peer | route | {} |", headings.join(" | "));
    let _ = writeln!(text, "|{}", " --- |".repeat(headings.len() + 2));
    for report in reports {
        let here = || report.outcomes.iter().filter(|outcome| outcome.subject == subject);
        let mut routes: Vec<&str> = here().map(|outcome| outcome.route).collect();
        routes.dedup();
        routes.sort_unstable();
        routes.dedup();
        for route in routes {
            let _ = write!(text, "| {} | {route} |", report.peer);
            for situation in ALL {
                let outcome = here().find(|one| one.situation == situation && one.route == route);
                let _ = write!(text, " {} |", outcome.map_or("–".to_owned(), cell));
            }
            text.push('\n');
        }
    }
}

fn cell(outcome: &Outcome) -> String {
    let words = outcome.heard.words.replace('|', "/").replace('\n', " ");
    if !outcome.is_expected() {
        return format!("? {words}");
    }
    if !outcome.situation.is_trouble() || outcome.expected == Verdict::Accepted {
        return words;
    }
    match (outcome.expected, outcome.tells_outage) {
        (Verdict::Temporary, _) => words,
        (Verdict::Refused, false) => format!("{words} †"),
        _ => format!("{words} ‡"),
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
