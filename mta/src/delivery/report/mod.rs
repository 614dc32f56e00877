//! Reports to senders (RFC 3464, 3461, 6522, and 6533 where addresses need it): what became of their mail, for people
//! first and then for programs.
//!
//! Runs in the sender. A report is made of strangers' text: addresses that hold no control character, replies that are
//! printable ASCII, and the returned mail, which is a part of its own. Its size is bounded whatever came in.

mod human;
mod status;

use std::io::{self, Read};

use smtp::address::Sender;
use smtp::command::{Body, MailParameters, Notify, NotifyOn, Return, Smtputf8};
use smtp::header::date::Date;

use super::transport::Reply;
use crate::spool::envelope::{Addressee, Envelope};

/// Longest mail that comes back whole, and longest header that does otherwise, in bytes.
pub const MOST: usize = 50 * 1024;

/// What became of a recipient (RFC 3464 section 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It never arrived, and never will.
    Failed,
    /// It takes longer.
    Delayed,
    /// It is in its mailbox.
    Delivered,
    /// A server has it that reports nothing.
    Relayed,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
        }
    }

    /// Whether the sender wants to hear of it. Whoever said nothing hears of failures and delays (RFC 3461 section 4.1).
    pub fn is_wanted(self, notify: Option<Notify>) -> bool {
        let on = match notify {
            Some(Notify::Never) => return false,
            Some(Notify::On(on)) => on,
            None => NotifyOn { success: false, failure: true, delay: true },
        };
        match self {
            Self::Failed => on.failure,
            Self::Delayed => on.delay,
            Self::Delivered | Self::Relayed => on.success,
        }
    }
}

/// A recipient of a report's mail, and what became of it.
#[derive(Clone, Debug)]
pub struct Fate<'a> {
    /// Who.
    pub addressee: &'a Addressee,
    /// What.
    pub action: Action,
    /// The last that was said about it.
    pub reply: &'a Reply,
}

/// A report before it is written.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// Our own name.
    pub hostname: &'a str,
    /// The mail it is about.
    pub envelope: &'a Envelope,
    /// Recipients that are reported, at least one.
    pub fates: &'a [Fate<'a>],
    /// Now.
    pub now: u64,
    /// Until when it is tried, if it still is.
    pub until: u64,
    /// What makes its boundary and Message-ID like no other: letters and digits.
    pub nonce: &'a str,
}

/// A report as it goes into the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What MAIL says of it.
    pub parameters: MailParameters,
    /// All of it, lines ending with CR LF.
    pub text: Vec<u8>,
}

/// The text of the mail that comes back.
struct Returned {
    bytes: Vec<u8>,
    whole: bool,
}

impl Report<'_> {
    /// Writes it. `original` is the text of the mail it is about, `size` its bytes.
    ///
    /// # Errors
    /// Those of reading `original`.
    pub fn write(&self, original: impl Read, size: u64) -> io::Result<Written> {
        let returned = self.returned(original, size)?;
        let international = self.is_international();
        let eight = international || !returned.bytes.is_ascii();
        let mut text = self.header(international).into_bytes();
        let human = format!("Content-Type: text/plain; charset={}\r\n", charset(international));
        self.part(&mut text, &human, eight, self.human().as_bytes());
        let kind = if international { "global-delivery-status" } else { "delivery-status" };
        let kind = format!("Content-Type: message/{kind}\r\n");
        self.part(&mut text, &kind, eight, self.status(international).as_bytes());
        let kind = match (returned.whole, international) {
            (true, false) => "message/rfc822",
            (true, true) => "message/global",
            (false, false) => "text/rfc822-headers",
            (false, true) => "message/global-headers",
        };
        self.part(&mut text, &format!("Content-Type: {kind}\r\n"), eight, &returned.bytes);
        text.extend_from_slice(format!("--{}--\r\n", self.boundary()).as_bytes());
        let parameters = MailParameters {
            size: None,
            body: Some(if eight { Body::EightBitMime } else { Body::SevenBit }),
            smtputf8: if international { Smtputf8::Present } else { Smtputf8::Absent },
            ..MailParameters::default()
        };
        Ok(Written { parameters, text })
    }

    /// Whether an address in it has letters beyond ASCII; whoever sent such mail can receive such a report.
    fn is_international(&self) -> bool {
        !self.envelope.sender.is_ascii()
            || self.fates.iter().any(|fate| !fate.addressee.recipient.is_ascii())
    }

    fn header(&self, international: bool) -> String {
        let Self { hostname, nonce, .. } = self;
        let to = match &self.envelope.sender {
            Sender::Address(address) => address.as_str(),
            // Nobody writes to nobody; the manager doesn't ask.
            Sender::Null => "undisclosed-recipients:;",
        };
        format!(
            "Date: {date}\r\nFrom: Mail Delivery System <MAILER-DAEMON@{hostname}>\r\nTo: {to}\r\n\
             Subject: {subject}\r\nMessage-ID: <{nonce}@{hostname}>\r\n\
             Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type={kind};\r\n\tboundary=\"{boundary}\"\r\n\
             \r\nThis is a report about mail, for people and for programs.\r\n\r\n",
            date = Date(self.now),
            subject = self.subject(),
            kind = if international { "global-delivery-status" } else { "delivery-status" },
            boundary = self.boundary(),
        )
    }

    fn boundary(&self) -> String {
        format!("report-{}", self.nonce)
    }

    fn part(&self, text: &mut Vec<u8>, kind: &str, eight: bool, content: &[u8]) {
        text.extend_from_slice(format!("--{}\r\n{kind}", self.boundary()).as_bytes());
        if eight {
            text.extend_from_slice(b"Content-Transfer-Encoding: 8bit\r\n");
        }
        text.extend_from_slice(b"\r\n");
        text.extend_from_slice(content);
        text.extend_from_slice(b"\r\n");
    }

    /// All of the mail when it failed, isn't long, and its sender wants it; its header otherwise (RFC 3461 section 4.3).
    fn returned(&self, original: impl Read, size: u64) -> io::Result<Returned> {
        let failed = self.fates.iter().any(|fate| fate.action == Action::Failed);
        let wanted = failed && self.envelope.parameters.ret != Some(Return::Headers);
        let whole = wanted && size <= MOST as u64;
        let mut bytes = Vec::new();
        original.take(MOST as u64).read_to_end(&mut bytes)?;
        if !whole {
            truncate(&mut bytes);
        }
        Ok(Returned { bytes, whole })
    }
}

fn charset(international: bool) -> &'static str {
    if international { "utf-8" } else { "us-ascii" }
}

/// Leaves the header, or as many whole lines of it as there are.
fn truncate(bytes: &mut Vec<u8>) {
    let end = if bytes.starts_with(b"\r\n") {
        Some(0)
    } else {
        let blank = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        blank.or_else(|| bytes.windows(2).rposition(|two| two == b"\r\n")).map(|at| at + 2)
    };
    bytes.truncate(end.unwrap_or_default());
}

#[cfg(test)]
mod tests;
