//! From a configuration to a standing house: pid file, spool, listeners, files, children.
//!
//! Runs in the parent. Everything that can fail for a reason of the administrator's fails here, before the caller is told
//! that the server serves.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use settings::complaint::Report;
use settings::file::trusted_text;
use settings::values::Account;
use sys::bind;
use sys::daemon::{self, Side};
use sys::dir::Directory;
use sys::harden;
use sys::identity::{self, AccountFiles};
use sys::pidfile::PidFile;
use sys::signals::Signals;

use super::command_line::Options;
use super::failure::Failure;
use super::house::{House, Parts};
use super::identities::Identities;
use super::listeners::{Listeners, Taken};
use super::log::{Foreground, Log};
use super::manifest::Manifest;
use super::sole;
use crate::config::files::Child;
use crate::config::{Config, DEFAULT, Operation, Role};
use sys::identity::create_missing;
use sys::start::Handed;

/// The children of a parent that was killed hold its control socket for a moment.
const ORPHANS: Duration = Duration::from_secs(1);
/// Ports of roles, where only root may use the usual ones, are so much higher.
const HIGHER: u16 = 10_000;

/// Where the configuration comes from, at the start and at each reload.
pub(super) struct Source {
    /// The file, if one was named.
    pub(super) path: Option<PathBuf>,
    /// Whether somebody reads standard error.
    pub(super) foreground: Foreground,
    /// What to do about a port that somebody has.
    pub(super) taken: Taken,
}

/// A configuration that was read.
pub(super) struct Loaded {
    pub(super) config: Config,
    pub(super) text: String,
    /// What to do about a port that somebody has.
    pub(super) taken: Taken,
    uid: u32,
}

impl Source {
    /// Reads it.
    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        let path = self.path.as_deref().unwrap_or(Path::new(DEFAULT));
        let name = path.to_string_lossy();
        let uid = identity::current().map_or(u32::MAX, |identity| identity.uid);
        let text = match self.path.is_none() && !path.exists() {
            true => String::new(),
            false => trusted_text(path, uid).map_err(|message| Report::of(&name, message))?,
        };
        let mut config = Config::parse_as(&name, &text)?;
        let mut taken = self.taken;
        if !identity::is_root() && !names_listeners(&text) {
            taken = Taken::AnyPort;
            for listener in &mut config.listeners {
                let port = HIGHER + listener.role.port();
                listener.addresses = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
            }
        }
        Ok(Loaded { config, text, taken, uid })
    }
}

fn names_listeners(text: &str) -> bool {
    let table = text.parse::<settings::toml::Table>();
    table.is_ok_and(|table| table.contains_key("listener"))
}

impl Loaded {
    /// What both children are handed: the receiver's, then the sender's.
    pub(super) fn manifests(&self) -> Result<(Manifest, Manifest), Failure> {
        let read = |child| Manifest::read(&self.config, &self.text, child, self.uid);
        match (read(Child::Receiver), read(Child::Sender)) {
            (Ok(receives), Ok(sends)) => Ok((receives, sends)),
            (receives, sends) => {
                let mut wrong: Vec<String> =
                    [receives.err(), sends.err()].into_iter().flatten().flatten().collect();
                wrong.sort();
                wrong.dedup();
                Err(Failure::config(wrong.join("\nmta: ") + &self.advice()))
            }
        }
    }

    /// What to do where there is no certificate yet.
    fn advice(&self) -> String {
        match self.config.tls.certificates.first() {
            Some(pair) if !pair.certificate.exists() => format!(
                "\nmta: certificates are named by [[certificate]] in the configuration; to make one of your own: \
                 mailauth cert init --directory {} --name {}",
                pair.certificate.parent().unwrap_or(Path::new("/")).display(),
                self.config.hostname,
            ),
            _ => String::new(),
        }
    }
}

