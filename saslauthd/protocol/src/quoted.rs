//! The one formatter through which bytes of a peer reach a log, a terminal or an operator's answer.
//!
//! It keeps a record on one line and a field inside its quotes, whatever a peer put into its name:
//! line breaks, escape sequences, quotes, brackets, invisible and bidirectional characters.

use std::fmt::{self, Write};

/// Bytes of a peer, shown between double quotes with everything unusual escaped.
///
/// Printable ASCII and printable UTF-8 stay; `"`, `\` and all other bytes become `\xHH`,
/// and so do characters that a terminal or a log parser could take for structure (controls, line and
/// paragraph separators, bidirectional marks, zero-width characters).
#[derive(Clone, Copy)]
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        write_escaped(f, self.0, &['"', '\\'])?;
        f.write_char('"')
    }
}

/// Bytes of a peer for Cyrus's `[user=…]` shape: no quotes around, and brackets escaped as well, so that
/// a name can neither end its field nor open another one.
#[derive(Clone, Copy)]
pub struct Bracketed<'a>(pub &'a [u8]);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, self.0, &['[', ']', '\\'])
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, bytes: &[u8], special: &[char]) -> fmt::Result {
    // Nearly every name is plain ASCII, and a log line has three.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !special.contains(&char::from(*byte));
    if let Ok(plain) = std::str::from_utf8(bytes)
        && bytes.iter().all(is_plain)
    {
        return f.write_str(plain);
    }
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if special.contains(&character) || is_structure(character) {
                let mut utf8 = [0; 4];
                write_hex(f, character.encode_utf8(&mut utf8).as_bytes())?;
            } else {
                f.write_char(character)?;
            }
        }
        write_hex(f, chunk.invalid())?;
    }
    Ok(())
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
}

fn is_structure(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_on_one_line_and_in_their_quotes() {
        let name = "a\r\nb\x1b[31m \" \\ \u{2028}\u{202e}é".as_bytes();
        assert_eq!(
            Quoted(name).to_string(),
            "\"a\\x0d\\x0ab\\x1b[31m \\x22 \\x5c \\xe2\\x80\\xa8\\xe2\\x80\\xaeé\""
        );
        assert_eq!(Quoted(b"\xff\xfe").to_string(), "\"\\xff\\xfe\"");
    }

    #[test]
    fn a_bracket_in_a_name_does_not_end_its_field() {
        assert_eq!(Bracketed(b"x] [reason=ok").to_string(), "x\\x5d \\x5breason=ok");
    }
}
