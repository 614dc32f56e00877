//! The alternative names of a certificate.
//!
//! Runs wherever a certificate is read. Names come from strangers: one that isn't printable ASCII is left out, as
//! sendmail does, since with a NUL or a line break in it a name could look like another (CVE-2009-2408).

use asn1::Tlv;

use super::{Error, elements, is_context};

/// Most names of all kinds that are read of one certificate.
const MAX_NAMES: usize = 1000;

/// The names of a subjectAltName extension that a map can ask for, as they stand in the certificate.
///
/// Each is printable ASCII without blanks. Those in a country's own letters are A-labels already (RFC 5280 §7.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlternativeNames {
    /// dNSName; may begin `*.`.
    pub dns: Vec<String>,
    /// rfc822Name.
    pub email: Vec<String>,
    /// uniformResourceIdentifier.
    pub uri: Vec<String>,
}

impl AlternativeNames {
    /// Reads the `GeneralNames` of the extension's value.
    pub(super) fn read(value: &[u8]) -> Result<Self, Error> {
        let (names, rest) = asn1::strip_tlv(value).map_err(|_| Error::NotACertificate)?;
        let names = elements(&names)?;
        if names.len() > MAX_NAMES || !rest.is_empty() {
            return Err(Error::NotACertificate);
        }
        Ok(Self { email: of_kind(&names, 1), dns: of_kind(&names, 2), uri: of_kind(&names, 6) })
    }
}

fn of_kind(names: &[Tlv<'_>], number: u8) -> Vec<String> {
    let is_plain = |name: &&[u8]| !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    names
        .iter()
        .filter(|name| is_context(name, number) && !name.tag().is_constructed())
        .map(Tlv::data)
        .filter(is_plain)
        .filter_map(|name| String::from_utf8(name.to_vec()).ok())
        .collect()
}
