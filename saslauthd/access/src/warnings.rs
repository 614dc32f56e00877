//! What is legal in a map and has less effect than it looks.
//!
//! Told by `mailauth access check` and once when a map is loaded; a warning refuses nothing.

use crate::requirement::{Extension, Level};
use crate::value::{Grant, Leads, Rule};

/// Letters of `Srv_Features:`, each also in lower case.
const SERVER_LETTERS: &str = "ABCDEFGHLOPSUVX";
/// Keys of the TLS session features.
const OPTIONS: [&str; 6] =
    ["options", "cipherlist", "ciphersuites", "certfile", "keyfile", "flags"];

/// The warnings about one entry.
pub(crate) fn of(key: &str, rule: &Rule) -> Vec<String> {
    let folded = key.to_ascii_lowercase();
    let (tag, rest) = folded.split_once(':').unwrap_or((&folded, ""));
    match rule {
        Rule::Require(requirement) => {
            let names = requirement.extensions.iter().any(|extension| {
                !matches!(extension, Extension::AnyName(_) | Extension::Purpose(_))
            });
            let loose = names && matches!(requirement.level, Level::Encrypted(_));
            only(
                loose,
                "ENCR with a name compares names of certificates that nobody verified; say VERIFY:bits",
            )
        }
        Rule::Grant(grant) => grant_of(tag, rest, grant),
        Rule::Features(words) => words.iter().filter_map(|word| features_of(tag, word)).collect(),
        Rule::Options(text) => options_of(rest, text),
        Rule::Unused => vec![format!("`{tag}:` is not served here")],
        _ => Vec::new(),
    }
}

fn only(holds: bool, text: &str) -> Vec<String> {
    if holds { vec![text.to_owned()] } else { Vec::new() }
}

fn grant_of(tag: &str, rest: &str, grant: &Grant) -> Vec<String> {
    match tag {
        "certissuer" | "certsubject" | "certchain" if rest.is_empty() => {
            only(true, "a tag alone is no default for certificates; this entry is never found")
        }
        "certissuer" | "certsubject" | "certchain" if !rest.starts_with('/') => {
            only(true, "a distinguished name begins with `/`; this entry is never found")
        }
        _ => only(
            grant.leads == Leads::Nowhere,
            "the value grants nothing, as if the key were absent",
        ),
    }
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
