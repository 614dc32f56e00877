//! What a policy request says of a session, as facts for the access map.
//!
//! Runs in the listener. Postfix's attributes are turned into sendmail's macros; ours have those names already, and go
//! before what Postfix's imply. A value of ours that cannot be is an error: to go on without it could turn a no into
//! a yes.

use std::net::IpAddr;

use access::{Facts, KeyPin, Resolve, address_key};
use protocol::certificate::{self, Certificate};
use protocol::policy::{Attribute, Request};

/// Ours, by which a mail server states what Postfix doesn't carry.
const OURS: [Attribute; 18] = [
    Attribute::Verify,
    Attribute::FailedOnlyByPurpose,
    Attribute::CertIssuer,
    Attribute::CertIssuerOpenssl11,
    Attribute::CertSubject,
    Attribute::CertSubjectOpenssl11,
    Attribute::CnIssuer,
    Attribute::CnSubject,
    Attribute::CertAltnames,
    Attribute::EmailAltnames,
    Attribute::UriAltnames,
    Attribute::SpkiSha256,
    Attribute::ChainSubjects,
    Attribute::Purpose,
    Attribute::AuthSsf,
    Attribute::ClientResolve,
    Attribute::ServerName,
    Attribute::ServerAddr,
];

/// The facts, or why there are none.
pub(super) fn facts(request: &Request) -> Result<Facts, String> {
    let mut facts = Facts::default();
    client(request, &mut facts);
    tls(request, &mut facts);
    envelope(request, &mut facts);
    for attribute in OURS {
        state(&mut facts, attribute, request.value(attribute))?;
    }
    if let Some(Ok(address)) = facts.server_addr.as_deref().map(str::parse::<IpAddr>) {
        facts.server_addr = Some(address_key(address));
    }
    if let encoded @ [_, ..] = request.value(Attribute::Certificate).as_bytes() {
        let shown = certificate(encoded)?;
        forget_certificate(&mut facts);
        for (attribute, value) in shown.attributes() {
            state(&mut facts, attribute, &value)?;
        }
    }
    Ok(facts)
}

fn state(facts: &mut Facts, attribute: Attribute, value: &str) -> Result<(), String> {
    facts.state(attribute.as_str(), value).map_err(|why| format!("{attribute}: {why}"))
}

fn certificate(encoded: &[u8]) -> Result<Certificate, String> {
    let pem =
        [b"-----BEGIN CERTIFICATE-----\n", encoded, b"\n-----END CERTIFICATE-----\n"].concat();
    Certificate::from_pem(&pem).map_err(|why| format!("{}: {why}", Attribute::Certificate))
}

/// What the certificate itself doesn't say was said about another one.
fn forget_certificate(facts: &mut Facts) {
    facts.cert_issuer = None;
    facts.cert_issuer_openssl_1_1 = None;
    facts.cert_subject = None;
    facts.cert_subject_openssl_1_1 = None;
    facts.cn_issuer = None;
    facts.cn_subject = None;
    facts.cert_altnames.clear();
    facts.email_altnames.clear();
    facts.uri_altnames.clear();
    facts.spki_sha256 = None;
    facts.purpose = None;
}

fn client(request: &Request, facts: &mut Facts) {
    let address = request.value(Attribute::ClientAddress);
    let key = match address.parse::<IpAddr>() {
        Ok(address) => address_key(address),
        // `unknown`: whatever it is, it isn't us.
        Err(_) => address.to_owned(),
    };
    let known = |name: &str| !name.is_empty() && name != "unknown";
    let name = request.value(Attribute::ClientName);
    facts.client_name = Some(if known(name) { name.to_owned() } else { format!("[{key}]") });
    facts.client_resolve = Some(match known(request.value(Attribute::ReverseClientName)) {
        _ if known(name) => Resolve::Ok,
        true => Resolve::Forged,
        false => Resolve::Fail,
    });
    facts.client_addr = Some(key);
}

/// Postfix tells names only of a certificate that verified, and fingerprints of any.
fn tls(request: &Request, facts: &mut Facts) {
    let filled =
        |attribute| Some(request.value(attribute).to_owned()).filter(|text| !text.is_empty());
    facts.tls_version = filled(Attribute::EncryptionProtocol);
    facts.cipher = filled(Attribute::EncryptionCipher);
    facts.cipher_bits = request.value(Attribute::EncryptionKeysize).parse().ok();
    facts.cn_subject = filled(Attribute::CcertSubject).map(|name| sendmails(&name));
    facts.cn_issuer = filled(Attribute::CcertIssuer).map(|name| sendmails(&name));
    facts.spki_sha256 = KeyPin::from_hex(request.value(Attribute::CcertPubkeyFingerprint));
    let was_shown = filled(Attribute::CcertFingerprint).is_some();
    facts.verify = match (facts.tls_version.is_some(), was_shown) {
        (false, _) => "",
        _ if facts.cn_subject.is_some() || facts.cn_issuer.is_some() => "OK",
        (true, true) => "FAIL",
        (true, false) => "NO",
    }
    .to_owned();
}

/// From Postfix's xtext to sendmail's, which encodes more.
fn sendmails(xtext: &str) -> String {
    let mut bytes = Vec::with_capacity(xtext.len());
    let mut rest = xtext.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.filter(|_| *first == b'+').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    certificate::xtext(&bytes)
}

fn envelope(request: &Request, facts: &mut Facts) {
    let filled =
        |attribute| Some(request.value(attribute).to_owned()).filter(|text| !text.is_empty());
    facts.auth_type = filled(Attribute::SaslMethod);
    facts.auth_authen = filled(Attribute::SaslUsername);
    facts.auth_author = filled(Attribute::SaslSender);
    facts.rcpt = filled(Attribute::Recipient);
    let sender = filled(Attribute::Sender);
    // Postfix writes the null sender and no sender alike.
    facts.mail_from = match request.value(Attribute::ProtocolState) {
        "CONNECT" | "EHLO" | "HELO" => sender,
        _ => sender.or_else(|| Some("<>".to_owned())),
    };
}
