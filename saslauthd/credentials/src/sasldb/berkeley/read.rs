//! Takes a Berkeley DB hash file apart, bucket by bucket in libdb's own order, believing nothing in it.

use zeroize::Zeroizing;

use super::super::error::Fault;
use super::super::fields::{Order, slice};
use super::super::records::{Kind, Record, Records};
use super::{Checksums, Shape, checksum, doubling, hash, meta, page};

/// All records of the file.
pub(in super::super) fn records(bytes: &[u8]) -> Result<Records, Fault> {
    let meta = Meta::parse(bytes)?;
    let mut walk = Walk { bytes, meta: &meta, seen: vec![false; meta.pages] };
    let mut list = Vec::new();
    for bucket in 0..=meta.max_bucket {
        walk.bucket(bucket, &mut list)?;
    }
    // libdb keeps this count for every file opened without a transactional environment, as a sasldb is, but counts
    // twice in files of the other byte order. Fewer records than counted means that a page of them is gone;
    // more is what an interrupted writer leaves.
    if list.len() < meta.elements && meta.shape.order == Shape::default().order {
        return Err(Fault::Damaged(0, "records are missing"));
    }
    Records::found(list, Kind::Berkeley(meta.shape))
}

const CUT: Fault = Fault::Damaged(0, "the file is cut short");

struct Meta {
    shape: Shape,
    pages: usize,
    max_bucket: u32,
    high_mask: u32,
    low_mask: u32,
    elements: usize,
    spares: [u32; 32],
}

impl Meta {
    fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let head = bytes.get(..meta::BYTES).ok_or(CUT)?;
        let order = super::order(head).ok_or(Fault::Unknown)?;
        let shape = shape(head, order)?;
        let mut spares = [0; 32];
        for (doubling, spare) in spares.iter_mut().enumerate() {
            *spare = order.u32_at(head, meta::SPARES + 4 * doubling).ok_or(CUT)?;
        }
        let word = |at| order.u32_at(head, at).ok_or(CUT);
        let found = Self {
            shape,
            pages: bytes.len() / shape.page_size,
            max_bucket: word(meta::MAX_BUCKET)?,
            high_mask: word(meta::HIGH_MASK)?,
            low_mask: word(meta::LOW_MASK)?,
            elements: order.index_at(head, meta::ELEMENTS).ok_or(CUT)?,
            spares,
        };
        let last_page = order.index_at(head, meta::LAST_PAGE).ok_or(CUT)?;
        if !bytes.len().is_multiple_of(shape.page_size) || last_page >= found.pages {
            return Err(CUT);
        }
        found.consistent()?;
        Ok(found)
    }

    /// The masks are 2ⁿ−1 and its half, with the highest bucket between them (`__ham_expand_table`).
    fn consistent(&self) -> Result<(), Fault> {
        let masks = self.high_mask & self.high_mask.wrapping_add(1) == 0
            && self.low_mask == self.high_mask >> 1
            && (self.low_mask..=self.high_mask).contains(&self.max_bucket);
        let buckets = usize::try_from(self.max_bucket).map_err(|_| CUT)?;
        if !masks || buckets >= self.pages {
            return Err(Fault::Damaged(0, "the hash table's size contradicts itself"));
        }
        Ok(())
    }

    fn bucket_of(&self, key: &[u8]) -> u32 {
        let hash = hash(key);
        let bucket = hash & self.high_mask;
        if bucket > self.max_bucket { hash & self.low_mask } else { bucket }
    }

    fn first_page(&self, bucket: u32) -> Option<u32> {
        let spare = self.spares.get(usize::try_from(doubling(bucket)).ok()?)?;
        bucket.checked_add(*spare)
    }
}

