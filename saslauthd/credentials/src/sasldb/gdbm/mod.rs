//! GDBM with 64-bit offsets: what its reader and its writer share.
//!
//! The file opens with a header and a list of free space; a directory of 2ⁿ offsets, indexed by the top bits of a
//! key's hash, leads to buckets, and a bucket's slots to key and value, which lie together anywhere.
//! Layouts: `gdbmdefs.h` and `gdbmconst.h` of GDBM 1.23, as compiled for 64-bit little-endian machines.

pub(super) mod read;
pub(super) mod write;

use super::fields::Order;

/// GDBM writes its host's integers; big-endian hosts that run it are no longer made.
const ORDER: Order = Order::Little;

/// `GDBM_MAGIC64`.
const MAGIC: u32 = 0x1357_9acf;
/// `GDBM_NUMSYNC_MAGIC64`: 32 bytes more of header, for crash tolerance.
const MAGIC_NUMSYNC: u32 = 0x1357_9ad1;
/// The first 28 bits of every variant's magic.
const FAMILY: u32 = 0x1357_9a00;

mod header {
    pub(super) const BLOCK_SIZE: usize = 4;
    pub(super) const DIRECTORY: usize = 8;
    pub(super) const DIRECTORY_BYTES: usize = 16;
    pub(super) const DIRECTORY_BITS: usize = 20;
    pub(super) const BUCKET_BYTES: usize = 24;
    pub(super) const BUCKET_SLOTS: usize = 28;
    pub(super) const NEXT_BLOCK: usize = 32;
    pub(super) const BYTES: usize = 40;
    pub(super) const EXTENSION: usize = 32;
    pub(super) const AVAIL_HEAD: usize = 16;
    pub(super) const AVAIL_ELEMENT: usize = 16;
}

mod bucket {
    pub(super) const BITS: usize = 104;
    pub(super) const COUNT: usize = 108;
    pub(super) const SLOTS: usize = 112;
    pub(super) const SLOT: usize = 24;
    pub(super) const SLOT_KEY_START: usize = 4;
    pub(super) const SLOT_POINTER: usize = 8;
    pub(super) const SLOT_KEY_BYTES: usize = 16;
    pub(super) const SLOT_VALUE_BYTES: usize = 20;
}

/// The hash of an empty slot, −1; a key's has 31 bits.
const EMPTY: u32 = u32::MAX;
const HASH_BITS: u32 = 31;

/// What of a file is kept when it is written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) block_size: usize,
    pub(super) variant: Variant,
}

/// Which of the two 64-bit headers it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    Standard,
    Numsync,
}

impl Default for Shape {
    fn default() -> Self {
        Self { block_size: 4096, variant: Variant::Standard }
    }
}

impl Shape {
    /// Where the header ends and the list of free space begins.
    fn header(self) -> usize {
        match self.variant {
            Variant::Standard => header::BYTES,
            Variant::Numsync => header::BYTES + header::EXTENSION,
        }
    }
}

pub(super) fn is_magic(bytes: &[u8]) -> bool {
    [Order::Little, Order::Big]
        .into_iter()
        .filter_map(|order| order.u32_at(bytes, 0))
        .any(|magic| magic & !0xff == FAMILY)
}

fn slots(bucket_bytes: usize) -> usize {
    bucket_bytes.saturating_sub(bucket::SLOTS) / bucket::SLOT
}

/// How the machine that made the file understands a C `char`, which decides where keys beyond ASCII lie.
#[derive(Clone, Copy)]
enum Char {
    Signed,
    Unsigned,
}

impl Char {
    /// As on amd64, or as on arm64.
    const HOST: Self = if std::ffi::c_char::MIN == 0 { Self::Unsigned } else { Self::Signed };
}

/// `_gdbm_hash`.
fn hash(key: &[u8], char: Char) -> u32 {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let start = 0x238f_13af_u32.wrapping_mul(length);
    let mixed = (0_u32..).zip(key).fold(start, |hash, (at, byte)| {
        let byte = match char {
            Char::Signed => i32::from(i8::from_ne_bytes([*byte])).cast_unsigned(),
            Char::Unsigned => u32::from(*byte),
        };
        hash.wrapping_add(byte.wrapping_shl(at.wrapping_mul(5) % 24)) & 0x7fff_ffff
    });
    mixed.wrapping_mul(1_103_515_243).wrapping_add(12_345) & 0x7fff_ffff
}
