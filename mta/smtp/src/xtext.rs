//! xtext of RFC 3461 section 4: printable ASCII in which `+`, `=` and everything else is `+` and two hex digits.
//!
//! Runs on both sides. Nothing is trusted: what decodes to a control character is refused, so that `+0D+0A` never
//! becomes a line break in a queue file or a later command.

use std::fmt;

/// A decoded value: printable ASCII and blanks, at most [`Text::MAX`] bytes; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Text(Box<str>);

impl Text {
    /// Longest value once decoded (RFC 4954 section 5, RFC 3461 section 4.2: 500 with its escapes).
    pub const MAX: usize = 500;

    /// A plain value.
    ///
    /// Returns `None` for what is empty, too long, or not printable ASCII.
    pub fn new(plain: &str) -> Option<Self> {
        let fits = (1..=Self::MAX).contains(&plain.len());
        (fits && plain.bytes().all(|byte| (b' '..=b'~').contains(&byte)))
            .then(|| Self(plain.into()))
    }

    /// Decodes what stands behind a parameter's `=`.
    ///
    /// Returns `None` for what is no xtext, and for what [`Text::new`] refuses.
    pub fn decode(encoded: &str) -> Option<Self> {
        if encoded.len() > Self::MAX {
            return None;
        }
        let mut plain = String::with_capacity(encoded.len());
        let mut bytes = encoded.bytes();
        while let Some(byte) = bytes.next() {
            let value = match byte {
                b'+' => 16 * digit(bytes.next()?)? + digit(bytes.next()?)?,
                b'=' => return None,
                b'!'..=b'~' => byte,
                _ => return None,
            };
            plain.push(char::from(value));
        }
        Self::new(&plain)
    }

    /// As it was meant.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Prints it encoded.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'+' | b'=' | b' ' => write!(f, "+{byte:02X}")?,
                _ => write!(f, "{}", char::from(byte))?,
            }
        }
        Ok(())
    }
}

/// RFC 3461 knows capital letters only.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_two_capital_digits_and_never_controls() {
        let decoded = |text| Text::decode(text).map(|text| text.as_str().to_owned());
        assert_eq!(decoded("a+2Bb+3Dc+20d").as_deref(), Some("a+b=c d"));
        assert_eq!(decoded("joe+4"), None, "the original refuses it too");
        let none =
            ["", "+", "+0", "+0g", "+2b", "a=b", "a b", "+00", "+0A", "+0D", "+7F", "+80", "é"];
        for bad in none {
            assert_eq!(decoded(bad), None, "{bad}");
        }
        assert!(Text::decode(&"x".repeat(500)).is_some());
        assert!(Text::decode(&"x".repeat(501)).is_none());
    }

    proptest! {
        #[test]
        fn what_is_printed_decodes_to_itself(plain in "[ -~]{1,80}") {
            let text = Text::new(&plain).unwrap();
            let printed = text.to_string();
            prop_assert!(!printed.contains(' '));
            prop_assert_eq!(Text::decode(&printed), Some(text));
        }

        #[test]
        fn nothing_makes_it_panic_or_hold_controls(any in "\\PC*") {
            if let Some(text) = Text::decode(&any) {
                prop_assert!(text.as_str().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            }
        }
    }
}
