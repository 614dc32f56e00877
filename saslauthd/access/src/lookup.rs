//! The lookups: which keys are tried for a host, an address, a mailbox, and in which order.
//!
//! A [`Case`] is one question: what it is decided by, and what was tried on the way. The orders are sendmail's
//! (its rulesets D, A, F and U), since a map is written with them in mind: the first key found wins, and an outage of
//! the map ends the search at once.

use crate::decide::Access;
use crate::decision::{Hit, NameForm};
use crate::explanation::{Check, Lookup, Outcome};
use crate::facts::Facts;
use crate::map::Entry;
use crate::settings::Settings;

/// How many keys one search may try: a DNS name has at most 127 labels, and what is longer is none.
const MOST_STEPS: usize = 128;

/// Is the key also tried without its tag?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tagged {
    /// With the tag only (`!`).
    Only,
    /// With it, then without (`+`).
    OrBare,
}

/// The end of a search.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'a> {
    Nothing,
    Entry(&'a Entry),
    Unavailable,
}

impl<'a> Found<'a> {
    /// Searches on if nothing was found.
    pub(crate) fn or_else(self, search: impl FnOnce() -> Self) -> Self {
        if matches!(self, Self::Nothing) { search() } else { self }
    }
}

/// One question.
pub(crate) struct Case<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) facts: &'a Facts,
    access: Access<'a>,
    told: Option<(Vec<Lookup>, Vec<Check>)>,
    key: String,
}

impl<'a> Case<'a> {
    pub(crate) fn quiet(settings: &'a Settings, access: Access<'a>, facts: &'a Facts) -> Self {
        Self { settings, facts, access, told: None, key: String::new() }
    }

    pub(crate) fn telling(settings: &'a Settings, access: Access<'a>, facts: &'a Facts) -> Self {
        Self { told: Some((Vec::new(), Vec::new())), ..Self::quiet(settings, access, facts) }
    }

    /// The keys and requirements on the way.
    pub(crate) fn told(self) -> (Vec<Lookup>, Vec<Check>) {
        self.told.unwrap_or_default()
    }

    /// Does the site have an access map, asked or not?
    pub(crate) fn has_map(&self) -> bool {
        !matches!(self.access, Access::Absent)
    }

    /// Notes a requirement; it is met or not.
    pub(crate) fn weigh(
        &mut self,
        requirement: &'static str,
        have: &str,
        want: &str,
        met: bool,
    ) -> bool {
        if let Some((_, checks)) = &mut self.told {
            let (have, want) = (have.to_owned(), want.to_owned());
            checks.push(Check { requirement, have, want, met });
        }
        met
    }

