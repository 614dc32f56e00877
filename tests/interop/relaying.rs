//! Takes each mail server that asks the policy socket through its clients and through what befalls the daemon.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use harness::{Subject, wait_until};

use crate::daemon::{self, Daemon, End, Freeze};
use crate::peers::namespace::Namespace;
use crate::peers::relay::{self, Pin, Relayer, Shows, Visitor, ask_to_relay};
use crate::peers::{Failure, Heard, Result, Verdict};
use crate::policy_daemons::{PolicyDaemon, PolicyScript, Requests, map, map_without_pin};

/// More than Postfix and Exim wait for a daemon that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// What goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Nothing.
    Usual,
    /// The map has a mistake since a moment.
    Broken,
    /// The key that may relay is no longer in the map.
    Changed,
    /// The daemon does not go on.
    Hung,
    /// It was killed and its socket is still there.
    Killed,
    /// It was stopped and its socket is gone.
    Down,
    /// It is back.
    Back,
}

/// What the client must be told.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Always(Verdict),
    /// Relayed where the server tells the names of a certificate.
    ByName,
}

/// One client at one moment.
pub(crate) struct Case {
    /// The heading of its column.
    pub(crate) heading: &'static str,
    moment: Moment,
    visitor: Visitor,
    wanted: Wanted,
}

const fn case(
    heading: &'static str,
    moment: Moment,
    address: &'static str,
    shows: Shows,
    wanted: Wanted,
) -> Case {
    Case { heading, moment, visitor: Visitor { address, shows }, wanted }
}

const HOST: &str = "127.0.0.9";
const PINNED: Shows = Shows::Certificate("pinned");
const MEMBER: Shows = Shows::Certificate("member");
const RELAYED: Wanted = Wanted::Always(Verdict::Accepted);
const REFUSED: Wanted = Wanted::Always(Verdict::Refused);
const LATER: Wanted = Wanted::Always(Verdict::Temporary);

/// In the order in which they are asked and printed.
pub(crate) static CASES: [Case; 23] = [
    case("pinned key", Moment::Usual, HOST, PINNED, RELAYED),
    case("another key", Moment::Usual, HOST, Shows::Certificate("other"), REFUSED),
    case("no certificate", Moment::Usual, HOST, Shows::Nothing, REFUSED),
    case("no TLS", Moment::Usual, "127.0.0.1", Shows::Clear, REFUSED),
    case("CertIssuer", Moment::Usual, HOST, Shows::Certificate("partner"), Wanted::ByName),
    case("CertSubject", Moment::Usual, HOST, MEMBER, Wanted::ByName),
    case("another subject", Moment::Usual, HOST, Shows::Certificate("stranger"), REFUSED),
    case("VERIFY, unverified", Moment::Usual, "127.0.0.11", PINNED, LATER),
    case("VERIFY, verified", Moment::Usual, "127.0.0.11", MEMBER, Wanted::ByName),
    case("PERM+ENCR:512", Moment::Usual, "127.0.0.12", PINNED, REFUSED),
    case("ENCR:128", Moment::Usual, "127.0.0.14", PINNED, RELAYED),
    case("Connect REJECT", Moment::Usual, "127.0.0.13", PINNED, REFUSED),
    case("map broken, pinned", Moment::Broken, HOST, PINNED, RELAYED),
    case("map broken, none", Moment::Broken, HOST, Shows::Nothing, REFUSED),
    case("pin taken out", Moment::Changed, HOST, PINNED, REFUSED),
    case("hung, pinned", Moment::Hung, HOST, PINNED, LATER),
    case("hung, none", Moment::Hung, HOST, Shows::Nothing, LATER),
    case("killed, pinned", Moment::Killed, HOST, PINNED, LATER),
    case("killed, none", Moment::Killed, HOST, Shows::Nothing, LATER),
    case("down, pinned", Moment::Down, HOST, PINNED, LATER),
    case("down, none", Moment::Down, HOST, Shows::Nothing, LATER),
    case("back, pinned", Moment::Back, HOST, PINNED, RELAYED),
    case("back, none", Moment::Back, HOST, Shows::Nothing, REFUSED),
];

/// What a server told one client.
pub(crate) struct Outcome {
    /// Who answered the server.
    pub(crate) subject: Subject,
    /// Which client, when.
    pub(crate) heading: &'static str,
    /// What the client was told.
    pub(crate) heard: Heard,
    /// What it should have been told.
    pub(crate) expected: Verdict,
}

/// All that came of one server.
pub(crate) struct Report {
    /// Its name.
    pub(crate) relayer: &'static str,
    /// What it told its clients.
    pub(crate) outcomes: Vec<Outcome>,
    /// Why there is not more.
    pub(crate) failure: Option<Failure>,
    /// What the daemon printed, when not all was as expected.
    pub(crate) log: String,
    /// What it asked the script.
    pub(crate) requests: BTreeSet<String>,
    took: Duration,
}

impl Report {
    /// Whether the run fails; a server that this machine lacks fails it only where all must be there.
    pub(crate) fn failed(&self, all_must_be_there: impl Into<bool>) -> bool {
        let lacking = matches!(self.failure, Some(Failure::Missing(_)));
        !self.as_expected()
            || (self.failure.is_some() && !lacking)
            || (lacking && all_must_be_there.into())
    }

