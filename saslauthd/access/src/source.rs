//! The map's source text: which lines are entries, and where key and value begin.
//!
//! As makemap(8) reads it: blank lines and lines that begin with `#` say nothing; a key ends at the first blank or
//! tab; the rest is the value. makemap knows no continuation: a line that begins with a blank is left out of the map,
//! with a complaint; here such a line has an empty key. Blanks at the end of a value are dropped, since nobody sees them.

/// One entry of the source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// From 1.
    pub(crate) number: u32,
    /// The whole line.
    pub(crate) text: &'a str,
    pub(crate) key: &'a str,
    /// Empty when there is none.
    pub(crate) value: &'a str,
    /// Where the value begins, in bytes.
    pub(crate) value_at: usize,
}

/// The lines that say something.
pub(crate) fn lines(source: &str) -> impl Iterator<Item = Line<'_>> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    source.lines().enumerate().filter_map(|(at, text)| {
        let number = u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1);
        if text.starts_with('#') || text.trim().is_empty() {
            return None;
        }
        let blank = |letter: char| letter == ' ' || letter == '\t';
        let end = text.find(blank).unwrap_or(text.len());
        let (key, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        let value = rest.trim_start_matches(blank);
        let value_at = text.len() - value.len();
        Some(Line { number, text, key, value: value.trim_end(), value_at })
    })
}

/// The column of a byte, in characters from 1.
pub(crate) fn column(text: &str, offset: usize) -> u32 {
    let before = text.char_indices().take_while(|(at, _)| *at < offset).count();
    u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_at_a_blank_and_values_at_the_line() {
        let source =
            "# a comment\n\nTLS_Clt:a\t VERIFY +CN \r\nx.example  ERROR:550 go  away\nalone\n";
        let found: Vec<_> =
            lines(source).map(|line| (line.number, line.key, line.value, line.value_at)).collect();
        assert_eq!(
            found,
            [
                (3, "TLS_Clt:a", "VERIFY +CN", 11),
                (4, "x.example", "ERROR:550 go  away", 11),
                (5, "alone", "", 5),
            ]
        );
    }

    #[test]
    fn a_line_that_begins_with_a_blank_has_no_key() {
        let found: Vec<_> = lines(" a\tOK\n").map(|line| line.key).collect();
        assert_eq!(found, [""]);
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(column("äb", 0), 1);
        assert_eq!(column("äb", 2), 2);
        assert_eq!(column("äb", 99), 3);
    }
}
