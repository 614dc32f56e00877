//! Takes an LMDB file apart in the order of its keys, believing nothing in it.

use super::super::error::Fault;
use super::super::fields::slice;
use super::super::records::{Kind, Record, Records};
use super::{ORDER, Shape, database, meta, node, page};

const CUT: Fault = Fault::Damaged(0, "the file is cut short");
const LOST: Fault = Fault::Damaged(0, "the tree is not as large as it says");

/// All records of the file.
pub(in super::super) fn records(bytes: &[u8]) -> Result<Records, Fault> {
    let meta = Meta::newest(bytes)?;
    let pages = bytes.len() / meta.shape.page_size;
    let mut walk = Walk {
        bytes,
        size: meta.shape.page_size,
        seen: vec![false; pages],
        list: Vec::new(),
        counted: Tree { depth: meta.tree.depth, root: meta.tree.root, ..Tree::default() },
    };
    if meta.tree.root != super::NO_PAGE {
        walk.page(meta.tree.root, meta.tree.depth, None, None)?;
    } else if meta.tree.depth != 0 {
        return Err(LOST);
    }
    if walk.counted != meta.tree {
        return Err(LOST);
    }
    Records::found(walk.list, Kind::Lmdb(meta.shape))
}

/// What the metadata says of the tree of records.
#[derive(Default, PartialEq, Eq)]
struct Tree {
    depth: u16,
    branch_pages: u64,
    leaf_pages: u64,
    overflow_pages: u64,
    entries: u64,
    root: u64,
}

struct Meta {
    shape: Shape,
    tree: Tree,
}

impl Meta {
    /// The later of the two. Both must be sound: to fall back to the older would bring deleted users to life.
    fn newest(bytes: &[u8]) -> Result<Self, Fault> {
        let first = Self::parse(bytes, 0)?;
        let second = bytes.get(first.shape.page_size..).ok_or(CUT)?;
        let second = Self::parse(second, 1)?;
        if first.shape.page_size != second.shape.page_size {
            return Err(Fault::Damaged(1, "the two metadata pages disagree"));
        }
        let later = second.shape.transaction > first.shape.transaction;
        let newest = if later { second } else { first };
        Ok(newest)
    }

    fn parse(bytes: &[u8], number: u64) -> Result<Self, Fault> {
        let head = bytes.get(..meta::END).ok_or(CUT)?;
        let half = |at| ORDER.u16_at(head, at).ok_or(CUT);
        let word = |at| ORDER.u32_at(head, at).ok_or(CUT);
        let long = |at| ORDER.u64_at(head, at).ok_or(CUT);
        if word(meta::MAGIC)? != super::MAGIC || word(meta::VERSION)? != super::VERSION {
            return Err(if number == 0 {
                Fault::Unsupported(
                    "it is an LMDB file of a 32-bit or big-endian machine or of another version; \
                     copy it with mdb_dump and mdb_load",
                )
            } else {
                Fault::Damaged(number, "it is no metadata page")
            });
        }
        if half(page::FLAGS)? & page::META == 0 || long(page::NUMBER)? != number {
            return Err(Fault::Damaged(number, "it is no metadata page"));
        }
        // LMDB counts up by one; halfway to the end of 64 bits nothing comes by counting.
        if long(meta::TRANSACTION)? > u64::MAX / 2 {
            return Err(Fault::Damaged(number, "its transaction number is impossible"));
        }
        let page_size = ORDER.index_at(head, meta::FREE_DB + database::PAGE_SIZE).ok_or(CUT)?;
        if !page_size.is_power_of_two() || !(256..=65536).contains(&page_size) {
            return Err(Fault::Damaged(number, "its page size is impossible"));
        }
        if half(meta::MAIN_DB + database::FLAGS)? != 0 {
            return Err(Fault::Unsupported(
                "it allows duplicate keys or orders them in another way",
            ));
        }
        Ok(Self {
            shape: Shape {
                page_size,
                map_size: long(meta::MAP_SIZE)?,
                free_flags: half(meta::FREE_DB + database::FLAGS)?,
                transaction: long(meta::TRANSACTION)?,
            },
            tree: Tree {
                depth: half(meta::MAIN_DB + database::DEPTH)?,
                branch_pages: long(meta::MAIN_DB + database::BRANCH_PAGES)?,
                leaf_pages: long(meta::MAIN_DB + database::LEAF_PAGES)?,
                overflow_pages: long(meta::MAIN_DB + database::OVERFLOW_PAGES)?,
                entries: long(meta::MAIN_DB + database::ENTRIES)?,
                root: long(meta::MAIN_DB + database::ROOT)?,
            },
        })
    }
}

/// One pass over the tree; no page is used twice, which ends every loop and bounds all memory by the file.
struct Walk<'a> {
    bytes: &'a [u8],
    size: usize,
    seen: Vec<bool>,
    list: Vec<Record>,
    counted: Tree,
}

