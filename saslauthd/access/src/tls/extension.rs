//! Further requirements of an entry: names, issuers, purposes.
//!
//! Each is weighed against what the certificate says; a name that nobody verified counts only where sendmail counts
//! it, and never for requirements of ours.

use crate::certificate;
use crate::decision::NameForm;
use crate::facts::filled;
use crate::lookup::{Case, Found};
use crate::map::Entry;
use crate::requirement::{Extension, Requirement};
use crate::settings::Generation;
use crate::value::Rule;

/// Whether one further requirement is met.
pub(super) enum Met {
    Yes,
    /// By a distinguished name as OpenSSL 1.1 wrote it.
    ByOldName,
    /// And this generation looks at nothing behind it.
    Enough,
    No(String),
    Unavailable,
}

/// Weighs one of them.
pub(super) fn extends(
    case: &mut Case<'_>,
    extension: &Extension,
    requirement: &Requirement,
    peer: &str,
) -> Met {
    let facts = case.facts;
    match extension {
        Extension::PeerName => common_name(case, peer, peer),
        Extension::Name(name) => common_name(case, name, peer),
        Extension::Subject(want) => {
            let names = (facts.cert_subject.as_ref(), facts.cert_subject_openssl_1_1.as_ref());
            distinguished(case, "CS", names, want)
        }
        Extension::Issuer(want) => {
            let names = (facts.cert_issuer.as_ref(), facts.cert_issuer_openssl_1_1.as_ref());
            distinguished(case, "CI", names, want)
        }
        Extension::IssuerTag(tag) => issuer_tag(case, tag),
        Extension::AnyName(name) => any_name(case, name.as_deref().unwrap_or(peer), requirement),
        Extension::Purpose(wanted) => {
            let have = certificate::purpose_word(facts.purpose);
            let met = certificate::serves(facts.purpose, *wanted);
            if case.weigh("PURPOSE", have, wanted.as_str(), met) {
                return Met::Yes;
            }
            Met::No(format!("Cert Purpose {have} is not {}", wanted.as_str()))
        }
    }
}

/// `CN`, perhaps with alternative names. 8.17 falls back to the peer's own name, and a wildcard ends its list. What is
/// not copied of 8.18: of two requirements `CN:a++CN:b` it lets a certificate pass that has only b.
fn common_name(case: &mut Case<'_>, want: &str, peer: &str) -> Met {
    let facts = case.facts;
    let have = facts.cn_subject.as_deref().unwrap_or("");
    let mut want = want;
    if case.settings.cert_altnames {
        let old = case.settings.generation() < Generation::V8_18;
        if let Some(matched) = alternative(&facts.cert_altnames, want) {
            case.weigh("CN", matched, want, true);
            return if old && matched.starts_with("*.") { Met::Enough } else { Met::Yes };
        }
        want = if old { peer } else { want };
    }
    let met = !have.is_empty() && have.eq_ignore_ascii_case(want);
    if case.weigh("CN", have, want, met) {
        return Met::Yes;
    }
    Met::No(format!("CN {have} does not match {want}"))
}

/// The alternative name that is this name, or covers it as a wildcard of its left-most label (RFC 9525 §6.3).
fn alternative<'n>(names: &'n [String], want: &str) -> Option<&'n str> {
    let literal = names.iter().find(|name| !want.is_empty() && name.eq_ignore_ascii_case(want));
    let covering = || names.iter().find(|name| covers(name, want));
    literal.or_else(covering).map(String::as_str)
}

/// `*.b.c` covers `a.b.c`, and nothing with more or fewer labels.
fn covers(pattern: &str, name: &str) -> bool {
    let (Some(rest), Some((label, parent))) = (pattern.strip_prefix("*."), name.split_once('.'))
    else {
        return false;
    };
    !label.is_empty() && !parent.is_empty() && rest.eq_ignore_ascii_case(parent)
}

fn distinguished(
    case: &mut Case<'_>,
    requirement: &'static str,
    names: (Option<&String>, Option<&String>),
    want: &str,
) -> Met {
    let have = filled(names.0).unwrap_or("");
    if case.weigh(requirement, have, want, have.eq_ignore_ascii_case(want)) {
        return Met::Yes;
    }
    if let Some(old) = filled(names.1)
        && case.weigh(requirement, old, want, old.eq_ignore_ascii_case(want))
    {
        return Met::ByOldName;
    }
    let what = if requirement == "CS" { "Subject" } else { "Issuer" };
    Met::No(format!("Cert {what} {have} does not match {want}"))
}

fn issuer_tag(case: &mut Case<'_>, tag: &str) -> Met {
    if case.settings.generation() == Generation::V8_15 {
        // It does not know the word, and looks at nothing behind it.
        return Met::Enough;
    }
    let facts = case.facts;
    let have = filled(facts.cert_issuer.as_ref()).unwrap_or("");
    for (name, form) in certificate::forms(&facts.cert_issuer, &facts.cert_issuer_openssl_1_1) {
        match case.key(tag, &[name]) {
            Found::Unavailable => return Met::Unavailable,
            Found::Entry(Entry { rule: Rule::Acceptable, .. }) => {
                case.weigh("CITag", name, tag, true);
                return match form {
                    NameForm::OpenSsl3 => Met::Yes,
                    NameForm::OpenSsl1_1 => Met::ByOldName,
                };
            }
            Found::Entry(_) | Found::Nothing => {}
        }
    }
    case.weigh("CITag", have, tag, false);
    Met::No(format!("Cert Issuer {have} not acceptable"))
}

/// `CA`: ours. A name counts only if the certificate is verified; the common name only if there is no DNS name
/// (RFC 9525 §6.4.4 would never take it).
fn any_name(case: &mut Case<'_>, want: &str, requirement: &Requirement) -> Met {
    let facts = case.facts;
    let verified = certificate::stands(case, requirement.purpose());
    let common = facts.cn_subject.as_deref().unwrap_or("");
    let have = match facts.cert_altnames.first() {
        Some(first) => first,
        None => common,
    };
    let matched = if facts.cert_altnames.is_empty() {
        (!common.is_empty() && (common.eq_ignore_ascii_case(want) || covers(common, want)))
            .then_some(common)
    } else {
        alternative(&facts.cert_altnames, want)
    };
    if case.weigh("CA", matched.unwrap_or(have), want, verified && matched.is_some()) {
        return Met::Yes;
    }
    match verified {
        true => Met::No(format!("Cert Name {have} does not match {want}")),
        false => Met::No(format!("Cert Name {have} is not verified")),
    }
}
