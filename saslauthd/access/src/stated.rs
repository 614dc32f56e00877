//! Facts by their names, as a policy request or a command line states them.
//!
//! Runs in the listener and in `mailauth`, so that both understand the same words. A value that can't be read is an
//! error and never left out: a purpose that is misspelt must not look like one that nobody stated.

use std::fmt;

use crate::facts::{Facts, Phase, Purpose, Resolve};
use crate::pin::KeyPin;

/// Why a fact was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FactError {
    /// There is no fact of this name.
    Unknown,
    /// The value is none of those that the fact can have.
    Value {
        /// What it can be.
        wanted: &'static str,
    },
}

impl fmt::Display for FactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such fact"),
            Self::Value { wanted } => write!(f, "its value must be {wanted}"),
        }
    }
}

impl std::error::Error for FactError {}

impl Facts {
    /// Every name that [`Facts::state`] takes.
    pub const NAMES: [&'static str; 29] = [
        "verify",
        "failed_only_by_purpose",
        "cert_issuer",
        "cert_issuer_openssl_1_1",
        "cert_subject",
        "cert_subject_openssl_1_1",
        "cn_issuer",
        "cn_subject",
        "cert_altnames",
        "email_altnames",
        "uri_altnames",
        "spki_sha256",
        "chain_subjects",
        "purpose",
        "tls_version",
        "cipher",
        "cipher_bits",
        "client_name",
        "client_addr",
        "client_resolve",
        "server_name",
        "server_addr",
        "auth_type",
        "auth_authen",
        "auth_author",
        "auth_ssf",
        "mail_from",
        "rcpt",
        "phase",
    ];

    /// Takes one fact by its name here, which is sendmail's name of the macro where sendmail has one.
    ///
    /// Lists are words separated by blanks. An empty value says nothing, and leaves the fact as it is.
    ///
    /// # Errors
    /// [`FactError`]: no such name, or a value that the fact can't have.
    pub fn state(&mut self, name: &str, value: &str) -> Result<(), FactError> {
        let text = (!value.is_empty()).then(|| value.to_owned());
        let Some(field) = self.text_of(name) else { return self.state_other(name, value) };
        if text.is_some() {
            *field = text;
        }
        Ok(())
    }

    fn text_of(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "cert_issuer" => &mut self.cert_issuer,
            "cert_issuer_openssl_1_1" => &mut self.cert_issuer_openssl_1_1,
            "cert_subject" => &mut self.cert_subject,
            "cert_subject_openssl_1_1" => &mut self.cert_subject_openssl_1_1,
            "cn_issuer" => &mut self.cn_issuer,
            "cn_subject" => &mut self.cn_subject,
            "tls_version" => &mut self.tls_version,
            "cipher" => &mut self.cipher,
            "client_name" => &mut self.client_name,
            "client_addr" => &mut self.client_addr,
            "server_name" => &mut self.server_name,
            "server_addr" => &mut self.server_addr,
            "auth_type" => &mut self.auth_type,
            "auth_authen" => &mut self.auth_authen,
            "auth_author" => &mut self.auth_author,
            "mail_from" => &mut self.mail_from,
            "rcpt" => &mut self.rcpt,
            _ => return None,
        })
    }

    fn state_other(&mut self, name: &str, value: &str) -> Result<(), FactError> {
        let list = || value.split_ascii_whitespace().map(str::to_owned).collect();
        if value.is_empty() && Self::NAMES.contains(&name) {
            return Ok(());
        }
        match name {
            // Any word: what isn't OK or TRUSTED verifies nobody.
            "verify" => self.verify = value.to_owned(),
            "failed_only_by_purpose" => {
                self.failed_only_by_purpose =
                    one_of(value, "yes or no", &[("yes", true), ("no", false)])?;
            }
            "cert_altnames" => self.cert_altnames = list(),
            "email_altnames" => self.email_altnames = list(),
            "uri_altnames" => self.uri_altnames = list(),
            "chain_subjects" => self.chain_subjects = list(),
            "spki_sha256" => {
                let pin = KeyPin::parse(value);
                let wanted = FactError::Value { wanted: "sha256/ and 44 characters of base64" };
                self.spki_sha256 = Some(pin.ok_or(wanted)?);
            }
            "purpose" => self.purpose = Some(purpose(value)?),
            "cipher_bits" => self.cipher_bits = Some(number(value)?),
            "auth_ssf" => self.auth_ssf = Some(number(value)?),
            "client_resolve" => {
                let wanted = FactError::Value { wanted: "OK, FAIL, FORGED or TEMP" };
                self.client_resolve = Some(Resolve::from_name(value).ok_or(wanted)?);
            }
            "phase" => {
                let words = [("STARTTLS", Phase::Starttls), ("MAIL", Phase::Mail)];
                self.phase = Some(one_of(value, "STARTTLS or MAIL", &words)?);
            }
            _ => return Err(FactError::Unknown),
        }
        Ok(())
    }
}

fn purpose(value: &str) -> Result<Purpose, FactError> {
    let words = [
        ("client", Purpose::Client),
        ("server", Purpose::Server),
        ("both", Purpose::Both),
        ("other", Purpose::Other),
    ];
    one_of(value, "client, server, both or other", &words)
}

fn number(value: &str) -> Result<u32, FactError> {
    value.parse().map_err(|_| FactError::Value { wanted: "a number" })
}

fn one_of<T: Copy>(value: &str, wanted: &'static str, words: &[(&str, T)]) -> Result<T, FactError> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value));
    found.map(|(_, meaning)| *meaning).ok_or(FactError::Value { wanted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_taken_and_no_other() {
        for name in Facts::NAMES {
            assert_eq!(Facts::default().state(name, ""), Ok(()), "{name}");
            assert_ne!(Facts::default().state(name, "?"), Err(FactError::Unknown), "{name}");
        }
        assert_eq!(Facts::default().state("sender", ""), Err(FactError::Unknown));
    }

    #[test]
    fn values_of_every_kind() {
        let mut facts = Facts::default();
        for (name, value) in [
            ("verify", "OK"),
            ("cert_issuer", "/CN=CA"),
            ("cert_altnames", "mx.example  *.wild.example"),
            ("purpose", "server"),
            ("cipher_bits", "256"),
            ("client_resolve", "FORGED"),
            ("failed_only_by_purpose", "yes"),
            ("spki_sha256", "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        ] {
            assert_eq!(facts.state(name, value), Ok(()), "{name}");
        }
        assert_eq!((facts.verify.as_str(), facts.cipher_bits), ("OK", Some(256)));
        assert_eq!(facts.cert_altnames, ["mx.example", "*.wild.example"]);
        assert_eq!(facts.purpose, Some(Purpose::Server));
        assert_eq!(facts.client_resolve, Some(Resolve::Forged));
        assert!(facts.failed_only_by_purpose && facts.spki_sha256.is_some());
    }

    #[test]
    fn a_value_that_cannot_be_is_an_error_and_changes_nothing() {
        let mut facts = Facts::default();
        for (name, value) in [
            ("cipher_bits", "-1"),
            ("purpose", "clients"),
            ("client_resolve", "MAYBE"),
            ("spki_sha256", "sha1/x"),
            ("failed_only_by_purpose", "1"),
        ] {
            assert!(matches!(facts.state(name, value), Err(FactError::Value { .. })), "{name}");
        }
        assert_eq!(facts, Facts::default());
    }
}
