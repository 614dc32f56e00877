//! What an entry says: its value, read strictly by the tag of its key.
//!
//! Read once, when the map is loaded. A word that is none of the right ones refuses the map, since sendmail would
//! take it for something else in silence: for "nothing is required", for "no", or for the text of a reply.

use crate::decision::AuthInfo;
use crate::error::Fault;
use crate::reply::{Reply, is_enhanced};
use crate::requirement::{Requirement, is_tag};
use crate::spelling::nearest;

/// Which purpose of a certificate an entry is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// clientAuth, as every TLS library checks it.
    #[default]
    Client,
    Server,
    Any,
}

const PURPOSES: [&str; 3] = ["client", "server", "any"];

impl Wanted {
    pub(crate) fn parse(word: &str) -> Result<Self, Fault> {
        match word.to_ascii_lowercase().as_str() {
            "client" => Ok(Self::Client),
            "server" => Ok(Self::Server),
            "any" => Ok(Self::Any),
            _ => Err(Fault::new(0, format!("`{word}` is no purpose: client, server or any"))
                .or(nearest(word, PURPOSES))),
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Any => "any",
        }
    }
}

/// What a certificate's entry leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leads {
    /// `RELAY`
    Relay,
    /// `SUBJECT`: the subject's entry decides.
    Subject,
    /// `ALTNAMES:tag`: entries `SubjAltName:tag:name` decide.
    AltNames(String),
    /// Any other word that sendmail knows: no.
    Nowhere,
}

/// An entry about a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) leads: Leads,
    /// As written; without it names are for clients, and pinned keys for anything.
    pub(crate) purpose: Option<Wanted>,
}

/// An entry about a client, a sender or a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ok,
    Relay,
    Reject,
    Discard,
    Skip,
    Quarantine(String),
    Error(Reply),
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A TLS tag: this is required.
    Require(Requirement),
    /// A TLS tag: nothing is required (`OK`).
    Open,
    /// `SKIP` under any tag but those of clients.
    Skip,
    Grant(Grant),
    Client(Verdict),
    /// `Try_TLS:` with NO.
    NoTls,
    /// `Try_TLS:` with anything else.
    TryTls,
    Features(Vec<String>),
    Options(String),
    AuthInfo(AuthInfo),
    /// `tag:issuer OK` for a `CITag:tag`.
    Acceptable,
    /// A tag of sendmail's that decides nothing here.
    Unused,
}

/// How the value of a tag is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Requirement,
    /// CertIssuer, CertChain.
    Authority,
    /// CertSubject, CertKey, SubjAltName.
    Holder,
    Client,
    TryTls,
    Features,
    Options,
    AuthInfo,
    /// A tag that some `CITag:` names.
    IssuerTag,
    Unused,
}

impl Rule {
    pub(crate) fn parse(kind: Kind, value: &str) -> Result<Self, Fault> {
        if value.is_empty() {
            return Err(Fault::new(0, "the key has no value"));
        }
        match kind {
            Kind::Requirement => requirement(value),
            Kind::Authority | Kind::Holder => grant(kind, value).map(Rule::Grant),
            Kind::Client => client(value).map(Rule::Client),
            Kind::TryTls => try_tls(value),
            Kind::Features => {
                Ok(Self::Features(value.split_whitespace().map(str::to_owned).collect()))
            }
            Kind::Options => options(value).map(Rule::Options),
            Kind::AuthInfo => auth_info(value).map(|items| Self::AuthInfo(AuthInfo(items))),
            Kind::IssuerTag if value.eq_ignore_ascii_case("OK") => Ok(Self::Acceptable),
            Kind::IssuerTag => {
                let text = "an issuer's entry for CITag says OK; sendmail accepts any word";
                Err(Fault::new(0, text).or(Some("OK")))
            }
            Kind::Unused => Ok(Self::Unused),
        }
    }
}

fn requirement(value: &str) -> Result<Rule, Fault> {
    match value.to_ascii_uppercase().as_str() {
        "OK" => Ok(Rule::Open),
        "SKIP" => Ok(Rule::Skip),
        _ => Requirement::parse(value).map(Rule::Require),
    }
}

/// Words that sendmail's users write where they mean no.
const NO_GRANT: [&str; 6] = ["OK", "NO", "REJECT", "DISCARD", "SKIP", "NONE"];

fn grant(kind: Kind, value: &str) -> Result<Grant, Fault> {
    let mut words = value.split_whitespace();
    let first = words.next().unwrap_or_default();
    let leads = match first.split_once(':') {
        None if first.eq_ignore_ascii_case("RELAY") => Leads::Relay,
        None if first.eq_ignore_ascii_case("SUBJECT") && kind == Kind::Authority => Leads::Subject,
        Some((word, tag)) if word.eq_ignore_ascii_case("ALTNAMES") && kind == Kind::Authority => {
            if !is_tag(tag) {
                return Err(Fault::new(word.len() + 1, format!("`{tag}` is no tag")));
            }
            Leads::AltNames(tag.to_ascii_lowercase())
        }
        _ if NO_GRANT.iter().any(|word| word.eq_ignore_ascii_case(first)) => Leads::Nowhere,
        _ => return Err(no_grant(kind, first)),
    };
    let mut purpose = None;
    for word in words {
        let offset = offset_of(value, word);
        match word.split_once(':') {
            Some((name, wanted)) if name.eq_ignore_ascii_case("PURPOSE") => {
                let wanted = Wanted::parse(wanted)
                    .map_err(|fault| Fault { offset: offset + name.len() + 1, ..fault })?;
                purpose = Some(wanted);
            }
            _ => return Err(stray(offset, word, "PURPOSE:any")),
        }
    }
    Ok(Grant { leads, purpose })
}

