//! `{SCHEME}` in front of a stored secret, as Dovecot and OpenLDAP write it.
//!
//! Runs in the checker and in the tools. Scheme names count in either case; `.B64`, `.BASE64` and `.HEX` behind one
//! say how the rest is encoded. Without them the digests without salt may be hexadecimal or base64, told apart by
//! length, and those with salt are base64, as Dovecot has it.

use zeroize::Zeroizing;

use super::digest::{unbase64, unhex};
use super::{Argon, CryptHash, Digested, Form, Pbkdf2, Verifier};
use crate::digests::Function;
use crate::policy::Policy;
use crate::scheme::Scheme;
use crate::scram::ScramKeys;
use crate::verdict::Reason;

/// How the bytes behind the brace are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    AsScheme,
    Base64,
    Hex,
}

/// Parses `{SCHEME}rest`.
pub(super) fn parse(stored: &[u8], policy: &Policy) -> Result<Verifier, Reason> {
    let end = stored.iter().position(|byte| *byte == b'}').ok_or(Reason::Malformed)?;
    let (prefix, rest) = stored.split_at_checked(end).ok_or(Reason::Malformed)?;
    let (Some(label), Some(rest)) = (prefix.get(1..), rest.get(1..)) else {
        return Err(Reason::Malformed);
    };
    if rest.is_empty() {
        return Err(Reason::NoPassword);
    }
    if matches!(rest, [b'!' | b'*', ..]) && !is_plain(label) {
        return Err(Reason::Locked);
    }
    let label =
        String::from_utf8(label.to_ascii_uppercase()).map_err(|_| Reason::SchemeNotAllowed)?;
    let (name, encoding) = split_label(&label)?;
    Verifier::new(form(name, encoding, rest)?, policy)
}

/// In the clear, `!` and `*` are letters of the password.
fn is_plain(label: &[u8]) -> bool {
    ["PLAIN", "CLEAR", "CLEARTEXT"].iter().any(|name| label.eq_ignore_ascii_case(name.as_bytes()))
}

fn split_label(label: &str) -> Result<(&str, Encoding), Reason> {
    match label.split_once('.') {
        None => Ok((label, Encoding::AsScheme)),
        Some((name, "B64" | "BASE64")) => Ok((name, Encoding::Base64)),
        Some((name, "HEX")) => Ok((name, Encoding::Hex)),
        Some(_) => Err(Reason::SchemeNotAllowed),
    }
}

fn form(name: &str, encoding: Encoding, rest: &[u8]) -> Result<Form, Reason> {
    use Function::{Md5, Sha1, Sha256, Sha512};
    match name {
        "PLAIN" | "CLEAR" | "CLEARTEXT" => text(encoding, rest).map(Form::Plain),
        "CRYPT" => crypt(encoding, rest, &[]),
        "MD5-CRYPT" | "MD5" => crypt(encoding, rest, &[Scheme::Md5Crypt]),
        "SHA256-CRYPT" => crypt(encoding, rest, &[Scheme::Sha256Crypt]),
        "SHA512-CRYPT" => crypt(encoding, rest, &[Scheme::Sha512Crypt]),
        "BLF-CRYPT" => crypt(encoding, rest, &[Scheme::Bcrypt, Scheme::BcryptX]),
        "DES-CRYPT" => crypt(encoding, rest, &[Scheme::DesCrypt]),
        "ARGON2I" => argon(encoding, rest, Scheme::Argon2i),
        "ARGON2ID" => argon(encoding, rest, Scheme::Argon2id),
        "PLAIN-MD5" | "LDAP-MD5" => unsalted(Md5, encoding, rest),
        "SHA" | "SHA1" => unsalted(Sha1, encoding, rest),
        "SHA256" => unsalted(Sha256, encoding, rest),
        "SHA512" => unsalted(Sha512, encoding, rest),
        "SMD5" => salted(Md5, encoding, rest),
        "SSHA" => salted(Sha1, encoding, rest),
        "SSHA256" => salted(Sha256, encoding, rest),
        "SSHA512" => salted(Sha512, encoding, rest),
        "PBKDF2" => Ok(Form::Pbkdf2(Pbkdf2::parse(&text(encoding, rest)?)?)),
        "SCRAM-SHA-1" | "SCRAM-SHA-224" | "SCRAM-SHA-256" | "SCRAM-SHA-384" | "SCRAM-SHA-512" => {
            Ok(Form::Scram(ScramKeys::parse_dovecot(name, &text(encoding, rest)?)?))
        }
        _ => Err(Reason::SchemeNotAllowed),
    }
}

/// The bytes of a scheme that is text: as they are, unless the label says otherwise.
fn text(encoding: Encoding, rest: &[u8]) -> Result<Zeroizing<Vec<u8>>, Reason> {
    let decoded = match encoding {
        Encoding::AsScheme => Some(Zeroizing::new(rest.to_vec())),
        Encoding::Base64 => unbase64(rest),
        Encoding::Hex => unhex(rest),
    };
    decoded.filter(|bytes| !bytes.is_empty()).ok_or(Reason::Malformed)
}

/// A hash of crypt(3), and of those schemes if any are named. `{CRYPT}` may hold argon2 too, as in Dovecot.
fn crypt(encoding: Encoding, rest: &[u8], schemes: &[Scheme]) -> Result<Form, Reason> {
    let bytes = text(encoding, rest)?;
    let form = match bytes.as_slice() {
        [b'!' | b'*', ..] => return Err(Reason::Locked),
        hash if hash.starts_with(b"$argon2") => Form::Argon(Argon::parse(hash)?),
        hash => Form::Crypt(CryptHash::parse(hash)?),
    };
    if !schemes.is_empty() && !schemes.contains(&form.scheme()) {
        return Err(Reason::Malformed);
    }
    Ok(form)
}

fn argon(encoding: Encoding, rest: &[u8], scheme: Scheme) -> Result<Form, Reason> {
    let parsed = Argon::parse(&text(encoding, rest)?)?;
    if parsed.scheme() == scheme { Ok(Form::Argon(parsed)) } else { Err(Reason::Malformed) }
}

fn unsalted(function: Function, encoding: Encoding, rest: &[u8]) -> Result<Form, Reason> {
    let raw = match encoding {
        Encoding::AsScheme if rest.len() == function.len() * 2 => unhex(rest),
        Encoding::AsScheme | Encoding::Base64 => unbase64(rest),
        Encoding::Hex => unhex(rest),
    };
    Digested::unsalted(function, &raw.ok_or(Reason::Malformed)?).map(Form::Digested)
}

fn salted(function: Function, encoding: Encoding, rest: &[u8]) -> Result<Form, Reason> {
    let raw = match encoding {
        Encoding::AsScheme | Encoding::Base64 => unbase64(rest),
        Encoding::Hex => unhex(rest),
    };
    Digested::salted(function, &raw.ok_or(Reason::Malformed)?).map(Form::Digested)
}
