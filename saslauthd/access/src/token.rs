//! A value of the map as sendmail's rules see it: a list of tokens, in which blanks have vanished.
//!
//! What stands in quotes is one token; `.:%@!^/[]+()<>,;` are one each; a comment in parentheses is none. Text that
//! is put together again has blanks between two words only, so that `see: x` becomes `see:x` unless it was quoted.

use std::fmt::Write as _;

/// Operators of sendmail's default configuration and of its address parser.
const OPERATORS: &str = ".:%@!^/[]+()<>,;";

/// Takes a value apart; a quoted token keeps its quotes.
pub(crate) fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '(' => {
                rest = behind_comment(rest).trim_start();
                continue;
            }
            '"' => quoted(rest),
            _ if OPERATORS.contains(first) => first.len_utf8(),
            _ => rest.find(ends_word).unwrap_or(rest.len()),
        };
        let (token, tail) = rest.split_at_checked(length).unwrap_or((rest, ""));
        tokens.push(token);
        rest = tail.trim_start();
    }
    tokens
}

fn ends_word(letter: char) -> bool {
    letter.is_whitespace() || letter == '"' || OPERATORS.contains(letter)
}

/// The length of the quoted string at the start; all of it if it is not closed.
fn quoted(text: &str) -> usize {
    let mut escaped = true;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn behind_comment(text: &str) -> &str {
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return text.get(at + letter.len_utf8()..).unwrap_or("");
        }
    }
    ""
}

/// Is it a quoted string?
pub(crate) fn is_quoted(token: &str) -> bool {
    token.starts_with('"')
}

/// Without the quotes around it.
pub(crate) fn bare(token: &str) -> &str {
    token.strip_prefix('"').map_or(token, |inside| inside.strip_suffix('"').unwrap_or(inside))
}

/// The text of a reply: a blank between two words, and no quotes.
pub(crate) fn message(tokens: &[&str]) -> String {
    let mut text = String::new();
    let mut after_word = false;
    for token in tokens {
        let word = !is_quoted(token) && !token.starts_with(|letter| OPERATORS.contains(letter));
        let blank = if after_word && word { " " } else { "" };
        // Writing to a string does not fail.
        let _ = write!(text, "{blank}{}", bare(token));
        after_word = word;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_vanish_and_quotes_hold_together() {
        assert_eq!(tokens("  a.b  c "), ["a", ".", "b", "c"]);
        assert_eq!(tokens("C=\"x y\"z"), ["C=", "\"x y\"", "z"]);
        assert_eq!(tokens("a(b (c)) d"), ["a", "d"]);
        assert_eq!(tokens("\"a\\\"b\" c"), ["\"a\\\"b\"", "c"]);
        assert_eq!(tokens("\"open"), ["\"open"]);
        assert!(tokens(" (x").is_empty());
    }

    #[test]
    fn a_message_has_blanks_between_words_only() {
        let said = |text| message(&tokens(text));
        assert_eq!(said("550 unknown: user"), "550 unknown:user");
        assert_eq!(said("550  mail  from you, no"), "550 mail from you,no");
        assert_eq!(said("\"550 mail, no\""), "550 mail, no");
        assert_eq!(said("\"550 a\" b"), "550 ab");
    }
}
