//! May the client relay because of its certificate.
//!
//! In this order: its pinned key, its issuer's entry (and by it the subject's, or those of its alternative names),
//! the entries of the CAs above. sendmail has only the issuer and the subject; where it has an answer, this is it.
//! A name is believed only if the chain was verified; a key needs nobody to vouch for it.

use crate::decision::{Action, Decision, NameForm};
use crate::facts::{Purpose, filled};
use crate::lookup::{Case, Found, hit_by};
use crate::map::Entry;
use crate::settings::{DnFilter, Generation};
use crate::value::{Grant, Leads, Rule, Wanted};

/// The decision; "none" where nothing is granted.
pub(crate) fn relay(case: &mut Case<'_>) -> Decision {
    if !case.has_map() {
        return no("there is no access map");
    }
    match case.pin() {
        Found::Unavailable => return Decision::unavailable(),
        Found::Entry(entry) => {
            if let Some(decision) = pinned(case, entry) {
                return decision;
            }
        }
        Found::Nothing => {}
    }
    if !verified(case) && !case.facts.failed_only_by_purpose {
        return no("the certificate is not verified");
    }
    let facts = case.facts;
    let (issuer, old) = (&facts.cert_issuer, &facts.cert_issuer_openssl_1_1);
    let filter = case.settings.issuer_filter;
    let first = authority(case, "CertIssuer", (issuer, old), filter);
    first.unwrap_or_else(|| chain(case))
}

/// Does `verify` stand for a verified chain?
pub(crate) fn verified(case: &Case<'_>) -> bool {
    let verify = case.facts.verify.as_str();
    verify.eq_ignore_ascii_case("OK")
        || (case.settings.generation() > Generation::V8_15
            && verify.eq_ignore_ascii_case("TRUSTED"))
}

/// Is the certificate verified, or would it be but for a purpose that the entry does not mind?
pub(crate) fn stands(case: &Case<'_>, wanted: Option<Wanted>) -> bool {
    let lenient = matches!(wanted, Some(Wanted::Server | Wanted::Any))
        && case.facts.verify == "FAIL"
        && case.facts.failed_only_by_purpose;
    verified(case) || lenient
}

/// Does a certificate for this purpose serve that one? What nobody looked at serves clients, since the TLS library
/// then has looked at it.
pub(crate) fn serves(purpose: Option<Purpose>, wanted: Wanted) -> bool {
    match wanted {
        Wanted::Any => true,
        Wanted::Client => matches!(purpose, None | Some(Purpose::Client | Purpose::Both)),
        Wanted::Server => matches!(purpose, Some(Purpose::Server | Purpose::Both)),
    }
}

/// For messages.
pub(crate) fn purpose_word(purpose: Option<Purpose>) -> &'static str {
    match purpose {
        None => "unknown",
        Some(Purpose::Client) => "client",
        Some(Purpose::Server) => "server",
        Some(Purpose::Both) => "any",
        Some(Purpose::Other) => "other",
    }
}

/// A distinguished name as OpenSSL 3 writes it, then as 1.1 did.
pub(crate) fn forms<'n>(
    name: &'n Option<String>,
    old: &'n Option<String>,
) -> impl Iterator<Item = (&'n str, NameForm)> {
    let new = filled(name.as_ref()).map(|name| (name, NameForm::OpenSsl3));
    let old = filled(old.as_ref()).map(|name| (name, NameForm::OpenSsl1_1));
    new.into_iter().chain(old)
}

fn no(because: &'static str) -> Decision {
    Decision::new(Action::None, because)
}

fn yes(entry: &Entry, form: NameForm, because: &'static str) -> Decision {
    let because = match form {
        NameForm::OpenSsl3 => because,
        NameForm::OpenSsl1_1 => {
            "the certificate's name as OpenSSL 1.1 wrote it may relay: rewrite the entry"
        }
    };
    Decision::new(Action::Relay, because).by(Some(hit_by(entry, form))).at_last()
}

/// A pinned key that grants nothing goes on to the names.
fn pinned(case: &mut Case<'_>, entry: &Entry) -> Option<Decision> {
    let Rule::Grant(grant) = &entry.rule else { return None };
    let purpose = case.facts.purpose;
    let serves = grant.purpose.is_none_or(|wanted| {
        let have = purpose_word(purpose);
        case.weigh("PURPOSE", have, wanted.as_str(), serves(purpose, wanted))
    });
    (grant.leads == Leads::Relay && serves)
        .then(|| yes(entry, NameForm::OpenSsl3, "the client's public key is pinned"))
}

/// The CAs of the verified chain, the issuer first; the first entry found decides.
fn chain(case: &mut Case<'_>) -> Decision {
    let subjects = &case.facts.chain_subjects;
    for subject in subjects {
        let name = Some(subject.clone());
        if let Some(decision) = authority(case, "CertChain", (&name, &None), DnFilter::Whole) {
            return decision;
        }
    }
    no("no entry names the certificate's issuer")
}

