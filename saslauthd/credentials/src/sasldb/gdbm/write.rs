//! Builds a GDBM file from nothing: header, directory, buckets, then keys and values one after the other.
//!
//! Every byte that no record needs is zero; a file that was edited in place keeps deleted passwords there.

use zeroize::Zeroizing;

use super::super::error::Fault;
use super::super::fields::{Page, narrow};
use super::super::records::Record;
use super::{Char, EMPTY, HASH_BITS, ORDER, Shape, Variant, bucket, hash, header, slots};

/// The whole file.
pub(in super::super) fn file(
    records: &[Record],
    shape: Shape,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    // GDBM rounds the size that it is asked for to a power of two of at least 512.
    let block = shape.block_size.next_power_of_two().max(512);
    let shape = Shape { block_size: block, ..shape };
    let mut hashed: Vec<(u32, &Record)> =
        records.iter().map(|record| (hash(record.raw_key(), Char::HOST), record)).collect();
    hashed.sort_unstable_by_key(|(hash, _)| *hash);
    let mut leaves = Vec::new();
    split(&hashed, 0, 0, slots(block), &mut leaves)?;
    // At least one block of directory, as in a file that GDBM has just made.
    let bits = leaves.iter().map(|leaf| leaf.bits).max().unwrap_or(0).max((block / 8).ilog2());
    Layout { shape, bits, leaves: &leaves }.file()
}

/// A bucket: the top `bits` bits of its records' hashes are `prefix`.
struct Leaf<'a> {
    prefix: u32,
    bits: u32,
    records: &'a [(u32, &'a Record)],
}

/// Halves a run of sorted hashes until each part fits a bucket.
fn split<'a>(
    records: &'a [(u32, &'a Record)],
    prefix: u32,
    bits: u32,
    slots: usize,
    leaves: &mut Vec<Leaf<'a>>,
) -> Result<(), Fault> {
    if records.len() <= slots {
        leaves.push(Leaf { prefix, bits, records });
        return Ok(());
    }
    if bits >= 20 {
        return Err(Fault::Unfit("too many of its keys have the same hash"));
    }
    let middle = (2 * prefix + 1) << (HASH_BITS - bits - 1);
    let (low, high) = records.split_at(records.partition_point(|(hash, _)| *hash < middle));
    split(low, 2 * prefix, bits + 1, slots, leaves)?;
    split(high, 2 * prefix + 1, bits + 1, slots, leaves)
}

struct Layout<'a> {
    shape: Shape,
    bits: u32,
    leaves: &'a [Leaf<'a>],
}

impl Layout<'_> {
    fn directory_bytes(&self) -> usize {
        8 << self.bits
    }

    fn buckets_at(&self) -> usize {
        self.shape.block_size + self.directory_bytes()
    }

    fn file(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let block = self.shape.block_size;
        let data_at = self.buckets_at() + self.leaves.len() * block;
        let data_bytes: usize = self
            .leaves
            .iter()
            .flat_map(|leaf| leaf.records)
            .map(|(_, record)| record.raw_key().len() + record.value().len())
            .sum();
        let end = (data_at + data_bytes).next_multiple_of(block);
        let mut file = Page::new(end, ORDER);
        self.header(&mut file, end)?;
        let mut data = data_at;
        for (number, leaf) in self.leaves.iter().enumerate() {
            let at = self.buckets_at() + number * block;
            self.directory(&mut file, leaf, at)?;
            self.bucket(&mut file, leaf, at, &mut data)?;
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(end));
        bytes.extend_from_slice(file.bytes());
        Ok(bytes)
    }

    fn header(&self, file: &mut Page, end: usize) -> Result<(), Fault> {
        let block = self.shape.block_size;
        file.put_u32(
            0,
            match self.shape.variant {
                Variant::Standard => super::MAGIC,
                Variant::Numsync => super::MAGIC_NUMSYNC,
            },
        )?;
        file.put_u32(header::BLOCK_SIZE, narrow(block)?)?;
        file.put_u64(header::DIRECTORY, u64::from(narrow(block)?))?;
        file.put_u32(header::DIRECTORY_BYTES, narrow(self.directory_bytes())?)?;
        file.put_u32(header::DIRECTORY_BITS, self.bits)?;
        file.put_u32(header::BUCKET_BYTES, narrow(block)?)?;
        file.put_u32(header::BUCKET_SLOTS, narrow(slots(block))?)?;
        file.put_u64(header::NEXT_BLOCK, u64::from(narrow(end)?))?;
        // An empty list of free space that fills the rest of the block.
        let room = block - self.shape.header() - header::AVAIL_HEAD;
        file.put_u32(self.shape.header(), narrow(room / header::AVAIL_ELEMENT)?)
    }

    fn directory(&self, file: &mut Page, leaf: &Leaf<'_>, bucket: usize) -> Result<(), Fault> {
        let span = 1_usize << (self.bits - leaf.bits);
        let first = usize::try_from(leaf.prefix).unwrap_or_default() * span;
        for entry in first..first + span {
            file.put_u64(self.shape.block_size + 8 * entry, u64::from(narrow(bucket)?))?;
        }
        Ok(())
    }

    fn bucket(
        &self,
        file: &mut Page,
        leaf: &Leaf<'_>,
        at: usize,
        data: &mut usize,
    ) -> Result<(), Fault> {
        file.put_u32(at + bucket::BITS, leaf.bits)?;
        file.put_u32(at + bucket::COUNT, narrow(leaf.records.len())?)?;
        let slots = slots(self.shape.block_size);
        let mut taken = vec![None; slots];
        for (hash, record) in leaf.records {
            // The first free slot from the hash's own on, wrapping around, as `gdbm_store` seeks it.
            let home = usize::try_from(*hash).unwrap_or_default() % slots;
            let free = (home..slots).chain(0..home).find(|at| matches!(taken.get(*at), Some(None)));
            let slot = free.and_then(|at| taken.get_mut(at));
            *slot.ok_or(Fault::Unfit("a bucket is too full"))? = Some((*hash, *record));
        }
        for (number, slot) in taken.iter().enumerate() {
            let slot_at = at + bucket::SLOTS + number * bucket::SLOT;
            match slot {
                None => file.put_u32(slot_at, EMPTY)?,
                Some((hash, record)) => {
                    file.put_u32(slot_at, *hash)?;
                    slot_of(file, slot_at, record, data)?;
                }
            }
        }
        Ok(())
    }
}

/// Writes a slot and the key and value that it points to.
fn slot_of(file: &mut Page, at: usize, record: &Record, data: &mut usize) -> Result<(), Fault> {
    let (key, value) = (record.raw_key(), record.value());
    let start = key.get(..key.len().min(4)).unwrap_or_default();
    file.put(at + bucket::SLOT_KEY_START, start)?;
    file.put_u64(at + bucket::SLOT_POINTER, u64::from(narrow(*data)?))?;
    file.put_u32(at + bucket::SLOT_KEY_BYTES, narrow(key.len())?)?;
    file.put_u32(at + bucket::SLOT_VALUE_BYTES, narrow(value.len())?)?;
    file.put(*data, key)?;
    file.put(*data + key.len(), value)?;
    *data += key.len() + value.len();
    Ok(())
}
