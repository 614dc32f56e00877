//! The SASL mechanisms of this house by name, and what a Dovecot auth server says of each.
//!
//! A value type for every process: the listener offers and forwards them, the checker carries them out.

/// A SASL mechanism (RFC 4422). `-PLUS` is the one before it with channel binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// draft-murchison-sasl-login.
    Login,
    /// RFC 5802.
    ScramSha1,
    /// RFC 5802 with channel binding.
    ScramSha1Plus,
    /// RFC 7677.
    ScramSha256,
    /// RFC 7677 with channel binding.
    ScramSha256Plus,
    /// draft-melnikov-scram-sha-512.
    ScramSha512,
    /// The same with channel binding.
    ScramSha512Plus,
    /// RFC 4422 appendix A: who the TLS client certificate says.
    External,
    /// RFC 2195.
    CramMd5,
    /// RFC 2831.
    DigestMd5,
    /// RFC 4505.
    Anonymous,
}

impl Mechanism {
    /// All of them; a mechanism's place here is its number in messages and its bit in a [`MechanismSet`].
    pub const ALL: [Self; 12] = [
        Self::Plain,
        Self::Login,
        Self::ScramSha1,
        Self::ScramSha1Plus,
        Self::ScramSha256,
        Self::ScramSha256Plus,
        Self::ScramSha512,
        Self::ScramSha512Plus,
        Self::External,
        Self::CramMd5,
        Self::DigestMd5,
        Self::Anonymous,
    ];

    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::ScramSha512Plus => "SCRAM-SHA-512-PLUS",
            Self::External => "EXTERNAL",
            Self::CramMd5 => "CRAM-MD5",
            Self::DigestMd5 => "DIGEST-MD5",
            Self::Anonymous => "ANONYMOUS",
        }
    }

    /// By its name in any case (RFC 4422 §3.1 has upper case; Exim sends what its administrator wrote).
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.as_str().as_bytes().eq_ignore_ascii_case(name))
    }

    /// The words behind MECH in Dovecot's handshake (lib-sasl), by which Postfix filters.
    pub fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Plain | Self::Login => &["plaintext"],
            Self::ScramSha1 | Self::ScramSha256 | Self::ScramSha512 => &["mutual-auth"],
            Self::ScramSha1Plus | Self::ScramSha256Plus | Self::ScramSha512Plus => {
                &["mutual-auth", "channel-binding"]
            }
            Self::External => &[],
            Self::CramMd5 => &["dictionary", "active"],
            Self::DigestMd5 => &["dictionary", "active", "mutual-auth"],
            Self::Anonymous => &["anonymous"],
        }
    }

    /// Whether it binds the exchange to the TLS channel.
    pub fn binds_channel(self) -> bool {
        matches!(self, Self::ScramSha1Plus | Self::ScramSha256Plus | Self::ScramSha512Plus)
    }

    /// Whether the password itself crosses the wire.
    pub fn is_plaintext(self) -> bool {
        matches!(self, Self::Plain | Self::Login)
    }

    /// Its number in messages.
    pub fn number(self) -> u8 {
        Self::ALL
            .iter()
            .position(|mechanism| *mechanism == self)
            .and_then(|place| u8::try_from(place).ok())
            .unwrap_or(u8::MAX)
    }

    /// The mechanism of a number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl std::fmt::Display for Mechanism {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of mechanisms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MechanismSet(u32);

impl MechanismSet {
    /// The set of these bits; bits of no mechanism are dropped.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits & ((1 << Mechanism::ALL.len()) - 1))
    }

    /// A bit for each mechanism, by its number.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// With one more.
    #[must_use]
    pub fn with(self, mechanism: Mechanism) -> Self {
        Self(self.0 | 1 << mechanism.number())
    }

    /// Whether it is in the set.
    pub fn contains(self, mechanism: Mechanism) -> bool {
        self.0 & 1 << mechanism.number() != 0
    }

    /// What is in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in it, in the order of [`Mechanism::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Mechanism> {
        Mechanism::ALL.into_iter().filter(move |mechanism| self.contains(*mechanism))
    }
}

impl FromIterator<Mechanism> for MechanismSet {
    fn from_iter<I: IntoIterator<Item = Mechanism>>(mechanisms: I) -> Self {
        mechanisms.into_iter().fold(Self::default(), Self::with)
    }
}

/// What becomes of the mechanism's last words to the client: SCRAM's `v=`, DIGEST-MD5's `rspauth=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastWords {
    /// They go with the outcome (`final-resp-ok`, into `OK … resp=`).
    WithOutcome,
    /// They are a challenge of their own, which the client answers with nothing.
    #[default]
    AsChallenge,
}

/// The channel bindings that can be asked for. Never `tls-unique`: TLS 1.3 has none, and before it is forgeable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// RFC 9266.
    TlsExporter,
    /// RFC 5929 §4.
    TlsServerEndPoint,
}

impl Binding {
    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TlsExporter => "tls-exporter",
            Self::TlsServerEndPoint => "tls-server-end-point",
        }
    }

    /// By its name, as in a gs2 header.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        [Self::TlsExporter, Self::TlsServerEndPoint]
            .into_iter()
            .find(|binding| binding.as_str().as_bytes() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_number(mechanism.number()), Some(mechanism));
            let name = mechanism.as_str().to_ascii_lowercase();
            assert_eq!(Mechanism::from_name(name.as_bytes()), Some(mechanism));
        }
        assert_eq!(Mechanism::from_name(b"SCRAM-SHA-224"), None);
        let all: MechanismSet = Mechanism::ALL.into_iter().collect();
        assert!(all.iter().eq(Mechanism::ALL));
        assert_eq!(MechanismSet::from_bits(u32::MAX), all);
    }
}
