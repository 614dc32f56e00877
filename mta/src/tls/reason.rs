//! Why a certificate is good or bad, in OpenSSL's words, which logs and their readers know.
//!
//! Runs in the receiver and in the sender.

use std::fmt;

/// What became of a certificate. The words are those of OpenSSL 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Ok,
    NoIssuer,
    NoIssuerOfAuthority,
    NoCrl,
    BadSignature,
    BadCrlSignature,
    NotYetValid,
    Expired,
    BadNotBefore,
    BadNotAfter,
    SelfSigned,
    SelfSignedInChain,
    ChainTooLong,
    Revoked,
    NoAuthority,
    PathLength,
    Purpose,
    UnknownCritical,
    NoCertificateSign,
    Proxy,
    BadExtension,
    Permitted,
    Excluded,
    MinimumMaximum,
    ConstraintType,
    ConstraintSyntax,
    NameSyntax,
    WeakKey,
    WeakAuthorityKey,
    WeakDigest,
    NoCrlSign,
    Unspecified,
}

impl std::error::Error for Reason {}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NoIssuer => "unable to get local issuer certificate",
            Self::NoIssuerOfAuthority => "unable to get issuer certificate",
            Self::NoCrl => "unable to get certificate CRL",
            Self::BadSignature => "certificate signature failure",
            Self::BadCrlSignature => "CRL signature failure",
            Self::NotYetValid => "certificate is not yet valid",
            Self::Expired => "certificate has expired",
            Self::BadNotBefore => "format error in certificate's notBefore field",
            Self::BadNotAfter => "format error in certificate's notAfter field",
            Self::SelfSigned => "self-signed certificate",
            Self::SelfSignedInChain => "self-signed certificate in certificate chain",
            Self::ChainTooLong => "certificate chain too long",
            Self::Revoked => "certificate revoked",
            Self::NoAuthority => "invalid CA certificate",
            Self::PathLength => "path length constraint exceeded",
            Self::Purpose => "unsuitable certificate purpose",
            Self::UnknownCritical => "unhandled critical extension",
            Self::NoCertificateSign => "key usage does not include certificate signing",
            Self::Proxy => "proxy certificates not allowed, please set the appropriate flag",
            Self::BadExtension => "invalid or inconsistent certificate extension",
            Self::Permitted => "permitted subtree violation",
            Self::Excluded => "excluded subtree violation",
            Self::MinimumMaximum => "name constraints minimum and maximum not supported",
            Self::ConstraintType => "unsupported name constraint type",
            Self::ConstraintSyntax => "unsupported or invalid name constraint syntax",
            Self::NameSyntax => "unsupported or invalid name syntax",
            Self::WeakKey => "EE certificate key too weak",
            Self::WeakAuthorityKey => "CA certificate key too weak",
            Self::WeakDigest => "CA signature digest algorithm too weak",
            Self::NoCrlSign => "key usage does not include CRL signing",
            Self::Unspecified => "unspecified certificate verification error",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
