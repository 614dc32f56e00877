//! What an entry says: its value, read strictly by the tag of its key.
//!
//! Read once, when the map is loaded. What sendmail would take for "nothing is required", or for a yes, refuses the
//! map. What it takes for "no", or for the text of a refusal, harms nobody: that is read as sendmail reads it, and
//! warned of.

use crate::decision::AuthInfo;
use crate::error::Fault;
use crate::reply::Reply;
use crate::requirement::{Requirement, is_tag};
use crate::spelling::nearest;
use crate::token::{bare, is_quoted, message, tokens};

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
        match kind {
            Kind::Requirement => requirement(value),
            Kind::Authority | Kind::Holder => grant(kind, value).map(Rule::Grant),
            Kind::Client => client(value).map(Rule::Client),
            Kind::TryTls => Ok(try_tls(value)),
            Kind::Features => {
                Ok(Self::Features(tokens(value).into_iter().map(str::to_owned).collect()))
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
        "OK" | "RELAY" | "NO" | "NONE" => Ok(Rule::Open),
        "SKIP" => Ok(Rule::Skip),
        _ => Requirement::parse(value).map(Rule::Require),
    }
}

/// Words that sendmail's users write where they mean no.
pub(crate) const NO_GRANT: [&str; 6] = ["OK", "NO", "REJECT", "DISCARD", "SKIP", "NONE"];

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
        _ => Leads::Nowhere,
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
            // More words than one are none that sendmail knows.
            _ => return Ok(Grant { leads: Leads::Nowhere, purpose: None }),
        }
    }
    Ok(Grant { leads, purpose })
}

/// Where a word of a text begins.
fn offset_of(text: &str, word: &str) -> usize {
    (word.as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

/// Words that decide about a client, a sender or a recipient.
pub(crate) const VERDICTS: [&str; 5] = ["OK", "RELAY", "REJECT", "DISCARD", "SKIP"];

/// A value that is no verdict is the text of a refusal.
fn client(value: &str) -> Result<Verdict, Fault> {
    let words = tokens(value);
    let is = |token: &str, word: &str| token.eq_ignore_ascii_case(word);
    let verdict = match words.as_slice() {
        [word] if is(word, "OK") => Some(Verdict::Ok),
        [word] if is(word, "RELAY") => Some(Verdict::Relay),
        [word] if is(word, "REJECT") => Some(Verdict::Reject),
        [word] if is(word, "DISCARD") => Some(Verdict::Discard),
        [word] if is(word, "SKIP") => Some(Verdict::Skip),
        [word, ":", reason @ ..] if is(word, "QUARANTINE") && !reason.is_empty() => {
            Some(Verdict::Quarantine(message(reason)))
        }
        [word, ":", text @ ..] if is(word, "ERROR") => error(text),
        [] => None,
        text => Reply::parse(&message(text), None).map(Verdict::Error),
    };
    verdict.ok_or_else(|| {
        let text =
            "a refusal wants a code from 400 to 599 and a text, such as ERROR:\"550 5.7.1 no\"";
        Fault::new(0, text)
    })
}

/// Of `5.7.1:550 text`, `550 text`, `"550 5.7.1 text"`.
fn error(text: &[&str]) -> Option<Verdict> {
    let parsed = match text {
        [] => None,
        [class, ".", subject, ".", detail, ":", text @ ..] if !text.is_empty() => {
            Reply::parse(&message(text), Some(&format!("{class}.{subject}.{detail}")))
        }
        text => Reply::parse(&message(text), None),
    };
    parsed.map(Verdict::Error)
}

/// Only NO stops STARTTLS.
fn try_tls(value: &str) -> Rule {
    match value.to_ascii_uppercase().as_str() {
        "NO" => Rule::NoTls,
        "SKIP" => Rule::Skip,
        _ => Rule::TryTls,
    }
}

/// `key=value;…`, perhaps in quotes; outside of them blanks vanish, as they do in sendmail.
fn options(value: &str) -> Result<String, Fault> {
    let words = tokens(value);
    let unclosed = |token: &&str| is_quoted(token) && (token.len() < 2 || !token.ends_with('"'));
    if words.iter().any(unclosed) {
        return Err(Fault::new(0, "the quote is not closed"));
    }
    Ok(match words.as_slice() {
        [whole] => bare(whole).to_owned(),
        words => words.concat(),
    })
}

/// Items in quotes or without, set off by blanks; as written, since sendmail hands the quotes on too.
fn auth_info(value: &str) -> Result<Vec<String>, Fault> {
    let mut items = Vec::new();
    let mut rest = value.trim_start();
    while !rest.is_empty() {
        let here = offset_of(value, rest);
        let end = match rest.strip_prefix('"') {
            Some(quoted) => {
                let length =
                    quoted.find('"').ok_or_else(|| Fault::new(here, "the quote is not closed"))?;
                length + 2
            }
            None => rest.find(char::is_whitespace).unwrap_or(rest.len()),
        };
        let (written, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        items.push(written.to_owned());
        rest = tail.trim_start();
    }
    Ok(items)
}

#[cfg(test)]
#[path = "value/tests.rs"]
mod tests;
