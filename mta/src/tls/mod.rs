//! TLS by rustls, in both directions: what was agreed on, and what the other side's certificate amounts to.
//!
//! A handshake never fails for a certificate: its verdict is a fact ([`Facts`]), and what follows from it is the policy's
//! to say. Runs in the receiver (server) and in the sender (client), from material that the parent handed over.

mod certificate;
mod certificates;
mod ciphers;
pub mod client;
mod constraints;
mod distinguished;
mod extensions;
mod features;
mod name;
mod path;
mod reason;
mod revocation;
mod rsa;
pub mod server;
mod signature;
mod store;
mod suites;
mod trust;

use std::fmt;

pub use trust::HOST_AUTHORITIES;

/// What a handshake ended in, for policy, `Received:` and log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `TLSv1.3`
    pub version: &'static str,
    /// OpenSSL's name, as logs and maps have it: `TLS_AES_256_GCM_SHA384`, `ECDHE-RSA-AES256-GCM-SHA384`.
    pub cipher: &'static str,
    /// Of its key.
    pub bits: u32,
    /// The verdict.
    pub verify: Verify,
    /// Why, in OpenSSL's words: `ok`, `certificate has expired`, …
    pub reason: String,
    /// Whether nothing but the certificate's purpose is wrong: it is for servers, say.
    pub failed_only_by_purpose: bool,
    /// The leaf certificate in DER, whatever the verdict.
    pub certificate: Option<Vec<u8>>,
    /// Subjects of the authorities of the verified chain in DER, the issuer first; empty unless it verified, or
    /// [`Self::failed_only_by_purpose`].
    pub chain: Vec<Vec<u8>>,
    /// The key exchange: `X25519MLKEM768`.
    pub group: &'static str,
    /// The keying material of `tls-exporter` (RFC 9266): TLS 1.3 only.
    pub exporter: Option<[u8; 32]>,
    /// The name that the client asked for.
    pub server_name: Option<String>,
}

/// What became of the other side's certificate, and of TLS: sendmail's `${verify}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verify {
    /// It is good.
    Ok,
    /// It was asked for, and there is none.
    No,
    /// It wasn't asked for.
    Not,
    /// There is one, and it isn't good.
    Fail,
    /// STARTTLS isn't offered, isn't tried, or was answered 5xx.
    None,
    /// STARTTLS was answered 4xx.
    Temp,
    /// STARTTLS was answered by something else.
    Protocol,
    /// The handshake failed.
    Software,
    /// The connection was closed meanwhile.
    Failure,
    /// The policy's options for this peer are wrong.
    Config,
    /// The second attempt, in the clear, after a handshake that failed.
    Clear,
}

impl Verify {
    /// sendmail's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Not => "NOT",
            Self::Fail => "FAIL",
            Self::None => "NONE",
            Self::Temp => "TEMP",
            Self::Protocol => "PROTOCOL",
            Self::Software => "SOFTWARE",
            Self::Failure => "FAILURE",
            Self::Config => "CONFIG",
            Self::Clear => "CLEAR",
        }
    }
}

impl fmt::Display for Verify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with key, certificate or authorities, in words that name the file and the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable(pub String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}
