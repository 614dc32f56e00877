//! mta-receiver: hears strangers, and can only append to the spool.
//!
//! Runs as a user of its own without capabilities. It trusts the parent (descriptor 3) and believes the daemon's answers;
//! it trusts no client. Its certificates' keys are its only secrets. It must never open a socket, connect, execute
//! anything, or open a file outside `incoming/`: the sandbox ends it if it tries.

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use mta::config::Config;
use mta::control::{FromChild, Material};
use mta::link::{self, Link};
use mta::spool::incoming::Incoming;
use mta::submission;
use sys::sandbox::{self, Access, Calls, Landlock, landlock};
use sys::{Error, arguments, descriptors, harden, peer};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mta-receiver: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The recipe: hand-over, identity, what to work by, files, runtime, system calls, ready, serve.
fn run() -> sys::Result<()> {
    descriptors::open_standard_streams()?;
    descriptors::close_strays(&[descriptors::CHANNEL])?;
    let channel = descriptors::take(descriptors::CHANNEL)?;
    let above = peer::credentials(&channel).map_err(Error::system("ask who is the parent"))?;
    if let Some(role) = arguments::role(std::env::args_os().skip(1))? {
        role.assume()?;
    }
    harden::apply(Some(above.pid))?;
    let material = Box::new(link::first(&channel).map_err(Error::system("hear the parent"))?);
    let incoming = Spool::open(&material)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(mta::processors::half())
        .enable_all()
        .build()
        .map_err(Error::system("build the event loop"))?;
    runtime.block_on(serve(channel, material, incoming))
}

/// The spool's directory, and how far files are confined to it.
struct Spool {
    incoming: Incoming,
    files: Landlock,
}

impl Spool {
    fn open(material: &Material) -> sys::Result<Self> {
        let wrong = |why: &dyn std::fmt::Display| Error::NotConfined(why.to_string());
        let config = Config::parse(&material.config).map_err(|why| wrong(&why))?;
        let incoming = Incoming::open(&config.spool, config.keep.reserve)
            .map_err(|why| wrong(&format!("the spool can't be used: {why:?}")))?;
        let directory = config.spool.join("incoming");
        let files = landlock::restrict(&[(&directory, Access::ReadWriteDirectory)])?;
        Ok(Self { incoming, files })
    }
}

async fn serve(channel: OwnedFd, material: Box<Material>, spool: Spool) -> sys::Result<()> {
    let (link, orders) = Link::open(channel).map_err(Error::system("use the parent's channel"))?;
    let reached = sandbox::finish(Calls::Receiver, spool.files)?;
    link.say(FromChild::Ready {
        confinement: reached.to_string(),
        missing: reached.shortcomings(),
    });
    submission::obey(link, orders, material, spool.incoming).await;
    Ok(())
}
