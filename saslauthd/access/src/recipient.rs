//! The answer to RCPT: may this client send to this recipient.
//!
//! The certificate comes first, then the login, then the recipient's domain, then the client's address and name, as
//! in sendmail. A map that can't be asked is remembered and reported only if nothing else allows the mail: then
//! the answer is "later", never "no".

use crate::address::{BadAddress, Mailbox, without_brackets};
use crate::decision::{Action, Decision};
use crate::facts::{Resolve, filled};
use crate::lookup::{Case, Found, Tagged, hit};
use crate::map::Entry;
use crate::reply::Reply;
use crate::value::{Rule, Verdict};
use crate::{certificate, sender, tls};

/// Addresses of a client on this host; an empty one is a program that runs sendmail itself.
const OWN_ADDRESSES: [&str; 5] = ["", "0", "127.0.0.1", "IPv6:0:0:0:0:0:0:0:1", "IPv6:::1"];

/// The answer to RCPT.
pub(crate) fn check(case: &mut Case<'_>) -> Decision {
    let decision = basic(case);
    if !case.settings.delay_checks || decision.is_refusal() {
        return decision;
    }
    if decision.last {
        // Even a client that may relay is held to its TLS.
        let tls = tls::client(case);
        return if tls.is_refusal() { tls } else { decision };
    }
    let mail = sender::check(case);
    if mail.is_refusal() || mail.last || mail.action == Action::Quarantine {
        return mail;
    }
    let connection = sender::connection(case);
    if connection.is_refusal() || connection.action == Action::Quarantine {
        return connection;
    }
    Decision { action: Action::Accept, ..decision }
}

/// What the rules so far have come to.
enum Step {
    Decided(Decision),
    /// Nothing yet; the map could or couldn't be asked.
    Open(Standing),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Asked,
    Unavailable,
}

fn basic(case: &mut Case<'_>) -> Decision {
    if case.settings.verified_may_relay && case.facts.verify.eq_ignore_ascii_case("OK") {
        let word = Some("OK".to_owned());
        let because = "any verified certificate may relay here";
        let decision = Decision::new(Action::Accept, because).at_last();
        return Decision { word, relaying: true, ..decision };
    }
    let address = without_brackets(case.facts.rcpt.as_deref().unwrap_or(""));
    if address.is_empty() {
        let reply = Reply::new(553, "5.0.0", "User address required");
        return Decision::refuse(reply, "there is no recipient");
    }
    let standing = match recipient(case, address) {
        Step::Decided(decision) => return decision,
        Step::Open(standing) => standing,
    };
    match client(case) {
        Step::Decided(decision) => decision,
        Step::Open(Standing::Asked) if standing == Standing::Asked => denied(case),
        Step::Open(_) => Decision::unavailable(),
    }
}

fn denied(case: &Case<'_>) -> Decision {
    let text = match case.settings.trusted_mechanisms.is_empty() {
        true => "Relaying denied",
        false => "Relaying denied. Proper authentication required.",
    };
    let because = "neither the client nor the recipient is one that we relay for";
    Decision::refuse(Reply::new(550, "5.7.1", text), because)
}

/// What is no address is refused whoever asks.
pub(crate) fn no_address(bad: BadAddress) -> Decision {
    Decision::refuse(Reply::new(553, bad.dsn, bad.text), "this is no address")
}

fn relay(because: &'static str) -> Step {
    Step::Decided(Decision::new(Action::Relay, because))
}

/// Is the recipient ok, or the client for what it has proved?
fn recipient(case: &mut Case<'_>, address: &str) -> Step {
    let mut standing = Standing::Asked;
    let mailbox = match stripped(case, address, &mut standing) {
        Ok(mailbox) => mailbox,
        Err(bad) => return Step::Decided(no_address(bad)),
    };
    let certificate = certificate::relay(case);
    match certificate.action {
        Action::Relay => return Step::Decided(certificate),
        Action::TempFail => standing = Standing::Unavailable,
        _ => {}
    }
    if filled(case.facts.auth_type.as_ref())
        .is_some_and(|mechanism| case.settings.trusts(mechanism))
    {
        return Step::Decided(Decision::new(Action::Relay, "the client has logged in").at_last());
    }
    let Some(domain) = mailbox.domain.as_deref() else {
        return relay("the recipient is a local user");
    };
    if case.settings.is_local(domain) {
        return relay("the recipient's domain is ours");
    }
    if case.settings.is_relay_domain(domain) {
        return relay("the recipient's domain is one that we relay for");
    }
    match recipient_entry(case, &mailbox.user, domain) {
        Found::Unavailable => Step::Open(Standing::Unavailable),
        Found::Entry(entry) if says_relay(entry) => by(entry, "the recipient's entry says so"),
        Found::Entry(_) | Found::Nothing => Step::Open(standing),
    }
}

