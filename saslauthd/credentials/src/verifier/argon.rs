//! argon2id and argon2i in PHC's string format.
//!
//! Runs in the checker and in the tools. The string states how much memory its comparison takes, so it is read with
//! our own few lines and priced before a single block is allocated; libraries that verify in one call allocate
//! first. argon2d is not taken: its memory accesses depend on the password (RFC 9106 §4).

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use super::Agreement;
use super::digest::number;
use crate::scheme::{Cost, Scheme};
use crate::scratch::Scratch;
use crate::verdict::{Reason, Trouble};

/// RFC 9106 §3.1 allows tags from 4 bytes; below 16 (its §4 recommends no less) chance would agree too often.
const SHORTEST_TAG: usize = 16;

/// Longest salt and tag that any program writes, with room.
const LONGEST_FIELD: usize = 128;

/// Nanoseconds to fill one KiB once.
const NANOS_PER_BLOCK: u64 = 650;

/// Which argon2, of which version, with which parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Variant {
    pub(crate) scheme: Scheme,
    pub(crate) version: u32,
    pub(crate) memory_kib: u32,
    pub(crate) iterations: u32,
    pub(crate) lanes: u32,
    /// Bytes of the tag.
    pub(crate) tag: usize,
}

/// A stored argon2 hash.
pub(crate) struct Argon {
    pub(crate) variant: Variant,
    pub(crate) salt: Zeroizing<Vec<u8>>,
    pub(crate) expected: Zeroizing<Vec<u8>>,
}

impl Argon {
    /// `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`; without `v=`, version 16. `keyid` and `data` are not taken.
    pub(super) fn parse(stored: &[u8]) -> Result<Self, Reason> {
        let fields: Vec<&[u8]> = stored.split(|byte| *byte == b'$').collect();
        let (name, version, costs, salt, tag) = match fields.as_slice() {
            [b"", name, costs, salt, tag] => (name, 0x10, costs, salt, tag),
            [b"", name, b"v=16", costs, salt, tag] => (name, 0x10, costs, salt, tag),
            [b"", name, b"v=19", costs, salt, tag] => (name, 0x13, costs, salt, tag),
            _ => return Err(Reason::Malformed),
        };
        let scheme = match *name {
            b"argon2id" => Scheme::Argon2id,
            b"argon2i" => Scheme::Argon2i,
            _ => return Err(Reason::SchemeNotAllowed),
        };
        let (memory_kib, iterations, lanes) = costs_of(costs)?;
        let salt = field(salt, 8)?;
        let expected = field(tag, SHORTEST_TAG)?;
        let variant =
            Variant { scheme, version, memory_kib, iterations, lanes, tag: expected.len() };
        if !variant.is_possible() {
            return Err(Reason::Malformed);
        }
        Ok(Self { variant, salt, expected })
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.variant.scheme
    }

    pub(super) fn cost(&self) -> Cost {
        self.variant.cost()
    }

    pub(super) fn agreement(
        &self,
        password: &[u8],
        scratch: &mut Scratch,
    ) -> Result<Agreement, Trouble> {
        let computed = self.variant.compute(password, &self.salt, scratch)?;
        Ok(Agreement::of(&computed, &self.expected))
    }
}

impl Variant {
    fn params(&self) -> Option<Params> {
        Params::new(self.memory_kib, self.iterations, self.lanes, Some(self.tag)).ok()
    }

    /// Within argon2's own bounds: a pass, a lane, and 8 KiB for each lane.
    pub(crate) fn is_possible(&self) -> bool {
        self.params().is_some()
    }

    pub(crate) fn cost(&self) -> Cost {
        let blocks = u64::from(self.memory_kib).saturating_mul(u64::from(self.iterations));
        Cost {
            micros: blocks.saturating_mul(NANOS_PER_BLOCK) / 1000 + 1,
            memory_kib: u64::from(self.memory_kib),
        }
    }

    /// The tag of a password, computed in the scratch's arena, which is wiped after.
    pub(crate) fn compute(
        &self,
        password: &[u8],
        salt: &[u8],
        scratch: &mut Scratch,
    ) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let algorithm = match self.scheme {
            Scheme::Argon2i => Algorithm::Argon2i,
            _ => Algorithm::Argon2id,
        };
        let version = if self.version == 0x10 { Version::V0x10 } else { Version::V0x13 };
        let params = self.params().ok_or_else(|| Trouble::new("argon2: impossible parameters"))?;
        let blocks = params.block_count();
        let argon = Argon2::new(algorithm, version, params);
        let mut tag = Zeroizing::new(vec![0; self.tag]);
        scratch.with_arena(blocks, |arena| {
            argon
                .hash_password_into_with_memory(password, salt, &mut tag, arena)
                .map_err(|error| Trouble::new(format!("argon2: {error}")))
        })??;
        Ok(tag)
    }
}

/// `m=19456,t=2,p=1`, in this order and each once, as PHC's format has it.
fn costs_of(text: &[u8]) -> Result<(u32, u32, u32), Reason> {
    let mut parts = text.split(|byte| *byte == b',');
    let mut next = |key: &[u8]| {
        let value = parts.next().and_then(|part| part.strip_prefix(key)).and_then(number);
        let value = value.ok_or(Reason::Malformed)?;
        u32::try_from(value).map_err(|_| Reason::Malformed)
    };
    let costs = (next(b"m=")?, next(b"t=")?, next(b"p=")?);
    if parts.next().is_some() { Err(Reason::Malformed) } else { Ok(costs) }
}

fn field(text: &[u8], shortest: usize) -> Result<Zeroizing<Vec<u8>>, Reason> {
    let bytes = STANDARD_NO_PAD.decode(text).map(Zeroizing::new).map_err(|_| Reason::Malformed)?;
    if (shortest..=LONGEST_FIELD).contains(&bytes.len()) {
        Ok(bytes)
    } else {
        Err(Reason::Malformed)
    }
}
