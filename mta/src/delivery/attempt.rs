//! An attempt: which servers, in which order, and what is said to the first that answers.
//!
//! Runs in the sender. Recipients that the access map doesn't let go over a connection are taken out before MAIL: the
//! server learns nothing of them, nor of the sender if nobody is left.

use std::path::Path;
use std::sync::Arc;

use smtp::reply::{Class, Code, Status};
use tokio::time::Instant;

use super::connection::{Connection, Patience};
use super::dialogue::{Dialogue, Ended, Protocol};
use super::login::Passwords;
use super::maildir;
use super::pool::Pool;
use super::resolve::{Resolver, Target};
use super::route::Hop;
use super::security::{Refusal, recipient};
use super::session::Session;
use super::transfer::{Left, Message, Reached, transfer};
use super::transport::{Contact, Job, Log, Outcome, Reply, Report};
use crate::config::{Config, OwnAddresses};
use crate::policy::{Policy, Question};
use crate::tls::client::Client;

/// What all attempts share.
pub(super) struct Core {
    pub(super) config: Arc<Config>,
    pub(super) resolver: Resolver,
    pub(super) patience: Patience,
    pub(super) policy: Policy,
    pub(super) client: Client,
    pub(super) passwords: Passwords,
    pub(super) pool: Pool,
    pub(super) log: Log,
}

impl Core {
    pub(super) async fn deliver(&self, job: Job) -> Report {
        let message = Message { envelope: job.envelope, text: job.text, size: job.size };
        let ends = Instant::now() + self.patience.attempt;
        match &job.hop {
            Hop::Refuse(text) => {
                Report::all(&job.recipients, &Reply::local(550, 1, 2, text.clone()))
            }
            Hop::Unserved(domain) => {
                let text = format!("{domain} is local, and no route of the settings is for it");
                Report::all(&job.recipients, &Reply::local(451, 3, 5, text))
            }
            Hop::Maildir(directory) => maildir::deliver(directory, &message, &job.recipients).await,
            Hop::LmtpUnix(socket) => self.unix(socket, &message, &job.recipients, ends).await,
            hop => self.servers(hop, &message, &job.recipients, ends).await,
        }
    }

    async fn unix(
        &self,
        socket: &Path,
        message: &Message,
        recipients: &[u32],
        ends: Instant,
    ) -> Report {
        let name = socket.display().to_string();
        let begun = async {
            let connection = Connection::unix(socket, self.patience.connect, ends).await?;
            let hostname = &self.config.hostname;
            Dialogue::begin(connection, Protocol::Lmtp, self.patience, name.clone(), hostname).await
        };
        match begun.await {
            Err(ended) => Report::all(recipients, &unwilling(&name, &ended)),
            Ok(mut dialogue) => {
                let transfer = transfer(&mut dialogue, message, recipients).await;
                if transfer.left == Left::Usable {
                    dialogue.quit().await;
                }
                let mut report = Report::all(&[], &Reply::local(451, 3, 0, ""));
                (report.mailer, report.relay) = ("lmtp", name);
                report.take(transfer);
                report
            }
        }
    }

    /// The servers of a hop in their order, until one answers.
    async fn servers(
        &self,
        hop: &Hop,
        message: &Message,
        recipients: &[u32],
        ends: Instant,
    ) -> Report {
        let targets = match self.resolver.targets(&self.config, hop).await {
            Ok(targets) => targets,
            Err(reply) => return Report::all(recipients, &reply),
        };
        let nobody = Reply::local(451, 4, 1, "no server of this domain answers");
        let mut last = Report::all(recipients, &nobody);
        for target in targets {
            match self.target(hop, &target, message, recipients, ends).await {
                Tried::Settled(report) => return report,
                Tried::InVain(mut report) => {
                    if last.contact == Contact::Made {
                        report.contact = Contact::Made;
                    }
                    last = report;
                }
            }
            if Instant::now() >= ends {
                break;
            }
        }
        last
    }

