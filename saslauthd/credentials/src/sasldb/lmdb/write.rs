//! Builds an LMDB file from nothing: two metadata pages, leaves in the order of keys, then the branches above.
//!
//! Every byte that no record needs is zero; a file that was edited in place keeps deleted passwords there.

use zeroize::Zeroizing;

use super::super::error::Fault;
use super::super::fields::{Page, narrow};
use super::super::records::Record;
use super::{MAX_KEY, ORDER, Shape, database, meta, node, page};

/// The whole file.
pub(in super::super) fn file(
    records: &[Record],
    shape: Shape,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut sorted: Vec<&Record> = records.iter().collect();
    sorted.sort_unstable_by(|one, other| one.raw_key().cmp(other.raw_key()));
    let mut builder = Builder {
        shape,
        pages: vec![Page::new(shape.page_size, ORDER), Page::new(shape.page_size, ORDER)],
        branch_pages: 0,
        leaf_pages: 0,
        overflow_pages: 0,
    };
    let mut level = builder.leaves(&sorted)?;
    let mut depth = u16::from(!level.is_empty());
    while level.len() > 1 {
        level = builder.branches(&level)?;
        depth += 1;
    }
    let root = level.first().map_or(super::NO_PAGE, |child| child.page);
    let entries = u64::from(narrow(sorted.len())?);
    // Both metadata pages lead to the same tree: whichever a reader's lock file points to, it is right.
    for number in [0, 1] {
        builder.metadata(number, depth, root, entries)?;
    }
    let mut file = Zeroizing::new(Vec::with_capacity(builder.pages.len() * shape.page_size));
    for page in &builder.pages {
        file.extend_from_slice(page.bytes());
    }
    Ok(file)
}

/// A finished page, and the first key below it.
struct Child<'a> {
    page: u64,
    key: &'a [u8],
}

/// What becomes a node: key, the numbers of its header, and what follows the key.
struct Node<'a> {
    key: &'a [u8],
    number: u64,
    flags: u16,
    rest: Zeroizing<Vec<u8>>,
}

impl Node<'_> {
    /// Bytes on its page: nodes begin at even offsets, and each has an offset that points to it.
    fn room(&self) -> usize {
        (node::HEADER + self.key.len() + self.rest.len()).next_multiple_of(2) + 2
    }
}

struct Builder {
    shape: Shape,
    pages: Vec<Page>,
    branch_pages: u64,
    leaf_pages: u64,
    overflow_pages: u64,
}

