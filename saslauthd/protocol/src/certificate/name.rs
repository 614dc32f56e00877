//! A distinguished name as a key of sendmail's access map.
//!
//! sendmail prints the name with OpenSSL's `X509_NAME_oneline` and then writes it as xtext. What OpenSSL prints changed
//! with its version 3, so there are two keys for some names. Any process that reads certificates runs this; the bytes
//! come from strangers. It must never cut a name: OpenSSL's 255 bytes make all long names with one prefix the same key.

use asn1::Tlv;

use super::attribute_types::short_name;
use super::{Error, MAX_NAME, Spelling, elements};

/// What sendmail takes for a name without a common name.
pub const NO_COMMON_NAME: &str = "BadCertificateUnknown";
/// What sendmail takes for a common name with a NUL in it, which every BMPString has.
pub const COMMON_NAME_WITH_NUL: &str = "BadCertificateContainsNUL";
/// What sendmail takes for a common name of 255 bytes or more.
pub const COMMON_NAME_TOO_LONG: &str = "BadCertificateTooLong";

/// Longest common name of sendmail's, in bytes (its buffer has 256, and it asks for one less than fills it).
const MAX_COMMON_NAME: usize = 254;

/// One spelling of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// As it stands behind `CertSubject:` and `CertIssuer:`: printable ASCII without blanks, of any length.
    pub text: String,
    /// Whether another name may have the very same key: an entry for one then lets the other in too.
    pub ambiguous: bool,
}

/// A distinguished name of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinguishedName {
    /// As OpenSSL 3 and what comes after it prints it.
    pub openssl_3: Key,
    /// As OpenSSL 1.1 and what came before it prints it, which older maps have.
    pub openssl_1_1: Key,
    /// The first common name, or one of the words that stand for none.
    pub common_name: String,
}

impl DistinguishedName {
    /// Reads a `Name` in DER, as it stands in a certificate.
    ///
    /// # Errors
    /// [`Error::NameTooLong`], or [`Error::NotACertificate`] for what is no name.
    pub fn from_der(bytes: &[u8]) -> Result<Self, Error> {
        match asn1::strip_tlv(bytes) {
            Ok((name, [])) => Self::read(&name),
            _ => Err(Error::NotACertificate),
        }
    }

    /// Reads a `Name` (RFC 5280 §4.1.2.4).
    pub(super) fn read(name: &Tlv<'_>) -> Result<Self, Error> {
        if name.data().len() > MAX_NAME {
            return Err(Error::NameTooLong);
        }
        let relative = elements(name)?
            .iter()
            .map(|set| elements(set)?.iter().map(Part::read).collect())
            .collect::<Result<Vec<Vec<Part<'_>>>, Error>>()?;
        Ok(Self {
            openssl_3: key(&relative, Spelling::OpenSsl3),
            openssl_1_1: key(&relative, Spelling::OpenSsl1),
            common_name: common_name(&relative),
        })
    }

    /// The key in one spelling.
    pub fn key(&self, spelling: Spelling) -> &Key {
        match spelling {
            Spelling::OpenSsl3 => &self.openssl_3,
            Spelling::OpenSsl1 => &self.openssl_1_1,
        }
    }
}

/// One attribute of a name.
struct Part<'a> {
    kind: String,
    value: &'a [u8],
    shown: Shown,
}

/// Which bytes of a value are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    All,
    /// A GeneralString of four-byte characters that are ASCII: OpenSSL leaves the three NULs of each out.
    EveryFourth,
}

