//! From the login and realm of a request to the user and realm that are looked up: one pure function.
//!
//! Runs in the checker. Limiter, cache, backends and log see what comes out here and nothing else.

use credentials::names::Preparation;
use ipc::config::{Mapping, MappingRule};
use protocol::Name;

/// Who logs in, prepared and mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The user that backends are asked for.
    pub(crate) user: Name,
    /// The realm that backends are asked for; may be empty.
    pub(crate) realm: Name,
}

/// Prepares both names and maps them. `None` when one can't be a name here.
pub(crate) fn identity(
    mapping: &Mapping,
    names: Preparation,
    login: &Name,
    realm: &Name,
) -> Option<Identity> {
    let login = names.prepare(login).ok()?;
    let realm = names.prepare(realm).ok()?;
    match mapping.rule {
        MappingRule::Cyrus => {
            Some(Identity { user: login, realm: or_default(realm, &mapping.default_realm)? })
        }
        MappingRule::Join => {
            let realm = or_default(realm, &mapping.default_realm)?;
            let user = if realm.is_empty() { login } else { join(&login, &realm)? };
            Some(Identity { user, realm })
        }
        MappingRule::Split => match split(&login) {
            Some((user, domain)) if realm.is_empty() || realm == domain => {
                Some(Identity { user, realm: domain })
            }
            _ => Some(Identity { user: login, realm: or_default(realm, &mapping.default_realm)? }),
        },
    }
}

fn or_default(realm: Name, default: &str) -> Option<Name> {
    if realm.is_empty() { Name::new(default.as_bytes()).ok() } else { Some(realm) }
}

fn join(login: &Name, realm: &Name) -> Option<Name> {
    Name::new(&[login.as_bytes(), b"@", realm.as_bytes()].concat()).ok()
}

/// At the last `@`, as libsasl2's client does it; neither side may be empty.
fn split(login: &Name) -> Option<(Name, Name)> {
    let at = login.as_bytes().iter().rposition(|byte| *byte == b'@')?;
    let (user, domain) = login.as_bytes().split_at_checked(at)?;
    let domain = domain.get(1..)?;
    if user.is_empty() || domain.is_empty() {
        return None;
    }
    Some((Name::new(user).ok()?, Name::new(domain).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(
        rule: MappingRule,
        default_realm: &str,
        login: &str,
        realm: &str,
    ) -> Option<(String, String)> {
        let mapping = Mapping { rule, one_name: rule, default_realm: default_realm.into() };
        let name = |text: &str| Name::new(text.as_bytes()).unwrap();
        let identity = identity(&mapping, Preparation::Precis, &name(login), &name(realm))?;
        let text = |name: Name| String::from_utf8(name.as_bytes().to_vec()).unwrap();
        Some((text(identity.user), text(identity.realm)))
    }

    /// Login and realm of a request, and then user and realm without a default realm and with `dflt`.
    type Case = (&'static str, &'static str, [&'static str; 2], [&'static str; 2]);

    fn check(rule: MappingRule, cases: &[Case]) {
        for (login, realm, plain, with_default) in cases {
            let got = map(rule, "", login, realm).unwrap();
            assert_eq!([&*got.0, &*got.1], *plain, "{rule:?} {login} {realm}");
            let got = map(rule, "dflt", login, realm).unwrap();
            assert_eq!([&*got.0, &*got.1], *with_default, "{rule:?} {login} {realm} dflt");
        }
    }

    #[test]
    fn c4_cyrus_passes_both_on_as_they_came() {
        check(
            MappingRule::Cyrus,
            &[
                ("a@b", "", ["a@b", ""], ["a@b", "dflt"]),
                ("a", "b", ["a", "b"], ["a", "b"]),
                ("a@b", "c", ["a@b", "c"], ["a@b", "c"]),
                ("a@b@c", "", ["a@b@c", ""], ["a@b@c", "dflt"]),
                ("@b", "", ["@b", ""], ["@b", "dflt"]),
                ("a@", "", ["a@", ""], ["a@", "dflt"]),
                ("A", "B", ["A", "B"], ["A", "B"]),
                ("a", "b.", ["a", "b."], ["a", "b."]),
                ("a", "bücher.example", ["a", "bücher.example"], ["a", "bücher.example"]),
            ],
        );
    }

    #[test]
    fn c4_join_is_saslauthd_r() {
        check(
            MappingRule::Join,
            &[
                ("a@b", "", ["a@b", ""], ["a@b@dflt", "dflt"]),
                ("a", "b", ["a@b", "b"], ["a@b", "b"]),
                ("a@b", "c", ["a@b@c", "c"], ["a@b@c", "c"]),
                ("a@b@c", "", ["a@b@c", ""], ["a@b@c@dflt", "dflt"]),
                ("@b", "", ["@b", ""], ["@b@dflt", "dflt"]),
                ("a@", "", ["a@", ""], ["a@@dflt", "dflt"]),
                ("A", "B", ["A@B", "B"], ["A@B", "B"]),
                ("a", "b.", ["a@b.", "b."], ["a@b.", "b."]),
            ],
        );
        let long = "x".repeat(1000);
        assert_eq!(map(MappingRule::Join, "", &long, &long), None);
    }

    #[test]
    fn c4_split_takes_the_last_at() {
        check(
            MappingRule::Split,
            &[
                ("a@b", "", ["a", "b"], ["a", "b"]),
                ("a", "b", ["a", "b"], ["a", "b"]),
                ("a", "", ["a", ""], ["a", "dflt"]),
                ("a@b", "b", ["a", "b"], ["a", "b"]),
                ("a@b", "c", ["a@b", "c"], ["a@b", "c"]),
                ("a@b@c", "", ["a@b", "c"], ["a@b", "c"]),
                ("@b", "", ["@b", ""], ["@b", "dflt"]),
                ("a@", "", ["a@", ""], ["a@", "dflt"]),
                ("a@B", "b", ["a@B", "b"], ["a@B", "b"]),
                ("a@b.", "", ["a", "b."], ["a", "b."]),
            ],
        );
    }

    #[test]
    fn c4_spellings_of_one_name_are_one_identity() {
        let composed = map(MappingRule::Cyrus, "", "b\u{fc}cher", "");
        assert_eq!(composed, map(MappingRule::Cyrus, "", "bu\u{308}cher", ""));
        assert_eq!(
            map(MappingRule::Split, "", "a\u{ff20}b", ""),
            None,
            "no @ out of a fullwidth one"
        );
        assert_ne!(map(MappingRule::Cyrus, "", "ab", "c"), map(MappingRule::Cyrus, "", "a", "bc"));
    }

    proptest! {
        #[test]
        fn c4_mapping_what_was_split_changes_nothing(login in "[a-c@.]{1,8}", realm in "[a-c@.]{0,4}") {
            let once = map(MappingRule::Split, "", &login, &realm).unwrap();
            if !once.1.is_empty() && once.0 != login {
                prop_assert_eq!(format!("{}@{}", once.0, once.1), login);
            }
        }
    }
}
