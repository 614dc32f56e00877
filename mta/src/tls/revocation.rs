//! Lists of revoked certificates (RFC 5280 section 5).
//!
//! Runs in the receiver and in the sender; the lists come from files that the parent has read, and are checked against
//! the key of the authority that they are for before they count. One that can't be understood is refused when it is
//! read, never left out.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use asn1::Tlv;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use super::Unusable;
use super::certificate::{
    Algorithm, Certificate, Malformed, array, bit_string, elements, is_context, only, time,
};
use super::certificates::file;
use super::distinguished::Comparable;
use super::extensions::{Extension, authority_key, usage};
use super::reason::Reason;
use crate::control::Material;

/// Most keys for which is remembered whether a list is theirs.
const MAX_REMEMBERED: usize = 256;

/// Whether there must be a list for each authority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Demand {
    /// An authority without one isn't checked: sendmail's default.
    #[default]
    IfThere,
    /// Without one, a certificate is bad: sendmail's `Flags=R`.
    Required,
}

/// All the lists.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    by_issuer: HashMap<Comparable, Vec<List>>,
    /// Whether a list is signed with a key: a list may be long, and an authority's key comes again and again.
    signed: Mutex<HashMap<ListAndKey, bool>>,
}

/// The SHA-256 of both.
type ListAndKey = ([u8; 32], [u8; 32]);

/// One of them.
#[derive(Debug)]
struct List {
    path: PathBuf,
    der: Vec<u8>,
    digest: [u8; 32],
    serials: HashSet<Vec<u8>>,
    key: Option<Vec<u8>>,
    next_update: Option<i64>,
}

impl Revoked {
    /// Reads files in PEM or DER.
    pub(super) fn read(paths: &[PathBuf], files: &Material) -> Result<Self, Unusable> {
        let mut by_issuer: HashMap<Comparable, Vec<List>> = HashMap::new();
        for path in paths {
            let unusable = |what: &str| Unusable(format!("{} {what}", path.display()));
            for der in lists(path, files)? {
                let (issuer, list) = List::read(path, der).map_err(|fault| {
                    unusable(match fault {
                        Fault::Malformed => {
                            "holds no list of revoked certificates: openssl crl must be able to show it"
                        }
                        Fault::Partial => {
                            "is an indirect or a partial list of revoked certificates: give the whole one of each authority"
                        }
                    })
                })?;
                by_issuer.entry(issuer).or_default().push(list);
            }
        }
        Ok(Self { by_issuer, signed: Mutex::default() })
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.by_issuer.is_empty()
    }

    /// Those that should have been replaced by now.
    pub(super) fn outdated(&self, now: i64) -> Vec<&Path> {
        let lists = self.by_issuer.values().flatten();
        let is_old = |list: &&List| list.next_update.is_some_and(|next| next < now);
        let mut paths: Vec<&Path> = lists.filter(is_old).map(|list| list.path.as_path()).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// Whether `certificate`, which `issuer` signed, still counts.
    pub(super) fn check(
        &self,
        certificate: &Certificate<'_>,
        issuer: &Certificate<'_>,
        demand: Demand,
    ) -> Result<(), Reason> {
        let lists = self.by_issuer.get(&issuer.subject_name).map(Vec::as_slice).unwrap_or_default();
        let is_of_key = |list: &&List| match (&list.key, issuer.extensions.subject_key) {
            (Some(stated), Some(key)) => stated == key,
            _ => true,
        };
        let mut covered = Err(Reason::NoCrl);
        for list in lists.iter().filter(is_of_key) {
            if !issuer.may_use(usage::CRL_SIGN) {
                return Err(Reason::NoCrlSign);
            }
            if !self.is_signed(list, issuer) {
                return Err(Reason::BadCrlSignature);
            }
            if list.serials.contains(certificate.serial) {
                return Err(Reason::Revoked);
            }
            covered = Ok(());
        }
        match demand {
            Demand::Required => covered,
            Demand::IfThere => Ok(()),
        }
    }

    fn is_signed(&self, list: &List, issuer: &Certificate<'_>) -> bool {
        let of = (list.digest, Sha256::digest(issuer.key.bits).into());
        let mut known = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signed) = known.get(&of) {
            return *signed;
        }
        let signed = list.is_signed_by(issuer).is_ok();
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        known.insert(of, signed);
        signed
    }
}

