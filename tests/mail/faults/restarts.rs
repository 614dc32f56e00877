//! J9, R4: whoever stands still for a while, or is started anew, while mail comes and goes: nothing is lost, no outage is
//! told as a wrong password, and nothing comes twice of which nobody was in doubt.
//!
//! Runs in the test process, as root. Two clients send without a pause: a machine that is trusted by its address, and a
//! person who logs in anew for each two messages.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use harness::mta::names::Names;
use harness::mta::sink::{Manner, Sink};
use harness::mta::{House, Place, Plan, transact};
use harness::{wait_for, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::messages::{self, Answer, Clients, MACHINE, TRUSTED};

/// How long a process stands still.
const STILL: Duration = Duration::from_secs(2);
/// Between two messages of a client.
const PACE: Duration = Duration::from_millis(20);

/// What one kind of client heard.
#[derive(Debug, Default)]
struct Heard {
    accepted: AtomicUsize,
    /// 4xx.
    put_off: AtomicUsize,
}

/// Clients that send until they are stopped.
struct Load {
    over: Arc<AtomicBool>,
    machine: Arc<Heard>,
    person: Arc<Heard>,
    threads: Vec<JoinHandle<Vec<(u32, Answer)>>>,
}

impl Load {
    fn begin(clients: &Clients) -> Self {
        let mut load = Self {
            over: Arc::default(),
            machine: Arc::default(),
            person: Arc::default(),
            threads: Vec::new(),
        };
        let next = Arc::new(AtomicU32::new(0));
        let sender = clients.clone();
        load.send(Arc::clone(&load.machine), &next, move |number| vec![sender.trusted(number)], 1);
        let sender = clients.clone();
        let both = move |number| sender.person([number, number + 1]).to_vec();
        load.send(Arc::clone(&load.person), &next, both, 2);
        load
    }

    fn send(
        &mut self,
        heard: Arc<Heard>,
        next: &Arc<AtomicU32>,
        messages: impl Fn(u32) -> Vec<Answer> + Send + 'static,
        count: u32,
    ) {
        let (over, next) = (Arc::clone(&self.over), Arc::clone(next));
        self.threads.push(std::thread::spawn(move || {
            let mut answers = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let first = next.fetch_add(count, Ordering::Relaxed);
                for (number, answer) in (first..).zip(messages(first)) {
                    match &answer {
                        Answer::Accepted(_) => heard.accepted.fetch_add(1, Ordering::Relaxed),
                        Answer::Refused(..) => heard.put_off.fetch_add(1, Ordering::Relaxed),
                        Answer::Nothing(_) => 0,
                    };
                    answers.push((number, answer));
                }
                std::thread::sleep(PACE);
            }
            answers
        }));
    }

    /// Waits until both clients had more of their messages accepted.
    fn goes_on(&self) -> bool {
        let more = |heard: &Heard| {
            let now = heard.accepted.load(Ordering::Relaxed);
            wait_for(2 * harness::PATIENCE, || heard.accepted.load(Ordering::Relaxed) >= now + 4)
        };
        more(&self.machine) && more(&self.person)
    }

    /// Waits until the person is told to come later.
    fn is_put_off(&self) -> bool {
        let now = self.person.put_off.load(Ordering::Relaxed);
        wait_until(|| self.person.put_off.load(Ordering::Relaxed) > now)
    }

    /// Ends the clients, and compares what they were promised with what came; how often that was twice.
    fn end(self, house: &House, sink: &Sink) -> usize {
        self.over.store(true, Ordering::Relaxed);
        let answers: Vec<_> =
            self.threads.into_iter().flat_map(|one| one.join().unwrap()).collect();
        let promised = |(_, answer): &&(u32, Answer)| matches!(answer, Answer::Accepted(_));
        let accepted: Vec<u32> =
            answers.iter().filter(promised).map(|(number, _)| *number).collect();
        let came = || {
            let mut came: HashMap<u32, usize> = HashMap::new();
            for message in sink.messages() {
                let (number, whole) = messages::read(&message.text());
                assert!(whole, "half of {number}: {}", house.log());
                *came.entry(number).or_default() += 1;
            }
            came
        };
        let all = || {
            let came = came();
            accepted.iter().all(|number| came.contains_key(number))
        };
        assert!(wait_for(2 * harness::PATIENCE, all), "lost: {}", house.log());
        let came = came();
        for (number, answer) in &answers {
            if let Answer::Refused(code, text) = answer {
                assert!((400..500).contains(code), "an outage is said to be {text}");
                assert!(!came.contains_key(number), "{number} came though {text}");
            }
        }
        eprintln!("{} sent, {} accepted, {} came", answers.len(), accepted.len(), came.len());
        came.values().map(|copies| copies - 1).sum()
    }
}

