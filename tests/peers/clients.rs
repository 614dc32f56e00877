//! Mail clients that log in to Postfix's submission, each with the mechanisms that it has.
//!
//! They run inside the namespace. What the server told them is looked for in their own transcripts.

use std::fmt::Write;
use std::io;
use std::process::Command;
use std::time::Duration;

use harness::Ran;

use super::namespace::Namespace;
use super::submission::{self, MEANINGS, SUBMISSION, SUBMISSIONS};
use super::tls::{ADDRESS, NAME};
use super::{Course, Heard, Peer, Question, Result, Socket, Verdict};

/// One of them.
pub(crate) struct Client {
    name: &'static str,
    packages: &'static [&'static str],
    programs: &'static [&'static str],
    mechanisms: &'static [&'static str],
    ask: fn(&Namespace, Question<'_>) -> Result<Heard>,
    outage: Shown,
}

/// What its user sees of an outage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// The server's words.
    Words,
    /// The same as of a wrong password.
    Nothing,
}

/// Everything that the daemons have.
const ALL: &[&str] = &["PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "CRAM-MD5", "DIGEST-MD5"];

/// GNU SASL's own client.
pub(crate) const GSASL: Client = Client {
    name: "gsasl",
    packages: &["postfix", "gsasl"],
    programs: &["/usr/bin/gsasl"],
    mechanisms: ALL,
    ask: gsasl,
    outage: Shown::Words,
};

/// msmtp, which sends a message.
pub(crate) const MSMTP: Client = Client {
    name: "msmtp",
    packages: &["postfix", "msmtp"],
    programs: &["/usr/bin/msmtp"],
    mechanisms: ALL,
    ask: |world, question| msmtp(world, question, &MEANINGS),
    outage: Shown::Words,
};

/// swaks.
pub(crate) const SWAKS: Client = Client {
    name: "swaks",
    packages: &["postfix"],
    programs: &["/usr/bin/perl"],
    mechanisms: &["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5"],
    ask: swaks,
    outage: Shown::Words,
};

/// curl. Its DIGEST-MD5 gives up on a challenge with an empty realm, which is what a server without realms sends.
pub(crate) const CURL: Client = Client {
    name: "curl",
    packages: &["postfix"],
    programs: &["/usr/bin/curl"],
    mechanisms: &["PLAIN", "LOGIN", "CRAM-MD5"],
    ask: curl,
    outage: Shown::Words,
};

/// mutt, which sends a message.
pub(crate) const MUTT: Client = Client {
    name: "mutt",
    packages: &["postfix", "mutt"],
    programs: &["/usr/bin/mutt"],
    mechanisms: ALL,
    ask: mutt,
    outage: Shown::Nothing,
};

impl Peer for Client {
    fn name(&self) -> &'static str {
        self.name
    }

    fn packages(&self) -> &'static [&'static str] {
        self.packages
    }

    fn programs(&self) -> &'static [&'static str] {
        self.programs
    }

    fn routes(&self) -> &'static [&'static str] {
        self.mechanisms
    }

    fn tells_outage(&self, _route: &str) -> bool {
        self.outage == Shown::Words
    }

    /// Postfix does, after ten seconds.
    fn gives_up(&self, _route: &str) -> bool {
        true
    }

    fn service(&self, _route: &str) -> &'static str {
        "smtp"
    }

    fn socket(&self) -> Socket {
        Socket::Auth
    }

    fn course(&self) -> Course {
        Course::Mechanisms
    }

    fn start(&self, world: &Namespace) -> Result<()> {
        submission::begin(world)
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        (self.ask)(world, question)
    }
}

/// Without `--no-cb` it refuses to do without channel binding.
fn gsasl(world: &Namespace, question: Question<'_>) -> Result<Heard> {
    let Question { route, login, password, .. } = question;
    let mut command = world.command("gsasl");
    command
        .args(["--client", "--smtp", "--no-cb", "--quality=qop-auth", "--realm="])
        .args(["--x509-ca-file=/etc/tls/cert.pem", &format!("--connect={NAME}:{SUBMISSION}")])
        .args(["--mechanism", route, "--authentication-id", login, "--password", password]);
    Ok(transcript(&run(&mut command, "", question.patience)?, &MEANINGS))
}

