//! Signatures: those of a handshake, which show that the other side has the key, and those on certificates.
//!
//! Runs in the receiver and in the sender. Keys come from strangers, and so do signatures. More kinds of keys are known
//! here than webpki takes (weak ones, certificates of version 1), since a bad certificate must get a verdict and not a
//! broken handshake; that a key is weak is [`super::path`]'s to say.

use aws_lc_rs::signature::{self as algorithms, UnparsedPublicKey, VerificationAlgorithm};
use rustls::SignatureScheme;

use super::certificate::{Algorithm, PublicKey, elements, only};
use super::rsa;

/// The signature isn't that key's on that message, or nobody here can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// The kinds of keys that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// With so many bits.
    Rsa(usize),
    /// On a curve.
    Ec(Curve),
    /// RFC 8410.
    Ed25519,
    /// Any other.
    Unknown,
}

/// The curves that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    /// secp256r1
    P256,
    /// secp384r1
    P384,
    /// secp521r1
    P521,
    /// secp256k1
    P256K1,
    /// Any other.
    Unknown,
}

/// Hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    /// Weak.
    Md5,
    /// Weak.
    Sha1,
    /// As long as OpenSSL asks for.
    Sha224,
    /// SHA-2.
    Sha256,
    /// SHA-2.
    Sha384,
    /// SHA-2.
    Sha512,
}

/// How something is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// RSASSA-PKCS1-v1_5.
    Pkcs1(Hash),
    /// RSASSA-PSS with a salt as long as the hash.
    Pss(Hash),
    /// ECDSA.
    Ecdsa(Hash),
    /// Ed25519.
    Ed25519,
    /// Any other.
    Unknown,
}

const RSA_PKCS1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4];

impl PublicKey<'_> {
    /// Of which kind it is.
    pub(super) fn kind(&self) -> Kind {
        match self.algorithm.kind {
            // rsaEncryption, and id-RSASSA-PSS
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1 | 10] => match rsa::numbers(self.bits) {
                Some((modulus, _)) => Kind::Rsa(rsa::bits(modulus)),
                None => Kind::Unknown,
            },
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1] => Kind::Ec(self.curve()),
            [0x2b, 0x65, 0x70] => Kind::Ed25519,
            _ => Kind::Unknown,
        }
    }

    fn curve(&self) -> Curve {
        match only(self.algorithm.parameters).map(|curve| curve.data()) {
            Ok([0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]) => Curve::P256,
            Ok([0x2b, 0x81, 4, 0, 0x22]) => Curve::P384,
            Ok([0x2b, 0x81, 4, 0, 0x23]) => Curve::P521,
            Ok([0x2b, 0x81, 4, 0, 0x0a]) => Curve::P256K1,
            _ => Curve::Unknown,
        }
    }

    /// Whether `signature` is this key's on `message`.
    pub(super) fn verify(
        &self,
        method: Method,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Invalid> {
        let algorithm = match (method, self.kind()) {
            (Method::Pss(hash), Kind::Rsa(bits)) if bits < 2048 => {
                return rsa::verify_pss(self.bits, hash, message, signature);
            }
            (Method::Pkcs1(hash), Kind::Rsa(bits)) => pkcs1(hash, bits),
            (Method::Pss(hash), Kind::Rsa(_)) => pss(hash),
            (Method::Ecdsa(hash), Kind::Ec(curve)) => ecdsa(curve, hash),
            (Method::Ed25519, Kind::Ed25519) => Some(&algorithms::ED25519 as _),
            _ => None,
        };
        UnparsedPublicKey::new(algorithm.ok_or(Invalid)?, self.bits)
            .verify(message, signature)
            .map_err(|_| Invalid)
    }
}

impl Algorithm<'_> {
    /// As what it is known, when something is signed with it.
    pub(super) fn method(&self) -> Method {
        if let Some([last]) = self.kind.strip_prefix(RSA_PKCS1) {
            return match last {
                4 => Method::Pkcs1(Hash::Md5),
                5 => Method::Pkcs1(Hash::Sha1),
                11 => Method::Pkcs1(Hash::Sha256),
                12 => Method::Pkcs1(Hash::Sha384),
                13 => Method::Pkcs1(Hash::Sha512),
                14 => Method::Pkcs1(Hash::Sha224),
                10 => pss_hash(self.parameters).map_or(Method::Unknown, Method::Pss),
                _ => Method::Unknown,
            };
        }
        match self.kind.strip_prefix(ECDSA) {
            Some([1]) => Method::Ecdsa(Hash::Sha1),
            Some([3, 1]) => Method::Ecdsa(Hash::Sha224),
            Some([3, 2]) => Method::Ecdsa(Hash::Sha256),
            Some([3, 3]) => Method::Ecdsa(Hash::Sha384),
            Some([3, 4]) => Method::Ecdsa(Hash::Sha512),
            _ if self.kind == [0x2b, 0x65, 0x70] => Method::Ed25519,
            _ => Method::Unknown,
        }
    }
}

impl Method {
    /// Its hash, if it is one that has one.
    pub(super) fn hash(self) -> Option<Hash> {
        match self {
            Self::Pkcs1(hash) | Self::Pss(hash) | Self::Ecdsa(hash) => Some(hash),
            Self::Ed25519 | Self::Unknown => None,
        }
    }

