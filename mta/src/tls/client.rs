//! The sender's side of TLS.

use std::io;

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{Facts, Unusable};
use crate::config::{self, FallBack};
use crate::control::Material;

/// Authorities, certificates and tickets of the sender, as they were handed over last. Cheap to clone.
#[derive(Clone)]
pub struct Client {}

/// What the access map says of TLS with one server (`TLS_Clt_features:`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// `Flags=C` and `Flags=c`: whether a handshake that failed may be followed by the clear. `None` for what the
    /// settings say.
    pub fall_back: Option<FallBack>,
}

impl Client {
    /// Builds it.
    ///
    /// # Errors
    /// [`Unusable`], which names the file.
    pub fn new(_tls: &config::Tls, _files: &Material) -> Result<Self, Unusable> {
        Ok(Self {})
    }

    /// Reads options as the map has them; empty text for none.
    ///
    /// # Errors
    /// [`Unusable`]: nothing is sent to that server then (`verify=CONFIG`).
    pub fn options(&self, text: &str) -> Result<Options, Unusable> {
        match text {
            "" => Ok(Options { fall_back: None }),
            _ => Err(Unusable("not written yet".into())),
        }
    }

    /// The handshake with the server of this name, whatever its certificate: a name is sent and counts for
    /// [`Facts::verify`] in nothing, as with sendmail. Fails only for what no policy can judge.
    ///
    /// # Errors
    /// Those of the connection ([`io::ErrorKind::UnexpectedEof`] and the like: it was closed) and of rustls
    /// ([`io::ErrorKind::InvalidData`]).
    pub async fn connect(
        &self,
        _stream: TcpStream,
        _host: &str,
        _options: &Options,
    ) -> io::Result<(TlsStream<TcpStream>, Facts)> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