    async fn target(
        &self,
        hop: &Hop,
        target: &Target,
        message: &Message,
        recipients: &[u32],
        ends: Instant,
    ) -> Tried {
        let (protocol, server) = match hop {
            Hop::LmtpTcp(server) => (Protocol::Lmtp, Some(server)),
            Hop::Smtp(server) => (Protocol::Smtp, Some(server)),
            _ => (Protocol::Smtp, None),
        };
        let mut report = Report::all(&[], &Reply::local(451, 3, 0, ""));
        report.relay = target.relay();
        let (mut session, key) = match self.session(target, protocol, server, ends).await {
            Ok(session) => session,
            Err(refusal) => return report.refused(recipients, &refusal),
        };
        report.mailer = session.dialogue.mailer;
        report.contact = Contact::Made;
        if let Err(reply) = self.is_other(hop, &session) {
            session.dialogue.quit().await;
            return report.refused(recipients, &Refusal::All(reply));
        }
        let allowed = self.allowed(target, &session, message, recipients, &mut report).await;
        let mut reached = Reached::Recipients;
        let mut left = Left::Usable;
        if !allowed.is_empty() {
            let transfer = transfer(&mut session.dialogue, message, &allowed).await;
            left = transfer.left;
            if report.outcomes.is_empty() {
                reached = transfer.reached;
            }
            report.take(transfer);
        }
        if left == Left::Usable {
            self.pool.put(key, session, self.patience.idle).await;
        }
        let deferred = |outcome: &Outcome| matches!(outcome, Outcome::Deferred(_));
        let in_vain = reached == Reached::Nothing
            && report.in_doubt == 0
            && report.outcomes.iter().all(|(_, outcome)| deferred(outcome));
        if in_vain { Tried::InVain(report) } else { Tried::Settled(report) }
    }

    /// A server that the DNS named and that calls itself by our name is us (RFC 5321 section 5.1).
    fn is_other(&self, hop: &Hop, session: &Session) -> Result<(), Reply> {
        let ours = session.dialogue.greeted_as.eq_ignore_ascii_case(&self.config.hostname);
        let refused = self.config.delivery.own_addresses == OwnAddresses::Refused;
        if ours && refused && matches!(hop, Hop::Mx(_) | Hop::Literal(_)) {
            let server = &session.dialogue.server;
            let text = format!("mail loops back to this host: {server} has its name");
            return Err(Reply::local(554, 4, 6, text));
        }
        Ok(())
    }

    /// Those for whom this connection is good enough; the others have their outcome.
    async fn allowed(
        &self,
        target: &Target,
        session: &Session,
        message: &Message,
        recipients: &[u32],
        report: &mut Report,
    ) -> Vec<u32> {
        let question = Question::of_server(&target.host, Some(target.address.ip()));
        let question = session.channel.state(question);
        let mut allowed = Vec::with_capacity(recipients.len());
        let mut unknown: Option<Reply> = None;
        for number in recipients {
            let index = usize::try_from(*number).unwrap_or(usize::MAX);
            let Some(addressee) = message.envelope.recipients.get(index) else { continue };
            let answer = match &unknown {
                // Whoever doesn't answer once isn't waited for a thousand times.
                Some(reply) => Err(reply.clone()),
                None => recipient(&self.policy, question.clone(), &addressee.recipient).await,
            };
            match answer {
                Ok(()) => allowed.push(*number),
                Err(reply) => {
                    if reply.is_unknown() {
                        unknown = Some(reply.clone());
                    }
                    report.outcomes.push((*number, reply.outcome()));
                }
            }
        }
        allowed
    }
}

/// What came of one server.
pub(super) enum Tried {
    /// There is no need of another.
    Settled(Report),
    /// Another may do; this is how it stands if there is none.
    InVain(Report),
}

impl Report {
    fn refused(mut self, recipients: &[u32], refusal: &Refusal) -> Tried {
        let (Refusal::Server(reply) | Refusal::All(reply)) = refusal;
        let outcomes = recipients.iter().map(|number| (*number, reply.clone().outcome()));
        self.outcomes.extend(outcomes);
        match refusal {
            Refusal::Server(_) => Tried::InVain(self),
            Refusal::All(_) => Tried::Settled(self),
        }
    }
}

/// Why a server is not used now: tried again, whatever it said, since it said nothing of a recipient.
pub(super) fn unwilling(server: &str, ended: &Ended) -> Reply {
    match ended {
        Ended::Gone(gone) => Reply::local(451, 4, 1, format!("{server}: {gone}")),
        Ended::Unwilling(reply) => {
            let said = Reply::said(server, reply);
            let status = Status { subject: 4, detail: 1 };
            match reply.class() {
                Class::Temporary => said,
                _ => Reply { text: said.to_string(), code: Code::LOCAL_ERROR, status, ..said },
            }
        }
    }
}
