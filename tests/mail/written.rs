//! What a server writes of a session, `Received:` and lines of the log, in words that do not change from run to run.
//!
//! Ours asks no DNS for a client's name, so that it writes the address alone where sendmails wrote the name before it.

use std::time::Duration;

use harness::mta::House;

/// The client's name and address in the records.
const CLIENT: &str = "client.oracle.test [127.0.0.2]";
/// Where it writes from, as ours has it.
const ADDRESS: &str = "[127.0.0.2]";
/// What lines of the log that are compared begin with.
const STARTS: [&str; 4] =
    ["STARTTLS=server, relay=", "STARTTLS=server, cert-", "AUTH=server, ", "ruleset="];
/// How long lines of the log may take that ours writes otherwise.
const SOON: Duration = Duration::from_secs(2);

/// Recorded lines of the log.
pub(crate) fn recorded_log(lines: &[String]) -> Vec<String> {
    let wanted = lines.iter().filter(|line| STARTS.iter().any(|start| line.starts_with(start)));
    wanted.map(|line| line.replace(CLIENT, ADDRESS)).collect()
}

/// A recorded `Received:`, without the name of the field.
pub(crate) fn recorded_field(text: &str) -> String {
    text.replace(CLIENT, ADDRESS).replace("(8.17.1.9/8.17.1.9)", "(VERSION)").replace("\n\t", " ")
}

/// Ours, of a message as it was delivered.
pub(crate) fn field(message: &str) -> String {
    let mut lines = message.lines().skip_while(|line| !line.starts_with("Received: "));
    let first = lines.next().and_then(|line| line.strip_prefix("Received: ")).unwrap_or_default();
    let mut text = first.to_owned();
    for line in lines.take_while(|line| line.starts_with('\t')) {
        text += " ";
        text += line.trim();
    }
    let text = text.rsplit_once("; ").map_or(text.clone(), |(text, _)| format!("{text}; DATE"));
    let text = between(&text, "by mta.oracle.test (", ")", "VERSION");
    match text.split_once(" id ").and_then(|(_, rest)| rest.split([' ', ';']).next()) {
        Some(id) => text.replace(&format!(" id {id}"), " id QID"),
        None => text,
    }
}

/// The text with another word between two marks.
fn between(text: &str, before: &str, after: &str, word: &str) -> String {
    let Some((start, rest)) = text.split_once(before) else { return text.to_owned() };
    let Some((_, end)) = rest.split_once(after) else { return text.to_owned() };
    format!("{start}{before}{word}{after}{end}")
}

/// Ours of one client, from an offset on.
fn log(house: &House, from: usize) -> Vec<String> {
    let log = house.log();
    let lines = log.get(from..).unwrap_or_default().lines();
    let starts = |line: &str| STARTS.iter().find_map(|start| line.find(start));
    let lines = lines.filter_map(|line| line.get(starts(line)?..));
    let its = lines.filter(|line| line.contains(ADDRESS) || !line.contains(", relay="));
    its.map(str::to_owned).collect()
}

/// Ours from an offset on, when it is as expected or has had the time to be.
pub(crate) fn log_like(
    house: &House,
    from: usize,
    expected: impl Fn(&[String]) -> bool,
) -> Vec<String> {
    harness::wait_for(SOON, || expected(&log(house, from)));
    log(house, from)
}
