//! What was said to sendmails is said again to Debian's, which must answer as it did; then it may be said to ours.

use std::collections::{BTreeMap, BTreeSet};

use crate::original::Original;
use crate::peers::Failure;
use crate::replay::replay;
use crate::vectors::{Certificates, Dialogue, dialogues};

/// The sendmail that Debian has; the oracle asked two more.
const DEBIANS: &str = "8.17.1.9";
/// Certificates that are shown in dialogues, beside `both` and those of the authority.
pub(crate) const SHOWN: [&str; 6] =
    ["valid", "valid-rsa", "selfsigned", "expired", "byinter", "both"];
/// Named by a `CertFile` of the map; the oracle's recipes do not make it.
const NAMES_A_FILE: &str = "certs/";

/// Where Debian's sendmail answers otherwise in this house than when it was recorded: dialogue, line, reason.
const OTHERWISE_HERE: [(&str, &str, &str); 3] = [
    ("expn-default", "VRFY nosuch", "the local mailer of this house looks for no account"),
    ("expn-auth", "VRFY nosuch", "the local mailer of this house looks for no account"),
    (
        "clt-encr",
        "EHLO client.oracle.test",
        "the client of the record preferred a cipher of 128 bits",
    ),
];

/// Those that one server can answer: they have the same settings and the same map.
pub(crate) fn groups() -> Vec<Vec<Dialogue>> {
    let mut groups: BTreeMap<String, Vec<Dialogue>> = BTreeMap::new();
    for dialogue in dialogues() {
        let key = format!("{:?}{:?}", dialogue.settings, dialogue.access);
        groups.entry(key).or_default().push(dialogue);
    }
    groups.into_values().collect()
}

/// Without what changes from run to run: dates, queue ids, challenges.
fn lasting(line: &str) -> String {
    let line = match line.split_once("; ") {
        Some((greeting, _)) if line.starts_with("220 ") => greeting,
        _ => line,
    };
    if line.starts_with("334 ") && line.len() > 20 {
        return "334 challenge".to_owned();
    }
    // The full name of an account, which is its machine's.
    let line = &line.replace(" root <root@", " <root@");
    // Said because nothing is delivered here.
    let line = line.strip_suffix(" (will queue)").unwrap_or(line);
    let words = line.split(' ').enumerate();
    let lasting = words.map(|(index, word)| {
        if index == 2 && line.ends_with("Message accepted for delivery") { "QID" } else { word }
    });
    lasting.collect::<Vec<_>>().join(" ")
}

fn recorded(line: &str) -> String {
    let line = line.strip_suffix("; DATE").unwrap_or(line);
    if line == "334 <challenge>" { "334 challenge".to_owned() } else { lasting(line) }
}

#[test]
fn debians_sendmail_still_says_what_was_recorded() {
    if !harness::require_root() || !harness::require("/usr/sbin/saslpasswd2", "sasl2-bin") {
        return;
    }
    let certificates = Certificates::make(&SHOWN);
    let (mut compared, mut wrong) = (0, Vec::new());
    let mut otherwise = BTreeSet::new();
    for group in groups() {
        let first = &group[0];
        if first.access.iter().any(|(_, value)| value.contains(NAMES_A_FILE)) {
            continue;
        }
        let original = match Original::start(first, &certificates) {
            Ok(original) => original,
            Err(Failure::Missing(what)) => {
                let _ = harness::skip(&what);
                return;
            }
            Err(why) => panic!("{why}"),
        };
        for dialogue in group.iter().filter(|dialogue| dialogue.version == DEBIANS) {
            let mut client = original.client().unwrap();
            let done = replay(&mut client, dialogue, &certificates, |answered| {
                compared += 1;
                let now: Vec<String> =
                    answered.now.lines.iter().map(|line| lasting(line)).collect();
                let theirs: Vec<String> =
                    answered.theirs.iter().map(|line| recorded(line)).collect();
                let known = |(dialogue_here, line, _): &(&str, &str, &str)| {
                    *dialogue_here == dialogue.id && *line == answered.line
                };
                let expected = OTHERWISE_HERE.iter().position(known);
                if now != theirs && expected.is_some() {
                    otherwise.extend(expected);
                } else if now != theirs {
                    wrong.push(format!(
                        "{}: {}: {theirs:?} then, {now:?} now",
                        dialogue.id, answered.line
                    ));
                }
                now == theirs
            });
            if let Err(why) = done {
                wrong.push(format!("{}: {why}", dialogue.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(otherwise.len(), OTHERWISE_HERE.len(), "only these are otherwise: {otherwise:?}");
    assert!(compared > 350, "only {compared} replies compared");
}
