//! What is agreed on in a handshake: ciphers, key exchanges, versions, and OpenSSL's names of them.
//!
//! Runs in the receiver and in the sender.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuite, CommonState, ProtocolVersion, SupportedCipherSuite};

use super::features::Options;

/// The ciphers, the best first, as rustls, OpenSSL and logs name them, and the bits of their keys.
pub(super) const CIPHERS: [(CipherSuite, &str, u32); 9] = [
    (CipherSuite::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384", 256),
    (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256", 256),
    (CipherSuite::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256", 128),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384", 256),
    (CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384", 256),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        256,
    ),
    (CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305", 256),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256", 128),
    (CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256", 128),
];

/// All of it in our order of preference: X25519MLKEM768 is the first key exchange.
pub(super) fn provider() -> Arc<CryptoProvider> {
    let all = aws_lc_rs::default_provider();
    let find = |(wanted, ..): &(CipherSuite, &str, u32)| {
        all.cipher_suites.iter().copied().find(|suite| suite.suite() == *wanted)
    };
    let cipher_suites: Vec<SupportedCipherSuite> = CIPHERS.iter().filter_map(find).collect();
    Arc::new(CryptoProvider { cipher_suites, ..all })
}

/// What the access map leaves of it.
pub(super) fn restricted(all: &CryptoProvider, options: &Options) -> CryptoProvider {
    let ours = CIPHERS.iter().map(|(_, name, _)| *name);
    let is_new = |name: &&str| name.starts_with("TLS_");
    let new = options.suites.clone().unwrap_or_else(|| ours.clone().filter(is_new).collect());
    let older = options.ciphers.clone();
    let older = older.unwrap_or_else(|| ours.filter(|name| !is_new(name)).collect());
    let wanted = new.iter().chain(&older).filter_map(|wanted| {
        let (cipher, ..) = CIPHERS.iter().find(|(_, name, _)| name == wanted)?;
        all.cipher_suites.iter().copied().find(|suite| suite.suite() == *cipher)
    });
    CryptoProvider { cipher_suites: wanted.collect(), ..all.clone() }
}

/// What was agreed on.
pub(super) struct Agreed {
    /// `TLSv1.3`
    pub(super) version: &'static str,
    /// OpenSSL's name.
    pub(super) cipher: &'static str,
    /// Of its key.
    pub(super) bits: u32,
    /// The key exchange; empty for a resumed session of TLS 1.2, which has none.
    pub(super) group: &'static str,
}

impl Agreed {
    /// Of a connection whose handshake is done.
    pub(super) fn of(connection: &CommonState) -> Self {
        let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
        let known = CIPHERS.iter().find(|(cipher, ..)| Some(*cipher) == suite);
        let (cipher, bits) = known.map_or(("", 0), |(_, name, bits)| (name, *bits));
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        };
        let group = connection.negotiated_key_exchange_group();
        let group = group.and_then(|group| group.name().as_str()).unwrap_or("");
        Self { version, cipher, bits, group }
    }
}
