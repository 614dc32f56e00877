//! From a certificate to an authority: whether each one on the way may and did sign the one before it.
//!
//! Runs in the receiver and in the sender; but for the authorities, all bytes come from strangers. The checks, their order
//! and their words are those of OpenSSL 3 at security level 2, since policies and logs were written for its verdicts:
//! the first thing that is wrong is the reason. Work is bounded: [`MAX_DEPTH`] signatures, and as many names as
//! [`super::constraints`] allows.

use super::certificate::Certificate;
use super::constraints;
use super::extensions::{netscape, usage};
use super::reason::Reason;
use super::revocation::{Demand, Revoked};
use super::signature::{Curve, Hash, Kind, Method};
use super::store::Store;
use super::trust::Purpose;

/// Most certificates between a leaf and a trusted one, and most that are looked at of those that were sent.
pub(super) const MAX_DEPTH: usize = 16;

/// By what a certificate is judged.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    /// Whom we believe.
    pub(super) store: &'a Store,
    /// What was taken back.
    pub(super) revoked: &'a Revoked,
    /// Whether there must be a list for each authority.
    pub(super) demand: Demand,
    /// What it must be for.
    pub(super) purpose: Purpose,
    /// Whether that counts.
    pub(super) heed: Heed,
    /// Seconds since 1970.
    pub(super) now: i64,
}

/// Whether extendedKeyUsage counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heed {
    /// It does.
    Purpose,
    /// It doesn't: to find out whether nothing else is wrong.
    UsageAlone,
}

/// A way from a leaf to a trusted root.
#[derive(Debug)]
pub(super) struct Path<'a> {
    /// Leaf first.
    pub(super) chain: Vec<Certificate<'a>>,
    /// How many of them come from the other side.
    untrusted: usize,
}

impl<'a> Judge<'a> {
    /// The chain of a leaf, if it is good.
    pub(super) fn verify(
        &self,
        leaf: &'a [u8],
        sent: &[Certificate<'a>],
    ) -> Result<Path<'a>, Reason> {
        let leaf = Certificate::read(leaf).map_err(|_| Reason::BadExtension)?;
        if !is_strong_key(leaf.key.kind()) {
            return Err(Reason::WeakKey);
        }
        let path = self.build(leaf, sent)?;
        self.check_extensions(&path)?;
        check_strength(&path.chain)?;
        let signed = self.check_signatures_and_times(&path.chain);
        if signed != Err(Reason::BadSignature) {
            // A list's signature may be long to check; never for a chain that is forged.
            self.check_revocation(&path.chain)?;
        }
        signed?;
        constraints::check(&path.chain)?;
        Ok(path)
    }

