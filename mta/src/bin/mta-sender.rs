//! mta-sender: reads the spool and speaks to other servers.
//!
//! Runs as its own user without capabilities; sees the spool, the maildirs of its routes and the network, and listens
//! nowhere. It trusts the parent (descriptor 3) and no server, and the receiver's files no further than their checksums. It
//! must never execute anything, hear strangers, or reach the daemon's auth socket.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mta::config::{Config, Via};
use mta::control::{FromChild, Level, Material, Socket};
use mta::daemon::Connector;
use mta::delivery::manager::{Manager, Settings};
use mta::delivery::transport::Transport;
use mta::link::{self, Link, Order, Orders};
use mta::policy::Policy;
use mta::spool::queue::{Queue, Trouble};
use sys::sandbox::landlock::{self, Network};
use sys::sandbox::{self, Access, Calls, Landlock};
use sys::{Error, Result, arguments, descriptors, harden, peer};

/// How long what was begun may take once the end was ordered.
const LAST: Duration = Duration::from_secs(5);
/// How long another sender's end is waited for: longer than [`LAST`].
const ORPHAN: Duration = Duration::from_secs(8);
/// Between two looks whether it has ended.
const AGAIN: Duration = Duration::from_millis(50);
/// sysexits' EX_TEMPFAIL: another sender has the queue.
const BUSY: u8 = 75;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("mta-sender: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The recipe: hand-over, identity, files, runtime, system calls, ready, serve.
fn run() -> Result<ExitCode> {
    descriptors::open_standard_streams()?;
    descriptors::close_strays(&[descriptors::CHANNEL])?;
    let channel = descriptors::take(descriptors::CHANNEL)?;
    let above = peer::credentials(&channel).map_err(Error::system("ask who is the parent"))?;
    if let Some(role) = arguments::role(std::env::args_os().skip(1))? {
        role.assume()?;
    }
    harden::apply(Some(above.pid))?;
    let material = link::first(&channel).map_err(Error::system("hear what to work by"))?;
    let config = Arc::new(Config::parse(&material.config).map_err(handed_over)?);
    let queue = match open(&config.spool) {
        Ok(queue) => queue,
        Err(trouble @ Trouble::Locked) => {
            eprintln!("mta-sender: {}: {trouble}", config.spool.display());
            return Ok(ExitCode::from(BUSY));
        }
        Err(trouble) => return Err(handed_over(trouble)),
    };
    let maildirs = maildirs(&config);
    let files = confine(&config, &maildirs)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(mta::processors::half())
        // As many fsyncs at a time as make sense; a thousand messages that are put off at once need no thousand threads.
        .max_blocking_threads(64)
        .enable_all()
        .build()
        .map_err(Error::system("build the event loop"))?;
    let served = runtime.block_on(serve(channel, &material, config, queue, (files, maildirs)));
    // A thread that waits for a disk or a name server holds up nobody's end.
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}

/// Opens the queue. The sender of a parent that was killed has it until it ended what it had begun.
fn open(spool: &Path) -> std::result::Result<Queue, Trouble> {
    let end = Instant::now() + ORPHAN;
    loop {
        match Queue::open(spool) {
            Err(Trouble::Locked) if Instant::now() < end => std::thread::sleep(AGAIN),
            opened => return opened,
        }
    }
}

/// Directories of maildirs that are there: nothing can be permitted of others.
fn maildirs(config: &Config) -> Vec<PathBuf> {
    let vias = config.routes.iter().map(|route| &route.via).chain(&config.delivery.smarthost);
    let maildirs = vias.filter_map(|via| match via {
        Via::Maildir(directory) => Some(directory.clone()),
        _ => None,
    });
    maildirs.filter(|directory| directory.exists()).collect()
}

/// What it may touch: the spool, maildirs of routes, and what names are looked up by.
fn confine(config: &Config, maildirs: &[PathBuf]) -> Result<Landlock> {
    let read = ["/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs", "/usr/share/ca-certificates"];
    let trees: Vec<PathBuf> = maildirs.iter().cloned().chain([config.spool.clone()]).collect();
    let trees = trees.iter().map(|path| (path.as_path(), Access::ReadWriteTree));
    let read = read.iter().map(|path| (Path::new(path), Access::Read));
    let rules: Vec<_> = trees.chain(read).filter(|(path, _)| path.exists()).collect();
    landlock::restrict_with(&rules, Network::Connect)
}

async fn serve(
    channel: OwnedFd,
    material: &Material,
    config: Arc<Config>,
    queue: Queue,
    (files, maildirs): (Landlock, Vec<PathBuf>),
) -> Result<()> {
    let (link, orders) = Link::open(channel).map_err(Error::system("use the parent's channel"))?;
    let arrivals = queue.watch().map_err(Error::system("watch incoming/ of the spool"))?;
    let settings = settings(&link, config, material).map_err(handed_over)?;
    let reached = sandbox::finish(Calls::Sender, files)?;
    let manager = Manager::new(link.clone(), queue, settings);
    link.say(FromChild::Ready {
        confinement: reached.to_string(),
        missing: reached.shortcomings(),
    });
    link.say(FromChild::Loaded(Ok(())));
    let managed = manager.clone();
    tokio::spawn(async move { managed.serve(arrivals).await });
    obey(&link, orders, &manager, &maildirs).await;
    manager.stop(LAST).await;
    link.flush().await;
    Ok(())
}

/// Carries out orders until the parent wants the end, or is gone, or until another process has to take over: what
/// landlock didn't permit at the start is never permitted.
async fn obey(link: &Link, mut orders: Orders, manager: &Manager, permitted: &[PathBuf]) {
    while let Some(order) = orders.next().await {
        match order {
            Order::Load(material) => {
                let config = Config::parse(&material.config).map_err(|why| why.to_string());
                let loaded = config.and_then(|config| settings(link, Arc::new(config), &material));
                let added = loaded.as_ref().ok().and_then(|settings| {
                    maildirs(&settings.config).into_iter().find(|one| !permitted.contains(one))
                });
                link.say(FromChild::Loaded(loaded.map(|settings| manager.load(settings))));
                if let Some(directory) = added {
                    let text = format!(
                        "mta-sender: {} is new: ending, to be started with leave to write there",
                        directory.display()
                    );
                    return link.log(Level::Notice, text);
                }
            }
            Order::Control(listener) => manager.hear(listener),
            Order::Listen(_) | Order::Queue(_) => {
                link.log(Level::Warning, "mta-sender: an order for another child was ignored");
            }
            Order::Stop => return,
        }
    }
}

fn settings(
    link: &Link,
    config: Arc<Config>,
    material: &Material,
) -> std::result::Result<Settings, String> {
    let daemon = Connector::Link(link.clone(), Socket::Policy);
    let policy = Policy::new(daemon, config.daemon.deadline);
    let lines = link.clone();
    let log = Arc::new(move |level, text| lines.log(level, text));
    let transport = Transport::new(Arc::clone(&config), material, policy, log);
    let transport = transport.map_err(|why| why.to_string())?;
    Ok(Settings { config, transport })
}

fn handed_over(why: impl std::fmt::Display) -> Error {
    Error::HandedOver(why.to_string())
}
