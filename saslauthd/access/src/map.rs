//! The access map in memory: folded keys to typed entries.
//!
//! Made from source text or from pairs, whole or not at all, with every mistake told at once. Read by the listener
//! for each recipient, so a lookup is one hash of a few dozen bytes. Keys are folded to lower case as makemap folds
//! them, but for the base64 of a `CertKey:`.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeSet, HashMap};

use crate::error::{Fault, MapError, MapErrors, MapWarning};
use crate::key::{Key, TAGS, key_of};
use crate::pin::KeyPin;
use crate::requirement::{Extension, Requirement};
use crate::source::{Line, column, lines};
use crate::spelling::nearest;
use crate::value::{Kind, Leads, Rule, Verdict};
use crate::warnings;

/// One entry.
#[derive(Debug)]
pub(crate) struct Entry {
    /// As written.
    pub(crate) key: Box<str>,
    pub(crate) line: u32,
    /// As written, but for passwords.
    pub(crate) value: Box<str>,
    /// The value is SKIP, which is a word of its own under every tag where the site has that feature.
    pub(crate) skips: bool,
    pub(crate) rule: Rule,
}

/// An access map that has been read without a mistake.
///
/// | key | value |
/// | --- | --- |
/// | `TLS_Clt:`, `TLS_Srv:` host, domain, address, net or nothing; `TLS_Rcpt:` mailbox, `user@`, domain or nothing | `OK`, `SKIP`, or `[PERM+\|TEMP+]VERIFY[:bits]` or `ENCR:bits`, then `+` and further requirements set off by `++`: `CN`, `CN:name`, `CS:dn`, `CI:dn`, `CITag:tag`, `CA`, `CA:name`, `PURPOSE:client\|server\|any` |
/// | `tag:`issuer for `CITag:tag` | `OK` |
/// | `CertIssuer:`issuer, `CertChain:`any CA of the verified chain | `RELAY`, `SUBJECT` or `ALTNAMES:tag`, then perhaps `PURPOSE:…` |
/// | `CertSubject:`subject, `SubjAltName:tag:`host, mailbox or URI (`.domain` for all hosts below it) | `RELAY` |
/// | `CertKey:sha256/`base64 of a SubjectPublicKeyInfo | `RELAY`, then perhaps `PURPOSE:…` |
/// | `Connect:`, `From:`, `To:` or no tag | `OK`, `RELAY`, `REJECT`, `DISCARD`, `SKIP`, `QUARANTINE:reason`, `ERROR:…` |
/// | `Try_TLS:` | `NO` or `OK` |
/// | `Srv_Features:`, `Clt_Features:` | letters set off by blanks |
/// | `TLS_Srv_Features:`, `TLS_Clt_Features:` | `key=value;…` |
/// | `AuthInfo:` | `"U:user" "P:password" …` |
///
/// No `Clone`: it may hold passwords (`AuthInfo:`).
#[derive(Default)]
pub struct Map {
    entries: HashMap<Box<str>, Entry>,
    pins: HashMap<KeyPin, Entry>,
    warnings: Vec<MapWarning>,
}

impl std::fmt::Debug for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Map({} entries)", self.len())
    }
}

impl Map {
    /// Reads source text: `key<TAB or blanks>value` lines, `#` comments.
    ///
    /// # Errors
    /// All mistakes of the text, in the order of its lines.
    pub fn parse(source: &str) -> Result<Self, MapErrors> {
        Self::read(lines(source).collect())
    }

    /// Reads pairs of key and value; the number of a pair, from 1, stands for a line.
    ///
    /// # Errors
    /// All mistakes of the pairs, in their order.
    pub fn from_pairs<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self, MapErrors>
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        let pairs: Vec<(String, usize)> = pairs
            .into_iter()
            .map(|(key, value)| {
                let key = key.as_ref();
                (format!("{key} {}", value.as_ref()), key.len())
            })
            .collect();
        let lines = (1..).zip(&pairs).map(|(number, (text, end))| {
            let (key, value) = text.split_at_checked(*end).unwrap_or((text, ""));
            let value = value.trim();
            let value_at = end + 1;
            Line { number, text, key, value, value_at }
        });
        Self::read(lines.collect())
    }

    /// What is legal and has less effect than it looks.
    pub fn warnings(&self) -> &[MapWarning] {
        &self.warnings
    }

    /// Does it hold passwords (`AuthInfo:`)? Such a map must not go to a process that speaks to strangers.
    pub fn holds_passwords(&self) -> bool {
        self.entries.values().any(|entry| matches!(entry.rule, Rule::AuthInfo(_)))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len() + self.pins.len()
    }

    /// Has it no entry?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// By a key that has been folded already.
    pub(crate) fn find(&self, folded: &str) -> Option<&Entry> {
        self.entries.get(folded)
    }

    /// By a pinned key.
    pub(crate) fn find_pin(&self, pin: &KeyPin) -> Option<&Entry> {
        self.pins.get(pin)
    }

    fn read(lines: Vec<Line<'_>>) -> Result<Self, MapErrors> {
        let mut reading = Reading::default();
        let (tagged, rest): (Vec<_>, Vec<_>) =
            lines.into_iter().partition(|line| !matches!(key_of(line.key), Ok(Key::Unknown(_))));
        for line in &tagged {
            reading.line(line);
        }
        // Whether an unknown tag is one is known once every CITag: has been read.
        for line in &rest {
            reading.issuer_tag(line);
        }
        reading.finish()
    }
}

