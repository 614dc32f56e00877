//! What is legal in a map and has less effect than it looks.
//!
//! Told by `mailauth access check` and once when a map is loaded; a warning refuses nothing.

use crate::requirement::{Extension, Level, Requirement, is_unencoded};
use crate::spelling::nearest;
use crate::value::{Grant, Leads, NO_GRANT, Rule, VERDICTS, Verdict};

/// Letters of `Srv_Features:`, each also in lower case.
const SERVER_LETTERS: &str = "ABCDEFGHLOPSUVX";
/// Keys of the TLS session features.
const OPTIONS: [&str; 6] =
    ["options", "cipherlist", "ciphersuites", "certfile", "keyfile", "flags"];

/// The warnings about one entry; its value as written.
pub(crate) fn of(key: &str, value: &str, rule: &Rule) -> Vec<String> {
    let folded = key.to_ascii_lowercase();
    let (tag, rest) = folded.split_once(':').unwrap_or((&folded, ""));
    match rule {
        Rule::Require(requirement) => requirement_of(requirement),
        Rule::Open => only(
            !value.eq_ignore_ascii_case("OK"),
            "OK is the word for a peer of whom nothing is required",
        ),
        Rule::Grant(grant) => grant_of(tag, rest, value, grant),
        Rule::Client(Verdict::Error(reply)) if reply.is_text_alone() => {
            vec![no_word(value, &VERDICTS, "no verdict but the text of a refusal")]
        }
        Rule::TryTls if !is_one_of(value, &TRY_WORDS) => {
            vec![no_word(value, &["NO", "OK"], "neither NO nor OK; only NO stops STARTTLS")]
        }
        Rule::Features(words) => words.iter().filter_map(|word| features_of(tag, word)).collect(),
        Rule::Options(text) => options_of(rest, text),
        Rule::AuthInfo(info) => only(
            !info.0.iter().all(|item| is_login_item(item)),
            "an item is in quotes and begins with U:, I:, P:, P=, R: or M:",
        ),
        Rule::Unused => vec![format!("`{tag}:` is not served here")],
        _ => Vec::new(),
    }
}

/// What people write where they mean that STARTTLS is to be tried.
const TRY_WORDS: [&str; 6] = ["OK", "YES", "RELAY", "REJECT", "DISCARD", "TRY"];

fn is_one_of(value: &str, words: &[&str]) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(value))
}

/// A value that is none of the words, and which of them is near.
fn no_word(value: &str, words: &[&str], what: &str) -> String {
    let first = value.split_whitespace().next().unwrap_or_default();
    match nearest(first, words.iter().copied()) {
        Some(word) => format!("`{value}` is {what}; did you mean `{word}`?"),
        None => format!("`{value}` is {what}"),
    }
}

fn is_login_item(item: &str) -> bool {
    let inside = item.strip_prefix('"').unwrap_or_default().as_bytes();
    matches!(inside, [b'U' | b'I' | b'P' | b'R' | b'M', b':' | b'=', ..])
        || matches!(inside, [b'u' | b'i' | b'p' | b'r' | b'm', b':' | b'=', ..])
}

fn requirement_of(requirement: &Requirement) -> Vec<String> {
    let extensions = &requirement.extensions;
    let names = extensions
        .iter()
        .any(|extension| !matches!(extension, Extension::AnyName(_) | Extension::Purpose(_)));
    let loose = names && matches!(requirement.level, Level::Encrypted(_));
    let mut warnings = only(
        loose,
        "ENCR with a name compares names of certificates that nobody verified; say VERIFY:bits",
    );
    for extension in extensions {
        let (Extension::Name(name)
        | Extension::Subject(name)
        | Extension::Issuer(name)
        | Extension::AnyName(Some(name))) = extension
        else {
            continue;
        };
        if is_unencoded(name) {
            warnings.push(format!(
                "`{name}` matches nobody: a blank is `+20`, `+` is `+2B`, and `++` sets requirements off"
            ));
        }
    }
    warnings
}

fn only(holds: bool, text: &str) -> Vec<String> {
    if holds { vec![text.to_owned()] } else { Vec::new() }
}

fn grant_of(tag: &str, rest: &str, value: &str, grant: &Grant) -> Vec<String> {
    let named = matches!(tag, "certissuer" | "certsubject" | "certchain");
    if named && rest.is_empty() {
        return only(true, "a tag alone is no default for certificates; this entry is never found");
    }
    if named && !rest.starts_with('/') {
        return only(true, "a distinguished name begins with `/`; this entry is never found");
    }
    if grant.leads != Leads::Nowhere {
        return Vec::new();
    }
    if is_one_of(value, &NO_GRANT) {
        return only(true, "the value grants nothing, as if the key were absent");
    }
    vec![no_word(value, &["RELAY", "SUBJECT", "ALTNAMES:tag"], "no word that grants anything")]
}

fn features_of(tag: &str, word: &str) -> Option<String> {
    let first = word.chars().next()?;
    let known = tag != "srv_features" || SERVER_LETTERS.contains(first.to_ascii_uppercase());
    if !known {
        return Some(format!("`{first}` is no feature; it is ignored"));
    }
    let long =
        word.chars().count() > 1 && !matches!(word.to_ascii_lowercase().as_str(), "g2" | "u2");
    long.then(|| format!("of `{word}` only the first letter counts; set letters off by blanks"))
}

fn options_of(rest: &str, text: &str) -> Vec<String> {
    let mut warnings =
        only(rest.is_empty(), "session features have no default; this entry is never found");
    let mut found = Vec::new();
    for part in text.split(';').filter(|part| !part.trim().is_empty()) {
        let name = part.split_once('=').map_or("", |(name, _)| name.trim()).to_ascii_lowercase();
        if !OPTIONS.contains(&name.as_str()) {
            warnings.push(format!("`{part}` is no TLS option; sendmail then offers no TLS at all"));
        }
        found.push(name);
    }
    let has = |name: &str| found.iter().any(|found| found == name);
    if has("certfile") != has("keyfile") {
        warnings.push("CertFile and KeyFile go together".to_owned());
    }
    warnings
}
