//! Whole exchanges: those of the RFCs by the letter, and what must not be one.

mod md5;
mod scram;
mod simple;

use credentials::{ScramHash, ScramKeys, SharedSecret};
use protocol::Password;
use protocol::mechanism::Mechanism;

use super::*;
use crate::step::{Binding, LastWords, Plus};

fn facts(nonce: &str) -> Facts {
    Facts {
        plus: Plus::NotOffered,
        last_words: LastWords::WithOutcome,
        service: b"imap".to_vec(),
        hosts: vec!["elwood.innosoft.com".to_owned()],
        realms: vec!["elwood.innosoft.com".to_owned()],
        now: 697_170_952,
        nonce: nonce.to_owned(),
    }
}

/// What a step is, for comparisons; secrets in the clear.
fn show(step: Step) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match step {
        Step::Challenge { bytes, binding: None } => format!("challenge {}", text(&bytes)),
        Step::Challenge { bytes, binding: Some(binding) } => {
            format!("challenge {} {}", text(&bytes), binding.as_str())
        }
        Step::Wants { authid, realm, what } => format!("wants {authid} {realm} {what:?}"),
        Step::Password { authzid, authid, password } => {
            format!("password {authzid:?} {authid} {}", text(password.reveal()))
        }
        Step::Certificate { authzid } => format!("certificate {authzid:?}"),
        Step::Anonymous { trace } => format!("anonymous {trace}"),
        Step::Proof { authzid, authid } => format!("proof {authzid:?} {authid}"),
        Step::Proven { last_words: None, .. } => "proven".to_owned(),
        Step::Proven { last_words: Some(words), .. } => format!("proven {}", text(&words)),
        Step::Refused(refusal) => format!("refused {refusal}"),
        Step::Unavailable(trouble) => format!("unavailable {trouble}"),
    }
}

impl Exchange {
    fn says(&mut self, message: &[u8], expected: &str) -> &mut Self {
        assert_eq!(show(self.step(Some(message), None)), expected);
        self
    }

    fn says_bound(&mut self, message: &[u8], channel: Option<&[u8]>, expected: &str) -> &mut Self {
        assert_eq!(show(self.step(Some(message), channel)), expected);
        self
    }

    fn is_silent(&mut self, expected: &str) -> &mut Self {
        assert_eq!(show(self.step(None, None)), expected);
        self
    }

    fn has(&mut self, material: Material, expected: &str) -> &mut Self {
        assert_eq!(show(self.supply(material)), expected);
        self
    }

    fn ends(&mut self, expected: &str) -> &mut Self {
        assert_eq!(show(self.conclude()), expected);
        self
    }

    /// Whatever is tried after the end, there is no other.
    fn is_over(&mut self) {
        let over = "unavailable a SASL exchange was called out of turn";
        self.says(b"", over).is_silent(over).ends(over);
        self.has(Material::Shared(SharedSecret::stand_in()), over);
    }
}

fn shared(password: &str) -> Material {
    Material::Shared(SharedSecret::new(password.as_bytes()).expect("a secret"))
}

fn keys(hash: ScramHash, password: &str, salt: &[u8]) -> ScramKeys {
    let password = Password::new(password.as_bytes()).expect("a password");
    ScramKeys::derive(hash, &password, salt, 4096)
}

/// Whoever calls out of turn learns nothing and gets nothing compared.
#[test]
fn calls_out_of_turn_end_the_exchange() {
    let out = "unavailable a SASL exchange was called out of turn";
    let begun = || Exchange::of(Mechanism::CramMd5, facts("1896"));
    begun().ends(out).is_over();
    begun().has(shared("x"), out).is_over();
    let challenge = "challenge <1896.697170952@elwood.innosoft.com>";
    begun().is_silent(challenge).is_silent(out).is_over();
    begun().is_silent(challenge).ends(out).is_over();
    let answer = b"tim b913a602c7eda7a495b4e6e7334d3890";
    let wants = "wants \"tim\" \"\" Shared";
    begun().is_silent(challenge).says(answer, wants).says(answer, out).is_over();
    begun().is_silent(challenge).says(answer, wants).ends(out).is_over();
    let misled = "unavailable a SASL mechanism was told what it did not wait for";
    let keys = Material::Scram(keys(ScramHash::Sha1, "x", b"salt"));
    begun().is_silent(challenge).says(answer, wants).has(keys, misled).is_over();
}

#[test]
fn a_message_beyond_any_length_is_refused() {
    for mechanism in Mechanism::ALL {
        let mut exchange = Exchange::of(mechanism, facts("1896"));
        exchange.says(&vec![b'x'; LONGEST + 1], "refused malformed-exchange").is_over();
    }
}

/// The random bytes become the nonce, and nothing else does.
#[test]
fn each_exchange_has_its_own_nonce() {
    let begin = |byte: u8, mechanism| {
        let service = protocol::Name::default();
        let mut exchange = Exchange::begin(Start {
            mechanism,
            plus: Plus::NotOffered,
            last_words: LastWords::WithOutcome,
            service: &service,
            hosts: &[],
            realms: &[],
            now: 5,
            random: &mut |bytes| bytes.fill(byte),
        });
        show(exchange.step(None, None))
    };
    let nonce = "AgICAgICAgICAgICAgICAgIC";
    assert_eq!(begin(2, Mechanism::CramMd5), format!("challenge <{nonce}.5@localhost>"));
    assert_eq!(
        begin(2, Mechanism::DigestMd5),
        format!("challenge nonce=\"{nonce}\",qop=\"auth\",algorithm=md5-sess,charset=utf-8")
    );
    assert_ne!(begin(3, Mechanism::CramMd5), begin(2, Mechanism::CramMd5));
}
