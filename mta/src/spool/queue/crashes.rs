//! What a power cut may leave, at every step of what receiver and sender do, and what is made of it afterwards.
//!
//! The model is a cruel disk: bytes that weren't synced are there, missing or half there; each name that was given or
//! taken away and whose directory wasn't synced is there or not, whatever became of the others, and a rename is two such
//! changes. Recovery is the real one, on real directories.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::PathBuf;

use super::super::incoming::Incoming;
use super::super::samples;
use super::super::state::Told;
use super::super::tape::{Step, Tape};
use super::*;

const DIRECTORIES: [&str; 3] = ["incoming", "queue", "corrupt"];
/// Choices of which all combinations are tried; of more, some.
const ALL: u32 = 9;
const SOME: u64 = 400;

/// Messages of the workload: text by id.
type Texts = HashMap<Id, Vec<u8>>;

fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

fn state(attempts: u32) -> State {
    State { attempts, warned: Told::Yes, ..State::new(7, 2) }
}

/// Four messages received, one of them large, two at once; a report of our own; tried, done, put aside.
async fn workload(spool: &Path, tape: &Tape) -> Texts {
    let queue = Queue::open(spool).unwrap();
    let incoming = Incoming::open(spool, 0).unwrap();
    let mut texts = Texts::new();
    let mut drafts = Vec::new();
    for (number, length) in [40, 66_000, 50, 60].into_iter().enumerate() {
        let mut draft = incoming.begin();
        let text = vec![b'a' + number as u8; length];
        draft.append(&text).await.unwrap();
        texts.insert(draft.id(), text);
        drafts.push(draft);
    }
    let [a, b, c, d] = <[_; 4]>::try_from(drafts).unwrap();
    let commit = async |draft: super::super::incoming::Draft, recipients| {
        let id = draft.id();
        draft.commit(&samples::envelope(id, recipients)).await.unwrap();
        tape.note(format!("accepted {id}"));
        id
    };
    let a = commit(a, 2).await;
    queue.take(a).unwrap();
    record(&queue, tape, a, 1);
    let b = commit(b, 200).await;
    queue.take(b).unwrap();
    let (c, d) = tokio::join!(commit(c, 2), commit(d, 2));
    record(&queue, tape, a, 2);
    tape.note(format!("removing {a}"));
    queue.remove(a).unwrap();
    tape.note(format!("done {a}"));
    queue.take(d).unwrap();
    queue.take(c).unwrap();
    let report = queue.keep(&samples::own(a), b"report").unwrap();
    texts.insert(report, b"report".to_vec());
    tape.note(format!("accepted {report}"));
    tape.note(format!("removing {b}"));
    queue.remove(b).unwrap();
    tape.note(format!("done {b}"));
    record(&queue, tape, c, 1);
    tape.note(format!("aside {c}"));
    queue.quarantine(c).unwrap();
    texts
}

fn record(queue: &Queue, tape: &Tape, id: Id, attempts: u32) {
    tape.note(format!("recording {id} {attempts}"));
    queue.record(id, &state(attempts)).unwrap();
    tape.note(format!("recorded {id} {attempts}"));
}

/// A name that was given (to this file) or taken away.
type Change = (String, String, Option<usize>);

/// A disk after some steps: what lasts, and what may.
#[derive(Clone, Default)]
struct Disk {
    names: BTreeMap<(String, String), usize>,
    /// As everybody sees it now.
    seen: BTreeMap<(String, String), usize>,
    changes: Vec<Change>,
    /// Writes to each file, and whether they last.
    files: BTreeMap<usize, Vec<(u64, Vec<u8>, Lasts)>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Lasts {
    Yes,
    Maybe,
}

impl Disk {
    fn step(&mut self, number: usize, step: &Step) {
        match step.clone() {
            Step::Create(directory, name) => {
                self.files.insert(number, Vec::new());
                self.change((directory, name, Some(number)));
            }
            Step::Write(file, at, bytes) => {
                self.files.get_mut(&file).unwrap().push((at, bytes, Lasts::Maybe));
            }
            Step::SyncFile(file) => {
                let writes = self.files.get_mut(&file).unwrap();
                writes.iter_mut().for_each(|(_, _, lasts)| *lasts = Lasts::Yes);
            }
            Step::Rename(directory, from, to) => {
                let file = self.seen[&(directory.clone(), from.clone())];
                self.change((directory.clone(), to, Some(file)));
                self.change((directory, from, None));
            }
            Step::Link(from, name, to) => {
                let file = self.seen[&(from, name.clone())];
                self.change((to, name, Some(file)));
            }
            // Also of what isn't there.
            Step::Remove(directory, name) => self.change((directory, name, None)),
            Step::SyncDirectory(directory) => {
                for change in std::mem::take(&mut self.changes) {
                    match change.0 == directory {
                        true => apply(&mut self.names, &change),
                        false => self.changes.push(change),
                    }
                }
            }
            Step::Note(_) => {}
        }
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.seen, &change);
        self.changes.push(change);
    }

