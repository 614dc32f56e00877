//! SCRAM, bare and with channel binding.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

const MALFORMED: &str = "refused malformed-exchange";
const MISMATCH: &str = "refused binding-mismatch";

/// A whole exchange: what both sides say.
struct Script {
    mechanism: Mechanism,
    hash: ScramHash,
    salt: &'static str,
    /// The server's part of the nonce.
    nonce: &'static str,
    first: &'static str,
    challenge: &'static str,
    last: &'static str,
    signature: &'static str,
    binding: Option<Binding>,
}

/// RFC 5802 §5.
const SHA1: Script = Script {
    mechanism: Mechanism::ScramSha1,
    hash: ScramHash::Sha1,
    salt: "QSXCR+Q6sek8bf92",
    nonce: "3rfcNHYJY1ZVvWVs7j",
    first: "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
    challenge: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    last: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    signature: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    binding: None,
};

/// RFC 7677 §3.
const SHA256: Script = Script {
    mechanism: Mechanism::ScramSha256,
    hash: ScramHash::Sha256,
    salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
    nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    challenge: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    last: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    signature: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    binding: None,
};

/// The same with SHA-512, computed with Python's hashlib and hmac, as there is no example in the draft.
const SHA512: Script = Script {
    mechanism: Mechanism::ScramSha512,
    hash: ScramHash::Sha512,
    last: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
    signature: "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
    ..SHA256
};

/// With a channel whose data are the bytes 0 to 31, computed in the same way: RFC 9266 has no example either.
const EXPORTER_SHA256: Script = Script {
    mechanism: Mechanism::ScramSha256Plus,
    first: "p=tls-exporter,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    last: "c=cD10bHMtZXhwb3J0ZXIsLAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f,\
        r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=QC6CS20quADQRb3mT99YUH+n3VJxUvzuK0K0E1Vrs2M=",
    signature: "v=2GiAgapEppLVlUXbxUDksL3VgYHzuqiK5tR4mhJGgvs=",
    binding: Some(Binding::TlsExporter),
    ..SHA256
};

const EXPORTER_SHA512: Script = Script {
    mechanism: Mechanism::ScramSha512Plus,
    hash: ScramHash::Sha512,
    last: "c=cD10bHMtZXhwb3J0ZXIsLAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f,\
        r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=jVaGV/PIJ7hgkpxV9a1jdpzyYkHQH9gW6fn3DbAL2oEA+5w4CCSJjoq8G37bn2FsGaVEMsk4kiHRqMUoN/aiiA==",
    signature: "v=bTvxua5nsJsvSd2bk+1WbSe84MBgjkACQPOqiN7MhTBLYxVX2QUqwET2NLcZEv2CfexR6NbAMluKltOEs5vLYw==",
    ..EXPORTER_SHA256
};

const CHANNEL: [u8; 32] = {
    let mut channel = [0; 32];
    let mut at = 0;
    while at < 32 {
        channel[at] = at as u8;
        at += 1;
    }
    channel
};

impl Script {
    fn begin_as(&self, change: impl FnOnce(&mut Facts)) -> Exchange {
        let mut facts = facts(self.nonce);
        change(&mut facts);
        Exchange::of(self.mechanism, facts)
    }

    fn begin(&self) -> Exchange {
        self.begin_as(|_| ())
    }

    fn keys(&self, password: &str) -> Material {
        let salt = STANDARD.decode(self.salt).expect("base64");
        Material::Scram(keys(self.hash, password, &salt))
    }

    fn stand_in(&self) -> Material {
        let salt = STANDARD.decode(self.salt).expect("base64");
        Material::Scram(ScramKeys::stand_in(self.hash, 4096, &salt))
    }

    fn wants(&self) -> String {
        format!("wants \"user\" \"\" Scram({:?})", self.hash)
    }

    fn challenge(&self) -> String {
        let binding = self.binding.map_or(String::new(), |name| format!(" {}", name.as_str()));
        format!("challenge {}{binding}", self.challenge)
    }

