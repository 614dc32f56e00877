//! Watches every system call of a running process, and makes one of them fail, or be the last one.
//!
//! Runs in the test process, a thread for each process that is watched, by ptrace(2): what strace does, but calls are
//! counted over all threads, so that "the Nth" is one moment and not one for each thread. A call that is to fail becomes
//! getpid(2), which the filters of all our processes permit, and its answer the error: as `strace -e
//! inject=CALL:error=E:syscall=getpid`. A call of no number at all would end the process by its own filter.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// It isn't made, and answered so.
    Error(Errno),
    /// It is made, and answered so.
    Answer(Errno),
    /// It is the last one: the process is killed at its entry.
    Kill,
}

/// One moment in what a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// The number of the call; `None` for any.
    pub(super) call: Option<i64>,
    /// Which of these, from 1, over all threads.
    pub(super) ordinal: usize,
    pub(super) blow: Blow,
}

/// A call that was struck.
#[derive(Clone, Debug)]
pub(super) struct Hit {
    pub(super) call: i64,
    /// What its first argument is, if that is a descriptor.
    pub(super) of: String,
    pub(super) at: Instant,
}

#[derive(Debug, Default)]
struct State {
    point: Option<Point>,
    /// Calls that fit, since it was set.
    fitting: usize,
    hit: Option<Hit>,
    /// How often each call was made, while that is counted.
    counts: Option<HashMap<i64, usize>>,
    /// Processes that the kernel ended for a call that they may not make.
    forbidden: usize,
}

/// What the watchers of one process after the other have in common.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracer(Arc<Mutex<State>>);

impl Tracer {
    /// Watches a process until it ends; returns when all its threads are watched.
    pub(super) fn watch(&self, pid: i32) -> Result<(), Errno> {
        let (tell, told): (Sender<Result<(), Errno>>, Receiver<_>) = channel();
        let tracer = self.clone();
        std::thread::spawn(move || Watcher::new(tracer, pid).run(&tell));
        told.recv_timeout(Duration::from_secs(10)).unwrap_or(Err(Errno::ETIMEDOUT))
    }

    /// From now on this is to happen, once.
    pub(super) fn arm(&self, point: Point) {
        let mut state = self.state();
        (state.point, state.fitting, state.hit) = (Some(point), 0, None);
    }

    /// What was struck, if anything.
    pub(super) fn hit(&self) -> Option<Hit> {
        self.state().hit.clone()
    }

    /// Nothing is to happen any more; what was struck.
    pub(super) fn disarm(&self) -> Option<Hit> {
        let mut state = self.state();
        state.point = None;
        state.hit.take()
    }

    /// Begins to count.
    pub(super) fn count(&self) {
        self.state().counts = Some(HashMap::new());
    }

    /// How often each call was made since then.
    pub(super) fn counted(&self) -> HashMap<i64, usize> {
        self.state().counts.take().unwrap_or_default()
    }

    /// Processes that were ended by their own filter.
    pub(super) fn forbidden(&self) -> usize {
        self.state().forbidden
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to become of this call.
    fn judge(&self, process: Pid, call: i64, first: u64) -> Option<Blow> {
        let of = || {
            let link = std::fs::read_link(format!("/proc/{process}/fd/{first}"));
            link.map_or_else(|_| String::new(), |link| link.to_string_lossy().into_owned())
        };
        // The bell of an event loop: it never fails.
        if call == libc::SYS_write && of() == "anon_inode:[eventfd]" {
            return None;
        }
        let mut state = self.state();
        if let Some(counts) = &mut state.counts {
            *counts.entry(call).or_default() += 1;
        }
        let point = state.point?;
        if state.hit.is_some() || point.call.is_some_and(|wanted| wanted != call) {
            return None;
        }
        state.fitting += 1;
        if state.fitting != point.ordinal {
            return None;
        }
        state.hit = Some(Hit { call, of: of(), at: Instant::now() });
        Some(point.blow)
    }
}

/// The thread that watches one process: only it may ask the kernel about it.
struct Watcher {
    tracer: Tracer,
    process: Pid,
    /// Threads that haven't been stopped for the first time.
    fresh: HashSet<Pid>,
    /// What calls that are being made will answer.
    answers: HashMap<Pid, Errno>,
}

impl Watcher {
    fn new(tracer: Tracer, pid: i32) -> Self {
        let process = Pid::from_raw(pid);
        Self { tracer, process, fresh: HashSet::new(), answers: HashMap::new() }
    }

