//! The access map as sendmail's users write it, and one engine that decides by it: facts in, decision and reason out.
//!
//! Runs in the listener (to answer), in the parent (to refuse a bad map before handing it on) and in `mailauth`
//! (to explain). It trusts the map, which an administrator wrote, and nothing in the facts, which a peer may have
//! chosen. It reads no file, asks no clock and no network, and must never turn a mistake in the map, or a map that
//! can't be asked, into "accept": mistakes refuse the whole map when it is loaded, an outage is a temporary failure.
//!
//! ```
//! use saslauthd_access::{Access, Facts, Map, Ruleset, Settings, decide, explain};
//!
//! let map = Map::parse("TLS_Clt:example.org\tVERIFY:128\n").map_err(|errors| errors.to_string())?;
//! let facts = Facts { verify: "NO".into(), client_name: Some("mx.example.org".into()), ..Facts::default() };
//! let settings = Settings::default();
//! let decision = decide(Ruleset::TlsClient, &settings, Access::Loaded(&map), &facts);
//! assert_eq!(decision.reply.map(|reply| reply.to_string()).as_deref(), Some("454 4.7.0 not authenticated"));
//! // The same decision, with every key that was tried and every requirement that was weighed.
//! println!("{}", explain(Ruleset::TlsClient, &settings, Access::Loaded(&map), &facts));
//! # Ok::<(), String>(())
//! ```

mod address;
mod certificate;
mod decide;
mod decision;
mod error;
mod explanation;
mod facts;
mod features;
mod key;
mod lookup;
mod map;
mod pin;
mod recipient;
mod reply;
mod requirement;
mod sender;
mod session;
mod settings;
mod source;
mod spelling;
mod stated;
mod tls;
mod token;
mod value;
mod warnings;

pub use address::address_key;
pub use decide::{Access, Ruleset, decide, explain};
pub use decision::{Action, AuthInfo, Decision, Hit, NameForm};
pub use error::{MapError, MapErrors, MapWarning};
pub use explanation::{Check, Explanation, Lookup, Outcome};
pub use facts::{Facts, Phase, Purpose, Resolve};
pub use map::Map;
pub use pin::KeyPin;
pub use reply::Reply;
pub use settings::{DnFilter, Generation, Settings};
pub use stated::FactError;
