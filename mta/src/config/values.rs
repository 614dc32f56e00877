//! The kinds of values that only this configuration has: names of hosts and domains, addresses with ports.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use settings::complaint::Complaints;
use settings::setting::{Setting, mismatch};
use settings::toml::Spanned;
use settings::toml::de::DeValue;
use settings::values::Whole;
use smtp::address::Domain;

/// Reads a string, or complains of what was found.
fn read<T: Setting>(
    value: &Spanned<DeValue<'_>>,
    complaints: &mut Complaints,
    take: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let Some(text) = value.get_ref().as_str() else { return mismatch(value, complaints) };
    let taken = take(text);
    if taken.is_none() {
        let message = format!("expected {}, found \"{}\"", T::expected(), text.escape_debug());
        complaints.add(Some(value.span()), message);
    }
    taken
}

/// The name of a host or a domain, in lower case; no address literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub String);

impl Name {
    fn new(text: &str) -> Option<Self> {
        let sound = text.is_ascii() && !text.starts_with('[') && Domain::parse(text).is_ok();
        sound.then(|| Self(text.to_ascii_lowercase()))
    }
}

impl Setting for Name {
    fn expected() -> String {
        "a name such as \"mail.example.org\" (a name in other letters in its xn-- form)".into()
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        read(value, complaints, Self::new)
    }

    fn show(&self) -> Option<String> {
        Some(format!("\"{}\"", self.0))
    }

    fn example() -> &'static str {
        "\"mail.example.org\""
    }
}

/// Which recipients a route is for, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// `*`
    Everybody,
    /// `local`
    Local,
    /// `example.org`
    Domain(String),
    /// `.example.org`
    Below(String),
}

impl Setting for Recipients {
    fn expected() -> String {
        "\"*\", \"local\", a domain, or a domain after a dot for all below it".into()
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        read(value, complaints, |text| match (text, text.strip_prefix('.')) {
            ("*", _) => Some(Self::Everybody),
            ("local", _) => Some(Self::Local),
            (_, Some(domain)) => Name::new(domain).map(|name| Self::Below(name.0)),
            (domain, None) => Name::new(domain).map(|name| Self::Domain(name.0)),
        })
    }

    fn show(&self) -> Option<String> {
        Some(match self {
            Self::Everybody => "\"*\"".into(),
            Self::Local => "\"local\"".into(),
            Self::Domain(domain) => format!("\"{domain}\""),
            Self::Below(domain) => format!("\".{domain}\""),
        })
    }

    fn example() -> &'static str {
        "\"example.org\""
    }
}

/// A name or an address of a server, without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server(pub String);

impl Setting for Server {
    fn expected() -> String {
        "a name or an address, without a port".into()
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        read(value, complaints, |text| {
            let address = text.parse::<IpAddr>().ok().map(|address| Self(address.to_string()));
            address.or_else(|| Name::new(text).map(|name| Self(name.0)))
        })
    }

    fn show(&self) -> Option<String> {
        Some(format!("\"{}\"", self.0))
    }

    fn example() -> &'static str {
        "\"smtp.example.net\""
    }
}

/// An address, with or without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address.
    pub address: IpAddr,
    /// The port, where it isn't the usual one.
    pub port: Option<u16>,
}

impl Place {
    /// With its port.
    pub fn with_port(self, usual: u16) -> SocketAddr {
        SocketAddr::new(self.address, self.port.unwrap_or(usual))
    }
}

impl From<IpAddr> for Place {
    fn from(address: IpAddr) -> Self {
        Self { address, port: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

impl Setting for Place {
    fn expected() -> String {
        "an address such as \"192.0.2.1\", \"192.0.2.1:2525\" or \"[2001:db8::1]:2525\"".into()
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        read(value, complaints, |text| {
            let with_port = text.parse::<SocketAddr>().ok();
            let with_port =
                with_port.map(|place| Self { address: place.ip(), port: Some(place.port()) });
            with_port.or_else(|| text.parse::<IpAddr>().ok().map(Self::from))
        })
    }

    fn show(&self) -> Option<String> {
        Some(format!("\"{self}\""))
    }

    fn example() -> &'static str {
        "\"192.0.2.1\""
    }
}

/// An address without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub IpAddr);

impl Setting for Address {
    fn expected() -> String {
        "an address such as \"192.0.2.1\" or \"2001:db8::1\"".into()
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        read(value, complaints, |text| text.parse().ok().map(Self))
    }

    fn show(&self) -> Option<String> {
        Some(format!("\"{}\"", self.0))
    }
}

/// A port of TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u16);

impl Setting for Port {
    fn expected() -> String {
        Whole::<1, 65_535>::expected()
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        let number = Whole::<1, 65_535>::parse(value, complaints)?;
        u16::try_from(number.0).ok().map(Self)
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn example() -> &'static str {
        "2525"
    }
}