    /// As far as the challenge.
    fn challenged(&self, material: Material) -> Exchange {
        let mut exchange = self.begin();
        exchange.says(self.first.as_bytes(), &self.wants()).has(material, &self.challenge());
        exchange
    }
}

#[test]
fn the_examples_of_rfc_5802_and_rfc_7677_and_more() {
    for script in [SHA1, SHA256, SHA512, EXPORTER_SHA256, EXPORTER_SHA512] {
        script
            .challenged(script.keys("pencil"))
            .says_bound(script.last.as_bytes(), Some(&CHANNEL), "proof None \"user\"")
            .ends(&format!("proven {}", script.signature))
            .is_over();
    }
}

#[test]
fn the_signature_may_be_a_challenge_of_its_own() {
    let begin = || SHA256.begin_as(|facts| facts.last_words = LastWords::AsChallenge);
    for (answer, end) in [(b"".as_slice(), "proven"), (b"x", MALFORMED)] {
        begin()
            .is_silent("challenge ")
            .says(SHA256.first.as_bytes(), &SHA256.wants())
            .has(SHA256.keys("pencil"), &SHA256.challenge())
            .says(SHA256.last.as_bytes(), "proof None \"user\"")
            .ends(&format!("challenge {}", SHA256.signature))
            .says(answer, end)
            .is_over();
    }
}

/// D1: a wrong password and a name without keys: the same steps, the same bytes, the same end, and no `e=`.
#[test]
fn d1_wrong_and_unknown_end_alike() {
    for script in [SHA1, SHA256, SHA512, EXPORTER_SHA256] {
        for material in [script.keys("pencils"), script.stand_in()] {
            script
                .challenged(material)
                .says_bound(script.last.as_bytes(), Some(&CHANNEL), "proof None \"user\"")
                .ends("refused wrong-password")
                .is_over();
        }
    }
}

#[test]
fn names_are_unescaped_and_the_bytes_stay() {
    let script = Script {
        mechanism: Mechanism::ScramSha1Plus,
        first: "p=tls-server-end-point,a=us=2Cer,n=us=2Cer,r=fyko+d2lbbFgONRv9qkxdawL",
        last: "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCxhPXVzPTJDZXIsAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,\
            r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=11xcpAjS1Zlo7a88tIB97YKNjuo=",
        signature: "v=J/x3eVVTtvk+sIMDBVooXeh6asc=",
        binding: Some(Binding::TlsServerEndPoint),
        ..SHA1
    };
    let mut exchange = script.begin();
    exchange
        .says(script.first.as_bytes(), "wants \"us,er\" \"\" Scram(Sha1)")
        .has(script.keys("pencil"), &script.challenge())
        .says_bound(script.last.as_bytes(), Some(&CHANNEL), "proof Some(\"us,er\") \"us,er\"")
        .ends(&format!("proven {}", script.signature));
}

/// RFC 5802 §5.1: what an extension says may be ignored; that it was said is in the AuthMessage.
#[test]
fn extensions_are_ignored_and_bound() {
    let script = Script {
        first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO,t=sms,X=a=b",
        last: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,o=123,\
            p=ZmPIWxe+ofIqXsrnzwMQbO9jJZmz9CQLEb3XCJ9fy98=",
        signature: "v=sqKyI7ZBhbzqymlivOmQa2zwzhGr/PMfcrBPV0bjsq8=",
        ..SHA256
    };
    let last = script.last.replace(",o=123", "");
    for (last, end) in [
        (script.last, format!("proven {}", script.signature)),
        (last.as_str(), "refused wrong-password".to_owned()),
    ] {
        script
            .challenged(script.keys("pencil"))
            .says(last.as_bytes(), "proof None \"user\"")
            .ends(&end);
    }
}

