//! A single-file LMDB environment with 64-bit words: what its reader and its writer share.
//!
//! Pages 0 and 1 are metadata, the one with the later transaction counts; a B+ tree of the unnamed database holds the
//! records, with long values on runs of overflow pages. Layouts: `mdb.c` of LMDB 0.9 (`MDB_meta`, `MDB_db`,
//! `MDB_page`, `MDB_node`), as compiled for 64-bit little-endian machines.

pub(super) mod read;
pub(super) mod write;

use super::fields::Order;

/// LMDB writes its host's integers; big-endian hosts that run it are no longer made.
const ORDER: Order = Order::Little;

const MAGIC: u32 = 0xbeef_c0de;
const VERSION: u32 = 1;
/// No page: an empty tree's root.
const NO_PAGE: u64 = u64::MAX;
/// Pages of metadata before the first that a tree may use.
const META_PAGES: u64 = 2;

mod page {
    pub(super) const NUMBER: usize = 0;
    pub(super) const FLAGS: usize = 10;
    pub(super) const LOWER: usize = 12;
    pub(super) const UPPER: usize = 14;
    /// Of the first page of a run of overflow pages, in the place of the two bounds.
    pub(super) const RUN: usize = 12;
    pub(super) const HEADER: usize = 16;

    pub(super) const BRANCH: u16 = 1;
    pub(super) const LEAF: u16 = 2;
    pub(super) const OVERFLOW: u16 = 4;
    pub(super) const META: u16 = 8;
}

/// Fields of the metadata, in bytes from the start of its page.
mod meta {
    pub(super) const MAGIC: usize = 16;
    pub(super) const VERSION: usize = 20;
    pub(super) const MAP_SIZE: usize = 32;
    pub(super) const FREE_DB: usize = 40;
    pub(super) const MAIN_DB: usize = 88;
    pub(super) const LAST_PAGE: usize = 136;
    pub(super) const TRANSACTION: usize = 144;
    pub(super) const END: usize = 152;
}

/// Fields of a database within the metadata; of the free-page database, the first is the page size.
mod database {
    pub(super) const PAGE_SIZE: usize = 0;
    pub(super) const FLAGS: usize = 4;
    pub(super) const DEPTH: usize = 6;
    pub(super) const BRANCH_PAGES: usize = 8;
    pub(super) const LEAF_PAGES: usize = 16;
    pub(super) const OVERFLOW_PAGES: usize = 24;
    pub(super) const ENTRIES: usize = 32;
    pub(super) const ROOT: usize = 40;
}

/// Fields of a node: a child's page or a value's length in two halves, flags, length of the key, key, value.
mod node {
    pub(super) const LOW: usize = 0;
    pub(super) const HIGH: usize = 2;
    pub(super) const FLAGS: usize = 4;
    pub(super) const KEY_BYTES: usize = 6;
    pub(super) const HEADER: usize = 8;

    pub(super) const BIG_DATA: u16 = 1;
}

/// The longest key that liblmdb takes.
const MAX_KEY: usize = 511;

/// What of a file is kept when it is written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) page_size: usize,
    pub(super) map_size: u64,
    /// Environment flags, kept with the free-page database.
    pub(super) free_flags: u16,
    pub(super) transaction: u64,
}

impl Default for Shape {
    /// What libsasl2 makes: a map of 1 MiB; 8 is `MDB_INTEGERKEY`, and 0x4000 `MDB_NOSUBDIR`.
    fn default() -> Self {
        Self { page_size: 4096, map_size: 1 << 20, free_flags: 0x4008, transaction: 0 }
    }
}

impl Shape {
    /// Of a node on its page, with the offset that points to it; longer ones keep their value elsewhere.
    fn longest_node(self) -> usize {
        (((self.page_size - page::HEADER) / 2) & !1) - 2
    }
}

pub(super) fn is_magic(bytes: &[u8]) -> bool {
    // A 32-bit environment has it 4 bytes earlier.
    [meta::MAGIC, meta::MAGIC - 4].into_iter().any(|at| {
        [Order::Little, Order::Big].into_iter().any(|order| order.u32_at(bytes, at) == Some(MAGIC))
    })
}