impl Builder {
    fn leaves<'a>(&mut self, records: &[&'a Record]) -> Result<Vec<Child<'a>>, Fault> {
        let mut nodes = Vec::with_capacity(records.len());
        for record in records {
            nodes.push(self.leaf_node(record)?);
        }
        let mut children = Vec::new();
        for nodes in self.portions(&nodes, 1) {
            self.leaf_pages += 1;
            let key = nodes.first().map(|node| node.key).unwrap_or_default();
            children.push(Child { page: self.page(page::LEAF, nodes)?, key });
        }
        Ok(children)
    }

    fn leaf_node<'a>(&mut self, record: &'a Record) -> Result<Node<'a>, Fault> {
        let (key, value) = (record.raw_key(), record.value());
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(Fault::Unfit("LMDB takes keys of 1 to 511 bytes only"));
        }
        let long = node::HEADER + key.len() + value.len() > self.shape.longest_node();
        let rest = if long { self.overflow(value)?.to_le_bytes().to_vec() } else { value.to_vec() };
        let number = u64::from(narrow(value.len())?);
        let flags = if long { node::BIG_DATA } else { 0 };
        Ok(Node { key, number, flags, rest: Zeroizing::new(rest) })
    }

    fn branches<'a>(&mut self, children: &[Child<'a>]) -> Result<Vec<Child<'a>>, Fault> {
        let nodes: Vec<Node<'a>> = children
            .iter()
            .map(|child| Node {
                key: child.key,
                number: child.page & 0xffff_ffff,
                flags: u16::try_from(child.page >> 32).unwrap_or_default(),
                rest: Zeroizing::new(Vec::new()),
            })
            .collect();
        let mut parents = Vec::new();
        for nodes in self.portions(&nodes, 2) {
            self.branch_pages += 1;
            let key = nodes.first().map(|node| node.key).unwrap_or_default();
            parents.push(Child { page: self.page(page::BRANCH, nodes)?, key });
        }
        Ok(parents)
    }

    /// Cuts a level into pages of at least `least` nodes; any two nodes fit one page.
    fn portions<'n, 'a>(&self, nodes: &'n [Node<'a>], least: usize) -> Vec<&'n [Node<'a>]> {
        let mut portions = Vec::new();
        let mut rest = nodes;
        while !rest.is_empty() {
            let mut room = self.shape.page_size - page::HEADER;
            let mut count = rest
                .iter()
                .take_while(|node| {
                    room.checked_sub(node.room()).inspect(|left| room = *left).is_some()
                })
                .count()
                .max(1);
            let left = rest.len() - count;
            if (1..least).contains(&left) && count > least {
                count -= least - left;
            }
            let (portion, others) = rest.split_at(count);
            portions.push(portion);
            rest = others;
        }
        portions
    }

    fn page(&mut self, flags: u16, nodes: &[Node<'_>]) -> Result<u64, Fault> {
        let number = self.next_number()?;
        let mut page = Page::new(self.shape.page_size, ORDER);
        page.put_u64(page::NUMBER, number)?;
        page.put_u16(page::FLAGS, flags)?;
        let mut upper = self.shape.page_size;
        for (index, node) in nodes.iter().enumerate() {
            // A branch's first key stands for "anything less than the second" and is left out.
            let key = if flags == page::BRANCH && index == 0 { &[][..] } else { node.key };
            let bytes = (node::HEADER + key.len() + node.rest.len()).next_multiple_of(2);
            upper = upper.checked_sub(bytes).ok_or(TOO_LONG)?;
            let (low, high) = (node.number & 0xffff, node.number >> 16);
            page.put_u16(upper + node::LOW, u16::try_from(low).map_err(|_| TOO_LONG)?)?;
            page.put_u16(upper + node::HIGH, u16::try_from(high).map_err(|_| TOO_LONG)?)?;
            page.put_u16(upper + node::FLAGS, node.flags)?;
            page.put_u16(upper + node::KEY_BYTES, half(key.len())?)?;
            page.put(upper + node::HEADER, key)?;
            page.put(upper + node::HEADER + key.len(), &node.rest)?;
            page.put_u16(page::HEADER + 2 * index, half(upper)?)?;
        }
        page.put_u16(page::LOWER, half(page::HEADER + 2 * nodes.len())?)?;
        page.put_u16(page::UPPER, half(upper)?)?;
        self.pages.push(page);
        Ok(number)
    }

    /// Writes a value onto a run of pages of which the first alone has a header.
    fn overflow(&mut self, value: &[u8]) -> Result<u64, Fault> {
        let number = self.next_number()?;
        let size = self.shape.page_size;
        let run = (page::HEADER + value.len()).div_ceil(size);
        let (first, others) = value.split_at(value.len().min(size - page::HEADER));
        let mut page = Page::new(size, ORDER);
        page.put_u64(page::NUMBER, number)?;
        page.put_u16(page::FLAGS, page::OVERFLOW)?;
        page.put_u32(page::RUN, narrow(run)?)?;
        page.put(page::HEADER, first)?;
        self.pages.push(page);
        for part in others.chunks(size) {
            let mut page = Page::new(size, ORDER);
            page.put(0, part)?;
            self.pages.push(page);
        }
        self.overflow_pages += u64::from(narrow(run)?);
        Ok(number)
    }

    fn next_number(&self) -> Result<u64, Fault> {
        narrow(self.pages.len()).map(u64::from)
    }

    fn metadata(&mut self, number: u8, depth: u16, root: u64, entries: u64) -> Result<(), Fault> {
        let (shape, last_page) = (self.shape, self.next_number()? - 1);
        let bytes = u64::from(narrow(self.pages.len() * shape.page_size)?);
        let (branches, leaves, overflow) =
            (self.branch_pages, self.leaf_pages, self.overflow_pages);
        // LMDB writes transaction n to page n mod 2, and so the even one of the next two comes first.
        let even = (shape.transaction / 2 + 1) * 2;
        let page = self.pages.get_mut(usize::from(number)).ok_or(TOO_LONG)?;
        page.put_u64(page::NUMBER, number.into())?;
        page.put_u16(page::FLAGS, page::META)?;
        page.put_u32(meta::MAGIC, super::MAGIC)?;
        page.put_u32(meta::VERSION, super::VERSION)?;
        page.put_u64(meta::MAP_SIZE, shape.map_size.max(bytes))?;
        page.put_u32(meta::FREE_DB + database::PAGE_SIZE, narrow(shape.page_size)?)?;
        page.put_u16(meta::FREE_DB + database::FLAGS, shape.free_flags)?;
        page.put_u64(meta::FREE_DB + database::ROOT, super::NO_PAGE)?;
        page.put_u16(meta::MAIN_DB + database::DEPTH, depth)?;
        page.put_u64(meta::MAIN_DB + database::BRANCH_PAGES, branches)?;
        page.put_u64(meta::MAIN_DB + database::LEAF_PAGES, leaves)?;
        page.put_u64(meta::MAIN_DB + database::OVERFLOW_PAGES, overflow)?;
        page.put_u64(meta::MAIN_DB + database::ENTRIES, entries)?;
        page.put_u64(meta::MAIN_DB + database::ROOT, root)?;
        page.put_u64(meta::LAST_PAGE, last_page)?;
        page.put_u64(meta::TRANSACTION, even + u64::from(number))
    }
}

const TOO_LONG: Fault = Fault::Unfit("a record is longer than a page of the file");

/// An offset within a page as the 16 bits that a page has for it.
fn half(value: usize) -> Result<u16, Fault> {
    u16::try_from(value).map_err(|_| TOO_LONG)
}
