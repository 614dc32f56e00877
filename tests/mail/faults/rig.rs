//! A house whose receiver, sender or parent is struck, its next hop, and the account of every message that was sent.
//!
//! Runs in the test process, as root. One rig serves many points: what a point leaves is mended as an operator would, and
//! one more message proves that nothing is left of it. At the end the mta is started anew, and what was promised is
//! compared with what came.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harness::mta::client::Client;
use harness::mta::sink::{Act, Heard, Manner, Sink};
use harness::mta::{House, Place, Plan};
use harness::{PATIENCE, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::queue::{self, Request, Which};

use super::messages::{self, Answer, Clients, MACHINE, TRUSTED};
use super::tally::{Sent, Tally};
use super::tracer::{Blow, Hit, Point, Tracer};

/// A child that served so long is started again at once when it ends.
const SERVED: Duration = Duration::from_millis(1050);
/// How long mail may take that nothing is in the way of.
const SETTLED: Duration = Duration::from_millis(150);

/// Whose calls are struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Receiver,
    Sender,
    Parent,
}

impl Role {
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Receiver => "mta-receiver",
            Self::Sender => "mta-sender",
            Self::Parent => "mta",
        }
    }
}

/// When each copy of a message came, and whether all are whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrived {
    pub(super) at: Vec<Instant>,
    pub(super) broken: bool,
}

pub(super) struct Rig {
    house: House,
    _sink: Sink,
    clients: Clients,
    arrived: Arc<Mutex<HashMap<u32, Arrived>>>,
    role: Role,
    tracer: Tracer,
    pid: i32,
    since: Instant,
    pub(super) tally: Tally,
}

