//! SASL messages in base64: standard alphabet, padded, no line breaks, and wiped on both sides.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Message;

/// The bytes; `None` for what is not strictly base64.
pub(super) fn decode(text: &[u8]) -> Option<Message> {
    let mut bytes = Zeroizing::new(vec![0; text.len() / 4 * 3 + 3]);
    let length = STANDARD.decode_slice(text, &mut bytes).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

/// Appends the text.
pub(super) fn encode(bytes: &[u8], line: &mut Vec<u8>) {
    let start = line.len();
    line.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let room = line.get_mut(start..).unwrap_or_default();
    // The room was made to measure.
    let _ = STANDARD.encode_slice(bytes, room);
}

/// Room for the text of so many bytes.
pub(super) fn encoded(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_nothing_else_does() {
        for length in 0..70u8 {
            let bytes: Vec<u8> = (0..length).collect();
            let mut line = b"x".to_vec();
            encode(&bytes, &mut line);
            assert_eq!(line.len() - 1, encoded(bytes.len()));
            assert_eq!(decode(&line[1..]).as_deref(), Some(&bytes));
        }
        for bad in ["A", "AB", "ABC", "ABC=D", "AB==CD==", "A===", "====", "QQ==\n", "Q Q=", "QR=="]
        {
            assert!(decode(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