/// A map half read.
#[derive(Default)]
struct Reading {
    map: Map,
    errors: Vec<MapError>,
    /// Tags that `CITag:` requirements name, folded, and where first.
    issuer_tags: HashMap<String, u32>,
    /// Tags that `ALTNAMES:` names, folded, and where first.
    name_tags: HashMap<String, u32>,
}

impl Reading {
    fn line(&mut self, line: &Line<'_>) {
        if line.key.is_empty() || line.value.is_empty() {
            return self.incomplete(line);
        }
        match key_of(line.key) {
            Ok(Key::Of(kind)) => self.entry(line, kind),
            Ok(Key::Pin(pin)) => {
                if let Some(entry) = self.read_value(line, Kind::Holder) {
                    let earlier = self.map.pins.get(&pin);
                    match earlier
                        .map(|earlier| (earlier.line, contradicts(&earlier.rule, &entry.rule)))
                    {
                        Some((earlier, harm)) => self.duplicate(line, earlier, harm),
                        None => drop(self.map.pins.insert(pin, entry)),
                    }
                }
            }
            Ok(Key::Unknown(_)) => {}
            Err(fault) => self.fault(line, 0, fault),
        }
    }

    /// makemap leaves out a line that begins with a blank or ends with its key. A requirement must not get lost so.
    fn incomplete(&mut self, line: &Line<'_>) {
        let comment = line.value.starts_with('#');
        let indented = line.key.is_empty();
        let key = if indented { line.value } else { line.key };
        let requires = matches!(key_of(key), Ok(Key::Of(Kind::Requirement)));
        let text = match indented {
            true => "a line may not begin with a blank; makemap knows no continuation",
            false => "the key has no value",
        };
        if requires {
            let at = if indented { 0 } else { line.value_at };
            self.fault(line, at, Fault::new(0, text));
        } else if !comment {
            self.warn(line.number, format!("{text}, and leaves the line out"));
        }
    }

    /// sendmail looks no unknown tag up: that harms nobody, unless the value is a requirement.
    fn issuer_tag(&mut self, line: &Line<'_>) {
        let (tag, rest) = line.key.split_once(':').unwrap_or((line.key, ""));
        if self.issuer_tags.contains_key(&tag.to_ascii_lowercase()) && !line.value.is_empty() {
            return self.entry(line, Kind::IssuerTag);
        }
        if rest.starts_with('/') && line.value.eq_ignore_ascii_case("OK") {
            return self.warn(line.number, format!("no requirement says CITag:{tag}"));
        }
        let tags: BTreeSet<&str> = self.issuer_tags.keys().map(String::as_str).collect();
        let known = nearest(tag, TAGS.iter().map(|(name, _)| *name).chain(tags));
        let text = format!("`{tag}:` is no tag, and sendmail would never look it up");
        if Requirement::parse(line.value).is_ok() {
            return self.fault(line, 0, Fault::new(0, text).or(known));
        }
        let hint = known.map_or_else(String::new, |known| format!("; did you mean `{known}`?"));
        self.warn(line.number, text + &hint);
    }

    fn entry(&mut self, line: &Line<'_>, kind: Kind) {
        let Some(entry) = self.read_value(line, kind) else { return };
        let folded = line.key.to_ascii_lowercase().into_boxed_str();
        let (earlier, harm) = match self.map.entries.entry(folded) {
            Slot::Occupied(slot) => (slot.get().line, contradicts(&slot.get().rule, &entry.rule)),
            Slot::Vacant(slot) => {
                slot.insert(entry);
                return;
            }
        };
        self.duplicate(line, earlier, harm);
    }

