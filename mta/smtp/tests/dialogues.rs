//! Dialogues with a running sendmail, replayed without a network: what its clients said is parsed by the server's side,
//! what it answered by the client's side, and the order that it keeps is compared with ours. Runs in the test binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

use std::collections::BTreeSet;

use serde_json::Value;
use smtp::address::Host;
use smtp::command::{Command, Fault, Verb, verb};
use smtp::extensions::{Extensions, Size};
use smtp::header::date::Date;
use smtp::header::received::{self, Greeting, Name, Tls};
use smtp::line::{Expected, Limits, Splitter};
use smtp::reply::{Class, Reader, Received};
use smtp::sasl::{Answer, answer};
use smtp::session::{
    self, Auth, Channel, Judgement, Offer, Outcome, Role, Session, StartTls, Step,
};

const VECTORS: &str = include_str!("../vectors/sendmail-sessions.jsonl");

/// Where we answer otherwise on purpose: the line, sendmail's code, ours, and why. Each must be met.
const DIVERGENCES: &[(&str, u16, u16, &str)] = &[
    ("AUTH", 501, 538, CLEAR),
    ("AUTH BOGUS", 504, 538, CLEAR),
    ("AUTH LOGIN", 504, 538, CLEAR),
    ("AUTH PLAIN AGFsaWNlAHB3LWFsaWNl", 504, 538, CLEAR),
    ("AUTH CRAM-MD5", 334, 538, CLEAR),
    ("AUTH PLAIN AGFsaWNlAHB3LWFsaWNl", 235, 503, "the handshake forgot the EHLO"),
    ("STARTTLS", 454, 503, "inside TLS it never gets better"),
    ("VRFY root", 250, 252, STRANGERS),
    ("VRFY root", 454, 252, STRANGERS),
    ("VRFY root", 530, 252, STRANGERS),
    ("VRFY nosuch", 550, 252, STRANGERS),
    ("EXPN root", 250, 502, STRANGERS),
    ("EXPN root", 530, 502, STRANGERS),
    ("VERB", 250, 502, "not done here"),
    ("ETRN x", 250, 502, "not done here"),
    ("MAIL FROM:<a@b.example> AUTH=", 250, 501, "it needs a value"),
    ("MAIL FROM:<a@b.example> AUTH=a=b", 555, 501, "AUTH is known, its value is wrong"),
    ("RCPT TO:<x@elsewhere.example>", 454, 503, "no sender was accepted"),
    ("RCPT TO:<x@y.example>", 454, 503, "no sender was accepted"),
];
const CLEAR: &str = "nothing about AUTH is even read outside TLS";
const STRANGERS: &str = "strangers learn no names";

fn sessions() -> Vec<Value> {
    VECTORS.lines().map(|line| serde_json::from_str(line).expect("a vector is JSON")).collect()
}

/// The reply as the client's side reads it; `None` when the server closed.
fn reply(lines: &Value) -> Option<Received> {
    let lines = lines.as_array().unwrap();
    let lines: Vec<&str> = lines.iter().map(|line| line.as_str().unwrap()).collect();
    if lines == ["<closed>"] {
        return None;
    }
    let mut reader = Reader::default();
    reader.push((lines.join("\r\n") + "\r\n").as_bytes());
    let reply = reader.next().expect("it is a reply").expect("it is whole");
    assert!(!reader.has_more());
    assert_eq!(reply.lines.len(), lines.len());
    assert_eq!(reply.code.to_string(), lines[0][..3]);
    assert_eq!(reply.to_string().replace(' ', ""), said(&lines, &reply));
    Some(reply)
}

/// What should have been kept: codes and statuses once, and the text of each line.
fn said(lines: &[&str], reply: &Received) -> String {
    let status = reply.status.map(|status| {
        format!("{}.{}.{}", reply.code.number() / 100, status.subject, status.detail)
    });
    let status = status.unwrap_or_default();
    let texts = lines.iter().map(|line| line[4..].strip_prefix(&status).unwrap_or(&line[4..]));
    let all = format!("{}{status}{}", reply.code, texts.collect::<String>());
    all.replace(' ', "")
}

