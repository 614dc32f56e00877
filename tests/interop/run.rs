//! Takes one peer through every situation with each daemon under test.

use std::io;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use harness::Subject;

use crate::accounts;
use crate::daemon::{self, Daemon, End, Freeze};
use crate::dovecot;
use crate::peers::namespace::Namespace;
use crate::peers::{Failure, Heard, Peer, Question, Request, Result, Socket, Verdict};
use crate::situation::{ALL, Situation};
use crate::stand_in::{close_mux, close_pwcheck};
use crate::stand_in_auth::{Says, fail_auth};

/// How many clients say nothing; Debian's saslauthd has five processes.
const IDLE: usize = 8;

/// What one peer said in one situation.
pub(crate) struct Outcome {
    /// Who answered the peer.
    pub(crate) subject: Subject,
    /// One of the peer's routes.
    pub(crate) route: &'static str,
    /// What was going on.
    pub(crate) situation: Situation,
    /// What the peer told its client.
    pub(crate) heard: Heard,
    /// What it should have told.
    pub(crate) expected: Verdict,
    /// Whether the peer has words for such an outage, however it is told.
    pub(crate) tells_outage: bool,
}

impl Outcome {
    /// Whether the peer's client was told what it should have been told.
    pub(crate) fn is_expected(&self) -> bool {
        self.heard.verdict == self.expected
    }

    /// Whether no daemon could make the peer tell its client of the outage.
    pub(crate) fn is_peers_own(&self) -> bool {
        !self.tells_outage || self.situation.is_scripted_or_absent()
    }
}

/// All that came of one peer.
pub(crate) struct Report {
    /// Its name.
    pub(crate) peer: &'static str,
    /// Which socket it asks.
    pub(crate) socket: Socket,
    /// What it said.
    pub(crate) outcomes: Vec<Outcome>,
    /// Why there is not more.
    pub(crate) failure: Option<Failure>,
    /// What the daemon printed, when not all was as expected.
    pub(crate) log: String,
    took: Duration,
}

impl Report {
    /// Whether the run fails; a peer that this machine lacks fails it only where all must be there.
    pub(crate) fn failed(&self, all_must_be_there: impl Into<bool>) -> bool {
        let lacking = matches!(self.failure, Some(Failure::Missing(_)));
        !self.as_expected()
            || (self.failure.is_some() && !lacking)
            || (lacking && all_must_be_there.into())
    }

    fn as_expected(&self) -> bool {
        self.outcomes.iter().all(Outcome::is_expected)
    }

    /// One line for the terminal.
    pub(crate) fn summary(&self) -> String {
        let expected = self.outcomes.iter().filter(|outcome| outcome.is_expected()).count();
        let all = self.outcomes.len();
        let took = self.took.as_secs_f32();
        match &self.failure {
            Some(Failure::Missing(what)) => format!("{}: SKIPPED, missing {what}", self.peer),
            Some(Failure::Broken(why)) => format!("{}: FAILED after {all}: {why}", self.peer),
            None => format!("{}: {expected} of {all} as expected, {took:.1} s", self.peer),
        }
    }
}

/// Starts the peer in a namespace of its own and asks it everything.
pub(crate) fn ask(peer: &dyn Peer, subjects: &[Subject]) -> Report {
    let began = Instant::now();
    let mut report = Report {
        peer: peer.name(),
        socket: peer.socket(),
        outcomes: Vec::new(),
        failure: None,
        log: String::new(),
        took: Duration::ZERO,
    };
    report.failure = ask_into(peer, subjects, &mut report).err();
    report.took = began.elapsed();
    report
}

fn ask_into(peer: &dyn Peer, subjects: &[Subject], report: &mut Report) -> Result<()> {
    let mut packages = peer.packages().to_vec();
    if peer.socket() == Socket::Auth && !packages.contains(&dovecot::PACKAGE) {
        packages.push(dovecot::PACKAGE);
    }
    let world = Namespace::start(&packages)?;
    world.check_libraries(peer.programs())?;
    accounts::make(&world)?;
    peer.start(&world)?;
    for subject in subjects {
        let mut course = Course { peer, world: &world, subject: *subject, report };
        let ended = course.run();
        if ended.is_err() || !report.as_expected() {
            report.log.push_str(&daemon::read_log(&world));
            return ended;
        }
    }
    Ok(())
}

/// One peer and one daemon.
struct Course<'a> {
    peer: &'a dyn Peer,
    world: &'a Namespace,
    subject: Subject,
    report: &'a mut Report,
}

