//! What a client says in a SASL exchange, of each mechanism.
//!
//! An exchange runs to its end on the input's messages, which bytes of 255 separate: no message of SCRAM or DIGEST-MD5
//! may have one. The server's nonce is always the same, so that an input can be a whole exchange.

use credentials::{ScramHash, ScramKeys, SharedSecret};
use mechanisms::{Exchange, LastWords, Material, Plus, Refusal, Start, Step, Wanted};
use protocol::mechanism::Mechanism;
use protocol::{Name, Password};

/// Whether the client is somebody.
#[derive(Clone, Copy, PartialEq, Eq)]
enum User {
    Known,
    Unknown,
}

/// The one message of PLAIN.
pub fn plain(bytes: &[u8]) {
    let message = &mut [bytes].into_iter();
    let steps = exchange(Mechanism::Plain, LastWords::WithOutcome, User::Known, message);
    assert!(matches!(steps.as_slice(), [Step::Password { .. } | Step::Refused(_)]));
}

/// The two of LOGIN.
pub fn login(bytes: &[u8]) {
    let mut messages = split(bytes).chain([b"".as_slice(); 2]);
    let steps = exchange(Mechanism::Login, LastWords::WithOutcome, User::Known, &mut messages);
    assert!(matches!(steps.last(), Some(Step::Password { .. } | Step::Refused(_))));
}

/// The one of EXTERNAL, and of ANONYMOUS.
pub fn external(bytes: &[u8]) {
    for mechanism in [Mechanism::External, Mechanism::Anonymous] {
        let message = &mut [bytes].into_iter();
        let steps = exchange(mechanism, LastWords::WithOutcome, User::Known, message);
        assert!(matches!(
            steps.as_slice(),
            [Step::Certificate { .. } | Step::Anonymous { .. } | Step::Refused(_)]
        ));
    }
}

/// The answer to CRAM-MD5's challenge.
pub fn cram_md5(bytes: &[u8]) {
    both(Mechanism::CramMd5, &[b"".as_slice(), bytes]);
}

/// The answers to DIGEST-MD5's challenge and to its last words.
pub fn digest_md5(bytes: &[u8]) {
    let messages: Vec<&[u8]> = [b"".as_slice()].into_iter().chain(split(bytes)).collect();
    both(Mechanism::DigestMd5, &messages);
}

/// The messages of SCRAM; what the first byte leaves over chooses which.
pub fn scram(bytes: &[u8]) {
    const ALL: [Mechanism; 6] = [
        Mechanism::ScramSha1,
        Mechanism::ScramSha1Plus,
        Mechanism::ScramSha256,
        Mechanism::ScramSha256Plus,
        Mechanism::ScramSha512,
        Mechanism::ScramSha512Plus,
    ];
    let Some((first, rest)) = bytes.split_first() else { return };
    let Some(mechanism) = ALL.get(usize::from(*first) % ALL.len()) else { return };
    both(*mechanism, &split(rest).collect::<Vec<_>>());
}

fn split(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == 255)
}

/// A name without a secret is led the same way as one with, and not let in at its end.
fn both(mechanism: Mechanism, messages: &[&[u8]]) {
    for last_words in [LastWords::WithOutcome, LastWords::AsChallenge] {
        let lead = |user| exchange(mechanism, last_words, user, &mut messages.iter().copied());
        let (known, unknown) = (lead(User::Known), lead(User::Unknown));
        let judged = |steps: &[Step]| {
            steps.iter().position(|step| matches!(step, Step::Proof { .. })).unwrap_or(steps.len())
        };
        let (before, until) = (judged(&known), judged(&unknown));
        assert_eq!(before, until);
        for (one, other) in known.iter().zip(&unknown).take(before) {
            assert_eq!(shown(one), shown(other));
        }
        assert!(unknown.get(before..).is_none_or(|after| after.is_empty()
            || matches!(after, [Step::Proof { .. }, Step::Refused(Refusal::WrongProof)])));
    }
}

fn shown(step: &Step) -> String {
    match step {
        Step::Challenge { bytes, binding } => format!("challenge {:?} {binding:?}", &**bytes),
        Step::Wants { authid, realm, what } => format!("wants {authid} {realm} {what:?}"),
        Step::Refused(refusal) => format!("refused {refusal}"),
        _ => panic!("a step that no proof stands before"),
    }
}

fn exchange(
    mechanism: Mechanism,
    last_words: LastWords,
    user: User,
    messages: &mut dyn Iterator<Item = &[u8]>,
) -> Vec<Step> {
    let service = Name::new(b"imap").expect("a name");
    let mut exchange = Exchange::begin(Start {
        mechanism,
        plus: Plus::Offered,
        last_words,
        service: &service,
        hosts: &["mail.example.org".to_owned()],
        realms: &["example.org".to_owned()],
        now: 0,
        random: &mut |bytes| bytes.fill(0),
    });
    let (mut steps, mut next) = (Vec::new(), Some(exchange.step(messages.next(), None)));
    while let Some(step) = next.take() {
        next = match &step {
            Step::Challenge { .. } => {
                messages.next().map(|message| exchange.step(Some(message), Some(&[7; 32])))
            }
            Step::Wants { what, .. } => Some(exchange.supply(material(*what, user))),
            Step::Proof { .. } => Some(exchange.conclude()),
            Step::Unavailable(trouble) => panic!("{mechanism}: {trouble}"),
            _ => None,
        };
        steps.push(step);
        assert!(steps.len() < 10, "no end");
    }
    steps
}

fn material(what: Wanted, user: User) -> Material {
    let (salt, password) = (b"sodium chloride!", b"pencil");
    match (what, user) {
        (Wanted::Scram(hash), User::Known) => {
            let password = Password::new(password).expect("a password");
            Material::Scram(ScramKeys::derive(hash, &password, salt, 1))
        }
        (Wanted::Scram(hash), User::Unknown) => Material::Scram(stand_in(hash, salt)),
        (Wanted::Shared, User::Known) => {
            Material::Shared(SharedSecret::new(password).expect("a secret"))
        }
        (Wanted::Shared, User::Unknown) => Material::Shared(SharedSecret::stand_in()),
    }
}

fn stand_in(hash: ScramHash, salt: &[u8]) -> ScramKeys {
    ScramKeys::stand_in(hash, 1, salt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(mechanism: Mechanism, messages: &[&[u8]]) -> Option<Step> {
        let messages = &mut messages.iter().copied();
        exchange(mechanism, LastWords::WithOutcome, User::Known, messages).pop()
    }

    /// Seeds that are no whole exchanges would leave most of the code to chance.
    #[test]
    fn the_seeds_are_right_as_they_are() {
        let seed = |path: &str| {
            let path = format!("{}/seeds/{path}", env!("CARGO_MANIFEST_DIR"));
            std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        let cram = seed("sasl_cram_md5/right");
        let digest = seed("sasl_digest_md5/right");
        let digest: Vec<&[u8]> = [b"".as_slice()].into_iter().chain(split(&digest)).collect();
        let sha256 = seed("sasl_scram/sha256");
        let plus = seed("sasl_scram/sha512-plus");
        for (mechanism, messages) in [
            (Mechanism::CramMd5, vec![b"".as_slice(), &cram]),
            (Mechanism::DigestMd5, digest),
            (Mechanism::ScramSha256, split(&sha256[1..]).collect()),
            (Mechanism::ScramSha512Plus, split(&plus[1..]).collect()),
        ] {
            assert!(matches!(end(mechanism, &messages), Some(Step::Proven { .. })), "{mechanism}");
        }
    }
}
