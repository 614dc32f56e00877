//! A text that is handed to a child whole: sealed memory that nobody can change any more.
//!
//! Messages between parent and child have a limit, and a child opens no file. The parent writes, the child checks the
//! seals and reads; neither needs to trust that the other keeps its hands off the memory meanwhile.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::{Error, Result};

/// Sealed memory with these bytes, close-on-exec, to be read from its beginning once.
pub fn seal(bytes: &[u8]) -> Result<OwnedFd> {
    let fd = memfd_create(c"saslauthd", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)
        .map_err(Error::errno("make sealed memory"))?;
    let mut file = File::from(fd);
    file.write_all(bytes).map_err(Error::system("fill the sealed memory"))?;
    // The offset travels with the descriptor.
    file.rewind().map_err(Error::system("rewind the sealed memory"))?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals() | SealFlag::F_SEAL_SEAL))
        .map_err(Error::errno("seal the memory"))?;
    Ok(file.into())
}

/// What was sealed. `length` is what whoever handed it over says; any other length is an error, and so is memory
/// without its seals.
///
/// It makes no system call but read(2) and fcntl(2), which is what the listener may.
pub fn read(fd: OwnedFd, length: usize) -> io::Result<Vec<u8>> {
    let found = fcntl(fd.as_fd(), FcntlArg::F_GET_SEALS)?;
    if !SealFlag::from_bits_retain(found).contains(seals()) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the memory is not sealed"));
    }
    let mut file = File::from(fd);
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    while bytes.len() <= length {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if bytes.len() != length {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the memory has another length"));
    }
    Ok(bytes)
}

fn seals() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_read_and_cannot_be_changed() {
        let text = "x".repeat(200_000);
        let fd = seal(text.as_bytes()).unwrap();
        let mut other = File::from(fd.try_clone().unwrap());
        assert!(other.write_all(b"y").is_err());
        assert_eq!(read(fd, text.len()).unwrap(), text.as_bytes());
        assert_eq!(read(seal(b"").unwrap(), 0).unwrap(), b"");
    }

    #[test]
    fn another_length_and_no_seals_are_refused() {
        for length in [0, 2, 4, usize::MAX - 1] {
            assert!(read(seal(b"abc").unwrap(), length).is_err(), "{length}");
        }
        let file = tempfile::tempfile().unwrap();
        assert!(read(file.into(), 0).is_err());
    }
}
