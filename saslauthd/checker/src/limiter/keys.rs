//! What the limiter counts by: users, sources and their networks, peers, as keyed 64-bit tags.
//!
//! Runs in the checker. Names come prepared and mapped; addresses are those that count. The key is random, so that
//! nobody can choose names or addresses that meet in one row.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// Makes the tags. Each kind has a first byte of its own, and every field but the last its length.
#[derive(Clone, Copy)]
pub(super) struct Keys(SipHasher24);

/// The tags of one source address.
#[derive(Clone, Copy)]
pub(super) struct SourceTags {
    /// The address itself, or the /64 of an IPv6 one.
    pub(super) host: u64,
    /// /24 or /56.
    pub(super) network: u64,
    /// /16 or /48.
    pub(super) wide: u64,
    /// What a known-good source is known by: /24 or /64, since phones change their last byte.
    pub(super) place: u64,
}

/// The half of a pair's tag that is its first one's.
const LOWER: u64 = 0xffff_ffff;

impl Keys {
    pub(super) fn new((first, second): (u64, u64)) -> Self {
        Self(SipHasher24::new_with_keys(first, second))
    }

    /// A user of a realm, of which case is not looked at: a backend may ignore it, and then its variants are the
    /// same account.
    pub(super) fn user(&self, user: &[u8], realm: &[u8]) -> u64 {
        let mut hasher = self.begin(b'u', &[]);
        let length = folded(&mut hasher, user);
        folded(&mut hasher, realm);
        hasher.write_usize(length);
        end(&hasher)
    }

    /// One name, letter by letter. A success proves something of this name alone, and nothing of others that
    /// [`Self::user`] counts together with it: they may be other people's.
    pub(super) fn name(&self, user: &[u8], realm: &[u8]) -> u64 {
        let mut hasher = self.begin(b'i', user);
        hasher.write(realm);
        hasher.write_usize(user.len());
        end(&hasher)
    }

    /// An account by its stored record, whatever names lead to it.
    pub(super) fn account(&self, record: &[u8; 16]) -> u64 {
        end(&self.begin(b'a', record))
    }

    /// A source address.
    pub(super) fn source(&self, ip: IpAddr) -> SourceTags {
        let tag = |kind: u8, prefix: u32| {
            let masked = match ip {
                IpAddr::V4(v4) => {
                    u128::from(v4.to_bits() & u32::MAX.checked_shl(32 - prefix).unwrap_or(0))
                }
                IpAddr::V6(v6) => v6.to_bits() & u128::MAX.checked_shl(128 - prefix).unwrap_or(0),
            };
            end(&self.begin(kind, &masked.to_le_bytes()))
        };
        match ip {
            IpAddr::V4(_) => SourceTags {
                host: tag(b'4', 32),
                network: tag(b'n', 24),
                wide: tag(b'w', 16),
                place: tag(b'p', 24),
            },
            IpAddr::V6(_) => SourceTags {
                host: tag(b'6', 64),
                network: tag(b'N', 56),
                wide: tag(b'W', 48),
                place: tag(b'P', 64),
            },
        }
    }

    /// The uid of a mail server that asks.
    pub(super) fn peer(&self, uid: u32) -> u64 {
        end(&self.begin(b'e', &uid.to_le_bytes()))
    }

    /// Two tags that count together. The lower half is the first's, so that all its pairs can be found; the upper
    /// one, which chooses the row, is of both.
    pub(super) fn pair(&self, first: u64, second: u64) -> u64 {
        let mut hasher = self.begin(b'+', &first.to_le_bytes());
        hasher.write(&second.to_le_bytes());
        ((end(&hasher) & !LOWER) | (first & LOWER)).max(1)
    }

    /// Whether a tag is a pair of this first one.
    pub(super) fn is_pair_of(pair: u64, first: u64) -> bool {
        pair != 0 && pair & LOWER == first & LOWER
    }

    /// A wrong password of a user; the table keeps few bits of it.
    pub(super) fn password(&self, user: u64, password: &[u8]) -> u64 {
        let mut hasher = self.begin(b'd', &user.to_le_bytes());
        hasher.write(password);
        end(&hasher)
    }