/// A node: flags, the number in its first halves, key and the rest.
struct Node<'a> {
    flags: u16,
    number: u64,
    key: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Walk<'a> {
    /// Marks a page or a run of them as used, and returns its bytes.
    fn visit(&mut self, number: u64, run: usize) -> Result<&'a [u8], Fault> {
        let beyond = Fault::Damaged(number, "it lies beyond the end of the file");
        let first = usize::try_from(number).map_err(|_| beyond)?;
        let end = first.checked_add(run).ok_or(beyond)?;
        let seen = self.seen.get_mut(first..end).ok_or(beyond)?;
        if number < super::META_PAGES || seen.contains(&true) {
            return Err(Fault::Damaged(number, "it is used twice"));
        }
        seen.fill(true);
        slice(self.bytes, first * self.size, run * self.size).ok_or(beyond)
    }

    /// A page and all below it; its keys lie from `low` on and before `high`.
    fn page(
        &mut self,
        number: u64,
        depth: u16,
        low: Option<&[u8]>,
        high: Option<&[u8]>,
    ) -> Result<(), Fault> {
        let page = self.visit(number, 1)?;
        let flags = ORDER.u16_at(page, page::FLAGS).ok_or(CUT)?;
        if ORDER.u64_at(page, page::NUMBER) != Some(number) {
            return Err(Fault::Damaged(number, "it bears another page's number"));
        }
        // The depth counts down to 1 at the leaves, and no recursion goes deeper than a sane tree.
        match (flags & !0x10, depth) {
            (page::LEAF, 1) => self.leaf(page, number, low, high),
            (page::BRANCH, 2..=32) => self.branch(page, number, depth, low, high),
            _ => Err(Fault::Damaged(number, "it is not the page that the tree needs there")),
        }
    }

    fn leaf(
        &mut self,
        page: &'a [u8],
        number: u64,
        low: Option<&[u8]>,
        high: Option<&[u8]>,
    ) -> Result<(), Fault> {
        self.counted.leaf_pages += 1;
        let mut used = 0;
        for index in 0..nodes(page, number)? {
            let node = node_at(page, number, index)?;
            let ordered = self.list.last().is_none_or(|last| last.raw_key() < node.key)
                && low.is_none_or(|low| low <= node.key)
                && high.is_none_or(|high| node.key < high);
            if !ordered {
                return Err(Fault::Damaged(number, "its keys are not in order"));
            }
            // Nodes that overlap would multiply the page's size by their number.
            let length = usize::try_from(node.number).map_err(|_| CUT)?;
            let on_page = if node.flags == 0 { length } else { 8 };
            used += node::HEADER + node.key.len() + on_page;
            if used > self.size {
                return Err(Fault::Damaged(number, "its nodes overlap"));
            }
            let value = match node.flags {
                0 => node.rest.get(..length),
                node::BIG_DATA => Some(self.overflow(node.rest, length)?),
                _ => return Err(Fault::Unsupported("it holds databases or duplicate keys")),
            };
            let value = value.ok_or(Fault::Damaged(number, "a value lies outside its page"))?;
            self.counted.entries += 1;
            self.list.push(Record::new(node.key, value));
        }
        Ok(())
    }

    fn branch(
        &mut self,
        page: &'a [u8],
        number: u64,
        depth: u16,
        low: Option<&[u8]>,
        high: Option<&[u8]>,
    ) -> Result<(), Fault> {
        self.counted.branch_pages += 1;
        let count = nodes(page, number)?;
        for index in 0..count {
            let node = node_at(page, number, index)?;
            // The first child takes whatever is less than the second's key; its own key is not kept.
            let child_low = if index == 0 { low } else { Some(node.key) };
            let next = (index + 1 < count).then(|| node_at(page, number, index + 1)).transpose()?;
            let child_high = next.map(|next| next.key).or(high);
            // On branches the flags are the upper 16 bits of the child's page.
            let child = node.number | u64::from(node.flags) << 32;
            self.page(child, depth - 1, child_low, child_high)?;
        }
        Ok(())
    }

    fn overflow(&mut self, rest: &[u8], length: usize) -> Result<&'a [u8], Fault> {
        let first = ORDER.u64_at(rest, 0).ok_or(CUT)?;
        let run = (page::HEADER + length).div_ceil(self.size);
        let pages = self.visit(first, run)?;
        if ORDER.u64_at(pages, page::NUMBER) != Some(first)
            || ORDER.u16_at(pages, page::FLAGS).map(|flags| flags & !0x10) != Some(page::OVERFLOW)
            || ORDER.index_at(pages, page::RUN) != Some(run)
        {
            return Err(Fault::Damaged(first, "it is not the overflow page that a value needs"));
        }
        self.counted.overflow_pages += u64::try_from(run).map_err(|_| CUT)?;
        slice(pages, page::HEADER, length).ok_or(CUT)
    }
}

/// How many nodes a page has.
fn nodes(page: &[u8], number: u64) -> Result<usize, Fault> {
    let lower = usize::from(ORDER.u16_at(page, page::LOWER).ok_or(CUT)?);
    let upper = usize::from(ORDER.u16_at(page, page::UPPER).ok_or(CUT)?);
    if lower < page::HEADER || lower > upper || upper > page.len() || lower % 2 != 0 {
        return Err(Fault::Damaged(number, "its bounds are impossible"));
    }
    Ok((lower - page::HEADER) / 2)
}

fn node_at(page: &[u8], number: u64, index: usize) -> Result<Node<'_>, Fault> {
    let outside = Fault::Damaged(number, "a node lies outside its page");
    let half = |bytes, at| ORDER.u16_at(bytes, at).ok_or(outside);
    let start = usize::from(half(page, page::HEADER + 2 * index)?);
    let upper = usize::from(half(page, page::UPPER)?);
    let node = page.get(start..).filter(|_| start >= upper).ok_or(outside)?;
    let key_bytes = usize::from(half(node, node::KEY_BYTES)?);
    let (low, high) = (half(node, node::LOW)?, half(node, node::HIGH)?);
    let (key, rest) = node
        .get(node::HEADER..)
        .and_then(|rest| rest.split_at_checked(key_bytes))
        .ok_or(outside)?;
    let number = u64::from(low) | u64::from(high) << 16;
    Ok(Node { flags: half(node, node::FLAGS)?, number, key, rest })
}
