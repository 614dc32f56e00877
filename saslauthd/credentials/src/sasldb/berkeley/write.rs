//! Builds a Berkeley DB hash file from nothing: the pages of a table that libdb could have grown itself.
//!
//! Every byte that no record needs is zero; a file that was edited in place keeps deleted passwords there.

use zeroize::Zeroizing;

use super::super::error::Fault;
use super::super::fields::{Page, narrow};
use super::super::records::Record;
use super::{Checksums, Shape, checksum, doubling, hash, meta, page};

/// The whole file; `seed` is the file's identity, by which libdb tells files apart in its cache.
pub(in super::super) fn file(
    records: &[Record],
    shape: Shape,
    seed: [u8; 20],
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let buckets = buckets_for(records, shape);
    let mut builder = Builder { shape, buckets, pages: Vec::new() };
    builder.pages.push(Page::new(shape.page_size, shape.order));
    for _ in 0..buckets {
        builder.new_page(bucket_type(shape), 0)?;
    }
    let mut sorted: Vec<&Record> = records.iter().collect();
    sorted.sort_unstable_by(|one, other| one.raw_key().cmp(other.raw_key()));
    let mut chains: Vec<Vec<&Record>> = Vec::new();
    chains.resize_with(usize::try_from(buckets).unwrap_or_default(), Vec::new);
    for record in sorted {
        let bucket = usize::try_from(hash(record.raw_key()) & (buckets - 1)).unwrap_or_default();
        chains.get_mut(bucket).ok_or(TOO_MANY)?.push(record);
    }
    for (number, chain) in (1..).zip(&chains) {
        builder.fill(number, chain)?;
    }
    builder.finish(narrow(records.len())?, seed)
}

const TOO_MANY: Fault = Fault::Unfit("it would have too many pages");

/// Pages that are sorted by key are new in version 9.
fn bucket_type(shape: Shape) -> u8 {
    if shape.version == 8 { super::TYPE_HASH_UNSORTED } else { super::TYPE_HASH }
}

/// A power of two that leaves each bucket's page three fifths full on average, at least libdb's own 2.
fn buckets_for(records: &[Record], shape: Shape) -> u32 {
    let bytes: usize = records
        .iter()
        .map(|record| on_page(record.raw_key(), shape) + on_page(record.value(), shape) + 4)
        .sum();
    let room = (shape.page_size - shape.header()) * 3 / 5;
    let wanted = bytes.div_ceil(room).max(2).next_power_of_two();
    u32::try_from(wanted).unwrap_or(1 << 20).min(1 << 20)
}

/// libdb's `ISBIG`: longer than a quarter of a page goes to overflow pages.
fn is_long(item: &[u8], shape: Shape) -> bool {
    item.len() > shape.page_size / 4
}

/// Bytes that an item takes on its bucket's page.
fn on_page(item: &[u8], shape: Shape) -> usize {
    if is_long(item, shape) { 12 } else { 1 + item.len() }
}

struct Builder {
    shape: Shape,
    buckets: u32,
    pages: Vec<Page>,
}

impl Builder {
    fn new_page(&mut self, kind: u8, previous: u32) -> Result<u32, Fault> {
        let number = narrow(self.pages.len())?;
        let mut page = Page::new(self.shape.page_size, self.shape.order);
        // An LSN of file 0, offset 1 says "not logged", as libdb writes without an environment.
        page.put_u32(4, 1)?;
        page.put_u32(page::NUMBER, number)?;
        page.put_u32(page::PREVIOUS, previous)?;
        page.put(page::TYPE, &[kind])?;
        page.put_u16(page::FREE_OFFSET, self.end_offset())?;
        self.pages.push(page);
        Ok(number)
    }

    /// The offset past a page's end, in 16 bits: 64 KiB becomes 0, in libdb too.
    fn end_offset(&self) -> u16 {
        u16::try_from(self.shape.page_size).unwrap_or(0)
    }

    fn page(&mut self, number: u32) -> Result<&mut Page, Fault> {
        usize::try_from(number).ok().and_then(|at| self.pages.get_mut(at)).ok_or(TOO_MANY)
    }

    /// Lays a bucket's records, already in order, onto its page and as many chained ones as it takes.
    fn fill(&mut self, first: u32, records: &[&Record]) -> Result<(), Fault> {
        let mut number = first;
        let mut entries = 0;
        let mut end = self.shape.page_size;
        for record in records {
            let key = self.item(record.raw_key())?;
            let value = self.item(record.value())?;
            let needed = key.len() + value.len() + 2 * (entries + 2) + self.shape.header();
            if needed > end {
                let next = self.new_page(bucket_type(self.shape), number)?;
                self.page(number)?.put_u32(page::NEXT, next)?;
                (number, entries, end) = (next, 0, self.shape.page_size);
            }
            for item in [key, value] {
                end = end.checked_sub(item.len()).ok_or(TOO_MANY)?;
                let (slot, offset) = (self.shape.header() + 2 * entries, half(end)?);
                let page = self.page(number)?;
                page.put(end, &item)?;
                page.put_u16(slot, offset)?;
                entries += 1;
                page.put_u16(page::ENTRIES, half(entries)?)?;
                page.put_u16(page::FREE_OFFSET, offset)?;
            }
        }
        Ok(())
    }

