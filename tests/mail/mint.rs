//! Authorities and certificates of every kind, made as they are wanted.

use std::fs;
use std::path::PathBuf;

use harness::mta::tls::Identity;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    NameConstraints, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

/// An authority that signs.
pub(crate) type Authority = Issuer<'static, KeyPair>;

/// The serial number of the one that is revoked.
pub(crate) const REVOKED: u64 = 66;

/// Where authorities and certificates are made.
pub(crate) struct Mint {
    directory: tempfile::TempDir,
}

impl Mint {
    /// An empty one.
    pub(crate) fn open() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// Where a file of it is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// An authority of this name: signed by itself, or by another.
    pub(crate) fn authority(&self, name: &str, by: Option<&Authority>) -> Authority {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        if by.is_some() {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![GeneralSubtree::DnsName("good.example".into())],
                excluded_subtrees: vec![GeneralSubtree::DnsName("bad.good.example".into())],
            });
        }
        let key = KeyPair::generate().unwrap();
        let certificate = match by {
            None => params.self_signed(&key),
            Some(by) => params.signed_by(&key, by),
        };
        fs::write(self.path(&format!("{name}.pem")), certificate.unwrap().pem()).unwrap();
        Issuer::new(params, key)
    }

    /// What somebody shows: a certificate of this authority, and those of authorities between.
    pub(crate) fn issue(
        &self,
        params: &CertificateParams,
        by: &Authority,
        between: &[&str],
    ) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, by).unwrap();
        let (leaf, secret) = (self.path("leaf.pem"), self.path("leaf.key"));
        fs::write(&leaf, certificate.pem()).unwrap();
        fs::write(&secret, key.serialize_pem()).unwrap();
        let between: Vec<PathBuf> =
            between.iter().map(|name| self.path(&format!("{name}.pem"))).collect();
        let mut chain = vec![leaf.as_path()];
        chain.extend(between.iter().map(PathBuf::as_path));
        Identity::read(&chain, &secret).unwrap()
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    if !name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params
}

/// A client's certificate with this common name and these alternative names.
pub(crate) fn client(name: &str, alternative: &[&str]) -> CertificateParams {
    let mut params = named(name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let san = |name: &&str| match name.contains('@') {
        true => SanType::Rfc822Name((*name).try_into().unwrap()),
        false => SanType::DnsName((*name).try_into().unwrap()),
    };
    params.subject_alt_names = alternative.iter().map(san).collect();
    params
}

pub(crate) fn expired(mut params: CertificateParams) -> CertificateParams {
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    params
}

/// A list with [`REVOKED`] in it.
pub(crate) fn list(by: &Authority) -> Vec<u8> {
    let revoked = RevokedCertParams {
        serial_number: SerialNumber::from(REVOKED),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2090, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(by).unwrap().der().to_vec()
}

/// A server's certificate with these names; addresses as such.
pub(crate) fn server(names: &[String]) -> CertificateParams {
    let mut params = named("server");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let san = |name: &String| match name.parse() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.as_str().try_into().unwrap()),
    };
    params.subject_alt_names = names.iter().map(san).collect();
    params
}