    /// One key: a tag, unless it is empty, and a name in parts; folded here.
    pub(crate) fn key(&mut self, tag: &str, name: &[&str]) -> Found<'a> {
        let map = match self.access {
            Access::Absent => return Found::Nothing,
            Access::Loaded(map) => Some(map),
            Access::Unavailable => None,
        };
        self.key.clear();
        if !tag.is_empty() {
            self.key.push_str(tag);
            self.key.push(':');
        }
        for part in name {
            self.key.push_str(part);
        }
        self.key.make_ascii_lowercase();
        let found = match map {
            Some(map) => map.find(&self.key).map_or(Found::Nothing, Found::Entry),
            None => Found::Unavailable,
        };
        self.tell(found);
        found
    }

    /// The peer's key among the pinned ones.
    pub(crate) fn pin(&mut self) -> Found<'a> {
        let Some(pin) = self.facts.spki_sha256 else { return Found::Nothing };
        let found = match self.access {
            Access::Absent => return Found::Nothing,
            Access::Loaded(map) => map.find_pin(&pin).map_or(Found::Nothing, Found::Entry),
            Access::Unavailable => Found::Unavailable,
        };
        if self.told.is_some() {
            self.key = format!("certkey:{pin}");
            self.tell(found);
        }
        found
    }

    fn tell(&mut self, found: Found<'_>) {
        let Some((lookups, _)) = &mut self.told else { return };
        let outcome = match found {
            Found::Nothing => Outcome::NotFound,
            Found::Unavailable => Outcome::Unavailable,
            Found::Entry(entry) => {
                Outcome::Found { line: entry.line, value: entry.value.to_string() }
            }
        };
        lookups.push(Lookup { key: self.key.clone(), outcome });
    }

    /// One name under a tag, and without it where that is asked for.
    pub(crate) fn exact(&mut self, tag: &str, name: &[&str], tagged: Tagged) -> Found<'a> {
        let found = self.key(tag, name);
        match tagged {
            Tagged::Only => found,
            Tagged::OrBare => found.or_else(|| self.key("", name)),
        }
    }

    /// Is this an entry that ends a search as if nothing were there?
    fn skips(&self, found: Found<'_>) -> bool {
        matches!(found, Found::Entry(entry) if self.settings.skip && entry.skips)
    }

    /// Ruleset D: a host, then the domains above it; an address in brackets, then the networks around it.
    pub(crate) fn host(&mut self, tag: &str, name: &str, tagged: Tagged) -> Found<'a> {
        let (mut name, open, close) =
            match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
                Some(inside) => (inside, "[", "]"),
                None => (name, "", ""),
            };
        for _ in 0..MOST_STEPS {
            let mut found = self.exact(tag, &[open, name, close], tagged);
            let parent = parent_domain(name);
            if open.is_empty() && self.settings.lookup_dot_domain {
                found = found.or_else(|| match parent {
                    Some(parent) => self.exact(tag, &[".", parent], tagged),
                    None => Found::Nothing,
                });
            }
            if self.skips(found) {
                return Found::Nothing;
            }
            let next = if open.is_empty() { parent } else { bracketed_network(name) };
            match (found, next) {
                (Found::Nothing, Some(next)) => name = next,
                _ => return found,
            }
        }
        Found::Nothing
    }

    /// Ruleset A: an address, then the networks around it.
    pub(crate) fn address(&mut self, tag: &str, address: &str, tagged: Tagged) -> Found<'a> {
        let mut address = address;
        for _ in 0..MOST_STEPS {
            let found = self.exact(tag, &[address], tagged);
            if self.skips(found) {
                return Found::Nothing;
            }
            match (found, network(address)) {
                (Found::Nothing, Some(next)) => address = next,
                _ => return found,
            }
        }
        Found::Nothing
    }

    /// Rulesets F and U: a mailbox, without its detail too; the domain is empty for `user@`.
    pub(crate) fn mailbox(
        &mut self,
        tag: &str,
        (user, domain): (&str, &str),
        tagged: Tagged,
    ) -> Found<'a> {
        let found = self.exact(tag, &[user, "@", domain], tagged);
        match user.split_once('+') {
            Some((plain, _)) if !plain.is_empty() => found
                .or_else(|| self.exact(tag, &[plain, "+*@", domain], tagged))
                .or_else(|| self.exact(tag, &[plain, "@", domain], tagged)),
            _ => found,
        }
    }
}

/// The entry behind a decision.
pub(crate) fn hit(entry: &Entry) -> Hit {
    hit_by(entry, NameForm::OpenSsl3)
}

/// The same, found by a name in this form.
pub(crate) fn hit_by(entry: &Entry, form: NameForm) -> Hit {
    Hit { key: entry.key.to_string(), line: entry.line, form }
}

/// Without its first label; `None` at the last one.
fn parent_domain(name: &str) -> Option<&str> {
    // A dot in front is no label's end.
    let from = name.char_indices().nth(1).map_or(name.len(), |(at, _)| at);
    let dot = name.get(from..)?.find('.')? + from;
    name.get(dot + 1..).filter(|parent| !parent.is_empty())
}

/// `10.1.2` of `10.1.2.3`, as ruleset D does it: dots before colons.
fn bracketed_network(address: &str) -> Option<&str> {
    shorter(address, ".").or_else(|| shorter(address, "::")).or_else(|| shorter(address, ":"))
}

/// The same as ruleset A does it: colons before dots.
fn network(address: &str) -> Option<&str> {
    shorter(address, "::").or_else(|| shorter(address, ":")).or_else(|| shorter(address, "."))
}

/// Without the last separator and the one group behind it.
fn shorter<'a>(address: &'a str, separator: &str) -> Option<&'a str> {
    let (head, group) = address.rsplit_once(separator)?;
    let whole = !head.is_empty() && !group.is_empty() && !group.contains([':', '.']);
    whole.then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(first: &str, next: fn(&str) -> Option<&str>) -> Vec<String> {
        let steps = std::iter::successors(Some(first), |address| next(address));
        steps.map(str::to_owned).collect()
    }

    #[test]
    fn searches_widen_as_sendmails_do() {
        assert_eq!(all("a.b.c", parent_domain), ["a.b.c", "b.c", "c"]);
        assert_eq!(all("10.1.2.3", network), ["10.1.2.3", "10.1.2", "10.1", "10"]);
        assert_eq!(
            all("IPv6:2001:db8::25", network),
            ["IPv6:2001:db8::25", "IPv6:2001:db8", "IPv6:2001", "IPv6"]
        );
        assert_eq!(all("10.1", bracketed_network), ["10.1", "10"]);
        assert_eq!(all(".b.c", parent_domain), [".b.c", "c"]);
        assert_eq!(all("", network), [""]);
        assert_eq!(all("...", parent_domain), ["...", "."]);
    }
}
