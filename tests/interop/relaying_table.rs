//! Prints who was relayed for: clients down, servers across. The README has the same of ours.

use std::fmt::Write;

use harness::Subject;

use crate::peers::Verdict;
use crate::relaying::{CASES, Outcome, Report};

const BEGIN: &str = "<!-- table of relaying: begin -->\n";
const END: &str = "<!-- table of relaying: end -->\n";

/// The whole report in Markdown: what each server said to RCPT.
pub(crate) fn render(reports: &[Report], subjects: &[Subject]) -> String {
    let mut text = String::new();
    for subject in subjects {
        let title = match subject {
            Subject::Theirs => "Who relays by certificate: a scripted policy server",
            Subject::Ours => "Who relays by certificate: this saslauthd",
        };
        let _ = writeln!(text, "\n## {title}\n");
        text.push_str(&table(reports, *subject, |outcome| {
            let mark = if outcome.heard.verdict == outcome.expected { "" } else { "? " };
            format!("{mark}{}", outcome.heard.words.replace('|', "/"))
        }));
    }
    for report in reports {
        if let Some(failure) = &report.failure {
            let _ = writeln!(text, "\n**{}**: {failure}", report.relayer);
        }
        for outcome in &report.outcomes {
            let Outcome { subject, heading, heard, expected } = outcome;
            if heard.verdict != *expected {
                let relayer = report.relayer;
                let _ = writeln!(
                    text,
                    "\n**{relayer}**, {subject:?}, {heading}: expected {expected:?}, heard {heard:?}"
                );
            }
        }
        if !report.log.is_empty() {
            let relayer = report.relayer;
            let _ = writeln!(text, "\n{relayer}'s daemons printed:\n\n```\n{}```", report.log);
        }
    }
    text
}

/// The README with what was heard of ours, or as it is when not all were asked to the end. None when it has no marks.
pub(crate) fn replace(readme: &str, reports: &[Report]) -> Option<String> {
    let (before, rest) = readme.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    if reports.is_empty() || reports.iter().any(|report| report.failure.is_some()) {
        return Some(readme.to_owned());
    }
    let now = table(reports, Subject::Ours, |outcome| {
        let word = match outcome.heard.verdict {
            Verdict::Accepted => "yes",
            Verdict::Refused => "no",
            Verdict::Temporary => "later",
            Verdict::Silent => "waits",
            Verdict::Strange => "strange",
        };
        word.to_owned()
    });
    Some(format!("{before}{BEGIN}\n{now}\n{END}{after}"))
}

fn table(reports: &[Report], subject: Subject, cell: fn(&Outcome) -> String) -> String {
    let names: Vec<&str> = reports.iter().map(|report| report.relayer).collect();
    let mut text = format!("| client | {} |\n", names.join(" | "));
    let _ = writeln!(text, "|{}", " --- |".repeat(names.len() + 1));
    for case in &CASES {
        let cells: Vec<Option<String>> = reports
            .iter()
            .map(|report| {
                let mut all = report.outcomes.iter();
                all.find(|one| one.subject == subject && one.heading == case.heading).map(cell)
            })
            .collect();
        if cells.iter().any(Option::is_some) {
            let cells: Vec<String> =
                cells.into_iter().map(|cell| cell.unwrap_or_else(|| "–".to_owned())).collect();
            let _ = writeln!(text, "| {} | {} |", case.heading, cells.join(" | "));
        }
    }
    text
}
