//! What several mechanisms say alike: challenges, the digits of MD5, and the last words.
//!
//! Runs in the checker.

use credentials::{Trouble, Verified};
use zeroize::Zeroizing;

use crate::conversation::Facts;
use crate::step::{LastWords, Step};

/// A challenge without channel binding.
pub(crate) fn say(bytes: Vec<u8>) -> Step {
    Step::Challenge { bytes: Zeroizing::new(bytes), binding: None }
}

/// The mechanism was told what it did not wait for, or given what it did not want.
pub(crate) fn misled() -> Step {
    Step::Unavailable(Trouble::new("a SASL mechanism was told what it did not wait for"))
}

/// Exactly 32 digits of hexadecimal, in either case, as 16 bytes.
pub(crate) fn unhex(digits: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if digits.len() != 32 {
        return None;
    }
    let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let bytes = digits.chunks_exact(2).map(|pair| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    bytes.collect::<Option<Vec<u8>>>().map(Zeroizing::new)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The end of a mechanism whose server has the last words, which come with the outcome or before it.
#[derive(Default)]
pub(crate) struct Ending(Option<Verified>);

impl Ending {
    /// The proof was right: the last words in the way that this client takes them.
    pub(crate) fn begin(&mut self, facts: &Facts, proof: Verified, words: Vec<u8>) -> Step {
        let words = Zeroizing::new(words);
        match facts.last_words {
            LastWords::WithOutcome => Step::Proven { proof, last_words: Some(words) },
            LastWords::AsChallenge => {
                self.0 = Some(proof);
                Step::Challenge { bytes: words, binding: None }
            }
        }
    }

    /// The client's answer to the last words is nothing at all.
    pub(crate) fn finish(&mut self, answer: &[u8]) -> Option<Step> {
        let proof = self.0.take().filter(|_| answer.is_empty())?;
        Some(Step::Proven { proof, last_words: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_there_and_back() {
        let digits = "b913a602c7eda7a495b4e6e7334d3890";
        assert_eq!(unhex(digits.as_bytes()).map(|bytes| hex(&bytes)).as_deref(), Some(digits));
        assert_eq!(
            unhex(digits.to_uppercase().as_bytes()).map(|bytes| hex(&bytes)).as_deref(),
            Some(digits)
        );
        for wrong in ["", "b9", &digits[1..], &format!("{digits}0"), &digits.replace('b', "g")] {
            assert!(unhex(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
