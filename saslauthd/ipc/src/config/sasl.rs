//! What the checker is told about SASL: what each socket may offer, and who may act for others.

use protocol::mechanism::{Mechanism, MechanismSet};
use serde::{Deserialize, Serialize};

/// SASL for the checker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sasl {
    /// In the order of the listener's sockets.
    pub sockets: Vec<SaslSocket>,
    /// Logins that may act for others.
    pub masters: Vec<String>,
    /// SCRAM mechanisms whose keys are derived after a login with a password.
    pub derive: Mechanisms,
    /// The names that clients know this server by, for CRAM-MD5 and DIGEST-MD5.
    pub hosts: Vec<String>,
    /// The realms that DIGEST-MD5 offers.
    pub realms: Vec<String>,
}

/// SASL on one socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaslSocket {
    /// What may be offered.
    pub offered: Offered,
    /// What may be used although nobody said that the client speaks TLS.
    pub before_tls: Mechanisms,
    /// Whether some peer may state whose certificate a client showed.
    pub certificates: Certificates,
}

/// What a socket may offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Offered {
    /// It doesn't speak SASL.
    #[default]
    Nothing,
    /// It doesn't either: users are looked up there.
    Users,
    /// Whatever every account can use.
    Auto,
    /// These, as far as a backend can serve them.
    Listed(Mechanisms),
}

/// Whether a peer may state client certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Certificates {
    /// None may.
    #[default]
    NotStated,
    /// Some may.
    Stated,
}

/// A [`MechanismSet`] in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mechanisms(u32);

impl Mechanisms {
    /// The mechanisms of these names; names of none are left out.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mechanism = |name: &str| Mechanism::from_name(name.as_bytes());
        let set: MechanismSet = names.into_iter().filter_map(mechanism).collect();
        Self(set.bits())
    }

    /// The set.
    pub fn set(self) -> MechanismSet {
        MechanismSet::from_bits(self.0)
    }
}
