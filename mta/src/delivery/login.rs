//! Logging in to a smarthost.
//!
//! Runs in the sender, inside TLS whose certificate verified and has the configured server's name; the caller sees to
//! that, and nothing here is offered a connection before. A server that can't prove that it knows the password (SCRAM) is
//! not who it says, whatever it answers. What it sends goes through a parser that isn't ours, aside and bounded.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rsasl::config::SASLConfig;
use rsasl::prelude::{Mechname, SASLClient, Session, State};
use smtp::reply::{Class, Code, Received};
use smtp::sasl::{Mechanism, Message};
use zeroize::Zeroizing;

use super::connection::Gone;
use super::dialogue::Dialogue;
use super::transport::Reply;
use crate::config::Credentials;

/// What we can say, the best first.
const MECHANISMS: [&str; 4] = ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN"];
/// Most messages of an exchange.
const MESSAGES: usize = 8;
/// Most rounds of PBKDF2 that a server may have us compute.
const ROUNDS: u32 = 1_000_000;

/// Passwords of smarthosts, by the file that holds them.
#[derive(Default)]
pub struct Passwords(BTreeMap<PathBuf, Zeroizing<String>>);

impl Passwords {
    /// Takes the first line of each file that holds text.
    pub fn new<'a>(files: impl Iterator<Item = (&'a PathBuf, &'a Vec<u8>)>) -> Self {
        let lines = files.filter_map(|(path, bytes)| {
            let line = str::from_utf8(bytes).ok()?.lines().next()?;
            Some((path.clone(), Zeroizing::new(line.to_owned())))
        });
        Self(lines.collect())
    }
}

/// Logs in.
///
/// # Errors
/// Why it isn't done: temporary always, since an administrator mends it and the sender can't.
pub async fn log_in(
    dialogue: &mut Dialogue,
    credentials: &Credentials,
    passwords: &Passwords,
) -> Result<(), Reply> {
    let server = dialogue.server.clone();
    let failed = |why: &str| Reply::local(454, 7, 0, format!("AUTH at {server}: {why}"));
    let password = passwords
        .0
        .get(&credentials.password)
        .ok_or_else(|| failed(&format!("{} has no password", credentials.password.display())))?;
    let offered = &dialogue.extensions.auth;
    let mechanism = MECHANISMS
        .iter()
        .filter_map(|name| Mechanism::new(name))
        .find(|mechanism| offered.contains(mechanism))
        .ok_or_else(|| failed("the server offers no mechanism that we have"))?;
    let mut exchange =
        Exchange::new(mechanism, &credentials.user, password).map_err(|why| failed(&why))?;
    let reply = talk(dialogue, mechanism, &mut exchange).await.map_err(|why| failed(&why))?;
    if reply.code != Code::AUTHENTICATED {
        return Err(failed(&reply.to_string()));
    }
    if mechanism.as_str().starts_with("SCRAM") && !exchange.finished {
        return Err(failed("the server did not prove that it knows the password"));
    }
    Ok(())
}

async fn talk(
    dialogue: &mut Dialogue,
    mechanism: Mechanism,
    exchange: &mut Exchange,
) -> Result<Received, String> {
    let gone = |gone: Gone| gone.to_string();
    let mut line = Zeroizing::new(format!("AUTH {mechanism}"));
    if exchange.begins {
        let first = exchange.step(None).await?;
        line.push(' ');
        line.push_str(&first.encode_initial());
    }
    let mut reply = dialogue.command(&line).await.map_err(gone)?;
    for _ in 0..MESSAGES {
        if reply.class() != Class::More {
            return Ok(reply);
        }
        let challenge = reply.lines.first().map_or("", |line| line.trim());
        let answer = match Message::decode(challenge.as_bytes()) {
            Some(challenge) => exchange.step(Some(challenge)).await,
            None => Err("the server's challenge is no base64".to_owned()),
        };
        match answer {
            Ok(answer) => line = answer.encode(),
            Err(why) => {
                let _ = dialogue.command("*").await;
                return Err(why);
            }
        }
        reply = dialogue.command(&line).await.map_err(gone)?;
    }
    Err("the exchange doesn't end".into())
}

/// Our side of an exchange.
struct Exchange {
    session: Option<Session>,
    begins: bool,
    finished: bool,
}

impl Exchange {
    fn new(mechanism: Mechanism, user: &str, password: &Zeroizing<String>) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{mechanism}: {error}");
        let config = SASLConfig::with_credentials(None, user.to_owned(), password.to_string())
            .map_err(|error| failed(&error))?;
        let name =
            Mechname::parse(mechanism.as_str().as_bytes()).map_err(|error| failed(&error))?;
        let session =
            SASLClient::new(config).start_suggested(&[name]).map_err(|error| failed(&error))?;
        // RFC 4616 and 5802 let the client begin; LOGIN waits to be asked.
        let begins = mechanism.as_str() != "LOGIN";
        Ok(Self { session: Some(session), begins, finished: false })
    }

    /// Answers a message, on a thread where neither its arithmetic nor a panic does harm.
    async fn step(&mut self, challenge: Option<Message>) -> Result<Message, String> {
        if self.finished {
            // The server's last words were checked; there is nothing to add.
            return Ok(Message::new(Vec::new()));
        }
        if challenge.as_ref().is_some_and(|challenge| rounds(challenge.reveal()) > ROUNDS) {
            return Err("the server wants more rounds of PBKDF2 than we compute".into());
        }
        let mut session = self.session.take().ok_or("the exchange failed before")?;
        let stepped = tokio::task::spawn_blocking(move || {
            let mut out = Vec::new();
            let state = session.step(challenge.as_ref().map(Message::reveal), &mut out);
            (session, state.map_err(|error| error.to_string()), Message::new(out))
        });
        let (session, state, answer) =
            stepped.await.map_err(|_| "the server's message can't be read".to_owned())?;
        self.finished = matches!(state?, State::Finished(_));
        self.session = Some(session);
        Ok(answer)
    }
}

/// `i=` of SCRAM's first message from the server; most there can be when it can't be read.
fn rounds(challenge: &[u8]) -> u32 {
    let field = challenge.split(|byte| *byte == b',').find_map(|field| field.strip_prefix(b"i="));
    let number = |field| str::from_utf8(field).ok().and_then(|text| text.parse().ok());
    field.map_or(0, |field| number(field).unwrap_or(u32::MAX))
}