/// The line as the server's side cuts it out of a stream.
fn cut(line: &str, expected: Expected) -> Vec<u8> {
    let mut splitter = Splitter::new(Limits::default());
    splitter.push(line.as_bytes());
    splitter.push(b"\r\n");
    splitter.next(expected).expect("it is a line").expect("it is whole").to_vec()
}

/// What comes of a line with us before any policy is asked: the code of a reply, or that it goes on.
fn ours(session: &mut Session, line: &[u8]) -> Result<Verb, u16> {
    let code = |fault: Fault| fault.reply().code().number();
    let verb = verb(line).map_err(code)?;
    match session.judge(Step::Command(verb)) {
        Judgement::Reply(reply) | Judgement::Close(reply) => Err(reply.code().number()),
        Judgement::Allowed => Command::parse(line).map(|_| verb).map_err(code),
    }
}

fn outcome(reply: &Received) -> Outcome {
    match reply.class() {
        Class::Success | Class::More => Outcome::Accept,
        Class::Temporary => Outcome::Unavailable,
        Class::Permanent => Outcome::Refuse,
    }
}

/// One dialogue, replayed.
struct Replay {
    session: Session,
    /// An AUTH that was answered with a challenge.
    exchange: bool,
    compared: usize,
    met: BTreeSet<usize>,
}

impl Replay {
    fn new() -> Self {
        let offer = Offer { role: Role::Relay, starttls: StartTls::Offered, auth: Auth::Offered };
        // sendmail counts otherwise, and its dialogues try many things.
        let limits = session::Limits { recipients: 99, failures: 99, unknown: 99, errors: 99 };
        let session = Session::new(offer, Channel::Clear, limits);
        Self { session, exchange: false, compared: 0, met: BTreeSet::new() }
    }

    /// A line and what it was answered; false when the two dialogues part.
    fn turn(&mut self, line: &str, theirs: &Received) -> bool {
        if self.exchange {
            return self.challenged(line, theirs);
        }
        if line.contains('\n') {
            return self.message(line, theirs);
        }
        let cut = cut(line, Expected::Command);
        let number = theirs.code.number();
        self.compared += 1;
        match ours(&mut self.session, &cut) {
            Err(code) if code == number => {}
            Err(code) => {
                let met = DIVERGENCES
                    .iter()
                    .position(|known| (known.0, known.1, known.2) == (line, number, code));
                let met =
                    met.unwrap_or_else(|| panic!("{line}: {number} with them, {code} with us"));
                self.met.insert(met);
                return !(number < 400 && ["AUTH", "MAIL"].contains(&&line[..4]));
            }
            // Policy and passwords decide what syntax and order don't.
            Ok(verb) => {
                assert!(
                    ![500, 501, 555].contains(&number),
                    "{line}: {number} with them, nothing with us"
                );
                self.exchange = number == 334;
                if !self.exchange {
                    self.session.done(Step::Command(verb), outcome(theirs));
                }
            }
        }
        true
    }

    fn challenged(&mut self, line: &str, theirs: &Received) -> bool {
        let said = answer(&cut(line, Expected::Continuation));
        let code = theirs.code.number();
        assert_eq!(said == Answer::Cancel, line == "*");
        assert_eq!(said == Answer::Malformed, code == 501 && line != "*", "{line}");
        self.exchange = theirs.class() == Class::More;
        if !self.exchange {
            self.session.done(Step::Command(Verb::Auth), outcome(theirs));
        }
        true
    }

    fn message(&mut self, text: &str, theirs: &Received) -> bool {
        if self.session.judge(Step::EndOfData) == Judgement::Allowed {
            self.session.done(Step::EndOfData, outcome(theirs));
            return true;
        }
        // DATA was refused, and the client sent its message all the same: it is junk, line by line.
        assert_eq!(theirs.code.number(), 500);
        let mut splitter = Splitter::new(Limits::default());
        splitter.push(text.as_bytes());
        let first = splitter.next(Expected::Command).unwrap().unwrap();
        assert_eq!(Command::parse(first), Err(Fault::Unknown));
        false
    }
}

