//! A certificate's extensions, as far as verification needs them.
//!
//! Runs in the receiver and in the sender; the bytes come from strangers. One that can't be read, or that is critical
//! and unknown, is remembered as such and never left out.

use asn1::Tlv;

use super::certificate::{Malformed, elements, is_context, only, shift};

/// Bits of keyUsage, the first one highest.
pub(super) mod usage {
    pub(in crate::tls) const DIGITAL_SIGNATURE: u16 = 0x8000;
    pub(in crate::tls) const KEY_ENCIPHERMENT: u16 = 0x2000;
    pub(in crate::tls) const KEY_AGREEMENT: u16 = 0x0800;
    pub(in crate::tls) const CERTIFICATE_SIGN: u16 = 0x0400;
    pub(in crate::tls) const CRL_SIGN: u16 = 0x0200;
}

/// Bits of Netscape's certificate type, which OpenSSL still heeds.
pub(super) mod netscape {
    pub(in crate::tls) const CLIENT: u8 = 0x80;
    pub(in crate::tls) const SERVER: u8 = 0x40;
    pub(in crate::tls) const TLS_AUTHORITY: u8 = 0x04;
    pub(in crate::tls) const ANY_AUTHORITY: u8 = 0x07;
}

/// Purposes of extendedKeyUsage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extended {
    /// clientAuth.
    pub(super) client: bool,
    /// serverAuth, or one of the two that came before it.
    pub(super) server: bool,
}

/// authorityKeyIdentifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AuthorityKey<'a> {
    /// The identifier of the issuer's key.
    pub(super) key: Option<&'a [u8]>,
    /// The name of the issuer's issuer, a Name in DER.
    pub(super) issuer: Option<&'a [u8]>,
    /// The issuer's serial number.
    pub(super) serial: Option<&'a [u8]>,
}

/// What a certificate says besides its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions<'a> {
    /// basicConstraints: whether it is an authority, and of how many below it.
    pub(super) authority: Option<(bool, Option<u32>)>,
    /// keyUsage.
    pub(super) usage: Option<u16>,
    /// extendedKeyUsage.
    pub(super) extended: Option<Extended>,
    /// Netscape's certificate type.
    pub(super) netscape: Option<u8>,
    /// subjectKeyIdentifier.
    pub(super) subject_key: Option<&'a [u8]>,
    /// authorityKeyIdentifier.
    pub(super) authority_key: AuthorityKey<'a>,
    /// subjectAltName: its GeneralNames.
    pub(super) names: Vec<Tlv<'a>>,
    /// nameConstraints, as it stands.
    pub(super) constraints: Option<&'a [u8]>,
    /// It is critical and nobody here knows it.
    pub(super) unknown_critical: bool,
    /// One can't be read, or stands there twice.
    pub(super) malformed: bool,
    /// It is a proxy certificate (RFC 3820).
    pub(super) proxy: bool,
}

impl<'a> Extensions<'a> {
    /// Reads `[3] Extensions`.
    pub(super) fn read(explicit: &Tlv<'a>) -> Self {
        let mut found = Self::default();
        let list = only(explicit.data()).and_then(|list| elements(list.data()));
        let Ok(list) = list else {
            return Self { malformed: true, ..found };
        };
        let mut seen: Vec<&[u8]> = Vec::new();
        for extension in &list {
            match Extension::read(extension) {
                Ok(extension) if !seen.contains(&extension.kind) => {
                    seen.push(extension.kind);
                    found.malformed |= found.take(&extension).is_err();
                }
                _ => found.malformed = true,
            }
        }
        found
    }

