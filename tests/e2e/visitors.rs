//! Legitimate logins during an attack: a few clients that log in all the time, and how they fared.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use harness::probe::ask_mux;
use harness::wait_for;

use crate::house::{LOGIN, PASSWORD};

/// Time between two logins of one visitor.
const PAUSE: Duration = Duration::from_millis(4);

/// Visitors that come until they are asked to [`Visitors::leave`].
pub(crate) struct Visitors {
    enough: Arc<AtomicBool>,
    came: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Visits>>,
}

/// How they fared.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    /// How long each login took.
    times: Vec<Duration>,
    /// Replies other than `OK`.
    pub(crate) wrong: Vec<String>,
}

impl Visitors {
    /// Two visitors that know the right password.
    pub(crate) fn arrive(mux: &Path) -> Self {
        let (enough, came) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let threads = (0..2).map(|_| {
            let (enough, came, mux) = (Arc::clone(&enough), Arc::clone(&came), mux.to_owned());
            thread::spawn(move || come_and_go(&mux, &enough, &came))
        });
        Self { threads: threads.collect(), enough, came }
    }

    /// Waits until `least` logins were answered, for there is no saying how many that is in a time on a busy
    /// machine, and ends them.
    pub(crate) fn leave_after(self, least: usize) -> Visits {
        let enough = || self.came.load(Ordering::Relaxed) >= least;
        assert!(wait_for(Duration::from_secs(60), enough), "fewer than {least} came in a minute");
        self.enough.store(true, Ordering::Relaxed);
        let mut all = Visits::default();
        for thread in self.threads {
            let visits = thread.join().expect("a visitor doesn't panic");
            all.times.extend(visits.times);
            all.wrong.extend(visits.wrong);
        }
        all.times.sort_unstable();
        all
    }
}

fn come_and_go(mux: &Path, enough: &AtomicBool, came: &AtomicUsize) -> Visits {
    let mut visits = Visits::default();
    while !enough.load(Ordering::Relaxed) {
        let began = Instant::now();
        let reply = ask_mux(mux, LOGIN.as_bytes(), PASSWORD.as_bytes(), b"imap", b"");
        visits.times.push(began.elapsed());
        if reply != "OK" {
            visits.wrong.push(reply);
        }
        came.fetch_add(1, Ordering::Relaxed);
        thread::sleep(PAUSE);
    }
    visits
}

impl Visits {
    /// The time that 99 of 100 logins did not reach.
    pub(crate) fn p99(&self) -> Duration {
        let at = self.times.len() * 99 / 100;
        *self.times.get(at.min(self.times.len().saturating_sub(1))).expect("somebody came")
    }

    /// Holds that every one was let in, and 99 of 100 within `limit`.
    pub(crate) fn all_were_served(&self, limit: Duration) {
        let (came, p99) = (self.times.len(), self.p99());
        eprintln!("{came} legitimate logins, p99 {p99:?}, longest {:?}", self.times.last());
        assert!(self.wrong.is_empty(), "{} of {came}: {:?}", self.wrong.len(), self.wrong);
        assert!(p99 <= limit, "p99 is {p99:?}, at most {limit:?}");
    }
}