#[test]
fn what_was_said_to_sendmail_goes_as_it_went_there() {
    let (mut compared, mut met, mut tls) = (0, BTreeSet::new(), 0);
    for vector in sessions() {
        let Some(dialogue) = vector.get("dialogue") else { continue };
        let mut replay = Replay::new();
        let mut line: Option<&str> = None;
        for entry in dialogue.as_array().unwrap() {
            match entry[0].as_str().unwrap() {
                "C" => line = entry[1].as_str(),
                "S" => {
                    let Some(theirs) = reply(&entry[1]) else { continue };
                    if line.take().is_some_and(|line| !replay.turn(line, &theirs)) {
                        break;
                    }
                }
                _ => {
                    assert_eq!(replay.session.channel(), Channel::Tls, "{}", vector["id"]);
                    tls += 1;
                }
            }
        }
        compared += replay.compared;
        met.extend(replay.met);
    }
    assert!(compared > 300 && tls > 40, "{compared} lines compared, {tls} handshakes");
    for (index, known) in DIVERGENCES.iter().enumerate() {
        assert!(met.contains(&index), "no dialogue diverges so any more: {known:?}");
    }
}

#[test]
fn lists_of_sendmail_are_read() {
    let mut lists = 0;
    for vector in sessions() {
        for entry in vector.get("dialogue").and_then(Value::as_array).into_iter().flatten() {
            let text = entry[1].to_string();
            if entry[0] != "S" || !text.contains("250-ENHANCEDSTATUSCODES") {
                continue;
            }
            let list = Extensions::read(&reply(&entry[1]).unwrap());
            assert!(list.enhanced_status_codes && !list.chunking && !list.smtputf8);
            assert_eq!(list.starttls, text.contains("STARTTLS"));
            assert_eq!(list.pipelining, text.contains("PIPELINING"));
            assert_eq!(list.dsn, text.contains("DSN"));
            assert_eq!(list.size, Some(Size::Unbounded));
            let line = text.split("AUTH ").nth(1).and_then(|rest| rest.split('"').next());
            let names: Vec<String> = list.auth.iter().map(ToString::to_string).collect();
            assert_eq!(names.join(" "), line.unwrap_or_default());
            lists += 1;
        }
    }
    assert!(lists > 60, "only {lists} lists");
}

#[test]
fn what_sendmail_says_as_a_client_is_understood() {
    let mut lines = 0;
    for vector in sessions() {
        let wire = vector.get("expect").and_then(|expect| expect.get("wire"));
        for line in wire.and_then(Value::as_array).into_iter().flatten() {
            let line = line.as_str().unwrap();
            let line = line.strip_prefix("[tls] ").unwrap_or(line);
            if !line.starts_with('<') {
                assert!(Command::parse(&cut(line, Expected::Command)).is_ok(), "{line}");
                lines += 1;
            }
        }
    }
    assert!(lines > 140, "only {lines} lines");
}

#[test]
fn our_received_line_is_sendmails() {
    let host = Host::parse("client.oracle.test").unwrap();
    let recipient = smtp::address::Address::parse("root@local.oracle.test").unwrap();
    let date = Date(1_795_375_236);
    let mut seen = BTreeSet::new();
    for vector in sessions() {
        let Some(theirs) = vector.get("received").and_then(Value::as_str) else { continue };
        let verify = theirs.split("verify=").nth(1).and_then(|rest| rest.split(')').next());
        let ours = received::Received {
            host: &host,
            greeting: Greeting::Ehlo,
            name: Name::Confirmed("client.oracle.test"),
            address: "127.0.0.2".parse().unwrap(),
            authenticated: theirs.contains("authenticated").then_some(0),
            by: "mta.oracle.test",
            version: "8.17.1.9/8.17.1.9",
            id: "QID",
            tls: verify.map(|verify| Tls {
                version: "TLSv1.3",
                cipher: "TLS_AES_256_GCM_SHA384",
                bits: 256,
                verify,
            }),
            recipient: theirs.contains("for <").then_some(&recipient),
            date,
        };
        let ours = ours.to_string().replace(&date.to_string(), "DATE");
        assert_eq!(ours, format!("Received: {}\r\n", theirs.replace('\n', "\r\n")));
        seen.insert(theirs.to_owned());
    }
    assert!(seen.len() >= 7, "only {} different lines", seen.len());
}
