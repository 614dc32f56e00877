//! Name constraints: for which names an authority may sign (RFC 5280 section 4.2.1.10).
//!
//! Runs in the receiver and in the sender; but for the authorities, all bytes come from strangers. OpenSSL's rules and
//! words, and one rule more: a wildcard is excluded when one of the names that it stands for is. A kind of name for
//! which there is a constraint that nobody here understands is a fault, never a match.

use asn1::Tlv;

use super::certificate::{Certificate, Malformed, array, elements, is_context, only};
use super::distinguished::Comparable;
use super::reason::Reason;

/// Most comparisons for one certificate; a chain that needs more is made to keep us busy.
const MAX_COMPARISONS: usize = 250_000;

/// Checks each certificate of a chain against the constraints of those above it.
pub(super) fn check(chain: &[Certificate<'_>]) -> Result<(), Reason> {
    for (depth, certificate) in chain.iter().enumerate().rev() {
        if depth != 0 && certificate.is_self_issued() {
            continue;
        }
        for authority in chain.iter().skip(depth + 1).rev() {
            if let Some(constraints) = authority.extensions.constraints {
                let constraints =
                    Constraints::read(constraints).map_err(|_| Reason::ConstraintSyntax)?;
                constraints.check(&names(certificate, depth)?)?;
            }
        }
    }
    Ok(())
}

/// A name of a certificate, or what a constraint says of names of its kind.
#[derive(Clone, Debug)]
enum Name<'a> {
    Directory(Comparable),
    Dns(&'a [u8]),
    Email(&'a [u8]),
    Uri(&'a [u8]),
    Address(&'a [u8]),
    Other(u8),
}

impl<'a> Name<'a> {
    fn read(name: &Tlv<'a>) -> Result<Self, Malformed> {
        let tag = name.tag().as_u8().ok_or(Malformed)? & 0x1f;
        Ok(match tag {
            1 => Self::Email(name.data()),
            2 => Self::Dns(name.data()),
            4 => Self::Directory(Comparable::of(name.data())?),
            6 => Self::Uri(name.data()),
            7 => Self::Address(name.data()),
            other => Self::Other(other),
        })
    }

    fn is_of_kind(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other(one), Self::Other(other)) => one == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    /// Whether the name is within a constraint of its kind.
    fn is_within(&self, base: &Self) -> Result<bool, Reason> {
        match (self, base) {
            (Self::Directory(name), Self::Directory(base)) => Ok(name.is_within(base)),
            (Self::Dns(name), Self::Dns(base)) => Ok(is_dns_within(name, base)),
            (Self::Email(name), Self::Email(base)) => is_email_within(name, base),
            (Self::Uri(name), Self::Uri(base)) => is_uri_within(name, base),
            (Self::Address(name), Self::Address(base)) => is_address_within(name, base),
            _ => Err(Reason::ConstraintType),
        }
    }

    /// Whether the name stands for one that is within a constraint: a wildcard does, for one of its names.
    fn reaches_into(&self, base: &Self) -> Result<bool, Reason> {
        if let (Self::Dns([b'*', b'.', parent @ ..]), Self::Dns(base)) = (self, base) {
            let base = base.strip_prefix(b".").unwrap_or(base);
            let end = base.len().checked_sub(parent.len());
            let ends_same = end
                .and_then(|end| base.get(end..))
                .is_some_and(|end| end.eq_ignore_ascii_case(parent));
            let whole_labels = end.is_some_and(|end| {
                end == 0 || end.checked_sub(1).and_then(|dot| base.get(dot)) == Some(&b'.')
            });
            if ends_same && whole_labels {
                return Ok(true);
            }
        }
        self.is_within(base)
    }
}

/// The names for which a certificate can be taken.
fn names<'a>(certificate: &Certificate<'a>, depth: usize) -> Result<Vec<Name<'a>>, Reason> {
    let malformed = |_: Malformed| Reason::NameSyntax;
    let mut found = Vec::new();
    if !certificate.subject_name.is_empty() {
        found.push(Name::Directory(certificate.subject_name.clone()));
    }
    let stated = &certificate.extensions.names;
    let has_dns = stated.iter().any(|name| is_context(name, 2));
    let subject = only(certificate.subject).map_err(malformed)?;
    for part in elements(subject.data()).map_err(malformed)? {
        for attribute in elements(part.data()).map_err(malformed)? {
            let [kind, value] = array(attribute.data()).map_err(malformed)?;
            match kind.data() {
                // emailAddress
                [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => {
                    found.push(Name::Email(value.data()));
                }
                // A common name is taken for a host where there is no other.
                [0x55, 4, 3] if depth == 0 && !has_dns && looks_like_host(value.data()) => {
                    found.push(Name::Dns(value.data()));
                }
                _ => {}
            }
        }
    }
    for name in stated {
        found.push(Name::read(name).map_err(malformed)?);
    }
    Ok(found)
}

/// At least two labels of letters, digits, hyphens and underscores.
fn looks_like_host(name: &[u8]) -> bool {
    let is_label = |label: &[u8]| {
        !label.is_empty()
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let name = name.strip_prefix(b"*.").unwrap_or(name);
    name.contains(&b'.') && name.split(|byte| *byte == b'.').all(is_label)
}

struct Constraints<'a> {
    permitted: Vec<Name<'a>>,
    excluded: Vec<Name<'a>>,
    has_bounds: bool,
}

impl<'a> Constraints<'a> {
    fn read(value: &'a [u8]) -> Result<Self, Malformed> {
        let mut found = Self { permitted: Vec::new(), excluded: Vec::new(), has_bounds: false };
        for list in elements(value)? {
            let target = match list.tag().as_u8() {
                Some(0xa0) => &mut found.permitted,
                Some(0xa1) => &mut found.excluded,
                _ => return Err(Malformed),
            };
            for subtree in elements(list.data())? {
                let parts = elements(subtree.data())?;
                let [base, bounds @ ..] = parts.as_slice() else { return Err(Malformed) };
                target.push(Name::read(base)?);
                // A minimum of 0 says nothing.
                let says = |bound: &Tlv<'_>| !(is_context(bound, 0) && bound.data() == [0]);
                found.has_bounds |= bounds.iter().any(says);
            }
        }
        Ok(found)
    }

    fn check(&self, names: &[Name<'_>]) -> Result<(), Reason> {
        let constraints = self.permitted.len() + self.excluded.len();
        if names.len().saturating_mul(constraints) > MAX_COMPARISONS {
            return Err(Reason::Unspecified);
        }
        if self.has_bounds {
            return Err(Reason::MinimumMaximum);
        }
        names.iter().try_for_each(|name| self.check_name(name))
    }

    fn check_name(&self, name: &Name<'_>) -> Result<(), Reason> {
        let mut permitted = None;
        for base in self.permitted.iter().filter(|base| base.is_of_kind(name)) {
            permitted = Some(permitted == Some(true) || name.is_within(base)?);
        }
        if permitted == Some(false) {
            return Err(Reason::Permitted);
        }
        for base in self.excluded.iter().filter(|base| base.is_of_kind(name)) {
            if name.reaches_into(base)? {
                return Err(Reason::Excluded);
            }
        }
        Ok(())
    }
}

fn ends_with(name: &[u8], end: &[u8]) -> Option<usize> {
    let at = name.len().checked_sub(end.len())?;
    name.get(at..)?.eq_ignore_ascii_case(end).then_some(at)
}

fn is_dns_within(name: &[u8], base: &[u8]) -> bool {
    match ends_with(name, base) {
        Some(0) => true,
        Some(at) => base.is_empty() || base.starts_with(b".") || name.get(at - 1) == Some(&b'.'),
        None => false,
    }
}

fn is_email_within(name: &[u8], base: &[u8]) -> Result<bool, Reason> {
    let at = name.iter().rposition(|byte| *byte == b'@').ok_or(Reason::NameSyntax)?;
    let (local, host) =
        (name.get(..at).unwrap_or_default(), name.get(at + 1..).unwrap_or_default());
    let base_at = base.iter().rposition(|byte| *byte == b'@');
    let base_host = match base_at {
        None if base.starts_with(b".") => {
            return Ok(ends_with(name, base).is_some_and(|at| at > 0));
        }
        None => base,
        Some(at) => {
            let base_local = base.get(..at).unwrap_or_default();
            if !base_local.is_empty() && base_local != local {
                return Ok(false);
            }
            base.get(at + 1..).unwrap_or_default()
        }
    };
    Ok(host.eq_ignore_ascii_case(base_host))
}

fn is_uri_within(name: &[u8], base: &[u8]) -> Result<bool, Reason> {
    let colon = name.iter().position(|byte| *byte == b':').ok_or(Reason::NameSyntax)?;
    let rest = name.get(colon + 1..).and_then(|rest| rest.strip_prefix(b"//"));
    let rest = rest.ok_or(Reason::NameSyntax)?;
    let authority =
        rest.split(|byte| matches!(byte, b'/' | b'?' | b'#')).next().unwrap_or_default();
    // Whoever asks for the host of `good.example@evil.example` gets the second.
    let host = authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    let host = host.split(|byte| *byte == b':').next().unwrap_or_default();
    if host.is_empty() || host.starts_with(b"[") {
        return Err(Reason::NameSyntax);
    }
    if base.starts_with(b".") {
        return Ok(ends_with(host, base).is_some_and(|at| at > 0));
    }
    Ok(host.eq_ignore_ascii_case(base))
}

fn is_address_within(name: &[u8], base: &[u8]) -> Result<bool, Reason> {
    if !matches!(name.len(), 4 | 16) {
        return Err(Reason::NameSyntax);
    }
    let (address, mask) = match base.len() {
        8 | 32 => base.split_at(base.len() / 2),
        _ => return Err(Reason::ConstraintSyntax),
    };
    let same = |((name, address), mask): ((&u8, &u8), &u8)| (name ^ address) & mask == 0;
    Ok(name.len() == address.len() && name.iter().zip(address).zip(mask).all(same))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_within_domains() {
        for (name, base, within) in [
            ("mx.example.org", "example.org", true),
            ("example.org", "Example.Org", true),
            ("notexample.org", "example.org", false),
            ("mx.example.org", ".example.org", true),
            ("example.org", ".example.org", false),
            ("example.org", "", true),
            ("org", "example.org", false),
        ] {
            assert_eq!(is_dns_within(name.as_bytes(), base.as_bytes()), within, "{name} {base}");
        }
    }

    #[test]
    fn a_wildcard_reaches_into_what_it_stands_for() {
        for (name, base, reaches) in [
            ("*.example.org", "mx.example.org", true),
            ("*.example.org", "a.mx.example.org", true),
            ("*.example.org", "example.org", true),
            ("*.example.org", "example.net", false),
            ("*.ample.org", "example.org", false),
        ] {
            let reached = Name::Dns(name.as_bytes()).reaches_into(&Name::Dns(base.as_bytes()));
            assert_eq!(reached, Ok(reaches), "{name} {base}");
        }
    }

    #[test]
    fn addresses_of_mail_hosts_and_pages_are_within_domains() {
        assert_eq!(is_email_within(b"a@mx.example.org", b".example.org"), Ok(true));
        assert_eq!(is_email_within(b"a@example.org", b"example.org"), Ok(true));
        assert_eq!(is_email_within(b"a@example.org", b"b@example.org"), Ok(false));
        assert_eq!(is_email_within(b"nobody", b"example.org"), Err(Reason::NameSyntax));
        assert_eq!(is_uri_within(b"https://mx.example.org:1/x", b".example.org"), Ok(true));
        assert_eq!(is_uri_within(b"https://example.org@evil.org/", b"example.org"), Ok(false));
        assert_eq!(is_uri_within(b"https://evil.org/@example.org", b"example.org"), Ok(false));
        assert_eq!(is_uri_within(b"urn:example", b"example.org"), Err(Reason::NameSyntax));
        assert_eq!(is_address_within(&[10, 1, 2, 3], &[10, 0, 0, 0, 255, 0, 0, 0]), Ok(true));
        assert_eq!(is_address_within(&[11, 1, 2, 3], &[10, 0, 0, 0, 255, 0, 0, 0]), Ok(false));
        assert_eq!(is_address_within(&[1], &[10, 0]), Err(Reason::NameSyntax));
    }
}