fn no_grant(kind: Kind, word: &str) -> Fault {
    let words: &[&str] = match kind {
        Kind::Authority => &["RELAY", "SUBJECT", "ALTNAMES:tag"],
        _ => &["RELAY"],
    };
    let known = nearest(word, words.iter().chain(&NO_GRANT).copied());
    Fault::new(0, format!("`{word}` grants nothing here; {} does", words.join(" or "))).or(known)
}

/// A word behind the last one that counts.
fn stray(offset: usize, word: &str, example: &str) -> Fault {
    if word.starts_with('#') {
        return Fault::new(
            offset,
            "a comment stands on a line of its own; here it is part of the value",
        );
    }
    Fault::new(offset, format!("`{word}` is one word too many")).or(nearest(word, [example]))
}

/// Where a word of a text begins.
fn offset_of(text: &str, word: &str) -> usize {
    (word.as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

const VERDICTS: [&str; 5] = ["OK", "RELAY", "REJECT", "DISCARD", "SKIP"];

fn client(value: &str) -> Result<Verdict, Fault> {
    let (word, rest) = value.split_once(':').unwrap_or((value, ""));
    match (word.trim().to_ascii_uppercase().as_str(), value.contains(':')) {
        ("OK", false) => Ok(Verdict::Ok),
        ("RELAY", false) => Ok(Verdict::Relay),
        ("REJECT", false) => Ok(Verdict::Reject),
        ("DISCARD", false) => Ok(Verdict::Discard),
        ("SKIP", false) => Ok(Verdict::Skip),
        ("QUARANTINE", true) if !rest.trim().is_empty() => {
            Ok(Verdict::Quarantine(rest.trim().into()))
        }
        ("ERROR", true) => error(rest.trim()).ok_or_else(|| {
            let text =
                "ERROR: wants a code from 400 to 599 and a text, such as ERROR:\"550 5.7.1 no\"";
            Fault::new(word.len() + 1, text)
        }),
        _ => Reply::parse(&dequote(value), None)
            .filter(|reply| !reply.text.is_empty())
            .map(Verdict::Error)
            .ok_or_else(|| no_verdict(value)),
    }
}

fn no_verdict(value: &str) -> Fault {
    let mut words = value.split_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    match second {
        Some(word) if VERDICTS.iter().any(|verdict| verdict.eq_ignore_ascii_case(first)) => {
            stray(offset_of(value, word), word, "")
        }
        _ => Fault::new(
            0,
            format!("`{first}` is no verdict, and sendmail would refuse with it as text"),
        )
        .or(nearest(first, VERDICTS.into_iter().chain(["ERROR:550 text", "QUARANTINE:reason"]))),
    }
}

/// Of `5.7.1:550 text`, `550 text`, `"550 5.7.1 text"`.
fn error(rest: &str) -> Option<Verdict> {
    let parsed = match rest.split_once(':') {
        Some((dsn, text)) if is_enhanced(dsn.trim()) => {
            Reply::parse(&dequote(text.trim()), Some(dsn.trim()))
        }
        _ => Reply::parse(&dequote(rest), None),
    };
    parsed.map(Verdict::Error)
}

fn dequote(text: &str) -> String {
    text.replace('"', "")
}

fn try_tls(value: &str) -> Result<Rule, Fault> {
    match value.to_ascii_uppercase().as_str() {
        "NO" => Ok(Rule::NoTls),
        "SKIP" => Ok(Rule::Skip),
        "OK" | "YES" | "RELAY" | "REJECT" | "DISCARD" | "TRY" => Ok(Rule::TryTls),
        _ => Err(Fault::new(0, format!("`{value}` is neither NO nor OK; only NO stops STARTTLS"))
            .or(nearest(value, ["NO", "OK", "YES"]))),
    }
}

/// `key=value;…`, perhaps in quotes; outside of them blanks vanish, as they do in sendmail.
fn options(value: &str) -> Result<String, Fault> {
    let inner = value.strip_prefix('"').map(|rest| rest.strip_suffix('"'));
    match inner {
        Some(None) => Err(Fault::new(0, "the quote is not closed")),
        Some(Some(inner)) => Ok(inner.to_owned()),
        None => Ok(value.split_whitespace().collect()),
    }
}

/// Items in quotes or without, set off by blanks; as written, since sendmail hands the quotes on too.
fn auth_info(value: &str) -> Result<Vec<String>, Fault> {
    let mut items = Vec::new();
    let mut rest = value.trim_start();
    while !rest.is_empty() {
        let here = offset_of(value, rest);
        let (item, end) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let length =
                    quoted.find('"').ok_or_else(|| Fault::new(here, "the quote is not closed"))?;
                (quoted.get(..length).unwrap_or_default(), length + 2)
            }
            None => {
                let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest.get(..length).unwrap_or_default(), length)
            }
        };
        let known = item.starts_with(|letter: char| "UIPRM".contains(letter.to_ascii_uppercase()));
        if !known || !matches!(item.as_bytes().get(1), Some(b':' | b'=')) {
            return Err(Fault::new(here, "an item begins with U:, I:, P:, P=, R: or M:"));
        }
        let (written, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        items.push(written.to_owned());
        rest = tail.trim_start();
    }
    Ok(items)
}

#[cfg(test)]
#[path = "value/tests.rs"]
mod tests;
