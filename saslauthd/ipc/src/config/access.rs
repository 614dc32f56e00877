//! What the listener is told of the access map: the settings of the site, and how long the map is.

use serde::{Deserialize, Serialize};

/// The access map, whose text comes along as sealed memory, and the settings that it is read by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Length of the map's text, in bytes.
    pub length: u32,
    /// Whose reply codes: `8.15`, `8.17` or `8.18`.
    pub generation: String,
    /// Features that are on, by their names in the access crate.
    pub features: Vec<String>,
    /// Names of this host.
    pub local_domains: Vec<String>,
    /// Domains and networks that are relayed for.
    pub relay_domains: Vec<String>,
    /// Mechanisms whose users may relay.
    pub trusted_mechanisms: Vec<String>,
}
