//! The `Received:` line of a message, in sendmail's clauses, which people have parsed for decades.
//!
//! Runs in the receiver of the mta. Names of the DNS and of clients are strangers' text: whatever could close a comment
//! or end a line becomes `?`.

use std::fmt;
use std::net::IpAddr;

use super::atom;
use super::date::Date;
use crate::address::{Address, Host};

/// How a message came (RFC 3848, and RFC 6531 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// HELO.
    Helo,
    /// EHLO.
    Ehlo,
    /// EHLO, and MAIL with SMTPUTF8.
    EhloUtf8,
}

/// Whether a client's name leads back to its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// It has none.
    None,
    /// It does.
    Confirmed(&'a str),
    /// It doesn't.
    Forged(&'a str),
}

/// The session's TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tls<'a> {
    /// `TLSv1.3`
    pub version: &'a str,
    /// `TLS_AES_256_GCM_SHA384`
    pub cipher: &'a str,
    /// Of its key.
    pub bits: u32,
    /// What became of the client's certificate: `OK`, `NO`, `NOT`, `FAIL`, …
    pub verify: &'a str,
}

/// What a `Received:` line says.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// What the client called itself.
    pub host: &'a Host,
    /// By what command.
    pub greeting: Greeting,
    /// Its name by the DNS.
    pub name: Name<'a>,
    /// Its address.
    pub address: IpAddr,
    /// The bits of a SASL layer when the client logged in: 0, since there is none.
    pub authenticated: Option<u32>,
    /// Our own name.
    pub by: &'a str,
    /// Our own version.
    pub version: &'a str,
    /// The message's name in our queue.
    pub id: &'a str,
    /// The session's TLS.
    pub tls: Option<Tls<'a>>,
    /// The recipient, when there is only one: several would tell each other.
    pub recipient: Option<&'a Address>,
    /// Now.
    pub date: Date,
}

impl Received<'_> {
    /// The keyword of the `with` clause.
    pub fn with(&self) -> &'static str {
        match (self.greeting, self.tls.is_some(), self.authenticated.is_some()) {
            (Greeting::Helo, _, _) => "SMTP",
            (Greeting::Ehlo, false, false) => "ESMTP",
            (Greeting::Ehlo, false, true) => "ESMTPA",
            (Greeting::Ehlo, true, false) => "ESMTPS",
            (Greeting::Ehlo, true, true) => "ESMTPSA",
            (Greeting::EhloUtf8, false, false) => "UTF8SMTP",
            (Greeting::EhloUtf8, false, true) => "UTF8SMTPA",
            (Greeting::EhloUtf8, true, false) => "UTF8SMTPS",
            (Greeting::EhloUtf8, true, true) => "UTF8SMTPSA",
        }
    }

    /// What the client called itself; letters beyond ASCII only where the message may have them.
    fn greeted(&self) -> String {
        let international = self.greeting == Greeting::EhloUtf8;
        let keep = |letter: char| if letter.is_ascii() || international { letter } else { '?' };
        self.host.as_str().chars().map(keep).collect()
    }

    fn client(&self) -> String {
        let address = match self.address {
            IpAddr::V4(four) => format!("[{four}]"),
            IpAddr::V6(six) => format!("[IPv6:{six}]"),
        };
        match self.name {
            Name::None => address,
            Name::Confirmed(name) => format!("{} {address}", atom(name)),
            Name::Forged(name) => format!("{} {address} (may be forged)", atom(name)),
        }
    }
}

/// The whole field with its folds and its CR LF.
impl fmt::Display for Received<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received: from {} ({})\r\n", self.greeted(), self.client())?;
        if let Some(bits) = self.authenticated {
            write!(f, "\t(authenticated bits={bits})\r\n")?;
        }
        let version: Vec<String> = self.version.split('/').map(atom).collect();
        let (by, version, id) = (atom(self.by), version.join("/"), atom(self.id));
        write!(f, "\tby {by} ({version}) with {} id {id}", self.with())?;
        if let Some(Tls { version, cipher, bits, verify }) = self.tls {
            let (version, cipher, verify) = (atom(version), atom(cipher), atom(verify));
            write!(f, "\r\n\t(version={version} cipher={cipher} bits={bits} verify={verify})")?;
        }
        match self.recipient.filter(|recipient| recipient.is_ascii()) {
            Some(recipient) => write!(f, "\r\n\tfor <{recipient}>; {}\r\n", self.date),
            None => write!(f, ";\r\n\t{}\r\n", self.date),
        }
    }
}
