//! The address of a mail client as a mail server states it, in libsasl2's `ip;port` form.

use std::fmt;
use std::net::IpAddr;

/// Where a mail client connects from, as its server says. A claim: it counts only from a peer that is
/// allowed to state addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The address; an IPv4 address mapped into IPv6 is kept as IPv4.
    pub ip: IpAddr,
    /// The port, where it was given.
    pub port: Option<u16>,
}

impl Address {
    /// Reads `192.0.2.7;4242`, `2001:db8::1;25` or the address alone.
    ///
    /// Empty, `unknown;unknown` (Zimbra's word for none) and anything that isn't an address are absent: a
    /// server that states nonsense must not be able to break logins by it.
    pub fn parse(field: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(field).ok()?;
        let (ip, port) = match text.split_once(';') {
            Some((ip, port)) => (ip, Some(port)),
            None => (text, None),
        };
        let ip = canonical(ip.parse().ok()?);
        let port = match port {
            None | Some("" | "unknown") => None,
            Some(port) => Some(port.parse().ok()?),
        };
        Some(Self { ip, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{};{port}", self.ip),
            None => write!(f, "{}", self.ip),
        }
    }
}

/// One spelling for one address, so that a mapped address shares the limits of the plain one.
fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_servers_send() {
        let v4: IpAddr = "192.0.2.7".parse().unwrap();
        assert_eq!(Address::parse(b"192.0.2.7;4242"), Some(Address { ip: v4, port: Some(4242) }));
        assert_eq!(Address::parse(b"192.0.2.7"), Some(Address { ip: v4, port: None }));
        assert_eq!(Address::parse(b"::ffff:192.0.2.7;1"), Some(Address { ip: v4, port: Some(1) }));
        assert!(Address::parse(b"2001:db8::1;25").is_some());
        for absent in
            [&b""[..], b"unknown;unknown", b"x;1", b"192.0.2.7;x", b"\xff", b"1.2.3.4.5;1"]
        {
            assert_eq!(Address::parse(absent), None);
        }
    }
}
