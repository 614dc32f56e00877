//! Which services an account may use, and from which networks.
//!
//! Used in the checker and in the operator's tools. The lists come from a database that other programs may write:
//! a list that cannot be read is an error, never "everything".

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use credentials::Reason;

use crate::error::Refusal;

/// How many entries a list may have, and how many bytes its text: a lookup reads all of it.
const MAX_ENTRIES: usize = 256;
const MAX_BYTES: usize = 16 * 1024;

/// The limits of one account apart from its password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// Which services it may use.
    pub services: ServiceList,
    /// Which networks it may come from.
    pub networks: NetworkList,
}

impl Restrictions {
    /// Whether the account may use `service` from `source`.
    ///
    /// An account that is bound to networks is refused when nobody knows the address (`None`).
    ///
    /// # Errors
    /// [`Reason::ServiceNotAllowed`] or [`Reason::NetworkNotAllowed`].
    pub fn admit(&self, service: &[u8], source: Option<IpAddr>) -> Result<(), Reason> {
        if !self.services.contains(service) {
            return Err(Reason::ServiceNotAllowed);
        }
        let near = match source {
            Some(address) => self.networks.contains(address),
            None => self.networks.is_any(),
        };
        if near { Ok(()) } else { Err(Reason::NetworkNotAllowed) }
    }
}

/// Names of services, compared byte by byte; or any service.
///
/// As text: words with spaces or commas between. No words at all allow nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceList(Option<Vec<Box<str>>>);

impl ServiceList {
    /// Every service.
    pub const ANY: Self = Self(None);

    /// Whether `service` is allowed.
    pub fn contains(&self, service: &[u8]) -> bool {
        self.0.as_ref().is_none_or(|list| list.iter().any(|allowed| allowed.as_bytes() == service))
    }

    /// Whether there is no limit.
    pub fn is_any(&self) -> bool {
        self.0.is_none()
    }

    /// The text as it is stored; `None` when there is no limit.
    pub fn to_text(&self) -> Option<String> {
        self.0.as_ref().map(|list| list.join(" "))
    }
}

impl FromStr for ServiceList {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let mut list = Vec::new();
        for word in words(text).map_err(Refusal::InvalidService)? {
            if word.chars().any(char::is_control) {
                return Err(Refusal::InvalidService("a name contains a control character"));
            }
            list.push(word.into());
        }
        Ok(Self(Some(list)))
    }
}

/// Networks an account may come from; or any.
///
/// As text: CIDR blocks or single addresses with spaces or commas between. No entry at all allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkList(Option<Vec<Network>>);

impl NetworkList {
    /// Every network.
    pub const ANY: Self = Self(None);

    /// Whether `address` lies in one of the networks. An IPv4 address inside IPv6 (`::ffff:192.0.2.1`) counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.as_ref().is_none_or(|list| list.iter().any(|network| network.contains(address)))
    }

    /// Whether there is no limit.
    pub fn is_any(&self) -> bool {
        self.0.is_none()
    }

    /// The text as it is stored; `None` when there is no limit.
    pub fn to_text(&self) -> Option<String> {
        self.0
            .as_ref()
            .map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }
}

impl FromStr for NetworkList {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let words = words(text).map_err(Refusal::InvalidNetwork)?;
        words
            .into_iter()
            .map(Network::from_str)
            .collect::<Result<_, _>>()
            .map(|list| Self(Some(list)))
    }
}

/// One block of addresses, IPv4 or IPv6, without host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// Whether `address` lies in this block.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(block), IpAddr::V4(address)) => {
                (block.to_bits() ^ address.to_bits()).leading_zeros() >= self.prefix
            }
            (IpAddr::V6(block), IpAddr::V6(address)) => {
                (block.to_bits() ^ address.to_bits()).leading_zeros() >= self.prefix
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| Refusal::InvalidNetwork("an entry is no address and no CIDR block"))?;
        if address != address.to_canonical() {
            return Err(Refusal::InvalidNetwork("an IPv4 network is written as IPv4"));
        }
        let (width, trailing) = match address {
            IpAddr::V4(block) => (32, block.to_bits().trailing_zeros()),
            IpAddr::V6(block) => (128, block.to_bits().trailing_zeros()),
        };
        let prefix = match prefix {
            Some(digits) => prefix_length(digits)?,
            None => width,
        };
        if prefix > width {
            return Err(Refusal::InvalidNetwork("a prefix is longer than its address"));
        }
        // `192.0.2.77/24` is a slip more often than a wish, and one may not guess which half is meant.
        if trailing < width - prefix {
            return Err(Refusal::InvalidNetwork("a block has bits set after its prefix"));
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn prefix_length(digits: &str) -> Result<u32, Refusal> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .parse()
        .ok()
        .filter(|_| plain)
        .ok_or(Refusal::InvalidNetwork("a prefix is no decimal number"))
}

