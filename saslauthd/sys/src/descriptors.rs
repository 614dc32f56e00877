//! Descriptors at the start of a process: what was inherited, what is kept, what is closed.
//!
//! Every executable calls this first. It trusts the numbers that the parent and the child agreed on
//! and nothing else that happens to be open: a descriptor leaked by whoever started us is closed
//! before a single byte is read.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::{Error, Result};

/// The number at which a child finds its channel to the parent.
pub const CHANNEL: RawFd = 3;

/// Bit n is set when descriptor n was taken: a number has one owner.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Closes every descriptor above 2 that is not in `keep`.
///
/// Only for the first lines of `main`: whatever this process opened itself is closed too.
pub fn close_strays(keep: &[RawFd]) -> Result<()> {
    let mut kept: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    kept.retain(|fd| *fd > 2);
    kept.sort_unstable();
    kept.dedup();
    let mut first = 3;
    for fd in kept {
        if fd > first {
            close_from(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close_from(first, u32::MAX)
}

fn close_from(first: u32, last: u32) -> Result<()> {
    match close_range(first, last, 0) {
        Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => close_one_by_one(first, last),
        other => other.map_err(Error::system("close inherited descriptors")),
    }
}

/// close_range(2): closes, or marks with `CLOSE_RANGE_CLOEXEC`.
pub(crate) fn close_range(first: u32, last: u32, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: no memory is passed. The callers run before this process opened anything it keeps,
    // or only mark descriptors close-on-exec.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Kernels before 5.9.
fn close_one_by_one(first: u32, last: u32) -> Result<()> {
    let open = open_descriptors().map_err(Error::system("list /proc/self/fd"))?;
    for fd in open {
        let inside = u32::try_from(fd).is_ok_and(|fd| (first..=last).contains(&fd));
        if inside {
            // SAFETY: closing a number touches no memory; see `close_range` for who may call.
            unsafe { libc::close(fd) };
        }
    }
    Ok(())
}

/// The numbers of all open descriptors, in order.
pub fn open_descriptors() -> io::Result<Vec<RawFd>> {
    let listed: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    // The directory's own descriptor was in the list and is closed by now.
    let mut open: Vec<RawFd> = listed.into_iter().filter(|fd| is_open(*fd)).collect();
    open.sort_unstable();
    Ok(open)
}

fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD on any number only asks whether it is open.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    flags != -1
}

/// Opens `/dev/null` for each of 0, 1 and 2 that is closed, so that no later socket becomes
/// somebody's standard error.
pub fn open_standard_streams() -> Result<()> {
    for number in 0..=2 {
        if is_open(number) {
            continue;
        }
        let null = nix::fcntl::open("/dev/null", OFlag::O_RDWR, nix::sys::stat::Mode::empty())
            .map_err(Error::errno("open /dev/null"))?;
        duplicate_to(&null, number).map_err(Error::system("put /dev/null on a standard stream"))?;
        if null.as_raw_fd() <= 2 {
            // It is itself a standard stream now and stays open for ever.
            std::mem::forget(null);
        }
    }
    Ok(())
}

/// Takes ownership of a descriptor that was handed over at a fixed number, marks it close-on-exec and
/// says which number was missing if it is not open. Each number can be taken once; 0 to 63 only.
pub fn take(number: RawFd) -> Result<OwnedFd> {
    let bit = u32::try_from(number).ok().and_then(|n| 1_u64.checked_shl(n));
    let Some(bit) = bit else {
        return Err(Error::HandedOver(format!("descriptor {number} is not between 0 and 63")));
    };
    if !is_open(number) {
        return Err(Error::HandedOver(format!(
            "descriptor {number} is not open; this program is started by saslauthd, not by hand"
        )));
    }
    if TAKEN.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
        return Err(Error::HandedOver(format!("descriptor {number} was taken before")));
    }
    // SAFETY: the number is open, came with exec, and `TAKEN` makes this its only owner.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    set_close_on_exec(&fd).map_err(Error::system("mark a handed descriptor close-on-exec"))?;
    Ok(fd)
}

/// Makes `target` refer to what `fd` refers to, without close-on-exec. Whatever was at `target` is closed.
pub fn duplicate_to(fd: impl AsFd, target: RawFd) -> io::Result<()> {
    let source = fd.as_fd().as_raw_fd();
    if source == target {
        fcntl(fd.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
        return Ok(());
    }
    // SAFETY: dup2 touches no memory; replacing `target` is what the caller asks for.
    let answer = unsafe { libc::dup2(source, target) };
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Keeps a descriptor from surviving exec.
pub fn set_close_on_exec(fd: impl AsFd) -> io::Result<()> {
    fcntl(fd.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(())
}

/// Makes reads and writes return `WouldBlock` instead of waiting.
pub fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    change_flags(fd, |flags| flags | OFlag::O_NONBLOCK)
}

/// Makes reads and writes wait.
pub fn set_blocking(fd: impl AsFd) -> io::Result<()> {
    change_flags(fd, |flags| flags - OFlag::O_NONBLOCK)
}

/// Whether a write would go through now without waiting: of a page to a pipe, of a little to a socket or a terminal.
pub fn is_writable(fd: impl AsFd) -> io::Result<bool> {
    wait_writable(fd, Duration::ZERO)
}

/// The same, waiting for it no longer than `patience` (at most a minute).
pub fn wait_writable(fd: impl AsFd, patience: Duration) -> io::Result<bool> {
    let mut polled = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
    let patience = u16::try_from(patience.as_millis()).map_or(60_000, |wait| wait.min(60_000));
    match nix::poll::poll(&mut polled, PollTimeout::from(patience)) {
        Ok(count) => Ok(count > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn change_flags(fd: impl AsFd, change: impl FnOnce(OFlag) -> OFlag) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(fd.as_fd(), FcntlArg::F_SETFL(change(flags)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_child::in_child;

    fn null() -> std::fs::File {
        std::fs::File::open("/dev/null").expect("/dev/null exists")
    }

    #[test]
    fn closes_all_but_the_kept() {
        in_child("descriptors::tests::closes_all_but_the_kept", || {
            for number in [3, 17, 40, 41, 50, 900] {
                duplicate_to(null(), number).unwrap();
            }
            close_strays(&[41, 40, 17, 1, -1, 41]).unwrap();
            assert_eq!(open_descriptors().unwrap(), [0, 1, 2, 17, 40, 41]);
            close_strays(&[]).unwrap();
            assert_eq!(open_descriptors().unwrap(), [0, 1, 2]);
        });
    }

    #[test]
    fn a_full_pipe_is_not_writable() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        set_nonblocking(&writer).unwrap();
        assert!(is_writable(&writer).unwrap());
        while nix::unistd::write(&writer, &[0; 4096]).is_ok() {}
        assert!(!is_writable(&writer).unwrap());
        nix::unistd::read(&reader, &mut [0; 4096]).unwrap();
        assert!(is_writable(&writer).unwrap());
        assert!(wait_writable(&writer, Duration::MAX).unwrap());
    }

    #[test]
    fn the_way_of_old_kernels_closes_the_same() {
        in_child("descriptors::tests::the_way_of_old_kernels_closes_the_same", || {
            for number in [17, 40, 41, 900] {
                duplicate_to(null(), number).unwrap();
            }
            close_one_by_one(41, u32::MAX).unwrap();
            let open = open_descriptors().unwrap();
            assert!(open.contains(&17) && open.contains(&40), "{open:?}");
            assert!(!open.contains(&41) && !open.contains(&900), "{open:?}");
        });
    }

    #[test]
    fn closed_standard_streams_become_null() {
        in_child("descriptors::tests::closed_standard_streams_become_null", || {
            // Standard output stays: the test reports through it.
            nix::unistd::close(0).unwrap();
            nix::unistd::close(2).unwrap();
            let before = open_descriptors().unwrap();
            open_standard_streams().unwrap();
            for number in [0, 2] {
                let target = std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap();
                assert_eq!(target.to_str(), Some("/dev/null"));
            }
            assert_eq!(open_descriptors().unwrap().len(), before.len() + 2, "none left over");
        });
    }

    #[test]
    fn a_number_is_taken_once_and_only_if_open() {
        in_child("descriptors::tests::a_number_is_taken_once_and_only_if_open", || {
            duplicate_to(null(), 33).unwrap();
            let taken = take(33).unwrap();
            let flags = fcntl(&taken, FcntlArg::F_GETFD).unwrap();
            assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
            assert!(matches!(take(33), Err(Error::HandedOver(_))));
            assert!(matches!(take(34), Err(Error::HandedOver(_))));
            assert!(matches!(take(-1), Err(Error::HandedOver(_))));
            assert!(matches!(take(64), Err(Error::HandedOver(_))));
        });
    }

    #[test]
    fn blocking_is_switched() {
        let (ours, _theirs) = crate::channel::pair(crate::channel::Kind::Packets).unwrap();
        set_nonblocking(&ours).unwrap();
        let nothing = crate::channel::receive_plain(&ours, &mut [0; 8]);
        assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        set_blocking(&ours).unwrap();
        let flags = OFlag::from_bits_retain(fcntl(&ours, FcntlArg::F_GETFL).unwrap());
        assert!(!flags.contains(OFlag::O_NONBLOCK));
    }
}
