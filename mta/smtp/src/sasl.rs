//! Messages of SASL on SMTP lines (RFC 4954): mechanism names, initial responses, challenges and their answers.
//!
//! Runs on both sides. Nothing is trusted; messages are secrets, wiped when dropped and never printed. What they mean
//! is for the daemon to say: here they are only carried.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// One message of an exchange. It has no `Debug` that shows it, and is wiped on drop.
#[derive(PartialEq, Eq)]
pub struct Message(Zeroizing<Vec<u8>>);

impl Message {
    /// A message from its bytes, which are moved.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Decodes canonical base64: padded, no blanks, no bits left over.
    pub fn decode(text: &[u8]) -> Option<Self> {
        let mut bytes = Zeroizing::new(vec![0; text.len() / 4 * 3 + 3]);
        let length = STANDARD.decode_slice(text, &mut bytes).ok()?;
        bytes.truncate(length);
        Some(Self(bytes))
    }

    /// The secret itself.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// In base64; empty for an empty message.
    pub fn encode(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.0.len().div_ceil(3) * 4));
        STANDARD.encode_string(&*self.0, &mut text);
        text
    }

    /// As an initial response: an empty one is `=` (RFC 4954 section 4).
    pub fn encode_initial(&self) -> Zeroizing<String> {
        if self.0.is_empty() { Zeroizing::new("=".into()) } else { self.encode() }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Message(…)")
    }
}

/// What a client says to a challenge.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Go on with this.
    Response(Message),
    /// `*`: it gives up (501 5.7.0).
    Cancel,
    /// No base64 (501 5.5.2).
    Malformed,
}

/// Reads the line that answers a 334.
pub fn answer(line: &[u8]) -> Answer {
    match line {
        b"*" => Answer::Cancel,
        text => Message::decode(text).map_or(Answer::Malformed, Answer::Response),
    }
}

/// The name of a mechanism: 1 to 20 of `A-Z`, digits, `-` and `_` (RFC 4422 section 3.1); known or not.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mechanism {
    name: [u8; Self::MAX],
    length: u8,
}

impl Mechanism {
    const MAX: usize = 20;

    /// Takes a name in letters of any case.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=Self::MAX).contains(&text.len());
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !fits || !text.bytes().all(allowed) {
            return None;
        }
        let mut name = [0; Self::MAX];
        for (place, byte) in name.iter_mut().zip(text.bytes()) {
            *place = byte.to_ascii_uppercase();
        }
        Some(Self { name, length: u8::try_from(text.len()).ok()? })
    }

    /// In capitals.
    pub fn as_str(&self) -> &str {
        let name = self.name.get(..usize::from(self.length)).unwrap_or_default();
        str::from_utf8(name).unwrap_or_default()
    }
}

impl fmt::Debug for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_canonical_or_nothing() {
        assert_eq!(Message::decode(b"AGIAYw==").unwrap().reveal(), b"\0b\0c");
        assert_eq!(Message::decode(b"").unwrap().reveal(), b"");
        let bad =
            ["A", "AB", "ABC", "ABC=D", "AB==CD==", "A===", "QQ==\0", "Q Q=", "QR==", "!!!!", "é"];
        for bad in bad {
            assert!(Message::decode(bad.as_bytes()).is_none(), "{bad}");
        }
        for length in 0..70u8 {
            let message = Message::new((0..length).collect());
            assert!(Message::decode(message.encode().as_bytes()) == Some(message));
        }
        assert_eq!(&*Message::new(Vec::new()).encode_initial(), "=");
    }

    #[test]
    fn an_answer_is_a_message_a_star_or_a_fault() {
        assert_eq!(answer(b"*"), Answer::Cancel);
        assert_eq!(answer(b"Ym9i"), Answer::Response(Message::new(b"bob".to_vec())));
        assert_eq!(answer(b""), Answer::Response(Message::new(Vec::new())));
        for bad in [&b"="[..], b"* ", b"!!!", b"STARTTLS!", b"Ym9i Ym9i"] {
            assert_eq!(answer(bad), Answer::Malformed);
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(format!("{:?}", answer(b"aHVudGVyMg==")), "Response(Message(…))");
    }

    #[test]
    fn names_of_mechanisms_are_kept_whether_known_or_not() {
        assert_eq!(Mechanism::new("x-Own_1").unwrap().as_str(), "X-OWN_1");
        assert!(Mechanism::new("SCRAM-SHA-256-PLUS-X").is_some());
        for bad in ["", "SCRAM-SHA-256-PLUS-XY", "PL AIN", "PLAIN=", "PLÄIN", "A\0"] {
            assert!(Mechanism::new(bad).is_none(), "{bad}");
        }
    }
}
