//! The client's proof of SCRAM against stored keys, and the server's own (RFC 5802 §3).
//!
//! Runs in the checker, on an AuthMessage that the mechanism has put together of what both sides said. The only
//! place where a proof makes a [`Verified`]; the server's signature, which tells the client that its password was
//! right, is computed after that and only then.

use zeroize::Zeroizing;

use super::{Kind, ScramHash, ScramKeys};
use crate::verdict::{Reason, Verified};
use crate::verifier::Agreement;

impl ScramHash {
    /// Bytes of a client's proof and of a server's signature.
    pub fn proof_len(self) -> usize {
        self.function().len()
    }
}

impl ScramKeys {
    /// Keys that no password has, under this salt and iteration count: what a client without keys is shown.
    ///
    /// The salt must be the same whenever the same name is asked for: [`crate::TagKey::salt`].
    pub fn stand_in(hash: ScramHash, iterations: u32, salt: &[u8]) -> Self {
        let mut keys = Self::blank(hash, iterations.max(1));
        keys.salt = Zeroizing::new(salt.to_vec());
        keys
    }

    /// Whether they were made by [`Self::stand_in`].
    pub fn is_stand_in(&self) -> bool {
        self.kind == Kind::StandIn
    }

    /// Compares the client's proof over the AuthMessage, in constant time, and signs that for the client.
    ///
    /// # Errors
    /// [`Reason::WrongPassword`], always for a stand-in; a proof of another length than
    /// [`ScramHash::proof_len`] is wrong too.
    pub fn verify_proof(
        &self,
        auth_message: &[u8],
        proof: &[u8],
    ) -> Result<(Verified, Zeroizing<Vec<u8>>), Reason> {
        let function = self.hash.function();
        let mut client_key = function.mac(&self.stored_key, &[auth_message]);
        let whole = proof.len() == client_key.len();
        client_key.iter_mut().zip(proof).for_each(|(key, proof)| *key ^= *proof);
        let agreement = Agreement::of(&function.digest(&[&client_key]), &self.stored_key);
        match (agreement, self.kind) {
            (Agreement::Agrees, Kind::Stored) if whole => {
                let signature = function.mac(&self.server_key, &[auth_message]);
                Ok((Verified::by_comparison(), signature))
            }
            _ => Err(Reason::WrongPassword),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use protocol::Password;

    use super::*;

    const SALT: &str = "QSXCR+Q6sek8bf92";
    const MESSAGE: &[u8] = b"n=user,r=fyko+d2lbbFgONRv9qkxdawL,\
        r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,\
        c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j";

    fn unbase64(text: &str) -> Vec<u8> {
        STANDARD.decode(text).expect("base64")
    }

    fn keys() -> ScramKeys {
        let password = Password::new(b"pencil").expect("a password");
        ScramKeys::derive(ScramHash::Sha1, &password, &unbase64(SALT), 4096)
    }

    #[test]
    fn the_proof_of_rfc_5802_agrees_and_is_answered() {
        let proof = unbase64("v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=");
        let (_, signature) = keys().verify_proof(MESSAGE, &proof).expect("it agrees");
        assert_eq!(STANDARD.encode(&*signature), "rmF9pqV8S7suAoZWja4dJRkFsKQ=");
    }

    #[test]
    fn any_other_proof_is_wrong() {
        let proof = unbase64("v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=");
        let wrong = |message: &[u8], proof: &[u8]| {
            assert_eq!(keys().verify_proof(message, proof).err(), Some(Reason::WrongPassword));
        };
        for place in 0..proof.len() {
            let mut other = proof.clone();
            other[place] ^= 1;
            wrong(MESSAGE, &other);
        }
        wrong(b"another exchange", &proof);
        wrong(MESSAGE, b"");
        wrong(MESSAGE, &proof[1..]);
        wrong(MESSAGE, &[proof.as_slice(), b"\0"].concat());
    }

    /// Whoever knows how stand-ins are made could compute the proof that fits their keys.
    #[test]
    fn a_stand_in_never_agrees() {
        let keys = ScramKeys::stand_in(ScramHash::Sha256, 4096, b"the same for long");
        assert!(keys.is_stand_in());
        assert_eq!((keys.iterations(), keys.salt()), (4096, b"the same for long".as_slice()));
        let mut fitting = ScramKeys::blank(ScramHash::Sha256, 4096);
        let function = ScramHash::Sha256.function();
        let client_key = [7; 32];
        fitting.stored_key = function.digest(&[&client_key]);
        let mut proof = function.mac(&fitting.stored_key, &[MESSAGE]);
        proof.iter_mut().zip(client_key).for_each(|(proof, key)| *proof ^= key);
        assert_eq!(fitting.verify_proof(MESSAGE, &proof).err(), Some(Reason::WrongPassword));
        fitting.kind = Kind::Stored;
        assert!(fitting.verify_proof(MESSAGE, &proof).is_ok());
    }
}
