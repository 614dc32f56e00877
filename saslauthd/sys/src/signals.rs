//! Signals as bytes on a descriptor, and waiting for several descriptors at once.
//!
//! No signal handler exists in the house (the lesson of CVE-2024-6387): signals are blocked and read like any
//! other input by a loop that is nowhere else at that moment.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::{Error, Result};

/// The signals that a process of the house answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: finish.
    Terminate,
    /// SIGINT: finish, from a terminal.
    Interrupt,
    /// SIGHUP: read the configuration again.
    Hangup,
    /// SIGCHLD: a child ended.
    Child,
    /// SIGUSR1.
    User1,
    /// SIGALRM: nothing of ours sets an alarm, and a stray one must not end the house.
    Alarm,
}

impl Signal {
    const ALL: [Self; 6] =
        [Self::Terminate, Self::Interrupt, Self::Hangup, Self::Child, Self::User1, Self::Alarm];

    fn native(self) -> nix::sys::signal::Signal {
        match self {
            Self::Terminate => nix::sys::signal::Signal::SIGTERM,
            Self::Interrupt => nix::sys::signal::Signal::SIGINT,
            Self::Hangup => nix::sys::signal::Signal::SIGHUP,
            Self::Child => nix::sys::signal::Signal::SIGCHLD,
            Self::User1 => nix::sys::signal::Signal::SIGUSR1,
            Self::Alarm => nix::sys::signal::Signal::SIGALRM,
        }
    }
}

/// All of [`Signal`], blocked, and readable from a descriptor.
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks the signals in this thread, which must be the only one: threads made later inherit that.
    pub fn block() -> Result<Self> {
        let mut set = SigSet::empty();
        for signal in Signal::ALL {
            set.add(signal.native());
        }
        set.thread_block().map_err(Error::errno("block signals"))?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(Error::errno("open a signal descriptor"))?;
        Ok(Self(fd))
    }

    /// The next signal that waits, if one does. Several of one kind may arrive as one.
    pub fn read(&self) -> io::Result<Option<Signal>> {
        let info = match self.0.read_signal() {
            Ok(Some(info)) => info,
            // What waits, waits for the next look.
            Ok(None) | Err(Errno::EINTR) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let number = i32::try_from(info.ssi_signo).unwrap_or_default();
        Ok(Signal::ALL.into_iter().find(|signal| signal.native() as i32 == number))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What poll(2) found about one descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing yet.
    Idle,
    /// Bytes, a connection, a signal, or the end of a process waits; or the peer closed: the next read tells.
    Readable,
}

/// Waits until a descriptor is readable or the time is over; the answers stand in the order of `fds`.
/// `None` waits for ever. Being interrupted counts as time over.
pub fn wait_readable(
    fds: &[BorrowedFd<'_>],
    timeout: Option<Duration>,
) -> io::Result<Vec<Readiness>> {
    let mut polled: Vec<PollFd<'_>> =
        fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    let timeout = match timeout {
        None => PollTimeout::NONE,
        // Rounded up, so that a caller with a deadline never spins through its last millisecond.
        Some(time) => {
            let milliseconds = time.as_nanos().div_ceil(1_000_000);
            PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
        }
    };
    match nix::poll::poll(&mut polled, timeout) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok(vec![Readiness::Idle; fds.len()]),
        Err(errno) => return Err(errno.into()),
    }
    Ok(polled.iter().map(readiness).collect())
}

fn readiness(polled: &PollFd<'_>) -> Readiness {
    match polled.any() {
        // An unknown flag is something to look at.
        Some(true) | None => Readiness::Readable,
        Some(false) => Readiness::Idle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_child::in_child;

    fn drain(signals: &Signals) -> Vec<Signal> {
        std::iter::from_fn(|| signals.read().unwrap()).collect()
    }

    #[test]
    fn signals_become_readable() {
        in_child("signals::tests::signals_become_readable", || {
            let signals = Signals::block().unwrap();
            let now = Some(Duration::ZERO);
            assert_eq!(wait_readable(&[signals.as_fd()], now).unwrap(), [Readiness::Idle]);
            assert_eq!(signals.read().unwrap(), None);
            for signal in Signal::ALL {
                nix::sys::signal::kill(nix::unistd::getpid(), signal.native()).unwrap();
            }
            assert_eq!(wait_readable(&[signals.as_fd()], now).unwrap(), [Readiness::Readable]);
            let mut seen = drain(&signals);
            seen.sort_unstable_by_key(|signal| signal.native() as i32);
            let mut all = Signal::ALL;
            all.sort_unstable_by_key(|signal| signal.native() as i32);
            assert_eq!(seen, all);
        });
    }

    #[test]
    fn f11_a_storm_is_only_input() {
        in_child("signals::tests::f11_a_storm_is_only_input", || {
            let signals = Signals::block().unwrap();
            for _ in 0..1000 {
                for signal in Signal::ALL {
                    nix::sys::signal::kill(nix::unistd::getpid(), signal.native()).unwrap();
                }
            }
            assert_eq!(drain(&signals).len(), Signal::ALL.len());
        });
    }

    #[test]
    fn answers_stand_in_the_order_of_the_question() {
        let (idle, _idle_end) = std::io::pipe().unwrap();
        let (ready, mut writer) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut writer, b"x").unwrap();
        let fds = [idle.as_fd(), ready.as_fd(), idle.as_fd()];
        let answers = wait_readable(&fds, None).unwrap();
        assert_eq!(answers, [Readiness::Idle, Readiness::Readable, Readiness::Idle]);
    }
}