    /// What a scheme of a handshake means; which curve it is for counts in TLS 1.3 only.
    pub(super) fn of(scheme: SignatureScheme) -> Self {
        match scheme {
            SignatureScheme::RSA_PKCS1_SHA256 => Self::Pkcs1(Hash::Sha256),
            SignatureScheme::RSA_PKCS1_SHA384 => Self::Pkcs1(Hash::Sha384),
            SignatureScheme::RSA_PKCS1_SHA512 => Self::Pkcs1(Hash::Sha512),
            SignatureScheme::RSA_PSS_SHA256 => Self::Pss(Hash::Sha256),
            SignatureScheme::RSA_PSS_SHA384 => Self::Pss(Hash::Sha384),
            SignatureScheme::RSA_PSS_SHA512 => Self::Pss(Hash::Sha512),
            SignatureScheme::ECDSA_NISTP256_SHA256 => Self::Ecdsa(Hash::Sha256),
            SignatureScheme::ECDSA_NISTP384_SHA384 => Self::Ecdsa(Hash::Sha384),
            SignatureScheme::ECDSA_NISTP521_SHA512 => Self::Ecdsa(Hash::Sha512),
            SignatureScheme::ED25519 => Self::Ed25519,
            _ => Self::Unknown,
        }
    }
}

/// What we take in a handshake, the best first.
pub(super) const SCHEMES: [SignatureScheme; 10] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// Whether a key on this curve may sign with this scheme in TLS 1.3, where scheme and curve belong together.
pub(super) fn is_for_curve(scheme: SignatureScheme, kind: Kind) -> bool {
    let Kind::Ec(curve) = kind else { return true };
    match scheme {
        SignatureScheme::ECDSA_NISTP256_SHA256 => curve == Curve::P256,
        SignatureScheme::ECDSA_NISTP384_SHA384 => curve == Curve::P384,
        SignatureScheme::ECDSA_NISTP521_SHA512 => curve == Curve::P521,
        _ => false,
    }
}

type Verification = &'static dyn VerificationAlgorithm;

fn pkcs1(hash: Hash, bits: usize) -> Option<Verification> {
    Some(match (hash, bits) {
        (Hash::Sha1, _) => &algorithms::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        (Hash::Sha256, ..2048) => &algorithms::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        (Hash::Sha512, ..2048) => &algorithms::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        (Hash::Sha256, _) => &algorithms::RSA_PKCS1_2048_8192_SHA256,
        (Hash::Sha384, 2048..) => &algorithms::RSA_PKCS1_2048_8192_SHA384,
        (Hash::Sha512, _) => &algorithms::RSA_PKCS1_2048_8192_SHA512,
        _ => return None,
    })
}

fn pss(hash: Hash) -> Option<Verification> {
    Some(match hash {
        Hash::Sha256 => &algorithms::RSA_PSS_2048_8192_SHA256,
        Hash::Sha384 => &algorithms::RSA_PSS_2048_8192_SHA384,
        Hash::Sha512 => &algorithms::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn ecdsa(curve: Curve, hash: Hash) -> Option<Verification> {
    Some(match (curve, hash) {
        (Curve::P256, Hash::Sha1) => &algorithms::ECDSA_P256_SHA1_ASN1,
        (Curve::P256, Hash::Sha256) => &algorithms::ECDSA_P256_SHA256_ASN1,
        (Curve::P256, Hash::Sha384) => &algorithms::ECDSA_P256_SHA384_ASN1,
        (Curve::P256, Hash::Sha512) => &algorithms::ECDSA_P256_SHA512_ASN1,
        (Curve::P384, Hash::Sha256) => &algorithms::ECDSA_P384_SHA256_ASN1,
        (Curve::P384, Hash::Sha384) => &algorithms::ECDSA_P384_SHA384_ASN1,
        (Curve::P384, Hash::Sha512) => &algorithms::ECDSA_P384_SHA512_ASN1,
        (Curve::P521, Hash::Sha1) => &algorithms::ECDSA_P521_SHA1_ASN1,
        (Curve::P521, Hash::Sha224) => &algorithms::ECDSA_P521_SHA224_ASN1,
        (Curve::P521, Hash::Sha256) => &algorithms::ECDSA_P521_SHA256_ASN1,
        (Curve::P521, Hash::Sha384) => &algorithms::ECDSA_P521_SHA384_ASN1,
        (Curve::P521, Hash::Sha512) => &algorithms::ECDSA_P521_SHA512_ASN1,
        (Curve::P256K1, Hash::Sha256) => &algorithms::ECDSA_P256K1_SHA256_ASN1,
        _ => return None,
    })
}

/// The hash of RSASSA-PSS-params; the default of all fields is SHA-1.
fn pss_hash(parameters: &[u8]) -> Option<Hash> {
    let fields = elements(only(parameters).ok()?.data()).ok()?;
    let Some(hash) = fields.iter().find(|field| super::certificate::is_context(field, 0)) else {
        return Some(Hash::Sha1);
    };
    let algorithm = Algorithm::read(&only(hash.data()).ok()?).ok()?;
    match algorithm.kind {
        [0x2b, 0x0e, 3, 2, 0x1a] => Some(Hash::Sha1),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1] => Some(Hash::Sha256),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2] => Some(Hash::Sha384),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3] => Some(Hash::Sha512),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 4] => Some(Hash::Sha224),
        _ => None,
    }
}
