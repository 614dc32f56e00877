//! Takes one peer through every situation with each daemon under test.

use std::io;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use harness::Subject;

use crate::accounts;
use crate::daemon::{self, Daemon, End, Freeze, MUX};
use crate::peers::namespace::Namespace;
use crate::peers::{Failure, Heard, Peer, Question, Request, Result, Socket, Verdict, pwcheck};
use crate::situation::{ALL, Situation};
use crate::stand_in::{close_mux, close_pwcheck};

/// How long a slow daemon stands still.
const LATE: Duration = Duration::from_millis(1500);

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
    /// Whether this peer has words for an outage.
    pub(crate) tells_outage: bool,
}

impl Outcome {
    /// Whether the peer's client was told what it should have been told.
    pub(crate) fn is_expected(&self) -> bool {
        self.heard.verdict == self.expected
    }
}

/// All that came of one peer.
pub(crate) struct Report {
    /// Its name.
    pub(crate) peer: &'static str,
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
    let world = Namespace::start(peer.packages())?;
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
            if situation.exempt(self.peer, self.subject).is_none() {
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
            | Situation::Shadow
            | Situation::Sqlite => {
                self.ask_in_turn(situation)?;
            }
            Situation::Broken(store) => {
                store.damage(self.world)?;
                self.ask_in_turn(situation)?;
                store.mend(self.world)?;
            }
            Situation::Idle => {
                let path = self.world.path(socket_of(self.peer));
                let idle: io::Result<Vec<UnixStream>> =
                    (0..IDLE).map(|_| UnixStream::connect(&path)).collect();
                let idle = idle.map_err(|why| Failure::Broken(format!("idle clients: {why}")))?;
                self.ask_at_once(situation)?;
                drop(idle);
            }
            Situation::Slow => {
                daemon.freeze(Freeze::Whole)?;
                thread::scope(|scope| {
                    let asked = scope.spawn(|| self.ask_at_once(situation));
                    thread::sleep(LATE);
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
                self.ask_in_turn(situation)?;
                daemon.start()?;
            }
            Situation::Down => {
                daemon.stop(End::Orderly)?;
                self.ask_in_turn(situation)?;
            }
            Situation::Closed => self.ask_a_closing_daemon()?,
            Situation::Back => {
                daemon.start()?;
                self.ask_in_turn(situation)?;
            }
        }
        Ok(())
    }

    fn ask_in_turn(&mut self, situation: Situation) -> Result<()> {
        for route in self.peer.routes() {
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
                .peer
                .routes()
                .iter()
                .map(|route| (*route, scope.spawn(move || this.put(situation, route))))
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
        let patience = situation.patience(self.subject);
        let question =
            Question { route, login: account.login, password: account.password, patience };
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
    fn ask_a_closing_daemon(&mut self) -> Result<()> {
        let path = self.world.path(socket_of(self.peer));
        let (script, requests) = match self.peer.socket() {
            Socket::Mux => close_mux(&path)?,
            Socket::Pwcheck => close_pwcheck(&path)?,
        };
        let account = Situation::Closed.credentials();
        for route in self.peer.routes() {
            let heard = self.put(Situation::Closed, route)?;
            self.note(Situation::Closed, route, heard);
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

fn socket_of(peer: &dyn Peer) -> &'static str {
    match peer.socket() {
        Socket::Mux => MUX,
        Socket::Pwcheck => pwcheck::PATH,
    }
}

fn panicked() -> Failure {
    Failure::Broken("a thread of the test panicked".to_owned())
}
