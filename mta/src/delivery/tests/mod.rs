//! Deliveries to servers on real sockets: well-behaved ones, hostile ones, and those that end too early.

mod clear;
mod daemon;
mod hostile;
mod local;
mod names;
mod secure;
mod server;

use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use smtp::command::Command;

use self::daemon::Daemon;
use super::connection::Patience;
use super::transport::{Hop, Job, Outcome, Report, Text, Transport};
use crate::config::{Begin, Config, Server};
use crate::control::Material;
use crate::daemon::Connector;
use crate::policy::Policy;
use crate::spool::envelope::{Addressee, Envelope, Origin};
use crate::spool::id::Id;

pub(super) struct Fixed(pub Vec<u8>);

impl Text for Fixed {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(io::Cursor::new(self.0.clone())))
    }
}

/// A transport, what it asks, and what it logs.
pub(super) struct House {
    pub transport: Transport,
    daemon: Daemon,
    pub lines: Arc<Mutex<Vec<String>>>,
}

pub(super) const SETTINGS: &str = "hostname = \"mta.test\"\n";

impl House {
    pub(super) async fn new(settings: &str) -> Self {
        Self::with(settings, Material::default()).await
    }

    pub(super) async fn with(settings: &str, files: Material) -> Self {
        let config = Config::parse(&format!("{SETTINGS}{settings}")).unwrap();
        let daemon = Daemon::start();
        let connector = Connector::Path(daemon.socket());
        let policy = Policy::new(connector, Duration::from_secs(5));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let log = Arc::new(move |_, line| kept.lock().unwrap().push(line));
        let short = Duration::from_millis(700);
        let patience = Patience {
            greeting: short,
            command: short,
            data: short,
            block: short,
            end: short,
            quit: Duration::from_millis(100),
            attempt: Duration::from_secs(20),
            ..Patience::default()
        };
        let transport = Transport::with(Arc::new(config), &files, policy, log, patience).unwrap();
        Self { transport, daemon, lines }
    }

    pub(super) async fn deliver(&self, job: Job) -> Report {
        let report = self.transport.deliver(job).await;
        let mut numbers: Vec<u32> = report.outcomes.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        let expected: Vec<u32> = (0..u32::try_from(numbers.len()).unwrap()).collect();
        assert_eq!(numbers, expected, "each recipient has one outcome");
        report
    }
}

pub(super) fn smtp(address: SocketAddr) -> Hop {
    Hop::Smtp(server(address, Begin::IfOffered))
}

pub(super) fn server(address: SocketAddr, tls: Begin) -> Server {
    Server { host: address.ip().to_string(), port: address.port(), tls, login: None }
}

pub(super) fn job(hop: Hop, recipients: &[&str], text: &[u8]) -> Job {
    said(hop, "MAIL FROM:<joe@local.test>", recipients, text)
}

/// A job by the commands that brought it.
pub(super) fn said(hop: Hop, mail: &str, recipients: &[&str], text: &[u8]) -> Job {
    let Ok(Command::Mail(sender, parameters)) = Command::parse(mail.as_bytes()) else {
        panic!("{mail}");
    };
    let recipients: Vec<Addressee> = recipients
        .iter()
        .map(|text| match Command::parse(format!("RCPT TO:{text}").as_bytes()) {
            Ok(Command::Rcpt(recipient, parameters)) => Addressee { recipient, parameters },
            other => panic!("{text}: {other:?}"),
        })
        .collect();
    let numbers = (0..u32::try_from(recipients.len()).unwrap()).collect();
    let envelope = Envelope {
        id: Id::parse(b"0123456789abcdef").unwrap(),
        arrived: 0,
        sender,
        parameters,
        recipients,
        origin: Origin::Own,
    };
    Job {
        envelope: Arc::new(envelope),
        text: Arc::new(Fixed(text.to_vec())),
        size: text.len() as u64,
        recipients: numbers,
        hop,
    }
}

/// `250 2.0.0 ok` of each recipient, in their order, with `D`, `F` or `T` before it.
pub(super) fn outcomes(report: &Report) -> Vec<String> {
    let mut outcomes = report.outcomes.clone();
    outcomes.sort_by_key(|(number, _)| *number);
    let word = |outcome: &Outcome| match outcome {
        Outcome::Delivered(_) => 'D',
        Outcome::Failed(_) => 'F',
        Outcome::Deferred(_) => 'T',
    };
    outcomes.iter().map(|(_, outcome)| format!("{} {}", word(outcome), outcome.reply())).collect()
}
