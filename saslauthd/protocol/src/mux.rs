//! The saslauthd `mux` protocol: counted strings over a Unix stream socket, one request per connection.
//!
//! Request: `u16be length, bytes` for login, password, service, realm; cyrus-sasl's development branch adds
//! the client's address (`ip;port`). Reply: `u16be length`, then text that begins `OK` or `NO`.
//! Shapes: cyrus-sasl `saslauthd/ipc_unix.c` and `lib/checkpw.c`; README.ipc of the same.
//!
//! The two generations can't be told apart by a version, and a 4-field client waits for ever for its answer,
//! so the fifth field is taken when its bytes are already there and never waited for.

use zeroize::Zeroizing;

use crate::{Address, Name, Password, Rejected};

/// The reply to an accepted login.
pub const OK: &[u8] = b"\x00\x02OK";
/// The reply to every refused login, whatever the reason: always the same bytes.
pub const NO: &[u8] = b"\x00\x02NO";

/// The longest of each field, in bytes. Over it the answer is `NO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldLimits {
    /// Login; Cyrus: 256.
    pub login: usize,
    /// Password; Cyrus: 256.
    pub password: usize,
    /// Service; Cyrus: 256.
    pub service: usize,
    /// Realm; Cyrus: 256.
    pub realm: usize,
}

impl Default for FieldLimits {
    fn default() -> Self {
        Self { login: Name::MAX, password: Password::MAX, service: Name::MAX, realm: Name::MAX }
    }
}

impl FieldLimits {
    /// The most bytes that a request of four fields can have.
    pub fn request(&self) -> usize {
        8 + self.login + self.password + self.service + self.realm
    }
}

/// One login to check.
pub struct Request {
    /// Who says so; never empty.
    pub login: Name,
    /// With what password.
    pub password: Password,
    /// For which service (`smtp`, `imap`); may be empty.
    pub service: Name,
    /// In which realm; may be empty.
    pub realm: Name,
    /// From where, when the server says so.
    pub address: Option<Address>,
}

/// Which field of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The first.
    Login,
    /// The second.
    Password,
    /// The third.
    Service,
    /// The fourth.
    Realm,
}

/// What the bytes so far amount to.
pub enum Decoded {
    /// More bytes are needed.
    Incomplete,
    /// A whole request.
    Request(Box<Request>),
    /// A request that can only be answered `NO`.
    Refused(Field, Rejected),
}

/// Reads a request from the bytes that have arrived so far.
///
/// A length over its limit refuses at once, without waiting for the bytes. What follows the fourth field
/// and is not a well-formed fifth one is ignored, as Cyrus 2.1.28 does.
pub fn decode(received: &[u8], limits: &FieldLimits) -> Decoded {
    match fields(received, limits) {
        Ok(request) => Decoded::Request(Box::new(request)),
        Err(Stop::Incomplete) => Decoded::Incomplete,
        Err(Stop::Refused(field, why)) => Decoded::Refused(field, why),
    }
}

enum Stop {
    Incomplete,
    Refused(Field, Rejected),
}

fn fields(received: &[u8], limits: &FieldLimits) -> Result<Request, Stop> {
    let (login, rest) = counted(received, limits.login, Field::Login)?;
    let (password, rest) = counted(rest, limits.password, Field::Password)?;
    let (service, rest) = counted(rest, limits.service, Field::Service)?;
    let (realm, rest) = counted(rest, limits.realm, Field::Realm)?;
    let refused = |field| move |why| Stop::Refused(field, why);
    if login.is_empty() {
        return Err(Stop::Refused(Field::Login, Rejected::Empty));
    }
    Ok(Request {
        login: Name::new(login).map_err(refused(Field::Login))?,
        password: Password::new(password).map_err(refused(Field::Password))?,
        service: Name::new(service).map_err(refused(Field::Service))?,
        realm: Name::new(realm).map_err(refused(Field::Realm))?,
        address: split_counted(rest).and_then(|(field, _)| Address::parse(field)),
    })
}

fn counted(bytes: &[u8], limit: usize, field: Field) -> Result<(&[u8], &[u8]), Stop> {
    let length = bytes.first_chunk().map(|prefix| usize::from(u16::from_be_bytes(*prefix)));
    if length.is_some_and(|length| length > limit) {
        return Err(Stop::Refused(field, Rejected::TooLong));
    }
    split_counted(bytes).ok_or(Stop::Incomplete)
}

fn split_counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (prefix, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*prefix)))
}

/// Writes a request as libsasl2 does; with an address as its development branch does.
///
/// Fails when a field is longer than the protocol's 65,535 bytes.
pub fn encode(request: &Request) -> Result<Zeroizing<Vec<u8>>, Rejected> {
    let Request { login, password, service, realm, address } = request;
    let fields = [login.as_bytes(), password.reveal(), service.as_bytes(), realm.as_bytes()];
    encode_fields(fields, *address)
}

