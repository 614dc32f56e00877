//! A reply to an SMTP command: code, enhanced code and text.
//!
//! Made by the engine, from sendmail's texts and from `ERROR:` values of the map; sent by whoever asked. The text
//! holds names that a peer chose, so control characters never get in.

use std::fmt;

/// `454 4.7.0 not authenticated`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 400 to 599.
    pub code: u16,
    /// The enhanced code (RFC 3463), `4.7.0`.
    pub dsn: String,
    /// The rest. One text of sendmail's ends in a blank, on purpose.
    pub text: String,
}

/// What a refusal says that brings no code.
const TEXT_ALONE: (u16, &str) = (553, "5.3.0");

impl Reply {
    pub(crate) fn new(code: u16, dsn: &str, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.contains(char::is_control) {
            text = text.replace(char::is_control, "?");
        }
        Self { code, dsn: dsn.to_owned(), text }
    }

    /// What every decision says when the map can't be asked.
    pub(crate) fn map_unavailable() -> Self {
        Self::new(451, "4.3.0", "Temporary system failure. Please try again later.")
    }

    /// 4yz: the peer may try again.
    pub fn is_temporary(&self) -> bool {
        self.code < 500
    }

    /// Of `550 5.7.1 text` and `550 text`; the text's own enhanced code wins over the one given beside it. A text
    /// without a code is told as 553 5.3.0, as sendmail does. `None` where the code is not one of a refusal.
    pub(crate) fn parse(text: &str, dsn: Option<&str>) -> Option<Self> {
        let coded = text.split_once(' ').filter(|(code, _)| {
            code.len() == 3 && code.bytes().all(|digit| digit.is_ascii_digit())
        });
        let Some((code, rest)) = coded else {
            let (code, dsn) = TEXT_ALONE;
            return Some(Self::new(code, dsn, text));
        };
        let code = code.parse().ok().filter(|code| (400..600).contains(code))?;
        let rest = rest.trim_start();
        let (own, text) = match rest.split_once(' ') {
            Some((word, tail)) if is_enhanced(word) => (Some(word), tail.trim_start()),
            _ => (None, rest),
        };
        let fallback = format!("{}.0.0", code / 100);
        let dsn = own.or(dsn.filter(|dsn| is_enhanced(dsn)));
        Some(Self::new(code, dsn.unwrap_or(&fallback), text))
    }

    /// Was it a text without a code?
    pub(crate) fn is_text_alone(&self) -> bool {
        (self.code, self.dsn.as_str()) == TEXT_ALONE
    }
}

/// `5.7.1`: class 2, 4 or 5 and two numbers of up to three digits (RFC 3463 §2).
pub(crate) fn is_enhanced(word: &str) -> bool {
    let mut parts = word.split('.');
    let class = parts.next().is_some_and(|class| matches!(class, "2" | "4" | "5"));
    let mut number = || {
        parts.next().is_some_and(|part| {
            (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    class && number() && number() && parts.next().is_none()
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.dsn, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_from_a_text() {
        let reply = |text, dsn| Reply::parse(text, dsn).map(|reply| reply.to_string());
        assert_eq!(reply("554 go away", None).as_deref(), Some("554 5.0.0 go away"));
        assert_eq!(reply("450 4.7.1 come back", None).as_deref(), Some("450 4.7.1 come back"));
        assert_eq!(reply("550 no", Some("5.7.1")).as_deref(), Some("550 5.7.1 no"));
        assert_eq!(reply("550 5.1.1 no", Some("5.7.1")).as_deref(), Some("550 5.1.1 no"));
        assert_eq!(reply("550 9.1.1 no", Some("D.S.N")).as_deref(), Some("550 5.0.0 9.1.1 no"));
        assert_eq!(reply("554 5.7.1", None).as_deref(), Some("554 5.0.0 5.7.1"));
        assert_eq!(reply("go away", Some("5.7.1")).as_deref(), Some("553 5.3.0 go away"));
        assert_eq!(reply("550", None).as_deref(), Some("553 5.3.0 550"));
        assert_eq!(reply("250 yes", None), None);
        assert_eq!(reply("999 yes", None), None);
    }

    #[test]
    fn a_text_holds_no_line_end() {
        assert_eq!(Reply::new(550, "5.7.1", "a\r\n250 b").text, "a??250 b");
    }
}
