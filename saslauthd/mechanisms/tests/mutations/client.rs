//! An honest client of each mechanism, which computes its proofs without our own code.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use protocol::mechanism::Mechanism;
use sha2::Digest;

pub(crate) const PASSWORD: &[u8] = b"pencil";
/// Few, so that a client is quick.
pub(crate) const ITERATIONS: u32 = 2;
pub(crate) const CHANNEL: [u8; 32] = [7; 32];
const NONCE: &[u8] = b"rOprNGfwEbeRWgbNEkqO";

pub(crate) struct Client {
    mechanism: Mechanism,
    answers: usize,
}

impl Client {
    pub(crate) fn new(mechanism: Mechanism) -> Self {
        Self { mechanism, answers: 0 }
    }

    pub(crate) fn initial(&self) -> Option<Vec<u8>> {
        match self.mechanism {
            Mechanism::Plain => Some(b"ann\0ann\0pencil".to_vec()),
            Mechanism::Login => Some(b"ann".to_vec()),
            Mechanism::External => Some(b"ann@example.org".to_vec()),
            Mechanism::Anonymous => Some(b"ann@example.org".to_vec()),
            Mechanism::CramMd5 | Mechanism::DigestMd5 => None,
            _ => Some([self.header(), self.bare()].concat()),
        }
    }

    /// The answer to a challenge; that to the last words is empty.
    pub(crate) fn answer(&mut self, challenge: &[u8]) -> Vec<u8> {
        self.answers += 1;
        match (self.mechanism, self.answers) {
            (Mechanism::Login, 1) => PASSWORD.to_vec(),
            (Mechanism::CramMd5, 1) => {
                format!("ann {}", hex(&mac::<md5::Md5>(PASSWORD, challenge))).into_bytes()
            }
            (Mechanism::DigestMd5, 1) => digest(challenge),
            (Mechanism::ScramSha1 | Mechanism::ScramSha1Plus, 1) => {
                self.last::<sha1::Sha1>(challenge)
            }
            (Mechanism::ScramSha256 | Mechanism::ScramSha256Plus, 1) => {
                self.last::<sha2::Sha256>(challenge)
            }
            (Mechanism::ScramSha512 | Mechanism::ScramSha512Plus, 1) => {
                self.last::<sha2::Sha512>(challenge)
            }
            _ => Vec::new(),
        }
    }

    fn header(&self) -> Vec<u8> {
        if self.mechanism.binds_channel() { b"p=tls-exporter,," } else { b"n,a=ann,".as_slice() }
            .to_vec()
    }

    fn bare(&self) -> Vec<u8> {
        [b"n=ann,r=", NONCE].concat()
    }

    fn last<D: Digest + EagerHash>(&self, challenge: &[u8]) -> Vec<u8> {
        let mut input = self.header();
        if self.mechanism.binds_channel() {
            input.extend_from_slice(&CHANNEL);
        }
        let nonce = challenge.split(|byte| *byte == b',').next().unwrap_or_default();
        let unproven = [b"c=", STANDARD.encode(input).as_bytes(), b",", nonce].concat();
        let message = [self.bare().as_slice(), b",", challenge, b",", &unproven].concat();
        let mut block = mac::<D>(PASSWORD, b"sodium chloride!\0\0\0\x01");
        let mut salted = block.clone();
        for _ in 1..ITERATIONS {
            block = mac::<D>(PASSWORD, &block);
            salted.iter_mut().zip(&block).for_each(|(sum, byte)| *sum ^= byte);
        }
        let mut proof = mac::<D>(&salted, b"Client Key");
        let signature = mac::<D>(&D::digest(&proof), &message);
        proof.iter_mut().zip(&signature).for_each(|(key, byte)| *key ^= byte);
        [unproven.as_slice(), b",p=", STANDARD.encode(proof).as_bytes()].concat()
    }
}

fn digest(challenge: &[u8]) -> Vec<u8> {
    let challenge = String::from_utf8_lossy(challenge).into_owned();
    let nonce = challenge.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next());
    let nonce = nonce.unwrap_or_default();
    let md5 = |parts: &[&[u8]]| md5::Md5::digest(parts.concat()).to_vec();
    let secret = md5(&[b"ann:example.org:", PASSWORD]);
    let a1 = hex(&md5(&[&secret, b":", nonce.as_bytes(), b":cnonce"]));
    let a2 = hex(&md5(&[b"AUTHENTICATE:imap/mail.example.org"]));
    let response = hex(&md5(&[format!("{a1}:{nonce}:00000001:cnonce:auth:{a2}").as_bytes()]));
    format!(
        "charset=utf-8,username=\"ann\",realm=\"example.org\",nonce=\"{nonce}\",nc=00000001,\
         cnonce=\"cnonce\",digest-uri=\"imap/mail.example.org\",response={response},qop=auth"
    )
    .into_bytes()
}

fn mac<D: Digest + EagerHash>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<D>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
