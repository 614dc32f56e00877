//! The part of a report that programs read (RFC 3464 section 2).
//!
//! Runs in the sender. Fields hold what types promise to be free of line breaks; long ones are folded.

use smtp::address::Recipient;
use smtp::header::date::Date;
use smtp::header::fold::fold;

use super::{Action, Fate, Report};
use crate::delivery::transport::Source;
use crate::spool::envelope::Origin;

impl Report<'_> {
    /// The fields of the message, then a block for each recipient.
    pub(super) fn status(&self, international: bool) -> String {
        let envelope = self.envelope;
        let mut text = format!("Reporting-MTA: dns; {}\r\n", self.hostname);
        if let Some(id) = &envelope.parameters.envid {
            text += &fold("Original-Envelope-Id", id.as_str());
        }
        if let Origin::Received { helo, .. } = &envelope.origin {
            text += &fold("Received-From-MTA", &format!("dns; {helo}"));
        }
        text += &format!("Arrival-Date: {}\r\n", Date(envelope.arrived));
        for fate in self.fates {
            text += "\r\n";
            text += &self.recipient(fate, international);
        }
        text
    }

    fn recipient(&self, fate: &Fate<'_>, international: bool) -> String {
        let mut text = String::new();
        if let Some(original) = &fate.addressee.parameters.orcpt {
            let value = format!("{}; {}", original.kind.as_str(), original.address.as_str());
            text += &fold("Original-Recipient", &value);
        }
        let address = match &fate.addressee.recipient {
            Recipient::Address(address) => address.to_string(),
            Recipient::Postmaster => format!("postmaster@{}", self.hostname),
        };
        let kind = if international && !address.is_ascii() { "utf-8" } else { "rfc822" };
        text += &format!("Final-Recipient: {kind}; {address}\r\n");
        text += &format!("Action: {}\r\n", fate.action.as_str());
        text += &format!("Status: {}\r\n", fate.reply.dsn());
        match &fate.reply.source {
            Source::Server(server) => {
                let name = server.split(' ').next().unwrap_or_default();
                // A socket of this host has no name in the DNS (RFC 3464 section 2.3.5).
                let kind = if name.starts_with('/') { "X-Socket" } else { "dns" };
                text += &fold("Remote-MTA", &format!("{kind}; {name}"));
                text += &fold("Diagnostic-Code", &format!("smtp; {}", fate.reply));
            }
            Source::Local => {
                text += &fold("Diagnostic-Code", &format!("X-Mta; {}", fate.reply.text));
            }
        }
        text += &format!("Last-Attempt-Date: {}\r\n", Date(self.now));
        text += &format!("Final-Log-ID: {}\r\n", self.envelope.id);
        if fate.action == Action::Delayed {
            text += &format!("Will-Retry-Until: {}\r\n", Date(self.until));
        }
        text
    }
}
