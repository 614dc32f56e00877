//! The first word of a command.
//!
//! Runs in the receiver of the mta. Nothing is trusted. A browser that was sent here (ALPACA, CVE-2021-3618) is known by
//! its first line, since its later ones are the attacker's.

use super::Fault;

/// The verbs that are known, in RFC 5321's spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// `HELO`
    Helo,
    /// `EHLO`
    Ehlo,
    /// `STARTTLS`
    StartTls,
    /// `AUTH`
    Auth,
    /// `MAIL`
    Mail,
    /// `RCPT`
    Rcpt,
    /// `DATA`
    Data,
    /// `BDAT`
    Bdat,
    /// `RSET`
    Rset,
    /// `NOOP`
    Noop,
    /// `QUIT`
    Quit,
    /// `VRFY`
    Vrfy,
    /// `EXPN`
    Expn,
    /// `HELP`
    Help,
}

const VERBS: [(&str, Verb); 14] = [
    ("MAIL", Verb::Mail),
    ("RCPT", Verb::Rcpt),
    ("DATA", Verb::Data),
    ("BDAT", Verb::Bdat),
    ("EHLO", Verb::Ehlo),
    ("HELO", Verb::Helo),
    ("STARTTLS", Verb::StartTls),
    ("AUTH", Verb::Auth),
    ("RSET", Verb::Rset),
    ("NOOP", Verb::Noop),
    ("QUIT", Verb::Quit),
    ("VRFY", Verb::Vrfy),
    ("EXPN", Verb::Expn),
    ("HELP", Verb::Help),
];
/// Known, and not done here.
const NOT_IMPLEMENTED: [&str; 9] =
    ["ETRN", "TURN", "ATRN", "SEND", "SOML", "SAML", "VERB", "XCLIENT", "XFORWARD"];
/// Methods of HTTP (RFC 9110 section 9, RFC 5789).
const HTTP: [&str; 9] =
    ["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"];

impl Verb {
    /// Knows a verb in letters of any case; `rest` tells HTTP.
    pub(super) fn parse(word: &str, rest: &str) -> Result<Self, Fault> {
        if let Some((_, verb)) = VERBS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)) {
            return Ok(*verb);
        }
        let among = |names: &[&str]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
        if among(&HTTP) && !rest.is_empty() {
            return Err(Fault::Http);
        }
        Err(if among(&NOT_IMPLEMENTED) { Fault::NotImplemented } else { Fault::Unknown })
    }

    /// Whether what follows it in one group of pipelined commands must wait (RFC 2920 section 3.1, RFC 4954 section 4,
    /// RFC 3207 section 4). A client that knows no better is served all the same, except behind STARTTLS.
    pub fn ends_group(self) -> bool {
        !matches!(self, Self::Mail | Self::Rcpt | Self::Rset | Self::Bdat)
    }
}