/// What is wrong with a list.
enum Fault {
    Malformed,
    Partial,
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl List {
    fn read(path: &Path, der: Vec<u8>) -> Result<(Comparable, Self), Fault> {
        let [signed, ..] = array::<3>(only(&der)?.data())?;
        let fields = elements(signed.data())?;
        let versioned = fields.first().is_some_and(|first| first.tag().as_u8() == Some(0x02));
        let fields = fields.get(usize::from(versioned)..).unwrap_or_default();
        let [_algorithm, issuer, updated, optional @ ..] = fields else {
            return Err(Fault::Malformed);
        };
        time(updated).ok_or(Malformed)?;
        let mut list = Self {
            path: path.to_owned(),
            digest: Sha256::digest(&der).into(),
            serials: HashSet::new(),
            key: None,
            next_update: optional.first().and_then(time),
            der: Vec::new(),
        };
        for field in optional {
            if field.tag().as_u8() == Some(0x30) {
                for entry in elements(field.data())? {
                    list.serials.insert(serial(&entry)?);
                }
            } else if is_context(field, 0) {
                list.key = extensions(field)?;
            }
        }
        let issuer = Comparable::of(issuer.full_data())?;
        list.der = der;
        Ok((issuer, list))
    }

    fn is_signed_by(&self, issuer: &Certificate<'_>) -> Result<(), Malformed> {
        let [signed, algorithm, signature] = array(only(&self.der)?.data())?;
        let method = Algorithm::read(&algorithm)?.method();
        let signature = bit_string(&signature)?;
        issuer.key.verify(method, signed.full_data(), signature).map_err(|_| Malformed)
    }
}

/// The serial number of an entry.
fn serial(entry: &Tlv<'_>) -> Result<Vec<u8>, Malformed> {
    match elements(entry.data())?.first() {
        Some(serial) if serial.tag().as_u8() == Some(0x02) => Ok(serial.data().to_vec()),
        _ => Err(Malformed),
    }
}

/// The identifier of the authority's key, if the list says it.
fn extensions(explicit: &Tlv<'_>) -> Result<Option<Vec<u8>>, Fault> {
    let mut key = None;
    for extension in elements(only(explicit.data())?.data())? {
        let extension = Extension::read(&extension)?;
        match extension.kind {
            [0x55, 0x1d, 0x23] => {
                key = authority_key(extension.value)?.key.map(<[u8]>::to_vec);
            }
            // issuingDistributionPoint: a list that says where it comes from is whole for what it holds; one of
            // several authorities, or of some reasons alone, isn't.
            [0x55, 0x1d, 0x1c] => {
                let parts = elements(only(extension.value)?.data())?;
                let is_partial = |part: &Tlv<'_>| {
                    is_context(part, 3) || is_context(part, 4) && part.data() != [0]
                };
                if parts.iter().any(is_partial) {
                    return Err(Fault::Partial);
                }
            }
            // deltaCRLIndicator, and whatever else is critical.
            _ if extension.critical => return Err(Fault::Partial),
            _ => {}
        }
    }
    Ok(key)
}

/// The lists of a file, in DER.
fn lists(path: &Path, files: &Material) -> Result<Vec<Vec<u8>>, Unusable> {
    let bytes = file(path, files)?;
    if bytes.first() == Some(&0x30) {
        return Ok(vec![bytes.to_vec()]);
    }
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found.iter().map(|der| der.to_vec()).collect()),
        _ => Err(Unusable(format!(
            "{} holds no list of revoked certificates: it must be PEM or DER, or be left out of the settings",
            path.display()
        ))),
    }
}
