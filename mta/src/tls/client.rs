//! The sender's side of TLS.
//!
//! Servers are strangers. A handshake fails for no certificate: what it is worth, and whether it is for the host that was
//! meant, are facts for the policy. Sessions go on only with the same server, which is a name and a port, and under the
//! same options; the certificate is judged anew.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, ProtocolVersion, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificate::Certificate;
use super::certificates::read_pair;
use super::features::{Tickets, Versions};
use super::server::{EXPORTER, exporter, facts};
use super::signature::SCHEMES;
use super::suites::{provider, restricted};
use super::trust::{Purpose, Trust, verify_handshake};
use super::{Facts, Unusable, name};
use crate::config::{self, KeyPair};
use crate::control::Material;

pub use super::features::Options;

/// Most sets of options and ports that sessions are kept for.
const MAX_POLICIES: usize = 64;
/// Most sessions that are kept for one of them.
const MAX_SESSIONS: usize = 64;

/// Keys, authorities and sessions, as they were handed over last.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    trust: Trust,
    own: Option<Arc<CertifiedKey>>,
    files: Material,
    provider: Arc<CryptoProvider>,
    configurations: Mutex<HashMap<(Options, u16), Arc<ClientConfig>>>,
}

/// Whether a certificate is for the host that was meant (RFC 9525).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// It is.
    Matches,
    /// It is for others.
    Differs,
}

/// Whether the certificate of this connection is for a host: by its alternative names alone (RFC 9525). Counts only
/// together with [`super::Verify::Ok`].
pub fn named(facts: &Facts, host: &str) -> Name {
    let host = host.strip_suffix('.').unwrap_or(host);
    let leaf = facts.certificate.as_deref().and_then(|leaf| Certificate::read(leaf).ok());
    let matches = leaf.is_some_and(|leaf| match host.parse::<IpAddr>() {
        Ok(address) => name::has_address(&leaf, address),
        Err(_) => name::matches_any(&name::stated(&leaf), host),
    });
    if matches { Name::Matches } else { Name::Differs }
}

impl Client {
    /// Builds it.
    ///
    /// # Errors
    /// [`Unusable`], which names the file.
    pub fn new(tls: &config::Tls, files: &Material) -> Result<Self, Unusable> {
        let provider = provider();
        let own = tls.client_certificate.as_ref();
        let own = own.map(|pair| read_pair(pair, files, &provider)).transpose()?;
        let shared = Shared {
            trust: Trust::of_servers(tls, files)?,
            own: own.map(Arc::new),
            files: files.clone(),
            provider,
            configurations: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What an operator should know of the files.
    pub fn warnings(&self) -> Vec<String> {
        self.shared.trust.warnings(UnixTime::now())
    }

    /// Reads options as the map has them (`TLS_Clt_features:`); empty text for none.
    ///
    /// # Errors
    /// [`Unusable`]: nothing is sent to that server then (`verify=CONFIG`).
    pub fn options(&self, text: &str) -> Result<Options, Unusable> {
        let options = Options::parse(text).map_err(Unusable)?;
        self.shared.configuration(&options, 0)?;
        Ok(options)
    }

    /// The handshake with the server of this name and port, whatever its certificate: a name is sent and counts for
    /// [`Facts::verify`] in nothing, as with sendmail; see [`named`]. Fails only for what no policy can judge. How long
    /// it may take is the caller's to say.
    ///
    /// # Errors
    /// Those of the connection ([`io::ErrorKind::UnexpectedEof`] and the like: it was closed) and of rustls
    /// ([`io::ErrorKind::InvalidData`]).
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        (host, port): (&str, u16),
        options: &Options,
    ) -> io::Result<(TlsStream<S>, Facts)> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let server = ServerName::try_from(host.to_owned())
            .map_err(|_| invalid(format!("`{host}` is no name of a host")))?;
        let config = self.shared.configuration(options, port).map_err(|error| invalid(error.0))?;
        let stream = TlsConnector::from(config).connect(server, stream).await?;
        let (_, connection) = stream.get_ref();
        // Also after a resumption: what is revoked since then is revoked.
        let chain = connection.peer_certificates().unwrap_or_default();
        let verdict =
            self.shared.trust.judge(chain, Purpose::Server, options.lists, UnixTime::now());
        let exporter = exporter(connection, |out| {
            connection.export_keying_material(out, EXPORTER, Some(b"")).is_ok()
        });
        let facts = facts(connection, verdict, exporter, Some(host.to_owned()));
        Ok((stream, facts))
    }
}

impl Shared {
    /// The one for these options, with the sessions that it has; made if there is none. rustls knows a session by the
    /// server's name alone, and what another port of a host showed says nothing of this one: services that share the keys
    /// of their tickets would be taken for each other, with each other's certificates.
    fn configuration(&self, options: &Options, port: u16) -> Result<Arc<ClientConfig>, Unusable> {
        let key = (options.clone(), port);
        let mut known = self.configurations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = known.get(&key) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.build(options)?);
        if known.len() >= MAX_POLICIES {
            known.clear();
        }
        known.insert(key, Arc::clone(&config));
        Ok(config)
    }

    fn build(&self, options: &Options) -> Result<ClientConfig, Unusable> {
        let own = match &options.certificate {
            Some((certificate, key)) => {
                let pair = KeyPair { certificate: certificate.clone(), key: key.clone() };
                Some(Arc::new(read_pair(&pair, &self.files, &self.provider)?))
            }
            None => self.own.clone(),
        };
        let versions: &[_] = match options.versions {
            Versions::Both => &[&rustls::version::TLS13, &rustls::version::TLS12],
            Versions::Only12 => &[&rustls::version::TLS12],
            Versions::Only13 => &[&rustls::version::TLS13],
        };
        let provider = restricted(&self.provider, options);
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .map_err(|error| Unusable(format!("TLS_Clt_features leave no TLS: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate))
            .with_client_cert_resolver(Arc::new(Own(own)));
        config.resumption = match options.tickets {
            Tickets::Kept => Resumption::in_memory_sessions(MAX_SESSIONS),
            Tickets::Off => Resumption::disabled(),
        };
        Ok(config)
    }
}

/// What we show to a server that asks.
#[derive(Debug)]
struct Own(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Own {
    fn resolve(
        &self,
        _acceptable_issuers: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.0.clone().filter(|own| own.key.choose_scheme(schemes).is_some())
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

/// Takes any certificate whose key signed the handshake; what it is worth is found out afterwards.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_handshake(ProtocolVersion::TLSv1_2, message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_handshake(ProtocolVersion::TLSv1_3, message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}
