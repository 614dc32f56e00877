//! A certificate's fields, as far as verification needs them.
//!
//! Runs in the receiver and in the sender; the bytes come from strangers. This reads and believes nothing: what a field
//! says counts only once [`super::path`] has verified it. Certificates are read as leniently as OpenSSL reads them,
//! so that a strange one gets a verdict and no broken connection; an extension that can't be read makes it bad.

use asn1::Tlv;

use super::distinguished::Comparable;
use super::extensions::Extensions;

/// The bytes are no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl From<asn1::ParseError> for Malformed {
    fn from(_: asn1::ParseError) -> Self {
        Self
    }
}

/// An AlgorithmIdentifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Algorithm<'a> {
    /// The bytes of its OID, without tag and length.
    pub(super) kind: &'a [u8],
    /// Whatever follows, in DER; empty if nothing does.
    pub(super) parameters: &'a [u8],
}

/// A SubjectPublicKeyInfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PublicKey<'a> {
    /// Of which kind.
    pub(super) algorithm: Algorithm<'a>,
    /// The key as that kind writes it.
    pub(super) bits: &'a [u8],
}

/// A certificate in parts.
#[derive(Clone, Debug)]
pub(super) struct Certificate<'a> {
    /// All of it.
    pub(super) der: &'a [u8],
    /// What is signed.
    pub(super) signed: &'a [u8],
    /// 1, 2 or 3.
    pub(super) version: u32,
    /// The bytes of its serial number.
    pub(super) serial: &'a [u8],
    /// How it is signed.
    pub(super) signature_algorithm: Algorithm<'a>,
    /// The signature.
    pub(super) signature: &'a [u8],
    /// From when it is valid, in seconds since 1970; `None` if the field is no time.
    pub(super) not_before: Option<i64>,
    /// Until when.
    pub(super) not_after: Option<i64>,
    /// Whose it is, in DER.
    pub(super) subject: &'a [u8],
    /// Its key.
    pub(super) key: PublicKey<'a>,
    /// The issuer, for comparison.
    pub(super) issuer_name: Comparable,
    /// The subject, for comparison.
    pub(super) subject_name: Comparable,
    /// What else it says.
    pub(super) extensions: Extensions<'a>,
}

impl<'a> Certificate<'a> {
    /// Reads it.
    pub(super) fn read(der: &'a [u8]) -> Result<Self, Malformed> {
        let whole = only(der)?;
        let [signed, algorithm, signature] = array(whole.data())?;
        let fields = elements(signed.data())?;
        let versioned = fields.first().is_some_and(|first| is_context(first, 0));
        let version = match fields.first() {
            Some(first) if versioned => 1 + only(first.data())?.data().iter().fold(0, shift),
            _ => 1,
        };
        let fields = fields.get(usize::from(versioned)..).unwrap_or_default();
        let [serial, inner, issuer, validity, subject, key, optional @ ..] = fields else {
            return Err(Malformed);
        };
        // The one that is signed and the one that isn't must be the same (RFC 5280 section 4.1.1.2).
        if inner.full_data() != algorithm.full_data() {
            return Err(Malformed);
        }
        let [not_before, not_after] = array(validity.data())?;
        let extensions = match optional.iter().find(|field| is_context(field, 3)) {
            Some(explicit) => Extensions::read(explicit),
            None => Extensions::default(),
        };
        Ok(Self {
            der,
            signed: signed.full_data(),
            version,
            serial: serial.data(),
            signature_algorithm: Algorithm::read(&algorithm)?,
            signature: bit_string(&signature)?,
            issuer_name: Comparable::of(issuer.full_data())?,
            subject_name: Comparable::of(subject.full_data())?,
            not_before: time(&not_before),
            not_after: time(&not_after),
            subject: subject.full_data(),
            key: PublicKey::read(key)?,
            extensions,
        })
    }

    /// Whether keyUsage, if there is one, has one of these bits.
    pub(super) fn may_use(&self, bits: u16) -> bool {
        self.extensions.usage.is_none_or(|usage| usage & bits != 0)
    }