impl<'a> Part<'a> {
    fn read(attribute: &Tlv<'a>) -> Result<Self, Error> {
        const BIT_STRING: u32 = 3;
        const SEQUENCE: u32 = 16;
        const GENERAL_STRING: u32 = 27;
        let [kind, value] =
            <[Tlv<'a>; 2]>::try_from(elements(attribute)?).map_err(|_| Error::NotACertificate)?;
        let bytes = match value.tag().value() {
            // Its first byte counts unused bits and is none of its value.
            BIT_STRING => value.data().get(1..).unwrap_or_default(),
            // OpenSSL keeps it as a whole.
            SEQUENCE => value.full_data(),
            _ => value.data(),
        };
        let shown = match value.tag().value() {
            GENERAL_STRING if is_wide_ascii(bytes) => Shown::EveryFourth,
            _ => Shown::All,
        };
        Ok(Self { kind: dotted(kind.data())?, value: bytes, shown })
    }

    fn printed(&self) -> impl Iterator<Item = u8> {
        let shown = self.shown;
        let is_printed = move |(place, _): &(usize, &u8)| shown == Shown::All || place % 4 == 3;
        self.value.iter().enumerate().filter(is_printed).map(|(_, byte)| *byte)
    }
}

fn is_wide_ascii(bytes: &[u8]) -> bool {
    bytes.len().is_multiple_of(4) && bytes.chunks(4).all(|four| matches!(four, [0, 0, 0, _]))
}

/// `/type=value` for each part, in the certificate's order.
fn key(relative: &[Vec<Part<'_>>], spelling: Spelling) -> Key {
    let mut line = Vec::new();
    let mut ambiguous = false;
    for set in relative {
        for (place, part) in set.iter().enumerate() {
            line.push(if place > 0 && spelling == Spelling::OpenSsl3 { b'+' } else { b'/' });
            let name = short_name(&part.kind, spelling).unwrap_or(&part.kind);
            line.extend_from_slice(name.as_bytes());
            line.push(b'=');
            part.printed().for_each(|byte| print(&mut line, byte, spelling));
            // A backslash in a value looks like the escape of what follows it, in either version.
            ambiguous |=
                part.shown == Shown::EveryFourth || part.printed().any(|byte| byte == b'\\');
            ambiguous |= spelling == Spelling::OpenSsl1 && part.printed().any(|byte| byte == b'/');
        }
        ambiguous |= spelling == Spelling::OpenSsl1 && set.len() > 1;
    }
    Key { text: xtext(&line), ambiguous }
}

fn print(line: &mut Vec<u8>, byte: u8, spelling: Spelling) {
    match byte {
        b'/' | b'+' if spelling == Spelling::OpenSsl3 => line.extend_from_slice(&[b'\\', byte]),
        b' '..=b'~' => line.push(byte),
        _ => line.extend_from_slice(format!("\\x{byte:02X}").as_bytes()),
    }
}

fn common_name(relative: &[Vec<Part<'_>>]) -> String {
    const COMMON_NAME: &str = "2.5.4.3";
    match relative.iter().flatten().find(|part| part.kind == COMMON_NAME) {
        None => NO_COMMON_NAME.to_owned(),
        Some(part) if part.value.len() > MAX_COMMON_NAME => COMMON_NAME_TOO_LONG.to_owned(),
        Some(part) if part.value.contains(&0) => COMMON_NAME_WITH_NUL.to_owned(),
        Some(part) => xtext(part.value),
    }
}

/// sendmail's xtext: RFC 3461 §4 without `=`, and with the characters that its rules take for structure.
pub fn xtext(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'+' | b'\\' | b'(' | b')' | b'<' | b'>' | b'"' => {
                text.push_str(&format!("+{byte:02X}"))
            }
            b'!'..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("+{byte:02X}")),
        }
    }
    text
}

/// The numbers of an object identifier (X.690 §8.19), with dots. Numbers over 128 bits are not read.
pub(super) fn dotted(bytes: &[u8]) -> Result<String, Error> {
    if bytes.last().is_none_or(|last| last & 0x80 != 0) {
        return Err(Error::NotACertificate);
    }
    let mut text = String::new();
    let mut number = 0u128;
    for byte in bytes {
        let room = number.checked_mul(128).ok_or(Error::NotACertificate)?;
        number = room | u128::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            if text.is_empty() {
                let first = (number / 40).min(2);
                text = format!("{first}.{}", number - first * 40);
            } else {
                text.push_str(&format!(".{number}"));
            }
            number = 0;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_object_identifiers() {
        assert_eq!(dotted(&[0x55, 4, 3]).unwrap(), "2.5.4.3");
        assert_eq!(dotted(&[0x2A, 3, 4, 5]).unwrap(), "1.2.3.4.5");
        assert_eq!(dotted(&[0x88, 0x37, 0]).unwrap(), "2.999.0");
        assert_eq!(dotted(&[0x09, 0x92, 0x26]).unwrap(), "0.9.2342");
        assert!(dotted(&[]).is_err());
        assert!(dotted(&[0x55, 0x84]).is_err());
        assert!(dotted(&[0xFF; 40]).is_err());
    }

    #[test]
    fn xtext_is_sendmails() {
        assert_eq!(xtext(b"a b+c(d)<e>\"\\=\x7f\xc3!~"), "a+20b+2Bc+28d+29+3Ce+3E+22+5C=+7F+C3!~");
    }
}
