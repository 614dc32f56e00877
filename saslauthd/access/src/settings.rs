//! What a site has chosen: the features of sendmail's m4 configuration that change a decision, and whose reply codes.
//!
//! Plain values, read once with the configuration. Nothing here grants anything by itself: the defaults relay for
//! nobody and require nothing.

/// Whose answers to give. They differ in reply codes, and in what `verify` may say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// sendmail 8.15.2: 403 and 503.
    V8_15,
    /// sendmail 8.17.1: 454, 403 for `TEMP+`, 503 for `PERM+`.
    V8_17,
    /// sendmail 8.18.2: 454 and 554.
    #[default]
    V8_18,
}

impl Generation {
    /// By its name in configuration files: `8.15`, `8.17` or `8.18`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "8.15" => Some(Self::V8_15),
            "8.17" => Some(Self::V8_17),
            "8.18" => Some(Self::V8_18),
            _ => None,
        }
    }

    /// `8.15`, `8.17` or `8.18`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V8_15 => "8.15",
            Self::V8_17 => "8.17",
            Self::V8_18 => "8.18",
        }
    }
}

/// Which part of a distinguished name is looked up (`_CERT_REGEX_ISSUER_`, `_CERT_REGEX_SUBJECT_`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DnFilter {
    /// All of it.
    #[default]
    Whole,
    /// Its last `/CN=…` alone; all of it if it has none.
    CommonName,
}

/// What a site has chosen. The default is a plain `FEATURE(access_db)` that relays for nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whose reply codes and whose view of `verify`.
    pub generation: Generation,
    /// `lookupdotdomain`: after `Tag:a.b.c` also `Tag:.b.c`.
    pub lookup_dot_domain: bool,
    /// `skip`: the value `SKIP` ends a lookup with "not found".
    pub skip: bool,
    /// `relaytofulladdress`: `To:user@domain` and `To:user@` may say RELAY.
    pub relay_to_full_address: bool,
    /// `check_cert_altnames`: requirement `CN` is also met by a DNS alternative name. sendmail 8.15 had no such
    /// feature; with it on that generation answers as 8.17.
    pub cert_altnames: bool,
    /// `delay_checks`: at RCPT also ask what MAIL and the connection would have been told.
    pub delay_checks: bool,
    /// `TLS_PERM_ERR`: a requirement without `TEMP+` or `PERM+` refuses for good.
    pub permanent_tls_errors: bool,
    /// `relay_hosts_only`: names of relay domains and of `To:` and `Connect:` are hosts, not domains.
    pub relay_hosts_only: bool,
    /// Which part of the issuer is looked up.
    pub issuer_filter: DnFilter,
    /// Which part of the subject is looked up.
    pub subject_filter: DnFilter,
    /// Any verified certificate (`verify` is OK) may relay, whoever issued it.
    pub verified_may_relay: bool,
    /// EXPN and VRFY only for clients that have logged in.
    pub expn_needs_auth: bool,
    /// That a client is on this host is nobody's word for it: a proxy makes everybody so. An entry, or a relay domain,
    /// may still say that it may relay. sendmail takes every client on its host for one of its own.
    pub own_host_needs_a_word: bool,
    /// Names of this host (class w); address literals with brackets. The first is its own name (`$j`).
    pub local_domains: Vec<String>,
    /// Domains, hosts and networks (`192.0.2`) that are relayed for (class R).
    pub relay_domains: Vec<String>,
    /// Mechanisms whose users may relay (`TRUST_AUTH_MECH`).
    pub trusted_mechanisms: Vec<String>,
}

impl Settings {
    /// The generation that answers: see [`Settings::cert_altnames`].
    pub(crate) fn generation(&self) -> Generation {
        if self.cert_altnames { self.generation.max(Generation::V8_17) } else { self.generation }
    }

    /// Is this one of our own names? `localhost` always is, as in sendmail's class w.
    pub(crate) fn is_local(&self, name: &str) -> bool {
        let mut names = self.local_domains.iter().map(String::as_str).chain(["localhost"]);
        names.any(|local| local.eq_ignore_ascii_case(name))
    }

    /// This host's own name.
    pub(crate) fn host_name(&self) -> Option<&str> {
        self.local_domains.first().map(String::as_str)
    }

    /// `localhost`, also with the host's domain (`$m`) or as a UUCP name: an address there is one at the host's name.
    pub(crate) fn is_own_alias(&self, name: &str) -> bool {
        let Some((host, domain)) = name.split_once('.') else {
            return name.eq_ignore_ascii_case("localhost");
        };
        let own = self.host_name().and_then(|name| name.split_once('.')).map(|(_, domain)| domain);
        let here = |own: &str| own.eq_ignore_ascii_case(domain);
        host.eq_ignore_ascii_case("localhost") && (here("UUCP") || own.is_some_and(here))
    }

    /// Is this a domain that we relay for, or below one?
    pub(crate) fn is_relay_domain(&self, name: &str) -> bool {
        self.relay_domains.iter().any(|domain| {
            domain.eq_ignore_ascii_case(name) || (!self.relay_hosts_only && is_below(name, domain))
        })
    }

    /// Is this address a relay client, or in a network of them?
    pub(crate) fn is_relay_address(&self, address: &str) -> bool {
        self.relay_domains.iter().any(|network| {
            let Some((head, tail)) = address.split_at_checked(network.len()) else {
                return false;
            };
            head.eq_ignore_ascii_case(network) && (tail.is_empty() || tail.starts_with(['.', ':']))
        })
    }

    /// May users of this mechanism relay?
    pub(crate) fn trusts(&self, mechanism: &str) -> bool {
        self.trusted_mechanisms.iter().any(|trusted| trusted.eq_ignore_ascii_case(mechanism))
    }
}

/// `a.b` is below `b`, and not below itself.
pub(crate) fn is_below(name: &str, domain: &str) -> bool {
    let Some(at) = name.len().checked_sub(domain.len()) else { return false };
    let Some((head, tail)) = name.split_at_checked(at) else { return false };
    head.ends_with('.') && !domain.is_empty() && tail.eq_ignore_ascii_case(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relaying(domain: &str) -> Settings {
        Settings { relay_domains: vec![domain.to_owned()], ..Settings::default() }
    }

    #[test]
    fn domains_and_networks_end_at_a_label() {
        let settings = relaying("relay.example");
        assert!(settings.is_relay_domain("Relay.Example"));
        assert!(settings.is_relay_domain("deep.relay.example"));
        assert!(!settings.is_relay_domain("xrelay.example"));
        let settings = relaying("192.0.2");
        assert!(settings.is_relay_address("192.0.2.77"));
        assert!(!settings.is_relay_address("192.0.20.7"));
        assert!(!settings.is_relay_address("192.0"));
    }

    #[test]
    fn a_feature_that_8_15_did_not_have_makes_it_8_17() {
        let old = Settings { generation: Generation::V8_15, ..Settings::default() };
        assert_eq!(old.generation(), Generation::V8_15);
        assert_eq!(Settings { cert_altnames: true, ..old }.generation(), Generation::V8_17);
    }
}
