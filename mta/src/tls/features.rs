//! What the access map says of TLS with one server: sendmail's `TLS_Clt_features`.
//!
//! Runs in the sender; the words come from the access map, by way of the daemon. Whatever can't be followed is a fault and
//! never left out: an option that has no effect would leave a connection weaker than it was meant to be.

use std::path::PathBuf;

use super::ciphers::{ciphers, suites};
use super::revocation::Demand;

/// Wishes for one connection. Equal ones may share a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Options {
    pub(super) versions: Versions,
    /// OpenSSL's names, in order; `None` for ours.
    pub(super) ciphers: Option<Vec<&'static str>>,
    pub(super) suites: Option<Vec<&'static str>>,
    /// Certificate and key that we show, by the names of their files.
    pub(super) certificate: Option<(PathBuf, PathBuf)>,
    pub(super) tickets: Tickets,
    /// Whether there must be a list of revoked certificates for each authority (`R`).
    pub(super) lists: Demand,
    /// What `C` and `c` say of a second attempt in the clear.
    pub fall_back: Option<crate::config::FallBack>,
}

/// Versions that may be agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Versions {
    /// TLS 1.2 and 1.3.
    #[default]
    Both,
    /// TLS 1.2.
    Only12,
    /// TLS 1.3.
    Only13,
}

/// Whether a session may go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Tickets {
    /// It may.
    #[default]
    Kept,
    /// Each is its own (`SSL_OP_NO_TICKET`).
    Off,
}

/// Names of options that change nothing here, or forbid what rustls does not have.
const WITHOUT_EFFECT: [&str; 20] = [
    "ALL",
    "NO_SSLV2",
    "NO_SSLV3",
    "NO_TLSV1",
    "NO_TLSV1_1",
    "NO_COMPRESSION",
    "NO_RENEGOTIATION",
    "NO_SESSION_RESUMPTION_ON_RENEGOTIATION",
    "CIPHER_SERVER_PREFERENCE",
    "SERVER_PREFERENCE",
    "PRIORITIZE_CHACHA",
    "SINGLE_DH_USE",
    "SINGLE_ECDH_USE",
    "DONT_INSERT_EMPTY_FRAGMENTS",
    "ENABLE_MIDDLEBOX_COMPAT",
    "NO_ENCRYPT_THEN_MAC",
    "NO_ANTI_REPLAY",
    "TLS_ROLLBACK_BUG",
    "NO_QUERY_MTU",
    "COOKIE_EXCHANGE",
];

impl Options {
    /// Reads the value of an entry: `key=value;…`.
    ///
    /// # Errors
    /// What can't be followed, for the log.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let mut found = Self::default();
        let (mut certificate, mut key) = (None, None);
        for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
            let (name, value) =
                item.split_once('=').ok_or_else(|| format!("`{item}` is no key=value"))?;
            // As sendmail reads it.
            let value: String = value.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            match name.trim().to_ascii_lowercase().as_str() {
                "options" => found.take_options(&value)?,
                "cipherlist" => found.ciphers = Some(some(ciphers(&value), "CipherList", &value)?),
                "ciphersuites" => {
                    found.suites = Some(some(suites(&value), "CipherSuites", &value)?);
                }
                "certfile" => certificate = Some(PathBuf::from(value)),
                "keyfile" => key = Some(PathBuf::from(value)),
                "flags" => found.take_flags(&value)?,
                _ => return Err(format!("`{name}` is no option of TLS_Clt_features")),
            }
        }
        found.certificate = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err("CertFile and KeyFile go together".into()),
        };
        Ok(found)
    }

    fn take_options(&mut self, value: &str) -> Result<(), String> {
        let (mut no_12, mut no_13) =
            (self.versions == Versions::Only13, self.versions == Versions::Only12);
        let mut no_tickets = self.tickets == Tickets::Off;
        for item in value.split([',', '|']).filter(|item| !item.is_empty()) {
            let (set, option) = match item.strip_prefix('-') {
                Some(cleared) => (false, cleared),
                None => (true, item.strip_prefix('+').unwrap_or(item)),
            };
            let option = Turned::parse(option)?;
            no_12 = if option.no_12 { set } else { no_12 };
            no_13 = if option.no_13 { set } else { no_13 };
            no_tickets = if option.no_tickets { set } else { no_tickets };
        }
        self.tickets = if no_tickets { Tickets::Off } else { Tickets::Kept };
        self.versions = match (no_12, no_13) {
            (false, false) => Versions::Both,
            (false, true) => Versions::Only12,
            (true, false) => Versions::Only13,
            (true, true) => return Err("Options leave no version: TLS 1.2 and 1.3 are off".into()),
        };
        Ok(())
    }

    fn take_flags(&mut self, value: &str) -> Result<(), String> {
        use crate::config::FallBack;
        for flag in value.chars() {
            match flag {
                'R' => self.lists = Demand::Required,
                'C' => self.fall_back = Some(FallBack::Once),
                'c' => self.fall_back = Some(FallBack::Never),
                // No DANE, of which there is none yet.
                'd' => {}
                _ => return Err(format!("`{flag}` is none of the Flags R, C, c, d")),
            }
        }
        Ok(())
    }
}

