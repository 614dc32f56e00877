//! Lines of the log in sendmail's shapes, which people's tools have read for decades.
//!
//! Runs in the receiver. What a stranger chose is written through [`Bracketed`] or [`Quoted`], so that no value ends its
//! line or opens a field of its own.

use std::fmt;
use std::net::IpAddr;

use protocol::certificate::Certificate;
use protocol::quoted::Bracketed;

use crate::tls::Facts;

/// A client as sendmail writes it: its name if it has one, and its address in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Relay(pub(super) IpAddr);

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.to_canonical() {
            IpAddr::V4(four) => write!(f, "[{four}]"),
            IpAddr::V6(six) => write!(f, "[IPv6:{six}]"),
        }
    }
}

/// A stranger's value in a field that ends at a comma: no comma, bracket or control character is left in it.
pub(super) fn field(value: &str) -> String {
    Bracketed(value.as_bytes()).to_string().replace(',', "\\x2c")
}

/// The outcome of a handshake.
pub(super) fn handshake(relay: Relay, tls: &Facts) -> [String; 2] {
    let Facts { version, cipher, bits, verify, reason, .. } = tls;
    let certificate = tls.certificate.as_deref().and_then(|der| Certificate::from_der(der).ok());
    let (subject, issuer) = certificate.map_or_else(Default::default, |certificate| {
        (certificate.subject.openssl_3.text, certificate.issuer.openssl_3.text)
    });
    let (subject, issuer, reason) = (field(&subject), field(&issuer), field(reason));
    [
        format!(
            "STARTTLS=server, relay={relay}, version={version}, verify={verify}, cipher={cipher}, bits={bits}/{bits}"
        ),
        format!(
            "STARTTLS=server, cert-subject={subject}, cert-issuer={issuer}, verifymsg={reason}"
        ),
    ]
}

/// A handshake that failed.
pub(super) fn no_handshake(relay: Relay, why: &std::io::Error) -> String {
    format!(
        "STARTTLS=server, error: accept failed, reason={}, relay={relay}",
        field(&why.to_string())
    )
}

/// A refusal of the access map, of what was asked about.
pub(super) fn refusal(
    ruleset: &str,
    arguments: &[&str],
    relay: Relay,
    reply: &smtp::reply::Reply,
) -> String {
    let mut line = format!("ruleset={ruleset}");
    for (number, argument) in (1..).zip(arguments) {
        line += &format!(", arg{number}={}", field(argument));
    }
    let said = on_one_line(reply);
    // Which of several recipients it was stands in sendmail's reply too.
    let said = match (ruleset, arguments, said.match_indices(' ').nth(1)) {
        ("check_rcpt", [recipient, ..], Some((at, _))) if reply.status().is_some() => {
            let (code, text) = said.split_at(at);
            format!("{code} {}...{text}", field(recipient))
        }
        _ => said,
    };
    line + &format!(", relay={relay}, reject={said}")
}

/// A reply without its line breaks.
pub(super) fn on_one_line(reply: &smtp::reply::Reply) -> String {
    let mut line = reply.code().to_string();
    if let Some(status) = reply.status() {
        line += &format!(" {}.{}.{}", reply.code().number() / 100, status.subject, status.detail);
    }
    for text in reply.lines() {
        line.push(' ');
        line += &Bracketed(text.as_bytes()).to_string();
    }
    line
}
