//! The answers to MAIL and to a connection.
//!
//! The client's TLS is judged before its sender, the null sender's too. Domains are not resolved here: whether a
//! sender's domain exists is the mail server's business.

use crate::address::{Mailbox, without_brackets};
use crate::decision::{Action, Decision};
use crate::facts::filled;
use crate::lookup::{Case, Found, Tagged, hit};
use crate::map::Entry;
use crate::reply::Reply;
use crate::tls;
use crate::value::{Rule, Verdict};

/// Domains by which a sender means the host that it is on, beside `localhost`.
const OWN_HOST: [&str; 3] = ["[127.0.0.1]", "[IPv6:0:0:0:0:0:0:0:1]", "[IPv6:::1]"];

/// The answer to MAIL.
pub(crate) fn check(case: &mut Case<'_>) -> Decision {
    let tls = tls::client(case);
    if tls.is_refusal() {
        return tls;
    }
    let facts = case.facts;
    let sender = without_brackets(facts.mail_from.as_deref().unwrap_or(""));
    if sender.is_empty() {
        return Decision::new(Action::Accept, "the null sender is always taken");
    }
    if let Some((_, domain)) = sender.rsplit_once('@')
        && is_own_host(case, domain)
        && filled(facts.client_name.as_ref()).is_some_and(|name| !case.settings.is_local(name))
    {
        let reply = Reply::new(553, "5.5.4", "Real domain name required for sender address");
        return Decision::refuse(reply, "another host calls itself ours");
    }
    let Ok(mailbox) = Mailbox::canonical(sender, case.settings) else {
        // To sendmail it has no domain then.
        let mailbox = Mailbox { user: sender.to_owned(), domain: None };
        return unknown(case, sender, &mailbox);
    };
    match sender_entry(case, &mailbox) {
        Found::Unavailable => Decision::unavailable(),
        Found::Entry(entry) => verdict(entry, Answer::Sender),
        Found::Nothing => unknown(case, sender, &mailbox),
    }
}

fn is_own_host(case: &Case<'_>, domain: &str) -> bool {
    let literal = OWN_HOST.iter().any(|host| host.eq_ignore_ascii_case(domain));
    literal || case.settings.is_own_alias(domain)
}

fn sender_entry<'a>(case: &mut Case<'a>, mailbox: &Mailbox) -> Found<'a> {
    let user = mailbox.user.as_str();
    let Some(domain) = mailbox.domain.as_deref() else {
        return case.mailbox("From", (user, ""), Tagged::OrBare);
    };
    case.mailbox("From", (user, domain), Tagged::OrBare)
        .or_else(|| case.mailbox("From", (user, ""), Tagged::OrBare))
        .or_else(|| case.host("From", domain, Tagged::OrBare))
}

/// A sender that the map does not name.
fn unknown(case: &Case<'_>, sender: &str, mailbox: &Mailbox) -> Decision {
    // An empty address is a local program's.
    let remote = case.facts.client_addr.as_deref() != Some("");
    if mailbox.domain.is_none() && remote {
        let text = format!("Domain name required for sender address {sender}");
        return Decision::refuse(Reply::new(553, "5.5.4", text), "the sender has no domain");
    }
    Decision::new(Action::Accept, "no entry is about this sender")
}

/// The answer to a connection.
pub(crate) fn connection(case: &mut Case<'_>) -> Decision {
    let facts = case.facts;
    let found = filled(facts.client_name.as_ref())
        .map_or(Found::Nothing, |name| case.host("Connect", name, Tagged::OrBare));
    let found = found.or_else(|| {
        filled(facts.client_addr.as_ref())
            .map_or(Found::Nothing, |address| case.address("Connect", address, Tagged::OrBare))
    });
    match found {
        Found::Unavailable => Decision::unavailable(),
        Found::Entry(entry) => verdict(entry, Answer::Connection),
        Found::Nothing => Decision::new(Action::Accept, "no entry is about this client"),
    }
}

/// To whom a verdict is told: a sender that is accepted by an entry is accepted at last (sendmail's `$#`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Sender,
    Connection,
}

fn verdict(entry: &Entry, answer: Answer) -> Decision {
    let by_entry = "the entry says so";
    let Rule::Client(verdict) = &entry.rule else {
        // Nothing else stands under these tags; if it did, it would not be a yes.
        return Decision::unavailable().by(Some(hit(entry)));
    };
    let decision = match (verdict, answer) {
        (Verdict::Ok, Answer::Sender) => {
            let word = Some(entry.value.to_string());
            Decision { word, ..Decision::new(Action::Accept, by_entry) }.at_last()
        }
        (Verdict::Relay, Answer::Sender) => Decision::new(Action::Relay, by_entry).at_last(),
        (Verdict::Ok | Verdict::Relay, Answer::Connection) => {
            Decision::new(Action::Accept, by_entry)
        }
        // Where the feature `skip` is on, searches for hosts end there; to anything else it is the text of a refusal.
        (Verdict::Skip, _) => {
            let reply = Reply::parse("SKIP", None).unwrap_or_else(Reply::map_unavailable);
            Decision::refuse(reply, by_entry)
        }
        (Verdict::Reject, _) => {
            Decision::refuse(Reply::new(550, "5.7.1", "Access denied"), by_entry)
        }
        (Verdict::Discard, _) => Decision::new(Action::Discard, by_entry),
        (Verdict::Quarantine(reason), _) => {
            let word = Some(reason.clone());
            Decision { word, ..Decision::new(Action::Quarantine, by_entry) }
        }
        (Verdict::Error(reply), _) => Decision::refuse(reply.clone(), by_entry),
    };
    decision.by(Some(hit(entry)))
}

#[cfg(test)]
#[path = "sender/tests.rs"]
mod tests;
