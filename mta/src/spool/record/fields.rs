//! Numbers and texts within a payload.

use super::Damage;

/// What is left of a payload.
pub(in crate::spool) struct Fields<'a>(pub(in crate::spool) &'a [u8]);

const SHORT: Damage = Damage::Damaged("a record is shorter than what it holds");

impl<'a> Fields<'a> {
    pub(in crate::spool) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (first, rest) = self.0.split_first_chunk::<N>().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(in crate::spool) fn byte(&mut self) -> Result<u8, Damage> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    pub(in crate::spool) fn yes(&mut self) -> Result<bool, Damage> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Damage::Damaged("neither yes nor no")),
        }
    }

    pub(in crate::spool) fn short(&mut self) -> Result<u16, Damage> {
        self.bytes().map(u16::from_le_bytes)
    }

    pub(in crate::spool) fn word(&mut self) -> Result<u32, Damage> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(in crate::spool) fn long(&mut self) -> Result<u64, Damage> {
        self.bytes().map(u64::from_le_bytes)
    }

    pub(in crate::spool) fn text(&mut self) -> Result<&'a str, Damage> {
        let length = self.word()? as usize;
        let (text, rest) = self.0.split_at_checked(length).ok_or(SHORT)?;
        self.0 = rest;
        str::from_utf8(text).map_err(|_| Damage::Damaged("a text isn't UTF-8"))
    }

    /// Nothing may be left.
    pub(in crate::spool) fn end(&self) -> Result<(), Damage> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(Damage::Damaged("a record is longer than what it holds")),
        }
    }
}

/// A text with its length before it.
pub(in crate::spool) fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}