    fn as_expected(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.heard.verdict == outcome.expected)
    }

    /// One line for the terminal.
    pub(crate) fn summary(&self) -> String {
        let (name, all, took) = (self.relayer, self.outcomes.len(), self.took.as_secs_f32());
        match &self.failure {
            Some(failure) => format!("{name}: after {all}: {failure}"),
            None if self.as_expected() => format!("{name}: all {all} as expected, {took:.1} s"),
            None => format!("{name}: not all of {all} as expected, {took:.1} s"),
        }
    }
}

/// Asks all of them at once, each in a namespace of its own.
pub(crate) fn ask_all(relayers: &[Box<dyn Relayer>], subjects: &[Subject]) -> Vec<Report> {
    thread::scope(|scope| {
        let asked: Vec<_> = relayers
            .iter()
            .map(|relayer| scope.spawn(move || ask(relayer.as_ref(), subjects)))
            .collect();
        asked.into_iter().filter_map(|asking| asking.join().ok()).collect()
    })
}

fn ask(relayer: &dyn Relayer, subjects: &[Subject]) -> Report {
    let began = Instant::now();
    let mut report = Report {
        relayer: relayer.name(),
        outcomes: Vec::new(),
        failure: None,
        log: String::new(),
        requests: BTreeSet::new(),
        took: Duration::ZERO,
    };
    report.failure = ask_into(relayer, subjects, &mut report).err();
    report.took = began.elapsed();
    report
}

fn ask_into(relayer: &dyn Relayer, subjects: &[Subject], report: &mut Report) -> Result<()> {
    let world = Namespace::start(relayer.packages())?;
    world.check_libraries(relayer.programs())?;
    let pin = relay::make_certificates(&world)?;
    relayer.start(&world)?;
    for subject in subjects {
        let mut course = Course { relayer, world: &world, subject: *subject, report };
        let ended = match subject {
            Subject::Theirs => {
                let requests = Requests::default();
                let mut script =
                    PolicyScript::new(&world, relayer, &pin, Requests::clone(&requests));
                let ended = course.run(&mut script);
                if let Ok(requests) = requests.lock() {
                    report.requests.clone_from(&requests);
                }
                ended
            }
            Subject::Ours => course.run_ours(&pin),
        };
        if ended.is_err() || !report.as_expected() {
            report.log.push_str(&daemon::read_log(&world));
            return ended;
        }
    }
    Ok(())
}

/// One server and one daemon.
struct Course<'a> {
    relayer: &'a dyn Relayer,
    world: &'a Namespace,
    subject: Subject,
    report: &'a mut Report,
}

impl Course<'_> {
    fn run(&mut self, daemon: &mut dyn Daemon) -> Result<()> {
        daemon.start()?;
        self.meet(Moment::Usual)?;
        self.lose(daemon)
    }

    fn run_ours(&mut self, pin: &Pin) -> Result<()> {
        let mut daemon = PolicyDaemon::new(self.world, self.relayer, pin)?;
        daemon.start()?;
        self.meet(Moment::Usual)?;
        daemon.write_map(&format!("{}TLS_Clt:\tVERFIY\n", map_without_pin()))?;
        if !wait_until(|| daemon::read_log(self.world).contains("the access map has errors")) {
            return Err(Failure::Broken("the mistake in the map was never seen".to_owned()));
        }
        self.meet(Moment::Broken)?;
        daemon.write_map(&map_without_pin())?;
        let changed = CASES.iter().find(|case| case.moment == Moment::Changed);
        let mut said = None;
        wait_until(|| {
            said = changed.map(|case| self.put(case));
            matches!(&said, Some(Ok(heard)) if heard.verdict == Verdict::Refused)
        });
        if let Some((case, heard)) = changed.zip(said) {
            self.note(case, heard?);
        }
        daemon.write_map(&map(pin))?;
        self.lose(&mut daemon)
    }

    /// What befalls the daemon.
    fn lose(&mut self, daemon: &mut dyn Daemon) -> Result<()> {
        daemon.freeze(Freeze::Whole)?;
        let asked = self.meet(Moment::Hung);
        daemon.thaw()?;
        asked?;
        daemon.stop(End::Abrupt)?;
        self.meet(Moment::Killed)?;
        daemon.start()?;
        daemon.stop(End::Orderly)?;
        self.meet(Moment::Down)?;
        daemon.start()?;
        self.meet(Moment::Back)?;
        daemon.stop(End::Orderly)
    }

    /// All clients of a moment together, so that waiting is done once.
    fn meet(&mut self, moment: Moment) -> Result<()> {
        let this = &*self;
        let cases = CASES.iter().filter(|case| case.moment == moment);
        let heard: Vec<(&Case, Result<Heard>)> = thread::scope(|scope| {
            let asked: Vec<_> =
                cases.map(|case| (case, scope.spawn(move || this.put(case)))).collect();
            let panicked = || Failure::Broken("a thread of the test panicked".to_owned());
            asked
                .into_iter()
                .map(|(case, asking)| (case, asking.join().unwrap_or_else(|_| Err(panicked()))))
                .collect()
        });
        for (case, heard) in heard {
            self.note(case, heard?);
        }
        Ok(())
    }

    fn put(&self, case: &Case) -> Result<Heard> {
        ask_to_relay(self.world, case.visitor, PATIENCE)
    }

    fn note(&mut self, case: &Case, heard: Heard) {
        let expected = match case.wanted {
            Wanted::Always(verdict) => verdict,
            Wanted::ByName if self.relayer.tells_names() => Verdict::Accepted,
            Wanted::ByName => Verdict::Refused,
        };
        let (subject, heading) = (self.subject, case.heading);
        self.report.outcomes.push(Outcome { subject, heading, heard, expected });
    }
}
