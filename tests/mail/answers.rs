//! What was said to sendmails is said to ours: it answers as they did, and writes the same of it.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use harness::mta::client::Client;
use harness::mta::{House, Plan, ready};

use crate::dialogues::{SHOWN, groups};
use crate::divergences::{Divergences, rest};
use crate::replay::{Answered, code, replay};
use crate::vectors::{Certificates, Dialogue};
use crate::written::{field, log_like, recorded_field, recorded_log};

/// Whose mail is looked at.
const RECIPIENT: &str = "root@local.oracle.test";

/// What was found out.
struct Findings {
    answers: Divergences,
    written: Divergences,
    compared: usize,
    fields: usize,
    wrong: Vec<String>,
}

impl Findings {
    /// What ours answers is compared by its code, and goes on only where both agree or nothing depends on it.
    fn judge(&mut self, dialogue: &Dialogue, answered: &Answered) -> bool {
        self.compared += 1;
        let (theirs, ours) = (code(&answered.theirs), answered.now.code());
        let known = |known: &mut Divergences| {
            known.covers(&dialogue.id, &answered.line, &theirs.to_string(), &ours.to_string())
        };
        if theirs != ours && !known(&mut self.answers) {
            self.wrong.push(format!(
                "{}: {}: {theirs} with them, {} with us",
                dialogue.id,
                answered.line,
                answered.now.text()
            ));
            return false;
        }
        goes_on(answered)
    }

    fn compare(&mut self, dialogue: &Dialogue, what: &str, theirs: &[String], ours: &[String]) {
        let Some((theirs, ours)) = rest(theirs, ours) else { return };
        if !self.written.covers(&dialogue.id, what, &theirs, &ours) {
            self.wrong.push(format!("{} | {what} | {theirs} | {ours}", dialogue.id));
        }
    }
}

fn goes_on(answered: &Answered) -> bool {
    let (theirs, ours) = (code(&answered.theirs), answered.now.code());
    // After 421 nobody is there any more.
    theirs == ours || ours != 421 && (theirs / 100 == ours / 100 || theirs >= 400 && ours >= 400)
}

/// The client's name comes from the DNS, which a confined receiver doesn't ask: the map names its address instead.
fn map(dialogue: &Dialogue) -> String {
    let entries = dialogue.access.iter();
    let mut map: String = entries
        .map(|(key, value)| {
            format!("{}\t{value}\n", key.replace("client.oracle.test", "127.0.0.2"))
        })
        .collect();
    // A listener without AUTH is one whose clients are offered none.
    if dialogue.is_set("DaemonPortOptions", "M=A") {
        map += "Srv_Features:127.0.0.2\tA\n";
    }
    map
}

/// A listener where everybody must log in is one for people.
fn listener(house: &House, dialogue: &Dialogue) -> SocketAddr {
    if dialogue.is_set("DaemonPortOptions", "M=a") { house.submission() } else { house.relay() }
}

/// Says it all; the message that came of it, if `accepted` says so.
fn say(
    house: &House,
    dialogue: &Dialogue,
    certificates: &Certificates,
    mut judge: impl FnMut(&Answered) -> bool,
) -> io::Result<Option<String>> {
    let before: BTreeSet<PathBuf> = house.mailbox(RECIPIENT).into_iter().collect();
    let mut kept = 0;
    let mut client = Client::connect(listener(house, dialogue), Some([127, 0, 0, 2].into()))?;
    replay(&mut client, dialogue, certificates, |answered| {
        let ends = answered.line.ends_with("\r\n.") && answered.now.code() == 250;
        kept += usize::from(ends);
        judge(answered)
    })?;
    if kept == 0 {
        return Ok(None);
    }
    house.await_mail(RECIPIENT, before.len() + kept);
    let new = house.mailbox(RECIPIENT).into_iter().find(|path| !before.contains(path));
    new.map(std::fs::read_to_string).transpose()
}

fn examine(
    house: &House,
    dialogue: &Dialogue,
    certificates: &Certificates,
    findings: &mut Findings,
) -> io::Result<()> {
    let from = house.log().len();
    let mut message =
        say(house, dialogue, certificates, |answered| findings.judge(dialogue, answered))?;
    let theirs = recorded_log(&dialogue.log);
    let known = &findings.written;
    let ours = log_like(house, from, |ours| {
        ours == theirs || known.knows(&dialogue.id, "log", &theirs, ours)
    });
    findings.compare(dialogue, "log", &theirs, &ours);
    let Some(theirs) = &dialogue.received else { return Ok(()) };
    if message.is_none()
        && let Some(own) = dialogue.under_its_own_name()
    {
        message = say(house, &own, certificates, goes_on)?;
    }
    findings.fields += usize::from(message.is_some());
    let ours = message.map(|message| field(&message));
    findings.compare(dialogue, "received", &[recorded_field(theirs)], ours.as_slice());
    Ok(())
}

#[test]
fn ours_answers_as_sendmail_did_and_writes_the_same_but_where_we_say_why_not() {
    if !ready() {
        return;
    }
    let certificates = Certificates::make(&SHOWN);
    let mut findings = Findings {
        answers: Divergences::read("answers"),
        written: Divergences::read("written"),
        compared: 0,
        fields: 0,
        wrong: Vec::new(),
    };
    for group in groups() {
        let first = &group[0];
        let plan = Plan::new()
            .named("mta.oracle.test", &["local.oracle.test"])
            .account("alice", "pw-alice")
            .account("bob", "pw-bob")
            .authority(&certificates.file("root.pem"))
            .shows(&certificates.file("server.pem"), &certificates.file("server.key"))
            .map(&map(first))
            .daemon("relay_domains = [\"relay.oracle.test\", \"192.0.2\"]");
        let house = plan.start().unwrap_or_else(|why| panic!("{}: {why}", first.id));
        for dialogue in &group {
            if let Err(why) = examine(&house, dialogue, &certificates, &mut findings) {
                findings.wrong.push(format!("{}: {why}", dialogue.id));
            }
        }
    }
    let Findings { answers, written, compared, fields, wrong } = findings;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let vanished = [answers.vanished(), written.vanished()].concat();
    assert!(vanished.is_empty(), "no dialogue diverges so any more: {vanished:#?}");
    assert!(compared > 280, "only {compared} replies compared");
    assert!(fields > 12, "only {fields} Received fields compared");
}
