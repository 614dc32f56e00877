//! Whom we believe: authorities and lists of revoked certificates, and the verdict on a certificate.
//!
//! Runs in the receiver, for clients, and in the sender, for servers; the files come from the parent, the certificates
//! from strangers.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, ProtocolVersion};

use super::certificate::Certificate;
use super::certificates::read_certificates;
use super::reason::Reason;
use super::signature::{Method, is_for_curve};
use super::{Unusable, Verify};
use crate::config;
use crate::control::Material;

/// What a certificate must be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A client shows it.
    Client,
    /// A server shows it.
    Server,
}

/// What became of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) verify: Verify,
    pub(super) reason: Reason,
    pub(super) failed_only_by_purpose: bool,
    /// Subjects of the authorities, the issuer first.
    pub(super) chain: Vec<Vec<u8>>,
}

impl Verdict {
    /// There is none.
    pub(super) fn without_certificate(verify: Verify) -> Self {
        Self { verify, reason: Reason::Ok, failed_only_by_purpose: false, chain: Vec::new() }
    }
}

/// Authorities and lists of revoked certificates.
pub(super) struct Trust {
    _authorities: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Those that clients are judged by.
    pub(super) fn of_clients(tls: &config::Tls, files: &Material) -> Result<Self, Unusable> {
        let mut authorities = Vec::new();
        for path in &tls.client_authorities {
            authorities.extend(read_certificates(path, files)?);
        }
        Ok(Self { _authorities: authorities })
    }

    pub(super) fn warnings(&self, _now: UnixTime) -> Vec<String> {
        Vec::new()
    }

    pub(super) fn judge(
        &self,
        _chain: &[CertificateDer<'_>],
        _purpose: Purpose,
        _now: UnixTime,
    ) -> Verdict {
        Verdict {
            verify: Verify::Fail,
            reason: Reason::NoIssuer,
            failed_only_by_purpose: false,
            chain: Vec::new(),
        }
    }
}

/// Whether the holder of this certificate signed the handshake.
pub(super) fn verify_handshake(
    version: ProtocolVersion,
    message: &[u8],
    leaf: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let leaf = Certificate::read(leaf).map_err(|_| CertificateError::BadEncoding)?;
    if version == ProtocolVersion::TLSv1_3 && !is_for_curve(signed.scheme, leaf.key.kind()) {
        return Err(CertificateError::BadSignature.into());
    }
    leaf.key
        .verify(Method::of(signed.scheme), message, signed.signature())
        .map(|()| HandshakeSignatureValid::assertion())
        .map_err(|_| CertificateError::BadSignature.into())
}
