//! A password in the clear, for the mechanisms that need it so: CRAM-MD5 (RFC 2195) and DIGEST-MD5 (RFC 2831).
//!
//! Runs in the checker. Such a secret is what a sasldb holds by design; no hash can stand in for it. Both
//! mechanisms let whoever hears an exchange guess the password at the speed of MD5, so they are offered inside TLS or
//! not at all.

mod digest;

use protocol::Password;
use zeroize::Zeroizing;

use crate::digests::Function;
use crate::scram::{ScramHash, ScramKeys};
use crate::verdict::{Reason, Verified};
use crate::verifier::Agreement;

pub use digest::DigestResponse;

/// A stored password. No `Debug`, no `Clone`, wiped when dropped.
pub struct SharedSecret {
    password: Zeroizing<Vec<u8>>,
    kind: Kind,
}

/// Whether agreement counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stored,
    StandIn,
}

impl SharedSecret {
    /// The password as it is stored.
    ///
    /// # Errors
    /// [`Reason::NoPassword`] for an empty one, [`Reason::Malformed`] for one that is no [`Password`].
    pub fn new(stored: &[u8]) -> Result<Self, Reason> {
        if stored.is_empty() {
            return Err(Reason::NoPassword);
        }
        Password::new(stored).map_err(|_| Reason::Malformed)?;
        Ok(Self { password: Zeroizing::new(stored.to_vec()), kind: Kind::Stored })
    }

    /// One that never agrees, for a name that has none.
    pub fn stand_in() -> Self {
        Self { password: Zeroizing::new(vec![0; 16]), kind: Kind::StandIn }
    }

    /// Whether it was made by [`Self::stand_in`].
    pub fn is_stand_in(&self) -> bool {
        self.kind == Kind::StandIn
    }

    /// Keys of SCRAM of this password; of a stand-in, a stand-in that took as long.
    pub fn scram(&self, hash: ScramHash, salt: &[u8], iterations: u32) -> ScramKeys {
        match Password::new(&self.password) {
            Ok(password) if self.kind == Kind::Stored => {
                ScramKeys::derive(hash, &password, salt, iterations)
            }
            _ => {
                let _ = hash.function().stretch(&self.password, salt, iterations);
                ScramKeys::stand_in(hash, iterations, salt)
            }
        }
    }

    /// Compares the client's 16 bytes, HMAC-MD5 of the challenge under the password, in constant time.
    ///
    /// # Errors
    /// [`Reason::WrongPassword`], always for a stand-in.
    pub fn cram_md5(&self, challenge: &[u8], response: &[u8]) -> Result<Verified, Reason> {
        let expected = Function::Md5.mac(&self.password, &[challenge]);
        self.verified(Agreement::of(response, &expected))
    }

    /// Compares the client's 16 bytes with the `response-value` of RFC 2831 §2.1.2.1, in constant time, and computes
    /// those of `rspauth` (§2.1.3).
    ///
    /// # Errors
    /// [`Reason::WrongPassword`], always for a stand-in.
    pub fn digest_md5(
        &self,
        exchange: &DigestResponse<'_>,
        response: &[u8],
    ) -> Result<(Verified, Zeroizing<Vec<u8>>), Reason> {
        let mut agreed = Err(Reason::WrongPassword);
        for secret in exchange.secrets(&self.password) {
            let expected = exchange.response(&secret, b"AUTHENTICATE:");
            if let Ok(proof) = self.verified(Agreement::of(response, &expected)) {
                agreed = Ok((proof, exchange.response(&secret, b":")));
            }
        }
        agreed
    }

