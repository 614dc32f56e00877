//! What the spool did to its disk, step by step, for tests: to fail one step, or to work out what a power cut leaves.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex};

use nix::errno::Errno;

/// One step. A file is known by the step's number that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// In this directory, by this name.
    Create(String, String),
    /// Into this file, at this place.
    Write(usize, u64, Vec<u8>),
    /// This file.
    SyncFile(usize),
    /// Within this directory.
    Rename(String, String, String),
    /// From this directory, by this name, into that one.
    Link(String, String, String),
    /// From this directory.
    Remove(String, String),
    /// This directory.
    SyncDirectory(String),
    /// Something that the test promised or saw meanwhile.
    Note(String),
}

/// All steps of those directories that were opened while it lay in this thread's recorder.
#[derive(Debug, Default)]
pub(super) struct Tape {
    steps: Mutex<Vec<Step>>,
    /// The number of the step that fails instead, with what.
    fails: Option<(usize, Errno)>,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Tape>>> = const { RefCell::new(None) };
}

impl Tape {
    /// Puts one into the recorder; [`Self::stop`] takes it out.
    pub(super) fn start() -> Arc<Self> {
        Self::put(Self::default())
    }

    /// The same, and the step of this number fails.
    pub(super) fn start_failing(step: usize, why: Errno) -> Arc<Self> {
        Self::put(Self { fails: Some((step, why)), ..Self::default() })
    }

    fn put(tape: Self) -> Arc<Self> {
        let tape = Arc::new(tape);
        CURRENT.set(Some(Arc::clone(&tape)));
        tape
    }

    /// Directories that are opened from now on aren't recorded.
    pub(super) fn stop() {
        CURRENT.set(None);
    }

    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Just before a step is done.
    pub(super) fn step(&self, step: Step) -> io::Result<usize> {
        let mut steps = self.steps.lock().unwrap();
        let number = steps.len();
        steps.push(step);
        match self.fails {
            Some((fails, why)) if fails == number => Err(why.into()),
            _ => Ok(number),
        }
    }

    pub(super) fn note(&self, note: impl Into<String>) {
        self.step(Step::Note(note.into())).unwrap();
    }

    pub(super) fn steps(&self) -> Vec<Step> {
        self.steps.lock().unwrap().clone()
    }
}