impl Course<'_> {
    fn run(&mut self) -> Result<()> {
        let mut daemon = daemon::of(self.subject, self.world, self.peer.socket());
        daemon.start()?;
        for situation in ALL {
            if !self.routes(situation).is_empty() {
                self.meet(situation, daemon.as_mut())?;
            }
        }
        daemon.stop(End::Orderly)
    }

    /// Brings the situation about, asks on every route, and clears up.
    fn meet(&mut self, situation: Situation, daemon: &mut dyn Daemon) -> Result<()> {
        match situation {
            Situation::Right
            | Situation::Realm
            | Situation::Wrong
            | Situation::Unknown
            | Situation::Locked
            | Situation::Utf8
            | Situation::AfterRefusal
            | Situation::AfterCancel
            | Situation::WithoutTls
            | Situation::Shadow
            | Situation::Sqlite => self.ask_all(situation)?,
            Situation::Broken(store) => {
                store.damage(self.world)?;
                self.ask_all(situation)?;
                store.mend(self.world)?;
            }
            Situation::Idle => {
                let path = self.world.path(daemon::path(self.peer.socket()));
                let idle: io::Result<Vec<UnixStream>> =
                    (0..IDLE).map(|_| UnixStream::connect(&path)).collect();
                let idle = idle.map_err(|why| Failure::Broken(format!("idle clients: {why}")))?;
                self.ask_at_once(situation)?;
                drop(idle);
            }
            Situation::Slow => {
                daemon.freeze(Freeze::Whole)?;
                let lateness = Situation::lateness(self.peer.socket());
                thread::scope(|scope| {
                    let asked = scope.spawn(|| self.ask_at_once(situation));
                    thread::sleep(lateness);
                    daemon.thaw()?;
                    asked.join().unwrap_or_else(|_| Err(panicked()))
                })?;
            }
            Situation::Hung => {
                daemon.freeze(Freeze::Backend)?;
                let asked = self.ask_at_once(situation);
                daemon.thaw()?;
                asked?;
            }
            Situation::Killed => {
                daemon.stop(End::Abrupt)?;
                self.ask_all(situation)?;
                daemon.start()?;
            }
            Situation::Down => {
                daemon.stop(End::Orderly)?;
                self.ask_all(situation)?;
            }
            Situation::Closed | Situation::Word => self.ask_a_script(situation)?,
            Situation::Back => {
                daemon.start()?;
                self.ask_all(situation)?;
            }
        }
        Ok(())
    }

    /// Its routes that are asked in a situation.
    fn routes(&self, situation: Situation) -> Vec<&'static str> {
        let (peer, subject) = (self.peer, self.subject);
        let routes = peer.routes().iter().copied();
        routes.filter(|route| situation.is_asked(peer, route, subject)).collect()
    }

    /// In turn, or at once where a daemon may delay what it refuses.
    fn ask_all(&mut self, situation: Situation) -> Result<()> {
        match self.peer.socket() {
            Socket::Mux | Socket::Pwcheck => self.ask_in_turn(situation),
            Socket::Auth => self.ask_at_once(situation),
        }
    }

    fn ask_in_turn(&mut self, situation: Situation) -> Result<()> {
        for route in self.routes(situation) {
            let heard = self.put(situation, route)?;
            self.note(situation, route, heard);
        }
        Ok(())
    }

    /// On all routes together, so that waiting is done once.
    fn ask_at_once(&mut self, situation: Situation) -> Result<()> {
        let this = &*self;
        let heard: Vec<(&'static str, Result<Heard>)> = thread::scope(|scope| {
            let asked: Vec<_> = this
                .routes(situation)
                .into_iter()
                .map(|route| (route, scope.spawn(move || this.put(situation, route))))
                .collect();
            let joined = asked
                .into_iter()
                .map(|(route, asking)| (route, asking.join().unwrap_or_else(|_| Err(panicked()))));
            joined.collect()
        });
        for (route, heard) in heard {
            self.note(situation, route, heard?);
        }
        Ok(())
    }

    fn put(&self, situation: Situation, route: &'static str) -> Result<Heard> {
        let account = situation.credentials();
        let question = Question {
            route,
            login: account.login,
            password: account.password,
            patience: situation.patience(self.peer, route, self.subject),
            manner: situation.manner(),
        };
        self.peer.ask(self.world, question)
    }

    fn note(&mut self, situation: Situation, route: &'static str, heard: Heard) {
        let expected = situation.expected(self.peer, route, self.subject);
        let tells_outage = self.peer.tells_outage(route);
        let subject = self.subject;
        let outcome = Outcome { subject, route, situation, heard, expected, tells_outage };
        self.report.outcomes.push(outcome);
    }

    /// What the peer sends is looked at here too, since the script sees the request as the daemon would.
    fn ask_a_script(&mut self, situation: Situation) -> Result<()> {
        let path = self.world.path(daemon::path(self.peer.socket()));
        let (script, requests) = match self.peer.socket() {
            Socket::Mux => close_mux(&path)?,
            Socket::Pwcheck => close_pwcheck(&path)?,
            Socket::Auth if situation == Situation::Word => fail_auth(&path, Says::Word)?,
            Socket::Auth => fail_auth(&path, Says::Nothing)?,
        };
        let account = situation.credentials();
        for route in self.routes(situation) {
            let heard = self.put(situation, route)?;
            self.note(situation, route, heard);
            let expected = Request {
                login: account.login.to_owned(),
                password: account.password.to_owned(),
                service: self.peer.service(route).to_owned(),
                realm: String::new(),
            };
            let seen = requests.lock().map(|mut seen| std::mem::take(&mut *seen));
            if !seen.as_ref().is_ok_and(|seen| seen.contains(&expected)) {
                let complaint = format!("sent {seen:?} on {route}, not {expected:?}");
                return Err(Failure::Broken(complaint));
            }
        }
        drop(script);
        Ok(())
    }
}

fn panicked() -> Failure {
    Failure::Broken("a thread of the test panicked".to_owned())
}
