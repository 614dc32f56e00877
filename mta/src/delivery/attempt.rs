//! An attempt: which servers, in which order, and what is said to the first that answers.
//!
//! Runs in the sender.

use std::path::Path;
use std::sync::Arc;

use smtp::reply::{Class, Code, Status};
use tokio::time::Instant;

use super::connection::{Connection, Patience};
use super::dialogue::{Dialogue, Ended, Protocol};
use super::maildir;
use super::resolve::{Resolver, Target};
use super::route::Hop;
use super::transfer::{Left, Message, transfer};
use super::transport::{Job, Reply, Report};
use crate::config::Config;
use crate::tls::Unusable;

/// What all attempts share.
pub(super) struct Core {
    config: Arc<Config>,
    resolver: Resolver,
    patience: Patience,
}

impl Core {
    pub(super) fn new(config: Arc<Config>) -> Result<Self, Unusable> {
        let resolver = Resolver::new(&config)?;
        Ok(Self { config, resolver, patience: Patience::default() })
    }

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
                Report::of(transfer, "lmtp", name)
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
        let mut last = Reply::local(451, 4, 1, "no server of this domain answers");
        for target in targets {
            match self.target(hop, &target, message, recipients, ends).await {
                Ok(report) => return report,
                Err(reply) => last = reply,
            }
            if Instant::now() >= ends {
                break;
            }
        }
        Report::all(recipients, &last)
    }

    /// One server; the reply is why another one may be tried.
    async fn target(
        &self,
        hop: &Hop,
        target: &Target,
        message: &Message,
        recipients: &[u32],
        ends: Instant,
    ) -> Result<Report, Reply> {
        let server = target.label();
        let protocol = match hop {
            Hop::LmtpTcp(_) => Protocol::Lmtp,
            _ => Protocol::Smtp,
        };
        let begun = async {
            let limit = self.patience.connect;
            let connection = Connection::tcp(target.address, limit, ends).await?;
            let hostname = &self.config.hostname;
            Dialogue::begin(connection, protocol, self.patience, server.clone(), hostname).await
        };
        let mut dialogue = begun.await.map_err(|ended| unwilling(&server, &ended))?;
        let transfer = transfer(&mut dialogue, message, recipients).await;
        let mailer = dialogue.mailer;
        if transfer.left == Left::Usable {
            dialogue.quit().await;
        }
        Ok(Report::of(transfer, mailer, target.relay()))
    }
}

/// Why a server is not used now: tried again, whatever it said, since it said nothing of a recipient.
fn unwilling(server: &str, ended: &Ended) -> Reply {
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
