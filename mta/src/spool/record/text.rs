//! The text of a message in its file, read piece by piece.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::{Damage, END, Kind, MESSAGE, Records, Walk};
use crate::spool::id::Id;

/// Reads a text from its first byte. It ends only where all of the file was as it was written.
#[derive(Debug)]
pub(in crate::spool) struct Text {
    records: Records<BufReader<From>>,
    walk: Walk,
    /// What is left of the piece that was read last.
    piece: Vec<u8>,
    at: usize,
}

/// A file that others read too, at places of their own.
#[derive(Debug)]
struct From {
    file: Arc<File>,
    at: u64,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Text {
    /// Goes to the text in this message's file.
    ///
    /// # Errors
    /// [`Damage`]: also when it is another message's.
    pub(in crate::spool) fn open(file: Arc<File>, id: Id) -> Result<Self, Damage> {
        let from = BufReader::with_capacity(32 * 1024, From { file, at: 0 });
        let mut records = Records::new(from, MESSAGE)?;
        let walk = Walk::begin(&mut records)?;
        match walk.id == id {
            true => Ok(Self { records, walk, piece: Vec::new(), at: 0 }),
            false => Err(Damage::Damaged("it is another message's file")),
        }
    }

    /// Reads all that is left, for its checksums alone.
    ///
    /// # Errors
    /// [`Damage`].
    pub(in crate::spool) fn validate(mut self) -> Result<(), Damage> {
        while self.walk.next(&mut self.records)?.is_some() {}
        Ok(())
    }
}

impl Read for Text {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.piece.len() {
            let Some(piece) = self.walk.next(&mut self.records)? else { return Ok(0) };
            self.piece.clear();
            self.piece.extend_from_slice(piece);
            self.at = 0;
        }
        let rest = self.piece.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.at += count;
        Ok(count)
    }
}

/// Bytes of text, as the end of the file says.
///
/// # Errors
/// [`Damage`].
pub(in crate::spool) fn length(file: &File) -> Result<u64, Damage> {
    const NONE: Damage = Damage::Damaged("it has no end");
    let all = file.metadata().map_err(Damage::Unreadable)?.len();
    let mut end = [0; END];
    let start = all.checked_sub(END as u64).ok_or(NONE)?;
    file.read_exact_at(&mut end, start).map_err(Damage::Unreadable)?;
    let (record, crc) = end.split_at(END - 4);
    let whole = crc32fast::hash(record).to_le_bytes() == crc;
    let kind = record.first().copied().and_then(Kind::new);
    // Behind kind, length and the number of records.
    match record.get(9..17).map(TryInto::try_into) {
        Some(Ok(text)) if whole && kind == Some(Kind::End) => Ok(u64::from_le_bytes(text)),
        _ => Err(NONE),
    }
}
