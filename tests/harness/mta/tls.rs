//! TLS of probes and sinks: settings that believe anything, and certificates made by `mailauth cert` or by openssl.

use std::io;
use std::path::Path;
use std::sync::Arc;

use protocol::certificate::Certificate;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};

/// A chain and its key.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads PEM files: the certificates of all `chain`, leaf first, and the leaf's key.
    pub fn read(chain: &[&Path], key: &Path) -> io::Result<Self> {
        let mut certificates = Vec::new();
        for path in chain {
            for certificate in CertificateDer::pem_file_iter(path).map_err(io::Error::other)? {
                certificates.push(certificate.map_err(io::Error::other)?);
            }
        }
        let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
        Ok(Self { chain: certificates, key })
    }

    /// `NAME.pem` and `NAME.key` of a directory.
    pub fn named(directory: &Path, name: &str) -> io::Result<Self> {
        let file = |ending: &str| directory.join(format!("{name}.{ending}"));
        Self::read(&[&file("pem")], &file("key"))
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// TLS 1.2 alone.
pub const TLS_1_2: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
/// TLS 1.3 alone.
pub const TLS_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
/// Both.
pub const ANY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// A client's settings: it takes whatever the server shows, and shows `identity` when it is asked.
pub fn client(
    identity: Option<Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believe(provider)));
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(Identity { chain, key }) => {
            config.with_client_auth_cert(chain, key).map_err(io::Error::other)?
        }
    };
    Ok(Arc::new(config))
}

/// The same settings, with protocols offered by ALPN.
pub fn speaking(config: &Arc<ClientConfig>, protocols: &[&str]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A client's settings that believe certificates of this authority alone.
pub fn client_of(authority: &Path, identity: Option<Identity>) -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(ANY)
        .map_err(io::Error::other)?
        .with_root_certificates(roots(authority)?);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(Identity { chain, key }) => {
            config.with_client_auth_cert(chain, key).map_err(io::Error::other)?
        }
    };
    Ok(Arc::new(config))
}

/// A server's settings; with `authority` it asks clients for a certificate and takes none of another.
pub fn server(
    Identity { chain, key }: Identity,
    authority: Option<&Path>,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<Arc<ServerConfig>> {
    server_with(aws_lc_rs::default_provider(), Identity { chain, key }, authority, versions)
}

/// The same with a cryptography of its own.
pub fn server_with(
    provider: CryptoProvider,
    Identity { chain, key }: Identity,
    authority: Option<&Path>,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<Arc<ServerConfig>> {
    let provider = Arc::new(provider);
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?;
    let key = provider.key_provider.load_private_key(key).map_err(io::Error::other)?;
    let config = match authority {
        None => config.with_no_client_auth(),
        Some(path) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider)
                    .allow_unauthenticated()
                    .build()
                    .map_err(io::Error::other)?;
            config.with_client_cert_verifier(verifier)
        }
    };
    // Not looked at: some are to be no good.
    let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    Ok(Arc::new(config.with_cert_resolver(Arc::new(shown))))
}

fn roots(path: &Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(io::Error::other)? {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    Ok(roots)
}

/// The common name of a certificate.
pub(super) fn name_of(der: &[u8]) -> String {
    Certificate::from_der(der).map_or_else(|_| "?".to_owned(), |leaf| leaf.subject.common_name)
}

/// Believes every certificate of a server; signatures of the handshake are checked all the same.
#[derive(Debug)]
struct Believe(Arc<CryptoProvider>);

impl ServerCertVerifier for Believe {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            leaf,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            leaf,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