/// The entry of an issuer; `None` if there is none.
fn authority(
    case: &mut Case<'_>,
    tag: &str,
    (name, old): (&Option<String>, &Option<String>),
    filter: DnFilter,
) -> Option<Decision> {
    let (entry, form) = match named(case, tag, (name, old), filter)? {
        Ok(found) => found,
        Err(decision) => return Some(decision),
    };
    let Rule::Grant(grant) = &entry.rule else {
        return Some(no("the issuer's entry grants nothing"));
    };
    if let Some(refusal) = purpose_refuses(case, grant) {
        return Some(refusal.by(Some(hit_by(entry, form))));
    }
    let decision = match &grant.leads {
        Leads::Relay => return Some(yes(entry, form, "clients of this issuer may relay")),
        Leads::Nowhere => no("the issuer's entry grants nothing"),
        Leads::Subject => subject(case),
        Leads::AltNames(group) => alternative_names(case, group),
    };
    // Where nothing was found behind it, it is the issuer's entry that decided.
    let hit = decision.hit.clone().or_else(|| Some(hit_by(entry, form)));
    Some(decision.by(hit))
}

/// The entry of a name in either form; `None` if there is none, and a decision if the map can't be asked.
fn named<'a>(
    case: &mut Case<'a>,
    tag: &str,
    (name, old): (&Option<String>, &Option<String>),
    filter: DnFilter,
) -> Option<Result<(&'a Entry, NameForm), Decision>> {
    for (name, form) in forms(name, old) {
        match case.key(tag, &[filtered(name, filter)]) {
            Found::Entry(entry) => return Some(Ok((entry, form))),
            Found::Unavailable => return Some(Err(Decision::unavailable())),
            Found::Nothing => {}
        }
    }
    None
}

/// Its last `/CN=…`. A `/` inside a value is `+5C/`.
fn filtered(name: &str, filter: DnFilter) -> &str {
    if filter == DnFilter::Whole {
        return name;
    }
    let Some(start) = name.rfind("/CN=") else { return name };
    let common = name.get(start..).unwrap_or(name);
    let end = common
        .match_indices('/')
        .skip(1)
        .find(|(at, _)| !common.get(..*at).is_some_and(|head| head.ends_with("+5C")))
        .map_or(common.len(), |(at, _)| at);
    common.get(..end).unwrap_or(common)
}

/// The certificate is for another purpose than the entry is for.
fn purpose_refuses(case: &mut Case<'_>, grant: &Grant) -> Option<Decision> {
    let purpose = case.facts.purpose;
    let wanted = grant.purpose.unwrap_or_default();
    let met = stands(case, Some(wanted)) && serves(purpose, wanted);
    if purpose.is_none() && grant.purpose.is_none() && met {
        return None;
    }
    let text = "the certificate is for another purpose; PURPOSE:any in the entry would take it";
    (!case.weigh("PURPOSE", purpose_word(purpose), wanted.as_str(), met)).then(|| no(text))
}

fn subject(case: &mut Case<'_>) -> Decision {
    let facts = case.facts;
    let names = (&facts.cert_subject, &facts.cert_subject_openssl_1_1);
    let filter = case.settings.subject_filter;
    match named(case, "CertSubject", names, filter) {
        None => no("the issuer's subjects need an entry each, and this one has none"),
        Some(Err(decision)) => decision,
        Some(Ok((entry, form))) => match &entry.rule {
            Rule::Grant(grant) if grant.leads == Leads::Relay => {
                let stated = grant.purpose.and_then(|_| purpose_refuses(case, grant));
                stated.unwrap_or_else(|| yes(entry, form, "this subject of this issuer may relay"))
            }
            _ => no("the subject's entry grants nothing").by(Some(hit_by(entry, form))),
        },
    }
}

/// `SubjAltName:group:name` for each alternative name; RELAY ends it, anything else goes on.
fn alternative_names(case: &mut Case<'_>, group: &str) -> Decision {
    let facts = case.facts;
    // A name of one kind must not pass for one of another.
    let hosts = facts.cert_altnames.iter().filter(|name| !name.contains(['@', ':', '/']));
    let mail =
        facts.email_altnames.iter().filter(|name| name.contains('@') && !name.contains("://"));
    let resources = facts.uri_altnames.iter().filter(|name| name.contains("://"));
    for name in hosts.chain(mail).chain(resources) {
        if name.starts_with('.') {
            continue;
        }
        match alternative_name(case, group, name) {
            Found::Unavailable => return Decision::unavailable(),
            Found::Entry(entry) => {
                return yes(
                    entry,
                    NameForm::OpenSsl3,
                    "an alternative name of this certificate may relay",
                );
            }
            Found::Nothing => {}
        }
    }
    no("none of the certificate's alternative names may relay")
}

/// The name itself; a host also under each `.domain` above it. A wildcard is only itself.
fn alternative_name<'a>(case: &mut Case<'a>, group: &str, name: &str) -> Found<'a> {
    let is_host = !name.contains(['@', ':', '/']) && !name.starts_with('*');
    let parents = name.match_indices('.').filter(|_| is_host).map(|(at, _)| name.get(at..));
    // A DNS name has at most 127 labels.
    for name in std::iter::once(Some(name)).chain(parents.take(127)).flatten() {
        match case.key("SubjAltName", &[group, ":", name]) {
            Found::Entry(entry) if grants(case, entry) => return Found::Entry(entry),
            Found::Unavailable => return Found::Unavailable,
            Found::Entry(_) | Found::Nothing => {}
        }
    }
    Found::Nothing
}

fn grants(case: &mut Case<'_>, entry: &Entry) -> bool {
    match &entry.rule {
        Rule::Grant(grant) if grant.leads == Leads::Relay => {
            grant.purpose.is_none() || purpose_refuses(case, grant).is_none()
        }
        _ => false,
    }
}

#[cfg(test)]
#[path = "certificate/tests.rs"]
mod tests;
