//! The three messages that are sent at every point, and how clients bring them: two inside the session of somebody who
//! logged in, by DATA and by BDAT and too long for memory, and one from a machine with a certificate.
//!
//! Runs in the test process. A client that hears nothing in time gives up; what it heard is all it knows.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use harness::mta::client::{Client, Reply};
use harness::mta::tls::{self, Identity};
use harness::mta::{DOMAIN, HOST, House, LOGIN, PASSWORD, plain, transact};
use rustls::ClientConfig;
use rustls::client::Resumption;

/// Who relays by a certificate.
pub(super) const MACHINE: &str = "printer";
/// Who relays by its address.
pub(super) const TRUSTED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// To whom everything goes.
const TO: &str = "ann@next.example";
/// How long a client waits for a reply.
const ANSWER: Duration = Duration::from_secs(5);
/// Lines of the message that doesn't stay in memory.
const LONG: usize = 1_200;

/// What a client heard at the end of a message, or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 250, with the message's id.
    Accepted(String),
    /// Something else.
    Refused(u16, String),
    /// The connection ended, or nothing was said in time.
    Nothing(String),
}

/// The settings of clients, made once.
#[derive(Clone)]
pub(super) struct Clients {
    relay: SocketAddr,
    submissions: SocketAddr,
    person: Arc<ClientConfig>,
    machine: Arc<ClientConfig>,
}

impl Clients {
    pub(super) fn of(house: &House) -> io::Result<Self> {
        let config = |identity: Option<Identity>| -> io::Result<_> {
            let mut config = (*tls::client_of(&house.tls().join("ca.pem"), identity)?).clone();
            // Every handshake is a whole one, so that calls can be counted.
            config.resumption = Resumption::disabled();
            Ok(Arc::new(config))
        };
        Ok(Self {
            relay: house.relay(),
            submissions: house.submissions(),
            person: config(None)?,
            machine: config(Some(house.certificate(MACHINE)?))?,
        })
    }

    /// A person's session: two messages of these numbers.
    pub(super) fn person(&self, numbers: [u32; 2]) -> [Answer; 2] {
        let from = format!("{LOGIN}@{DOMAIN}");
        let mut client = match self.log_in(PASSWORD) {
            Ok(client) => client,
            Err(answer) => return [answer.clone(), answer],
        };
        let first = transact(&mut client, &from, &[TO], text(numbers[0]).trim_end());
        let first = answer(first.map(|replies| (replies.len() == 4, replies)));
        if !matches!(first, Answer::Accepted(_)) {
            let _ = client.say("RSET");
        }
        let second = answer(chunked(&mut client, &from, &long(numbers[1])));
        let _ = client.say("QUIT");
        [first, second]
    }

    /// A machine's message.
    pub(super) fn machine(&self, number: u32) -> Answer {
        let session = || {
            let mut client = Client::connect(self.relay, None)?;
            client.patience(ANSWER)?;
            let said =
                [client.reply()?, client.say("EHLO client.example")?, client.say("STARTTLS")?];
            if let Some(said) = said.iter().find(|reply| reply.code() / 100 != 2) {
                return Ok((false, vec![said.clone()]));
            }
            client.handshake(Arc::clone(&self.machine), HOST)?;
            client.say("EHLO client.example")?;
            chunked(&mut client, "joe@example.org", &text(number))
        };
        answer(session())
    }

    /// Somebody with another's password; what AUTH was answered.
    pub(super) fn impostor(&self) -> Answer {
        match self.log_in("guessed") {
            Ok(_) => Answer::Accepted("a wrong password".to_owned()),
            Err(answer) => answer,
        }
    }

    /// A message from a machine that is trusted by its address, in the clear.
    pub(super) fn trusted(&self, number: u32) -> Answer {
        let session = || {
            let mut client = Client::connect(self.relay, Some(TRUSTED))?;
            client.patience(ANSWER)?;
            let said = [client.reply()?, client.say("EHLO client.example")?];
            if let Some(said) = said.iter().find(|reply| reply.code() / 100 != 2) {
                return Ok((false, vec![said.clone()]));
            }
            let replies = transact(&mut client, "joe@example.org", &[TO], text(number).trim_end())?;
            Ok((replies.len() == 4, replies))
        };
        answer(session())
    }