/// msmtp against any SMTP server with TLS on its port 465.
pub(super) fn msmtp(
    world: &Namespace,
    question: Question<'_>,
    meanings: &[(&str, Verdict)],
) -> Result<Heard> {
    let Question { route, login, password, .. } = question;
    let mut command = world.command("msmtp");
    command
        .args(["--debug", "--file=/dev/null", "--from=someone@example.test"])
        .args([&format!("--host={NAME}"), &format!("--port={SUBMISSIONS}")])
        .args(["--tls=on", "--tls-starttls=off", "--tls-trust-file=/etc/tls/cert.pem"])
        .args([&format!("--auth={}", route.to_lowercase()), "--user", login])
        .args(["--passwordeval", &format!("printf %s '{password}'"), "rcpt@example.test"]);
    Ok(transcript(&run(&mut command, MESSAGE, question.patience)?, meanings))
}

fn swaks(world: &Namespace, question: Question<'_>) -> Result<Heard> {
    let Question { route, login, password, .. } = question;
    let mut command = world.command("swaks");
    command
        .args(["--server", ADDRESS, "--port", &SUBMISSIONS.to_string(), "--tls-on-connect"])
        .args(["--quit-after", "AUTH", "--auth", route])
        .args(["--auth-user", login, "--auth-password", password]);
    Ok(transcript(&run(&mut command, "", question.patience)?, &MEANINGS))
}

fn curl(world: &Namespace, question: Question<'_>) -> Result<Heard> {
    let Question { route, login, password, .. } = question;
    let mut command = world.command("curl");
    command
        .args(["--silent", "--verbose", "--cacert", "/etc/tls/cert.pem", "--request", "NOOP"])
        .args(["--login-options", &format!("AUTH={route}"), "--user"])
        .arg(format!("{login}:{password}"))
        .arg(format!("smtps://{NAME}:{SUBMISSIONS}/"));
    Ok(transcript(&run(&mut command, "", question.patience)?, &MEANINGS))
}

fn mutt(world: &Namespace, question: Question<'_>) -> Result<Heard> {
    let Question { route, login, password, .. } = question;
    let mut escaped = String::new();
    for byte in login.bytes() {
        let _ = write!(escaped, "%{byte:02x}");
    }
    let settings = format!(
        "set smtp_url=\"smtps://{escaped}@{NAME}:{SUBMISSIONS}/\"
         set smtp_pass=\"{password}\"
         set smtp_authenticators={}
         set certificate_file=/etc/tls/cert.pem
         set from=someone@example.test use_envelope_from=no
         set folder=/var/tmp record=\"\" copy=no\n",
        route.to_lowercase()
    );
    let file = format!("/etc/muttrc.{route}");
    world.write(&file, &settings)?;
    let mut command = world.command("mutt");
    command.args(["-n", "-F", &file, "-s", "test", "rcpt@example.test"]);
    let ran = run(&mut command, "hello\n", question.patience)?;
    if ran.code == Some(0) {
        return Ok(Heard::new(Verdict::Accepted, "sent"));
    }
    Ok(transcript(&ran, &[("SASL authentication failed", Verdict::Refused)]))
}

const MESSAGE: &str = "From: someone@example.test\nTo: rcpt@example.test\nSubject: test\n\nhello\n";

fn run(command: &mut Command, input: &str, patience: Duration) -> io::Result<Ran> {
    Ran::of(command.env("LC_ALL", "C.UTF-8"), input.as_bytes(), patience)
}

/// The last line with words of a known meaning decides.
fn transcript(ran: &Ran, meanings: &[(&str, Verdict)]) -> Heard {
    if ran.hung {
        return Heard::new(Verdict::Silent, "waits");
    }
    let text = format!("{}{}", ran.out(), ran.err());
    for line in text.lines().rev() {
        if let Some((words, verdict)) = meanings.iter().find(|(words, _)| line.contains(words)) {
            return Heard::new(*verdict, *words);
        }
    }
    let last: Vec<&str> = text.lines().rev().take(3).collect();
    Heard::new(Verdict::Strange, format!("{}: {last:?}", ran.end()))
}