    fn run(mut self, tell: &Sender<Result<(), Errno>>) {
        if let Err(error) = self.seize() {
            let _ = tell.send(Err(error));
            return;
        }
        let mut told = false;
        // Of the other threads' children nothing is heard: they are theirs to wait for.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            match waitpid(None, Some(flags)) {
                Ok(status) => self.note(status),
                // A signal without a name: nothing of ours sends one.
                Err(Errno::EINVAL | Errno::EINTR) => {}
                Err(_) => return,
            }
            if !told && self.fresh.is_empty() {
                told = true;
                let _ = tell.send(Ok(()));
            }
        }
    }

    /// All threads that there are: again until none is new, for each may make others meanwhile.
    fn seize(&mut self) -> Result<(), Errno> {
        let options = ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_TRACECLONE;
        loop {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process));
            let tasks = tasks.map_err(|_| Errno::ESRCH)?.flatten();
            let threads = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok());
            let new: Vec<Pid> =
                threads.map(Pid::from_raw).filter(|thread| !self.fresh.contains(thread)).collect();
            if new.is_empty() {
                return Ok(());
            }
            for thread in new {
                match ptrace::seize(thread, options) {
                    Ok(()) => ptrace::interrupt(thread)?,
                    // One that ended meanwhile, or one that was made by a watched thread and is watched already.
                    Err(Errno::ESRCH) if thread != self.process => continue,
                    Err(Errno::EPERM) if !self.fresh.is_empty() => {}
                    Err(error) => return Err(error),
                }
                self.fresh.insert(thread);
            }
        }
    }

    fn note(&mut self, status: WaitStatus) {
        let go_on = |thread: Pid, signal: Option<Signal>| {
            // It fails for one that was killed meanwhile, whose end is heard next.
            let _ = ptrace::syscall(thread, signal);
        };
        match status {
            WaitStatus::PtraceSyscall(thread) => {
                self.call(thread);
                go_on(thread, None);
            }
            WaitStatus::PtraceEvent(thread, ..) => {
                self.fresh.remove(&thread);
                go_on(thread, None);
            }
            WaitStatus::Stopped(thread, signal) => go_on(thread, Some(signal)),
            WaitStatus::Exited(thread, _) => drop(self.fresh.remove(&thread)),
            WaitStatus::Signaled(thread, signal, _) => {
                self.fresh.remove(&thread);
                if signal == Signal::SIGSYS && thread == self.process {
                    self.tracer.state().forbidden += 1;
                }
            }
            WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
        }
    }

    /// A thread stands before a call, or behind one.
    fn call(&mut self, thread: Pid) {
        let Ok(info) = ptrace::syscall_info(thread) else { return };
        let Ok(mut registers) = ptrace::getregs(thread) else { return };
        if info.op == libc::PTRACE_SYSCALL_INFO_EXIT {
            if let Some(error) = self.answers.remove(&thread) {
                registers.rax = (-i64::from(error as i32)).cast_unsigned();
                let _ = ptrace::setregs(thread, registers);
            }
            return;
        }
        let number = registers.orig_rax.cast_signed();
        match self.tracer.judge(self.process, number, registers.rdi) {
            None => {}
            Some(Blow::Kill) => drop(kill(self.process, Signal::SIGKILL)),
            Some(Blow::Answer(error)) => drop(self.answers.insert(thread, error)),
            Some(Blow::Error(error)) => {
                registers.orig_rax = libc::SYS_getpid.cast_unsigned();
                if ptrace::setregs(thread, registers).is_ok() {
                    self.answers.insert(thread, error);
                }
            }
        }
    }
}
