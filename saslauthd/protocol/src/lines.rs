//! Lines of Dovecot's protocols: fields between tabs, ended by a line feed, with 0x01 as the escape.
//!
//! Used by both ends of the auth and the userdb socket. Nothing is trusted: a line has a bound, and a field is only
//! unescaped after the tabs were found. Sources: Dovecot's `strescape.c`; auth_protocol.md.

use std::borrow::Cow;

/// Ends a field.
pub const TAB: u8 = b'\t';
/// Begins an escape.
const ESCAPE: u8 = 1;

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Framed<'a> {
    /// No line feed yet.
    Incomplete,
    /// A line without its line feed, and how many bytes it took with it.
    Line(&'a [u8], usize),
    /// More bytes than a line may have.
    TooLong,
}

/// The first line of what was received, of at most `most` bytes without its line feed.
pub fn first(received: &[u8], most: usize) -> Framed<'_> {
    let window = received.get(..=most).unwrap_or(received);
    match window.iter().position(|byte| *byte == b'\n') {
        Some(end) => Framed::Line(window.get(..end).unwrap_or_default(), end + 1),
        None if window.len() > most => Framed::TooLong,
        None => Framed::Incomplete,
    }
}

/// The fields of a line, still escaped. A line has at least one, which may be empty.
pub fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == TAB)
}

/// A field as it was meant. An escape that is cut off is nothing, as with Dovecot.
pub fn unescape(field: &[u8]) -> Cow<'_, [u8]> {
    if !field.contains(&ESCAPE) {
        return Cow::Borrowed(field);
    }
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field.iter();
    while let Some(byte) = rest.next() {
        if *byte != ESCAPE {
            plain.push(*byte);
            continue;
        }
        match rest.next() {
            Some(b'0') => plain.push(0),
            Some(b'1') => plain.push(ESCAPE),
            Some(b't') => plain.push(TAB),
            Some(b'r') => plain.push(b'\r'),
            Some(b'n') => plain.push(b'\n'),
            Some(other) => plain.push(*other),
            None => {}
        }
    }
    Cow::Owned(plain)
}

/// Appends a value in such a way that it stays within its field.
pub fn escape(value: &[u8], line: &mut Vec<u8>) {
    for byte in value {
        let letter = match *byte {
            0 => b'0',
            ESCAPE => b'1',
            TAB => b't',
            b'\r' => b'r',
            b'\n' => b'n',
            other => {
                line.push(other);
                continue;
            }
        };
        line.extend_from_slice(&[ESCAPE, letter]);
    }
}

/// Appends a field of its own: a tab, the key with what follows it, and the value escaped.
pub(crate) fn push(line: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    line.push(TAB);
    line.extend_from_slice(key);
    escape(value, line);
}

/// A number without sign, blanks or leading plus.
pub(crate) fn number(field: &[u8]) -> Option<u32> {
    let digits = !field.is_empty() && field.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(field).ok().filter(|_| digits)?.parse().ok()
}

/// The number of a request, which is never 0.
pub(crate) fn id(field: &[u8]) -> Option<std::num::NonZeroU32> {
    number(field).and_then(std::num::NonZeroU32::new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_has_an_end_and_a_bound() {
        assert_eq!(first(b"", 4), Framed::Incomplete);
        assert_eq!(first(b"abcd", 4), Framed::Incomplete);
        assert_eq!(first(b"abcd\nx", 4), Framed::Line(b"abcd", 5));
        assert_eq!(first(b"abcde", 4), Framed::TooLong);
        assert_eq!(first(b"abcde\n", 4), Framed::TooLong);
        assert_eq!(first(b"\n", 4), Framed::Line(b"", 1));
    }

    #[test]
    fn escapes_are_those_of_dovecot() {
        assert_eq!(&*unescape(b"a\x010\x011\x01t\x01r\x01n\x01zb\x01"), b"a\0\x01\t\r\nzb");
        let mut line = Vec::new();
        escape(b"a\0\x01\t\r\nb", &mut line);
        assert_eq!(line, b"a\x010\x011\x01t\x01r\x01nb");
    }

    #[test]
    fn numbers_are_digits_alone() {
        assert_eq!(number(b"4294967295"), Some(u32::MAX));
        for none in [&b""[..], b"+1", b"-1", b" 1", b"4294967296", b"1x", b"\xff"] {
            assert_eq!(number(none), None);
        }
        assert_eq!(id(b"0"), None);
    }

    proptest! {
        #[test]
        fn any_value_stays_in_its_field(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut line = Vec::new();
            escape(&value, &mut line);
            prop_assert!(!line.iter().any(|byte| matches!(byte, 0 | b'\t' | b'\r' | b'\n')));
            prop_assert_eq!(&*unescape(&line), &value[..]);
        }
    }
}
