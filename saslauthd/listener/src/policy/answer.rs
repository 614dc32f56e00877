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
//! | VRFY, EXPN | `check_vrfy`, `check_expn` | a refusal or DUNNO |
//! | DATA, END-OF-MESSAGE, ETRN, others | nothing | DUNNO |
//!
//! At RCPT all is asked, since Postfix asks nothing before it unless `smtpd_delay_reject = no`. "Relaying denied" without an
//! entry that says so is DUNNO: Postfix knows its own domains, and its `reject_unauth_destination` goes on. OK needs
//! somebody's word for it: an entry, a relay domain, or a login or certificate that the settings trust; that a client is on
//! this host is none, since a proxy makes everybody so. `ruleset=` asks for one decision, whatever the state.
//!
//! With `answer=final` the mail server has no rule of its own: a recipient is answered OK, where it may relay or is ours, or
//! refused; and with `delay_checks` nothing is asked at CONNECT and MAIL.

use access::{Access, Action as Decided, Decision, Facts, Ruleset, Settings, decide};
use protocol::policy::{Action, Attribute, Reply, Request, Response};

use super::session;

/// The answer to one request, and why, for the log; without a reason it isn't worth a line.
pub(super) struct Said {
    pub(super) response: Response,
    pub(super) because: String,
}

impl Said {
    fn nothing() -> Self {
        Self { response: Action::Dunno.into(), because: String::new() }
    }

    fn action(&self) -> &Action {
        &self.response.action
    }
}

/// Whether the mail server has rules of its own for what the map does not know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asker {
    HasRules,
    HasNone,
}

/// The answer to one request.
pub(super) fn answer(settings: &Settings, access: Access<'_>, request: &Request) -> Said {
    let facts = match session::facts(request) {
        Ok(facts) => facts,
        Err(why) => return misunderstood(&why),
    };
    let asker = match request.value(Attribute::Answer) {
        "" => Asker::HasRules,
        "final" => Asker::HasNone,
        _ => return misunderstood("answer: it can be final, or not there"),
    };
    let asked = Asked { settings, access, facts, asker };
    match request.value(Attribute::Ruleset) {
        "" => asked.in_state(request.value(Attribute::ProtocolState)),
        name => match Ruleset::from_name(name) {
            // Passwords are no actions.
            None | Some(Ruleset::AuthInfo) => {
                misunderstood("ruleset: it is none that has an answer here")
            }
            Some(ruleset) => asked.about(ruleset),
        },
    }
}

fn misunderstood(why: &str) -> Said {
    let because = format!("Policy request not understood: {why}");
    let action = Action::Reply(Reply::new(451, "4.3.5", &because));
    Said { response: action.into(), because }
}

struct Asked<'a> {
    settings: &'a Settings,
    access: Access<'a>,
    facts: Facts,
    asker: Asker,
}

impl Asked<'_> {
    fn in_state(&self, state: &str) -> Said {
        let later = self.settings.delay_checks && self.asker == Asker::HasNone;
        match state {
            "CONNECT" | "MAIL" if later => Said::nothing(),
            "CONNECT" => self.about(Ruleset::CheckRelay),
            "EHLO" | "HELO" if self.facts.tls_version.is_some() => self.about(Ruleset::TlsClient),
            "MAIL" => self.about(Ruleset::CheckMail),
            "RCPT" => self.about_recipient(),
            "VRFY" => self.about(Ruleset::CheckVrfy),
            "EXPN" => self.about(Ruleset::CheckExpn),
            "" => misunderstood("there is no protocol_state"),
            _ => Said::nothing(),
        }
    }

    /// Everything that can be asked before DATA. Only the last word on the recipient is one for relaying: a sender whom
    /// an entry lets pass may be anybody's.
    fn about_recipient(&self) -> Said {
        // It asks for the other two by itself.
        if self.settings.delay_checks {
            return self.about(Ruleset::CheckRcpt);
        }
        let mut held = None;
        for ruleset in [Ruleset::CheckRelay, Ruleset::CheckMail] {
            let said = self.about(ruleset);
            match said.action() {
                Action::Dunno | Action::Ok => {}
                // What is held back isn't relayed by that.
                Action::Other(_) => held = held.or(Some(said)),
                Action::Discard | Action::Reply(_) => return said,
            }
        }
        let said = self.about(Ruleset::CheckRcpt);
        match (held, said.action()) {
            (Some(held), Action::Ok | Action::Dunno) => held,
            _ => said,
        }
    }

    fn about(&self, ruleset: Ruleset) -> Said {
        let decision = decide(ruleset, self.settings, self.access, &self.facts);
        let mut because = because(ruleset, &decision);
        let mut value = is_value(ruleset).then(String::new);
        let recipient = ruleset == Ruleset::CheckRcpt;
        let action = match decision.action {
            // What each recipient of ours and each login comes to is no news.
            Decided::Relay | Decided::Accept if recipient && self.asker == Asker::HasNone => {
                if decision.hit.is_none() {
                    because.clear();
                }
                Action::Ok
            }
            Decided::Relay | Decided::Accept if self.is_vouched(&decision) => Action::Ok,
            Decided::Try | Decided::Trusted => {
                because.clear();
                Action::Ok
            }
            Decided::Discard => Action::Discard,
            Decided::Reject
                if recipient && decision.hit.is_none() && self.asker == Asker::HasRules =>
            {
                Action::Dunno
            }
            Decided::Reject | Decided::TempFail | Decided::Skip => {
                value = None;
                refusal(decision)
            }
            // Held back is not refused, and Postfix has its own word for it.
            Decided::Quarantine => {
                let why = decision.word.unwrap_or_default();
                Action::Other(format!("HOLD {why}").trim_end().to_owned())
            }
            Decided::Features(words) => {
                value = Some(words.join(" "));
                Action::Dunno
            }
            Decided::Options(text) => {
                value = Some(text);
                Action::Dunno
            }
            _ => Action::Dunno,
        };
        Said { response: Response { action, value }, because }
    }

    /// Whether relaying is allowed, by somebody's word. Mail for us is for the mail server to judge.
    fn is_vouched(&self, decision: &Decision) -> bool {
        let to_us = self.facts.rcpt.as_deref().and_then(|rcpt| rcpt.rsplit_once('@')).is_some_and(
            |(_, domain)| {
                let domain = domain.trim_end_matches(['>', '.']);
                self.settings.local_domains.iter().any(|own| own.eq_ignore_ascii_case(domain))
            },
        );
        decision.relaying && (decision.last || decision.hit.is_some() || !to_us)
    }
}

/// Whether it is asked for its value.
fn is_value(ruleset: Ruleset) -> bool {
    use Ruleset::{CltFeatures, SrvFeatures, TlsCltFeatures, TlsSrvFeatures};
    matches!(ruleset, CltFeatures | SrvFeatures | TlsCltFeatures | TlsSrvFeatures)
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
