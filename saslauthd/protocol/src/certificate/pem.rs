//! The certificates of a text in PEM (RFC 7468).
//!
//! Runs in the tools, and wherever a mail server hands over a certificate as text. Text around the blocks is skipped,
//! as `openssl x509 -text` writes it; private keys in the same file are never decoded.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Error, MAX_CERTIFICATE};

/// Most certificates that are read of one text.
pub const MAX_CERTIFICATES: usize = 32;

const LABELS: [&[u8]; 2] = [b"CERTIFICATE", b"X509 CERTIFICATE"];

/// The DER of each certificate block, in order; the ones after [`MAX_CERTIFICATES`] are not looked at.
///
/// # Errors
/// [`Error::NotPem`] when there is no block or one is damaged, [`Error::TooLarge`].
pub fn certificates(text: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let mut found = Vec::new();
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    while let Some(line) = lines.next() {
        if !LABELS.iter().any(|label| is_boundary(line, b"BEGIN ", label)) {
            continue;
        }
        let mut encoded = Vec::new();
        loop {
            let line = lines.next().ok_or(Error::NotPem)?;
            if LABELS.iter().any(|label| is_boundary(line, b"END ", label)) {
                break;
            }
            encoded.extend_from_slice(line);
            if encoded.len() > MAX_CERTIFICATE * 2 {
                return Err(Error::TooLarge);
            }
        }
        found.push(STANDARD.decode(&encoded).map_err(|_| Error::NotPem)?);
        if found.len() == MAX_CERTIFICATES {
            break;
        }
    }
    if found.is_empty() { Err(Error::NotPem) } else { Ok(found) }
}

fn is_boundary(line: &[u8], word: &[u8], label: &[u8]) -> bool {
    line.strip_prefix(b"-----")
        .and_then(|line| line.strip_suffix(b"-----"))
        .and_then(|line| line.strip_prefix(word))
        .is_some_and(|found| found == label)
}
