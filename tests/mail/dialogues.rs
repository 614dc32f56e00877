//! What was said to sendmails is said again: to Debian's first, which must answer as it did, and then to ours.

use std::collections::{BTreeMap, BTreeSet};

use harness::mta::client::Client;
use harness::mta::{Plan, ready};

use crate::divergences::Divergences;
use crate::original::Original;
use crate::peers::Failure;
use crate::replay::{Answered, code, replay};
use crate::vectors::{Certificates, Dialogue, dialogues};

/// The sendmail that Debian has; the oracle asked two more.
const DEBIANS: &str = "8.17.1.9";
/// Certificates that are shown in dialogues, beside `both` and those of the authority.
const SHOWN: [&str; 6] = ["valid", "valid-rsa", "selfsigned", "expired", "byinter", "both"];
/// Settings of sendmail's that we have no switch for.
const OTHERWISE: [&str; 3] = ["DaemonPortOptions", "check_vrfy, check_expn", "PrivacyOptions"];
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

fn groups() -> Vec<Vec<Dialogue>> {
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

/// What ours answers is compared by its code, and goes on only where both agree or nothing depends on it.
fn judge(
    dialogue: &Dialogue,
    answered: &Answered,
    known: &mut Divergences,
    wrong: &mut Vec<String>,
) -> bool {
    let (theirs, ours) = (code(&answered.theirs), answered.now.code());
    if theirs == ours {
        return true;
    }
    if !known.covers(&dialogue.id, &answered.line, &theirs.to_string(), &ours.to_string()) {
        wrong.push(format!(
            "{}: {}: {theirs} with them, {} with us",
            dialogue.id,
            answered.line,
            answered.now.text()
        ));
        return false;
    }
    // After 421 nobody is there any more.
    ours != 421 && (theirs / 100 == ours / 100 || theirs >= 400 && ours >= 400)
}

/// The client's name comes from the DNS, which a confined receiver doesn't ask: the map names its address instead.
fn map(dialogue: &Dialogue) -> String {
    let entries = dialogue.access.iter();
    entries
        .map(|(key, value)| {
            format!("{}\t{value}\n", key.replace("client.oracle.test", "127.0.0.2"))
        })
        .collect()
}

#[test]
fn ours_answers_as_sendmail_did_but_where_we_say_why_not() {
    if !ready() {
        return;
    }
    let certificates = Certificates::make(&SHOWN);
    let (mut known, mut compared, mut wrong) = (Divergences::read("answers"), 0, Vec::new());
    for group in groups() {
        let first = &group[0];
        let by_other_means = |(name, _): &(String, String)| OTHERWISE.contains(&name.as_str());
        if first.settings.iter().any(by_other_means)
            || first.access.iter().any(|(_, value)| value.contains(NAMES_A_FILE))
        {
            continue;
        }
        let plan = Plan::new()
            .named("mta.oracle.test", &["local.oracle.test"])
            .account("alice", "pw-alice")
            .account("bob", "pw-bob")
            .authority(&certificates.file("root.pem"))
            .map(&map(first))
            .daemon("relay_domains = [\"relay.oracle.test\", \"192.0.2\"]");
        let house = plan.start().unwrap_or_else(|why| panic!("{}: {why}", first.id));
        for dialogue in group.iter().filter(|dialogue| dialogue.version == DEBIANS) {
            let mut client = Client::connect(house.relay(), Some([127, 0, 0, 2].into())).unwrap();
            let done = replay(&mut client, dialogue, &certificates, |answered| {
                compared += 1;
                judge(dialogue, answered, &mut known, &mut wrong)
            });
            if let Err(why) = done {
                wrong.push(format!("{}: {why}", dialogue.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let vanished = known.vanished();
    assert!(vanished.is_empty(), "no dialogue diverges so any more: {vanished:#?}");
    assert!(compared > 250, "only {compared} replies compared");
}
