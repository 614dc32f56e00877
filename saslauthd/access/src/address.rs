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

/// What is wrong with an address, as sendmail says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadAddress {
    pub(crate) dsn: &'static str,
    pub(crate) text: &'static str,
}

const NO_USER: BadAddress = BadAddress { dsn: "5.1.3", text: "User address required" };
const BAD_LITERAL: BadAddress = BadAddress { dsn: "5.1.2", text: "Invalid address" };
const COLON: BadAddress = BadAddress { dsn: "5.1.3", text: "Colon illegal in host name part" };
const BAD_HOST: BadAddress = BadAddress { dsn: "5.1.2", text: "Invalid host name" };
const BAD_ROUTE: BadAddress = BadAddress { dsn: "5.1.3", text: "Invalid route address" };

impl Mailbox {
    /// Of an address with or without `<>`. Routes through our own names are unwrapped (`user%host@us`), and
    /// `localhost` is this host.
    ///
    /// # Errors
    /// What makes it no address, to sendmail.
    pub(crate) fn canonical(address: &str, settings: &Settings) -> Result<Self, BadAddress> {
        let mut mailbox = Self::plain(behind_route(without_brackets(address)), settings)?;
        for _ in 0..MOST_HOPS {
            let local = mailbox.domain.as_deref().is_some_and(|domain| settings.is_local(domain));
            if !local || !mailbox.has_route() {
                break;
            }
            mailbox = Self::plain(&mailbox.user, settings)?;
        }
        Ok(mailbox)
    }

    /// The mailbox that its local part names, which was taken through a relay domain.
    pub(crate) fn unwrapped(&self, settings: &Settings) -> Result<Self, BadAddress> {
        Self::canonical(&self.user, settings)
    }

    /// Does the local part name a host?
    pub(crate) fn has_route(&self) -> bool {
        self.user.contains(ROUTES)
    }

    /// At the last `@`; without one at the last `%`, or at the first `!`.
    fn plain(address: &str, settings: &Settings) -> Result<Self, BadAddress> {
        if let Some((user, domain)) = address.rsplit_once('@') {
            return Self::of(user, domain, settings);
        }
        // What is quoted is no route until it has been taken out of its quotes.
        if let Some((user, domain)) = address.rsplit_once('%') {
            return Self::of(user, domain, settings);
        }
        match address.split_once('!') {
            Some((host, user)) if host.contains('.') && !host.ends_with([']', '.']) => {
                Self::of(user, host, settings)
            }
            Some((host, user)) => Self::of(user, &format!("{host}.UUCP"), settings),
            None => Ok(Self { user: dequoted(address), domain: None }),
        }
    }

    fn of(user: &str, domain: &str, settings: &Settings) -> Result<Self, BadAddress> {
        if domain.is_empty() {
            return Ok(Self { user: dequoted(user), domain: None });
        }
        let domain = if settings.is_own_alias(domain) {
            settings.host_name().unwrap_or(domain)
        } else {
            domain
        };
        if let Some(bad) = bad(user, domain) {
            return Err(bad);
        }
        let domain = domain.trim_end_matches('.');
        let domain = Some(domain.to_owned()).filter(|domain| !domain.is_empty());
        Ok(Self { user: dequoted(user), domain })
    }
}

/// sendmail's checks of an address, in its order.
fn bad(user: &str, domain: &str) -> Option<BadAddress> {
    if user.is_empty() {
        return Some(NO_USER);
    }
    match domain.strip_prefix('[').and_then(|rest| rest.find(']').map(|end| (rest, end))) {
        Some((rest, end)) if end + 1 < rest.len() => return Some(BAD_LITERAL),
        Some(_) => {}
        None if domain.contains(':') => return Some(COLON),
        None => {}
    }
    if domain.starts_with('.') || domain.contains("..") {
        return Some(BAD_HOST);
    }
    let quoted = user.starts_with('"') && user.ends_with('"');
    (user.contains('@') && !quoted).then_some(BAD_ROUTE)
}

/// Without a source route in front (`@relay:user@host`, RFC 5321 appendix C).
fn behind_route(address: &str) -> &str {
    match address.split_once(':') {
        Some((route, rest)) if route.starts_with('@') && !rest.is_empty() => rest,
        _ => address,
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
        let mailbox = Mailbox::canonical(address, &settings).expect("an address");
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
        assert_eq!(canonical("<@a.example,@b.example:u@c.example>"), at("u", "c.example"));
        assert_eq!(canonical("<u@localhost>"), at("u", "us.example"));
        assert_eq!(canonical("<localhost!u@us.example>"), at("u", "us.example"));
    }

    #[test]
    fn what_sendmail_takes_for_no_address_is_none() {
        let settings = Settings { local_domains: vec!["us.example".into()], ..Settings::default() };
        for (address, bad) in [
            ("<u@v@us.example>", BAD_ROUTE),
            ("<@us.example>", NO_USER),
            ("<u@[10.1.2.3].>", BAD_LITERAL),
            ("<[10.1.2.3]!u@us.example>", BAD_LITERAL),
            ("<u@.example>", BAD_HOST),
            ("<u@a..example>", BAD_HOST),
            ("<u@a:b>", COLON),
        ] {
            assert_eq!(Mailbox::canonical(address, &settings), Err(bad), "{address}");
        }
    }

    #[test]
    fn addresses_are_written_as_keys() {
        let key = |text: &str| address_key(text.parse().expect("an address"));
        assert_eq!(key("192.0.2.1"), "192.0.2.1");
        assert_eq!(key("2001:db8::25"), "IPv6:2001:db8:0:0:0:0:0:25");
        assert_eq!(key("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
