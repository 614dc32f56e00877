//! From a server's address to a dialogue that a message may go over: connection, TLS, login, and the map's word on it.
//!
//! Runs in the sender. What was said before TLS is forgotten with it, and bytes that came behind the server's 220 end the
//! connection: somebody else sent them (I1).

use std::io;

use smtp::reply::{Class, Code};
use tokio::time::{Instant, timeout_at};

use super::attempt::{Core, unwilling};
use super::connection::{Connection, Gone, Stream};
use super::dialogue::{Dialogue, Ended, Protocol};
use super::login::log_in;
use super::pool::Key;
use super::resolve::Target;
use super::security::{Attempt, Channel, Plan, Refusal};
use super::transport::Reply;
use crate::config::{Begin, FallBack, Server};
use crate::control::Level;
use crate::policy::Question;
use crate::tls::{Facts, Verify};

/// A dialogue that messages may go over.
pub struct Session {
    /// Greeted, and logged in where that is wanted.
    pub dialogue: Dialogue,
    /// What became of TLS.
    pub channel: Channel,
}

/// Which of two attempts this is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    First,
    AfterFailedHandshake,
}

impl Core {
    /// A session with a server: one that waits, or a new one. The map is asked in either case.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) async fn session(
        &self,
        target: &Target,
        protocol: Protocol,
        server: Option<&Server>,
        ends: Instant,
    ) -> Result<(Session, Key), Refusal> {
        let question = Question::of_server(&target.host, Some(target.address.ip()));
        let begin = server.map_or(Begin::IfOffered, |server| server.tls);
        let configured = self.config.delivery.clear_after_failed_handshake;
        let plan = Plan::make(&self.policy, &self.client, &question, begin, configured).await?;
        let login = server.and_then(|server| server.login.clone());
        let key = Key { target: target.clone(), protocol, plan, login };
        if let Some(mut session) = self.pool.take(&key) {
            session.dialogue.connection.extend(ends);
            if session.dialogue.reset().await.is_ok() {
                let judged =
                    session.channel.judge(&self.policy, &question, begin, target.tls_name()).await;
                return self.keep_or_quit(session, judged).await.map(|session| (session, key));
            }
        }
        let mut session = self.open(&key, Turn::First, ends).await?;
        if matches!(session, Opened::Failed(Verify::Software))
            && key.plan.fall_back == FallBack::Once
        {
            session = self.open(&key, Turn::AfterFailedHandshake, ends).await?;
        }
        let mut session = match session {
            Opened::Session(session) => *session,
            Opened::Failed(verify) => {
                let channel = Channel::Clear(verify);
                channel.judge(&self.policy, &question, begin, target.tls_name()).await?;
                let text = format!("{}: the connection ended with STARTTLS", target.label());
                return Err(Refusal::Server(Reply::local(451, 4, 2, text)));
            }
        };
        let judged = session.channel.judge(&self.policy, &question, begin, target.tls_name()).await;
        session = self.keep_or_quit(session, judged).await?;
        let logged_in = self.authenticate(&mut session, &key).await;
        self.keep_or_quit(session, logged_in).await.map(|session| (session, key))
    }

    async fn keep_or_quit(
        &self,
        session: Session,
        judged: Result<(), Refusal>,
    ) -> Result<Session, Refusal> {
        match judged {
            Ok(()) => Ok(session),
            Err(refusal) => {
                session.dialogue.quit().await;
                Err(refusal)
            }
        }
    }

    async fn authenticate(&self, session: &mut Session, key: &Key) -> Result<(), Refusal> {
        let Some(login) = &key.login else { return Ok(()) };
        let logged_in = if session.channel.is_verified(key.target.tls_name()) {
            log_in(&mut session.dialogue, login, &self.passwords).await
        } else {
            let text = format!(
                "no password for {}, whose TLS isn't verified: {}",
                key.target.label(),
                session.channel
            );
            Err(Reply::local(454, 7, 0, text))
        };
        logged_in.map_err(|reply| {
            (self.log)(Level::Error, format!("AUTH=client, relay={}, {reply}", key.target.relay()));
            Refusal::Server(reply)
        })
    }

    /// Connects, greets, and begins TLS as the plan wants it.
    async fn open(&self, key: &Key, turn: Turn, ends: Instant) -> Result<Opened, Refusal> {
        let Key { target, plan, .. } = key;
        if plan.begin == Begin::Implicit && plan.options.is_none() {
            return Ok(Opened::Failed(Verify::Config));
        }
        let gone = |gone: Gone| refused(target, &Ended::Gone(gone));
        let mut connection =
            Connection::tcp(target.address, self.patience.connect, ends).await.map_err(gone)?;
        let mut channel = Channel::Clear(self.unasked(plan, turn));
        if plan.begin == Begin::Implicit {
            match self.handshake(connection, key, ends).await? {
                Shaken::Tls(inside, facts) => {
                    connection = inside;
                    channel = Channel::Tls(facts);
                }
                Shaken::Failed(verify) => return Ok(Opened::Failed(verify)),
            }
        }
        let mut dialogue = self.greet(connection, key).await?;
        let wanted = plan.options.is_some()
            && turn == Turn::First
            && (plan.attempt == Attempt::Try || plan.begin == Begin::StartTls)
            && dialogue.extensions.starttls
            && !dialogue.connection.is_tls();
        if !wanted {
            return Ok(Opened::Session(Box::new(Session { dialogue, channel })));
        }
        let reply = dialogue.command("STARTTLS").await.map_err(gone)?;
        if reply.code != Code::READY {
            let verify = match reply.class() {
                Class::Temporary => Verify::Temp,
                Class::Permanent => Verify::None,
                Class::Success | Class::More => Verify::Protocol,
            };
            let channel = Channel::Clear(verify);
            return Ok(Opened::Session(Box::new(Session { dialogue, channel })));
        }
        match self.handshake(dialogue.connection, key, ends).await? {
            Shaken::Failed(verify) => Ok(Opened::Failed(verify)),
            Shaken::Tls(connection, facts) => {
                dialogue.connection = connection;
                let hostname = &self.config.hostname;
                dialogue.greet(hostname).await.map_err(|ended| refused(target, &ended))?;
                let channel = Channel::Tls(facts);
                Ok(Opened::Session(Box::new(Session { dialogue, channel })))
            }
        }
    }

    async fn greet(&self, connection: Connection, key: &Key) -> Result<Dialogue, Refusal> {
        let Key { target, protocol, .. } = key;
        let hostname = &self.config.hostname;
        let begun =
            Dialogue::begin(connection, *protocol, self.patience, target.label(), hostname).await;
        begun.map_err(|ended| refused(target, &ended))
    }

    /// What `${verify}` is before anything was tried.
    fn unasked(&self, plan: &Plan, turn: Turn) -> Verify {
        match (turn, &plan.options) {
            (Turn::AfterFailedHandshake, _) => Verify::Clear,
            (Turn::First, None) => Verify::Config,
            (Turn::First, Some(_)) => Verify::None,
        }
    }

    async fn handshake(
        &self,
        connection: Connection,
        key: &Key,
        ends: Instant,
    ) -> Result<Shaken, Refusal> {
        let Key { target, plan, .. } = key;
        let Some(options) = &plan.options else { return Ok(Shaken::Failed(Verify::Config)) };
        let Some(stream) = connection.into_clear() else {
            let text = format!("{}: something came before TLS began", target.label());
            (self.log)(Level::Warning, format!("STARTTLS=client, {text}"));
            return Err(Refusal::Server(Reply::local(451, 7, 0, text)));
        };
        let end = ends.min(Instant::now() + self.patience.command);
        let server = (target.tls_name(), target.address.port());
        let shaking = self.client.connect(stream, server, options);
        let shaken = match timeout_at(end, shaking).await {
            Ok(shaken) => shaken,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let relay = target.relay();
        let relay = relay.split(' ').next().unwrap_or_default();
        match shaken {
            Ok((stream, facts)) => {
                (self.log)(Level::Info, line(relay, &facts));
                let connection = Connection::new(Stream::Tls(Box::new(stream)), ends);
                Ok(Shaken::Tls(connection, Box::new(facts)))
            }
            Err(error) => {
                (self.log)(
                    Level::Warning,
                    format!("STARTTLS=client, relay={relay}, error: {error}"),
                );
                let verify = match Gone::from(error) {
                    Gone::Closed => Verify::Failure,
                    _ => Verify::Software,
                };
                Ok(Shaken::Failed(verify))
            }
        }
    }
}

/// What a connection came to.
enum Opened {
    Session(Box<Session>),
    /// TLS was begun and isn't there: the connection is of no use.
    Failed(Verify),
}

/// What a handshake came to.
enum Shaken {
    Tls(Connection, Box<Facts>),
    Failed(Verify),
}

/// As sendmail writes it, with OpenSSL's reason when there is one.
fn line(relay: &str, facts: &Facts) -> String {
    let Facts { version, verify, cipher, bits, reason, .. } = facts;
    let why = if *verify == Verify::Fail { format!(", verifymsg={reason}") } else { String::new() };
    format!(
        "STARTTLS=client, relay={relay}, version={version}, verify={verify}, cipher={cipher}, bits={bits}/{bits}{why}"
    )
}

fn refused(target: &Target, ended: &Ended) -> Refusal {
    Refusal::Server(unwilling(&target.label(), ended))
}
