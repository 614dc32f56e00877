//! The shadow file as a backend: our own parser, re-read whenever the file changes.
//!
//! Runs in the checker, the one process that may read shadow. It asks neither NSS nor passwd (Cyrus calls getpwnam
//! first; a name that has a shadow line and no passwd line logs in here): what counts is this file, whole. It trusts
//! no byte of it. It must never take part of a file for the file: one that is missing, unreadable, empty or cut off
//! in the middle of a line is [`Lookup::Unavailable`] for every name, since "unknown user" would be a guess.

mod line;
mod snapshot;

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use protocol::Quoted;
use zeroize::Zeroizing;

use crate::policy::Policy;
use crate::stand_in::{Census, Shape, usable_or_stand_in};
use crate::verdict::{Entry, Generation, Lookup, Trouble};
use crate::verifier::Verifier;

pub use line::{Line, Rules, name_of};
use snapshot::{Identity, Snapshot};

/// A shadow file, indexed in memory and wiped when replaced or dropped.
pub struct ShadowFile {
    path: PathBuf,
    rules: Rules,
    policy: Policy,
    loaded: Option<Loaded>,
}

struct Loaded {
    bytes: Zeroizing<Vec<u8>>,
    /// Where each name's first line stands.
    lines: HashMap<Box<[u8]>, Range<usize>>,
    majority: Shape,
    identity: Identity,
    /// Whether a further change would have another identity.
    settled: bool,
}

impl ShadowFile {
    /// Reads nothing yet: a file that is missing now may be there at the first lookup.
    pub fn new(path: impl Into<PathBuf>, rules: Rules, policy: Policy) -> Self {
        Self { path: path.into(), rules, policy, loaded: None }
    }

    /// The path, for logs.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file, as it is now, says of a name on a day counted from 1970-01-01 UTC.
    ///
    /// One `stat` when the file has not changed. The first line of a name counts, whatever is wrong with it.
    pub fn lookup(&mut self, name: &[u8], today: i64) -> Lookup<Entry> {
        self.lookup_at(name, today, SystemTime::now())
    }

    /// What an unknown name is compared with: most of the file's hashes are like this; yescrypt if it has none.
    pub fn majority(&mut self) -> Result<Shape, Trouble> {
        self.refresh(SystemTime::now())?;
        let loaded = self.loaded.as_ref().ok_or_else(|| self.trouble(&"it is not loaded"))?;
        Ok(loaded.majority.clone())
    }

    /// What an operator should hear of the record that was just found, though it may log in.
    pub fn complaint(&self, name: &[u8], today: i64) -> Option<Trouble> {
        let line = Line::parse(self.loaded.as_ref()?.line(name)?).ok()?;
        let day = line.changed_after(today)?;
        let why = format!("{} changed the password on day {day}, which is to come", Quoted(name));
        Some(self.trouble(&why))
    }

    /// The names that may log in on that day, in their order; looks at every line.
    pub fn names(&mut self, today: i64) -> Result<Vec<Vec<u8>>, Trouble> {
        self.refresh(SystemTime::now())?;
        let loaded = self.loaded.as_ref().ok_or_else(|| self.trouble(&"it is not loaded"))?;
        let may_log_in = |name: &[u8]| {
            let line = loaded.line(name)?;
            self.entry(line, today, &loaded.majority).standing.ok().map(|()| name.to_vec())
        };
        let mut names: Vec<_> = loaded.lines.keys().filter_map(|name| may_log_in(name)).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn lookup_at(&mut self, name: &[u8], today: i64, now: SystemTime) -> Lookup<Entry> {
        if let Err(trouble) = self.refresh(now) {
            return Lookup::Unavailable(trouble);
        }
        let Some(loaded) = &self.loaded else {
            return Lookup::Unavailable(self.trouble(&"it is not loaded"));
        };
        match loaded.line(name) {
            Some(line) => Lookup::Found(self.entry(line, today, &loaded.majority)),
            None => Lookup::NotFound,
        }
    }

    /// The generation covers the whole line, so that any change of hash or dates makes another. What the dates say is
    /// told before what is wrong with the hash: who needs no hash may look over the latter and never over the former.
    fn entry(&self, line: &[u8], today: i64, majority: &Shape) -> Entry {
        let (dates, hash) = match Line::parse(line) {
            Ok(parsed) => {
                (parsed.standing(today, self.rules), Verifier::parse(parsed.hash, &self.policy))
            }
            Err(reason) => (Ok(()), Err(reason)),
        };
        let (verifier, usable) = usable_or_stand_in(hash, majority);
        Entry { verifier, standing: dates.and(usable), generation: Generation::of(&[line]) }
    }

    fn refresh(&mut self, now: SystemTime) -> Result<(), Trouble> {
        let identity = Identity::at(&self.path).map_err(|error| self.trouble(&error))?;
        let is_current = |loaded: &Loaded| loaded.settled && loaded.identity == identity;
        if self.loaded.as_ref().is_some_and(is_current) { Ok(()) } else { self.reload(now) }
    }

    fn reload(&mut self, now: SystemTime) -> Result<(), Trouble> {
        let snapshot = Snapshot::read(&self.path).map_err(|error| self.trouble(&error))?;
        let settled = snapshot.identity.is_settled(now);
        if let Some(loaded) = self.loaded.as_mut() {
            if *loaded.bytes == *snapshot.bytes {
                (loaded.identity, loaded.settled) = (snapshot.identity, settled);
                return Ok(());
            }
            // Written in place, and just now: half of the new file may be there, and the old one no longer counts.
            if !settled && snapshot.identity.is_same_file(&loaded.identity) {
                return Err(self.trouble(&"it is being written"));
            }
        }
        let loaded = Loaded::new(snapshot, settled, &self.policy);
        self.loaded = Some(loaded.map_err(|why| self.trouble(&why))?);
        Ok(())
    }

    fn trouble(&self, why: &dyn std::fmt::Display) -> Trouble {
        Trouble::new(format!("{}: {why}", self.path.display()))
    }
}

impl Loaded {
    fn new(snapshot: Snapshot, settled: bool, policy: &Policy) -> Result<Self, &'static str> {
        let bytes = snapshot.bytes;
        check_whole(&bytes)?;
        let mut lines = HashMap::new();
        let mut census = Census::new();
        let mut start = 0;
        for line in bytes.split(|byte| *byte == b'\n') {
            if let Some(name) = name_of(line)
                && let Slot::Vacant(slot) = lines.entry(Box::from(name))
            {
                slot.insert(start..start + line.len());
                if let Ok(verifier) =
                    Line::parse(line).and_then(|line| Verifier::parse(line.hash, policy))
                {
                    census.count(&verifier);
                }
            }
            start += line.len() + 1;
        }
        let majority = census.majority().cloned().unwrap_or_else(Shape::yescrypt);
        Ok(Self { bytes, lines, majority, identity: snapshot.identity, settled })
    }

    fn line(&self, name: &[u8]) -> Option<&[u8]> {
        self.lines.get(name).and_then(|range| self.bytes.get(range.clone()))
    }
}

/// A last line without newline is whole only when all nine fields are there.
fn check_whole(bytes: &[u8]) -> Result<(), &'static str> {
    let Some(last) = bytes.split(|byte| *byte == b'\n').next_back() else {
        return Ok(());
    };
    if bytes.is_empty() {
        return Err("it is empty");
    }
    if !last.is_empty() && Line::parse(last).is_err() {
        return Err("its last line is cut off; complete it and end it with a newline");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