    fn build(&self, leaf: Certificate<'a>, sent: &[Certificate<'a>]) -> Result<Path<'a>, Reason> {
        let mut path = Path { chain: vec![leaf], untrusted: 1 };
        let mut left: Vec<&Certificate<'a>> = sent.iter().take(MAX_DEPTH).collect();
        let mut from_sent = true;
        loop {
            let Some(last) = path.chain.last() else { return Err(Reason::NoIssuer) };
            let is_root = is_self_signed(last);
            if path.chain.len() > MAX_DEPTH {
                return Err(Reason::ChainTooLong);
            }
            if let Some(issuer) = self.trusted_issuer(last) {
                if is_root && path.untrusted == path.chain.len() {
                    // One that merely looks like a trusted root must be it, byte for byte.
                    if issuer.der == last.der {
                        path.untrusted -= 1;
                        return Ok(path);
                    }
                } else {
                    let is_root = is_self_signed(&issuer);
                    path.chain.push(issuer);
                    from_sent = false;
                    if is_root {
                        return Ok(path);
                    }
                    continue;
                }
            }
            let next = if from_sent && !is_root { self.sent_issuer(last, &left) } else { None };
            let Some(at) = next else { return Err(path.reason()) };
            path.chain.push(left.remove(at).clone());
            path.untrusted += 1;
        }
    }

    fn trusted_issuer(&self, of: &Certificate<'_>) -> Option<Certificate<'a>> {
        let candidates =
            self.store.named(&of.issuer_name).filter(|issuer| may_have_issued(issuer, of));
        self.best(candidates)
    }

    fn sent_issuer(&self, of: &Certificate<'_>, left: &[&Certificate<'a>]) -> Option<usize> {
        let candidates = left.iter().enumerate().filter(|(_, issuer)| may_have_issued(issuer, of));
        let candidates: Vec<_> = candidates.collect();
        let valid = candidates.iter().find(|(_, issuer)| self.check_time(issuer).is_ok());
        valid
            .or_else(|| candidates.iter().max_by_key(|(_, issuer)| issuer.not_after))
            .map(|(at, _)| *at)
    }

    /// The first that is valid now, or the one that was longest.
    fn best<'c>(
        &self,
        candidates: impl Iterator<Item = Certificate<'c>>,
    ) -> Option<Certificate<'c>> {
        let mut best: Option<Certificate<'c>> = None;
        for candidate in candidates {
            if self.check_time(&candidate).is_ok() {
                return Some(candidate);
            }
            if best.as_ref().is_none_or(|best| best.not_after < candidate.not_after) {
                best = Some(candidate);
            }
        }
        best
    }

    fn check_extensions(&self, path: &Path<'_>) -> Result<(), Reason> {
        let mut length = 0;
        for (depth, certificate) in path.chain.iter().enumerate() {
            let extensions = &certificate.extensions;
            if extensions.malformed {
                return Err(Reason::BadExtension);
            }
            if extensions.unknown_critical {
                return Err(Reason::UnknownCritical);
            }
            if extensions.proxy {
                return Err(Reason::Proxy);
            }
            let role = match depth {
                0 => Role::Leaf,
                _ => Role::Authority,
            };
            let is_last = depth + 1 == path.chain.len();
            if role == Role::Authority && !authority(certificate).is_enough(is_last) {
                return Err(Reason::NoAuthority);
            }
            if !self.is_suitable(certificate, role) {
                return Err(Reason::Purpose);
            }
            let limit = extensions.authority.and_then(|(_, limit)| limit);
            if depth > 1 && limit.is_some_and(|limit| length > limit) {
                return Err(Reason::PathLength);
            }
            if depth == 0 || !certificate.is_self_issued() {
                length += 1;
            }
        }
        Ok(())
    }

    /// What OpenSSL calls sslclient and sslserver.
    fn is_suitable(&self, certificate: &Certificate<'_>, role: Role) -> bool {
        let extensions = &certificate.extensions;
        let (extended, netscape_bit, key_usage) = match self.purpose {
            Purpose::Client => (
                extensions.extended.is_none_or(|extended| extended.client),
                netscape::CLIENT,
                usage::DIGITAL_SIGNATURE | usage::KEY_AGREEMENT,
            ),
            Purpose::Server => (
                extensions.extended.is_none_or(|extended| extended.server),
                netscape::SERVER,
                usage::DIGITAL_SIGNATURE | usage::KEY_AGREEMENT | usage::KEY_ENCIPHERMENT,
            ),
        };
        let of_kind = |bit: u8| extensions.netscape.is_none_or(|kind| kind & bit != 0);
        let rest = match role {
            Role::Authority => match authority(certificate) {
                Authority::No => false,
                Authority::Netscape => of_kind(netscape::TLS_AUTHORITY),
                Authority::Yes | Authority::Perhaps => true,
            },
            Role::Leaf => {
                extensions.usage.is_none_or(|bits| bits & key_usage != 0) && of_kind(netscape_bit)
            }
        };
        rest && (extended || self.heed == Heed::UsageAlone)
    }

    /// From the root down, each one's signature and then its time.
    fn check_signatures_and_times(&self, chain: &[Certificate<'_>]) -> Result<(), Reason> {
        let mut issuer: Option<&Certificate<'_>> = None;
        for certificate in chain.iter().rev() {
            if let Some(issuer) = issuer {
                if !issuer.may_use(usage::CERTIFICATE_SIGN) {
                    return Err(Reason::NoCertificateSign);
                }
                issuer
                    .key
                    .verify(
                        certificate.signature_algorithm.method(),
                        certificate.signed,
                        certificate.signature,
                    )
                    .map_err(|_| Reason::BadSignature)?;
            }
            self.check_time(certificate)?;
            issuer = Some(certificate);
        }
        Ok(())
    }

    fn check_time(&self, certificate: &Certificate<'_>) -> Result<(), Reason> {
        match (certificate.not_before, certificate.not_after) {
            (None, _) => Err(Reason::BadNotBefore),
            (Some(from), _) if from > self.now => Err(Reason::NotYetValid),
            (_, None) => Err(Reason::BadNotAfter),
            (_, Some(until)) if until < self.now => Err(Reason::Expired),
            _ => Ok(()),
        }
    }

    fn check_revocation(&self, chain: &[Certificate<'_>]) -> Result<(), Reason> {
        if self.revoked.is_empty() {
            return Ok(());
        }
        for (depth, certificate) in chain.iter().enumerate() {
            let issuer = chain.get(depth + 1).unwrap_or(certificate);
            self.revoked.check(certificate, issuer, self.demand)?;
        }
        Ok(())
    }
}

impl Path<'_> {
    /// Subjects of the authorities in DER, the issuer first.
    pub(super) fn subjects(&self) -> Vec<Vec<u8>> {
        self.chain.iter().skip(1).map(|authority| authority.subject.to_vec()).collect()
    }

    /// Why it leads nowhere.
    fn reason(&self) -> Reason {
        let ends_in_root = self.chain.last().is_some_and(is_self_signed);
        match (ends_in_root, self.chain.len()) {
            (true, 1) => Reason::SelfSigned,
            (true, _) => Reason::SelfSignedInChain,
            (false, length) if self.untrusted < length => Reason::NoIssuerOfAuthority,
            (false, _) => Reason::NoIssuer,
        }
    }
}

