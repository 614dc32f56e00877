//! The hashing pool: costly comparisons on threads of their own, within a budget of memory and a deadline.
//!
//! Runs in the checker, beside its loop. The threads start before seccomp and own nothing but their scratch memory;
//! a job brings password and stored secret along and takes both back or wipes them. Three lanes: logins of users
//! who logged in from there before go first, others take no more than their share of the threads, and new hashes
//! for old records wait for an idle moment. It must never let a flood of guesses keep known users waiting for
//! more than the hash that is under way.

mod queue;

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use accounts::Secrets;
use credentials::{
    Argon2Settings, ScramHash, ScramKeys, Scratch, Trouble, Verdict, Verifier, new_hash,
};
use protocol::Password;
use tokio::sync::Notify;

pub(crate) use queue::Lane;
use queue::Queue;

/// What is to be computed.
pub(crate) enum Work {
    /// Compare with a stored secret.
    Compare(Verifier),
    /// Make new secrets of the same password: a hash where there are settings for one, and keys for SCRAM.
    Renew(Option<Argon2Settings>, Vec<ScramHash>),
}

/// One piece of work.
pub(crate) struct Job {
    /// Given back with what was done.
    pub(crate) ticket: u64,
    /// Its place in the order.
    pub(crate) lane: Lane,
    /// What to do.
    pub(crate) work: Work,
    /// With what.
    pub(crate) password: Password,
    /// When nobody waits for it any more.
    pub(crate) deadline: Instant,
}

/// What became of a job.
pub(crate) struct Done {
    /// Of the job.
    pub(crate) ticket: u64,
    /// Given back.
    pub(crate) password: Password,
    /// The end.
    pub(crate) end: End,
}

/// How a job ended.
pub(crate) enum End {
    /// The comparison's verdict, and the verifier that gave it.
    Compared(Verdict, Verifier),
    /// New secrets.
    Renewed(Box<Secrets>),
    /// Nothing was computed in time, or at all.
    Failed(Trouble),
}

impl Job {
    /// Memory that it takes while it runs, in KiB.
    fn kib(&self) -> u64 {
        match &self.work {
            Work::Compare(verifier) => verifier.cost().memory_kib,
            Work::Renew(settings, _) => settings.map_or(0, |new| u64::from(new.memory_kib)),
        }
    }
}

/// Figures for the operator.
#[derive(Clone, Copy, Default)]
pub(crate) struct Figures {
    /// Threads that there are.
    pub(crate) threads: usize,
    /// Jobs that run now.
    pub(crate) running: usize,
    /// Jobs that wait now.
    pub(crate) waiting: usize,
    /// Jobs that were computed.
    pub(crate) done: u64,
    /// Jobs that waited too long, or found no room to wait.
    pub(crate) given_up: u64,
}

/// The pool, seen from the loop.
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    finished: Mutex<Vec<Done>>,
    notify: Notify,
    /// KiB of scratch memory that one thread may keep between jobs.
    keep_kib: usize,
}

/// Far more than a comparison needs; its memory is on the heap.
const STACK: usize = 256 * 1024;

