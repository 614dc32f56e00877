//! The pwcheck protocol, the ancestor of saslauthd's: `user NUL password NUL`, answered by bare text and EOF.
//!
//! Shapes: cyrus-sasl `pwcheck/pwcheck.c` and `lib/checkpw.c` of the 2.0 releases. The original answered as
//! soon as a read ended in NUL, took what lay in its buffer for the password, and so accepted a name alone:
//! both NULs are awaited here.

use zeroize::Zeroizing;

use crate::{Name, Password, Rejected};

/// The longest request, in bytes: pwcheck's buffer was 1024 and had to stay under it.
pub const MAX_REQUEST: usize = 1023;
/// The reply to an accepted login, followed by EOF.
pub const OK: &[u8] = b"OK";
/// The reply to every refused login, followed by EOF.
pub const NO: &[u8] = b"NO";

/// One login to check; the protocol knows no service and no realm.
pub struct Request {
    /// Who says so; never empty.
    pub login: Name,
    /// With what password.
    pub password: Password,
}

/// What the bytes so far amount to.
pub enum Decoded {
    /// More bytes are needed.
    Incomplete,
    /// A whole request.
    Request(Box<Request>),
    /// A request that can only be answered `NO`.
    Refused(Rejected),
}

/// Reads a request from the bytes that have arrived so far. Bytes behind the second NUL refuse it.
pub fn decode(received: &[u8]) -> Decoded {
    if received.len() > MAX_REQUEST {
        return Decoded::Refused(Rejected::TooLong);
    }
    let mut parts = received.splitn(3, |byte| *byte == 0);
    let (Some(login), Some(password), Some(rest)) = (parts.next(), parts.next(), parts.next())
    else {
        return Decoded::Incomplete;
    };
    if !rest.is_empty() {
        return Decoded::Refused(Rejected::Nul);
    }
    match whole(login, password) {
        Ok(request) => Decoded::Request(Box::new(request)),
        Err(why) => Decoded::Refused(why),
    }
}

fn whole(login: &[u8], password: &[u8]) -> Result<Request, Rejected> {
    if login.is_empty() {
        return Err(Rejected::Empty);
    }
    Ok(Request { login: Name::new(login)?, password: Password::new(password)? })
}

/// Writes a request as libsasl2 did; fails when it would exceed [`MAX_REQUEST`].
pub fn encode(request: &Request) -> Result<Zeroizing<Vec<u8>>, Rejected> {
    let (login, password) = (request.login.as_bytes(), request.password.reveal());
    let length = login.len() + password.len() + 2;
    if length > MAX_REQUEST {
        return Err(Rejected::TooLong);
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    bytes.extend_from_slice(login);
    bytes.push(0);
    bytes.extend_from_slice(password);
    bytes.push(0);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_nuls_are_awaited() {
        let whole = b"alice\0secret1\0";
        for end in 0..whole.len() {
            assert!(matches!(decode(&whole[..end]), Decoded::Incomplete));
        }
        let Decoded::Request(request) = decode(whole) else { panic!("not a request") };
        assert_eq!(request.login.as_bytes(), b"alice");
        assert_eq!(request.password.reveal(), b"secret1");
    }

    #[test]
    fn too_much_too_long_and_empty_are_refused() {
        assert!(matches!(decode(b"alice\0secret1\0x"), Decoded::Refused(Rejected::Nul)));
        assert!(matches!(decode(&[b'a'; MAX_REQUEST + 1]), Decoded::Refused(Rejected::TooLong)));
        assert!(matches!(decode(b"\0secret1\0"), Decoded::Refused(Rejected::Empty)));
        assert!(matches!(decode(b"alice\0\0"), Decoded::Refused(Rejected::Empty)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1100)) {
            let _ = decode(&bytes);
        }
    }
}