impl Rig {
    pub(super) fn start(role: Role) -> Self {
        let place = Place::take().unwrap();
        let arrived: Arc<Mutex<HashMap<u32, Arrived>>> = Arc::default();
        let record = Arc::clone(&arrived);
        let manner = Manner::smtp().script(move |heard| {
            if let Heard::Message(message) = heard {
                let (number, whole) = messages::read(&message.text());
                let mut record = record.lock().unwrap();
                let entry = record.entry(number).or_default();
                entry.at.push(Instant::now());
                entry.broken |= !whole;
            }
            Act::Usual
        });
        let sink = Sink::listen(place.address(), 0, manner).unwrap();
        let plan = Plan::new()
            .client(MACHINE)
            .map(&format!("{{pin:{MACHINE}}}\tRELAY\nConnect:{TRUSTED}\tRELAY"))
            .everything_to((place.address(), sink.port()).into())
            .sections("[delivery]\nretry = [\"100ms\"]\n[daemon]\ndeadline = \"2s\"\n");
        let house = plan.start_at(place).unwrap();
        let clients = Clients::of(&house).unwrap();
        let mut rig = Self {
            house,
            _sink: sink,
            clients,
            arrived,
            role,
            tracer: Tracer::default(),
            pid: 0,
            since: Instant::now(),
            tally: Tally::default(),
        };
        rig.await_process();
        // What is done once in a process's life is done now.
        rig.workload("none");
        rig.recover("none");
        rig
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// The calls of the process while the three messages pass.
    pub(super) fn count(&mut self) -> HashMap<i64, usize> {
        self.rest();
        self.tracer.count();
        self.bereave();
        self.workload("counted");
        assert!(wait_for(PATIENCE, || self.is_quiet()), "{}", self.house.log());
        self.tracer.counted()
    }

    /// Strikes once, and mends.
    pub(super) fn strike(&mut self, point: Point, name: &str) {
        if point.blow == Blow::Kill || self.role == Role::Parent {
            self.rest();
        }
        let first = self.tally.sent.len();
        self.tracer.arm(point);
        self.bereave();
        self.workload(name);
        // Each of them is on its way to its end, or has met the blow.
        wait_for(PATIENCE, || self.tracer.hit().is_some() || self.is_quiet());
        let hit = self.tracer.disarm();
        self.tally.points += 1;
        if let Some(hit) = hit {
            self.tally.hits.push(format!("{name} {}", hit.of));
            if point.blow == Blow::Kill {
                self.tally.kills.push(hit.at);
                assert!(wait_for(PATIENCE, || !alive(self.pid)), "{} outlives its end", self.pid);
            }
            self.judge(&hit, point, first, name);
        }
        self.recover(name);
        self.prove(name);
        self.recover(name);
        if self.role == Role::Parent {
            self.since = Instant::now();
        }
    }

    /// What the log says of the end of a child that can't hear its parent any more, and ends by itself.
    pub(super) fn deafen(&mut self) -> String {
        let call = Some(nix::libc::SYS_recvmsg);
        let blow = Blow::Error(nix::errno::Errno::ECONNRESET);
        self.tracer.arm(Point { call, ordinal: 1, blow });
        // The parent has something to say.
        let _ = kill(Pid::from_raw(self.house.processes("mta")[0]), Signal::SIGHUP);
        let program = format!("{}: ", self.role.program());
        let is_told = |line: &&str| line.contains(&program) && line.contains("starting it again");
        let mut told = None;
        wait_for(PATIENCE, || {
            told = self.house.log().lines().find(is_told).map(str::to_owned);
            told.is_some()
        });
        self.tracer.disarm();
        self.recover("deaf");
        told.unwrap_or_else(|| panic!("nothing is told: {}", self.house.log()))
    }

    /// A child that ends early again and again is started later and later.
    fn rest(&self) {
        std::thread::sleep(SERVED.saturating_sub(self.since.elapsed()));
    }

    /// A parent has its most delicate work when its children end.
    fn bereave(&self) {
        if self.role == Role::Parent {
            for child in ["mta-receiver", "mta-sender"] {
                self.house.processes(child).iter().for_each(|pid| end(*pid));
            }
        }
    }

    /// Nothing is left of it: the next message is taken, at once or when the daemon is asked again.
    fn prove(&mut self, name: &str) {
        let mut tries = 0;
        let is_taken = || {
            tries += 1;
            self.await_process();
            matches!(self.send_trusted(name), Answer::Accepted(_)) || {
                std::thread::sleep(SETTLED);
                false
            }
        };
        if !wait_for(PATIENCE, is_taken) {
            self.tally.wrong.push(format!("after {name} nothing is taken: {}", self.house.log()));
        }
        if tries > 1 {
            // A connection to the daemon that ends before its first second is made again later and later.
            std::thread::sleep(SERVED);
        }
    }

    /// A full disk is said to be full, and another fault isn't.
    fn judge(&mut self, hit: &Hit, point: Point, first: usize, name: &str) {
        let Blow::Error(error) = point.blow else { return };
        let full = matches!(error as i32, nix::libc::ENOSPC | nix::libc::EDQUOT | nix::libc::EFBIG);
        if self.role != Role::Receiver || hit.call == nix::libc::SYS_epoll_ctl {
            return;
        }
        for sent in self.tally.sent.iter().skip(first) {
            if let Answer::Refused(code, text) = &sent.answer
                && (*code == 452) != full
            {
                self.tally.wrong.push(format!("{name}: {text}"));
            }
        }
    }

    fn workload(&mut self, name: &str) {
        let first = self.next();
        let answers = self.clients.person([first, first + 1]);
        let machine = self.clients.machine(first + 2);
        for (number, answer) in (first..).zip(answers.into_iter().chain([machine])) {
            self.tally.note(Sent { number, answer, point: name.to_owned() });
        }
        match self.clients.stranger() {
            Answer::Accepted(what) => self.tally.wrong.push(format!("{name}: relays: {what}")),
            Answer::Refused(..) | Answer::Nothing(_) => {}
        }
        if first.is_multiple_of(5)
            && let Answer::Accepted(what) = self.clients.impostor()
        {
            self.tally.wrong.push(format!("{name}: lets in by {what}"));
        }
    }

    fn send_trusted(&mut self, name: &str) -> Answer {
        let answer = self.clients.trusted(self.next());
        let point = format!("after {name}");
        self.tally.note(Sent { number: self.next(), answer: answer.clone(), point });
        answer
    }

    fn next(&self) -> u32 {
        u32::try_from(self.tally.sent.len()).unwrap()
    }

    /// Whether no message is in the spool.
    fn is_quiet(&self) -> bool {
        let is_message = |path: PathBuf| path.extension().is_none();
        ["incoming", "queue"].iter().all(|name| {
            fs::read_dir(self.house.spool().join(name))
                .is_ok_and(|files| !files.flatten().any(|file| is_message(file.path())))
        })
    }

    /// Waits until the process serves and the spool is empty; asks as an operator does; at last begins with a new sender.
    fn recover(&mut self, name: &str) {
        self.await_process();
        if wait_for(SETTLED, || self.is_quiet()) {
            return;
        }
        self.tally.asked += 1;
        let control = self.house.sandbox().outside(std::path::Path::new("/run/mta/control"));
        let asked = |request: &Request| drop(queue::ask(&control, request, PATIENCE));
        let mut ask = || {
            self.await_process();
            asked(&Request::Release(Which::All));
            asked(&Request::Retry(Which::All));
            wait_for(SETTLED, || self.is_quiet())
        };
        if wait_for(Duration::from_secs(4), &mut ask) {
            return;
        }
        self.tally.renewed.push(name.to_owned());
        self.renew();
        if !wait_for(2 * PATIENCE, || self.is_quiet()) {
            self.tally.wrong.push(format!("{name}: stuck: {:?}", self.left()));
        }
    }

    /// A new sender.
    fn renew(&mut self) {
        let before = self.house.processes("mta-sender");
        self.tally.kills.push(Instant::now());
        before.iter().for_each(|pid| end(*pid));
        // Without a parent there is no new one.
        self.await_process();
        let is_other = || {
            let now = self.house.processes("mta-sender");
            now.len() == 1 && now != before
        };
        assert!(wait_for(4 * PATIENCE, is_other), "no new sender: {}", self.house.log());
        if self.role == Role::Sender {
            // This death is ours.
            self.pid = 0;
        }
        self.await_process();
    }

    /// Waits until the process serves, and watches it if it is another one than before.
    fn await_process(&mut self) {
        if alive(self.pid) {
            return;
        }
        self.tally.deaths += usize::from(self.pid != 0);
        if self.role == Role::Parent && self.pid != 0 {
            assert!(
                self.house.end_mta(Signal::SIGKILL),
                "children outlive it: {}",
                self.house.log()
            );
            self.house.start_mta().unwrap();
        }
        let mut now = 0;
        let serves = || {
            let pids = self.house.processes(self.role.program());
            now = pids.first().copied().unwrap_or_default();
            let greets = || Client::connect(self.house.relay(), None)?.reply();
            alive(now) && self.is_ready(now) && greets().is_ok_and(|reply| reply.code() == 220)
        };
        assert!(wait_for(4 * PATIENCE, serves), "no {:?}: {}", self.role, self.house.log());
        self.tracer.watch(now).unwrap_or_else(|error| panic!("{now} can't be watched: {error}"));
        (self.pid, self.since) = (now, Instant::now());
    }

    fn is_ready(&self, pid: i32) -> bool {
        let said = match self.role {
            Role::Parent => format!("serving; process id of the parent: {pid}"),
            _ => format!("{}[{pid}]: ", self.role.program()),
        };
        self.house.log().contains(&said)
    }

    /// Ends the mta, starts it again, and compares what was promised with what came.
    pub(super) fn close(mut self) -> Tally {
        let parent = self.house.processes("mta").first().copied().unwrap_or_default();
        end_politely(parent);
        let gone = wait_for(2 * PATIENCE, || self.house.processes("mta").is_empty());
        assert!(gone, "{:?} don't end: {}", self.processes(), self.house.log());
        self.house.end_mta(Signal::SIGTERM);
        self.house.start_mta().unwrap();
        wait_for(PATIENCE, || self.left().is_empty());
        let mut tally = std::mem::take(&mut self.tally);
        if !self.left().is_empty() {
            tally.wrong.push(format!("left at the end: {:?}", self.left()));
        }
        tally.forbidden += self.tracer.forbidden();
        let log = self.house.log();
        tally.compare(&self.arrived.lock().unwrap(), &log);
        if !tally.wrong.is_empty() {
            eprintln!("--- log\n{log}");
        }
        tally
    }

    /// Processes of the mta, and what they do.
    fn processes(&self) -> Vec<String> {
        let pids = self.house.processes("mta");
        pids.iter()
            .map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default())
            .collect()
    }

    /// Whatever is in the spool.
    fn left(&self) -> Vec<PathBuf> {
        let names = ["incoming", "queue", "corrupt"].map(|name| self.house.spool().join(name));
        let files = names.iter().filter_map(|path| fs::read_dir(path).ok()).flatten();
        files.flatten().map(|entry| entry.path()).collect()
    }
}

fn end_politely(pid: i32) {
    let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
}

fn end(pid: i32) {
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

/// Whether a process runs, and is not merely waited for.
fn alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or_default().starts_with(['Z', 'X']))
}
