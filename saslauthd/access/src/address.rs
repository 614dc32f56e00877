//! Mail addresses and IP addresses in the form in which rules and keys have them.
//!
//! Senders and recipients come from the client as they are; what can't be taken apart stays one local part, which no
//! key but its own matches. Nothing is looked up in DNS.

use std::net::IpAddr;

use crate::settings::Settings;

/// An IP address as sendmail writes it in keys: `192.0.2.1`, and `IPv6:2001:db8:0:0:0:0:0:1` with all eight groups.
/// An IPv4 address inside an IPv6 one is the IPv4 address.
pub fn address_key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let groups: Vec<String> =
                address.segments().iter().map(|group| format!("{group:x}")).collect();
            format!("IPv6:{}", groups.join(":"))
        }
    }
}

/// A mailbox taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mailbox {
    pub(crate) user: String,
    /// Without dots at its end; `None` for a user alone.
    pub(crate) domain: Option<String>,
}

/// Characters by which a local part asks for another host.
const ROUTES: [char; 3] = ['%', '!', '@'];
/// How often a local part is unwrapped: each time takes a character off it.
const MOST_HOPS: usize = 32;

impl Mailbox {
    /// Of an address with or without `<>`. Routes through our own names are unwrapped (`user%host@us`).
    pub(crate) fn canonical(address: &str, settings: &Settings) -> Self {
        let mut mailbox = Self::plain(without_brackets(address));
        for _ in 0..MOST_HOPS {
            let local = mailbox.domain.as_deref().is_some_and(|domain| settings.is_local(domain));
            if !local || !mailbox.has_route() {
                break;
            }
            mailbox = Self::plain(&mailbox.user);
        }
        mailbox
    }

    /// The mailbox that its local part names, which was taken through a relay domain.
    pub(crate) fn unwrapped(&self, settings: &Settings) -> Self {
        Self::canonical(&self.user, settings)
    }

    /// Does the local part name a host?
    pub(crate) fn has_route(&self) -> bool {
        self.user.contains(ROUTES)
    }

    /// At the last `@`; without one at the last `%`, or at the first `!`.
    fn plain(address: &str) -> Self {
        let split = |user: &str, domain: &str| {
            let domain = domain.trim_end_matches('.');
            let domain = Some(domain.to_owned()).filter(|domain| !domain.is_empty());
            Self { user: dequoted(user), domain }
        };
        if let Some((user, domain)) = address.rsplit_once('@') {
            return split(user, domain);
        }
        // What is quoted is no route until it has been taken out of its quotes.
        if let Some((user, domain)) = address.rsplit_once('%') {
            return split(user, domain);
        }
        match address.split_once('!') {
            Some((host, user)) if host.contains('.') => split(user, host),
            Some((host, user)) => split(user, &format!("{host}.UUCP")),
            None => Self { user: dequoted(address), domain: None },
        }
    }
}

/// Without the `<>` around it.
pub(crate) fn without_brackets(address: &str) -> &str {
    let address = address.trim();
    let inside = address.strip_prefix('<').unwrap_or(address);
    inside.strip_suffix('>').unwrap_or(inside)
}

/// A local part that is one quoted string, without its quotes.
fn dequoted(user: &str) -> String {
    let inside = user.strip_prefix('"').and_then(|user| user.strip_suffix('"'));
    inside.unwrap_or(user).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(address: &str) -> (String, Option<String>) {
        let settings = Settings { local_domains: vec!["us.example".into()], ..Settings::default() };
        let mailbox = Mailbox::canonical(address, &settings);
        (mailbox.user, mailbox.domain)
    }

    fn at(user: &str, domain: &str) -> (String, Option<String>) {
        (user.to_owned(), Some(domain.to_owned()))
    }

    #[test]
    fn mailboxes_are_taken_apart() {
        assert_eq!(canonical("<joe@Example.org.>"), at("joe", "Example.org"));
        assert_eq!(canonical("<joe>"), ("joe".into(), None));
        assert_eq!(canonical("<>"), (String::new(), None));
        assert_eq!(canonical("joe@"), ("joe".into(), None));
    }

    #[test]
    fn routes_through_us_are_unwrapped() {
        assert_eq!(canonical("<u%other.example@us.example>"), at("u", "other.example"));
        assert_eq!(canonical("<other.example!u@us.example>"), at("u", "other.example"));
        assert_eq!(canonical("<far!u@us.example>"), at("u", "far.UUCP"));
        assert_eq!(canonical("<\"u%other.example\"@us.example>"), at("u", "other.example"));
        assert_eq!(canonical("<a%b%us.example@us.example>"), at("a", "b"));
        assert_eq!(canonical("<u%x@other.example>"), at("u%x", "other.example"));
        assert_eq!(canonical("<u@v@us.example>"), at("u", "v"));
    }

    #[test]
    fn addresses_are_written_as_keys() {
        let key = |text: &str| address_key(text.parse().expect("an address"));
        assert_eq!(key("192.0.2.1"), "192.0.2.1");
        assert_eq!(key("2001:db8::25"), "IPv6:2001:db8:0:0:0:0:0:25");
        assert_eq!(key("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
