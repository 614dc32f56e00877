//! As whom an account may send: what accounts store, what an auth socket says with `OK`, and what a mail server holds
//! a sender against.
//!
//! A value type for the checker, the listener, the tools and the mta. No I/O. What is read comes from an operator, a
//! database or another server; a list that can't be read is [`Senders::Listed`] with nothing in it and never
//! [`Senders::Any`].

use std::fmt;

use crate::Name;

/// As whom an account may send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Senders {
    /// As itself: nobody said more. See [`Senders::permits`].
    #[default]
    Own,
    /// As anybody.
    Any,
    /// As these and nobody else.
    Listed(Vec<Pattern>),
}

/// One of the senders of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// One address: local part and domain.
    Address(String, String),
    /// Every address of a domain.
    Domain(String),
}

/// Why a text is no list of senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unusable {
    /// More than [`Senders::MAX`] bytes in all.
    TooLong,
    /// A word is neither an address nor `@` and a domain.
    Word,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the list of senders has over 2048 bytes; use @domain for many of one",
            Self::Word => "a sender is an address, @domain, or * alone",
        })
    }
}

impl std::error::Error for Unusable {}

impl Senders {
    /// Longest text of a list, in bytes: half of what an auth socket's line has.
    pub const MAX: usize = 2048;

    /// Reads `*`, or addresses and `@domain`s between blanks. Without a word nobody is permitted.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn parse(text: &str) -> Result<Self, Unusable> {
        if text.len() > Self::MAX {
            return Err(Unusable::TooLong);
        }
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        text.split_ascii_whitespace()
            .map(Pattern::parse)
            .collect::<Result<_, _>>()
            .map(Self::Listed)
    }

    /// The text of it; `None` for [`Senders::Own`].
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Own => None,
            Self::Any => Some("*".to_owned()),
            Self::Listed(patterns) => {
                Some(patterns.iter().map(Pattern::to_string).collect::<Vec<_>>().join(" "))
            }
        }
    }

    /// Whether `user` may send as `local_part@domain`, where `local_domains` are the mail server's own.
    ///
    /// Who sends as itself sends as the login name when that is an address, and as the login name at any domain of the
    /// mail server when it has no domain; `name+anything` is the same person. Domains are compared without regard to
    /// ASCII case, local parts as they are.
    pub fn permits(
        &self,
        user: &Name,
        (local_part, domain): (&str, &str),
        local_domains: &[String],
    ) -> bool {
        let listed = |pattern: &Pattern| match pattern {
            Pattern::Address(theirs, at) => theirs == local_part && at.eq_ignore_ascii_case(domain),
            Pattern::Domain(at) => at.eq_ignore_ascii_case(domain),
        };
        match self {
            Self::Any => true,
            Self::Listed(patterns) => patterns.iter().any(listed),
            Self::Own => {
                let Ok(user) = std::str::from_utf8(user.as_bytes()) else { return false };
                let (own, at_home) = match user.rsplit_once('@') {
                    Some((own, at)) => (own, at.eq_ignore_ascii_case(domain)),
                    None => (user, local_domains.iter().any(|d| d.eq_ignore_ascii_case(domain))),
                };
                at_home && is_mailbox_of(own, local_part)
            }
        }
    }
}

/// `own`, or `own+extension`.
fn is_mailbox_of(own: &str, local_part: &str) -> bool {
    let rest = local_part.strip_prefix(own).filter(|_| !own.is_empty());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
}

impl Pattern {
    fn parse(word: &str) -> Result<Self, Unusable> {
        let fits = |text: &str| {
            !text.is_empty()
                && text.chars().all(|letter| !letter.is_control() && !letter.is_whitespace())
        };
        let (local_part, domain) = word.rsplit_once('@').ok_or(Unusable::Word)?;
        // Whatever else is in a quoted local part, these words are only ever compared.
        match (local_part, domain) {
            (_, domain) if !fits(domain) || domain.contains(['*', '<', '>', '"']) => {
                Err(Unusable::Word)
            }
            ("", domain) => Ok(Self::Domain(domain.to_owned())),
            (local_part, _) if !fits(local_part) || local_part.contains(['*', '<', '>']) => {
                Err(Unusable::Word)
            }
            _ => Ok(Self::Address(local_part.to_owned(), domain.to_owned())),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(local_part, domain) => write!(f, "{local_part}@{domain}"),
            Self::Domain(domain) => write!(f, "@{domain}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn may(senders: &str, user: &str, address: &str) -> bool {
        let senders = match senders {
            "" => Senders::Own,
            text => Senders::parse(text).unwrap(),
        };
        let local = ["here.example".to_owned(), "Also.example".to_owned()];
        let name = Name::new(user.as_bytes()).unwrap();
        senders.permits(&name, address.rsplit_once('@').unwrap(), &local)
    }

    #[test]
    fn who_sends_as_itself() {
        for (user, address, permitted) in [
            ("alice", "alice@here.example", true),
            ("alice", "alice@also.EXAMPLE", true),
            ("alice", "alice+news@here.example", true),
            ("alice", "alice+@here.example", true),
            ("alice", "alice@elsewhere.example", false),
            ("alice", "Alice@here.example", false),
            ("alice", "alicebob@here.example", false),
            ("alice", "bob@here.example", false),
            ("alice", "bob+alice@here.example", false),
            ("alice@one.example", "alice@One.example", true),
            ("alice@one.example", "alice+x@one.example", true),
            ("alice@one.example", "alice@here.example", false),
            ("alice@one.example", "alice@one.example.evil", false),
            ("@here.example", "+x@here.example", false),
            ("", "@here.example", false),
        ] {
            assert_eq!(may("", user, address), permitted, "{user} as {address}");
        }
    }

    #[test]
    fn who_has_a_list() {
        let list = "sales@here.example @team.example";
        for (senders, address, permitted) in [
            ("*", "anybody@anywhere.example", true),
            (list, "sales@HERE.example", true),
            (list, "Sales@here.example", false),
            (list, "sales+x@here.example", false),
            (list, "whoever@team.example", true),
            (list, "whoever@sub.team.example", false),
            // A list is all there is.
            (list, "alice@here.example", false),
        ] {
            assert_eq!(may(senders, "alice", address), permitted, "{senders}: {address}");
        }
        assert_eq!(Senders::parse(" "), Ok(Senders::Listed(Vec::new())));
    }

    #[test]
    fn what_is_no_list() {
        for bad in
            ["alice", "a@", "@", "* a@b", "a@b *", "*@b.example", "a@*", "<a@b>", "a\u{85}b@c"]
        {
            assert_eq!(Senders::parse(bad), Err(Unusable::Word), "{bad}");
        }
        assert_eq!(Senders::parse(&"a@b ".repeat(600)), Err(Unusable::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in "( |\\*|[a-z\"+]{0,4}@[a-z.]{0,4}|[\\x00-\\x7f]{0,3}){0,8}") {
            if let Ok(senders) = Senders::parse(&text) {
                prop_assert_eq!(Senders::parse(&senders.text().unwrap()), Ok(senders));
            }
        }
    }
}
