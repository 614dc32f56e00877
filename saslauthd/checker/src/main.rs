//! saslauthd-checker: holds the secrets, and says yes, no, or that it doesn't know.
//!
//! Runs as its own user with the right to read shadow, sees the directories of its account files and no network. It
//! trusts the parent (descriptor 3), no byte of a listener, and no byte of a file. It must never speak to a mail
//! client, never execute anything, and never let a stored secret or a password out of this process.

mod backends;
mod cache;
mod channel;
mod dispatch;
mod limiter;
mod log;
mod mapping;
mod operators;
mod pool;
mod serve;
mod startup;
mod writer;

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use ipc::control::FromChild;
use startup::{Failure, Task};
use sys::sandbox::{self, Calls};
use sys::{arguments, descriptors, harden, identity, peer};

fn main() -> ExitCode {
    startup::end_on_panic();
    let channel = descriptors::open_standard_streams()
        .and_then(|()| descriptors::close_strays(&[descriptors::CHANNEL]))
        .and_then(|()| descriptors::take(descriptors::CHANNEL));
    let outcome = channel.map_err(Failure::from).and_then(|channel| {
        let parent = channel.try_clone()?;
        run(channel).inspect_err(|failure| startup::refuse(&parent, failure))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(line)) => {
            eprintln!("saslauthd-checker: {line}");
            ExitCode::FAILURE
        }
    }
}

/// The recipe: hand-over, identity, files, threads, runtime, system calls, ready, serve.
fn run(parent: OwnedFd) -> Result<(), Failure> {
    let above = peer::credentials(&parent)?;
    let Task { config, table, control, gate } = startup::receive_task(&parent)?;
    if let Some(role) = arguments::role(std::env::args_os().skip(1))? {
        role.assume()?;
    }
    harden::apply(Some(above.pid))?;
    let boot = startup::boot();
    let threads = match config.hashing.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        some => usize::from(some),
    };
    let (files, warnings) = startup::hide_files(&config.backends)?;
    let uids = startup::operators(&config, above.uid, identity::current()?.uid);
    let core = startup::assemble(config, &table, threads, boot, &warnings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        let checker = serve::Checker::new(core, parent)?;
        if let Some(socket) = control {
            operators::serve(&checker, socket, uids)?;
        }
        let reached = sandbox::finish(Calls::Checker, files)?;
        checker.say(&FromChild::Ready(startup::report(&reached)));
        Ok(checker.serve(gate).await?)
    })
}
