//! What realms mean to backends, for the limits: names that are one account must share their failures.
//!
//! Runs in the checker. Pure values; where it can't be exact it counts too much together, never too little.

use accounts::query::{Slot, Template};
use protocol::Name;

use crate::mapping::Identity;

/// What a realm means to a backend. Names that are one account to a backend must share their limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RealmUse {
    /// It looks users up by name alone.
    Ignored,
    /// It looks them up in their realm.
    Own,
    /// The same, unless the user has a domain of its own.
    Domain,
    /// The same, and where there is none in this one.
    Default(Name),
}

impl RealmUse {
    /// A query tells realms apart only where one is bound; `%d` is the realm when the user has none of its own.
    pub(crate) fn of(template: &Template) -> Self {
        if template.slots().contains(&Slot::Realm) {
            Self::Own
        } else if template.slots().contains(&Slot::Domain) {
            Self::Domain
        } else {
            Self::Ignored
        }
    }
}

/// What several backends, asked one after the other, make of a realm.
pub(crate) fn shared_use(uses: impl IntoIterator<Item = RealmUse>) -> RealmUse {
    uses.into_iter().fold(RealmUse::Own, |all, one| match (all, one) {
        (RealmUse::Ignored, _) | (_, RealmUse::Ignored) => RealmUse::Ignored,
        (RealmUse::Default(_), RealmUse::Domain) | (RealmUse::Domain, RealmUse::Default(_)) => {
            RealmUse::Ignored
        }
        (RealmUse::Domain, _) | (_, RealmUse::Domain) => RealmUse::Domain,
        (RealmUse::Default(realm), _) | (_, RealmUse::Default(realm)) => RealmUse::Default(realm),
        (RealmUse::Own, RealmUse::Own) => RealmUse::Own,
    })
}

/// User and realm by which failures are counted: names that a chain can't tell apart are one.
pub(crate) fn counted<'a>(identity: &'a Identity, realm: &'a RealmUse) -> (&'a [u8], &'a [u8]) {
    let user = identity.user.as_bytes();
    match realm {
        RealmUse::Ignored => (user, b""),
        RealmUse::Domain if user.contains(&b'@') => (user, b""),
        RealmUse::Default(default) if identity.realm.is_empty() => (user, default.as_bytes()),
        _ => (user, identity.realm.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realms_that_one_backend_of_a_chain_ignores_are_one_to_the_limits() {
        let default = |text: &str| RealmUse::Default(Name::new(text.as_bytes()).unwrap());
        let shared = |uses: &[RealmUse]| shared_use(uses.iter().cloned());
        assert_eq!(shared(&[]), RealmUse::Own);
        assert_eq!(shared(&[RealmUse::Own, default("x")]), default("x"));
        assert_eq!(shared(&[default("x"), default("y")]), default("x"));
        assert_eq!(shared(&[default("x"), RealmUse::Ignored, RealmUse::Own]), RealmUse::Ignored);
        assert_eq!(shared(&[RealmUse::Domain, RealmUse::Own]), RealmUse::Domain);
        assert_eq!(shared(&[RealmUse::Domain, default("x")]), RealmUse::Ignored);
    }

    #[test]
    fn what_a_chain_cannot_tell_apart_is_counted_together() {
        let name = |text: &str| Name::new(text.as_bytes()).unwrap();
        let identity = |user, realm| Identity { user: name(user), realm: name(realm) };
        let default = RealmUse::Default(name("host"));
        let (bare, full, other) = (identity("a", ""), identity("a", "host"), identity("a", "x"));
        assert_eq!(counted(&bare, &default), counted(&full, &default));
        assert_ne!(counted(&bare, &default), counted(&other, &default));
        assert_eq!(counted(&bare, &RealmUse::Ignored), counted(&other, &RealmUse::Ignored));
        assert_ne!(counted(&bare, &RealmUse::Domain), counted(&other, &RealmUse::Domain));
        let (own, own_too) = (identity("a@b", ""), identity("a@b", "x"));
        assert_eq!(counted(&own, &RealmUse::Domain), counted(&own_too, &RealmUse::Domain));
    }

    #[test]
    fn a_query_without_a_realm_ignores_realms() {
        let of = |text: &str| RealmUse::of(&Template::compile(text).unwrap());
        assert_eq!(of("SELECT hash FROM users WHERE name = %u"), RealmUse::Ignored);
        assert_eq!(of("SELECT hash FROM users WHERE name = %u AND realm = %r"), RealmUse::Own);
        assert_eq!(of("SELECT hash FROM users WHERE name = %u AND domain = %d"), RealmUse::Domain);
    }
}
