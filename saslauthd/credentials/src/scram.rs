//! The keys that SCRAM stores instead of a password (RFC 5802 §3), in the notations of Cyrus and Dovecot.
//!
//! Runs in the checker and in the tools. Here they are derived from a password when one is set, and compared with a
//! password that came in the clear or with a client's proof; the exchange itself is the mechanism's. ServerKey and StoredKey let their
//! reader pose as the server, so they are secrets like any hash.

mod proof;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::Password;
use zeroize::Zeroizing;

use crate::digests::Function;
use crate::scheme::{Cost, Scheme};
use crate::verdict::{Reason, Trouble};
use crate::verifier::{Agreement, number};

/// The hash function of a SCRAM mechanism. Those of 224 and 384 bits are Cyrus's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScramHash {
    /// RFC 5802.
    Sha1,
    /// Cyrus alone.
    Sha224,
    /// RFC 7677.
    Sha256,
    /// Cyrus alone.
    Sha384,
    /// draft-melnikov-scram-sha-512.
    Sha512,
}

impl ScramHash {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The mechanism's name.
    pub fn mechanism(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha224 => "SCRAM-SHA-224",
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha384 => "SCRAM-SHA-384",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    fn of_mechanism(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.mechanism() == name)
    }

    pub(crate) fn function(self) -> Function {
        match self {
            Self::Sha1 => Function::Sha1,
            Self::Sha224 => Function::Sha224,
            Self::Sha256 => Function::Sha256,
            Self::Sha384 => Function::Sha384,
            Self::Sha512 => Function::Sha512,
        }
    }
}

/// What is stored for one user and one mechanism. No `Debug`, no `Clone`, wiped when dropped.
pub struct ScramKeys {
    kind: Kind,
    hash: ScramHash,
    iterations: u32,
    salt: Zeroizing<Vec<u8>>,
    stored_key: Zeroizing<Vec<u8>>,
    server_key: Zeroizing<Vec<u8>>,
}

/// Whether agreement counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stored,
    StandIn,
}

impl ScramKeys {
    /// RFC 7677 §4 asks for no fewer; more cost the client, often a phone, as much as the server.
    pub const ITERATIONS: u32 = 4096;

