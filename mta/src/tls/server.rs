//! The receiver's side of TLS.
//!
//! Clients are strangers. A certificate that one shows decides nothing here: only that its holder has its key is
//! required, and the verdict is a fact for the policy. Nothing is remembered of a client but in a ticket that it
//! keeps itself.

use std::io;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoClientAuth, NoServerSessionStorage};
use rustls::{
    CommonState, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::Certificates;
use super::revocation::Demand;
use super::signature::SCHEMES;
use super::suites::{Agreed, provider};
use super::trust::{Purpose, Trust, Verdict, verify_handshake};
use super::{Facts, Unusable, Verify};
use crate::config;
use crate::control::Material;

/// RFC 9266.
pub(super) const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

/// Keys, authorities and tickets of one listener, as they were handed over last. Made anew with each
/// [`crate::control::ToChild::Load`]; connections go on with the one that they began with.
#[derive(Clone)]
pub struct Server {
    asking: Arc<ServerConfig>,
    not_asking: Arc<ServerConfig>,
    trust: Arc<Trust>,
    context: Arc<str>,
}

/// Whether this client is asked for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// It is.
    Yes,
    /// It isn't (`V` in `Srv_Features`, or the configuration).
    No,
}

impl Server {
    /// Builds it. Tickets of one listener are of no use at another (`context` names it): what was allowed there may not
    /// be here.
    ///
    /// # Errors
    /// [`Unusable`], which names the file.
    pub fn new(tls: &config::Tls, files: &Material, context: &str) -> Result<Self, Unusable> {
        let provider = provider();
        let certificates = Arc::new(Certificates::read(&tls.certificates, files, &provider)?);
        let build = |verifier: Arc<dyn ClientCertVerifier>| {
            configuration(&provider, verifier, Arc::clone(&certificates))
                .map_err(|error| Unusable(format!("TLS for {context} can't be set up: {error}")))
        };
        Ok(Self {
            asking: Arc::new(build(Arc::new(AnyCertificate))?),
            not_asking: Arc::new(build(Arc::new(NoClientAuth))?),
            trust: Arc::new(Trust::of_clients(tls, files)?),
            context: context.into(),
        })
    }

    /// What an operator should know of the files: a list of revoked certificates that is out of date, say.
    pub fn warnings(&self) -> Vec<String> {
        self.trust.warnings(UnixTime::now())
    }

    /// Which listener it is for.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The handshake. Fails only for what no policy can judge: no common version or cipher, a broken signature, an end.
    ///
    /// # Errors
    /// Those of the connection and of rustls.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        ask: Ask,
    ) -> io::Result<(TlsStream<S>, Facts)> {
        let config = match ask {
            Ask::Yes => &self.asking,
            Ask::No => &self.not_asking,
        };
        let stream = TlsAcceptor::from(Arc::clone(config)).accept(stream).await?;
        let (_, connection) = stream.get_ref();
        // Also after a resumption: the ticket holds the certificate, and what is revoked since then is revoked.
        let verdict = match connection.peer_certificates() {
            Some(chain) => {
                self.trust.judge(chain, Purpose::Client, Demand::IfThere, UnixTime::now())
            }
            None => Verdict::without_certificate(match ask {
                Ask::Yes => Verify::No,
                Ask::No => Verify::Not,
            }),
        };
        let exporter = exporter(connection, |out| {
            connection.export_keying_material(out, EXPORTER, Some(b"")).is_ok()
        });
        let server_name = connection.server_name().map(str::to_owned);
        let facts = facts(connection, verdict, exporter, server_name);
        Ok((stream, facts))
    }
}

/// RFC 9266: of TLS 1.3 alone, since in TLS 1.2 others disagree about an empty context.
pub(super) fn exporter(
    connection: &CommonState,
    export: impl FnOnce(&mut [u8; 32]) -> bool,
) -> Option<[u8; 32]> {
    let mut material = [0; 32];
    let is_new = connection.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
    (is_new && export(&mut material)).then_some(material)
}

/// All that a handshake ended in.
pub(super) fn facts(
    connection: &CommonState,
    verdict: Verdict,
    exporter: Option<[u8; 32]>,
    server_name: Option<String>,
) -> Facts {
    let Agreed { version, cipher, bits, group } = Agreed::of(connection);
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    Facts {
        version,
        cipher,
        bits,
        verify: verdict.verify,
        reason: verdict.reason.to_string(),
        failed_only_by_purpose: verdict.failed_only_by_purpose,
        certificate: leaf.map(|leaf| leaf.to_vec()),
        chain: verdict.chain,
        group,
        exporter,
        server_name,
    }
}

fn configuration(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ClientCertVerifier>,
    certificates: Arc<Certificates>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificates);
    config.ignore_client_order = true;
    config.require_ems = true;
    // Who wants to speak HTTP or IMAP gets an alert and not one line of ours (ALPACA); who sends no ALPN gets none.
    config.alpn_protocols = vec![b"smtp".to_vec()];
    // A key of its own: a ticket of another listener, of other authorities, or of a client that was asked for something
    // else opens nothing.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// Takes any certificate whose key signed the handshake; what it is worth is found out afterwards.
#[derive(Debug)]
struct AnyCertificate;

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    // Clients that choose by this list would show nothing where they could show a certificate that is pinned.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_handshake(rustls::ProtocolVersion::TLSv1_2, message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_handshake(rustls::ProtocolVersion::TLSv1_3, message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}
