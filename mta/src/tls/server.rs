//! The receiver's side of TLS.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use super::{Facts, Unusable};
use crate::config;
use crate::control::Material;

/// Keys, authorities and tickets of one listener, as they were handed over last. Made anew with each
/// [`crate::control::ToChild::Load`]; connections go on with the one that they began with.
#[derive(Clone)]
pub struct Server {
    _config: Arc<rustls::ServerConfig>,
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
    pub fn new(_tls: &config::Tls, _files: &Material, _context: &str) -> Result<Self, Unusable> {
        Err(Unusable("not written yet".into()))
    }

    /// The handshake. Fails only for what no policy can judge: no common version or cipher, a broken signature, an end.
    ///
    /// # Errors
    /// Those of the connection and of rustls.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        _stream: S,
        _ask: Ask,
    ) -> io::Result<(TlsStream<S>, Facts)> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