    /// The keys of a new password under a fresh salt of 16 bytes, with [`Self::ITERATIONS`].
    pub fn new(hash: ScramHash, password: &Password) -> Result<Self, Trouble> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)
            .map_err(|error| Trouble::new(format!("random bytes: {error}")))?;
        Ok(Self::derive(hash, password, &salt, Self::ITERATIONS))
    }

    /// The keys under a given salt. At least one iteration is made.
    ///
    /// The password is prepared with SASLprep (RFC 5802 §2.2), as clients do; one that it prohibits is taken as it is.
    pub fn derive(hash: ScramHash, password: &Password, salt: &[u8], iterations: u32) -> Self {
        let raw = password.reveal();
        let prepared = prepared(raw);
        let password = prepared.as_ref().map_or(raw, |prepared| prepared.as_slice());
        let iterations = iterations.max(1);
        let function = hash.function();
        let salted = function.stretch(password, salt, iterations);
        Self {
            kind: Kind::Stored,
            hash,
            iterations,
            salt: Zeroizing::new(salt.to_vec()),
            stored_key: stored_key(function, &salted),
            server_key: function.mac(&salted, &[b"Server Key"]),
        }
    }

    /// `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`, all three in base64: a sasldb's `authPassword` (RFC 5803).
    pub fn parse_auth_password(stored: &[u8]) -> Result<Self, Reason> {
        let text = std::str::from_utf8(stored).map_err(|_| Reason::Malformed)?;
        let (name, rest) = text.split_once('$').ok_or(Reason::Malformed)?;
        let hash = ScramHash::of_mechanism(name).ok_or(Reason::SchemeNotAllowed)?;
        let (info, value) = rest.split_once('$').ok_or(Reason::Malformed)?;
        let (iterations, salt) = info.split_once(':').ok_or(Reason::Malformed)?;
        let (stored_key, server_key) = value.split_once(':').ok_or(Reason::Malformed)?;
        Self::decode(hash, iterations, salt, stored_key, server_key)
    }

    /// What stands behind Dovecot's `{SCRAM-SHA-256}`: `4096,salt,StoredKey,ServerKey`.
    pub(crate) fn parse_dovecot(name: &str, stored: &[u8]) -> Result<Self, Reason> {
        let text = std::str::from_utf8(stored).map_err(|_| Reason::Malformed)?;
        let hash = ScramHash::of_mechanism(name).ok_or(Reason::SchemeNotAllowed)?;
        let fields: Vec<&str> = text.split(',').collect();
        let [iterations, salt, stored_key, server_key] = fields.as_slice() else {
            return Err(Reason::Malformed);
        };
        Self::decode(hash, iterations, salt, stored_key, server_key)
    }

    fn decode(
        hash: ScramHash,
        iterations: &str,
        salt: &str,
        stored_key: &str,
        server_key: &str,
    ) -> Result<Self, Reason> {
        let iterations = number(iterations.as_bytes()).filter(|iterations| *iterations > 0);
        let iterations = u32::try_from(iterations.ok_or(Reason::Malformed)?)
            .map_err(|_| Reason::TooExpensive)?;
        let bytes =
            |text: &str| STANDARD.decode(text).map(Zeroizing::new).map_err(|_| Reason::Malformed);
        let keys = Self {
            kind: Kind::Stored,
            hash,
            iterations,
            salt: bytes(salt)?,
            stored_key: bytes(stored_key)?,
            server_key: bytes(server_key)?,
        };
        let len = hash.function().len();
        let whole = keys.stored_key.len() == len && keys.server_key.len() == len;
        if whole && !keys.salt.is_empty() { Ok(keys) } else { Err(Reason::Malformed) }
    }

    /// The notation of [`Self::parse_auth_password`].
    pub fn to_auth_password(&self) -> Zeroizing<String> {
        let salt = STANDARD.encode(&self.salt);
        let stored = Zeroizing::new(STANDARD.encode(&self.stored_key));
        let server = Zeroizing::new(STANDARD.encode(&self.server_key));
        let (name, iterations) = (self.hash.mechanism(), self.iterations);
        Zeroizing::new(format!("{name}${iterations}:{salt}${}:{}", *stored, *server))
    }

    /// The mechanism's hash function.
    pub fn hash(&self) -> ScramHash {
        self.hash
    }

    /// The iteration count that the client is told.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The salt that the client is told.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// H(ClientKey), for the check of a client's proof.
    pub fn stored_key(&self) -> &[u8] {
        &self.stored_key
    }

    /// HMAC(SaltedPassword, "Server Key"), for the server's own proof.
    pub fn server_key(&self) -> &[u8] {
        &self.server_key
    }

    pub(crate) fn scheme(&self) -> Scheme {
        match self.hash {
            ScramHash::Sha1 => Scheme::ScramSha1,
            ScramHash::Sha224 => Scheme::ScramSha224,
            ScramHash::Sha256 => Scheme::ScramSha256,
            ScramHash::Sha384 => Scheme::ScramSha384,
            ScramHash::Sha512 => Scheme::ScramSha512,
        }
    }

    pub(crate) fn cost(&self) -> Cost {
        let nanos = u64::from(self.iterations) * self.hash.function().mac_nanos();
        Cost::of_micros(nanos / 1000 + 2)
    }

    /// Prepared as clients do it, and once more as it came: Cyrus's own tools store keys of the raw bytes.
    pub(crate) fn agreement(&self, password: &[u8]) -> Agreement {
        let raw = self.agreement_of(password);
        match prepared(password) {
            Some(prepared) if self.agreement_of(&prepared) == Agreement::Agrees => {
                Agreement::Agrees
            }
            _ => raw,
        }
    }

    fn agreement_of(&self, password: &[u8]) -> Agreement {
        let function = self.hash.function();
        let salted = function.stretch(password, &self.salt, self.iterations);
        Agreement::of(&stored_key(function, &salted), &self.stored_key)
    }

    /// Keys that no password has, for a stand-in.
    pub(crate) fn blank(hash: ScramHash, iterations: u32) -> Self {
        let zeros = |len: usize| Zeroizing::new(vec![0; len]);
        let len = hash.function().len();
        Self {
            kind: Kind::StandIn,
            hash,
            iterations,
            salt: zeros(16),
            stored_key: zeros(len),
            server_key: zeros(len),
        }
    }
}