    /// An item as it stands on its page; a long one is put away first.
    fn item(&mut self, data: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let mut item = Zeroizing::new(Vec::with_capacity(on_page(data, self.shape)));
        if is_long(data, self.shape) {
            let (first, length) = (self.overflow(data)?, narrow(data.len())?);
            let mut off_page = Page::new(12, self.shape.order);
            off_page.put(0, &[super::ITEM_OFF_PAGE])?;
            off_page.put_u32(4, first)?;
            off_page.put_u32(8, length)?;
            item.extend_from_slice(off_page.bytes());
        } else {
            item.push(super::ITEM_DATA);
            item.extend_from_slice(data);
        }
        Ok(item)
    }

    fn overflow(&mut self, data: &[u8]) -> Result<u32, Fault> {
        let header = self.shape.header();
        let (mut first, mut previous) = (0, 0);
        for part in data.chunks(self.shape.page_size - header) {
            let number = self.new_page(super::TYPE_OVERFLOW, previous)?;
            let page = self.page(number)?;
            // On overflow pages the count of entries is a count of references.
            page.put_u16(page::ENTRIES, 1)?;
            page.put_u16(page::FREE_OFFSET, half(part.len())?)?;
            page.put(header, part)?;
            if previous == 0 {
                first = number;
            } else {
                self.page(previous)?.put_u32(page::NEXT, number)?;
            }
            previous = number;
        }
        Ok(first)
    }

    fn finish(mut self, elements: u32, seed: [u8; 20]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        self.metadata(elements, seed)?;
        if self.shape.checksums == Checksums::Present {
            self.seal()?;
        }
        let mut file = Zeroizing::new(Vec::with_capacity(self.pages.len() * self.shape.page_size));
        for page in &self.pages {
            file.extend_from_slice(page.bytes());
        }
        Ok(file)
    }

    fn metadata(&mut self, elements: u32, seed: [u8; 20]) -> Result<(), Fault> {
        let (shape, buckets) = (self.shape, self.buckets);
        let last_page = narrow(self.pages.len())? - 1;
        let page = self.page(0)?;
        page.put_u32(4, 1)?;
        page.put_u32(super::MAGIC_AT, super::MAGIC)?;
        page.put_u32(meta::VERSION, shape.version)?;
        page.put_u32(meta::PAGE_SIZE, narrow(shape.page_size)?)?;
        page.put(meta::PAGE_TYPE, &[super::TYPE_META])?;
        if shape.checksums == Checksums::Present {
            page.put(meta::META_FLAGS, &[super::FLAG_CHECKSUM])?;
        }
        page.put_u32(meta::LAST_PAGE, last_page)?;
        page.put(meta::FILE_ID, &seed)?;
        page.put_u32(meta::MAX_BUCKET, buckets - 1)?;
        page.put_u32(meta::HIGH_MASK, buckets - 1)?;
        page.put_u32(meta::LOW_MASK, buckets / 2 - 1)?;
        page.put_u32(meta::ELEMENTS, elements)?;
        page.put_u32(meta::HASH_CHECK, hash(super::HASH_CHECK_KEY))?;
        for spare in 0..=doubling(buckets - 1) {
            // Bucket b lies on page b + 1, whichever doubling it belongs to.
            let at = meta::SPARES + 4 * usize::try_from(spare).unwrap_or_default();
            page.put_u32(at, 1)?;
        }
        Ok(())
    }

    fn seal(&mut self) -> Result<(), Fault> {
        for (number, page) in self.pages.iter_mut().enumerate() {
            if number == 0 {
                let head = page.bytes().get(..meta::BYTES).ok_or(TOO_MANY)?;
                let sum = checksum(head, meta::CHECKSUM..meta::BYTES);
                page.put_u32(meta::CHECKSUM, sum)?;
            } else {
                let sum = checksum(page.bytes(), page::CHECKSUM..page::HEADER_WITH_CHECKSUM);
                page.put_u32(page::CHECKSUM, sum)?;
            }
        }
        Ok(())
    }
}

/// An offset within a page, or a count, as the 16 bits that a page has for it.
fn half(value: usize) -> Result<u16, Fault> {
    u16::try_from(value).map_err(|_| Fault::Unfit("a page would hold more than 16 bits can count"))
}
