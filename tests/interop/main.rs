//! Interop: the mail programs of Debian ask a saslauthd, in every situation that a mail host gets into.
//!
//! Runs as root, once for Debian's saslauthd and once for ours (`UNDER_TEST=theirs` or `ours` for one of them),
//! each peer in its own namespace. Words on the command line choose peers by name. Prints what every peer told
//! its own client; a run of all peers writes the same to `interop-table.md` in the build directory. A peer that
//! this machine lacks is skipped loudly, and a failure with `CI=true`. Must never call an answer expected because
//! it came.

mod accounts;
mod daemon;
mod dovecot;
mod ours;
mod policy_daemons;
mod relaying;
mod relaying_table;
mod run;
mod situation;
mod stand_in;
mod stand_in_auth;
mod table;
mod theirs;

#[path = "../peers/mod.rs"]
mod peers;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

use harness::Subject;
use peers::Peer;
use peers::relay::Relayer;
use run::Report;

/// Peers mostly wait for a frozen daemon, so that more of them than cores are asked at once.
const AT_ONCE: usize = 4;

fn main() -> ExitCode {
    let (flags, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with('-'));
    let mut chosen = peers::all();
    chosen.retain(|peer| words.is_empty() || words.iter().any(|word| peer.name().contains(word)));
    let mut relayers = peers::relay::all();
    relayers.retain(|one| words.is_empty() || words.iter().any(|word| one.name().contains(word)));
    let mut out = io::stdout().lock();
    if flags.iter().any(|flag| flag == "--list") {
        for peer in &chosen {
            let _ = writeln!(out, "{}: test", peer.name());
        }
        for relayer in &relayers {
            let _ = writeln!(out, "{}: test", relayer.name());
        }
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() && relayers.is_empty() {
        return ExitCode::SUCCESS;
    }
    let subjects = Subject::selected();
    let (reports, relayed) = thread::scope(|scope| {
        let relaying = scope.spawn(|| ask_relayers(&relayers, &subjects));
        (ask_all(&chosen, &subjects), relaying.join().unwrap_or_default())
    });
    let mut text = String::new();
    if !reports.is_empty() {
        text.push_str(&table::render(&reports, &subjects));
    }
    if !relayers.is_empty() {
        text.push_str(&relaying_table::render(&relayed, &subjects));
    }
    let _ = writeln!(out, "{text}");
    // A table of some peers would pass for the whole.
    if words.is_empty() {
        let path = peers::fetch::target().join("interop-table.md");
        if let Err(why) = std::fs::write(&path, &text) {
            return fail(&format!("{}: {why}", path.display()));
        }
        let _ = writeln!(out, "written to {}", path.display());
        let write = flags.iter().any(|flag| flag == "--write-readme");
        let readme = if write { Readme::Write } else { Readme::Compare };
        if let Err(why) = keep_readme(&reports, &relayed, &subjects, readme) {
            return fail(&why);
        }
    }
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    if reports.iter().any(|report| report.failed(ci))
        || relayed.iter().any(|report| report.failed(ci))
        || relayed.len() < relayers.len()
    {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn ask_all(peers: &[Box<dyn Peer>], subjects: &[Subject]) -> Vec<Report> {
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..peers.len()).collect());
    let reports = Mutex::new(Vec::new());
    let next = || queue.lock().ok()?.pop_front();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(peer) = next().and_then(|at| peers.get(at)) {
                    let report = run::ask(peer.as_ref(), subjects);
                    let _ = writeln!(io::stderr(), "interop: {}", report.summary());
                    if let Ok(mut reports) = reports.lock() {
                        reports.push(report);
                    }
                }
            });
        }
    });
    let mut reports = reports.into_inner().unwrap_or_default();
    let place = |report: &Report| peers.iter().position(|peer| peer.name() == report.peer);
    reports.sort_by_key(place);
    reports
}

fn ask_relayers(relayers: &[Box<dyn Relayer>], subjects: &[Subject]) -> Vec<relaying::Report> {
    let reports = relaying::ask_all(relayers, subjects);
    for report in &reports {
        let _ = writeln!(io::stderr(), "interop: {}", report.summary());
        let name = report.relayer.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let path = peers::fetch::target().join(format!("interop-requests-{name}.txt"));
        let asked: String = report.requests.iter().map(String::as_str).collect();
        if let Err(why) = std::fs::write(&path, asked) {
            let _ = writeln!(io::stderr(), "interop: {}: {why}", path.display());
        }
    }
    reports
}

/// What to do when the README says something else.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Readme {
    Compare,
    Write,
}

/// Holds the README to what was heard. A run without ours, or without all peers, says nothing of it.
fn keep_readme(
    reports: &[Report],
    relayed: &[relaying::Report],
    subjects: &[Subject],
    readme: Readme,
) -> Result<(), String> {
    let Some(summary) = table::summary(reports).filter(|_| subjects.contains(&Subject::Ours))
    else {
        return Ok(());
    };
    let path = table::readme();
    let shown = path.display();
    let said = std::fs::read_to_string(&path).map_err(|why| format!("{shown}: {why}"))?;
    let now = table::replace(&said, &summary)
        .and_then(|now| relaying_table::replace(&now, relayed))
        .ok_or_else(|| format!("{shown}: no marks"))?;
    match readme {
        _ if now == said => Ok(()),
        Readme::Write => std::fs::write(&path, now).map_err(|why| format!("{shown}: {why}")),
        Readme::Compare => Err(format!(
            "{shown} has another table than this run: look at it, then write it anew with\n    \
             cargo test -p tests --test interop -- --write-readme"
        )),
    }
}

fn fail(why: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "interop: {why}");
    ExitCode::FAILURE
}
