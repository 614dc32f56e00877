//! Exchanges of an honest client whose messages are damaged on the way, of every mechanism: each ends in an answer,
//! none panics, none is a fault of ours, and only what was not damaged is proven.
//!
//! The damage is the same in each run. `MUTATIONS=1000000` makes as many exchanges of each mechanism.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

#[path = "mutations/client.rs"]
mod client;
#[path = "mutations/damage.rs"]
mod damage;

use credentials::{ScramHash, ScramKeys, SharedSecret};
use protocol::mechanism::Mechanism;
use protocol::{Name, Password};
use saslauthd_mechanisms::{Exchange, LastWords, Material, Plus, Refusal, Start, Step, Wanted};

use client::{CHANNEL, Client, PASSWORD};
use damage::Random;

/// How exchanges ended.
#[derive(Default, Debug)]
struct Tally {
    proven: u64,
    plain: u64,
    wrong: u64,
    malformed: u64,
    other: u64,
}

/// What a store has for the user, in forms that are quickly read again.
struct Store {
    scram: Vec<(ScramHash, String)>,
}

impl Store {
    fn new() -> Self {
        let password = Password::new(PASSWORD).unwrap();
        let hashes = [ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512];
        let keys = hashes.map(|hash| {
            let keys = ScramKeys::derive(hash, &password, b"sodium chloride!", client::ITERATIONS);
            (hash, keys.to_auth_password().to_string())
        });
        Self { scram: keys.into() }
    }

    fn find(&self, what: Wanted, random: &mut Random) -> Material {
        let known = random.below(8) != 0;
        match what {
            Wanted::Scram(hash) if known => {
                let (_, keys) = self.scram.iter().find(|(known, _)| *known == hash).unwrap();
                Material::Scram(ScramKeys::parse_auth_password(keys.as_bytes()).unwrap())
            }
            Wanted::Scram(hash) => {
                Material::Scram(ScramKeys::stand_in(hash, client::ITERATIONS, b"sodium chloride!"))
            }
            Wanted::Shared if known => Material::Shared(SharedSecret::new(PASSWORD).unwrap()),
            Wanted::Shared => Material::Shared(SharedSecret::stand_in()),
        }
    }
}

/// Rounds after which any exchange must have ended.
const ROUNDS: usize = 8;

fn exchange(mechanism: Mechanism, store: &Store, random: &mut Random, tally: &mut Tally) {
    let service = Name::new(b"imap").unwrap();
    let last_words = [LastWords::WithOutcome, LastWords::AsChallenge][random.below(2)];
    let mut exchange = Exchange::begin(Start {
        mechanism,
        plus: [Plus::Offered, Plus::NotOffered][random.below(2)],
        last_words,
        service: &service,
        hosts: &["mail.example.org".to_owned()],
        realms: &["example.org".to_owned()],
        now: 1_800_000_000,
        random: &mut |bytes| bytes.fill_with(|| random.below(256) as u8),
    });
    let mut client = Client::new(mechanism);
    let (mut damaged, mut stood_in) = (false, false);
    let initial = client.initial().map(|message| random.pass_on(message, &mut damaged));
    let mut step = exchange.step(initial.as_deref(), None);
    for _ in 0..ROUNDS {
        step = match step {
            Step::Challenge { bytes, binding } => {
                let answer = random.pass_on(client.answer(&bytes), &mut damaged);
                exchange.step(Some(&answer), binding.map(|_| CHANNEL.as_slice()))
            }
            Step::Wants { what, .. } => {
                let material = store.find(what, random);
                stood_in = match &material {
                    Material::Scram(keys) => keys.is_stand_in(),
                    Material::Shared(secret) => secret.is_stand_in(),
                };
                exchange.supply(material)
            }
            Step::Proof { .. } => exchange.conclude(),
            Step::Unavailable(trouble) => panic!("{mechanism}: {trouble}"),
            end => {
                assert!(!(stood_in && matches!(end, Step::Proven { .. })), "{mechanism}: proven");
                count(mechanism, &end, damaged, tally);
                let over = exchange.step(Some(b"again"), None);
                assert!(matches!(over, Step::Unavailable(_)), "{mechanism}: not over");
                return;
            }
        };
    }
    panic!("{mechanism}: no end");
}

fn count(mechanism: Mechanism, end: &Step, damaged: bool, tally: &mut Tally) {
    match end {
        Step::Proven { .. } => {
            // Blanks and case may differ in the messages of the other two.
            let exact = !matches!(mechanism, Mechanism::CramMd5 | Mechanism::DigestMd5);
            assert!(!(exact && damaged), "{mechanism}: a damaged exchange was proven");
            tally.proven += 1;
        }
        Step::Refused(Refusal::WrongProof) => tally.wrong += 1,
        Step::Refused(Refusal::Malformed) => tally.malformed += 1,
        Step::Refused(_) => tally.other += 1,
        _ => tally.plain += 1,
    }
}

#[test]
fn damaged_exchanges_end_in_an_answer() {
    let number = std::env::var("MUTATIONS").map_or(2_000, |number| number.parse().unwrap());
    let store = Store::new();
    for mechanism in Mechanism::ALL {
        let (mut random, mut tally) = (Random(u64::from(mechanism.number())), Tally::default());
        for _ in 0..number {
            exchange(mechanism, &store, &mut random, &mut tally);
        }
        println!("{mechanism}: {tally:?}");
        assert!(tally.malformed > 0, "{mechanism}: nothing was malformed");
        let passes_on = mechanism.is_plaintext()
            || matches!(mechanism, Mechanism::External | Mechanism::Anonymous);
        if passes_on {
            assert!(tally.plain > 0, "{mechanism}: nothing was passed on");
        } else {
            assert!(tally.proven > 0 && tally.wrong > 0, "{mechanism}: nothing was compared");
        }
    }
}
