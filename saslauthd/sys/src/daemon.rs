//! Going into the background: the caller's process waits until the daemon serves, and ends as it says.
//!
//! Only the single-threaded parent calls this, before it opens anything that it keeps. The original tells its
//! caller of success before the socket is bound; here the daemon speaks once it answers.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, pipe2, setsid};

use crate::{Error, Result, descriptors, harden};

/// In which process [`detach`] returned.
#[derive(Debug)]
pub enum Side {
    /// The caller's process, after the daemon served or ended: what to exit with.
    Caller(u8),
    /// The daemon.
    Daemon(Waiting),
}

/// Somebody waits for the daemon to serve. Dropped without [`Waiting::serving`] the caller ends as the
/// daemon does.
#[derive(Debug)]
pub struct Waiting(File);

/// Forks. The daemon gets a session of its own; its standard streams stay until [`Waiting::serving`].
pub fn detach() -> Result<Side> {
    let alone = harden::is_single_threaded().map_err(Error::system("list /proc/self/task"))?;
    if !alone {
        return Err(Error::HandedOver("a daemon detaches before threads exist".into()));
    }
    let (reading, writing) =
        pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(Error::errno("make a pipe"))?;
    // SAFETY: there is one thread, checked above, so the child may do whatever its parent may.
    let forked = unsafe { fork() };
    match forked.map_err(Error::errno("start the daemon's process"))? {
        ForkResult::Child => {
            drop(reading);
            setsid().map_err(Error::errno("leave the caller's session"))?;
            Ok(Side::Daemon(Waiting(File::from(writing))))
        }
        ForkResult::Parent { child } => {
            drop(writing);
            let mut told = [0; 1];
            if matches!(File::from(reading).read(&mut told), Ok(1)) {
                return Ok(Side::Caller(0));
            }
            Ok(Side::Caller(match waitpid(child, None) {
                Ok(WaitStatus::Exited(_, code)) => u8::try_from(code).unwrap_or(1).max(1),
                _ => 1,
            }))
        }
    }
}

impl Waiting {
    /// Lets the caller go with exit code 0 and lets go of its standard streams.
    pub fn serving(mut self) -> Result<()> {
        let null = File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .map_err(Error::system("open /dev/null"))?;
        for stream in 0..=2 {
            descriptors::duplicate_to(null.as_fd(), stream)
                .map_err(Error::system("put /dev/null on a standard stream"))?;
        }
        // A caller that does not wait any longer is no fault of ours.
        let _ = self.0.write_all(&[1]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_child;

    #[test]
    fn the_caller_ends_as_the_daemon_does() {
        const TEST: &str = "daemon::tests::the_caller_ends_as_the_daemon_does";
        if in_child::am_child() {
            let code = in_child::argument("code").unwrap();
            let ended = in_child::alone(|| match detach().unwrap() {
                Side::Caller(code) => std::process::exit(code.into()),
                Side::Daemon(waiting) if code == "serving" => waiting.serving().unwrap(),
                Side::Daemon(_) => std::process::exit(code.parse().unwrap()),
            });
            let crate::children::Exit::Code(code) = ended else { panic!("{ended}") };
            std::process::exit(code);
        }
        for (code, wanted) in [("serving", 0), ("0", 1), ("75", 75), ("2", 2)] {
            let output = in_child::command(TEST).arg(format!("code={code}")).output().unwrap();
            assert_eq!(output.status.code(), Some(wanted), "{code}");
        }
    }
}
