//! The hash functions under the schemes that are computed here: plain digests, HMAC, and PBKDF2's one block.
//!
//! Runs in the checker and in the tools, on passwords. Nothing here decides anything; every result is a secret
//! and wiped when dropped.

use hmac::digest::common::Key;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use sha2::Digest;
use zeroize::{Zeroize, Zeroizing};

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Function {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Function {
    /// Bytes of one digest.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Estimated nanoseconds of one HMAC over a short message with a prepared key.
    pub(crate) fn mac_nanos(self) -> u64 {
        match self {
            Self::Md5 | Self::Sha1 | Self::Sha224 | Self::Sha256 => 300,
            Self::Sha384 | Self::Sha512 => 800,
        }
    }

    /// The digest of the parts, one after another.
    pub(crate) fn digest(self, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Md5 => digest::<md5::Md5>(parts),
            Self::Sha1 => digest::<sha1::Sha1>(parts),
            Self::Sha224 => digest::<sha2::Sha224>(parts),
            Self::Sha256 => digest::<sha2::Sha256>(parts),
            Self::Sha384 => digest::<sha2::Sha384>(parts),
            Self::Sha512 => digest::<sha2::Sha512>(parts),
        }
    }

    /// HMAC of the parts, one after another.
    pub(crate) fn mac(self, key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Md5 => mac::<md5::Md5>(key, parts),
            Self::Sha1 => mac::<sha1::Sha1>(key, parts),
            Self::Sha224 => mac::<sha2::Sha224>(key, parts),
            Self::Sha256 => mac::<sha2::Sha256>(key, parts),
            Self::Sha384 => mac::<sha2::Sha384>(key, parts),
            Self::Sha512 => mac::<sha2::Sha512>(key, parts),
        }
    }

    /// `Hi` of RFC 5802 §2.2, which is PBKDF2 of RFC 8018 §5.2 with one block of output.
    pub(crate) fn stretch(self, password: &[u8], salt: &[u8], rounds: u32) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Md5 => stretch::<md5::Md5>(password, salt, rounds),
            Self::Sha1 => stretch::<sha1::Sha1>(password, salt, rounds),
            Self::Sha224 => stretch::<sha2::Sha224>(password, salt, rounds),
            Self::Sha256 => stretch::<sha2::Sha256>(password, salt, rounds),
            Self::Sha384 => stretch::<sha2::Sha384>(password, salt, rounds),
            Self::Sha512 => stretch::<sha2::Sha512>(password, salt, rounds),
        }
    }
}

fn digest<D: Digest>(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut digest = D::new();
    for part in parts {
        digest.update(part);
    }
    Zeroizing::new(digest.finalize().to_vec())
}

/// Keys are padded or digested to one block here, since the constructor for one block cannot fail (RFC 2104 §2).
fn keyed<D: Digest + EagerHash>(key: &[u8]) -> Hmac<D> {
    let mut block = Key::<Hmac<D>>::default();
    if key.len() > block.len() {
        let mut short = D::digest(key);
        block.iter_mut().zip(short.iter()).for_each(|(to, from)| *to = *from);
        short.as_mut_slice().zeroize();
    } else {
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    }
    let mac = Hmac::<D>::new(&block);
    block.as_mut_slice().zeroize();
    mac
}

fn mac<D: Digest + EagerHash>(key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut mac = keyed::<D>(key);
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

fn stretch<D: Digest + EagerHash>(password: &[u8], salt: &[u8], rounds: u32) -> Zeroizing<Vec<u8>> {
    let prepared = keyed::<D>(password);
    let mut mac = prepared.clone();
    mac.update(salt);
    mac.update(&1_u32.to_be_bytes());
    let mut last = mac.finalize().into_bytes();
    let mut sum = Zeroizing::new(last.to_vec());
    for _ in 1..rounds {
        let mut mac = prepared.clone();
        mac.update(&last);
        last = mac.finalize().into_bytes();
        sum.iter_mut().zip(last.iter()).for_each(|(sum, byte)| *sum ^= *byte);
    }
    last.as_mut_slice().zeroize();
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn digests_of_abc() {
        let abc = |function: Function| hex(&function.digest(&[b"a", b"bc"]));
        assert_eq!(abc(Function::Md5), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(abc(Function::Sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(
            abc(Function::Sha256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        for function in [Function::Sha224, Function::Sha384, Function::Sha512] {
            assert_eq!(abc(function).len(), function.len() * 2);
        }
    }

    #[test]
    fn hmac_of_rfc_2202_and_rfc_4231() {
        assert_eq!(
            hex(&Function::Sha1.mac(b"Jefe", &[b"what do ya want ", b"for nothing?"])),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
        assert_eq!(
            hex(&Function::Sha256
                .mac(&[0xaa; 131], &[b"Test Using Larger Than Block-Size Key - Hash Key First"])),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn pbkdf2_of_rfc_6070() {
        let sha1 = |rounds| hex(&Function::Sha1.stretch(b"password", b"salt", rounds));
        assert_eq!(sha1(1), "0c60c80f961f0e71f3a9b524af6012062fe037a6");
        assert_eq!(sha1(2), "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957");
        assert_eq!(sha1(4096), "4b007901b765489abead49d926f721d065a429c1");
    }
}