    /// Whether it says that it signed itself.
    pub(super) fn is_self_issued(&self) -> bool {
        self.subject_name == self.issuer_name
    }
}

impl<'a> Algorithm<'a> {
    /// Reads one.
    pub(super) fn read(sequence: &Tlv<'a>) -> Result<Self, Malformed> {
        let (kind, parameters) = asn1::strip_tlv(sequence.data())?;
        if kind.tag().as_u8() != Some(0x06) {
            return Err(Malformed);
        }
        Ok(Self { kind: kind.data(), parameters })
    }
}

impl<'a> PublicKey<'a> {
    fn read(sequence: &Tlv<'a>) -> Result<Self, Malformed> {
        let [algorithm, bits] = array(sequence.data())?;
        Ok(Self { algorithm: Algorithm::read(&algorithm)?, bits: bit_string(&bits)? })
    }
}

/// The one value that these bytes are.
pub(super) fn only(bytes: &[u8]) -> Result<Tlv<'_>, Malformed> {
    match asn1::strip_tlv(bytes)? {
        (value, []) => Ok(value),
        _ => Err(Malformed),
    }
}

/// The values that these bytes are.
pub(super) fn elements(mut bytes: &[u8]) -> Result<Vec<Tlv<'_>>, Malformed> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (value, rest) = asn1::strip_tlv(bytes)?;
        found.push(value);
        bytes = rest;
    }
    Ok(found)
}

/// As [`elements`], when there are so many.
pub(super) fn array<const N: usize>(bytes: &[u8]) -> Result<[Tlv<'_>; N], Malformed> {
    elements(bytes)?.try_into().map_err(|_| Malformed)
}

/// Whether it is `[number]` of its context, explicit or implicit.
pub(super) fn is_context(element: &Tlv<'_>, number: u8) -> bool {
    const CONSTRUCTED: u8 = 0x20;
    element.tag().as_u8().is_some_and(|tag| tag & !CONSTRUCTED == 0x80 | number)
}

/// The bytes of a BIT STRING without unused bits.
pub(super) fn bit_string<'a>(value: &Tlv<'a>) -> Result<&'a [u8], Malformed> {
    match (value.tag().as_u8(), value.data()) {
        (Some(0x03), [0, bytes @ ..]) => Ok(bytes),
        _ => Err(Malformed),
    }
}

/// A small unsigned number, one byte after the other.
pub(super) fn shift(number: u32, byte: &u8) -> u32 {
    number.saturating_mul(256).saturating_add(u32::from(*byte))
}

/// A UTCTime or a GeneralizedTime, in seconds since 1970.
pub(super) fn time(value: &Tlv<'_>) -> Option<i64> {
    let text = std::str::from_utf8(value.data()).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (value.tag().as_u8()?, text.len()) {
        (0x17, 12) => {
            let year: i64 = text.get(..2)?.parse().ok()?;
            // RFC 5280 section 4.1.2.5.1.
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        (0x18, 14) => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    let fits = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !fits || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is a year's last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_rfc_5280_has_them() {
        for (der, seconds) in [
            (&b"\x17\x0d700101000000Z"[..], Some(0)),
            (b"\x17\x0d691231235959Z", Some(-1)),
            (b"\x17\x0d491231235959Z", Some(2_524_607_999)),
            (b"\x18\x0f20240229120000Z", Some(1_709_208_000)),
            (b"\x18\x0f99991231235959Z", Some(253_402_300_799)),
            (b"\x17\x0d701301000000Z", None),
            (b"\x17\x0b7001010000Z", None),
            (b"\x18\x0f2024022912000+Z", None),
        ] {
            assert_eq!(time(&only(der).unwrap()), seconds, "{der:?}");
        }
    }

    #[test]
    fn nothing_but_a_certificate_is_read() {
        for bytes in [&b""[..], b"\x30\x00", b"\x30\x03\x30\x00\x05", b"no certificate"] {
            assert!(Certificate::read(bytes).is_err());
        }
    }
}