    fn take(&mut self, extension: &Extension<'a>) -> Result<(), Malformed> {
        let value = extension.value;
        match extension.kind {
            [0x55, 0x1d, 0x0e] => self.subject_key = Some(only(value)?.data()),
            [0x55, 0x1d, 0x0f] => self.usage = Some(usage_bits(value)?),
            [0x55, 0x1d, 0x11] => self.names = elements(only(value)?.data())?,
            [0x55, 0x1d, 0x13] => self.authority = Some(basic_constraints(value)?),
            [0x55, 0x1d, 0x1e] => self.constraints = Some(only(value)?.data()),
            [0x55, 0x1d, 0x23] => self.authority_key = authority_key(value)?,
            [0x55, 0x1d, 0x25] => self.extended = Some(extended(value)?),
            // 2.16.840.1.113730.1.1
            [0x60, 0x86, 0x48, 0x01, 0x86, 0xf8, 0x42, 0x01, 0x01] => {
                self.netscape = Some(only(value)?.data().get(1).copied().unwrap_or(0));
            }
            // 1.3.6.1.5.5.7.1.14
            [0x2b, 6, 1, 5, 5, 7, 1, 14] => self.proxy = true,
            // Policies, distribution points, and id-pkix-ocsp-nocheck: OpenSSL accepts them without using them here.
            [0x55, 0x1d, 0x1f | 0x20 | 0x21 | 0x24 | 0x36] => {}
            [0x2b, 6, 1, 5, 5, 7, 0x30, 1, 5] => {}
            _ => self.unknown_critical |= extension.critical,
        }
        Ok(())
    }
}

/// One extension.
pub(super) struct Extension<'a> {
    /// The bytes of its OID.
    pub(super) kind: &'a [u8],
    /// Whether whoever doesn't know it must refuse.
    pub(super) critical: bool,
    /// What its OCTET STRING holds.
    pub(super) value: &'a [u8],
}

impl<'a> Extension<'a> {
    /// Reads one.
    pub(super) fn read(sequence: &Tlv<'a>) -> Result<Self, Malformed> {
        let parts = elements(sequence.data())?;
        let (kind, critical, value) = match parts.as_slice() {
            [kind, value] => (kind, false, value),
            [kind, critical, value] => (kind, critical.data() != [0], value),
            _ => return Err(Malformed),
        };
        if value.tag().as_u8() != Some(0x04) {
            return Err(Malformed);
        }
        Ok(Self { kind: kind.data(), critical, value: value.data() })
    }
}

fn usage_bits(value: &[u8]) -> Result<u16, Malformed> {
    let bits = only(value)?;
    match (bits.tag().as_u8(), bits.data()) {
        (Some(0x03), [_unused, first]) => Ok(u16::from_be_bytes([*first, 0])),
        (Some(0x03), [_unused, first, second, ..]) => Ok(u16::from_be_bytes([*first, *second])),
        (Some(0x03), [_]) => Ok(0),
        _ => Err(Malformed),
    }
}

fn basic_constraints(value: &[u8]) -> Result<(bool, Option<u32>), Malformed> {
    let mut is_authority = false;
    let mut length = None;
    for part in elements(only(value)?.data())? {
        match part.tag().as_u8() {
            Some(0x01) => is_authority = part.data() != [0],
            Some(0x02) => {
                // A negative one is as good as none that can be read (OpenSSL: invalid).
                if part.data().first().is_none_or(|first| first & 0x80 != 0) {
                    return Err(Malformed);
                }
                length = Some(part.data().iter().fold(0, shift));
            }
            _ => return Err(Malformed),
        }
    }
    // A length for one that is no authority makes no sense (OpenSSL: invalid).
    if length.is_some() && !is_authority {
        return Err(Malformed);
    }
    Ok((is_authority, length))
}

fn extended(value: &[u8]) -> Result<Extended, Malformed> {
    let mut found = Extended::default();
    for purpose in elements(only(value)?.data())? {
        match purpose.data() {
            [0x2b, 6, 1, 5, 5, 7, 3, 1] => found.server = true,
            [0x2b, 6, 1, 5, 5, 7, 3, 2] => found.client = true,
            // Microsoft's and Netscape's "server gated cryptography".
            [0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x0a, 3, 3]
            | [0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 4, 1] => found.server = true,
            _ => {}
        }
    }
    Ok(found)
}

/// Reads authorityKeyIdentifier, of a certificate or of a list.
pub(super) fn authority_key(value: &[u8]) -> Result<AuthorityKey<'_>, Malformed> {
    let mut found = AuthorityKey::default();
    for part in elements(only(value)?.data())? {
        if is_context(&part, 0) {
            found.key = Some(part.data());
        } else if is_context(&part, 1) {
            let names = elements(part.data())?;
            found.issuer = names.iter().find(|name| is_context(name, 4)).map(Tlv::data);
        } else if is_context(&part, 2) {
            found.serial = Some(part.data());
        }
    }
    Ok(found)
}
