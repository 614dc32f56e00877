//! SMTP and LMTP, the client's side: greeting, and one message after the other.
//!
//! Runs in the sender. A server decides over its own recipients and nothing else. A reply that can't be one to what was
//! said ends the dialogue, since nobody knows any more which reply belongs to what; a message whose end was sent and not
//! answered is in doubt, and deferred.

use smtp::extensions::Extensions;
use smtp::reply::{Class, Code, Received};

use super::connection::{Connection, Gone, Patience};
use super::transport::Reply;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// RFC 5321.
    Smtp,
    /// RFC 2033: each recipient is answered after the message.
    Lmtp,
}

/// Why there is no dialogue, or no more of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The connection is of no use.
    Gone(Gone),
    /// The server wants nothing of us now, whatever the code.
    Unwilling(Received),
}

impl From<Gone> for Ended {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

/// A greeted server.
pub struct Dialogue {
    pub(super) connection: Connection,
    pub(super) protocol: Protocol,
    pub(super) patience: Patience,
    /// What it offers now.
    pub extensions: Extensions,
    /// What it calls itself: one word of printable ASCII.
    pub greeted_as: String,
    /// `mailer=` of the log.
    pub mailer: &'static str,
    /// `mx.example.org [192.0.2.1]`, for replies.
    pub server: String,
}

impl Dialogue {
    /// Waits for the greeting, and greets.
    ///
    /// # Errors
    /// [`Ended`].
    pub async fn begin(
        mut connection: Connection,
        protocol: Protocol,
        patience: Patience,
        server: String,
        hostname: &str,
    ) -> Result<Self, Ended> {
        let greeting = connection.reply(patience.greeting).await?;
        if greeting.code != Code::READY {
            connection.quit(patience.quit).await;
            return Err(Ended::Unwilling(greeting));
        }
        let extensions = Extensions::default();
        let (greeted_as, mailer) = (String::new(), "smtp");
        let mut begun =
            Self { connection, protocol, patience, extensions, greeted_as, mailer, server };
        begun.greet(hostname).await?;
        Ok(begun)
    }

    /// EHLO or LHLO, and HELO for those who know no better. After a handshake it is done again, and nothing that was said
    /// before counts.
    ///
    /// # Errors
    /// [`Ended`].
    pub async fn greet(&mut self, hostname: &str) -> Result<(), Ended> {
        self.extensions = Extensions::default();
        let (verb, mailer) = match self.protocol {
            Protocol::Smtp => ("EHLO", "esmtp"),
            Protocol::Lmtp => ("LHLO", "lmtp"),
        };
        let mut reply = self.command(&format!("{verb} {hostname}")).await?;
        self.mailer = mailer;
        if reply.class() == Class::Success {
            self.extensions = Extensions::read(&reply);
        } else if reply.class() == Class::Permanent
            && self.protocol == Protocol::Smtp
            && !self.connection.is_tls()
        {
            // A server that knows TLS knows EHLO: in there, to forget what it offers would be a step down.
            self.mailer = "smtp";
            reply = self.command(&format!("HELO {hostname}")).await?;
        }
        if reply.class() != Class::Success {
            return Err(Ended::Unwilling(reply));
        }
        let first = reply.lines.first().and_then(|line| line.split_ascii_whitespace().next());
        self.greeted_as = first.unwrap_or_default().to_owned();
        Ok(())
    }

    /// Sends a line, and waits for its reply.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn command(&mut self, line: &str) -> Result<Received, Gone> {
        self.connection.send(format!("{line}\r\n").as_bytes(), self.patience.command).await?;
        self.connection.reply(self.patience.command).await
    }

    /// Makes sure that the server is still there, and in no transaction.
    ///
    /// # Errors
    /// [`Ended`].
    pub async fn reset(&mut self) -> Result<(), Ended> {
        let reply = self.command("RSET").await?;
        if reply.code != Code::DONE || self.connection.has_more() {
            return Err(Ended::Unwilling(reply));
        }
        Ok(())
    }

    /// Ends it.
    pub async fn quit(self) {
        self.connection.quit(self.patience.quit).await;
    }

    /// The server's words.
    pub fn said(&self, reply: &Received) -> Reply {
        Reply::said(&self.server, reply)
    }

    /// What the end of the connection amounts to: nothing is known, and it is tried again.
    pub fn gone(&self, gone: &Gone) -> Reply {
        Reply::local(421, 4, 2, format!("{}: {gone}", self.server))
    }
}
