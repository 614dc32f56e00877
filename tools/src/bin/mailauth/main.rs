//! `mailauth`: the operator's tool for accounts, test logins, access maps, certificates, and the state of the running daemon
//! and of the mta's queue.
//!
//! Run by root or an operator. Account commands open the store itself, a SQLite database or a sasldb; all others ask
//! the daemon over its sockets, and trust no byte of a reply on the terminal. A password comes from the terminal or a
//! descriptor and is wiped; it must never stand on the command line or in a message.

mod access_map;
mod accounts_database;
mod certificates;
mod command_line;
mod daemon;
mod failure;
mod help;
mod moment;
mod queue;
mod report;
mod sasldb_file;
mod secret;
mod version;

use std::io::{self, Write};
use std::process::ExitCode;

use command_line::{Place, Task};
use failure::Failure;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match command_line::parse(&arguments, moment::now()).and_then(run) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            // A closed standard error leaves nobody to tell.
            let _ = writeln!(io::stderr(), "mailauth: {failure}");
            ExitCode::from(failure.exit())
        }
    }
}

fn run(task: Task) -> Result<u8, Failure> {
    match task {
        Task::Print(text) => print(&text)?,
        Task::Accounts(Place::Database(path), action) => accounts_database::run(&path, action)?,
        Task::Accounts(Place::Sasldb(path), action) => sasldb_file::run(&path, action)?,
        Task::Test(test) => return daemon::test(&test),
        Task::Ask(ask) => return daemon::ask(&ask),
        Task::Access(task) => return access_map::run(task),
        Task::Certificates(task) => return certificates::run(task),
        Task::Queue(task) => queue::run(&task)?,
    }
    Ok(0)
}

/// Writes what was asked for to standard output.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says what was done; standard output is for what was asked for.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
