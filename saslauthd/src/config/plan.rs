//! From what was written to what is done: names looked up, defaults filled in, contradictions found.
//!
//! Runs in the parent. A [`Plan`] is all that supervision needs, and it holds the values that the children get
//! word for word.

use std::path::PathBuf;

use ipc::config as task;
use sys::channel::MAX_DESCRIPTORS;
use sys::identity::AccountFiles;

use super::access::{self, Loaded};
use super::complaint::{Complaints, Report};
use super::sections::{CacheMode, Level, LogTo, Mapping, Names, Protocol, Socket};
use super::setting::At;
use super::values::{Account, Rate};
use super::{Config, backends};

/// What of the host goes into a plan.
pub struct Host {
    /// Where users and groups are looked up.
    pub accounts: AccountFiles,
    /// The host's name, the default realm of a sasldb as in Cyrus.
    pub name: String,
    /// Whether the daemon stays in the foreground.
    pub foreground: Foreground,
    /// Whether this process is root, and can give things away.
    pub is_root: bool,
}

/// Where the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreground {
    /// On a terminal or under a supervisor that reads standard error.
    Yes,
    /// Detached.
    No,
}

/// A configuration ready to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The file's name, or `built-in defaults`.
    pub source: String,
    /// Where the daemon runs.
    pub foreground: Foreground,
    /// The directory of the sockets.
    pub run_dir: PathBuf,
    /// The group of a run directory that is made.
    pub run_dir_group: Option<u32>,
    /// The permissions of a run directory that is made.
    pub run_dir_mode: u32,
    /// The directory of what survives a restart.
    pub state_dir: PathBuf,
    /// The control socket.
    pub control: PathBuf,
    /// The group of the control socket.
    pub operators: Option<u32>,
    /// The sockets, in the order of the listener's.
    pub sockets: Vec<SocketPlan>,
    /// The name of the listener's user.
    pub listener_user: String,
    /// The name of the checker's user.
    pub checker_user: String,
    /// What the listener is told.
    pub listener: task::Listener,
    /// What the checker is told; its pid is still to be set.
    pub checker: task::Checker,
    /// The access map, where there is one.
    pub access: Option<Loaded>,
    /// What the administrator should know, a line each.
    pub warnings: Vec<String>,
}

/// How a socket is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPlan {
    /// Where.
    pub path: PathBuf,
    /// Its owner; `None` leaves it.
    pub owner: Option<u32>,
    /// Its group; `None` leaves it.
    pub group: Option<u32>,
    /// Its permissions.
    pub mode: u32,
}

impl Plan {
    /// The operators' socket: their group may connect, and the checker asks who they are.
    pub fn control_socket(&self) -> SocketPlan {
        SocketPlan { path: self.control.clone(), owner: None, group: self.operators, mode: 0o660 }
    }
}

/// sockaddr_un has 108 bytes and the last is NUL.
const LONGEST_SOCKET_PATH: usize = 107;

impl Config {
    /// Looks everything up, or says all that is wrong.
    pub fn plan(&self, host: &Host) -> Result<Plan, Report> {
        let mut complaints = Complaints::default();
        let mut planner = Planner { config: self, host, complaints: &mut complaints };
        let access = planner.access();
        let mut plan = planner.plan();
        let complaints = self.complaints.clone().and(complaints, &self.text);
        if !complaints.is_empty() {
            return Err(complaints.into_report(&self.name(), &self.text));
        }
        // Another file with a report of its own.
        plan.access = access.map(|(path, task)| access::load(&path, &task)).transpose()?;
        plan.warnings.extend(plan.access.iter().flat_map(|map| map.warnings.clone()));
        Ok(plan)
    }

    /// The file's name, or `built-in defaults`.
    pub fn name(&self) -> String {
        if self.path.is_empty() { "built-in defaults".into() } else { self.path.clone() }
    }
}

/// Looks things up while complaints are gathered.
pub(super) struct Planner<'a> {
    pub(super) config: &'a Config,
    pub(super) host: &'a Host,
    pub(super) complaints: &'a mut Complaints,
}