fn some(found: Vec<&'static str>, key: &str, value: &str) -> Result<Vec<&'static str>, String> {
    match found.is_empty() {
        true => Err(format!("{key}={value} leaves no cipher that there is")),
        false => Ok(found),
    }
}

/// What an option, or a number of several, turns off.
#[derive(Default)]
struct Turned {
    no_12: bool,
    no_13: bool,
    no_tickets: bool,
}

impl Turned {
    fn parse(option: &str) -> Result<Self, String> {
        let upper = option.to_ascii_uppercase();
        let name = upper.strip_prefix("SSL_OP_");
        match name {
            Some("NO_TLSV1_2") => return Ok(Self { no_12: true, ..Self::default() }),
            Some("NO_TLSV1_3") => return Ok(Self { no_13: true, ..Self::default() }),
            Some("NO_TICKET") => return Ok(Self { no_tickets: true, ..Self::default() }),
            Some(name) if WITHOUT_EFFECT.contains(&name) => return Ok(Self::default()),
            _ => {}
        }
        let number = match upper.strip_prefix("0X") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => upper.parse().ok(),
        };
        let bits = number.ok_or_else(|| format!("`{option}` is no option that is known"))?;
        let is_set = |bit: u32| bits >> bit & 1 == 1;
        Ok(Self { no_12: is_set(27), no_13: is_set(29), no_tickets: is_set(14) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_choose_versions() {
        for (text, versions) in [
            ("", Versions::Both),
            ("Options=SSL_OP_NO_TLSv1_3", Versions::Only12),
            ("options = SSL_OP_NO_TLSv1_2, SSL_OP_NO_SSLv3", Versions::Only13),
            ("\"Options=SSL_OP_NO_TLSv1_3;Flags=R\"", Versions::Only12),
            ("Options=SSL_OP_NO_TLSv1_3,-SSL_OP_NO_TLSv1_3", Versions::Both),
            ("Options=0x20000000", Versions::Only12),
            ("Options=134217728", Versions::Only13),
        ] {
            assert_eq!(Options::parse(text).unwrap().versions, versions, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_a_fault() {
        for text in [
            "Options",
            "Options=SSL_OP_NONSENSE",
            "Options=SSL_OP_NO_TLSv1_2,SSL_OP_NO_TLSv1_3",
            "CipherList=HIGH aRSA",
            "CipherList=kRSA",
            "CipherSuites=TLS_NONE",
            "CertFile=/etc/mta/a.pem",
            "KeyFile=/etc/mta/a.key",
            "Flags=x",
            "Colour=red",
        ] {
            assert!(Options::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn flags_say_what_follows() {
        use crate::config::FallBack;
        let flags = Options::parse("Flags=RC").unwrap();
        assert_eq!((flags.lists, flags.fall_back), (Demand::Required, Some(FallBack::Once)));
        assert_eq!(Options::parse("Flags=c").unwrap().fall_back, Some(FallBack::Never));
    }
}
