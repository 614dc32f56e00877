//! The arithmetic of DIGEST-MD5 with `qop=auth` and `algorithm=md5-sess` (RFC 2831 §2.1.2.1).
//!
//! Runs in the checker. Nothing here decides anything.

use std::borrow::Cow;

use zeroize::Zeroizing;

use crate::digests::Function;

/// The first use of a nonce; there is no other, since nobody is let in again by an old one.
const FIRST: &[u8] = b"00000001";

/// What the client's response says, apart from the response-value; every field with its quotes and escapes resolved.
pub struct DigestResponse<'a> {
    /// As it was sent.
    pub username: &'a [u8],
    /// As it was sent; empty when it was not.
    pub realm: &'a [u8],
    /// The server's.
    pub nonce: &'a [u8],
    /// The client's.
    pub cnonce: &'a [u8],
    /// `serv-type/host`, or `serv-type/host/serv-name`.
    pub digest_uri: &'a [u8],
    /// Whom the client wants to be.
    pub authzid: Option<&'a [u8]>,
}

impl DigestResponse<'_> {
    /// `H(username:realm:password)` in each spelling that clients use: RFC 2831 asks for ISO 8859-1 where all characters
    /// of a part are in it and for UTF-8 otherwise, and GNU SASL, for one, does that to the password alone. Whether the
    /// client said `charset=utf-8` tells nothing: libsasl2 sends UTF-8 and never says so.
    pub(super) fn secrets(&self, password: &[u8]) -> [Zeroizing<Vec<u8>>; 4] {
        let (username, realm) = (latin1(self.username), latin1(self.realm));
        // The store's own spelling is UTF-8 whatever the client's is.
        let converted = Zeroizing::new(latin1(password).into_owned());
        let secret = |username: &[u8], realm: &[u8], password: &[u8]| {
            Function::Md5.digest(&[username, b":", realm, b":", password])
        };
        [
            secret(self.username, self.realm, password),
            secret(self.username, self.realm, &converted),
            secret(&username, &realm, password),
            secret(&username, &realm, &converted),
        ]
    }

    /// The response-value for a secret, in its 16 bytes; `method` is `AUTHENTICATE:` for the client's and `:` for `rspauth`.
    pub(super) fn response(&self, secret: &[u8], method: &[u8]) -> Zeroizing<Vec<u8>> {
        let authzid = self.authzid.unwrap_or_default();
        let colon: &[u8] = if self.authzid.is_some() { b":" } else { b"" };
        let a1 = [secret, b":", self.nonce, b":", self.cnonce, colon, authzid];
        let a1 = hex(&Function::Md5.digest(&a1));
        let a2 = hex(&Function::Md5.digest(&[method, self.digest_uri]));
        let rest =
            [b":".as_slice(), self.nonce, b":", FIRST, b":", self.cnonce, b":auth:"].concat();
        Function::Md5.digest(&[&a1, &rest, &a2])
    }
}

fn hex(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).map_or(b'0', |c| c as u8);
    Zeroizing::new(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
}

/// The text in ISO 8859-1 where it is UTF-8 and all its characters are in that; otherwise as it is.
fn latin1(bytes: &[u8]) -> Cow<'_, [u8]> {
    let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| !text.is_ascii()) else {
        return Cow::Borrowed(bytes);
    };
    match text.chars().map(|c| u8::try_from(u32::from(c))).collect() {
        Ok(latin1) => Cow::Owned(latin1),
        Err(_) => Cow::Borrowed(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin_1_where_all_of_it_is() {
        assert_eq!(latin1("caf\u{e9}".as_bytes()), b"caf\xe9".as_slice());
        assert_eq!(latin1("иван".as_bytes()), "иван".as_bytes());
        assert_eq!(latin1(b"caf\xe9"), b"caf\xe9".as_slice());
        assert_eq!(latin1(b"plain"), b"plain".as_slice());
    }
}