    fn verified(&self, agreement: Agreement) -> Result<Verified, Reason> {
        match (agreement, self.kind) {
            (Agreement::Agrees, Kind::Stored) => Ok(Verified::by_comparison()),
            _ => Err(Reason::WrongPassword),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SharedSecret {
        SharedSecret::new(text.as_bytes()).expect("a secret")
    }

    fn unhex(text: &str) -> Vec<u8> {
        let pairs = text.as_bytes().chunks(2);
        let pairs = pairs.map(|pair| std::str::from_utf8(pair).expect("hex"));
        pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect()
    }

    #[test]
    fn the_example_of_rfc_2195() {
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        let response = unhex("b913a602c7eda7a495b4e6e7334d3890");
        assert!(secret("tanstaaftanstaaf").cram_md5(challenge, &response).is_ok());
        let wrong = |secret: &SharedSecret, response: &[u8]| {
            assert_eq!(secret.cram_md5(challenge, response), Err(Reason::WrongPassword));
        };
        wrong(&secret("tanstaaf"), &response);
        wrong(&secret("tanstaaftanstaaf"), &response[..15]);
        wrong(&secret("tanstaaftanstaaf"), b"");
        let mut stand_in = secret("tanstaaftanstaaf");
        stand_in.kind = Kind::StandIn;
        wrong(&stand_in, &response);
    }

    fn imap<'a>(realm: &'a [u8], user: &'a [u8]) -> DigestResponse<'a> {
        DigestResponse {
            username: user,
            realm,
            nonce: b"OA6MG9tEQGm2hh",
            cnonce: b"OA6MHXh6VqTrRk",
            digest_uri: b"imap/elwood.innosoft.com",
            authzid: None,
        }
    }

    #[test]
    fn the_examples_of_rfc_2831() {
        let exchange = imap(b"elwood.innosoft.com", b"chris");
        let response = unhex("d388dad90d4bbd760a152321f2143af7");
        let (_, rspauth) =
            secret("secret").digest_md5(&exchange, &response).expect("the first agrees");
        assert_eq!(*rspauth, unhex("ea40f60335c427b5527b84dbabcdfffd"));
        let acap = DigestResponse {
            nonce: b"OA9BSXrbuRhWay",
            cnonce: b"OA9BSuZWMSpW8m",
            digest_uri: b"acap/elwood.innosoft.com",
            ..imap(b"elwood.innosoft.com", b"chris")
        };
        let response = unhex("6084c6db3fede7352c551284490fd0fc");
        let (_, rspauth) = secret("secret").digest_md5(&acap, &response).expect("the second too");
        assert_eq!(*rspauth, unhex("2f0b3d7c3c2e486600ef710726aa2eae"));
        let mut stand_in = secret("secret");
        stand_in.kind = Kind::StandIn;
        for (secret, exchange) in [
            (&stand_in, &acap),
            (&secret("Secret"), &acap),
            (&secret("secret"), &exchange),
            (&secret("secret"), &DigestResponse { authzid: Some(b"chris"), ..acap }),
        ] {
            let answer = secret.digest_md5(exchange, &response);
            assert_eq!(answer.err(), Some(Reason::WrongPassword));
        }
    }

    /// GNU SASL 2.2.0, whose name is in UTF-8 and whose password in ISO 8859-1; and what the RFC asks for.
    #[test]
    fn names_and_passwords_in_either_spelling() {
        let exchange = DigestResponse {
            username: "jos\u{e9}".as_bytes(),
            realm: b"example.org",
            nonce: b"YTM2NzdkMTgtYmJkNy00OGQz",
            cnonce: b"p1fNbB+i3WXztyu5lCxyNA==",
            digest_uri: b"smtp/mail.example.org",
            authzid: None,
        };
        let secret = secret("p\u{e4}ss");
        let response = unhex("0215ad0641ea43d4be34f93dab80007d");
        assert!(secret.digest_md5(&exchange, &response).is_ok());
        let latin1 = Function::Md5.digest(&[b"jos\xe9:example.org:p\xe4ss"]);
        let response = exchange.response(&latin1, b"AUTHENTICATE:");
        assert!(secret.digest_md5(&exchange, &response).is_ok());
        let neither = Function::Md5.digest(&[b"jose:example.org:p\xe4ss"]);
        let response = exchange.response(&neither, b"AUTHENTICATE:");
        assert!(secret.digest_md5(&exchange, &response).is_err());
    }

    #[test]
    fn scram_keys_of_a_password_in_the_clear() {
        let keys = secret("pencil").scram(ScramHash::Sha256, b"salt", 17);
        assert!(keys.agreement(b"pencil") == Agreement::Agrees);
        assert!(!keys.is_stand_in());
        let stand_in = SharedSecret::stand_in().scram(ScramHash::Sha256, b"salt", 17);
        assert!(stand_in.is_stand_in() && SharedSecret::stand_in().is_stand_in());
        assert_eq!((stand_in.iterations(), stand_in.salt()), (17, b"salt".as_slice()));
    }

    #[test]
    fn what_is_no_password_is_no_secret() {
        assert_eq!(SharedSecret::new(b"").err(), Some(Reason::NoPassword));
        assert_eq!(SharedSecret::new(b"a\0b").err(), Some(Reason::Malformed));
        assert_eq!(SharedSecret::new(&[b'x'; Password::MAX + 1]).err(), Some(Reason::Malformed));
    }
}
