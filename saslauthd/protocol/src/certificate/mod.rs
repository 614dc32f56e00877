//! What an access map asks of an X.509 certificate: its names as keys, its public key, its purposes.
//!
//! Runs wherever a certificate is shown: in the listener, the tools and the mta. The bytes come from strangers. This
//! reads and never verifies: whether a certificate is genuine is said by whoever did the handshake, and nothing here
//! may be taken for it.

mod alternative;
mod attribute_types;
mod extensions;
mod name;
mod pem;

use asn1::Tlv;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::policy::Attribute;

pub use alternative::AlternativeNames;
pub use extensions::Purposes;
pub use name::{
    COMMON_NAME_TOO_LONG, COMMON_NAME_WITH_NUL, DistinguishedName, Key, NO_COMMON_NAME, xtext,
};
pub use pem::{MAX_CERTIFICATES, certificates};

/// Largest certificate that is read, in bytes; those with post-quantum signatures have a few ten thousand.
pub const MAX_CERTIFICATE: usize = 96 * 1024;
/// Largest distinguished name that is read, in bytes of DER.
pub const MAX_NAME: usize = 4096;

/// Why nothing is known of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Over [`MAX_CERTIFICATE`].
    TooLarge,
    /// A name is over [`MAX_NAME`].
    NameTooLong,
    /// The bytes are no certificate in DER (RFC 5280 §4.1).
    NotACertificate,
    /// The text has no whole `BEGIN CERTIFICATE` block (RFC 7468 §5).
    NotPem,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the certificate is over 96 KiB",
            Self::NameTooLong => "a distinguished name in the certificate is over 4096 bytes",
            Self::NotACertificate => "this is no X.509 certificate in DER",
            Self::NotPem => "there is no whole BEGIN CERTIFICATE block",
        })
    }
}

impl std::error::Error for Error {}

/// Whose way of printing a distinguished name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// OpenSSL 3: `/` and `+` in a value have a backslash, and `+` joins the parts of a multi-valued RDN.
    OpenSsl3,
    /// OpenSSL 1.1 and before: neither, so that names can be written which look like others.
    OpenSsl1,
}

/// What is known of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Who signed it.
    pub issuer: DistinguishedName,
    /// Whose it is; its keys are empty for an empty name.
    pub subject: DistinguishedName,
    /// Its other names (RFC 5280 §4.2.1.6).
    pub alternative_names: AlternativeNames,
    /// What it may be used for.
    pub purposes: Purposes,
    /// `sha256/` and the base64 of the SHA-256 of its SubjectPublicKeyInfo, as in RFC 7469's pins.
    pub public_key: String,
    /// The SHA-256 of its SubjectPublicKeyInfo.
    pub public_key_sha256: [u8; 32],
    /// The SHA-256 of the whole certificate.
    pub sha256: [u8; 32],
}

impl Certificate {
    /// Reads a certificate in DER.
    ///
    /// Fields that no map asks for (serial number, dates, signature) may hold anything.
    ///
    /// # Errors
    /// [`Error`]: too large, a name too long, no certificate, or an extension that is used here doesn't parse.
    pub fn from_der(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_CERTIFICATE {
            return Err(Error::TooLarge);
        }
        let (whole, rest) = asn1::strip_tlv(bytes).map_err(|_| Error::NotACertificate)?;
        let parts = elements(&whole)?;
        let ([signed, _algorithm, _signature], []) = (parts.as_slice(), rest) else {
            return Err(Error::NotACertificate);
        };
        let fields = elements(signed)?;
        // `[0]` is the version, which a certificate of version 1 leaves out.
        let versioned = fields.first().is_some_and(|first| is_context(first, 0));
        let fields = fields.get(usize::from(versioned)..).unwrap_or_default();
        let [_serial, _algorithm, issuer, _validity, subject, key, optional @ ..] = fields else {
            return Err(Error::NotACertificate);
        };
        let issuer = DistinguishedName::read(issuer)?;
        let subject = DistinguishedName::read(subject)?;
        let (alternative_names, purposes) = match optional.iter().find(|field| is_context(field, 3))
        {
            Some(extensions) => extensions::read(extensions)?,
            None => (AlternativeNames::default(), Purposes::UNRESTRICTED),
        };
        let public_key_sha256: [u8; 32] = Sha256::digest(key.full_data()).into();
        Ok(Self {
            issuer,
            subject,
            alternative_names,
            purposes,
            public_key: pin(&public_key_sha256),
            public_key_sha256,
            sha256: Sha256::digest(bytes).into(),
        })
    }

    /// Reads the first certificate of a text in PEM.
    ///
    /// # Errors
    /// [`Error::NotPem`] when there is none, and those of [`Certificate::from_der`].
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        Self::from_der(certificates(text)?.first().ok_or(Error::NotPem)?)
    }
}

impl Certificate {
    /// What a policy request says of it, by name; nothing of it is verified.
    ///
    /// A spelling of OpenSSL 1.1 is among them only where it differs and no other name has the same.
    pub fn attributes(&self) -> Vec<(Attribute, String)> {
        let older = |name: &DistinguishedName| match &name.openssl_1_1 {
            Key { text, ambiguous: false } if *text != name.openssl_3.text => text.clone(),
            _ => String::new(),
        };
        let words = |names: &[String]| {
            let words: Vec<String> = names.iter().map(|name| xtext(name.as_bytes())).collect();
            words.join(" ")
        };
        let AlternativeNames { dns, email, uri } = &self.alternative_names;
        let mut stated = vec![
            (Attribute::CertIssuer, self.issuer.openssl_3.text.clone()),
            (Attribute::CertSubject, self.subject.openssl_3.text.clone()),
            (Attribute::CertIssuerOpenssl11, older(&self.issuer)),
            (Attribute::CertSubjectOpenssl11, older(&self.subject)),
            (Attribute::CnIssuer, self.issuer.common_name.clone()),
            (Attribute::CnSubject, self.subject.common_name.clone()),
            (Attribute::CertAltnames, words(dns)),
            (Attribute::EmailAltnames, words(email)),
            (Attribute::UriAltnames, words(uri)),
            (Attribute::SpkiSha256, self.public_key.clone()),
            (Attribute::Purpose, self.purposes.as_str().to_owned()),
        ];
        stated.retain(|(_, value)| !value.is_empty());
        stated
    }
}

/// A pin as `CertKey:` has it.
pub fn pin(sha256: &[u8; 32]) -> String {
    format!("sha256/{}", STANDARD.encode(sha256))
}

/// What a SEQUENCE, a SET or an explicit tag holds.
fn elements<'a>(outer: &Tlv<'a>) -> Result<Vec<Tlv<'a>>, Error> {
    if !outer.tag().is_constructed() {
        return Err(Error::NotACertificate);
    }
    let mut rest = outer.data();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (element, after) = asn1::strip_tlv(rest).map_err(|_| Error::NotACertificate)?;
        found.push(element);
        rest = after;
    }
    Ok(found)
}

/// Whether it is `[number]` of its context, explicit or implicit.
fn is_context(element: &Tlv<'_>, number: u8) -> bool {
    const CONSTRUCTED: u8 = 0x20;
    element.tag().as_u8().is_some_and(|tag| tag & !CONSTRUCTED == 0x80 | number)
}

#[cfg(test)]
mod tests;
