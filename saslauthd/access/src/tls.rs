//! Is this connection good enough: `TLS_Clt`, `TLS_Srv`, `TLS_Rcpt`, and the requirements behind them.
//!
//! The texts are sendmail's, to the blank, since people search logs for them; the codes are those of the chosen
//! generation. Unlike sendmail a map that can't be asked is never "nothing is required" here.

use crate::address::Mailbox;
use crate::certificate;
use crate::decision::{Action, Decision, NameForm};
use crate::facts::filled;
use crate::lookup::{Case, Found, Tagged, hit_by};
use crate::map::Entry;
use crate::recipient::no_address;
use crate::reply::Reply;
use crate::requirement::{Level, Requirement, Severity};
use crate::settings::Generation;
use crate::value::Rule;

mod extension;

use extension::{Met, extends};

/// Server role: the client, after STARTTLS and at MAIL.
pub(crate) fn client(case: &mut Case<'_>) -> Decision {
    let facts = case.facts;
    peer(case, "TLS_Clt", facts.client_name.as_ref(), facts.client_addr.as_ref())
}

/// Client role: the server connected to.
pub(crate) fn server(case: &mut Case<'_>) -> Decision {
    let facts = case.facts;
    peer(case, "TLS_Srv", facts.server_name.as_ref(), facts.server_addr.as_ref())
}

/// A tag's entry for a host: by name, by address, and last the tag alone.
pub(crate) fn peer_entry<'a>(
    case: &mut Case<'a>,
    tag: &str,
    name: Option<&String>,
    address: Option<&String>,
) -> Found<'a> {
    let found = filled(name).map_or(Found::Nothing, |name| case.host(tag, name, Tagged::Only));
    let found = found.or_else(|| {
        filled(address).map_or(Found::Nothing, |address| case.address(tag, address, Tagged::Only))
    });
    found.or_else(|| case.key(tag, &[]))
}

fn peer(
    case: &mut Case<'_>,
    tag: &str,
    name: Option<&String>,
    address: Option<&String>,
) -> Decision {
    let found = peer_entry(case, tag, name, address);
    connection(case, found, name.map_or("", String::as_str))
}

/// Client role, for each recipient.
pub(crate) fn recipient(case: &mut Case<'_>) -> Decision {
    let address = case.facts.rcpt.as_deref().unwrap_or("");
    let mailbox = match Mailbox::canonical(address, case.settings) {
        Ok(mailbox) => mailbox,
        Err(bad) => return no_address(bad),
    };
    let user = mailbox.user.as_str();
    let found = match mailbox.domain.as_deref() {
        Some(domain) => case
            .mailbox("TLS_Rcpt", (user, domain), Tagged::Only)
            .or_else(|| case.mailbox("TLS_Rcpt", (user, ""), Tagged::Only))
            .or_else(|| case.host("TLS_Rcpt", domain, Tagged::Only)),
        None => case.mailbox("TLS_Rcpt", (user, ""), Tagged::Only),
    };
    match found.or_else(|| case.key("TLS_Rcpt", &[])) {
        Found::Nothing => dane(case),
        found => connection(case, found, case.facts.server_name.as_deref().unwrap_or("")),
    }
}

/// A recipient without an entry: 8.18 asks here, and not of the server, what DANE found.
fn dane(case: &Case<'_>) -> Decision {
    let text = match verify_word(case) {
        "DANE_FAIL" => "DANE check failed.",
        "DANE_TEMP" => "DANE check failed temporarily.",
        "DANE_NOTLS" => "DANE: missing STARTTLS.",
        _ => return Decision::new(Action::Accept, "nothing is required for this recipient"),
    };
    if case.settings.generation() < Generation::V8_18 {
        return Decision::new(Action::Accept, "this generation does not ask DANE here");
    }
    refusal(case, None, text, "DANE refuses this server")
}

/// Reply codes by generation and by the entry's own choice.
fn refusal(
    case: &Case<'_>,
    severity: Option<Severity>,
    text: &str,
    because: &'static str,
) -> Decision {
    use Generation::{V8_15, V8_17, V8_18};
    let permanent = case.settings.permanent_tls_errors;
    let (code, dsn) = match (severity, case.settings.generation()) {
        (None, V8_15) if permanent => (503, "5.7.0"),
        (None, _) if permanent => (554, "5.7.0"),
        (None, V8_17 | V8_18) | (Some(Severity::Temporary), V8_18) => (454, "4.7.0"),
        (None, V8_15) | (Some(Severity::Temporary), V8_15 | V8_17) => (403, "4.7.0"),
        (Some(Severity::Permanent), V8_15 | V8_17) => (503, "5.7.0"),
        (Some(Severity::Permanent), V8_18) => (554, "5.7.0"),
    };
    Decision::refuse(Reply::new(code, dsn, text), because)
}

