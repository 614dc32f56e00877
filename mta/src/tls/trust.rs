//! Whom we believe: authorities and lists of revoked certificates, and the verdict on a certificate.
//!
//! Runs in the receiver, for clients, and in the sender, for servers; the files come from the parent, the certificates
//! from strangers.

use std::path::{Path, PathBuf};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, ProtocolVersion};

use super::certificate::Certificate;
use super::certificates::read_certificates;
use super::path::{Heed, Judge, MAX_DEPTH};
use super::reason::Reason;
use super::revocation::{Demand, Revoked};
use super::signature::{Method, is_for_curve};
use super::store::Store;
use super::{Unusable, Verify};
use crate::config;
use crate::control::Material;

/// The authorities that this host believes, as Debian keeps them. The parent hands it over like any other file.
pub const HOST_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

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
    store: Store,
    revoked: Revoked,
}

impl Trust {
    /// Those that clients are judged by.
    pub(super) fn of_clients(tls: &config::Tls, files: &Material) -> Result<Self, Unusable> {
        Self::read(&tls.client_authorities, &tls.revoked, files)
    }

    /// Those that servers are judged by: the host's own if no other is configured, and none if it has none.
    pub(super) fn of_servers(tls: &config::Tls, files: &Material) -> Result<Self, Unusable> {
        let own = [PathBuf::from(HOST_AUTHORITIES)];
        let authorities = match tls.server_authorities.as_slice() {
            [] if files.files.contains_key(Path::new(HOST_AUTHORITIES)) => &own,
            configured => configured,
        };
        Self::read(authorities, &tls.revoked, files)
    }

    fn read(
        authorities: &[PathBuf],
        revoked: &[PathBuf],
        files: &Material,
    ) -> Result<Self, Unusable> {
        let mut certificates = Vec::new();
        for path in authorities {
            certificates.extend(read_certificates(path, files)?);
        }
        Ok(Self { store: Store::new(certificates), revoked: Revoked::read(revoked, files)? })
    }

    /// What an operator should know of the lists.
    pub(super) fn warnings(&self, now: UnixTime) -> Vec<String> {
        let outdated = self.revoked.outdated(seconds(now)).into_iter();
        let warning = |path: &Path| {
            let path = path.display();
            format!(
                "{path} is past its nextUpdate and goes on counting: fetch the authority's newer list"
            )
        };
        outdated.map(warning).collect()
    }

    /// The verdict on a chain that the other side sent, leaf first.
    pub(super) fn judge(
        &self,
        sent: &[CertificateDer<'_>],
        purpose: Purpose,
        demand: Demand,
        now: UnixTime,
    ) -> Verdict {
        let Some((leaf, rest)) = sent.split_first() else {
            return Verdict::without_certificate(Verify::No);
        };
        // One that nobody can read can be no part of a chain.
        let rest: Vec<_> =
            rest.iter().take(MAX_DEPTH).filter_map(|der| Certificate::read(der).ok()).collect();
        let judge = Judge {
            store: &self.store,
            revoked: &self.revoked,
            demand,
            purpose,
            heed: Heed::Purpose,
            now: seconds(now),
        };
        match judge.verify(leaf, &rest) {
            Ok(path) => Verdict {
                verify: Verify::Ok,
                chain: path.subjects(),
                ..Verdict::without_certificate(Verify::Ok)
            },
            Err(reason) => {
                let otherwise = match reason {
                    Reason::Purpose => {
                        Judge { heed: Heed::UsageAlone, ..judge }.verify(leaf, &rest).ok()
                    }
                    _ => None,
                };
                Verdict {
                    verify: Verify::Fail,
                    reason,
                    failed_only_by_purpose: otherwise.is_some(),
                    chain: otherwise.map(|path| path.subjects()).unwrap_or_default(),
                }
            }
        }
    }
}

fn seconds(now: UnixTime) -> i64 {
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
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
