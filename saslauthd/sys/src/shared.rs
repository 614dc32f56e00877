//! A table of numbers that outlives a crashed child: atomic 64-bit words in sealed shared memory.
//!
//! The parent creates it and hands it to each new checker. Its size is sealed, so nobody who holds the
//! descriptor can shorten it and make another process fault. What the words mean, and whether they make
//! sense, is for the user of the table to check: another process may have written anything.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::{Error, Result};

/// A mapped table.
pub struct SharedTable {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and lives until drop.
unsafe impl Send for SharedTable {}
// SAFETY: only shared references to atomics are given out.
unsafe impl Sync for SharedTable {}

impl SharedTable {
    /// A new table of `words` zeroes, as a close-on-exec descriptor.
    pub fn create(words: usize) -> Result<OwnedFd> {
        let bytes = bytes(words)?;
        let fd = memfd_create(c"saslauthd", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)
            .map_err(Error::errno("make shared memory"))?;
        nix::unistd::ftruncate(&fd, bytes).map_err(Error::errno("size the shared memory"))?;
        fcntl(&fd, FcntlArg::F_ADD_SEALS(size_seals() | SealFlag::F_SEAL_SEAL))
            .map_err(Error::errno("seal the shared memory"))?;
        Ok(fd)
    }

    /// Maps a table that was handed over. Refused: another size, or a size that could still change.
    pub fn map(fd: impl AsFd, words: usize) -> Result<Self> {
        let bytes = bytes(words)?;
        let seals = fcntl(fd.as_fd(), FcntlArg::F_GET_SEALS)
            .map_err(Error::errno("read the seals of the shared table"))?;
        if !SealFlag::from_bits_retain(seals).contains(size_seals()) {
            return Err(Error::HandedOver("the shared table is not sealed".into()));
        }
        let stat =
            nix::sys::stat::fstat(fd.as_fd()).map_err(Error::errno("look at the shared table"))?;
        if stat.st_size != bytes {
            return Err(Error::HandedOver(format!(
                "the shared table has {} bytes, not {bytes}",
                stat.st_size
            )));
        }
        // SAFETY: a new mapping at an address of the kernel's choice, of a size just checked and sealed.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                words * size_of::<u64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_fd().as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(Error::system("map the shared table")(io::Error::last_os_error()));
        }
        let Some(start) = NonNull::new(start.cast()) else {
            return Err(Error::HandedOver("the shared table was mapped at address 0".into()));
        };
        Ok(Self { start, words })
    }

    /// All words.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: page-aligned, `words` long, mapped until drop, and every bit pattern is an AtomicU64;
        // others change it only through atomics.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for SharedTable {
    fn drop(&mut self) {
        // SAFETY: exactly what `map` mapped; no reference outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.words * size_of::<u64>()) };
    }
}

fn size_seals() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW
}

fn bytes(words: usize) -> Result<i64> {
    let bytes = words.checked_mul(size_of::<u64>()).and_then(|bytes| i64::try_from(bytes).ok());
    match bytes {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(Error::HandedOver(format!("a shared table cannot have {words} words"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn two_mappings_see_each_other_and_survive_the_descriptor() {
        let fd = SharedTable::create(1000).unwrap();
        let one = SharedTable::map(&fd, 1000).unwrap();
        let two = SharedTable::map(&fd, 1000).unwrap();
        drop(fd);
        assert!(one.words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
        one.words()[999].store(u64::MAX, Ordering::Relaxed);
        assert_eq!(two.words()[999].load(Ordering::Relaxed), u64::MAX);
        drop(one);
        assert_eq!(two.words()[999].fetch_add(1, Ordering::Relaxed), u64::MAX);
        assert_eq!(two.words().len(), 1000);
    }

    #[test]
    fn the_size_stays() {
        let fd = SharedTable::create(1000).unwrap();
        for size in [0, 100_000] {
            assert_eq!(nix::unistd::ftruncate(&fd, size), Err(nix::errno::Errno::EPERM));
        }
        assert!(matches!(SharedTable::map(&fd, 1001), Err(Error::HandedOver(_))));
        assert!(matches!(SharedTable::map(&fd, 0), Err(Error::HandedOver(_))));
        assert!(matches!(SharedTable::map(&fd, usize::MAX), Err(Error::HandedOver(_))));
    }

    #[test]
    fn unsealed_memory_and_files_are_refused() {
        let unsealed = memfd_create(c"x", MFdFlags::MFD_ALLOW_SEALING).unwrap();
        nix::unistd::ftruncate(&unsealed, 80).unwrap();
        assert!(matches!(SharedTable::map(&unsealed, 10), Err(Error::HandedOver(_))));
        let file = tempfile::tempfile().unwrap();
        file.set_len(80).unwrap();
        assert!(SharedTable::map(&file, 10).is_err());
    }
}
