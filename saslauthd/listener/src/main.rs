//! saslauthd-listener: reads what strangers send, and has nothing to steal.
//!
//! Runs as its own user without capabilities, sees no file and no network, and holds no stored secret. It
//! trusts the parent (descriptor 3) and believes the checker's answers; it trusts no client. It must never
//! open, connect or execute anything: the sandbox ends it if it tries.

mod auth;
mod clients;
mod core;
mod events;
mod linger;
mod link;
mod parent;
mod policy;
mod serving;
mod slots;
mod staying;
mod watch;

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;

use ipc::control::FromChild;
use ipc::status;
use sys::sandbox::{self, Calls, Landlock, landlock};
use sys::{arguments, descriptors, harden, peer};
use tokio::io::Interest;

fn main() -> ExitCode {
    match run() {
        Ok(parent::End::Orderly) => ExitCode::SUCCESS,
        Ok(parent::End::Malformed(malformed)) => fail(&malformed),
        Ok(parent::End::System(error)) => fail(&error),
        Err(error) => fail(&error),
    }
}

/// The recipe: hand-over, identity, files, runtime, system calls, ready, serve.
fn run() -> sys::Result<parent::End> {
    descriptors::open_standard_streams()?;
    descriptors::close_strays(&[descriptors::CHANNEL])?;
    let channel = descriptors::take(descriptors::CHANNEL)?;
    let above = peer::credentials(&channel).map_err(sys::Error::system("ask who is the parent"))?;
    if let Some(role) = arguments::role(std::env::args_os().skip(1))? {
        role.assume()?;
    }
    let hardened = harden::apply(Some(above.pid))?;
    let files = landlock::restrict(&[])?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(sys::Error::system("build the event loop"))?;
    let tasks = tokio::task::LocalSet::new();
    let descriptors = usize::try_from(hardened.descriptors).unwrap_or(usize::MAX);
    tasks.block_on(&runtime, serve(channel, files, descriptors))
}

async fn serve(channel: OwnedFd, files: Landlock, limit: usize) -> sys::Result<parent::End> {
    descriptors::set_nonblocking(&channel)
        .map_err(sys::Error::system("use the parent's channel"))?;
    let channel = watch::watch(channel, Interest::READABLE)
        .map_err(sys::Error::system("watch the parent's channel"))?;
    let channel = Rc::new(channel);
    let reached = sandbox::finish(Calls::Listener, files)?;
    let events = Rc::new(events::Events::new(Rc::clone(&channel)));
    events.say(&FromChild::Ready(report(&reached)));
    let shared = core::Shared::new();
    tokio::task::spawn_local(link::look_after(Rc::clone(&shared)));
    tokio::task::spawn_local(link::write(Rc::clone(&shared)));
    let hall = auth::hall::Hall::new();
    let policy = Rc::default();
    let door = Rc::new(clients::Door { shared, events, hall, policy, descriptors: limit });
    tokio::task::spawn_local(auth::hall::let_out(Rc::clone(&door)));
    Ok(parent::obey(door, channel).await)
}

fn report(reached: &sandbox::Confinement) -> status::Confinement {
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

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("saslauthd-listener: {error}");
    ExitCode::FAILURE
}