    /// How many choices there are: each has four answers, two of which are the same for a name.
    fn choices(&self) -> u32 {
        let writes = self.files.values().flatten().filter(|write| write.2 == Lasts::Maybe);
        (self.changes.len() + 2 * writes.count()) as u32
    }

    /// What is left when the choices are these: all of it lasts.
    fn leave(&self, spool: &Path, mut choices: u64) -> Self {
        let mut choose = |bits: u32| {
            let chosen = choices & ((1 << bits) - 1);
            choices >>= bits;
            chosen
        };
        let mut names = self.names.clone();
        for change in &self.changes {
            if choose(1) == 1 {
                apply(&mut names, change);
            }
        }
        let mut contents = BTreeMap::new();
        for (file, writes) in &self.files {
            let mut content: Vec<u8> = Vec::new();
            for (at, bytes, lasts) in writes {
                let kept = match (*lasts, *lasts == Lasts::Maybe && choose(1) == 1) {
                    (Lasts::Yes, _) => bytes.len(),
                    (Lasts::Maybe, true) => bytes.len() * (1 + choose(1) as usize) / 2,
                    (Lasts::Maybe, false) => 0,
                };
                let end = *at as usize + kept;
                content.resize(content.len().max(end), 0);
                content[*at as usize..end].copy_from_slice(&bytes[..kept]);
            }
            contents.insert(*file, content);
        }
        for directory in DIRECTORIES {
            fs::create_dir(spool.join(directory)).unwrap();
        }
        let mut first: BTreeMap<usize, PathBuf> = BTreeMap::new();
        for ((directory, name), file) in &names {
            let path = spool.join(directory).join(name);
            match first.get(file) {
                Some(other) => fs::hard_link(other, path).unwrap(),
                None => {
                    fs::write(&path, &contents[file]).unwrap();
                    first.insert(*file, path);
                }
            }
        }
        let files = contents.into_iter().map(|(file, all)| (file, vec![(0, all, Lasts::Yes)]));
        Self { seen: names.clone(), names, changes: Vec::new(), files: files.collect() }
    }
}

fn apply(names: &mut BTreeMap<(String, String), usize>, (directory, name, file): &Change) {
    let place = (directory.clone(), name.clone());
    match file {
        Some(file) => names.insert(place, *file),
        None => names.remove(&place),
    };
}

/// What was said of a message before the power went.
#[derive(Clone, Copy, Default, Debug)]
struct Promised {
    accepted: bool,
    removing: bool,
    done: bool,
    aside: bool,
    recording: u32,
    recorded: u32,
}

fn promise(promised: &mut HashMap<Id, Promised>, note: &str) {
    let words: Vec<&str> = note.split(' ').collect();
    let of = promised.entry(Id::parse(words[1].as_bytes()).unwrap()).or_default();
    match words[0] {
        "accepted" => of.accepted = true,
        "removing" => of.removing = true,
        "done" => of.done = true,
        "aside" => of.aside = true,
        "recording" => of.recording = words[2].parse().unwrap(),
        "recorded" => of.recorded = words[2].parse().unwrap(),
        other => panic!("{other}"),
    }
}

/// Receiver and sender start again.
fn recover(spool: &Path, texts: &Texts, promised: &HashMap<Id, Promised>) {
    Incoming::open(spool, 0).unwrap();
    let queue = Queue::open(spool).unwrap();
    for id in queue.arrived().unwrap() {
        queue.take(id).unwrap();
    }
    let taken = queue.taken().unwrap();
    for id in &taken {
        let mut text = Vec::new();
        queue.open_text(*id).unwrap().open().unwrap().read_to_end(&mut text).unwrap();
        assert!(text == texts[id], "{id} isn't what it was");
        let attempts = queue.read(*id).unwrap().state.attempts;
        let said = promised.get(id).copied().unwrap_or_default();
        let lost = attempts < said.recorded && !said.removing && !said.aside;
        assert!(!lost && attempts <= said.recording, "{id} {attempts} {said:?}");
    }
    for (id, said) in promised {
        let there = taken.contains(id);
        let aside = spool.join("corrupt").join(id.as_str()).exists();
        assert!(there || aside || said.removing || !said.accepted, "{id} is lost: {said:?}");
        assert!(!(there && said.done), "{id} is done, and sent again");
        assert!(!aside || said.aside, "{id} is good, and was put aside");
    }
    for name in fs::read_dir(spool.join("queue")).unwrap() {
        let name = name.unwrap().file_name().into_string().unwrap();
        let id = Id::parse(name.strip_suffix(STATE).unwrap_or(&name).as_bytes());
        assert!(id.is_some_and(|id| taken.contains(&id)), "{name} is left");
    }
    assert!(fs::read_dir(spool.join("incoming")).unwrap().next().is_none());
}