/// Words of `verify` that the rules know. They compare without regard to case.
const VERIFY_WORDS: [&str; 11] = [
    "FAIL",
    "NO",
    "NOT",
    "NONE",
    "CLEAR",
    "SOFTWARE",
    "PROTOCOL",
    "CONFIG",
    "DANE_FAIL",
    "DANE_TEMP",
    "DANE_NOTLS",
];

/// `verify` as the rules spell it.
fn verify_word<'a>(case: &Case<'a>) -> &'a str {
    let verify = case.facts.verify.as_str();
    let known = VERIFY_WORDS.into_iter().find(|word| word.eq_ignore_ascii_case(verify));
    known.unwrap_or(verify)
}

/// What is refused whatever the map says.
fn broken(case: &Case<'_>) -> Option<&'static str> {
    let generation = case.settings.generation();
    let old = generation == Generation::V8_15;
    match verify_word(case) {
        "SOFTWARE" if old && !case.has_map() => Some("TLS handshake."),
        "SOFTWARE" => Some("TLS handshake failed."),
        "PROTOCOL" if !old || case.has_map() => Some("STARTTLS failed."),
        "DANE_FAIL" if generation == Generation::V8_17 => Some("DANE check failed."),
        "CONFIG" if generation == Generation::V8_17 => Some("STARTTLS temporarily not possible."),
        "CONFIG" if generation == Generation::V8_18 => Some("TLS temporarily not available."),
        _ => None,
    }
}

/// The judgement of a connection by the entry that was found.
fn connection(case: &mut Case<'_>, found: Found<'_>, peer: &str) -> Decision {
    let entry = match found {
        Found::Unavailable => return Decision::unavailable(),
        Found::Entry(entry) => Some(entry),
        Found::Nothing => None,
    };
    let required = match entry {
        Some(Entry { rule: Rule::Require(requirement), .. }) => Some(requirement),
        _ => None,
    };
    let severity = required.and_then(|requirement| requirement.severity);
    let (decision, form) = match (broken(case), required) {
        (Some(text), _) => {
            (refusal(case, severity, text, "the handshake failed"), NameForm::OpenSsl3)
        }
        (None, None) => (Decision::new(Action::Accept, "nothing is required"), NameForm::OpenSsl3),
        (None, Some(requirement)) => meets(case, requirement, peer),
    };
    decision.by(entry.map(|entry| hit_by(entry, form)))
}

/// The decision, and the form of the distinguished name that met a requirement.
fn meets(case: &mut Case<'_>, requirement: &Requirement, peer: &str) -> (Decision, NameForm) {
    let mut form = NameForm::OpenSsl3;
    let text = match level(case, requirement) {
        Some(text) => Some(text),
        None => 'list: {
            for extension in &requirement.extensions {
                match extends(case, extension, requirement, peer) {
                    Met::Yes => {}
                    Met::ByOldName => form = NameForm::OpenSsl1_1,
                    Met::Enough => break,
                    Met::No(text) => break 'list Some(text),
                    Met::Unavailable => return (Decision::unavailable(), form),
                }
            }
            None
        }
    };
    let because = match (&text, form) {
        (Some(text), _) => {
            return (refusal(case, requirement.severity, text, "a requirement is not met"), form);
        }
        (None, NameForm::OpenSsl3) => "all requirements are met",
        (None, NameForm::OpenSsl1_1) => {
            "all requirements are met, one by a name as OpenSSL 1.1 wrote it: rewrite the entry"
        }
    };
    (Decision::new(Action::Accept, because), form)
}

/// VERIFY and ENCR; the text of the one that is not met.
fn level(case: &mut Case<'_>, requirement: &Requirement) -> Option<String> {
    let bits = match requirement.level {
        Level::Encrypted(bits) => bits,
        Level::Verified => return unverified(case, requirement),
        Level::VerifiedWith(bits) => match unverified(case, requirement) {
            None => bits,
            text => return text,
        },
    };
    let have = case.facts.cipher_bits.unwrap_or(0).max(case.facts.auth_ssf.unwrap_or(0));
    let met = case.weigh("ENCR", &have.to_string(), &bits.to_string(), have >= bits);
    (!met).then(|| format!("encryption too weak {have} less than {bits}"))
}

/// The text for a peer that is not verified; `None` for one that is.
fn unverified(case: &mut Case<'_>, requirement: &Requirement) -> Option<String> {
    let verify = case.facts.verify.as_str();
    let met = certificate::stands(case, requirement.purpose());
    if case.weigh("VERIFY", verify, "OK", met) {
        return None;
    }
    let knows_clear = case.settings.generation() > Generation::V8_15;
    let text = match verify_word(case) {
        "" => "authentication required",
        "FAIL" => "authentication failed",
        "NO" => "not authenticated",
        "NOT" => "no authentication requested",
        "NONE" => "other side does not support STARTTLS",
        "CLEAR" if knows_clear => "STARTTLS disabled locally",
        // sendmail meant the value of verify and names its list of requirements.
        _ => return Some(format!("authentication failure {}", requirement.tail)),
    };
    Some(text.to_owned())
}

#[cfg(test)]
#[path = "tls/tests.rs"]
mod tests;