    /// Somebody who may not relay; what RCPT was answered.
    pub(super) fn stranger(&self) -> Answer {
        let session = || {
            let mut client = Client::connect(self.relay, None)?;
            client.patience(ANSWER)?;
            let mut said = client.reply()?;
            for line in
                ["EHLO client.example", "MAIL FROM:<joe@example.org>", &format!("RCPT TO:<{TO}>")]
            {
                if said.code() / 100 != 2 {
                    return Ok((false, vec![said]));
                }
                said = client.say(line)?;
            }
            Ok((true, vec![said]))
        };
        answer(session())
    }

    fn log_in(&self, password: &str) -> Result<Client, Answer> {
        let session = || {
            let mut client = Client::connect(self.submissions, None)?;
            client.patience(ANSWER)?;
            client.handshake(Arc::clone(&self.person), HOST)?;
            let mut said = client.reply()?;
            for line in ["EHLO client.example", &format!("AUTH PLAIN {}", plain(LOGIN, password))] {
                if said.code() / 100 != 2 {
                    break;
                }
                said = client.say(line)?;
            }
            Ok((client, said))
        };
        match session() {
            Ok((client, said)) if said.code() == 235 => Ok(client),
            Ok((_, said)) => Err(answer(Ok((false, vec![said])))),
            Err(error) => Err(answer(Err(error))),
        }
    }
}

/// A message in two chunks, and a third one that is empty.
fn chunked(client: &mut Client, from: &str, text: &str) -> io::Result<(bool, Vec<Reply>)> {
    let (first, second) = text.split_at(text.len() / 2);
    let mut replies = Vec::new();
    for command in [
        format!("MAIL FROM:<{from}>\r\n"),
        format!("RCPT TO:<{TO}>\r\n"),
        format!("BDAT {}\r\n{first}", first.len()),
        format!("BDAT {}\r\n{second}", second.len()),
        "BDAT 0 LAST\r\n".to_owned(),
    ] {
        client.send(command.as_bytes())?;
        replies.push(client.reply()?);
        if replies.last().is_none_or(|reply| reply.code() / 100 != 2) {
            return Ok((false, replies));
        }
    }
    Ok((true, replies))
}

/// What the last reply means, of a dialogue that came to its end or didn't.
fn answer(dialogue: io::Result<(bool, Vec<Reply>)>) -> Answer {
    let (whole, replies) = match dialogue {
        Ok(dialogue) => dialogue,
        Err(error) => return Answer::Nothing(error.to_string()),
    };
    match replies.last().map(|last| (last.code(), last.text())) {
        None | Some((0, _)) => Answer::Nothing("closed".to_owned()),
        Some((250, text)) if whole => {
            Answer::Accepted(text.split(' ').nth(2).unwrap_or_default().to_owned())
        }
        Some((code, text)) => Answer::Refused(code, text.to_owned()),
    }
}

fn text(number: u32) -> String {
    format!("Subject: number {number}\r\nFrom: <{LOGIN}@{DOMAIN}>\r\n\r\n{}", body(number, 3))
}

fn long(number: u32) -> String {
    format!("Subject: number {number}\r\nFrom: <{LOGIN}@{DOMAIN}>\r\n\r\n{}", body(number, LONG))
}

fn body(number: u32, lines: usize) -> String {
    let line = |line: usize| format!(".{line} of {lines}: {:->60}\r\n", number);
    (0..lines).map(line).chain([format!("The end of {number}.\r\n")]).collect()
}

/// The number of a message that came, and whether it is whole.
pub(super) fn read(text: &str) -> (u32, bool) {
    let (head, came) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let subject = head.lines().find_map(|line| line.strip_prefix("Subject: number "));
    let number = subject.and_then(|number| number.parse().ok()).unwrap_or(u32::MAX);
    (number, came == body(number, 3) || came == body(number, LONG))
}
