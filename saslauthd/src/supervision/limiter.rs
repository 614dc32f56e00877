//! The limiter's memory: a table that outlives the checker, and a file that outlives the daemon.
//!
//! Runs in the parent, which knows nothing of what the words mean; the checker validates them and distrusts
//! what does not make sense. The file is only a cache: one that is damaged is left out with a warning.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use sys::dir::{Directory, Links};
use sys::shared::SharedTable;

/// The file's name in the state directory.
const NAME: &str = "limits";
const MAGIC: &[u8; 8] = b"SASLLIM\x01";
/// A word that is not zero, in the file: its place and its value.
const RECORD: usize = 4 + 8;
/// Words that are read at a time.
const CHUNK: usize = 4096;

/// The shared table.
pub struct Limiter {
    table: File,
    words: usize,
}

impl Limiter {
    /// A new table of zeroes.
    pub fn new(words: usize) -> sys::Result<Self> {
        Ok(Self { table: SharedTable::create(words)?.into(), words })
    }

    /// How many words it has.
    pub fn words(&self) -> usize {
        self.words
    }

    /// Takes over what was saved. Says what is wrong when that is of no use; a missing file is none.
    pub fn load(&self, state_dir: &Path) -> Result<(), String> {
        let path = state_dir.join(NAME);
        if !path.exists() {
            return Ok(());
        }
        let unusable = |why: &str| format!("{}: {why}; limits start empty", path.display());
        let most = u64::try_from(self.words.saturating_mul(RECORD) + 64).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        sys::dir::open_regular(&path, most, Links::Refuse)
            .map_err(|e| unusable(&e.to_string()))?
            .read_to_end(&mut bytes)
            .map_err(|e| unusable(&e.to_string()))?;
        let records =
            decode(&bytes, self.words).ok_or_else(|| unusable("damaged, or of another size"))?;
        for (place, value) in records {
            let written = self.table.write_all_at(&value.to_ne_bytes(), offset(place));
            written.map_err(|e| unusable(&e.to_string()))?;
        }
        Ok(())
    }

    /// Saves it so that it survives a power failure.
    pub fn save(&self, state_dir: &Path) -> Result<(), String> {
        let failed = |why: &dyn std::fmt::Display| {
            format!("{}: {why}; limits are forgotten", state_dir.join(NAME).display())
        };
        let records = self.records().map_err(|e| failed(&e))?;
        let directory = Directory::open(state_dir).map_err(|e| failed(&e))?;
        // It holds the key of the hashed names.
        directory.write_durably(NAME, &encode(self.words, &records), 0o600).map_err(|e| failed(&e))
    }

    /// The words that are not zero. Read, not mapped: reading a hole does not fill it.
    fn records(&self) -> std::io::Result<Vec<(u32, u64)>> {
        let mut records = Vec::new();
        let mut buffer = [0; CHUNK * 8];
        let mut first = 0;
        while first < self.words {
            let count = CHUNK.min(self.words - first);
            let chunk = buffer.get_mut(..count * 8).unwrap_or_default();
            self.table.read_exact_at(chunk, offset(u32::try_from(first).unwrap_or(u32::MAX)))?;
            for (place, word) in chunk.as_chunks::<8>().0.iter().enumerate() {
                let (place, value) = (u32::try_from(first + place), u64::from_ne_bytes(*word));
                if let (Ok(place), 1..) = (place, value) {
                    records.push((place, value));
                }
            }
            first += count;
        }
        Ok(records)
    }
}

impl AsFd for Limiter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.table.as_fd()
    }
}

fn offset(place: u32) -> u64 {
    u64::from(place) * 8
}

/// Magic, words of the table, records, check.
fn encode(words: usize, records: &[(u32, u64)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24 + records.len() * RECORD);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&u64::try_from(words).unwrap_or(u64::MAX).to_le_bytes());
    for (place, value) in records {
        bytes.extend_from_slice(&place.to_le_bytes());
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    let check = check(&bytes);
    bytes.extend_from_slice(&check.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8], words: usize) -> Option<Vec<(u32, u64)>> {
    let (body, stored) = bytes.split_last_chunk::<8>()?;
    if check(body) != u64::from_le_bytes(*stored) {
        return None;
    }
    let (size, records) = body.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
    if usize::try_from(u64::from_le_bytes(*size)).ok()? != words {
        return None;
    }
    let (records, []) = records.as_chunks::<RECORD>() else { return None };
    let record = |record: &[u8; RECORD]| {
        let (place, value) = record.split_first_chunk::<4>()?;
        let place = u32::from_le_bytes(*place);
        let inside = usize::try_from(place).is_ok_and(|place| place < words);
        inside.then_some((place, u64::from_le_bytes(*value.first_chunk()?)))
    };
    records.iter().map(record).collect()
}

/// FNV-1a: against damage, not against forgers, who would have to be root.
fn check(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Where the state is, made when it is missing.
pub fn prepare(state_dir: &Path) -> sys::Result<()> {
    // Others may pass through to `accounts`, which has an owner of its own; there is nothing else to see.
    Directory::open_or_create(state_dir, 0o711, None).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    fn private() -> tempfile::TempDir {
        tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o700)).tempdir().unwrap()
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let directory = private();
        let limiter = Limiter::new(10_000).unwrap();
        assert_eq!(limiter.load(directory.path()), Ok(()));
        for (place, value) in [(0, 7), (4_095, 1), (4_096, 2), (9_999, u64::MAX)] {
            limiter.table.write_all_at(&u64::to_ne_bytes(value), offset(place)).unwrap();
        }
        limiter.save(directory.path()).unwrap();
        let facts = std::fs::metadata(directory.path().join(NAME)).unwrap();
        assert_eq!(facts.permissions().mode() & 0o777, 0o600);
        let again = Limiter::new(10_000).unwrap();
        again.load(directory.path()).unwrap();
        assert_eq!(again.records().unwrap(), limiter.records().unwrap());
        assert_eq!(again.records().unwrap().len(), 4);
    }

    #[test]
    fn c10_a_damaged_file_is_left_out() {
        let directory = private();
        let limiter = Limiter::new(100).unwrap();
        limiter.table.write_all_at(&7u64.to_ne_bytes(), 0).unwrap();
        limiter.save(directory.path()).unwrap();
        let path = directory.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            let again = Limiter::new(100).unwrap();
            assert!(again.load(directory.path()).unwrap_err().contains("limits start empty"));
            assert_eq!(again.records().unwrap(), []);
        }
        std::fs::write(&path, &whole).unwrap();
        assert!(Limiter::new(101).unwrap().load(directory.path()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, 10);
            let check = check(&bytes);
            bytes.extend_from_slice(&check.to_le_bytes());
            let _ = decode(&bytes, 10);
        }
    }
}