/// Version, page size and flags; whatever no sasldb has is refused by name.
fn shape(head: &[u8], order: Order) -> Result<Shape, Fault> {
    let byte = |at: usize| head.get(at).copied().ok_or(CUT);
    let version = order.u32_at(head, meta::VERSION).ok_or(CUT)?;
    if !(8..=10).contains(&version) {
        return Err(Fault::Unsupported("its Berkeley DB hash version is not 8, 9 or 10"));
    }
    if byte(meta::ENCRYPTION)? != 0 {
        return Err(Fault::Unsupported("it is encrypted"));
    }
    if byte(meta::PAGE_TYPE)? != super::TYPE_META
        || order.u32_at(head, meta::PAGE_NUMBER).ok_or(CUT)? != 0
    {
        return Err(Fault::Damaged(0, "it is no metadata page"));
    }
    let checksums = match byte(meta::META_FLAGS)? {
        0 => Checksums::Absent,
        super::FLAG_CHECKSUM => Checksums::Present,
        _ => return Err(Fault::Unsupported("it is partitioned")),
    };
    if order.u32_at(head, meta::FLAGS).ok_or(CUT)? != 0 {
        return Err(Fault::Unsupported("it allows duplicate keys or holds several databases"));
    }
    let page_size = order.index_at(head, meta::PAGE_SIZE).ok_or(CUT)?;
    if !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) {
        return Err(Fault::Damaged(0, "its page size is impossible"));
    }
    if order.u32_at(head, meta::HASH_CHECK).ok_or(CUT)? != hash(super::HASH_CHECK_KEY) {
        return Err(Fault::Unsupported("it was made with another hash function"));
    }
    if checksums == Checksums::Present
        && order.u32_at(head, meta::CHECKSUM) != Some(checksum(head, meta::CHECKSUM..meta::BYTES))
    {
        return Err(Fault::Damaged(0, "the checksum disagrees"));
    }
    Ok(Shape { order, version, page_size, checksums })
}

/// One pass over the file; no page is used twice, which ends every loop and bounds all memory by the file.
struct Walk<'a> {
    bytes: &'a [u8],
    meta: &'a Meta,
    seen: Vec<bool>,
}

impl<'a> Walk<'a> {
    fn bucket(&mut self, bucket: u32, list: &mut Vec<Record>) -> Result<(), Fault> {
        let first = self.meta.first_page(bucket).ok_or(CUT)?;
        let mut previous = 0;
        let mut number = first;
        while number != 0 {
            let page = self.visit(number)?;
            if number == first && page.iter().all(|byte| *byte == 0) {
                // libdb makes a doubling's pages by writing the last of them, and the others at first use.
                return Ok(());
            }
            self.belongs(page, number, previous)?;
            self.items(page, number, bucket, list)?;
            previous = number;
            number = self.word(page, page::NEXT)?;
        }
        Ok(())
    }

