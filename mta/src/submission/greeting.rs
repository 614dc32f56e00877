//! How a session begins, and begins again inside TLS: PROXY, the questions about the client, greetings, STARTTLS.
//!
//! Runs in the receiver. What was said in the clear was never said once the handshake is done, and bytes that arrive
//! behind STARTTLS end the connection, since somebody on the way may have put them there (CVE-2011-0411).

use std::sync::Arc;

use smtp::address::Host;
use smtp::command::Verb;
use smtp::extensions::{Extensions, Size};
use smtp::header::received::Greeting;
use smtp::proxy::Source;
use smtp::reply::{Code, Reply};
use smtp::session::{self, Auth, Channel, Offer, Outcome, Session, StartTls, Step};
use tokio::time::{Instant, timeout_at};

use super::desk::{Arrival, Desk, is_for_submission};
use super::dialogue::{Dialogue, Inside, PARTING};
use super::envelope::Fate;
use super::features::Features;
use super::wire::{Carrier, End, Wire};
use super::{log, proxied};
use crate::auth::Attempt;
use crate::config::{AskForCertificate, Limits, Listener, Role};
use crate::control::Level;
use crate::policy::{About, Answer, Question, Resolved};
use crate::tls::server::Ask;

impl<S: Carrier> Dialogue<S> {
    /// Everything up to the greeting. `None`: the connection is over.
    pub(super) async fn begin(
        mut wire: Wire<S>,
        mut arrival: Arrival,
        desk: Arc<Desk>,
    ) -> Option<Self> {
        let (listener, _) = desk.listener(arrival.listener)?;
        let known_until = Instant::now() + desk.config.limits.login;
        if listener.proxies.contains(&arrival.client.ip().to_canonical()) {
            let header = timeout_at(known_until, proxied::read(&mut wire)).await;
            match header.ok()? {
                Ok(Source::Client { from, to }) => {
                    (arrival.client, arrival.server) = (from, to);
                }
                Ok(Source::Proxy) => {}
                Err(error) => {
                    let text = format!("no PROXY header from {}: {error}", arrival.client.ip());
                    desk.link.log(Level::Warning, text);
                    return None;
                }
            }
        }
        let Some(place) = desk.doors.enter(arrival.client.ip(), &desk.config.limits) else {
            if listener.role != Role::Submissions {
                let text = "Too many connections from your address; try again later";
                wire.say(&Reply::new(Code::UNAVAILABLE, 3, 2, text));
                let _ = wire.flush(Instant::now() + PARTING).await;
            }
            return None;
        };
        let facts = Box::new(Question::of_client(
            arrival.client,
            arrival.server,
            // This process reaches no name server.
            Resolved::Nameless,
        ));
        let asked = |about| facts.as_ref().clone().about(about);
        let (connection, features) = (asked(About::Connection), asked(About::SrvFeatures));
        let (connection, features) =
            tokio::join!(desk.policy.ask(&connection), desk.policy.value(&features));
        let features = features.map(|words| Features::read(&words));
        let stopping = desk.stopping.clone();
        let mut dialogue = Self {
            wire,
            stopping,
            session: session(listener, features.unwrap_or_default(), &desk.config.limits),
            features,
            refusal: None,
            fate: None,
            greeting: None,
            tls: None,
            login: None,
            machine: None,
            facts,
            transaction: None,
            receiving: None,
            known_until,
            _place: place,
            arrival,
            desk,
        };
        dialogue.know_connection(connection);
        dialogue.welcome().await.ok()?;
        Some(dialogue)
    }

    /// The handshake where TLS comes first, and the greeting.
    async fn welcome(&mut self) -> Result<(), End> {
        let (listener, _) = self.desk.listener(self.arrival.listener).ok_or(End::Gone)?;
        if listener.role == Role::Submissions {
            self.handshake().await?;
        }
        let text = format!("{} ESMTP ready", self.desk.config.hostname);
        self.wire.say(&Reply::plain(Code::READY, text));
        Ok(())
    }

    /// What the map says of the connection itself. Without an answer it is asked again before a message is taken.
    pub(super) fn know_connection(&mut self, answer: Answer) {
        self.fate = (answer != Answer::Unavailable).then(|| Fate::of(&answer));
        self.refuse_if("check_relay", answer);
    }

    /// A client that is refused here hears nothing else any more. An outage refuses nobody: it is met again at MAIL.
    fn refuse_if(&mut self, ruleset: &str, answer: Answer) {
        let Answer::Refused(reply) = answer else { return };
        let relay = self.relay().to_string();
        let arguments = match &self.tls {
            Some(inside) => [inside.facts.verify.as_str(), "STARTTLS"].to_vec(),
            None => vec![relay.as_str()],
        };
        self.desk.log(log::refusal(ruleset, &arguments, self.relay(), &reply));
        self.refusal = Some(Box::new(reply));
    }

    pub(super) fn greet(&mut self, host: Host, greeting: Greeting) {
        self.forget_message();
        let verb = if greeting == Greeting::Helo { Verb::Helo } else { Verb::Ehlo };
        self.session.done(Step::Command(verb), Outcome::Accept);
        let hello = format!(
            "{} Hello {host} {}, pleased to meet you",
            self.desk.config.hostname,
            self.relay()
        );
        let reply = match (greeting, &self.refusal) {
            (Greeting::Helo, _) => Reply::plain(Code::DONE, hello),
            (_, Some(_)) => Reply::plain(Code::DONE, hello).and("ENHANCEDSTATUSCODES"),
            (_, None) => self.extensions().reply(&hello),
        };
        self.wire.say(&reply);
        self.greeting = Some(Box::new((host, greeting)));
    }

