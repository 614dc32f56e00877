//! The Berkeley DB hash access method, versions 8 to 10: what its reader and its writer share.
//!
//! Page 0 is the metadata; each bucket is a chain of pages; long items live in chains of overflow pages.
//! Layouts: `dbinc/db_page.h` of Berkeley DB 5.3 (`HMETA33`, `PAGE`, `HKEYDATA`, `HOFFPAGE`).

pub(super) mod read;
pub(super) mod write;

use super::fields::Order;

const MAGIC: u32 = 0x0006_1561;
const MAGIC_AT: usize = 12;

/// Fields of the metadata page, in bytes from its start.
mod meta {
    pub(super) const BYTES: usize = 512;
    pub(super) const PAGE_NUMBER: usize = 8;
    pub(super) const VERSION: usize = 16;
    pub(super) const PAGE_SIZE: usize = 20;
    pub(super) const ENCRYPTION: usize = 24;
    pub(super) const PAGE_TYPE: usize = 25;
    pub(super) const META_FLAGS: usize = 26;
    pub(super) const LAST_PAGE: usize = 32;
    pub(super) const FLAGS: usize = 48;
    pub(super) const FILE_ID: usize = 52;
    pub(super) const MAX_BUCKET: usize = 72;
    pub(super) const HIGH_MASK: usize = 76;
    pub(super) const LOW_MASK: usize = 80;
    pub(super) const ELEMENTS: usize = 88;
    pub(super) const HASH_CHECK: usize = 92;
    pub(super) const SPARES: usize = 96;
    pub(super) const CHECKSUM: usize = 492;
}

/// Fields of every other page.
mod page {
    pub(super) const NUMBER: usize = 8;
    pub(super) const PREVIOUS: usize = 12;
    pub(super) const NEXT: usize = 16;
    pub(super) const ENTRIES: usize = 20;
    pub(super) const FREE_OFFSET: usize = 22;
    pub(super) const TYPE: usize = 25;
    pub(super) const HEADER: usize = 26;
    pub(super) const CHECKSUM: usize = 28;
    pub(super) const HEADER_WITH_CHECKSUM: usize = 32;
}

const TYPE_HASH_UNSORTED: u8 = 2;
const TYPE_OVERFLOW: u8 = 7;
const TYPE_META: u8 = 8;
const TYPE_HASH: u8 = 13;

const ITEM_DATA: u8 = 1;
const ITEM_OFF_PAGE: u8 = 3;

/// The one meta flag that a sasldb may have.
const FLAG_CHECKSUM: u8 = 1;

/// The string whose hash a file carries, so that a program with another hash function notices.
const HASH_CHECK_KEY: &[u8] = b"%$sniglet^&\0";

/// What of a file is kept when it is written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) order: Order,
    pub(super) version: u32,
    pub(super) page_size: usize,
    pub(super) checksums: Checksums,
}

/// Whether each page carries a sum of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checksums {
    Absent,
    Present,
}

impl Default for Shape {
    /// What Debian's libdb 5.3 makes on the amd64 and arm64 machines of today.
    fn default() -> Self {
        let order = if cfg!(target_endian = "big") { Order::Big } else { Order::Little };
        Self { order, version: 9, page_size: 4096, checksums: Checksums::Absent }
    }
}

impl Shape {
    fn header(self) -> usize {
        match self.checksums {
            Checksums::Absent => page::HEADER,
            Checksums::Present => page::HEADER_WITH_CHECKSUM,
        }
    }
}

fn order(bytes: &[u8]) -> Option<Order> {
    [Order::Little, Order::Big]
        .into_iter()
        .find(|order| order.u32_at(bytes, MAGIC_AT) == Some(MAGIC))
}

pub(super) fn is_magic(bytes: &[u8]) -> bool {
    order(bytes).is_some()
}

/// `__ham_func5`, Fowler/Noll/Vo's hash without its offset basis.
fn hash(key: &[u8]) -> u32 {
    key.iter().fold(0, |hash: u32, byte| hash.wrapping_mul(16_777_619) ^ u32::from(*byte))
}

/// `__ham_func4` over a page whose checksum field counts as zeros.
fn checksum(page: &[u8], field: std::ops::Range<usize>) -> u32 {
    page.iter().enumerate().fold(0, |sum: u32, (at, byte)| {
        let byte = if field.contains(&at) { 0 } else { u32::from(*byte) };
        sum.wrapping_mul(33).wrapping_add(byte)
    })
}

/// The bits that it takes to write a bucket's number: which of the doublings of the table made it.
fn doubling(bucket: u32) -> u32 {
    u32::BITS - bucket.leading_zeros()
}