/// C8: what the client binds must be our side's channel, and the header that it sent.
#[test]
fn c8_another_channel_is_refused() {
    let script = EXPORTER_SHA256;
    let bound = |data: &[u8]| STANDARD.encode([b"p=tls-exporter,,", data].concat());
    let last = |c: &str| {
        let (_, rest) = script.last.split_once(',').expect("attributes");
        format!("c={c},{rest}")
    };
    let mut other = CHANNEL;
    other[31] ^= 1;
    let right = last(&bound(&CHANNEL));
    assert_eq!(right, script.last);
    for (message, channel) in [
        (right.clone(), Some(other.as_slice())),
        (right.clone(), Some(&CHANNEL[..31])),
        (right.clone(), Some(b"")),
        (right, None),
        (last(&bound(&other)), Some(&CHANNEL)),
        (last(&bound(&CHANNEL[..31])), Some(&CHANNEL)),
        (last(&bound(b"")), Some(b"")),
        (
            last(&STANDARD.encode([b"p=tls-exporter,a=x,".as_slice(), &CHANNEL].concat())),
            Some(&CHANNEL),
        ),
        (
            last(&STANDARD.encode([b"p=tls-server-end-point,,".as_slice(), &CHANNEL].concat())),
            Some(&CHANNEL),
        ),
        (last("biws"), Some(&CHANNEL)),
        (last("eSws"), Some(&CHANNEL)),
    ] {
        script
            .challenged(script.keys("pencil"))
            .says_bound(message.as_bytes(), channel, MISMATCH)
            .is_over();
    }
    // And without a binding, the header.
    for header in [b"y,,".as_slice(), b"n,a=user,", b"n,", b"n,,x"] {
        let c = format!("c={},", STANDARD.encode(header));
        let last = SHA256.last.replace("c=biws,", &c);
        SHA256.challenged(SHA256.keys("pencil")).says(last.as_bytes(), MISMATCH).is_over();
    }
}

/// C8: RFC 5802 §6.
#[test]
fn c8_a_downgrade_is_refused() {
    let first = |flag: &str| format!("{flag},,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let offered = || SHA256.begin_as(|facts| facts.plus = Plus::Offered);
    offered().says(first("y").as_bytes(), "refused downgrade").is_over();
    offered().says(first("n").as_bytes(), &SHA256.wants());
    SHA256.begin().says(first("y").as_bytes(), &SHA256.wants());
    for begin in [offered(), SHA256.begin()] {
        let mut begin = begin;
        begin.says(first("p=tls-exporter").as_bytes(), MALFORMED).is_over();
    }
    for flag in ["n", "y"] {
        EXPORTER_SHA256.begin().says(first(flag).as_bytes(), "refused downgrade").is_over();
    }
    for name in ["tls-unique", "tls-unique-for-telnet", "TLS-EXPORTER", "tls-exporte"] {
        let first = first(&format!("p={name}"));
        EXPORTER_SHA256.begin().says(first.as_bytes(), MISMATCH).is_over();
    }
}

#[test]
fn the_nonce_must_be_both_sides() {
    for nonce in [
        "rOprNGfwEbeRWgbNEkqO",
        "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k",
        "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k00",
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        "ROprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    ] {
        let last = SHA256.last.replace("rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", nonce);
        SHA256.challenged(SHA256.keys("pencil")).says(last.as_bytes(), MALFORMED).is_over();
    }
}

#[test]
fn a_proof_has_the_length_of_the_hash() {
    for proof in ["", "AAEC", "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="] {
        let last = SHA256.last.split_once("p=").map(|(before, _)| format!("{before}p={proof}"));
        let last = last.expect("a proof");
        SHA256.challenged(SHA256.keys("pencil")).says(last.as_bytes(), MALFORMED).is_over();
    }
}

#[test]
fn keys_of_another_hash_are_a_fault_of_ours() {
    SHA256
        .begin()
        .says(SHA256.first.as_bytes(), &SHA256.wants())
        .has(SHA1.keys("pencil"), "unavailable a SASL mechanism was told what it did not wait for")
        .is_over();
}
