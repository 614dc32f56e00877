//! The access map: is it right, what does it decide and why, and what are the keys of a certificate.
//!
//! Run by an administrator, with no need of root or of a daemon: it is the engine that the daemon runs. It reads the
//! files that are named and nothing else. Text of maps and certificates reaches the terminal with every control
//! character escaped.

mod check;
mod decide;
mod explain;
mod key;

use std::io::Read;
use std::path::{Path, PathBuf};

use access::{Generation, Ruleset, Settings};

use crate::command_line::Form;
use crate::failure::Failure;

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// What is done.
pub(crate) enum Task {
    /// Shows all mistakes of a map.
    Check(PathBuf),
    /// Shows how a decision comes about.
    Explain(Box<Explain>),
    /// Prints the keys of a certificate.
    Key(PathBuf, Form),
    /// Decides the cases of a file, or of standard input.
    Decide(Decide),
}

/// A session to explain.
pub(crate) struct Explain {
    pub(crate) map: PathBuf,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) client: Option<(String, String)>,
    pub(crate) ruleset: Option<Ruleset>,
    pub(crate) settings: Settings,
    /// Facts by name, which go before what the certificate says.
    pub(crate) facts: Vec<(String, String)>,
}

/// Cases to decide.
pub(crate) struct Decide {
    /// Standard input when there is none.
    pub(crate) cases: Option<PathBuf>,
    /// The map of cases that bring none.
    pub(crate) map: Option<PathBuf>,
    pub(crate) generation: Generation,
}

/// Does it; the exit status is 1 when something was found wrong.
pub(crate) fn run(task: Task) -> Result<u8, Failure> {
    match task {
        Task::Check(path) => check::run(&path),
        Task::Explain(asked) => explain::run(&asked),
        Task::Key(path, form) => key::run(&path, form),
        Task::Decide(asked) => decide::run(&asked),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::of_file(path, &error, "name a file that can be read");
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Failure::failed(format!("{}: it is over 64 MiB", path.display())));
    }
    Ok(bytes)
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let message = |_| Failure::failed(format!("{}: it is not UTF-8", path.display()));
    String::from_utf8(read(path)?).map_err(message)
}

/// Text of a file for the terminal: control characters are escaped, line ends stay.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push('\n'),
            '\t' => shown.push(' '),
            _ if character.is_control() => shown.extend(character.escape_unicode()),
            _ => shown.push(character),
        }
    }
    shown
}