/// Takes routes through domains that we relay for off the recipient, so that it is the last host that is judged.
fn stripped(
    case: &mut Case<'_>,
    address: &str,
    standing: &mut Standing,
) -> Result<Mailbox, BadAddress> {
    let mut mailbox = Mailbox::canonical(address, case.settings)?;
    while mailbox.has_route() {
        let Some(domain) = mailbox.domain.clone() else { break };
        let relayed = case.settings.is_relay_domain(&domain) || {
            let found = domain_entry(case, &domain);
            if matches!(found, Found::Unavailable) {
                *standing = Standing::Unavailable;
            }
            matches!(found, Found::Entry(entry) if says_relay(entry))
        };
        if !relayed {
            break;
        }
        let inner = mailbox.unwrapped(case.settings)?;
        // Each turn takes at least one character off.
        if inner.user.len() >= mailbox.user.len() {
            break;
        }
        mailbox = inner;
    }
    Ok(mailbox)
}

fn says_relay(entry: &Entry) -> bool {
    matches!(entry.rule, Rule::Client(Verdict::Relay))
}

fn by(entry: &Entry, because: &'static str) -> Step {
    Step::Decided(Decision::new(Action::Relay, because).by(Some(hit(entry))))
}

fn domain_entry<'a>(case: &mut Case<'a>, domain: &str) -> Found<'a> {
    if case.settings.relay_hosts_only {
        return case.exact("To", &[domain], Tagged::OrBare);
    }
    case.host("To", domain, Tagged::OrBare)
}

fn recipient_entry<'a>(case: &mut Case<'a>, user: &str, domain: &str) -> Found<'a> {
    if !case.settings.relay_to_full_address {
        return domain_entry(case, domain);
    }
    if case.settings.relay_hosts_only {
        return case
            .exact("To", &[user, "@", domain], Tagged::Only)
            .or_else(|| domain_entry(case, domain));
    }
    case.mailbox("To", (user, domain), Tagged::OrBare)
        .or_else(|| domain_entry(case, domain))
        .or_else(|| case.exact("To", &[user, "@"], Tagged::OrBare))
}

/// Is the client ok?
fn client(case: &mut Case<'_>) -> Step {
    let facts = case.facts;
    // Without the fact nothing is known of the client: that is not the empty address of a local program.
    if let Some(address) = facts.client_addr.as_deref() {
        let is_here = OWN_ADDRESSES.contains(&address) || address.starts_with("127.");
        if OWN_ADDRESSES.contains(&address) && !case.settings.own_host_needs_a_word {
            return relay("the client is this host");
        }
        if case.settings.is_relay_address(address) {
            return relay("the client's network is one that we relay for");
        }
        match case.address("Connect", address, Tagged::OrBare) {
            Found::Unavailable => return Step::Open(Standing::Unavailable),
            Found::Entry(entry) if says_relay(entry) => {
                return by(entry, "the client's address may relay");
            }
            Found::Entry(_) | Found::Nothing => {}
        }
        if is_here && case.settings.own_host_needs_a_word {
            // Its names are ours, whoever is behind it.
            return Step::Open(Standing::Asked);
        }
        if case.settings.is_local(&format!("[{address}]")) {
            return relay("the client's address is ours");
        }
    }
    if let Some(decision) = unresolved(case) {
        return Step::Decided(decision);
    }
    // A name that nobody has confirmed is what the client says of itself.
    match filled(facts.client_name.as_ref()).filter(|_| facts.client_resolve.is_some()) {
        Some(name) => client_name(case, name.trim_end_matches('.')),
        None => Step::Open(Standing::Asked),
    }
}

fn unresolved(case: &Case<'_>) -> Option<Decision> {
    let name = case.facts.client_name.as_deref().unwrap_or("");
    let (code, dsn, text) = match case.facts.client_resolve? {
        Resolve::Ok => return None,
        Resolve::Temp => {
            let address = case.facts.client_addr.as_deref().unwrap_or("");
            let text =
                format!("Relaying temporarily denied. Cannot resolve PTR record for {address}");
            (450, "4.4.0", text)
        }
        Resolve::Forged => {
            (550, "5.7.1", format!("Relaying denied. IP name possibly forged {name}"))
        }
        Resolve::Fail => (550, "5.7.1", format!("Relaying denied. IP name lookup failed {name}")),
    };
    Some(Decision::refuse(Reply::new(code, dsn, text), "the client's name is not confirmed"))
}

fn client_name(case: &mut Case<'_>, name: &str) -> Step {
    if case.settings.is_local(name) {
        return relay("the client's name is ours");
    }
    if case.settings.is_relay_domain(name) {
        return relay("the client's domain is one that we relay for");
    }
    let found = match case.settings.relay_hosts_only {
        true => case.exact("Connect", &[name], Tagged::OrBare),
        false => case.host("Connect", name, Tagged::OrBare),
    };
    match found {
        Found::Unavailable => Step::Open(Standing::Unavailable),
        Found::Entry(entry) if says_relay(entry) => by(entry, "the client's name may relay"),
        Found::Entry(_) | Found::Nothing => Step::Open(Standing::Asked),
    }
}

#[cfg(test)]
#[path = "recipient/tests.rs"]
mod tests;