    fn visit(&mut self, number: u32) -> Result<&'a [u8], Fault> {
        let position = usize::try_from(number).map_err(|_| CUT)?;
        let size = self.meta.shape.page_size;
        match self.seen.get_mut(position) {
            Some(seen) if !*seen && position != 0 => *seen = true,
            Some(_) => return Err(Fault::Damaged(number.into(), "it is used twice")),
            None => {
                return Err(Fault::Damaged(number.into(), "it lies beyond the end of the file"));
            }
        }
        position.checked_mul(size).and_then(|at| slice(self.bytes, at, size)).ok_or(CUT)
    }

    /// The page's own number, its place in the chain, and its checksum.
    fn belongs(&self, page: &[u8], number: u32, previous: u32) -> Result<(), Fault> {
        if self.word(page, page::NUMBER)? != number {
            return Err(Fault::Damaged(number.into(), "it bears another page's number"));
        }
        if self.word(page, page::PREVIOUS)? != previous {
            return Err(Fault::Damaged(number.into(), "its chain is broken"));
        }
        if self.meta.shape.checksums == Checksums::Present {
            let sum = checksum(page, page::CHECKSUM..page::HEADER_WITH_CHECKSUM);
            if self.word(page, page::CHECKSUM)? != sum {
                return Err(Fault::Damaged(number.into(), "the checksum disagrees"));
            }
        }
        Ok(())
    }

    fn items(
        &mut self,
        page: &'a [u8],
        number: u32,
        bucket: u32,
        list: &mut Vec<Record>,
    ) -> Result<(), Fault> {
        let damaged = |what| Fault::Damaged(number.into(), what);
        let sorted = match page.get(page::TYPE).copied() {
            Some(super::TYPE_HASH) => true,
            Some(super::TYPE_HASH_UNSORTED) => false,
            _ => return Err(damaged("it is no page of a hash bucket")),
        };
        let entries = self.half(page, page::ENTRIES)?;
        if !entries.is_multiple_of(2) {
            return Err(damaged("a key has no value"));
        }
        let first = list.len();
        let mut end = page.len();
        for pair in 0..entries / 2 {
            let key = self.item(page, number, 2 * pair, &mut end)?;
            let value = self.item(page, number, 2 * pair + 1, &mut end)?;
            if self.meta.bucket_of(&key) != bucket {
                return Err(damaged("a key lies in a bucket that is not its own"));
            }
            let before = list.get(first..).and_then(<[Record]>::last);
            if sorted && before.is_some_and(|record| record.raw_key() >= key.as_slice()) {
                return Err(damaged("its keys are not in order"));
            }
            list.push(Record { key: key.to_vec(), value });
        }
        Ok(())
    }

    /// Item `index`, which ends where the one before began (`end`).
    fn item(
        &mut self,
        page: &'a [u8],
        number: u32,
        index: usize,
        end: &mut usize,
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let outside = Fault::Damaged(number.into(), "an item lies outside its page");
        let header = self.meta.shape.header();
        let entries = self.half(page, page::ENTRIES)?;
        let start = self.half(page, header + 2 * index)?;
        let item =
            page.get(start..*end).filter(|_| start >= header + 2 * entries).ok_or(outside)?;
        *end = start;
        match item.split_first() {
            Some((&super::ITEM_DATA, data)) => Ok(Zeroizing::new(data.to_vec())),
            Some((&super::ITEM_OFF_PAGE, _)) if item.len() == 12 => {
                let length = usize::try_from(self.word(item, 8)?).map_err(|_| CUT)?;
                self.overflow(self.word(item, 4)?, length)
            }
            Some((2 | 4, _)) => Err(Fault::Unsupported("it holds duplicate keys")),
            Some((5, _)) => Err(Fault::Unsupported("it keeps values in files of their own")),
            _ => Err(Fault::Damaged(number.into(), "an item is of no known kind")),
        }
    }

    /// Collects an item from its chain of overflow pages; on these, the free offset is the length.
    fn overflow(&mut self, first: u32, length: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let disagrees = Fault::Damaged(first.into(), "a long item's length disagrees");
        if length > self.bytes.len() {
            return Err(disagrees);
        }
        // Of full capacity from the start, so that no secret is left behind by growing.
        let mut data = Zeroizing::new(Vec::with_capacity(length));
        let mut previous = 0;
        let mut number = first;
        while number != 0 {
            let page = self.visit(number)?;
            self.belongs(page, number, previous)?;
            if page.get(page::TYPE) != Some(&super::TYPE_OVERFLOW) {
                return Err(Fault::Damaged(number.into(), "it is no overflow page"));
            }
            let part = self.half(page, page::FREE_OFFSET)?;
            let part = slice(page, self.meta.shape.header(), part).ok_or(disagrees)?;
            if data.len() + part.len() > length {
                return Err(disagrees);
            }
            data.extend_from_slice(part);
            previous = number;
            number = self.word(page, page::NEXT)?;
        }
        if data.len() == length { Ok(data) } else { Err(disagrees) }
    }

    fn word(&self, bytes: &[u8], at: usize) -> Result<u32, Fault> {
        self.meta.shape.order.u32_at(bytes, at).ok_or(CUT)
    }

    fn half(&self, bytes: &[u8], at: usize) -> Result<usize, Fault> {
        self.meta.shape.order.u16_at(bytes, at).map(usize::from).ok_or(CUT)
    }
}