/// What a certificate is in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Leaf,
    Authority,
}

/// Whether a certificate may sign others, and how it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Authority {
    No,
    Yes,
    /// A root of version 1, or one with keyUsage and without basicConstraints: good enough at the end of a chain.
    Perhaps,
    /// Netscape's certificate type says so: the same.
    Netscape,
}

impl Authority {
    fn is_enough(self, is_last: bool) -> bool {
        match self {
            Self::Yes => true,
            Self::Perhaps | Self::Netscape => is_last,
            Self::No => false,
        }
    }
}

fn authority(certificate: &Certificate<'_>) -> Authority {
    let extensions = &certificate.extensions;
    if !certificate.may_use(usage::CERTIFICATE_SIGN) {
        return Authority::No;
    }
    match extensions.authority {
        Some((true, _)) => Authority::Yes,
        Some((false, _)) => Authority::No,
        None if certificate.version == 1 && is_self_signed(certificate) => Authority::Perhaps,
        None if extensions.usage.is_some() => Authority::Perhaps,
        None if extensions.netscape.is_some_and(|kind| kind & netscape::ANY_AUTHORITY != 0) => {
            Authority::Netscape
        }
        None => Authority::No,
    }
}

/// Whether names, key identifiers and kind of signature agree; the signature itself is checked later.
fn may_have_issued(issuer: &Certificate<'_>, certificate: &Certificate<'_>) -> bool {
    let stated = &certificate.extensions.authority_key;
    let differ = |stated: Option<&[u8]>, found: Option<&[u8]>| {
        stated.zip(found).is_some_and(|(stated, found)| stated != found)
    };
    let same_issuer = stated.issuer.is_none_or(|name| {
        super::distinguished::Comparable::of(name).is_ok_and(|name| name == issuer.issuer_name)
    });
    issuer.subject_name == certificate.issuer_name
        && !differ(stated.key, issuer.extensions.subject_key)
        && !differ(stated.serial, Some(issuer.serial))
        && same_issuer
        && matches!(
            (certificate.signature_algorithm.method(), issuer.key.kind()),
            (Method::Pkcs1(_) | Method::Pss(_), Kind::Rsa(_))
                | (Method::Ecdsa(_), Kind::Ec(_))
                | (Method::Ed25519, Kind::Ed25519)
        )
}

fn is_self_signed(certificate: &Certificate<'_>) -> bool {
    may_have_issued(certificate, certificate)
}

/// At least 112 bits of security, as OpenSSL's level 2 asks for.
fn is_strong_key(kind: Kind) -> bool {
    match kind {
        Kind::Rsa(bits) => bits >= 2048,
        Kind::Ec(curve) => curve != Curve::Unknown,
        Kind::Ed25519 => true,
        Kind::Unknown => false,
    }
}

/// Keys of authorities and digests of signatures; that of the leaf's key was first.
fn check_strength(chain: &[Certificate<'_>]) -> Result<(), Reason> {
    for (depth, certificate) in chain.iter().enumerate() {
        if depth > 0 && !is_strong_key(certificate.key.kind()) {
            return Err(Reason::WeakAuthorityKey);
        }
        let is_weak = match certificate.signature_algorithm.method() {
            Method::Unknown => true,
            method => matches!(method.hash(), Some(Hash::Md5 | Hash::Sha1)),
        };
        if depth + 1 < chain.len() && is_weak {
            return Err(Reason::WeakDigest);
        }
    }
    Ok(())
}