fn words(text: &str) -> Result<Vec<&str>, &'static str> {
    if text.len() > MAX_BYTES {
        return Err("it is longer than 16384 bytes");
    }
    let list: Vec<&str> = text
        .split(|character: char| character == ',' || character.is_ascii_whitespace())
        .filter(|word| !word.is_empty())
        .collect();
    if list.len() > MAX_ENTRIES {
        return Err("it has more than 256 entries");
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn no_list_allows_all_and_an_empty_list_allows_nothing() {
        assert!(ServiceList::ANY.contains(b"smtp"));
        assert!(NetworkList::ANY.contains(address("192.0.2.1")));
        assert!(!ServiceList::from_str("").unwrap().contains(b"smtp"));
        assert!(!NetworkList::from_str(" ").unwrap().contains(address("192.0.2.1")));
        assert!(!ServiceList::from_str("").unwrap().contains(b""));
    }

    #[test]
    fn services_are_whole_words() {
        let list = ServiceList::from_str("smtp, imap\tsieve").unwrap();
        assert!(list.contains(b"imap"));
        assert!(!list.contains(b"IMAP"));
        assert!(!list.contains(b"ima"));
        assert!(!list.contains(b"smtp imap"));
        assert_eq!(list.to_text().as_deref(), Some("smtp imap sieve"));
    }

    #[test]
    fn networks_contain_their_addresses_only() {
        let list = NetworkList::from_str("192.0.2.0/24 2001:db8::/32,198.51.100.7").unwrap();
        for inside in
            ["192.0.2.0", "192.0.2.255", "::ffff:192.0.2.9", "2001:db8::1", "198.51.100.7"]
        {
            assert!(list.contains(address(inside)), "{inside}");
        }
        for outside in ["192.0.3.0", "2001:db9::1", "198.51.100.6", "::192.0.2.1", "::1"] {
            assert!(!list.contains(address(outside)), "{outside}");
        }
    }

    #[test]
    fn a_block_for_everyone_is_one_family() {
        let four = NetworkList::from_str("0.0.0.0/0").unwrap();
        assert!(four.contains(address("203.0.113.1")) && !four.contains(address("2001:db8::1")));
        let six = NetworkList::from_str("::/0").unwrap();
        assert!(
            six.contains(address("2001:db8::1")) && !six.contains(address("::ffff:203.0.113.1"))
        );
    }

    #[test]
    fn slips_are_errors() {
        for text in [
            "192.0.2.1/24",
            "192.0.2.0/33",
            "2001:db8::/129",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "192.0.2",
            "example.org",
            "::ffff:192.0.2.0/120",
            "192.0.2.0/24/8",
        ] {
            assert!(NetworkList::from_str(text).is_err(), "{text}");
        }
        assert!(NetworkList::from_str(&"192.0.2.1 ".repeat(257)).is_err());
        assert!(ServiceList::from_str(&"x".repeat(20_000)).is_err());
    }

    #[test]
    fn an_unknown_source_meets_no_network_but_any() {
        let mut limits = Restrictions::default();
        assert_eq!(limits.admit(b"smtp", None), Ok(()));
        limits.networks = "0.0.0.0/0 ::/0".parse().unwrap();
        assert_eq!(limits.admit(b"smtp", None), Err(Reason::NetworkNotAllowed));
        assert_eq!(limits.admit(b"smtp", Some(address("192.0.2.1"))), Ok(()));
        limits.services = "imap".parse().unwrap();
        assert_eq!(
            limits.admit(b"smtp", Some(address("192.0.2.1"))),
            Err(Reason::ServiceNotAllowed)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_is_written_is_read_again(bits: u128, prefix in 0u32..=128, four: bool) {
            let text = if four {
                let prefix = prefix.min(32);
                let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
                format!("{}/{prefix}", std::net::Ipv4Addr::from_bits(bits as u32 & mask))
            } else {
                let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
                format!("{}/{prefix}", std::net::Ipv6Addr::from_bits(bits & mask))
            };
            if let Ok(list) = NetworkList::from_str(&text) {
                let again = NetworkList::from_str(&list.to_text().unwrap()).unwrap();
                prop_assert_eq!(list, again);
            }
        }

        #[test]
        fn any_text_is_a_list_or_an_error(text in ".{0,80}") {
            let _ = NetworkList::from_str(&text);
            let _ = ServiceList::from_str(&text);
        }
    }
}