impl Pool {
    /// Starts the threads: one a core when `threads` is 0.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start(threads: usize, memory_kib: u64, others_percent: u8) -> io::Result<Self> {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            some => some,
        };
        let keep_kib = usize::try_from(memory_kib).unwrap_or(usize::MAX) / threads;
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::new(threads, memory_kib, others_percent)),
            work: Condvar::new(),
            finished: Mutex::default(),
            notify: Notify::new(),
            keep_kib,
        });
        for number in 0..threads {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("hash-{number}"))
                .stack_size(STACK)
                .spawn(move || shared.work())?;
        }
        Ok(Self { shared })
    }

    /// Hands a job over. One that finds no room fails at once, through [`Self::finished`] as any other.
    pub(crate) fn submit(&self, job: Job) {
        let refused = lock(&self.shared.queue).push(job);
        match refused {
            None => self.shared.work.notify_one(),
            Some(job) => self.shared.finish(failed(job, "the hashing pool has no room left")),
        }
    }

    /// Waits until something is finished.
    pub(crate) async fn wait(&self) {
        self.shared.notify.notified().await;
    }

    /// Everything that was finished since.
    pub(crate) fn finished(&self) -> Vec<Done> {
        std::mem::take(&mut *lock(&self.shared.finished))
    }

    /// For the operator.
    pub(crate) fn figures(&self) -> Figures {
        lock(&self.shared.queue).figures()
    }

    /// The same pool for another task of the loop.
    pub(crate) fn handle(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl Shared {
    /// A thread's life: it ends with the process.
    fn work(&self) {
        let mut scratch = Scratch::new();
        loop {
            let job = self.next();
            let kib = job.kib();
            let lane = job.lane;
            let done = if job.deadline <= Instant::now() {
                lock(&self.queue).note_given_up();
                failed(job, "the hashing pool was busy for longer than [hashing] wait")
            } else {
                run(job, &mut scratch)
            };
            if scratch.kept_kib() > self.keep_kib {
                scratch = Scratch::new();
            }
            lock(&self.queue).ended(lane, kib);
            // What ended may have been what several others waited for: memory, or a lane's share.
            self.work.notify_all();
            self.finish(done);
        }
    }

    fn next(&self) -> Job {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(job) = queue.pop() {
                return job;
            }
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn finish(&self, done: Done) {
        lock(&self.finished).push(done);
        self.notify.notify_one();
    }
}

fn run(job: Job, scratch: &mut Scratch) -> Done {
    let Job { ticket, work, password, .. } = job;
    let end = match work {
        Work::Compare(verifier) => End::Compared(verifier.compare(&password, scratch), verifier),
        Work::Renew(settings, hashes) => match renew(&password, settings, &hashes, scratch) {
            Ok(secrets) => End::Renewed(Box::new(secrets)),
            Err(trouble) => End::Failed(trouble),
        },
    };
    Done { ticket, password, end }
}

/// argon2id for plaintext logins, and keys for SCRAM mechanisms.
fn renew(
    password: &Password,
    settings: Option<Argon2Settings>,
    hashes: &[ScramHash],
    scratch: &mut Scratch,
) -> Result<Secrets, Trouble> {
    let refused = |why: accounts::Refusal| Trouble::new(format!("new secrets: {why}"));
    let mut secrets = match settings {
        None => Secrets::default(),
        Some(settings) => {
            let hash = new_hash(password, &settings, scratch)?;
            Secrets::of(accounts::StoredHash::new(&hash).map_err(refused)?)
        }
    };
    for hash in hashes {
        secrets = secrets.with_scram(ScramKeys::new(*hash, password)?).map_err(refused)?;
    }
    Ok(secrets)
}

fn failed(job: Job, why: &str) -> Done {
    Done { ticket: job.ticket, password: job.password, end: End::Failed(Trouble::new(why)) }
}

/// A thread that panics ends the process, so a poisoned lock is never met with half-done work.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use credentials::{Policy, new_hash};

    use super::*;

    fn job(ticket: u64, lane: Lane, work: Work, wait: Duration) -> Job {
        let password = Password::new(b"pencil").unwrap();
        Job { ticket, lane, work, password, deadline: Instant::now() + wait }
    }

    fn verifier() -> Verifier {
        let settings = Argon2Settings { memory_kib: 64, iterations: 1, lanes: 1 };
        let password = Password::new(b"pencil").unwrap();
        let hash = new_hash(&password, &settings, &mut Scratch::new()).ok().unwrap();
        Verifier::parse(hash.as_bytes(), &Policy::default()).ok().unwrap()
    }

    fn all(pool: &Pool, count: usize) -> Vec<Done> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut done = pool.finished();
            while done.len() < count {
                pool.wait().await;
                done.extend(pool.finished());
            }
            done
        })
    }

    #[test]
    fn every_job_ends_once_with_its_verdict() {
        let pool = Pool::start(2, 1024, 50).unwrap();
        for ticket in 0..50 {
            let lane = [Lane::Known, Lane::Others][ticket as usize % 2];
            pool.submit(job(ticket, lane, Work::Compare(verifier()), Duration::from_secs(60)));
        }
        let mut tickets: Vec<u64> = all(&pool, 50)
            .into_iter()
            .map(|done| {
                assert!(matches!(done.end, End::Compared(Verdict::Accept(_), _)));
                assert_eq!(done.password.reveal(), b"pencil");
                done.ticket
            })
            .collect();
        tickets.sort_unstable();
        assert_eq!(tickets, (0..50).collect::<Vec<_>>());
        let figures = pool.figures();
        assert_eq!((figures.done, figures.waiting, figures.given_up), (50, 0, 0));
    }

    #[test]
    fn who_waited_too_long_is_told_that_nobody_knows() {
        let pool = Pool::start(1, 1024, 100).unwrap();
        pool.submit(job(1, Lane::Others, Work::Compare(verifier()), Duration::ZERO));
        let done = all(&pool, 1);
        assert!(matches!(done[0].end, End::Failed(_)));
        assert_eq!(pool.figures().given_up, 1);
    }

    #[test]
    fn new_secrets_are_of_the_same_password() {
        let pool = Pool::start(1, 1024, 100).unwrap();
        let settings = Argon2Settings { memory_kib: 64, iterations: 1, lanes: 1 };
        pool.submit(job(
            1,
            Lane::Renewals,
            Work::Renew(Some(settings), vec![ScramHash::Sha256]),
            Duration::from_secs(60),
        ));
        let done = all(&pool, 1).remove(0);
        let End::Renewed(secrets) = done.end else { panic!("no secrets") };
        let hash = secrets.password().unwrap().reveal();
        let verifier = Verifier::parse(hash.as_bytes(), &Policy::default()).ok().unwrap();
        let verdict = verifier.compare(&done.password, &mut Scratch::new());
        assert!(matches!(verdict, Verdict::Accept(_)));
        assert!(secrets.scram(ScramHash::Sha256).is_some());
        assert!(secrets.scram(ScramHash::Sha1).is_none());
    }
}
