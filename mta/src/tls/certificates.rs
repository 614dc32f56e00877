//! Which of our certificates a client is shown.
//!
//! Runs in the receiver, from files that the parent has read.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;
use super::{Unusable, name};
use crate::config::KeyPair;
use crate::control::Material;

/// Our certificates and keys, the first one for those who ask for no name that we have.
#[derive(Debug)]
pub(super) struct Certificates {
    pairs: Vec<Pair>,
}

#[derive(Debug)]
struct Pair {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
}

impl Certificates {
    /// Reads them.
    pub(super) fn read(
        pairs: &[KeyPair],
        files: &Material,
        provider: &CryptoProvider,
    ) -> Result<Self, Unusable> {
        if pairs.is_empty() {
            return Err(Unusable(
                "no certificate is configured: name one, or make one with mailauth cert".into(),
            ));
        }
        let pairs = pairs.iter().map(|pair| {
            let key = read_pair(pair, files, provider)?;
            let leaf = key.end_entity_cert().ok().and_then(|leaf| Certificate::read(leaf).ok());
            let names = leaf.map(|leaf| name::of_certificate(&leaf)).unwrap_or_default();
            Ok(Pair { key: Arc::new(key), names })
        });
        Ok(Self { pairs: pairs.collect::<Result<_, _>>()? })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let can_sign =
            |pair: &&Pair| pair.key.key.choose_scheme(hello.signature_schemes()).is_some();
        let is_asked_for = |pair: &&Pair| {
            hello.server_name().is_some_and(|wanted| name::matches_any(&pair.names, wanted))
        };
        let usable = || self.pairs.iter().filter(can_sign);
        let chosen = usable().find(is_asked_for).or_else(|| usable().next());
        chosen.map(|pair| Arc::clone(&pair.key))
    }
}

/// A certificate and its key.
pub(super) fn read_pair(
    pair: &KeyPair,
    files: &Material,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Unusable> {
    let chain = read_certificates(&pair.certificate, files)?;
    let path = pair.key.display();
    let key = PrivateKeyDer::from_pem_slice(file(&pair.key, files)?).map_err(|_| {
        Unusable(format!(
            "{path} holds no private key in PEM: openssl pkey -in {path} must show one"
        ))
    })?;
    let key = provider.key_provider.load_private_key(key).map_err(|_| {
        Unusable(format!(
            "the key in {path} is of a kind that isn't known: take ECDSA P-256, or RSA of 2048 bits"
        ))
    })?;
    let pair_ = CertifiedKey::new(chain, key);
    match pair_.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(pair_)
        }
        Err(_) => Err(Unusable(format!(
            "the key in {path} isn't that of the certificate in {}: name the two that belong together",
            pair.certificate.display()
        ))),
    }
}

/// The certificates of a PEM file: one at least, and all of them readable.
pub(super) fn read_certificates(
    path: &Path,
    files: &Material,
) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let shown = path.display();
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file(path, files)?).collect();
    let found = found.map_err(|_| Unusable(format!("{shown} is damaged: it isn't PEM")))?;
    if found.is_empty() {
        return Err(Unusable(format!("{shown} holds no certificate: it must be PEM")));
    }
    match found.iter().position(|der| Certificate::read(der).is_err()) {
        Some(at) => {
            Err(Unusable(format!("certificate {} of {shown} is none: take it out", at + 1)))
        }
        None => Ok(found),
    }
}

/// What is in a file that the parent handed over.
pub(super) fn file<'a>(path: &Path, files: &'a Material) -> Result<&'a [u8], Unusable> {
    let missing = || Unusable(format!("{} could not be read: see that it exists", path.display()));
    files.files.get(path).map(Vec::as_slice).ok_or_else(missing)
}
