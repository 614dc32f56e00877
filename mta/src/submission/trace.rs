//! What goes before a message: `Received:`, `Authentication-Results:`, what its header lacks; and what is left out of it.
//!
//! Runs in the receiver. The message is a stranger's, and names in it are believed by nobody. Results that claim to be
//! ours are forged and left out (RFC 8601 section 5); everything else stays as it came.

use smtp::header::fold::{fold, unfold};
use smtp::header::{Field, Header};

/// The results of this session, in RFC 8601's words; `None` when there are none.
pub(super) fn results(host: &str, login: Option<(&str, &str)>) -> Option<String> {
    let (user, mechanism) = login?;
    let user = quoted(user);
    let mechanism = mechanism.to_ascii_lowercase();
    Some(fold(
        "Authentication-Results",
        &format!("{host}; auth=pass ({mechanism}) smtp.auth={user}"),
    ))
}

/// The header without the results that claim to be those of `host`, and without what `unwanted` names.
pub(super) fn cleaned(header: &[u8], host: &str, unwanted: &[&str]) -> Option<Vec<u8>> {
    let (fields, rest) = Header::split(header);
    let forged = |field: &Field<'_>| {
        field.name.eq_ignore_ascii_case("Authentication-Results") && claims(field.value, host)
            || unwanted.iter().any(|name| field.name.eq_ignore_ascii_case(name))
    };
    if !fields.fields().any(|field| forged(&field)) {
        return None;
    }
    let mut kept = Vec::with_capacity(header.len());
    for field in fields.fields().filter(|field| !forged(field)) {
        kept.extend_from_slice(field.name.as_bytes());
        kept.push(b':');
        kept.extend_from_slice(field.value);
        kept.extend_from_slice(b"\r\n");
    }
    kept.extend_from_slice(rest);
    Some(kept)
}

/// Whether results say that `host` found them. In doubt they do.
fn claims(value: &[u8], host: &str) -> bool {
    let value = unfold(value);
    let text = String::from_utf8_lossy(&value);
    let Some(text) = without_comments(&text) else { return true };
    let name = text.split(';').next().unwrap_or_default().trim();
    // A version may follow the name.
    let name = name.split([' ', '\t']).next().unwrap_or_default();
    let name = name.trim_matches('"').trim_end_matches('.');
    name.eq_ignore_ascii_case(host.trim_end_matches('.'))
}

/// `None` when a comment has no end.
fn without_comments(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let (mut depth, mut quoted) = (0u32, false);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                let escaped = letters.next()?;
                if depth == 0 {
                    plain.push(escaped);
                }
            }
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            other => plain.push(other),
        }
    }
    (depth == 0).then_some(plain)
}

/// A value as RFC 2045 wants it: a token, or between quotes.
fn quoted(value: &str) -> String {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._@+".contains(&byte);
    if !value.is_empty() && value.bytes().all(token) {
        return value.to_owned();
    }
    let mut text = String::from("\"");
    for letter in value.chars() {
        if matches!(letter, '"' | '\\') {
            text.push('\\');
        }
        // A blank would be a place to fold at.
        text.push(if letter.is_ascii_graphic() { letter } else { '?' });
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_that_claim_to_be_ours_are_left_out() {
        let forged = [
            "mta.test; auth=pass",
            " MTA.test ;auth=pass",
            "\r\n\tmta.test 1; none",
            "(hi) mta.test; none",
            "\"mta.test\"; none",
            "mta.test.; none",
            "mta.test",
            "(no end mta.test; none",
        ];
        for value in forged {
            let header = format!("A: b\r\nauthentication-results:{value}\r\nC: d\r\n\r\nbody");
            let kept = cleaned(header.as_bytes(), "mta.test", &[]).unwrap();
            assert_eq!(String::from_utf8(kept).unwrap(), "A: b\r\nC: d\r\n\r\nbody", "{value}");
        }
        for value in ["other.test; auth=pass", "x.mta.test; none", "(mta.test) other; none"] {
            let header = format!("Authentication-Results: {value}\r\n\r\nmta.test");
            assert_eq!(cleaned(header.as_bytes(), "mta.test", &[]), None, "{value}");
        }
        let header = b"Return-Path: <x>\r\nA: b\r\n c\r\n\r\n";
        assert_eq!(cleaned(header, "x", &["Return-Path"]).unwrap(), b"A: b\r\n c\r\n\r\n");
    }

    #[test]
    fn a_login_is_a_result_and_its_name_breaks_nothing() {
        let line = results("mta.test", Some(("joe", "PLAIN"))).unwrap();
        assert_eq!(line, "Authentication-Results: mta.test; auth=pass (plain) smtp.auth=joe\r\n");
        let line = results("mta.test", Some(("a\r\nX: \"y", "PLAIN"))).unwrap();
        assert_eq!(line.matches("\r\n").count(), 1, "{line}");
        assert!(line.contains(r#"smtp.auth="a??X:?\"y""#), "{line}");
        assert_eq!(results("mta.test", None), None);
    }
}