    fn read_value(&mut self, line: &Line<'_>, kind: Kind) -> Option<Entry> {
        let rule = match Rule::parse(kind, line.value) {
            Ok(rule) => rule,
            Err(fault) => {
                self.fault(line, line.value_at, fault);
                return None;
            }
        };
        self.note_tags(line, &rule);
        for text in warnings::of(line.key, line.value, &rule) {
            self.warn(line.number, text);
        }
        // Explanations show values; a password is none of their business.
        let value = if matches!(rule, Rule::AuthInfo(_)) { "…" } else { line.value };
        let skips = line.value.eq_ignore_ascii_case("SKIP");
        Some(Entry { key: line.key.into(), line: line.number, value: value.into(), skips, rule })
    }

    fn note_tags(&mut self, line: &Line<'_>, rule: &Rule) {
        match rule {
            Rule::Require(requirement) => {
                for extension in &requirement.extensions {
                    if let Extension::IssuerTag(tag) = extension {
                        self.issuer_tags.entry(tag.to_ascii_lowercase()).or_insert(line.number);
                    }
                }
            }
            Rule::Grant(grant) => {
                if let Leads::AltNames(tag) = &grant.leads {
                    self.name_tags.entry(tag.clone()).or_insert(line.number);
                }
            }
            _ => {}
        }
    }

    /// The first entry of a key holds, as with makemap.
    fn duplicate(&mut self, line: &Line<'_>, earlier: u32, harm: Harm) {
        let text = format!("the key `{}` stands in line {earlier} already", line.key);
        match harm {
            Harm::Opens => self.fault(line, 0, Fault::new(0, text)),
            Harm::None => self.warn(line.number, format!("{text}, and that line holds")),
        }
    }

    fn fault(&mut self, line: &Line<'_>, start: usize, fault: Fault) {
        self.errors.push(MapError {
            line: line.number,
            column: column(line.text, start + fault.offset),
            text: fault.text,
            nearest: fault.nearest,
        });
    }

    fn warn(&mut self, line: u32, text: String) {
        self.map.warnings.push(MapWarning { line, text });
    }

    fn finish(mut self) -> Result<Map, MapErrors> {
        self.warn_of_tags();
        if self.errors.is_empty() {
            self.map.warnings.sort_by_key(|warning| warning.line);
            return Ok(self.map);
        }
        self.errors.sort_by_key(|error| (error.line, error.column));
        Err(MapErrors(self.errors))
    }

    /// A tag that is asked for and has no entry: nobody will ever pass.
    fn warn_of_tags(&mut self) {
        let mut used = BTreeSet::new();
        for key in self.map.entries.keys() {
            let (tag, rest) = key.split_once(':').unwrap_or((key, ""));
            used.insert(tag.to_owned());
            if tag == "subjaltname"
                && let Some((group, _)) = rest.split_once(':')
            {
                used.insert(format!("subjaltname:{group}"));
            }
        }
        let mut missing = Vec::new();
        for (tag, line) in &self.issuer_tags {
            if !used.contains(tag) {
                missing.push((
                    *line,
                    format!("CITag:{tag} is required and no key begins with `{tag}:`"),
                ));
            }
        }
        for (tag, line) in &self.name_tags {
            if !used.contains(&format!("subjaltname:{tag}")) {
                missing.push((*line, format!("no key begins with `SubjAltName:{tag}:`")));
            }
        }
        for (line, text) in missing {
            self.warn(line, text);
        }
    }
}

/// What comes of leaving out the later of two entries of one key.
#[derive(Clone, Copy)]
enum Harm {
    None,
    /// A requirement is lost, or the line that takes a grant back.
    Opens,
}

fn contradicts(first: &Rule, later: &Rule) -> Harm {
    let grants = |rule: &Rule| match rule {
        Rule::Grant(grant) => grant.leads != Leads::Nowhere,
        Rule::Client(verdict) => *verdict == Verdict::Relay,
        Rule::Acceptable => true,
        _ => false,
    };
    let lost = matches!(later, Rule::Require(_)) || (grants(first) && !grants(later));
    // Grants of one key may differ in their purpose, or in where they lead.
    let differ = first != later && (lost || matches!(first, Rule::Grant(_)) && grants(first));
    if differ { Harm::Opens } else { Harm::None }
}

#[cfg(test)]
#[path = "map/tests.rs"]
mod tests;
