//! What is known of a session when a decision is asked for.
//!
//! Filled by the policy socket, by the mail server and by `mailauth`; the names are those of sendmail's macros. Much
//! of it a peer has chosen (names, addresses, everything in a certificate that did not verify), so nothing here is
//! trusted: the engine asks `verify` before it believes a name. Nothing is ever cut to a length.

use crate::pin::KeyPin;

/// What DNS says of the client's address (`client_resolve`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolve {
    /// The name leads back to the address.
    Ok,
    /// There is no name.
    Fail,
    /// The name leads elsewhere.
    Forged,
    /// DNS did not answer.
    Temp,
}

impl Resolve {
    /// By sendmail's word: OK, FAIL, FORGED or TEMP, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [("OK", Self::Ok), ("FAIL", Self::Fail), ("FORGED", Self::Forged), ("TEMP", Self::Temp)]
            .into_iter()
            .find_map(|(word, resolve)| word.eq_ignore_ascii_case(name).then_some(resolve))
    }
}

/// When the client is judged; it makes no difference to any rule that sendmail ships.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Right after the handshake.
    Starttls,
    /// At MAIL.
    Mail,
}

/// What a certificate may be used for, by its extended key usage (RFC 5280 §4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// clientAuth, not serverAuth.
    Client,
    /// serverAuth, not clientAuth: what public CAs issue since 2026.
    Server,
    /// Both, or no extended key usage at all.
    Both,
    /// Neither.
    Other,
}

/// What is known of a session. Absent and empty mean the same, except where a field says otherwise.
///
/// Distinguished names, common names and alternative names are in map-key encoding: what
/// `X509_NAME_oneline` of OpenSSL 3 writes, in xtext (bytes below `!`, above `~` and `+\()<>"` as `+HH`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// How the peer's certificate fared: empty (no STARTTLS), OK, FAIL, NO, NOT, NONE, TEMP, PROTOCOL, SOFTWARE,
    /// CONFIG, CLEAR, FAILURE, TRUSTED, DANE_FAIL, DANE_TEMP, DANE_NOTLS.
    pub verify: String,
    /// `verify` is FAIL for one reason only: the certificate is for another purpose. Only entries that name a
    /// purpose look at it.
    pub failed_only_by_purpose: bool,
    /// The issuer's name.
    pub cert_issuer: Option<String>,
    /// The issuer's name as OpenSSL 1.1 wrote it. Only where it differs and is unambiguous: no `/` in a value, no
    /// RDN of several parts; else two different names would share a key.
    pub cert_issuer_openssl_1_1: Option<String>,
    /// The subject's name.
    pub cert_subject: Option<String>,
    /// The subject's name as OpenSSL 1.1 wrote it, under the same condition.
    pub cert_subject_openssl_1_1: Option<String>,
    /// The issuer's common name.
    pub cn_issuer: Option<String>,
    /// The subject's common name.
    pub cn_subject: Option<String>,
    /// DNS alternative names.
    pub cert_altnames: Vec<String>,
    /// E-mail alternative names.
    pub email_altnames: Vec<String>,
    /// URI alternative names.
    pub uri_altnames: Vec<String>,
    /// SHA-256 of the certificate's public key (its SubjectPublicKeyInfo in DER). Known whatever `verify` says.
    pub spki_sha256: Option<KeyPin>,
    /// Subjects of the CAs of the verified chain, the issuer first. Must be empty when nothing was verified.
    pub chain_subjects: Vec<String>,
    /// What the certificate is for; `None` when nobody looked.
    pub purpose: Option<Purpose>,
    /// `TLSv1.3`.
    pub tls_version: Option<String>,
    /// The cipher's name.
    pub cipher: Option<String>,
    /// Effective bits of the cipher.
    pub cipher_bits: Option<u32>,
    /// The client's confirmed name, else its address in brackets.
    pub client_name: Option<String>,
    /// The client's address as sendmail writes it: see [`crate::address_key`]. An empty one is a program on this
    /// host; `None` is an unknown client.
    pub client_addr: Option<String>,
    /// What DNS says of it. `None`: nobody asked, and the name lets nobody relay.
    pub client_resolve: Option<Resolve>,
    /// The name of the host connected to.
    pub server_name: Option<String>,
    /// Its address.
    pub server_addr: Option<String>,
    /// The mechanism by which the client logged in.
    pub auth_type: Option<String>,
    /// Whom it logged in as.
    pub auth_authen: Option<String>,
    /// The AUTH= parameter of MAIL.
    pub auth_author: Option<String>,
    /// Bits of a SASL security layer.
    pub auth_ssf: Option<u32>,
    /// The sender, with or without `<>`; an empty one, or none, is `<>`.
    pub mail_from: Option<String>,
    /// The recipient, with or without `<>`.
    pub rcpt: Option<String>,
    /// When the client is judged.
    pub phase: Option<Phase>,
}

/// `None` for an empty value too.
pub(crate) fn filled(value: Option<&String>) -> Option<&str> {
    value.map(String::as_str).filter(|value| !value.is_empty())
}
