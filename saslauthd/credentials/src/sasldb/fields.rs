//! Numbers at offsets of a page, in the byte order of the machine that made the file; nothing out of bounds.

use zeroize::Zeroizing;

use super::error::Fault;

/// The byte order of a file's integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    pub(super) fn u16_at(self, bytes: &[u8], at: usize) -> Option<u16> {
        let field = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(field),
            Self::Big => u16::from_be_bytes(field),
        })
    }

    pub(super) fn u32_at(self, bytes: &[u8], at: usize) -> Option<u32> {
        let field = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(field),
            Self::Big => u32::from_be_bytes(field),
        })
    }

    pub(super) fn u64_at(self, bytes: &[u8], at: usize) -> Option<u64> {
        let field = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u64::from_le_bytes(field),
            Self::Big => u64::from_be_bytes(field),
        })
    }

    /// A 32-bit count, length or position, as an index.
    pub(super) fn index_at(self, bytes: &[u8], at: usize) -> Option<usize> {
        usize::try_from(self.u32_at(bytes, at)?).ok()
    }
}

/// The `length` bytes at `at`.
pub(super) fn slice(bytes: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(length)?)
}

/// A page being written: zeros at first, so that no old secret is left between its records; wiped on drop.
pub(super) struct Page {
    bytes: Zeroizing<Vec<u8>>,
    order: Order,
}

impl Page {
    pub(super) fn new(size: usize, order: Order) -> Self {
        Self { bytes: Zeroizing::new(vec![0; size]), order }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) -> Result<(), Fault> {
        at.checked_add(bytes.len())
            .and_then(|end| self.bytes.get_mut(at..end))
            .ok_or(Fault::Unfit("a record is longer than a page of the file"))?
            .copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn put_u16(&mut self, at: usize, value: u16) -> Result<(), Fault> {
        match self.order {
            Order::Little => self.put(at, &value.to_le_bytes()),
            Order::Big => self.put(at, &value.to_be_bytes()),
        }
    }

    pub(super) fn put_u32(&mut self, at: usize, value: u32) -> Result<(), Fault> {
        match self.order {
            Order::Little => self.put(at, &value.to_le_bytes()),
            Order::Big => self.put(at, &value.to_be_bytes()),
        }
    }

    pub(super) fn put_u64(&mut self, at: usize, value: u64) -> Result<(), Fault> {
        match self.order {
            Order::Little => self.put(at, &value.to_le_bytes()),
            Order::Big => self.put(at, &value.to_be_bytes()),
        }
    }
}

/// A length or position as the 32 bits that the formats have for it.
pub(super) fn narrow(value: usize) -> Result<u32, Fault> {
    u32::try_from(value).map_err(|_| Fault::Unfit("the records need more than 4 GiB"))
}
