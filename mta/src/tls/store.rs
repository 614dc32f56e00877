//! The authorities that we believe.
//!
//! Runs in the receiver and in the sender. They come from files that the parent has read; that a certificate is in here
//! means that whatever it signs is believed.

use std::collections::HashMap;

use rustls::pki_types::CertificateDer;

use super::certificate::Certificate;
use super::distinguished::Comparable;

/// Trusted certificates, by name.
#[derive(Debug, Default)]
pub(super) struct Store {
    by_name: HashMap<Comparable, Vec<CertificateDer<'static>>>,
}

impl Store {
    /// Of these; those that can't be read have been refused before.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>) -> Self {
        let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
        for der in certificates {
            let Ok(name) = Certificate::read(&der).map(|read| read.subject_name) else { continue };
            let same = by_name.entry(name).or_default();
            if !same.contains(&der) {
                same.push(der);
            }
        }
        Self { by_name }
    }

    /// Those of this name.
    pub(super) fn named(&self, name: &Comparable) -> impl Iterator<Item = Certificate<'_>> {
        let found = self.by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        found.iter().filter_map(|der| Certificate::read(der).ok())
    }
}
