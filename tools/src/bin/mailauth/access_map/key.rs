//! `mailauth access key`: the keys by which a map can name a certificate.

use std::path::Path;

use protocol::certificate::{Certificate, Key};
use serde_json::json;

use super::read;
use crate::command_line::Form;
use crate::failure::Failure;
use crate::print;

pub(super) fn run(path: &Path, form: Form) -> Result<u8, Failure> {
    let certificate = certificate(path)?;
    print(&match form {
        Form::Text => text(&certificate),
        Form::Json => json(&certificate),
    })?;
    Ok(0)
}

/// The first certificate of a PEM file, or one in DER.
pub(super) fn certificate(path: &Path) -> Result<Certificate, Failure> {
    let bytes = read(path)?;
    let found = match bytes.first() {
        // SEQUENCE; no text in PEM begins with a zero.
        Some(0x30) if bytes.get(1).is_some_and(|byte| *byte >= 0x80) => {
            Certificate::from_der(&bytes)
        }
        _ => Certificate::from_pem(&bytes),
    };
    found.map_err(|why| Failure::failed(format!("{}: {why}", path.display())))
}

fn text(certificate: &Certificate) -> String {
    let mut text = String::new();
    for (tag, name) in [("CertIssuer", &certificate.issuer), ("CertSubject", &certificate.subject)]
    {
        text += &line(tag, &name.openssl_3, "");
        if name.openssl_1_1.text != name.openssl_3.text {
            text += &line(tag, &name.openssl_1_1, " as OpenSSL 1.1 wrote it");
        }
    }
    text += &format!("CertKey:{}\n", certificate.public_key);
    let names = &certificate.alternative_names;
    for (kind, names) in [("DNS", &names.dns), ("email", &names.email), ("URI", &names.uri)] {
        names.iter().for_each(|name| text += &format!("# alternative name, {kind}: {name}\n"));
    }
    text += &format!("# common name: {}\n", certificate.subject.common_name);
    text += &format!("# issuer's common name: {}\n", certificate.issuer.common_name);
    text + &format!("# purpose: {}\n", certificate.purposes.as_str())
}

fn line(tag: &str, key: &Key, how: &str) -> String {
    match (key.text.is_empty(), key.ambiguous, how) {
        (true, _, _) => format!("# {tag}: the name is empty\n"),
        (_, false, "") => format!("{tag}:{}\n", key.text),
        (_, false, how) => format!("{tag}:{}\n#  ^{how}\n", key.text),
        (_, true, how) => {
            format!("# {tag}:{}{how} (another name could have the same key)\n", key.text)
        }
    }
}

fn json(certificate: &Certificate) -> String {
    let Certificate { issuer, subject, alternative_names: names, .. } = certificate;
    let spelled = |issuer: &Key, subject: &Key| {
        json!({
            "cert_issuer": issuer.text,
            "cert_subject": subject.text,
            "cn_issuer": certificate.issuer.common_name,
            "cn_subject": certificate.subject.common_name,
            "ambiguous": issuer.ambiguous || subject.ambiguous,
        })
    };
    let hex: Vec<String> = certificate.sha256.iter().map(|byte| format!("{byte:02X}")).collect();
    let found = json!({
        "cert_issuer": issuer.openssl_3.text,
        "cert_subject": subject.openssl_3.text,
        "cn_issuer": issuer.common_name,
        "cn_subject": subject.common_name,
        "cert_issuer_openssl_1_1": issuer.openssl_1_1.text,
        "cert_subject_openssl_1_1": subject.openssl_1_1.text,
        "openssl_3": spelled(&issuer.openssl_3, &subject.openssl_3),
        "openssl_1_1": spelled(&issuer.openssl_1_1, &subject.openssl_1_1),
        "spki_sha256": certificate.public_key,
        "fingerprint_sha256": hex.join(":"),
        "cert_altnames": names.dns,
        "email_altnames": names.email,
        "uri_altnames": names.uri,
        "purpose": certificate.purposes.as_str(),
        "any_purpose": certificate.purposes.any,
    });
    format!("{found}\n")
}