fn begin() -> (House, Sink, Load) {
    let place = Place::take().unwrap();
    let sink = Sink::listen(place.address(), 0, Manner::smtp()).unwrap();
    let plan = Plan::new()
        .client(MACHINE)
        .map(&format!("Connect:{TRUSTED}\tRELAY"))
        .everything_to((place.address(), sink.port()).into())
        .sections("[delivery]\nretry = [\"100ms\"]\n[daemon]\ndeadline = \"1s\"\n");
    let house = plan.start_at(place).unwrap();
    let load = Load::begin(&Clients::of(&house).unwrap());
    assert!(load.goes_on(), "{}", house.log());
    (house, sink, load)
}

#[test]
fn j9_whoever_stands_still_for_a_while_loses_nothing() {
    if !harness::mta::ready() {
        return;
    }
    let (house, sink, load) = begin();
    let programs = [
        "mta-receiver",
        "mta-sender",
        "mta",
        "saslauthd-listener",
        "saslauthd-checker",
        "saslauthd",
    ];
    for program in programs {
        let pid = Pid::from_raw(*house.processes(program).first().unwrap());
        kill(pid, Signal::SIGSTOP).unwrap();
        std::thread::sleep(STILL);
        if ["saslauthd-listener", "saslauthd-checker"].contains(&program) {
            // Whoever logs in meanwhile is told to come later: 454.
            assert!(load.is_put_off(), "{program}: {}", house.log());
        }
        kill(pid, Signal::SIGCONT).unwrap();
        assert!(load.goes_on(), "{program} doesn't go on: {}", house.log());
    }
    assert_eq!(load.end(&house, &sink), 0, "twice: {}", house.log());
    assert!(!house.log().contains("starting it again"), "{}", house.log());
}

#[test]
fn r4_a_daemon_that_is_started_anew_is_found_again() {
    if !harness::mta::ready() {
        return;
    }
    let (mut house, sink, load) = begin();
    for _ in 0..4 {
        house.stop_daemon();
        assert!(load.is_put_off(), "{}", house.log());
        house.start_daemon().unwrap();
        assert!(load.goes_on(), "the daemon isn't found again: {}", house.log());
    }
    assert_eq!(load.end(&house, &sink), 0, "twice: {}", house.log());
}

#[test]
fn r4_mail_waits_for_a_name_server_that_is_started_anew() {
    if !harness::mta::ready() {
        return;
    }
    let place = Place::take().unwrap();
    let sink = Sink::listen(place.address(), 0, Manner::smtp()).unwrap();
    let address = format!("mx.test A {}", place.address());
    let zone = ["*.next.test MX 10 mx.test", address.as_str()];
    let names = Names::listen(place.address(), &zone).unwrap();
    let at: SocketAddr = names.address();
    let plan = Plan::new().map("Connect:127\tRELAY").sections(&format!(
        "[delivery]\nname_servers = [\"{at}\"]\nport = {}\nown_addresses = \"permitted\"\nretry = [\"200ms\"]\n",
        sink.port()
    ));
    let house = plan.start_at(place).unwrap();
    let send = |number: usize| {
        let (mut client, _) = house.visit(house.relay()).unwrap();
        let to = format!("ann@d{number}.next.test");
        let text = format!("Subject: number {number}.\r\n\r\nx\r\n");
        let replies = transact(&mut client, "joe@example.org", &[&to], &text).unwrap();
        assert_eq!(replies.last().unwrap().code(), 250, "{replies:?}");
    };
    let deferred = |number: usize| {
        let parts = [format!("to=<ann@d{number}.next.test>"), "stat=Deferred".to_owned()];
        let has = |line: &str| parts.iter().all(|part| line.contains(part));
        // Longer than a resolver asks again and again.
        wait_for(3 * harness::PATIENCE, || house.log().lines().any(has))
    };
    send(0);
    assert_eq!(sink.await_messages(1).len(), 1, "{}", house.log());
    names.tell(&["*.next.test FAIL"]);
    send(1);
    assert!(deferred(1), "{}", house.log());
    drop(names);
    // Its port is free when its thread has heard of its end.
    assert!(wait_until(|| std::net::UdpSocket::bind(at).is_ok()));
    send(2);
    assert!(deferred(2), "{}", house.log());
    let _names = Names::listen_at(at, &zone).unwrap();
    send(3);
    sink.await_messages(4);
    let mut came: Vec<usize> =
        sink.messages().iter().filter_map(|one| number(&one.text())).collect();
    came.sort_unstable();
    assert_eq!(came, [0, 1, 2, 3], "{}", house.log());
}

fn number(text: &str) -> Option<usize> {
    let (_, rest) = text.split_once("Subject: number ")?;
    rest.split_once('.')?.0.parse().ok()
}
