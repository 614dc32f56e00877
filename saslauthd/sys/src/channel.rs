//! Channels between our own processes: socket pairs, and the passing of descriptors over them.
//!
//! The other end may have been taken over, so nothing it sends is trusted: a message longer than the
//! buffer, more descriptors than agreed, or descriptors where none belong are errors, and descriptors
//! that came with them are closed before the caller sees anything.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};

use crate::peer::checked;

/// Most descriptors that one message carries, either way.
pub const MAX_DESCRIPTORS: usize = 32;

/// How bytes travel over a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SOCK_SEQPACKET: one send is one receive.
    Packets,
    /// SOCK_STREAM.
    Stream,
}

/// A connected pair, both ends close-on-exec and blocking.
pub fn pair(kind: Kind) -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = match kind {
        Kind::Packets => SockType::SeqPacket,
        Kind::Stream => SockType::Stream,
    };
    Ok(socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Asks for send and receive buffers of about this many bytes (the kernel doubles and caps it).
pub fn set_buffers(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    setsockopt(&socket, sockopt::SndBuf, &bytes)?;
    setsockopt(&socket, sockopt::RcvBuf, &bytes)?;
    Ok(())
}

/// Sends one message; waits or returns `WouldBlock` as the descriptor is set. No SIGPIPE.
pub fn send(channel: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    send_with_fds(channel, bytes, &[])
}

/// Sends one message with descriptors, of which the peer receives copies.
///
/// `bytes` must not be empty when descriptors go along: on a stream they would be lost.
pub fn send_with_fds(
    channel: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    if descriptors.len() > MAX_DESCRIPTORS || (bytes.is_empty() && !descriptors.is_empty()) {
        return Err(invalid_input(
            "more descriptors than one message carries, or no bytes with them",
        ));
    }
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [nix::sys::socket::ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { rights.get(..0) } else { rights.get(..) };
    loop {
        let sent = nix::sys::socket::sendmsg::<()>(
            channel.as_fd().as_raw_fd(),
            &[IoSlice::new(bytes)],
            control.unwrap_or_default(),
            nix::sys::socket::MsgFlags::MSG_NOSIGNAL,
            None,
        );
        match sent {
            Err(nix::errno::Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Receives one message and at most `most` descriptors, all close-on-exec.
///
/// `(0, [])` is the end of the channel. A message longer than `buffer` or with more descriptors than
/// `most` is `InvalidData`: the peer broke the agreement and should be ended.
pub fn receive_with_fds(
    channel: impl AsFd,
    buffer: &mut [u8],
    most: usize,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    // Room for all that a message can carry, so that surplus ones arrive here to be counted and closed.
    let mut control = [MaybeUninit::<libc::cmsghdr>::uninit(); CONTROL_HEADERS];
    let (count, flags, descriptors) = receive_message(channel.as_fd(), buffer, &mut control)?;
    complain(flags)?;
    if descriptors.len() > most {
        return Err(invalid_data("more descriptors than agreed"));
    }
    Ok((count, descriptors))
}

/// Receives one message with no room for descriptors: if the peer sends any, the kernel drops them and this
/// is `InvalidData`. `Ok(0)` is the end of the channel.
pub fn receive_plain(channel: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (count, flags, _) = receive_message(channel.as_fd(), buffer, &mut [])?;
    complain(flags)?;
    Ok(count)
}

/// Headers' worth of control space for SCM_MAX_FD (253) descriptors, rounded up.
const CONTROL_HEADERS: usize =
    1 + (253 * size_of::<RawFd>()).div_ceil(size_of::<libc::cmsghdr>()) + 1;

fn receive_message(
    channel: BorrowedFd<'_>,
    buffer: &mut [u8],
    control: &mut [MaybeUninit<libc::cmsghdr>],
) -> io::Result<(usize, libc::c_int, Vec<OwnedFd>)> {
    let mut slices = [IoSliceMut::new(buffer)];
    // SAFETY: an all-zero msghdr is a valid one that describes nothing.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = slices.as_mut_ptr().cast();
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(control);
    let count = loop {
        // SAFETY: `header` describes live buffers with their true lengths; IoSliceMut has the layout of iovec.
        let answer =
            unsafe { libc::recvmsg(channel.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) };
        match checked(answer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    Ok((count, header.msg_flags, take_descriptors(&header)))
}

/// Owns every descriptor that came, so that each is closed whatever happens next.
fn take_descriptors(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut taken = Vec::new();
    // SAFETY: the kernel filled the control buffer and set msg_controllen to what it wrote.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: the CMSG macros return null or a pointer to a whole header inside the buffer.
    while let Some(message) = unsafe { next.as_ref() } {
        if message.cmsg_level == libc::SOL_SOCKET && message.cmsg_type == libc::SCM_RIGHTS {
            take_rights(message, &mut taken);
        }
        // SAFETY: `message` is inside the control buffer that `header` describes.
        next = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    taken
}

fn take_rights(message: &libc::cmsghdr, taken: &mut Vec<OwnedFd>) {
    // SAFETY: CMSG_LEN only computes the size of a header with its padding.
    let overhead = unsafe { libc::CMSG_LEN(0) } as usize;
    let bytes = message.cmsg_len.saturating_sub(overhead);
    // SAFETY: CMSG_DATA points behind the header, where the kernel wrote `bytes` bytes.
    let data = unsafe { libc::CMSG_DATA(message) };
    for place in 0..bytes / size_of::<RawFd>() {
        // SAFETY: `place` is within the bytes that the kernel wrote.
        let at = unsafe { data.add(place * size_of::<RawFd>()) };
        // SAFETY: four written bytes are at `at`; no alignment is assumed.
        let raw = unsafe { at.cast::<RawFd>().read_unaligned() };
        // SAFETY: the kernel made this descriptor for us with this message; nobody else owns it.
        taken.push(unsafe { OwnedFd::from_raw_fd(raw) });
    }
}

fn complain(flags: libc::c_int) -> io::Result<()> {
    if flags & libc::MSG_CTRUNC != 0 {
        return Err(invalid_data("descriptors or control data that were not agreed"));
    }
    if flags & libc::MSG_TRUNC != 0 {
        return Err(invalid_data("a message longer than agreed"));
    }
    Ok(())
}

fn invalid_data(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn invalid_input(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn packets() -> (OwnedFd, OwnedFd) {
        pair(Kind::Packets).unwrap()
    }

    /// A pipe whose reading end tells by its end that all copies of the writing end are closed.
    fn witness() -> (std::io::PipeReader, std::io::PipeWriter) {
        std::io::pipe().unwrap()
    }

    fn is_closed(mut reader: std::io::PipeReader) -> bool {
        // Other tests start processes, which hold copies of everything until they exec.
        let patience = Some(std::time::Duration::from_secs(10));
        let end = crate::signals::wait_readable(&[reader.as_fd()], patience).unwrap();
        end == [crate::signals::Readiness::Readable] && matches!(reader.read(&mut [0; 1]), Ok(0))
    }

    #[test]
    fn descriptors_arrive_and_work() {
        for kind in [Kind::Packets, Kind::Stream] {
            let (left, right) = pair(kind).unwrap();
            let (mut reader, writer) = witness();
            assert_eq!(send_with_fds(&left, b"two", &[writer.as_fd(), left.as_fd()]).unwrap(), 3);
            drop(writer);
            let mut buffer = [0; 16];
            let (count, mut fds) = receive_with_fds(&right, &mut buffer, 2).unwrap();
            assert_eq!((&buffer[..count], fds.len()), (&b"two"[..], 2));
            for fd in &fds {
                let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFD).unwrap();
                assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
            }
            let writer = fds.swap_remove(0);
            nix::unistd::write(&writer, b"x").unwrap();
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            assert_eq!(&byte, b"x");
            drop((writer, fds));
            assert!(is_closed(reader));
        }
    }

    #[test]
    fn surplus_descriptors_are_closed_and_an_error() {
        let (left, right) = packets();
        let (reader, writer) = witness();
        send_with_fds(&left, b"x", &[writer.as_fd(), writer.as_fd()]).unwrap();
        drop(writer);
        let error = receive_with_fds(&right, &mut [0; 8], 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(is_closed(reader));
    }

    #[test]
    fn descriptors_where_none_belong_are_closed_and_an_error() {
        let (left, right) = packets();
        let (reader, writer) = witness();
        send_with_fds(&left, b"x", &[writer.as_fd()]).unwrap();
        drop(writer);
        let error = receive_plain(&right, &mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(is_closed(reader));
    }

    #[test]
    fn as_many_as_the_kernel_carries_are_still_counted() {
        let (left, right) = packets();
        let (reader, writer) = witness();
        // What a hostile peer can do that our own sending refuses.
        let raw = [writer.as_raw_fd(); 253];
        let rights = [nix::sys::socket::ControlMessage::ScmRights(&raw)];
        nix::sys::socket::sendmsg::<()>(
            left.as_raw_fd(),
            &[IoSlice::new(b"x")],
            &rights,
            nix::sys::socket::MsgFlags::empty(),
            None,
        )
        .unwrap();
        drop(writer);
        let error = receive_with_fds(&right, &mut [0; 8], 4).unwrap_err();
        assert_eq!(error.to_string(), "more descriptors than agreed");
        assert!(is_closed(reader));
    }

    #[test]
    fn a_long_message_is_an_error_and_the_next_one_is_whole() {
        let (left, right) = packets();
        send(&left, &[7; 9]).unwrap();
        send(&left, &[8; 8]).unwrap();
        let error = receive_plain(&right, &mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let mut buffer = [0; 8];
        assert_eq!(receive_plain(&right, &mut buffer).unwrap(), 8);
        assert_eq!(buffer, [8; 8]);
    }

    #[test]
    fn the_end_is_told_from_nothing_yet() {
        let (left, right) = packets();
        drop(left);
        assert_eq!(receive_plain(&right, &mut [0; 8]).unwrap(), 0);
        assert_eq!(receive_with_fds(&right, &mut [0; 8], 1).unwrap().0, 0);
        assert_eq!(send(&right, b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn what_would_be_lost_is_refused() {
        let (left, _right) = packets();
        let none = send_with_fds(&left, b"", &[left.as_fd()]).unwrap_err();
        let many = send_with_fds(&left, b"x", &[left.as_fd(); MAX_DESCRIPTORS + 1]).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(many.kind(), io::ErrorKind::InvalidInput);
    }
}
