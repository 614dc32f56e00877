//! The steps of the start, in the order in which `main` takes them.
//!
//! Runs in the checker. Until the task is here nothing is opened; until the process is confined no secret is read.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::hash::Hasher;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ipc::allow::Gate;
use ipc::config::{self, BackendKind, Level};
use ipc::control::{self, FromChild, ToChecker};
use ipc::status;
use siphasher::sip::SipHasher24;
use sys::sandbox::{Access, Confinement, Landlock, landlock};
use sys::shared::SharedTable;

use crate::backends::Backend;
use crate::cache::Cache;
use crate::dispatch::{Dispatcher, Moment, Parts};
use crate::limiter::{Found, Limiter, Reading};
use crate::log::Log;
use crate::pool::Pool;
use crate::writer::Writer;

/// One line that names the thing and the next step; for the parent and for the log.
pub(crate) struct Failure(pub(crate) String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

fn failure(what: impl Display) -> Failure {
    Failure(what.to_string())
}

/// What the parent handed over.
pub(crate) struct Task {
    pub(crate) config: config::Checker,
    /// The limiter's words, which outlive this process.
    pub(crate) table: OwnedFd,
    /// The operators' socket, where there is one.
    pub(crate) control: Option<OwnedFd>,
    pub(crate) gate: Gate,
}

/// Waits for the task, the first message of every parent.
///
/// # Errors
/// When the parent is gone, or says something else.
pub(crate) fn receive_task(parent: impl AsFd) -> Result<Task, Failure> {
    let mut packet = vec![0; control::MAX_PACKET];
    let mut gate = control::gate::<ToChecker>();
    let (length, descriptors) = sys::channel::receive_with_fds(parent, &mut packet, 2)?;
    let message = control::decode(packet.get(..length).unwrap_or_default(), &mut gate)?;
    let ToChecker::Configure(config) = message else {
        return Err(failure("the parent's first message is not the task"));
    };
    let mut descriptors = descriptors.into_iter();
    let Some(table) = descriptors.next() else {
        return Err(failure("the task came without the limiter's table"));
    };
    Ok(Task { config, table, control: descriptors.next(), gate })
}

/// Tells the parent why the task can't be done.
pub(crate) fn refuse(parent: impl AsFd, failure: &Failure) {
    // A line of any length fits neither the packet's table nor a log.
    let line: String = failure.0.chars().take(1000).collect();
    if let Some(packet) = control::encode(&FromChild::Refused(line)) {
        let _ = sys::channel::send(parent, &packet);
    }
}

/// Leaves only the directories of the backends' files in sight: files are replaced by renaming, so the directory is
/// what must be readable, and SQLite writes beside its database. Also says which directories are missing: those
/// stay out of sight when they are made later.
///
/// # Errors
/// When Landlock is there and doesn't hold.
pub(crate) fn hide_files(backends: &[config::Backend]) -> Result<(Landlock, Vec<String>), Failure> {
    let mut missing = Vec::new();
    let mut rules: BTreeSet<(PathBuf, bool)> = BTreeSet::new();
    for backend in backends {
        let (path, writes) = match &backend.kind {
            BackendKind::Shadow { path, .. }
            | BackendKind::Sasldb { path, .. }
            | BackendKind::Query { path, .. } => (path, false),
            BackendKind::Sqlite { path } => (path, true),
        };
        // Where a link leads, and where it stands.
        let real = std::fs::canonicalize(path).ok();
        for file in [Some(PathBuf::from(path)), real].into_iter().flatten() {
            match file.parent() {
                Some(directory) if directory.is_dir() => {
                    rules.insert((directory.to_owned(), writes));
                }
                _ => missing.push(format!(
                    "backend {}: {} has no directory yet; make it and restart, or nobody will see it",
                    backend.name,
                    file.display()
                )),
            }
        }
    }
    let rules: Vec<(&Path, Access)> = rules
        .iter()
        .map(|(directory, writes)| {
            (directory.as_path(), if *writes { Access::ReadWriteDirectory } else { Access::Read })
        })
        .collect();
    Ok((landlock::restrict(&rules)?, missing))
}

/// Opens the backends, starts the threads, and puts the dispatcher together. Confined by now, apart from seccomp.
///
/// # Errors
/// For a task that can't be done.
pub(crate) fn assemble(
    config: config::Checker,
    table: &OwnedFd,
    threads: usize,
    boot: u64,
    warnings: &[String],
) -> Result<Dispatcher, Failure> {
    let mut log = Log::new(config.log)?;
    warnings.iter().for_each(|line| log.say(Level::Warning, format_args!("{line}")));
    let limiter = limiter(&config.limits, table, boot, &mut log)?;
    let backends: Vec<Backend> = config
        .backends
        .iter()
        .map(|backend| Backend::open(backend, &config.hashing))
        .collect::<Result<_, _>>()
        .map_err(failure)?;
    let cache = Cache::new(config.cache.clone()).map_err(failure)?;
    let memory = u64::from(config.hashing.memory_kib);
    let pool = Pool::start(threads, memory, config.limits.hashing_percent)?;
    let writer = Writer::start(&config.backends, &config.hashing)?;
    let clock = Box::new(Moment::now);
    let process = getrandom::u32()?;
    let parts = Parts { config, backends, limiter, cache, pool, writer, log, process, clock };
    Dispatcher::new(parts).map_err(failure)
}

/// Maps the limiter's words for as long as the process lives, and says what became of them.
fn limiter(
    limits: &config::Limits,
    table: &OwnedFd,
    boot: u64,
    log: &mut Log,
) -> Result<Limiter, Failure> {
    let table: &'static SharedTable =
        Box::leak(Box::new(SharedTable::map(table, limits.table_words())?));
    let key = [getrandom::u64()?, getrandom::u64()?];
    let Moment { boot_ns, wall_s } = Moment::now();
    let reading = Reading { boot_ns, wall_s, boot };
    let opened = Limiter::open(table.words(), limits, reading, key);
    let Some((limiter, found)) = opened else {
        return Err(failure("the limiter's table is smaller than its limits need"));
    };
    match found {
        Found::Fresh => {}
        Found::Kept => log.say(Level::Info, format_args!("limits go on from the last checker")),
        Found::Carried => log.say(Level::Info, format_args!("limits go on from the last boot")),
        Found::Cleared => log.say(
            Level::Warning,
            format_args!(
                "the limiter's kept state was damaged or of another layout; it starts empty"
            ),
        ),
    }
    Ok(limiter)
}

/// A number for this boot of the host, by which kept limits tell whether their clock still runs.
pub(crate) fn boot() -> u64 {
    let id = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut hasher = SipHasher24::new();
    hasher.write(&id);
    hasher.finish()
}

/// Who may use the operators' socket.
pub(crate) fn operators(config: &config::Checker, parent: u32, own: u32) -> Rc<[u32]> {
    config.operator_uids.iter().copied().chain([0, parent, own]).collect()
}

/// What the parent is told about how far this process is confined.
pub(crate) fn report(reached: &Confinement) -> status::Confinement {
    status::Confinement {
        uid: reached.uid,
        gid: reached.gid,
        groups: reached.groups.clone(),
        landlock: reached.landlock.to_string(),
        seccomp: reached.seccomp.to_string(),
        capabilities: format!("{:016x}", reached.capabilities),
        missing: reached.shortcomings(),
    }
}

/// A thread that panics would leave its logins without an answer: the process ends instead, and the parent starts
/// another. The message is not printed, since it may hold what was being worked on.
pub(crate) fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        eprintln!("saslauthd-checker: internal error at {place}; please report it");
        std::process::abort();
    }));
}
