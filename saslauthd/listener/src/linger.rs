//! Answered clients on their way out: drained until they close, for a bounded time.
//!
//! Closing at once would be quicker, but a client that still writes (a late fifth field, junk) would get
//! SIGPIPE or lose its reply. Registering each with the reactor would cost more than the answer did. So the
//! answered are looked at a few times at growing intervals, which finds the usual client gone at the first.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use sys::peer;
use zeroize::Zeroize;

/// When an answered client is looked at, after the look before.
const LOOKS: [Duration; 4] = [
    Duration::from_millis(4),
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(400),
];

/// Who had its answer for so long has to go when places run out.
const GRACE: Duration = Duration::from_millis(50);

/// Most bytes that are read and thrown away from one client after its answer.
const MOST_JUNK: usize = 64 * 1024;

struct Leaving {
    client: OwnedFd,
    since: Instant,
    due: Instant,
    end: Instant,
    junk: usize,
    /// Whether our side still has to be shut down, which the usual client doesn't wait for.
    open: bool,
}

/// Whether the client was told already that nothing more comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ours {
    /// It still has to be.
    Open,
    /// It was.
    Shut,
}

/// Everybody on the way out.
pub(crate) struct Linger {
    looks: [VecDeque<Leaving>; LOOKS.len()],
    drain: Duration,
    scratch: Box<[u8]>,
}

impl Linger {
    /// Drains each client for at most `drain`.
    pub(crate) fn new(drain: Duration) -> Self {
        Self { looks: Default::default(), drain, scratch: vec![0; 8192].into() }
    }

    /// Sets the time for those who come from now on.
    pub(crate) fn set_drain(&mut self, drain: Duration) {
        self.drain = drain;
    }

    /// Takes over an answered client.
    pub(crate) fn push(&mut self, client: OwnedFd, ours: Ours, now: Instant) {
        let [first, ..] = LOOKS;
        let leaving = Leaving {
            client,
            since: now,
            due: now + first,
            end: now + self.drain,
            junk: 0,
            open: ours == Ours::Open,
        };
        if let Some(queue) = self.looks.first_mut() {
            queue.push_back(leaving);
        }
    }

    /// Looks at everybody whose time has come.
    pub(crate) fn look(&mut self, now: Instant) {
        for stage in (0..LOOKS.len()).rev() {
            let due = self.due(stage, now);
            if due.is_empty() {
                continue;
            }
            let sockets = due.iter().map(|leaving| leaving.client.as_fd());
            // Without an answer everybody is looked at one by one.
            let gone = peer::hung_up(sockets).unwrap_or_default();
            let gone = gone.into_iter().chain(std::iter::repeat(false));
            for (leaving, _) in due.into_iter().zip(gone).filter(|(_, gone)| !gone) {
                self.keep(leaving, stage, now);
            }
        }
    }

    fn due(&mut self, stage: usize, now: Instant) -> Vec<Leaving> {
        let Some(queue) = self.looks.get_mut(stage) else { return Vec::new() };
        let count = queue.iter().take_while(|leaving| leaving.due <= now).count();
        queue.drain(..count).collect()
    }

    /// Drains somebody who is still there, and lets it wait for the next look while its time lasts.
    fn keep(&mut self, mut leaving: Leaving, stage: usize, now: Instant) {
        if !stays(&mut leaving, &mut self.scratch, now) {
            return;
        }
        let stage = (stage + 1).min(LOOKS.len() - 1);
        let pause = LOOKS.get(stage).copied().unwrap_or_default();
        leaving.due = (now + pause).min(leaving.end);
        if let Some(queue) = self.looks.get_mut(stage) {
            queue.push_back(leaving);
        }
    }

    /// Places ran out: a client that never closes must not keep another from its login.
    pub(crate) fn hurry(&mut self, now: Instant) {
        let scratch = &mut self.scratch;
        for queue in &mut self.looks {
            queue.retain_mut(|leaving| {
                // What it still sent is read first, or the kernel would tell it of a reset.
                let early = now < leaving.since + GRACE;
                if !early {
                    stays(leaving, scratch, now);
                }
                early
            });
        }
    }

    /// How many are on their way out.
    pub(crate) fn len(&self) -> usize {
        self.looks.iter().map(VecDeque::len).sum()
    }
}

/// Reads what a client still sent; false when it is gone or its time is up.
fn stays(leaving: &mut Leaving, scratch: &mut [u8], now: Instant) -> bool {
    loop {
        match peer::receive(&leaving.client, scratch) {
            Ok(0) => return false,
            Ok(count) => {
                leaving.junk += count;
                // It may be the very request, password and all.
                scratch.get_mut(..count).unwrap_or_default().zeroize();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(_) => return false,
        }
        if leaving.junk > MOST_JUNK {
            return false;
        }
    }
    if leaving.open {
        leaving.open = false;
        // An error means that the client is gone, which the next look finds out.
        let _ = peer::shutdown_write(&leaving.client);
    }
    now < leaving.end
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (UnixStream, OwnedFd) {
        let (client, ours) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (client, ours.into())
    }

    #[test]
    fn a_client_that_closed_is_gone_at_the_first_look() {
        let mut linger = Linger::new(Duration::from_secs(1));
        let (client, ours) = pair();
        let now = Instant::now();
        linger.push(ours, Ours::Shut, now);
        drop(client);
        linger.look(now);
        assert_eq!(linger.len(), 1);
        linger.look(now + Duration::from_millis(4));
        assert_eq!(linger.len(), 0);
    }

    #[test]
    fn a_client_that_never_closes_leaves_when_its_time_is_up() {
        let mut linger = Linger::new(Duration::from_secs(1));
        let (mut client, ours) = pair();
        let now = Instant::now();
        linger.push(ours, Ours::Open, now);
        for milliseconds in (0..1000).step_by(10) {
            linger.look(now + Duration::from_millis(milliseconds));
            assert_eq!(linger.len(), 1);
        }
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "our side was shut down");
        linger.look(now + Duration::from_secs(2));
        assert_eq!(linger.len(), 0);
    }

    #[test]
    fn when_places_run_out_nobody_stays_long() {
        let mut linger = Linger::new(Duration::from_secs(10));
        let (mut client, ours) = pair();
        let now = Instant::now();
        linger.push(ours, Ours::Open, now);
        client.write_all(b"late").unwrap();
        linger.hurry(now + Duration::from_millis(10));
        assert_eq!(linger.len(), 1);
        linger.hurry(now + GRACE);
        assert_eq!(linger.len(), 0);
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "closed, not reset");
    }

    #[test]
    fn a_client_that_pours_is_cut_off() {
        let mut linger = Linger::new(Duration::from_secs(1));
        let (mut client, ours) = pair();
        let now = Instant::now();
        linger.push(ours, Ours::Shut, now);
        client.set_nonblocking(true).unwrap();
        while client.write(&[0; 4096]).is_ok() {}
        linger.look(now + Duration::from_millis(4));
        assert_eq!(linger.len(), 0);
    }
}
