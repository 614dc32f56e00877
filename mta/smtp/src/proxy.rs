//! The PROXY protocol of HAProxy (proxy-protocol.txt, versions 1 and 2): whose connection a wrapper passes on.
//!
//! Runs in the receiver of the mta, and only for peers that the config names: from anybody else these bytes are junk.
//! Even those are not trusted with lengths. The additional fields of version 2 are skipped unread, so that nothing in
//! them can be misread (CVE-2023-42117).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header of version 1 with its CR LF.
pub const MAX_V1: usize = 107;
/// Longest header of version 2: more additional fields than this are refused.
pub const MAX_V2: usize = 16 + 2048;

/// Begins a header of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Begins a header of version 1.
const WORD: &[u8; 6] = b"PROXY ";

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The proxy's own, as in its health checks, or it doesn't know: its socket's address counts.
    Proxy,
    /// A client's. IPv4 addresses written as IPv6 ones are IPv4 addresses.
    Client {
        /// The client.
        from: SocketAddr,
        /// Where it connected to.
        to: SocketAddr,
    },
}

/// Why bytes are no header. The connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// Neither version begins so.
    NoHeader,
    /// More than a header may have.
    TooLong,
    /// A line of version 1 that isn't one.
    Line,
    /// An address or port that isn't one, or of another family than it was said to be.
    Address,
    /// A version, command, family or transport that isn't known.
    Unknown,
    /// Version 2 states fewer bytes than its addresses take.
    TooShort,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHeader => "there is no PROXY header",
            Self::TooLong => "the PROXY header is too long",
            Self::Line => "the PROXY line is malformed",
            Self::Address => "the PROXY header has a malformed address",
            Self::Unknown => "the PROXY header is of an unknown kind",
            Self::TooShort => "the PROXY header is too short for its addresses",
        })
    }
}

impl std::error::Error for Malformed {}

/// Reads the header at the beginning of what was received: whose connection it is, and how many bytes that took.
/// `None` until more arrived; at most [`MAX_V2`] bytes are needed.
///
/// # Errors
/// [`Malformed`].
pub fn decode(received: &[u8]) -> Result<Option<(Source, usize)>, Malformed> {
    let begins = |with: &[u8]| {
        let length = with.len().min(received.len());
        received.get(..length) == with.get(..length)
    };
    if begins(WORD) {
        return version_1(received);
    }
    if begins(SIGNATURE) {
        return version_2(received);
    }
    Err(Malformed::NoHeader)
}

fn version_1(received: &[u8]) -> Result<Option<(Source, usize)>, Malformed> {
    let window = received.get(..MAX_V1).unwrap_or(received);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if window.len() < MAX_V1 { Ok(None) } else { Err(Malformed::TooLong) };
    };
    let line = window.get(WORD.len()..end).and_then(|line| str::from_utf8(line).ok());
    let words: Vec<&str> = line.ok_or(Malformed::Line)?.split(' ').collect();
    let source = match *words.as_slice() {
        ["UNKNOWN", ..] => Source::Proxy,
        ["TCP4", from, to, from_port, to_port] => Source::Client {
            from: SocketAddr::new(ip::<Ipv4Addr>(from)?, port(from_port)?),
            to: SocketAddr::new(ip::<Ipv4Addr>(to)?, port(to_port)?),
        },
        ["TCP6", from, to, from_port, to_port] => Source::Client {
            from: SocketAddr::new(ip::<Ipv6Addr>(from)?, port(from_port)?),
            to: SocketAddr::new(ip::<Ipv6Addr>(to)?, port(to_port)?),
        },
        _ => return Err(Malformed::Line),
    };
    Ok(Some((source, end + 2)))
}

fn ip<A: std::str::FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, Malformed> {
    let address: A = text.parse().map_err(|_| Malformed::Address)?;
    Ok(address.into().to_canonical())
}

/// Digits without a leading zero.
fn port(text: &str) -> Result<u16, Malformed> {
    let plain =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(Malformed::Address)
}

fn version_2(received: &[u8]) -> Result<Option<(Source, usize)>, Malformed> {
    let Some((head, rest)) = received.split_first_chunk::<16>() else { return Ok(None) };
    let [.., command, family, high, low] = *head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if 16 + length > MAX_V2 {
        return Err(Malformed::TooLong);
    }
    let Some(block) = rest.get(..length) else { return Ok(None) };
    let source = match (command, family) {
        // LOCAL: whatever stands behind it means nothing.
        (0x20, _) => Source::Proxy,
        (0x21, 0x00) => Source::Proxy,
        (0x21, 0x11) => addresses::<4, 12>(block, |octets| Ipv4Addr::from(octets).into())?,
        (0x21, 0x21) => addresses::<16, 36>(block, |octets| Ipv6Addr::from(octets).into())?,
        _ => return Err(Malformed::Unknown),
    };
    Ok(Some((source, 16 + length)))
}

