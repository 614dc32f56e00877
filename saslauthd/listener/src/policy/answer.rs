//! From a decision of the access map to an answer in Postfix's words.
//!
//! Runs in the listener; a pure function. What is asked depends on the command that the mail server is about to answer:
//!
//! | state | asked | answer |
//! |---|---|---|
//! | CONNECT | `check_relay` | a refusal or DUNNO |
//! | EHLO, HELO | `tls_client` inside TLS, nothing before it | a refusal or DUNNO |
//! | MAIL | `check_mail`, which asks `tls_client` first | a refusal or DUNNO |
//! | RCPT | `check_relay`, `check_mail`, then `check_rcpt` | a refusal, OK where it may relay, else DUNNO |
//! | VRFY | `check_vrfy` | a refusal or DUNNO |
//! | DATA, END-OF-MESSAGE, ETRN, others | nothing | DUNNO |
//!
//! At RCPT all is asked, since Postfix asks nothing before it unless `smtpd_delay_reject = no`. "Relaying denied" without an
//! entry that says so is DUNNO: Postfix knows its own domains, and its `reject_unauth_destination` goes on. OK needs
//! somebody's word for it: an entry, a relay domain, or a login or certificate that the settings trust; that a client is on
//! this host is none, since a proxy makes everybody so. `ruleset=` asks for one decision, whatever the state.

use access::{Access, Action as Decided, Decision, Facts, Ruleset, Settings, decide};
use protocol::policy::{Action, Attribute, Reply, Request};

use super::session;

/// The answer to one request, and why, for the log.
pub(super) struct Said {
    pub(super) action: Action,
    pub(super) because: String,
}

impl Said {
    fn nothing() -> Self {
        Self { action: Action::Dunno, because: String::new() }
    }
}

/// The answer to one request.
pub(super) fn answer(settings: &Settings, access: Access<'_>, request: &Request) -> Said {
    let facts = match session::facts(request) {
        Ok(facts) => facts,
        Err(why) => return misunderstood(&why),
    };
    let asked = Asked { settings, access, facts };
    match request.value(Attribute::Ruleset) {
        "" => asked.in_state(request.value(Attribute::ProtocolState)),
        name => match Ruleset::from_name(name) {
            // Letters, options and passwords are no actions.
            None
            | Some(
                Ruleset::SrvFeatures
                | Ruleset::CltFeatures
                | Ruleset::TlsSrvFeatures
                | Ruleset::TlsCltFeatures
                | Ruleset::AuthInfo,
            ) => misunderstood("ruleset: it is none that has an answer here"),
            Some(ruleset) => asked.about(ruleset),
        },
    }
}

fn misunderstood(why: &str) -> Said {
    let because = format!("Policy request not understood: {why}");
    Said { action: Action::Reply(Reply::new(451, "4.3.5", &because)), because }
}

struct Asked<'a> {
    settings: &'a Settings,
    access: Access<'a>,
    facts: Facts,
}

impl Asked<'_> {
    fn in_state(&self, state: &str) -> Said {
        match state {
            "CONNECT" => self.about(Ruleset::CheckRelay),
            "EHLO" | "HELO" if self.facts.tls_version.is_some() => self.about(Ruleset::TlsClient),
            "MAIL" => self.about(Ruleset::CheckMail),
            // It asks for the other two by itself.
            "RCPT" if self.settings.delay_checks => self.about(Ruleset::CheckRcpt),
            "RCPT" => [Ruleset::CheckRelay, Ruleset::CheckMail, Ruleset::CheckRcpt]
                .into_iter()
                .map(|ruleset| self.about(ruleset))
                .find(|said| said.action != Action::Dunno)
                .unwrap_or_else(Said::nothing),
            "VRFY" => self.about(Ruleset::CheckVrfy),
            "" => misunderstood("there is no protocol_state"),
            _ => Said::nothing(),
        }
    }

    fn about(&self, ruleset: Ruleset) -> Said {
        let decision = decide(ruleset, self.settings, self.access, &self.facts);
        let because = because(ruleset, &decision);
        let action = match decision.action {
            Decided::Relay if self.is_vouched(ruleset, &decision) => Action::Ok,
            Decided::Discard => Action::Discard,
            Decided::Reject if ruleset == Ruleset::CheckRcpt && decision.hit.is_none() => {
                Action::Dunno
            }
            Decided::Reject | Decided::TempFail | Decided::Skip => refusal(decision),
            // Held back is not refused, and Postfix has its own word for it.
            Decided::Quarantine => Action::Other("HOLD".to_owned()),
            _ => Action::Dunno,
        };
        Said { action, because }
    }

    /// Whether relaying is allowed by somebody's word.
    fn is_vouched(&self, ruleset: Ruleset, decision: &Decision) -> bool {
        if decision.last || decision.hit.is_some() {
            return true;
        }
        let to_us = self.facts.rcpt.as_deref().and_then(|rcpt| rcpt.rsplit_once('@')).is_some_and(
            |(_, domain)| {
                let domain = domain.trim_end_matches(['>', '.']);
                self.settings.local_domains.iter().any(|own| own.eq_ignore_ascii_case(domain))
            },
        );
        // Mail for us is for Postfix to judge; and a client on this host is asked about as if it were elsewhere.
        !to_us && {
            let elsewhere = Facts {
                client_addr: Some("255.255.255.255".to_owned()),
                client_name: Some("[255.255.255.255]".to_owned()),
                ..self.facts.clone()
            };
            let is_here = matches!(
                self.facts.client_addr.as_deref(),
                None | Some("" | "0" | "127.0.0.1" | "IPv6:0:0:0:0:0:0:0:1")
            );
            !is_here || {
                let again = decide(ruleset, self.settings, self.access, &elsewhere);
                again.action == Decided::Relay
            }
        }
    }
}

fn because(ruleset: Ruleset, decision: &Decision) -> String {
    let why = &decision.because;
    match &decision.hit {
        Some(hit) => format!("{}: {} (line {}): {why}", ruleset.as_str(), hit.key, hit.line),
        None => format!("{}: {why}", ruleset.as_str()),
    }
}

fn refusal(decision: Decision) -> Action {
    Action::Reply(match decision.reply {
        Some(reply) => Reply::new(reply.code, &reply.dsn, &reply.text),
        None => Reply::new(451, "4.3.0", "Temporary system failure. Please try again later."),
    })
}

#[cfg(test)]
mod tests;