    fn extensions(&self) -> Extensions {
        let mechanisms = match &self.tls {
            Some(inside) => self.desk.logins.mechanisms(&inside.attempt),
            None => Vec::new(),
        };
        let features = self.features.unwrap_or_default();
        let size = Size::AtMost(self.desk.config.limits.message);
        let offered = Extensions::offered(&self.session, &mechanisms, size);
        Extensions { pipelining: features.pipelining, dsn: features.dsn, ..offered }
    }

    pub(super) async fn starttls(&mut self) -> Result<(), End> {
        if !self.wire.lines.rest().is_empty() {
            let text = format!("{}: input behind STARTTLS, connection ended", self.relay());
            self.desk.link.log(Level::Warning, text);
            return Err(End::Gone);
        }
        self.wire.say(&Reply::new(Code::READY, 0, 0, "Ready to start TLS"));
        let deadline = self.command_deadline();
        self.wire.flush(deadline).await?;
        self.handshake().await?;
        self.session.done(Step::Command(Verb::StartTls), Outcome::Accept);
        Ok(())
    }

    /// Goes over to TLS, and asks whether the client may go on with what came of it.
    async fn handshake(&mut self) -> Result<(), End> {
        let (_, server) = self.desk.listener(self.arrival.listener).ok_or(End::Gone)?;
        let of_map = self.features.unwrap_or_default().certificate;
        let ask = match of_map.unwrap_or(self.desk.config.tls.ask) {
            AskForCertificate::Always => Ask::Yes,
            AskForCertificate::Never => Ask::No,
        };
        let stream = self.wire.take().ok_or(End::Gone)?;
        let accept = server.accept(stream, ask);
        let deadline = Instant::now() + self.desk.config.limits.login;
        let (stream, tls) = match timeout_at(deadline.min(self.command_deadline()), accept).await {
            Ok(Ok(accepted)) => accepted,
            Ok(Err(error)) => {
                self.desk.log(log::no_handshake(self.relay(), &error));
                return Err(End::Gone);
            }
            Err(_) => {
                let late = std::io::ErrorKind::TimedOut.into();
                self.desk.log(log::no_handshake(self.relay(), &late));
                return Err(End::Gone);
            }
        };
        self.wire.enter(stream);
        for line in log::handshake(self.relay(), &tls) {
            self.desk.log(line);
        }
        self.forget_message();
        self.greeting = None;
        self.login = None;
        self.machine = None;
        *self.facts = self.facts.as_ref().clone().inside(&tls);
        let attempt = Attempt::new(self.arrival.server, self.arrival.client, &tls);
        self.tls = Some(Box::new(Inside { facts: tls, attempt }));
        if self.refusal.is_none() {
            let question = self.facts.as_ref().clone().about(About::Greeting);
            let answer = self.desk.policy.ask(&question).await;
            self.refuse_if("tls_client", answer);
        }
        Ok(())
    }

    /// Whether MAIL comes next, from a machine that has shown a certificate and was not asked about.
    pub(super) fn wants_machine_known(&self) -> bool {
        let may_be = self.machine.is_none() && self.login.is_none() && self.refusal.is_none();
        let shown = self.tls.as_ref().is_some_and(|inside| inside.facts.certificate.is_some());
        let verb = self.wire.lines.rest().get(..4).unwrap_or_default();
        may_be && shown && verb.eq_ignore_ascii_case(b"MAIL")
    }

    /// Whether a client that isn't known might be, if the daemon were there.
    pub(super) fn is_unanswered(&self) -> bool {
        let Some(inside) = &self.tls else { return false };
        let shown = inside.facts.certificate.is_some();
        self.login.is_none() && ((shown && self.machine.is_none()) || self.desk.logins.is_away())
    }

    /// Asks whether its certificate lets a client relay: whoever may relay may submit.
    pub(super) async fn know_machine(&mut self) {
        let question = self.facts.as_ref().clone().about(About::Certificate);
        let answer = self.desk.policy.ask(&question).await;
        if answer == Answer::Permitted {
            self.session.know_by_certificate();
        }
        // Asked again when nobody knew.
        self.machine = (answer != Answer::Unavailable).then_some(answer);
    }
}

/// What may come when, at this listener and for this client.
fn session(listener: &Listener, features: Features, limits: &Limits) -> Session {
    let (role, channel, starttls) = match listener.role {
        Role::Submissions => (session::Role::Submission, Channel::Tls, StartTls::Absent),
        Role::Submission => (session::Role::Submission, Channel::Clear, StartTls::Offered),
        Role::Relay => (session::Role::Relay, Channel::Clear, StartTls::Offered),
    };
    debug_assert_eq!(is_for_submission(listener.role), role == session::Role::Submission);
    let offer = Offer {
        role,
        starttls: if features.starttls { starttls } else { StartTls::Absent },
        auth: if features.auth { Auth::Offered } else { Auth::Absent },
    };
    let limits = session::Limits { recipients: limits.recipients, ..session::Limits::default() };
    Session::new(offer, channel, limits)
}
