//! A pinned public key: the SHA-256 of a certificate's SubjectPublicKeyInfo.
//!
//! The name survives a renewal with the same key and needs no CA (RFC 7469 §2.4 has the same form). Base64 is
//! decoded here, sixty lines for one fixed length, so that the room needs no crate at run time.

use std::fmt;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// SHA-256 of a SubjectPublicKeyInfo in DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyPin(pub [u8; 32]);

impl KeyPin {
    /// Of `sha256/` and 44 characters of base64; the case of letters counts.
    pub fn parse(text: &str) -> Option<Self> {
        let base64 = strip_prefix(text, "sha256/")?.strip_suffix('=')?;
        let mut pin = [0_u8; 32];
        let (mut bits, mut held, mut at) = (0_u32, 0_u32, 0_usize);
        for byte in base64.bytes() {
            let value = ALPHABET.iter().position(|&letter| letter == byte)?;
            bits = (bits << 6) | u32::try_from(value).ok()?;
            held += 6;
            if held >= 8 {
                held -= 8;
                *pin.get_mut(at)? = u8::try_from((bits >> held) & 0xFF).ok()?;
                at += 1;
                bits &= (1 << held) - 1;
            }
        }
        // 43 letters carry 258 bits: two are left, and they must be none.
        (at == pin.len() && held == 2 && bits == 0).then_some(Self(pin))
    }

    /// Of 32 bytes in hex, with or without colons, as Postfix's `ccert_pubkey_fingerprint` has them.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut digits = text.chars().filter(|&letter| letter != ':');
        let mut pin = [0_u8; 32];
        for byte in &mut pin {
            let high = digits.next()?.to_digit(16)?;
            let low = digits.next()?.to_digit(16)?;
            *byte = u8::try_from(high << 4 | low).ok()?;
        }
        digits.next().is_none().then_some(Self(pin))
    }
}

/// Without a prefix that is compared without regard to case.
fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, tail) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(tail)
}

impl fmt::Display for KeyPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256/")?;
        let letter = |bits: u32| {
            let index = usize::try_from(bits & 63).unwrap_or(0);
            char::from(ALPHABET.get(index).copied().unwrap_or(b'A'))
        };
        for chunk in self.0.chunks(3) {
            let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            write!(f, "{}{}{}", letter(bits >> 18), letter(bits >> 12), letter(bits >> 6))?;
            if chunk.len() == 3 {
                write!(f, "{}", letter(bits))?;
            } else {
                f.write_str("=")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_as_it_is_written() {
        // SHA-256 of nothing, by `printf '' | openssl dgst -sha256 -binary | base64`.
        let text = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let pin = KeyPin::parse(text).expect("a pin");
        assert_eq!(pin.to_string(), text);
        let hex = "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55";
        assert_eq!(KeyPin::from_hex(hex), Some(pin));
    }

    #[test]
    fn what_is_no_pin_is_none() {
        for text in [
            "",
            "sha256/",
            "sha1/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=",
            "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFUAAAA=",
        ] {
            assert_eq!(KeyPin::parse(text), None, "{text}");
        }
        assert_eq!(KeyPin::from_hex("E3:B0"), None);
    }
}
