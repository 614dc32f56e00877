//! Long fields on several lines (RFC 5322 section 2.2.3), and back.
//!
//! Runs in the receiver of the mta. A value that is folded may hold a stranger's text: no break in it survives but ours.

use std::borrow::Cow;

/// Where a line is broken if it can be (RFC 5322 section 2.1.1).
const WIDTH: usize = 78;
/// Where it is broken come what may: 998 without CR LF, with room for the tab.
const LONGEST: usize = 990;

/// A field with its folds and its CR LF. What isn't printable ASCII becomes `?`, and runs of blanks one blank. A name is
/// the caller's own.
pub fn fold(name: &str, value: &str) -> String {
    let mut field = format!("{name}:");
    let mut width = field.len();
    for word in value.split(' ').filter(|word| !word.is_empty()) {
        let printable = |letter: char| if letter.is_ascii_graphic() { letter } else { '?' };
        let word: String = word.chars().map(printable).collect();
        let mut first = true;
        for piece in word.as_bytes().chunks(LONGEST) {
            // The first word stays on the line of the name, so that no line is blank.
            if (first && width + 1 + piece.len() <= WIDTH) || width == name.len() + 1 {
                field.push(' ');
                width += 1 + piece.len();
            } else {
                field.push_str("\r\n\t");
                width = 1 + piece.len();
            }
            field.extend(piece.iter().map(|byte| char::from(*byte)));
            first = false;
        }
    }
    field.push_str("\r\n");
    field
}

/// A field's value on one line: the breaks before blanks taken out, and the blanks around it.
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    if !value.windows(2).any(|pair| pair == b"\r\n") {
        return Cow::Borrowed(value);
    }
    let mut line = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((byte, after)) = rest.split_first() {
        rest = match after {
            [b'\n', blanks @ ..] if *byte == b'\r' && matches!(blanks, [b' ' | b'\t', ..]) => {
                blanks
            }
            _ => {
                line.push(*byte);
                after
            }
        };
    }
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_field_is_broken_between_words() {
        assert_eq!(fold("A", "b  c"), "A: b c\r\n");
        assert_eq!(fold("A", ""), "A:\r\n");
        assert_eq!(fold("A", "b\r\nX: y\0é"), "A: b??X: y??\r\n");
        let long = "x".repeat(70);
        assert_eq!(fold("A", &format!("{long} b {long}")), format!("A: {long} b\r\n\t{long}\r\n"));
    }

    #[test]
    fn a_value_is_joined_again() {
        assert_eq!(&*unfold(b" a,\r\n\tb\r\n c "), b"a,\tb c");
        assert_eq!(&*unfold(b" a "), b"a");
    }

    proptest! {
        #[test]
        fn what_is_folded_is_one_field(value in any::<String>(), words in "([!-~]{1,100} ?){0,20}") {
            for value in [&value, &words] {
                let field = fold("A", value);
                let (header, rest) = super::super::Header::split(field.as_bytes());
                prop_assert_eq!((header.fields().count(), rest), (1, &b""[..]));
                prop_assert!(field.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
            }
            let unfolded = unfold(&fold("A", &words).as_bytes()[2..]).into_owned();
            let unfolded = String::from_utf8(unfolded).unwrap().replace('\t', " ");
            prop_assert_eq!(unfolded, words.trim_end().to_owned());
        }
    }
}
