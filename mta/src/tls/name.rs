//! Whether a certificate is for a host of a name (RFC 9525).
//!
//! Runs in the receiver, to choose among our own certificates, and in the sender, to judge those of servers. Names in
//! certificates come from strangers: one that isn't a host's name (a NUL or a blank in it, say) is no name.

use std::net::IpAddr;

use super::certificate::{Certificate, elements, is_context, only};

/// The DNS names of a certificate: those of its subjectAltName; its common name only when that has no DNS name.
pub(super) fn of_certificate(certificate: &Certificate<'_>) -> Vec<String> {
    if certificate.extensions.names.is_empty() && !certificate.extensions.malformed {
        return common_name(certificate.subject).into_iter().collect();
    }
    stated(certificate)
}

/// The DNS names of its subjectAltName.
pub(super) fn stated(certificate: &Certificate<'_>) -> Vec<String> {
    let names = certificate.extensions.names.iter().filter(|name| is_context(name, 2));
    names.filter_map(|name| host(name.data())).collect()
}

/// Whether the subjectAltName has this address.
pub(super) fn has_address(certificate: &Certificate<'_>, address: IpAddr) -> bool {
    let mut addresses = certificate.extensions.names.iter().filter(|name| is_context(name, 7));
    addresses.any(|name| match address {
        IpAddr::V4(address) => name.data() == address.octets(),
        IpAddr::V6(address) => name.data() == address.octets(),
    })
}

/// The last common name of a subject, if it is a host's.
fn common_name(subject: &[u8]) -> Option<String> {
    let mut found = None;
    for part in elements(only(subject).ok()?.data()).ok()? {
        for attribute in elements(part.data()).ok()? {
            if let [kind, value] = elements(attribute.data()).ok()?.as_slice()
                && kind.data() == [0x55, 4, 3]
            {
                found = host(value.data());
            }
        }
    }
    found
}

/// A host's name in lower case, perhaps with `*` as its first label.
fn host(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.to_ascii_lowercase();
    let labels = text.strip_prefix("*.").unwrap_or(&text);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    (labels.split('.').all(is_label) && text.len() <= 253).then_some(text)
}

/// Whether one of these names is that host's: the same, or with `*` for exactly its first label.
pub(super) fn matches_any(names: &[String], wanted: &str) -> bool {
    let wanted = wanted.strip_suffix('.').unwrap_or(wanted).to_ascii_lowercase();
    names.iter().any(|name| match name.strip_prefix("*.") {
        // `*.example` would be for a whole top-level domain.
        Some(parent) => {
            parent.contains('.') && wanted.split_once('.').is_some_and(|(_, rest)| rest == parent)
        }
        None => *name == wanted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_for_one_label() {
        let names = ["mx.example.org".to_owned(), "*.mail.example.org".to_owned()];
        for (wanted, matches) in [
            ("mx.example.org", true),
            ("MX.Example.Org.", true),
            ("a.mail.example.org", true),
            ("a.b.mail.example.org", false),
            ("mail.example.org", false),
            (".mail.example.org", true),
            ("example.org", false),
            ("", false),
        ] {
            assert_eq!(matches_any(&names, wanted), matches, "{wanted}");
        }
        assert!(!matches_any(&["*.org".to_owned()], "example.org"));
    }

    #[test]
    fn only_hosts_names_are_names() {
        for (bytes, name) in [
            (&b"MX.example.org"[..], Some("mx.example.org")),
            (b"*.example.org", Some("*.example.org")),
            (b"mx.example.org\0.evil.org", None),
            (b"m*.example.org", None),
            (b"*", None),
            (b"a..b", None),
            (b"a b", None),
            (b"", None),
        ] {
            assert_eq!(host(bytes).as_deref(), name, "{bytes:?}");
        }
    }
}