fn stored_key(function: Function, salted: &[u8]) -> Zeroizing<Vec<u8>> {
    function.digest(&[&function.mac(salted, &[b"Client Key"])])
}

/// The password after SASLprep where that makes a difference; `None` where it does not, or prohibits the password.
fn prepared(password: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(password).ok().filter(|text| !text.is_ascii())?;
    let prepared = Zeroizing::new(stringprep::saslprep(text).ok()?.into_owned().into_bytes());
    (!prepared.is_empty() && prepared.as_slice() != password).then_some(prepared)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.as_bytes()).expect("a password")
    }

    fn unbase64(text: &str) -> Vec<u8> {
        STANDARD.decode(text).expect("base64")
    }

    /// The exchange of RFC 5802 §5: the client's proof must lead back to StoredKey.
    #[test]
    fn keys_of_rfc_5802() {
        let salt = unbase64("QSXCR+Q6sek8bf92");
        let keys = ScramKeys::derive(ScramHash::Sha1, &password("pencil"), &salt, 4096);
        let message = b"n=user,r=fyko+d2lbbFgONRv9qkxdawL,\
            r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,\
            c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j";
        let signature = Function::Sha1.mac(keys.stored_key(), &[message]);
        let proof = unbase64("v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=");
        let client_key: Vec<u8> = proof.iter().zip(signature.iter()).map(|(a, b)| a ^ b).collect();
        assert_eq!(*Function::Sha1.digest(&[&client_key]), keys.stored_key());
        let server = Function::Sha1.mac(keys.server_key(), &[message]);
        assert_eq!(STANDARD.encode(&*server), "rmF9pqV8S7suAoZWja4dJRkFsKQ=");
    }

    /// The exchange of RFC 7677 §3.
    #[test]
    fn keys_of_rfc_7677() {
        let salt = unbase64("W22ZaJ0SNY7soEsUEjb6gQ==");
        let keys = ScramKeys::derive(ScramHash::Sha256, &password("pencil"), &salt, 4096);
        let message = b"n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let server = Function::Sha256.mac(keys.server_key(), &[message]);
        assert_eq!(STANDARD.encode(&*server), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let signature = Function::Sha256.mac(keys.stored_key(), &[message]);
        let proof = unbase64("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let client_key: Vec<u8> = proof.iter().zip(signature.iter()).map(|(a, b)| a ^ b).collect();
        assert_eq!(*Function::Sha256.digest(&[&client_key]), keys.stored_key());
    }

    #[test]
    fn keys_are_written_and_read_back() {
        for hash in ScramHash::ALL {
            let keys = ScramKeys::derive(hash, &password("pencil"), b"sodium chloride!", 17);
            let text = keys.to_auth_password();
            let Ok(read) = ScramKeys::parse_auth_password(text.as_bytes()) else {
                panic!("{}", *text);
            };
            assert_eq!(read.hash(), hash);
            assert_eq!(read.iterations(), 17);
            assert_eq!(read.salt(), b"sodium chloride!");
            assert_eq!(read.stored_key(), keys.stored_key());
            assert_eq!(read.server_key(), keys.server_key());
            assert!(read.agreement(b"pencil") == Agreement::Agrees);
            assert!(read.agreement(b"pencils") == Agreement::Differs);
        }
    }

    #[test]
    fn saslprep_is_what_clients_do() {
        // RFC 4013 §3: U+2168 becomes IX, U+00AD goes.
        let keys = ScramKeys::derive(ScramHash::Sha1, &password("I\u{ad}X\u{2168}"), b"salt", 2);
        for same in ["IXIX", "I\u{ad}X\u{2168}"] {
            assert!(keys.agreement(same.as_bytes()) == Agreement::Agrees, "{same:?}");
        }
        assert!(keys.agreement(b"IX") == Agreement::Differs);
        // Prohibited or no text at all: the bytes as they are.
        for odd in [b"caf\xe9".as_slice(), "bell\u{7}é".as_bytes()] {
            let odd = Password::new(odd).expect("a password");
            let keys = ScramKeys::derive(ScramHash::Sha256, &odd, b"salt", 2);
            assert!(keys.agreement(odd.reveal()) == Agreement::Agrees);
        }
    }
}