/// `--check`: all that is wrong with the configuration and with the files that it names.
///
/// # Errors
/// That.
pub fn check(options: &Options) -> Result<String, Failure> {
    let source =
        Source { path: options.config.clone(), foreground: Foreground::Yes, taken: Taken::Fails };
    let loaded = source.load()?;
    loaded.manifests()?;
    let path = options.config.as_deref().unwrap_or(Path::new(DEFAULT));
    Ok(format!("{}: no errors\n", path.display()))
}

/// `--create-users`.
///
/// # Errors
/// The configuration's, and those of useradd.
pub fn create_users(options: &Options) -> Result<String, Failure> {
    let source =
        Source { path: options.config.clone(), foreground: Foreground::Yes, taken: Taken::Fails };
    let operation = source.load()?.config.operation;
    Ok(create_missing(&[&operation.receiver_user, &operation.sender_user])?)
}

/// Serves, in the foreground or detached; returns the caller's exit code.
///
/// # Errors
/// Why it doesn't.
pub fn serve(options: &Options, handed: &Handed) -> Result<u8, Failure> {
    let foreground = match options.foreground || handed.is_supervised() {
        true => Foreground::Yes,
        false => Foreground::No,
    };
    let source = Source { path: options.config.clone(), foreground, taken: Taken::Fails };
    // Errors of the configuration are shown on the terminal, with their carets, before anything is started.
    source.load()?.manifests()?;
    let waiting = match foreground {
        Foreground::Yes => None,
        Foreground::No => match daemon::detach()? {
            Side::Caller(code) => return Ok(code),
            Side::Daemon(waiting) => Some(waiting),
        },
    };
    run(source, handed, |_| waiting.map_or(Ok(()), |waiting| Ok(waiting.serving()?)))?;
    Ok(0)
}

/// Builds the house, calls `serving` with where each role is heard once it serves, and returns when it was ended.
pub(super) fn run(
    source: Source,
    handed: &Handed,
    serving: impl FnOnce(&[(Role, SocketAddr)]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let loaded = source.load()?;
    let operation = &loaded.config.operation;
    harden::forbid_new_privileges()?;
    let signals = Signals::block()?;
    Directory::open_or_create(&operation.run_dir, 0o755, None)?;
    let _pid_file = PidFile::claim(&operation.run_dir.join("mta.pid"))?;
    let identities = Identities::of(operation, &AccountFiles::default())?;
    identities.prepare_spool(&loaded.config.spool)?;
    let _spool = sole::claim(&loaded.config.spool)?;
    let (receives, sends) = loaded.manifests()?;
    let listeners = Listeners::open(&loaded.config, handed.sockets(), loaded.taken)?;
    let roles = &loaded.config.listeners;
    let places: Vec<(Role, SocketAddr)> = listeners
        .places()
        .filter_map(|(index, place)| Some((roles.get(index)?.role, place)))
        .collect();
    let control = control(operation)?;
    let house = House::new(Parts {
        log: Log::new(operation, source.foreground),
        source,
        config: loaded.config,
        text: loaded.text,
        identities,
        listeners,
        receives,
        sends,
        control,
        signals,
        notifier: handed.notifier()?,
        watchdog: handed.watchdog(),
    })?;
    house.run(|| serving(&places))
}

/// The operators' socket: root's, and a group's if one is named.
fn control(operation: &Operation) -> Result<OwnedFd, Failure> {
    let group = match &operation.operators {
        None => None,
        Some(Account::Id(id)) => Some(*id),
        Some(Account::Name(name)) => {
            let group = AccountFiles::default().group(name)?;
            let missing = || Failure::config(format!("operators: there is no group {name}"));
            Some(group.ok_or_else(missing)?.gid)
        }
    };
    let wanted = bind::Socket {
        path: &operation.control,
        mode: if group.is_some() { 0o660 } else { 0o600 },
        owner: None,
        group,
        directory_mode: 0o755,
        directory_group: None,
        backlog: 64,
    };
    let until = Instant::now() + ORPHANS;
    loop {
        match bind::listen_at(&wanted) {
            Err(sys::Error::InUse { .. }) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
            }
            bound => return Ok(bound?),
        }
    }
}
