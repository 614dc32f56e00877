//! What the daemon is told of a session in which somebody logs in.

use std::net::SocketAddr;

use protocol::auth::{Certificate, Parameters};
use protocol::certificate::{self, COMMON_NAME_TOO_LONG, COMMON_NAME_WITH_NUL, NO_COMMON_NAME};
use protocol::mechanism::{LastWords, Mechanism};
use protocol::{Address, Name};
use zeroize::Zeroizing;

use crate::tls::{Facts, Verify};

/// A session inside TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    local: SocketAddr,
    remote: SocketAddr,
    certificate: Certificate,
    exporter: Option<Zeroizing<[u8; 32]>>,
}

impl Attempt {
    /// A session between our address and the client's (the real one's, behind a proxy), inside this TLS.
    pub fn new(local: SocketAddr, remote: SocketAddr, tls: &Facts) -> Self {
        let certificate = match (tls.verify, &tls.certificate) {
            (Verify::Ok, Some(der)) => owner(der).map_or(Certificate::Verified, Certificate::Of),
            _ => Certificate::Unstated,
        };
        Self { local, remote, certificate, exporter: tls.exporter.map(Zeroizing::new) }
    }

    /// Whether this session may use a mechanism that is offered.
    pub(super) fn permits(&self, mechanism: Mechanism) -> bool {
        match mechanism {
            // Somebody unknown could only do what everybody may.
            Mechanism::Anonymous => false,
            Mechanism::External => matches!(self.certificate, Certificate::Of(_)),
            other => !other.binds_channel() || self.exporter.is_some(),
        }
    }

    /// The data of this channel, if it is one that we have data of.
    pub(super) fn binding(&self, channel: &Name) -> Option<Vec<u8>> {
        let exporter = self.exporter.as_ref()?;
        (channel.as_bytes() == b"tls-exporter").then(|| exporter.to_vec())
    }

    /// The parameters of AUTH but for the way in which TLS is stated.
    pub(super) fn parameters(&self) -> Parameters {
        let address =
            |at: SocketAddr| Address { ip: at.ip().to_canonical(), port: Some(at.port()) };
        Parameters {
            local: Some(address(self.local)),
            remote: Some(address(self.remote)),
            certificate: self.certificate.clone(),
            last_words: LastWords::WithOutcome,
            ..Parameters::of_service(Name::new(b"smtp").unwrap_or_default())
        }
    }
}

/// Whose a certificate is: its subject's common name, as Dovecot takes it. Where that one is missing or odd, it is nobody's:
/// another name that it has would make it somebody else's (CVE-2019-3814).
fn owner(der: &[u8]) -> Option<Name> {
    let certificate = certificate::Certificate::from_der(der).ok()?;
    let name = common_name(&certificate.subject.common_name)?;
    Name::new(&name).ok().filter(|name| !name.is_empty())
}

/// The bytes behind sendmail's xtext, unless it is one of sendmail's words for none.
fn common_name(xtext: &str) -> Option<Vec<u8>> {
    if [NO_COMMON_NAME, COMMON_NAME_WITH_NUL, COMMON_NAME_TOO_LONG].contains(&xtext) {
        return None;
    }
    let mut bytes = Vec::with_capacity(xtext.len());
    let mut rest = xtext;
    while let Some((before, after)) = rest.split_once('+') {
        let (hex, behind) = after.split_at_checked(2)?;
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        rest = behind;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}
