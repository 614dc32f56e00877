//! Reads records one by one, and believes the file only when its end fits.

use std::fmt;
use std::io::{self, Read};

use crc32fast::Hasher;

use super::{Kind, MOST, Sum};

/// Why a file can't be read.
#[derive(Debug)]
pub enum Damage {
    /// It isn't as it was written.
    Damaged(&'static str),
    /// The disk didn't give it out: it may be as good as ever.
    Unreadable(io::Error),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(why) => f.write_str(why),
            Self::Unreadable(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Damage {}

impl From<Damage> for io::Error {
    fn from(damage: Damage) -> Self {
        match damage {
            Damage::Damaged(why) => Self::new(io::ErrorKind::InvalidData, why),
            Damage::Unreadable(error) => error,
        }
    }
}

/// The records of a file.
#[derive(Debug)]
pub struct Records<R> {
    source: R,
    sum: Sum,
    payload: Vec<u8>,
    ended: bool,
}

impl<R: Read> Records<R> {
    /// Reads the magic.
    ///
    /// # Errors
    /// It's another file's.
    pub fn new(mut source: R, magic: [u8; 8]) -> Result<Self, Damage> {
        let mut found = [0; 8];
        fill(&mut source, &mut found)?;
        if found != magic {
            return Err(Damage::Damaged("it begins like no file of this version"));
        }
        let mut sum = Sum::default();
        sum.crc.update(&found);
        Ok(Self { source, sum, payload: Vec::new(), ended: false })
    }

    /// The next record; `None` behind the end, when all that came before it is as it was written.
    ///
    /// # Errors
    /// [`Damage`], after which nothing more is to be had.
    #[expect(clippy::should_implement_trait, reason = "what it lends lives until the next one")]
    pub fn next(&mut self) -> Result<Option<(Kind, &[u8])>, Damage> {
        if self.ended {
            return Ok(None);
        }
        let (kind, crc) = self.frame()?;
        if kind == Kind::End {
            return self.end().map(|()| None);
        }
        self.sum.crc.combine(&crc);
        self.sum.note(kind, self.payload.len());
        Ok(Some((kind, &self.payload)))
    }

    /// What the last record held.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Bytes of text so far.
    pub fn text(&self) -> u64 {
        self.sum.text
    }

    /// Reads a record into `payload`, and returns the checksum of all its bytes.
    fn frame(&mut self) -> Result<(Kind, Hasher), Damage> {
        let mut start = [0; 5];
        fill(&mut self.source, &mut start)?;
        let [kind, a, b, c, d] = start;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let kind = Kind::new(kind).ok_or(Damage::Damaged("a record of an unknown kind"))?;
        if length > MOST {
            return Err(Damage::Damaged("a record is too long"));
        }
        self.payload.resize(length, 0);
        fill(&mut self.source, &mut self.payload)?;
        let mut written = [0; 4];
        fill(&mut self.source, &mut written)?;
        let mut crc = Hasher::new();
        crc.update(&start);
        crc.update(&self.payload);
        if crc.clone().finalize().to_le_bytes() != written {
            return Err(Damage::Damaged("the checksum of a record is wrong"));
        }
        crc.update(&written);
        Ok((kind, crc))
    }

    fn end(&mut self) -> Result<(), Damage> {
        if self.payload != self.sum.payload() {
            return Err(Damage::Damaged("its end doesn't fit what stands before it"));
        }
        loop {
            match self.source.read(&mut [0]) {
                Ok(0) => break,
                Ok(_) => return Err(Damage::Damaged("something stands behind its end")),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Damage::Unreadable(error)),
            }
        }
        self.ended = true;
        Ok(())
    }
}

fn fill(source: &mut impl Read, buffer: &mut [u8]) -> Result<(), Damage> {
    source.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Damage::Damaged("it ends too early"),
        _ => Damage::Unreadable(error),
    })
}