    fn begin(&self, kind: u8, field: &[u8]) -> SipHasher24 {
        let mut hasher = self.0;
        hasher.write(&[kind]);
        hasher.write(field);
        hasher
    }
}

/// Hashes the lower-case form and says how long it was.
fn folded(hasher: &mut SipHasher24, name: &[u8]) -> usize {
    match std::str::from_utf8(name) {
        Ok(text) if !text.is_ascii() => {
            let lower = text.to_lowercase();
            hasher.write(lower.as_bytes());
            lower.len()
        }
        _ => {
            let mut buffer = [0u8; 64];
            for chunk in name.chunks(buffer.len()) {
                let part = buffer.get_mut(..chunk.len()).unwrap_or_default();
                part.copy_from_slice(chunk);
                part.make_ascii_lowercase();
                hasher.write(part);
            }
            name.len()
        }
    }
}

/// Zero marks a free row.
fn end(hasher: &SipHasher24) -> u64 {
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new((3, 4))
    }

    #[test]
    fn c4_user_and_realm_do_not_run_together() {
        assert_ne!(keys().user(b"ab", b"c"), keys().user(b"a", b"bc"));
        assert_ne!(keys().user(b"a", b""), keys().user(b"", b"a"));
        assert_eq!(keys().user(b"alice", b"x"), keys().user(b"alice", b"x"));
    }

    #[test]
    fn m6_case_variants_share_a_bucket() {
        assert_eq!(keys().user(b"Alice", b"EXAMPLE.com"), keys().user(b"alice", b"example.com"));
        assert_eq!(keys().user("Ärger".as_bytes(), b""), keys().user("ärger".as_bytes(), b""));
        let long = "A".repeat(200);
        assert_eq!(
            keys().user(long.as_bytes(), b""),
            keys().user(long.to_lowercase().as_bytes(), b"")
        );
    }

    #[test]
    fn c4_a_name_is_told_apart_by_every_letter() {
        assert_ne!(keys().name(b"ab", b"c"), keys().name(b"a", b"bc"));
        assert_ne!(keys().name(b"Alice", b""), keys().name(b"alice", b""));
        assert_eq!(keys().name(b"alice", b"x"), keys().name(b"alice", b"x"));
    }

    #[test]
    fn pairs_are_found_by_their_first_and_differ_by_their_second() {
        let (one, two) = (keys().user(b"one", b""), keys().user(b"two", b""));
        let pairs: Vec<u64> = (0..1000).map(|source| keys().pair(one, source)).collect();
        assert!(pairs.iter().all(|pair| Keys::is_pair_of(*pair, one)));
        assert!(!pairs.iter().any(|pair| Keys::is_pair_of(*pair, two)));
        let upper: std::collections::HashSet<u64> = pairs.iter().map(|pair| pair >> 32).collect();
        assert_eq!(upper.len(), pairs.len());
    }

    #[test]
    fn m5_a_64_is_one_source() {
        let (one, two) = ("2001:db8::1".parse().unwrap(), "2001:db8::ffff:1".parse().unwrap());
        assert_eq!(keys().source(one).host, keys().source(two).host);
        let other = "2001:db8:0:1::1".parse().unwrap();
        assert_ne!(keys().source(one).host, keys().source(other).host);
        assert_eq!(keys().source(one).network, keys().source(other).network);
        assert_ne!(keys().source(one).host, keys().source(one).network);
    }

    #[test]
    fn an_ipv4_address_has_its_own_networks() {
        let [one, near, far]: [IpAddr; 3] =
            ["192.0.2.1", "192.0.2.9", "192.0.9.1"].map(|ip| ip.parse().unwrap());
        assert_ne!(keys().source(one).host, keys().source(near).host);
        assert_eq!(keys().source(one).network, keys().source(near).network);
        assert_ne!(keys().source(one).network, keys().source(far).network);
        assert_eq!(keys().source(one).wide, keys().source(far).wide);
        assert_ne!(Keys::new((3, 5)).source(one).host, keys().source(one).host);
    }
}