/// Numbers that look drawn, and are the same each time.
fn drawn(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Power cuts after the first one, while receiver and sender start again.
const AGAIN: u64 = 8;

/// One state, and some of those that another power cut leaves while it is recovered from. Returns how many.
fn explore(disk: &Disk, choices: u64, texts: &Texts, promised: &HashMap<Id, Promised>) -> u64 {
    let left = scratch();
    let disk = disk.leave(left.path(), choices);
    let tape = Tape::start();
    recover(left.path(), texts, promised);
    Tape::stop();
    let steps = tape.steps();
    for time in 0..AGAIN {
        let noise = drawn(choices.wrapping_add(time << 32));
        let until = noise as usize % (steps.len() + 1);
        let mut disk = disk.clone();
        steps[..until].iter().enumerate().for_each(|(number, step)| disk.step(number, step));
        let again = scratch();
        disk.leave(again.path(), drawn(noise));
        recover(again.path(), texts, promised);
    }
    1 + AGAIN
}

#[tokio::test]
async fn a_power_cut_at_any_step_loses_nothing_and_sends_nothing_twice() {
    let spool = scratch();
    let tape = Tape::start();
    let texts = workload(spool.path(), &tape).await;
    Tape::stop();
    let (mut disk, mut promised, mut states) = (Disk::default(), HashMap::new(), 0);
    for (number, step) in tape.steps().iter().enumerate() {
        disk.step(number, step);
        if let Step::Note(note) = step {
            promise(&mut promised, note);
        }
        let choices = disk.choices();
        let count = if choices <= ALL { 1 << choices } else { SOME };
        for chosen in 0..count {
            let chosen = if choices <= ALL { chosen } else { drawn(chosen + number as u64) };
            let explored = std::panic::catch_unwind(|| explore(&disk, chosen, &texts, &promised));
            states += explored.unwrap_or_else(|_| panic!("step {number} {step:?}, {chosen:b}"));
        }
    }
    println!("{states} states");
    assert!(states > 5_000, "{states}");
}

/// The same, and one step of it fails: who was told so may try again, and then all is as if nothing had been.
#[tokio::test]
async fn a_step_that_fails_is_said_and_leaves_nothing_behind() {
    for why in [Errno::EIO, Errno::ENOSPC, Errno::EDQUOT, Errno::EMFILE, Errno::EROFS] {
        for large in [40, 70_000] {
            for fails in 0.. {
                let spool = scratch();
                Queue::open(spool.path()).unwrap();
                let tape = Tape::start_failing(fails, why);
                let incoming = Incoming::open(spool.path(), 0).unwrap();
                Tape::stop();
                let mut draft = incoming.begin();
                let id = draft.id();
                let appended = draft.append(&vec![b'x'; large]).await;
                let kept = match appended {
                    Ok(()) => draft.commit(&samples::envelope(id, 2)).await,
                    refused => refused,
                };
                if tape.steps().len() <= fails {
                    assert_eq!(kept, Ok(()));
                    break;
                }
                use super::super::incoming::Refused::{NoRoom, Unavailable};
                match (why, kept) {
                    (Errno::ENOSPC | Errno::EDQUOT, Err(NoRoom(_))) => {}
                    (Errno::EIO | Errno::EMFILE | Errno::EROFS, Err(Unavailable(_))) => {}
                    (_, other) => panic!("{why} at step {fails}: {other:?}"),
                }
                drop(Incoming::open(spool.path(), 0).unwrap());
                assert!(fs::read_dir(spool.path().join("incoming")).unwrap().next().is_none());
            }
        }
    }
}

#[tokio::test]
async fn a_step_of_the_sender_that_fails_can_be_done_again() {
    for fails in 0.. {
        let spool = scratch();
        drop(Queue::open(spool.path()).unwrap());
        let incoming = Incoming::open(spool.path(), 0).unwrap();
        let draft = incoming.begin();
        let id = draft.id();
        draft.commit(&samples::envelope(id, 2)).await.unwrap();
        let tape = Tape::start_failing(fails, Errno::EIO);
        let queue = Queue::open(spool.path()).unwrap();
        Tape::stop();
        let again = |work: &dyn Fn() -> Result<(), Trouble>| {
            if let Err(trouble) = work() {
                assert!(matches!(trouble, Trouble::Unavailable(_)), "{trouble:?}");
                work().unwrap();
            }
        };
        again(&|| queue.take(id));
        again(&|| queue.record(id, &state(1)));
        again(&|| queue.record(id, &state(2)));
        assert_eq!(queue.read(id).unwrap().state, state(2));
        again(&|| queue.keep(&samples::own(id), b"report").map(|_| ()));
        assert_eq!(queue.taken().unwrap().len(), 2, "one report, though it was kept twice");
        again(&|| queue.remove(id));
        assert_eq!(queue.taken().unwrap().len(), 1);
        if tape.steps().len() <= fails {
            break;
        }
    }
}