impl Planner<'_> {
    fn plan(mut self) -> Plan {
        let top = &self.config.top;
        let mut warnings = Vec::new();
        let run_dir = top.run_dir.value.0.clone();
        let control = match &top.control {
            Some(path) => path.value.0.clone(),
            None => run_dir.join("control"),
        };
        if top.listener_user.value == top.checker_user.value {
            let message =
                "must not be the listener's user: what reads clients could then read the checker";
            self.complaints.add(top.checker_user.at.clone(), message);
        }
        let operators = top.operators.as_ref().and_then(|group| self.operators(group));
        let (sockets, public) = self.sockets();
        let plan = Plan {
            source: self.config.name(),
            foreground: self.host.foreground,
            run_dir_group: self.run_dir_group(&mut warnings),
            run_dir_mode: top.run_dir_mode.0,
            state_dir: top.state_dir.value.0.clone(),
            operators: operators.as_ref().map(|(gid, _)| *gid),
            listener_user: top.listener_user.value.clone(),
            checker_user: top.checker_user.value.clone(),
            access: None,
            checker: self.checker(operators.map(|(_, uids)| uids).unwrap_or_default(), &public),
            listener: self.listener(public),
            run_dir,
            control,
            sockets,
            warnings,
        };
        self.check_length(&plan);
        plan
    }

    /// The default group is for Debian; elsewhere nothing but root may enter until somebody configures it.
    fn run_dir_group(&mut self, warnings: &mut Vec<String>) -> Option<u32> {
        let group = &self.config.top.run_dir_group;
        let Account::Name(name) = &group.value else { return self.gid(group) };
        if group.at.is_none() && !self.host.is_root {
            return None;
        }
        match self.host.accounts.group(name) {
            Ok(None) if group.at.is_none() => {
                warnings.push(format!(
                    "there is no group {name}: only root can enter a run directory that is made; \
                     set run_dir_group"
                ));
                None
            }
            _ => self.gid(group),
        }
    }

    fn sockets(&mut self) -> (Vec<SocketPlan>, Vec<task::Socket>) {
        let default = [At::from(Socket::default())];
        let written = if self.config.sockets.is_empty() { &default } else { &*self.config.sockets };
        if let Some(surplus) = written.get(MAX_DESCRIPTORS) {
            self.complaints.add(surplus.at.clone(), format!("more than {MAX_DESCRIPTORS} sockets"));
        }
        let mut plans: Vec<SocketPlan> = Vec::new();
        let mut public = Vec::new();
        for socket in written {
            self.without_effect(socket);
            let plan = self.socket(socket);
            if plans.iter().any(|earlier| earlier.path == plan.path) {
                let at = socket.value.path.as_ref().map_or(&socket.at, |path| &path.at);
                let message = format!("{} is the path of another socket, too", plan.path.display());
                self.complaints.add(at.clone(), message);
            }
            public.push(self.public(&plan, &socket.value));
            plans.push(plan);
        }
        (plans, public)
    }

    fn socket(&mut self, socket: &At<Socket>) -> SocketPlan {
        let keys = &socket.value;
        let name = match keys.protocol {
            Protocol::Mux => "mux",
            Protocol::Pwcheck => "pwcheck",
            Protocol::Auth => "auth",
            Protocol::Userdb => "userdb",
            Protocol::Policy => "policy",
        };
        let (path, at) = match &keys.path {
            Some(path) => (path.value.0.clone(), &path.at),
            None => (self.config.top.run_dir.value.0.join(name), &self.config.top.run_dir.at),
        };
        if path.as_os_str().len() > LONGEST_SOCKET_PATH {
            let message = format!(
                "a socket's path has at most {LONGEST_SOCKET_PATH} bytes: {}",
                path.display()
            );
            self.complaints.add(at.clone(), message);
        }
        SocketPlan {
            path,
            owner: keys.owner.as_ref().and_then(|owner| self.uid(owner)),
            group: keys.group.as_ref().and_then(|group| self.gid(group)),
            mode: keys.mode.0,
        }
    }

    fn public(&mut self, plan: &SocketPlan, keys: &Socket) -> task::Socket {
        let uids = keys.uids.as_ref();
        task::Socket {
            path: plan.path.to_string_lossy().into_owned(),
            protocol: match keys.protocol {
                Protocol::Mux => task::Protocol::Mux,
                Protocol::Pwcheck => task::Protocol::Pwcheck,
                Protocol::Auth => task::Protocol::Auth,
                Protocol::Userdb => task::Protocol::Userdb,
                Protocol::Policy => task::Protocol::Policy,
            },
            uids: uids.map(|uids| uids.iter().filter_map(|user| self.uid(user)).collect()),
            address_uids: keys.address_uids.iter().filter_map(|user| self.uid(user)).collect(),
            auth: self.auth(keys),
            userdb: self.userdb(keys),
        }
    }

    fn listener(&self, sockets: Vec<task::Socket>) -> task::Listener {
        let listener = &self.config.listener;
        // The types bound each field below 64 KiB.
        let field = |bytes: u32| u16::try_from(bytes).unwrap_or(u16::MAX);
        task::Listener {
            sockets,
            fields: task::Fields {
                login: field(listener.login.0),
                password: field(listener.password.0),
                service: field(listener.service.0),
                realm: field(listener.realm.0),
            },
            request_ms: listener.request.0,
            drain_ms: listener.drain.0,
            answer_ms: listener.answer.0,
            connections: listener.connections.0,
        }
    }

    fn checker(&mut self, operator_uids: Vec<u32>, sockets: &[task::Socket]) -> task::Checker {
        let chains = backends::Chains::of(self);
        let mapping = &self.config.mapping;
        let rule = match mapping.mapping.value {
            Mapping::Cyrus => task::MappingRule::Cyrus,
            Mapping::Join => task::MappingRule::Join,
            Mapping::Split => task::MappingRule::Split,
        };
        task::Checker {
            backends: chains.backends,
            realms: chains.realms,
            chain: chains.chain,
            mapping: task::Mapping {
                rule,
                // Their clients never split a name, and those of the others have done it.
                one_name: match mapping.mapping.at {
                    None if rule == task::MappingRule::Cyrus => task::MappingRule::Split,
                    _ => rule,
                },
                default_realm: mapping.default_realm.clone(),
            },
            names: match mapping.names {
                Names::Precis => task::Names::Precis,
                Names::Raw => task::Names::Raw,
            },
            hashing: self.hashing(),
            limits: self.limits(),
            cache: self.cache(),
            log: self.log(),
            sasl: self.sasl(sockets),
            operator_uids,
        }
    }

    fn hashing(&mut self) -> task::Hashing {
        let hashing = &self.config.hashing;
        let ceiling = hashing.memory.0.min(hashing.max_memory.0);
        if hashing.max_memory.0 > hashing.memory.0 {
            let message = "[hashing] max_memory is more than memory, so such a hash could never run; raise memory";
            self.complaints.add(None, message);
        }
        if hashing.argon2_memory.0 > ceiling {
            let message = "[hashing] argon2_memory is more than memory or max_memory; new hashes could not be verified";
            self.complaints.add(None, message);
        }
        task::Hashing {
            threads: u16::try_from(hashing.threads.0).unwrap_or(u16::MAX),
            memory_kib: hashing.memory.0,
            wait_ms: hashing.wait.0,
            max_memory_kib: hashing.max_memory.0,
            max_ms: hashing.max_time.0,
            weak: hashing.weak.iter().map(|scheme| scheme.word().to_owned()).collect(),
            truncate: hashing.truncate,
            argon2_memory_kib: hashing.argon2_memory.0,
            argon2_passes: hashing.argon2_passes.0,
            upgrade: hashing.upgrade,
        }
    }

    fn limits(&self) -> task::Limits {
        let limits = &self.config.limits;
        let days = limits.known_good_for.seconds() / 86_400;
        task::Limits {
            on: limits.on,
            pair: rate(limits.pair),
            source: rate(limits.source),
            source_day: rate(limits.source_day),
            network: rate(limits.network),
            network_wide: rate(limits.network_wide),
            user: rate(limits.user),
            user_day: rate(limits.user_day),
            known_good: rate(limits.known_good),
            peer: rate(limits.peer),
            repeats: rate(limits.repeats),
            hashing_percent: u8::try_from(limits.hashing_percent.0).unwrap_or(100),
            known_good_days: u16::try_from(days).unwrap_or(u16::MAX),
            entries: limits.entries.0,
        }
    }

    fn cache(&self) -> task::Cache {
        let cache = &self.config.cache;
        task::Cache {
            mode: match cache.mode {
                CacheMode::Off => task::CacheMode::Off,
                CacheMode::Costly => task::CacheMode::Costly,
                CacheMode::All => task::CacheMode::All,
            },
            seconds: cache.time.seconds(),
            entries: cache.entries.0,
        }
    }

    fn log(&mut self) -> task::Log {
        let log = &self.config.log;
        if (log.to, self.host.foreground) == (LogTo::Stderr, Foreground::No) {
            let message = "[log] to = \"stderr\" needs --foreground: a detached daemon has none";
            self.complaints.add(None, message);
        }
        task::Log {
            to: match (log.to, self.host.foreground) {
                (LogTo::Stderr, _) | (LogTo::Auto, Foreground::Yes) => task::LogTo::Stderr,
                (LogTo::Syslog, _) | (LogTo::Auto, Foreground::No) => task::LogTo::Syslog,
                (LogTo::Journal, _) => task::LogTo::Journal,
            },
            level: match log.level {
                Level::Error => task::Level::Error,
                Level::Warning => task::Level::Warning,
                Level::Info => task::Level::Info,
                Level::Debug => task::Level::Debug,
            },
            cyrus_lines: log.cyrus_lines,
            pid: 0,
        }
    }

    /// The group and the uids of its members, those with the group as their primary one excepted: passwd(5) alone
    /// makes nobody an operator.
    fn operators(&mut self, group: &At<Account>) -> Option<(u32, Vec<u32>)> {
        let gid = self.gid(group)?;
        let Account::Name(name) = &group.value else { return Some((gid, Vec::new())) };
        let members = self.host.accounts.group(name).ok().flatten().map(|group| group.members);
        let uid = |name: String| Some(self.host.accounts.user(&name).ok().flatten()?.uid);
        Some((gid, members.unwrap_or_default().into_iter().filter_map(uid).collect()))
    }

    pub(super) fn uid(&mut self, user: &At<Account>) -> Option<u32> {
        let name = match &user.value {
            Account::Id(id) => return Some(*id),
            Account::Name(name) => name,
        };
        match self.host.accounts.user(name) {
            Ok(Some(found)) => return Some(found.uid),
            Ok(None) => {
                let message = format!("there is no user {name}; create it or write its number");
                self.complaints.add(user.at.clone(), message);
            }
            Err(e) => self.complaints.add(user.at.clone(), e.to_string()),
        }
        None
    }

    pub(super) fn gid(&mut self, group: &At<Account>) -> Option<u32> {
        let name = match &group.value {
            Account::Id(id) => return Some(*id),
            Account::Name(name) => name,
        };
        match self.host.accounts.group(name) {
            Ok(Some(found)) => return Some(found.gid),
            Ok(None) => {
                let message = format!("there is no group {name}; create it or write its number");
                self.complaints.add(group.at.clone(), message);
            }
            Err(e) => self.complaints.add(group.at.clone(), e.to_string()),
        }
        None
    }

    /// A child takes its task in one message.
    fn check_length(&mut self, plan: &Plan) {
        use ipc::control::{ToChecker, ToListener, encode};
        if encode(&ToListener::Serve(plan.listener.clone())).is_none()
            || encode(&ToChecker::Configure(plan.checker.clone())).is_none()
        {
            let message =
                "more than 64 KiB of settings; shorten the lists of uids, realms or queries";
            self.complaints.add(None, message);
        }
    }
}

fn rate(rate: Rate) -> task::Rate {
    task::Rate { burst: rate.burst, count: rate.count, seconds: rate.every.seconds() }
}

#[cfg(test)]
mod tests;