/// Two addresses of `N` bytes and two ports, `ALL` bytes together.
fn addresses<const N: usize, const ALL: usize>(
    block: &[u8],
    ip: impl Fn([u8; N]) -> IpAddr,
) -> Result<Source, Malformed> {
    let mut rest = block.get(..ALL).ok_or(Malformed::TooShort)?;
    let (from, to) = (take::<N>(&mut rest)?, take::<N>(&mut rest)?);
    let (from_port, to_port) = (take::<2>(&mut rest)?, take::<2>(&mut rest)?);
    let socket =
        |address, port| SocketAddr::new(ip(address).to_canonical(), u16::from_be_bytes(port));
    Ok(Source::Client { from: socket(from, from_port), to: socket(to, to_port) })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (first, after) = rest.split_first_chunk::<N>().ok_or(Malformed::TooShort)?;
    *rest = after;
    Ok(*first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(from: &str, to: &str) -> Source {
        Source::Client { from: from.parse().unwrap(), to: to.parse().unwrap() }
    }

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, block].concat()
    }

    /// Decodes with something behind it, and checks that nothing less is enough.
    fn whole(header: &[u8]) -> Result<Source, Malformed> {
        for cut in 0..header.len() {
            assert_eq!(decode(&header[..cut]), Ok(None), "{cut} bytes of {header:?}");
        }
        let (source, used) = decode(&[header, b"EHLO x\r\n"].concat())?.expect("it is all there");
        assert_eq!(used, header.len());
        Ok(source)
    }

    #[test]
    fn version_1_is_a_line() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\n";
        assert_eq!(whole(line), Ok(client("192.0.2.1:56324", "198.51.100.2:25")));
        let line = b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 1 2\r\n";
        assert_eq!(whole(line), Ok(client("[2001:db8::1]:1", "192.0.2.1:2")));
        assert_eq!(whole(b"PROXY UNKNOWN\r\n"), Ok(Source::Proxy));
        assert_eq!(whole(b"PROXY UNKNOWN ffff::1 x\r\n"), Ok(Source::Proxy));
    }

    #[test]
    fn version_2_is_counted() {
        let block = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 4, 0, 25];
        let expected = client("192.0.2.1:56324", "198.51.100.2:25");
        assert_eq!(whole(&v2(0x21, 0x11, &block)), Ok(expected));
        let more = [&block[..], &[0x20, 0xff, 0xff, 1]].concat();
        assert_eq!(
            whole(&v2(0x21, 0x11, &more)),
            Ok(expected),
            "further fields are skipped unread"
        );
        let mut six = [0u8; 36];
        six[10..16].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 1]);
        six[31] = 1;
        six[33] = 7;
        assert_eq!(whole(&v2(0x21, 0x21, &six)), Ok(client("192.0.2.1:7", "[::1]:0")));
        assert_eq!(whole(&v2(0x20, 0x00, b"")), Ok(Source::Proxy));
        assert_eq!(whole(&v2(0x20, 0x11, &block)), Ok(Source::Proxy));
    }

    #[test]
    fn what_is_no_header_ends_the_connection() {
        let cases: [(&[u8], Malformed); 15] = [
            (b"EHLO x\r\n", Malformed::NoHeader),
            (b"PROXX", Malformed::NoHeader),
            (b"\r\n\r\n\0\r\nQUIX", Malformed::NoHeader),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", Malformed::Line),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", Malformed::Line),
            (b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", Malformed::Line),
            (b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", Malformed::Line),
            (b"PROXY \xff\r\n", Malformed::Line),
            (b"PROXY TCP4 ::1 1.2.3.4 1 2\r\n", Malformed::Address),
            (b"PROXY TCP6 1.2.3.4 ::1 1 2\r\n", Malformed::Address),
            (b"PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n", Malformed::Address),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", Malformed::Address),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", Malformed::Address),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", Malformed::Address),
            (&[b"PROXY UNKNOWN "[..].as_ref(), &[b'x'; 100]].concat(), Malformed::TooLong),
        ];
        for (bytes, expected) in cases {
            assert_eq!(decode(bytes), Err(expected), "{:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(decode(&v2(0x21, 0x11, &[0; 11])), Err(Malformed::TooShort));
        assert_eq!(decode(&v2(0x21, 0x21, &[0; 35])), Err(Malformed::TooShort));
        assert_eq!(decode(&v2(0x21, 0x31, &[0; 216])), Err(Malformed::Unknown), "a Unix socket");
        assert_eq!(decode(&v2(0x21, 0x12, &[0; 12])), Err(Malformed::Unknown), "UDP");
        assert_eq!(decode(&v2(0x31, 0x11, &[0; 12])), Err(Malformed::Unknown), "version 3");
        assert_eq!(decode(&v2(0x22, 0x11, &[0; 12])), Err(Malformed::Unknown));
        assert_eq!(decode(&v2(0x21, 0x11, &[0; 2049])), Err(Malformed::TooLong));
    }

    proptest! {
        #[test]
        fn anything_is_a_header_or_not_and_takes_no_more_than_there_is(
            start in 0usize..3, bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let begin: &[u8] = [&b""[..], WORD, SIGNATURE][start];
            let all = [begin, &bytes].concat();
            if let Ok(Some((_, used))) = decode(&all) {
                prop_assert!(used <= all.len());
            }
        }
    }
}
