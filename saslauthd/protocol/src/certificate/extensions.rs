//! The extensions of a certificate that an access map asks for: other names, key usage and purposes.
//!
//! Runs wherever a certificate is read; the bytes come from strangers. An extension that doesn't parse makes the
//! certificate unreadable: to go on without it would take a restricted certificate for an unrestricted one.

use asn1::Tlv;

use super::name::dotted;
use super::{AlternativeNames, Error, elements};

/// What a certificate may be used for, by its extendedKeyUsage and keyUsage (RFC 5280 §4.2.1.3, §4.2.1.12).
///
/// `client` and `server` are what OpenSSL decides for `sslclient` and `sslserver`: a certificate without
/// extendedKeyUsage serves both, and one that has anyExtendedKeyUsage alone serves neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purposes {
    /// It may show who a client is.
    pub client: bool,
    /// It may show who a server is.
    pub server: bool,
    /// It lists anyExtendedKeyUsage.
    pub any: bool,
}

impl Purposes {
    /// Of a certificate that says nothing about it.
    pub const UNRESTRICTED: Self = Self { client: true, server: true, any: false };

    /// `client`, `server`, `both` or `other`.
    pub fn as_str(self) -> &'static str {
        match (self.client, self.server) {
            (true, true) => "both",
            (true, false) => "client",
            (false, true) => "server",
            (false, false) => "other",
        }
    }
}

/// Reads `[3] Extensions`.
pub(super) fn read(explicit: &Tlv<'_>) -> Result<(AlternativeNames, Purposes), Error> {
    let [list] =
        <[Tlv<'_>; 1]>::try_from(elements(explicit)?).map_err(|_| Error::NotACertificate)?;
    let mut names = AlternativeNames::default();
    let mut purposes = Purposes::UNRESTRICTED;
    let mut usage = Usage::UNRESTRICTED;
    for extension in elements(&list)? {
        let parts = elements(&extension)?;
        let (Some(kind), Some(value)) = (parts.first(), parts.last()) else {
            return Err(Error::NotACertificate);
        };
        match dotted(kind.data())?.as_str() {
            "2.5.29.15" => usage = Usage::read(value.data())?,
            "2.5.29.17" => names = AlternativeNames::read(value.data())?,
            "2.5.29.37" => purposes = extended(value.data())?,
            _ => {}
        }
    }
    purposes.client &= usage.client;
    purposes.server &= usage.server;
    Ok((names, purposes))
}

fn extended(value: &[u8]) -> Result<Purposes, Error> {
    let (list, _) = asn1::strip_tlv(value).map_err(|_| Error::NotACertificate)?;
    let mut purposes = Purposes { client: false, server: false, any: false };
    for purpose in elements(&list)? {
        match dotted(purpose.data())?.as_str() {
            "1.3.6.1.5.5.7.3.1" => purposes.server = true,
            "1.3.6.1.5.5.7.3.2" => purposes.client = true,
            "2.5.29.37.0" => purposes.any = true,
            _ => {}
        }
    }
    Ok(purposes)
}

/// What keyUsage leaves of the two.
struct Usage {
    client: bool,
    server: bool,
}

impl Usage {
    const UNRESTRICTED: Self = Self { client: true, server: true };

    /// OpenSSL's rule: a client signs or agrees on a key, a server may also have one enciphered for it.
    fn read(value: &[u8]) -> Result<Self, Error> {
        const DIGITAL_SIGNATURE: u8 = 0x80;
        const KEY_ENCIPHERMENT: u8 = 0x20;
        const KEY_AGREEMENT: u8 = 0x08;
        let (bits, _) = asn1::strip_tlv(value).map_err(|_| Error::NotACertificate)?;
        let first = bits.data().get(1).copied().unwrap_or(0);
        let client = first & (DIGITAL_SIGNATURE | KEY_AGREEMENT) != 0;
        Ok(Self { client, server: client || first & KEY_ENCIPHERMENT != 0 })
    }
}
