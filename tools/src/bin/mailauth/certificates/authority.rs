//! The private authority: made once, kept as `ca.pem` and `ca.key`, and what certificates it signs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use accounts::UnixTime;
use protocol::certificate::Certificate as Read;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::files;
use super::request::{HostName, MAX_COMMON_NAME};
use crate::failure::Failure;
use crate::moment;

/// How long a new authority counts: ten years, since every machine has to be told of the next one.
pub(super) const DAYS: u32 = 3650;
const DAY: i64 = 86_400;
/// Clocks of other machines may be behind.
const BEFORE: i64 = 3600;

/// A certificate and its key, as they stand in files.
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: Zeroizing<String>,
}

/// An authority that signs.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) certificate: String,
    /// Its subject, as the issuer of what it signs must read.
    subject: String,
    ends: UnixTime,
    path: PathBuf,
}

/// What a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Server,
    Client,
}

impl Authority {
    /// Makes one for `host`. Its name has random letters: a second authority of the same host, or a certificate with
    /// the authority's own name, would otherwise make verifiers take one for the other.
    pub(super) fn new(
        host: &HostName,
        now: UnixTime,
    ) -> Result<(Self, Zeroizing<String>), Failure> {
        let mark: String = random::<5>()?.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut name = format!("{host} private CA {mark}");
        if name.len() > MAX_COMMON_NAME {
            name = format!("private CA {mark}");
        }
        let mut parameters = parameters(&name, now, DAYS)?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(making)?;
        let text = Zeroizing::new(key.serialize_pem());
        let certificate = parameters.self_signed(&key).map_err(making)?.pem();
        let authority = Self {
            issuer: Issuer::new(parameters, key),
            subject: subject(&certificate)?,
            certificate,
            ends: end(now, DAYS),
            path: PathBuf::from("the new authority"),
        };
        Ok((authority, text))
    }

    /// Reads the one that is kept in `directory`.
    pub(super) fn read(directory: &Path) -> Result<Self, Failure> {
        const NONE: &str = "make an authority with mailauth cert init, or name its --directory";
        let (path, key_path) = (directory.join("ca.pem"), directory.join("ca.key"));
        let certificate = files::read(&path, NONE)?;
        let key = Zeroizing::new(files::read(&key_path, NONE)?);
        let key = KeyPair::from_pem(&key).map_err(|error| {
            Failure::failed(format!(
                "{}: it is no private key in PEM: {error}; {NONE}",
                key_path.display()
            ))
        })?;
        let broken = |why: &str| Failure::failed(format!("{}: {why}; {NONE}", path.display()));
        let subject = subject(&certificate).map_err(|_| broken("it is no certificate in PEM"))?;
        let der = first(&certificate).ok_or_else(|| broken("it is no certificate in PEM"))?;
        let (_, parsed) =
            X509Certificate::from_der(&der).map_err(|_| broken("it is no certificate in PEM"))?;
        if !parsed.is_ca() {
            return Err(broken("it is no authority's certificate"));
        }
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(broken("it does not belong to the key in ca.key"));
        }
        let ends = UnixTime(parsed.validity().not_after.timestamp());
        let issuer = Issuer::from_ca_cert_der(&der.as_slice().into(), key)
            .map_err(|_| broken("its name is of a kind that this command cannot repeat"))?;
        Ok(Self { issuer, certificate, subject, ends, path })
    }

    /// Signs a certificate for a key that is made here.
    pub(super) fn sign(
        &self,
        common_name: &str,
        names: Vec<SanType>,
        purpose: Purpose,
        now: UnixTime,
        days: u32,
    ) -> Result<Pair, Failure> {
        if end(now, days).0 > self.ends.0 {
            return Err(Failure::failed(format!(
                "{}: the authority ends on {}, before the certificate would; give fewer --days, or make a new \
                 authority with mailauth cert init in another --directory",
                self.path.display(),
                moment::shown(self.ends)
            )));
        }
        let mut parameters = parameters(common_name, now, days)?;
        parameters.subject_alt_names = names;
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![match purpose {
            Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let key = KeyPair::generate().map_err(making)?;
        let certificate = parameters.signed_by(&key, &self.issuer).map_err(making)?.pem();
        // A name that came out otherwise than the authority has it would make a certificate that nobody verifies.
        let issuer = Read::from_pem(certificate.as_bytes()).map(|read| read.issuer.openssl_3.text);
        if issuer.as_ref() != Ok(&self.subject) {
            return Err(Failure::failed(format!(
                "{}: the authority's name is of a kind that this command cannot repeat; make an authority with \
                 mailauth cert init",
                self.path.display()
            )));
        }
        Ok(Pair { certificate, key: Zeroizing::new(key.serialize_pem()) })
    }
}

fn parameters(common_name: &str, now: UnixTime, days: u32) -> Result<CertificateParams, Failure> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |moment: i64| epoch + Duration::from_secs(u64::try_from(moment).unwrap_or(0));
    parameters.not_before = at(now.0 - BEFORE);
    parameters.not_after = at(end(now, days).0);
    // Positive, and 20 bytes at most (RFC 5280 section 4.1.2.2).
    let mut serial = random::<16>()?;
    serial[0] = serial[0] & 0x7F | 0x40;
    parameters.serial_number = Some(SerialNumber::from_slice(&serial));
    parameters.use_authority_key_identifier_extension = true;
    Ok(parameters)
}

fn end(now: UnixTime, days: u32) -> UnixTime {
    UnixTime(now.0.saturating_add(i64::from(days).saturating_mul(DAY)))
}

fn subject(pem: &str) -> Result<String, Failure> {
    let read = Read::from_pem(pem.as_bytes()).map_err(|why| Failure::failed(why.to_string()))?;
    Ok(read.subject.openssl_3.text)
}

fn first(pem: &str) -> Option<Vec<u8>> {
    protocol::certificate::certificates(pem.as_bytes()).ok()?.into_iter().next()
}

fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::temporary(format!("the system gives no random bytes: {error}; try again"))
    })?;
    Ok(bytes)
}

fn making(error: rcgen::Error) -> Failure {
    Failure::failed(format!("the certificate cannot be made: {error}; give another name"))
}
