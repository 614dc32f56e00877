//! The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), and what a server stores for it.
//!
//! The costly part is done once for each account and salt, as a mail client may, so that the server is measured.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Keys that are worth their iterations, by password, salt and count.
pub(crate) type Salted = Arc<Mutex<HashMap<(String, Vec<u8>, u32), [u8; 32]>>>;

/// One exchange.
pub(crate) struct Exchange {
    user: String,
    password: String,
    nonce: String,
    salted: Salted,
}

impl Exchange {
    /// An exchange with a nonce of its own.
    pub(crate) fn new(user: &str, password: &str, nonce: String, salted: &Salted) -> Self {
        let (user, password) = (user.to_owned(), password.to_owned());
        Self { user, password, nonce, salted: Arc::clone(salted) }
    }

    /// The client's first message.
    pub(crate) fn first(&self) -> String {
        format!("n,,{}", self.bare())
    }

    fn bare(&self) -> String {
        format!("n={},r={}", self.user, self.nonce)
    }

    /// The client's last message and what the server must end with; none when it said nonsense.
    pub(crate) fn last(&self, server_first: &str) -> Option<(String, String)> {
        let value = |key: &str| server_first.split(',').find_map(|part| part.strip_prefix(key));
        let nonce = value("r=")?.strip_prefix(self.nonce.as_str()).and(value("r="))?;
        let salt = BASE64.decode(value("s=")?).ok()?;
        let salted = self.salted_password(salt, value("i=")?.parse().ok()?);
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{server_first},{without_proof}", self.bare());
        let client_key = mac(&salted, b"Client Key");
        let signature = mac(&Sha256::digest(client_key), message.as_bytes());
        let proof: Vec<u8> =
            client_key.iter().zip(signature).map(|(key, other)| key ^ other).collect();
        let server = mac(&mac(&salted, b"Server Key"), message.as_bytes());
        let last = format!("{without_proof},p={}", BASE64.encode(proof));
        Some((last, format!("v={}", BASE64.encode(server))))
    }

    fn salted_password(&self, salt: Vec<u8>, iterations: u32) -> [u8; 32] {
        let key = (self.password.clone(), salt, iterations);
        let mut known = self.salted.lock().expect("no client panicked");
        *known.entry(key).or_insert_with_key(|(password, salt, iterations)| {
            hi(password.as_bytes(), salt, *iterations)
        })
    }
}

/// What Dovecot stores: `{SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey`.
pub(crate) fn stored(password: &str, salt: &[u8]) -> String {
    const ITERATIONS: u32 = 4096;
    let salted = hi(password.as_bytes(), salt, ITERATIONS);
    let stored = Sha256::digest(mac(&salted, b"Client Key"));
    let server = mac(&salted, b"Server Key");
    let [salt, stored, server] =
        [salt, stored.as_slice(), server.as_slice()].map(|bytes| BASE64.encode(bytes));
    format!("{{SCRAM-SHA-256}}{ITERATIONS},{salt},{stored},{server}")
}

/// RFC 5802 §2.2: PBKDF2 of one block.
fn hi(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut last = mac(password, &[salt, &[0, 0, 0, 1]].concat());
    let mut sum = last;
    for _ in 1..iterations {
        last = mac(password, &last);
        for (byte, other) in sum.iter_mut().zip(last) {
            *byte ^= other;
        }
    }
    sum
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677 §3.
    #[test]
    fn the_standards_example() {
        let nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
        let exchange = Exchange::new("user", "pencil", nonce, &Salted::default());
        assert_eq!(exchange.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let server = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                      s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (last, end) = exchange.last(server).unwrap();
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(end, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }
}
