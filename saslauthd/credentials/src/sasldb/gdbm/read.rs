//! Takes a GDBM file apart in the order of GDBM's own `firstkey` and `nextkey`, believing nothing in it.

use super::super::error::Fault;
use super::super::fields::slice;
use super::super::records::{Kind, Record, Records};
use super::{Char, HASH_BITS, ORDER, Shape, Variant, bucket, hash, header, slots};

const CUT: Fault = Fault::Damaged(0, "the file is cut short");

/// All records of the file.
pub(in super::super) fn records(bytes: &[u8]) -> Result<Records, Fault> {
    let header = Header::parse(bytes)?;
    let mut found = Found { list: Vec::new(), taken: Vec::new(), bytes: 0 };
    let entries = 1_usize << header.directory_bits;
    let mut index = 0;
    while index < entries {
        index = header.bucket(bytes, index, &mut found)?;
    }
    found.apart()?;
    Records::found(found.list, Kind::Gdbm(header.shape))
}

struct Header {
    shape: Shape,
    directory: usize,
    directory_bits: u32,
    bucket_bytes: usize,
    slots: usize,
}

/// The records so far, and the parts of the file that they and their buckets take up.
struct Found {
    list: Vec<Record>,
    taken: Vec<(usize, usize)>,
    bytes: usize,
}

impl Found {
    /// No two things of the file overlap, or a length or an offset is damaged.
    fn apart(&mut self) -> Result<(), Fault> {
        self.taken.sort_unstable();
        let mut end = 0;
        for (start, length) in &self.taken {
            if *start < end {
                return Err(Fault::Damaged(0, "two records lie in the same place"));
            }
            end = start + length;
        }
        Ok(())
    }
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let variant = match ORDER.u32_at(bytes, 0).ok_or(CUT)? {
            super::MAGIC => Variant::Standard,
            super::MAGIC_NUMSYNC => Variant::Numsync,
            _ => {
                return Err(Fault::Unsupported(
                    "it is a GDBM file with 32-bit offsets or of a big-endian machine; \
                     copy it with gdbm_dump and gdbm_load",
                ));
            }
        };
        let index = |at| ORDER.index_at(bytes, at).ok_or(CUT);
        let long = |at| ORDER.u64_at(bytes, at).and_then(|n| usize::try_from(n).ok()).ok_or(CUT);
        let found = Self {
            shape: Shape { block_size: index(header::BLOCK_SIZE)?, variant },
            directory: long(header::DIRECTORY)?,
            directory_bits: ORDER.u32_at(bytes, header::DIRECTORY_BITS).ok_or(CUT)?,
            bucket_bytes: index(header::BUCKET_BYTES)?,
            slots: index(header::BUCKET_SLOTS)?,
        };
        let directory_bytes = index(header::DIRECTORY_BYTES)?;
        let damaged = |what| Err(Fault::Damaged(0, what));
        if !(512..=1 << 20).contains(&found.shape.block_size)
            || !(512..=1 << 20).contains(&found.bucket_bytes)
            || found.slots != slots(found.bucket_bytes)
        {
            return damaged("its block and bucket sizes are impossible");
        }
        if found.directory_bits > 27 || directory_bytes != 8 << found.directory_bits {
            return damaged("its directory's size contradicts itself");
        }
        if found.directory < found.shape.header()
            || slice(bytes, found.directory, directory_bytes).is_none()
        {
            return damaged("its directory lies outside the file");
        }
        // An old GDBM could leave this pointing past the end, never before it.
        if long(header::NEXT_BLOCK)? < bytes.len() {
            return damaged("the file is longer than its header says");
        }
        Ok(found)
    }

    fn entry(&self, bytes: &[u8], index: usize) -> Result<usize, Fault> {
        let at = self.directory + 8 * index;
        ORDER.u64_at(bytes, at).and_then(|entry| usize::try_from(entry).ok()).ok_or(CUT)
    }

    /// Reads the bucket that directory entry `index` is the first of; returns the index after its last.
    fn bucket(&self, bytes: &[u8], index: usize, found: &mut Found) -> Result<usize, Fault> {
        let start = self.entry(bytes, index)?;
        let block = u64::try_from(start / self.shape.block_size).unwrap_or(u64::MAX);
        let damaged = |what| Fault::Damaged(block, what);
        let page = slice(bytes, start, self.bucket_bytes)
            .filter(|_| start >= self.shape.header())
            .ok_or(damaged("a bucket lies outside the file"))?;
        let bits = ORDER.u32_at(page, bucket::BITS).ok_or(CUT)?;
        if bits > self.directory_bits {
            return Err(damaged("a bucket is deeper than the directory"));
        }
        let span = 1_usize << (self.directory_bits - bits);
        if !index.is_multiple_of(span) {
            return Err(damaged("a bucket and the directory disagree"));
        }
        for other in index..index + span {
            if self.entry(bytes, other)? != start {
                return Err(damaged("a bucket and the directory disagree"));
            }
        }
        found.taken.push((start, self.bucket_bytes));
        let first = found.list.len();
        for slot in 0..self.slots {
            let slot = slice(page, bucket::SLOTS + slot * bucket::SLOT, bucket::SLOT).ok_or(CUT)?;
            self.slot(bytes, slot, index..index + span, found)?;
        }
        if ORDER.index_at(page, bucket::COUNT) != Some(found.list.len() - first) {
            return Err(damaged("a bucket's records are not as many as it says"));
        }
        Ok(index + span)
    }

    fn slot(
        &self,
        bytes: &[u8],
        slot: &[u8],
        entries: std::ops::Range<usize>,
        found: &mut Found,
    ) -> Result<(), Fault> {
        let stored = ORDER.u32_at(slot, 0).ok_or(CUT)?;
        if stored == super::EMPTY {
            return Ok(());
        }
        let pointer = ORDER.u64_at(slot, bucket::SLOT_POINTER).ok_or(CUT)?;
        let start = usize::try_from(pointer).map_err(|_| CUT)?;
        let block = u64::try_from(start / self.shape.block_size).unwrap_or(u64::MAX);
        let damaged = |what| Fault::Damaged(block, what);
        let key_bytes = ORDER.index_at(slot, bucket::SLOT_KEY_BYTES).ok_or(CUT)?;
        let value_bytes = ORDER.index_at(slot, bucket::SLOT_VALUE_BYTES).ok_or(CUT)?;
        let (key, value) = key_bytes
            .checked_add(value_bytes)
            .and_then(|length| slice(bytes, start, length))
            .and_then(|both| both.split_at_checked(key_bytes))
            .filter(|_| start >= self.shape.header())
            .ok_or(damaged("a record lies outside the file"))?;
        if ![Char::Signed, Char::Unsigned].into_iter().any(|char| hash(key, char) == stored) {
            return Err(damaged("a key and its hash disagree"));
        }
        let entry = u64::from(stored) >> (HASH_BITS - self.directory_bits);
        if !usize::try_from(entry).is_ok_and(|entry| entries.contains(&entry)) {
            return Err(damaged("a key lies in a bucket that is not its own"));
        }
        let start_of_key = key.get(..key.len().min(4)).unwrap_or_default();
        if slice(slot, bucket::SLOT_KEY_START, start_of_key.len()) != Some(start_of_key) {
            return Err(damaged("a key and its slot disagree"));
        }
        found.taken.push((start, key_bytes + value_bytes));
        // Slots that share one long record must not be copied until memory ends.
        found.bytes += key_bytes + value_bytes;
        if found.bytes > bytes.len() {
            return Err(damaged("two records lie in the same place"));
        }
        found.list.push(Record::new(key, value));
        Ok(())
    }
}
