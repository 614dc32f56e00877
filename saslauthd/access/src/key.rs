//! Keys of the map: their tags, and what must stand behind some of them.
//!
//! A key without a tag is a client, a sender or a recipient. A tag that is none of these may be one that a `CITag:`
//! names; whether it is, only the whole map knows.

use crate::error::Fault;
use crate::pin::KeyPin;
use crate::value::Kind;

/// A key by its tag.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Key<'a> {
    Of(Kind),
    Pin(KeyPin),
    /// A tag that is none of sendmail's: perhaps a `CITag:` names it.
    Unknown(&'a str),
}

/// The tags that are looked up, and how their values are read.
pub(crate) const TAGS: [(&str, Kind); 21] = [
    ("TLS_Clt", Kind::Requirement),
    ("TLS_Srv", Kind::Requirement),
    ("TLS_Rcpt", Kind::Requirement),
    ("Try_TLS", Kind::TryTls),
    ("Srv_Features", Kind::Features),
    ("Clt_Features", Kind::Features),
    ("TLS_Srv_Features", Kind::Options),
    ("TLS_Clt_Features", Kind::Options),
    ("AuthInfo", Kind::AuthInfo),
    ("CertIssuer", Kind::Authority),
    ("CertChain", Kind::Authority),
    ("CertSubject", Kind::Holder),
    ("CertKey", Kind::Holder),
    ("SubjAltName", Kind::Holder),
    ("Connect", Kind::Client),
    ("From", Kind::Client),
    ("To", Kind::Client),
    ("Spam", Kind::Unused),
    ("ClientRate", Kind::Unused),
    ("ClientConn", Kind::Unused),
    ("GreetPause", Kind::Unused),
];

/// Takes a key apart, as far as its tag says how.
pub(crate) fn key_of(key: &str) -> Result<Key<'_>, Fault> {
    // An address without a tag: `[10.1]`, `IPv6:2001:db8`.
    let (tag, rest) = match key.split_once(':') {
        Some((tag, rest)) if !key.starts_with('[') && !tag.eq_ignore_ascii_case("IPv6") => {
            (tag, rest)
        }
        _ => return Ok(Key::Of(Kind::Client)),
    };
    let Some((_, kind)) = TAGS.iter().find(|(name, _)| name.eq_ignore_ascii_case(tag)) else {
        return Ok(Key::Unknown(tag));
    };
    let after = tag.len() + 1;
    if tag.eq_ignore_ascii_case("CertKey") {
        let text = "a key is pinned by `sha256/` and 44 characters of base64, case and all";
        return KeyPin::parse(rest).map(Key::Pin).ok_or_else(|| Fault::new(after, text));
    }
    if tag.eq_ignore_ascii_case("SubjAltName") {
        match rest.split_once(':') {
            Some((group, name)) if !group.is_empty() && !name.is_empty() => {}
            _ => return Err(Fault::new(after, "the key is SubjAltName:tag:name")),
        }
    }
    Ok(Key::Of(*kind))
}