/// The same of any bytes, for a program that tries out what a daemon makes of them: login, password, service, realm.
///
/// # Errors
/// [`Rejected::TooLong`] when a field is longer than the protocol's 65,535 bytes.
pub fn encode_fields(
    fields: [&[u8]; 4],
    address: Option<Address>,
) -> Result<Zeroizing<Vec<u8>>, Rejected> {
    let address = address.map(|address| address.to_string());
    let mut bytes =
        Zeroizing::new(Vec::with_capacity(fields.iter().map(|f| f.len() + 2).sum::<usize>() + 64));
    for field in fields.into_iter().chain(address.as_ref().map(String::as_bytes)) {
        let length = u16::try_from(field.len()).map_err(|_| Rejected::TooLong)?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(field);
    }
    Ok(bytes)
}

/// What a daemon's reply means to libsasl2 2.1.28: the first two bytes of the text decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The text begins `OK`.
    Ok,
    /// Any other text of two bytes or more.
    No,
}

/// Reads a reply; `None` while bytes are missing, and for a text under two bytes, which is no reply.
pub fn decode_reply(received: &[u8]) -> Option<Reply> {
    let (text, _) = split_counted(received)?;
    match text.get(..2)? {
        b"OK" => Some(Reply::Ok),
        _ => Some(Reply::No),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(bytes: &[u8]) -> Option<Box<Request>> {
        match decode(bytes, &FieldLimits::default()) {
            Decoded::Request(request) => Some(request),
            Decoded::Incomplete | Decoded::Refused(..) => None,
        }
    }

    /// Sent by libsasl2 2.1.28 (Debian 12) for alice, secret1, smtp, no realm.
    const LIBSASL2: &[u8] = b"\x00\x05alice\x00\x07secret1\x00\x04smtp\x00\x00";

    #[test]
    fn golden_request_of_libsasl2() {
        let request = request(LIBSASL2).unwrap();
        assert_eq!(request.login.as_bytes(), b"alice");
        assert_eq!(request.password.reveal(), b"secret1");
        assert_eq!(request.service.as_bytes(), b"smtp");
        assert!(request.realm.is_empty());
        assert_eq!(request.address, None);
    }

    #[test]
    fn every_split_of_a_request_waits_for_the_rest() {
        for end in 0..LIBSASL2.len() {
            assert!(matches!(
                decode(&LIBSASL2[..end], &FieldLimits::default()),
                Decoded::Incomplete
            ));
        }
    }

    #[test]
    fn a_fifth_field_counts_when_whole_and_is_ignored_otherwise() {
        let mut five = LIBSASL2.to_vec();
        five.extend_from_slice(b"\x00\x0e192.0.2.7;4242");
        assert_eq!(request(&five).unwrap().address, Address::parse(b"192.0.2.7;4242"));
        for end in LIBSASL2.len()..five.len() {
            assert_eq!(request(&five[..end]).unwrap().address, None);
        }
    }

    #[test]
    fn over_the_limit_is_refused_at_the_length() {
        let cyrus = FieldLimits { login: 256, password: 256, service: 256, realm: 256 };
        let Decoded::Refused(field, why) = decode(b"\x01\x01", &cyrus) else {
            panic!("not refused")
        };
        assert_eq!((field, why), (Field::Login, Rejected::TooLong));
        assert!(matches!(decode(b"\x01\x00", &cyrus), Decoded::Incomplete));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, &FieldLimits::default());
            let _ = decode_reply(&bytes);
        }

        #[test]
        fn decode_inverts_encode(
            login in "[^\\x00\\r\\n]{1,40}", password in "[^\\x00]{1,40}",
            service in "[a-z]{0,9}", realm in "[^\\x00\\r\\n]{0,40}", port in any::<Option<u16>>(),
        ) {
            let address = Some(Address { ip: "2001:db8::7".parse().unwrap(), port });
            let sent = Request {
                login: Name::new(login.as_bytes()).unwrap(),
                password: Password::new(password.as_bytes()).unwrap(),
                service: Name::new(service.as_bytes()).unwrap(),
                realm: Name::new(realm.as_bytes()).unwrap(),
                address,
            };
            let got = request(&encode(&sent).unwrap()).unwrap();
            prop_assert_eq!(got.login, sent.login);
            prop_assert_eq!(got.password.reveal(), sent.password.reveal());
            prop_assert_eq!(got.service, sent.service);
            prop_assert_eq!(got.realm, sent.realm);
            prop_assert_eq!(got.address, sent.address);
        }
    }
}
