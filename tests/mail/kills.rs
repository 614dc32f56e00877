//! R2, J10: every role is killed at random moments while messages come and go: none that was accepted is lost.
//!
//! A message that had its 250 is counted at the next hop by its number. It may come twice: what was killed between a
//! server's 250 and our own record of it is sent again (RFC 5321 section 6.1); and that only by a sender's end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use harness::mta::client::Client;
use harness::mta::sink::{Manner, Sink};
use harness::mta::{House, Place, Plan, ready, transact};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const ROUNDS: u64 = 60;
/// Of one round.
const MESSAGES: u64 = 3;
/// The latest moment of a kill: most of what a round does is done by then.
const LATEST: u64 = 60_000;

/// Pseudo-random numbers (xorshift), to be seen again by their seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn subject(number: u64) -> String {
    format!("Subject: number {number:06}")
}

/// Sends the messages of a round, as far as the server lives; those that had their 250.
fn round(to: SocketAddr, round: u64) -> Vec<String> {
    let mut accepted = Vec::new();
    let mut session = || -> std::io::Result<()> {
        let mut client = Client::connect(to, None)?;
        client.patience(Duration::from_secs(5))?;
        client.reply()?;
        client.say("EHLO client.example")?;
        for number in 0..MESSAGES {
            let subject = subject(round * MESSAGES + number);
            let text = format!("{subject}\r\n\r\nhi\r\n");
            let replies = transact(&mut client, "joe@example.org", &["ann@next.example"], &text)?;
            // An end of the connection is no reply, and has no code.
            if replies.len() == 4 && replies.last().is_some_and(|reply| reply.code() == 250) {
                accepted.push(subject);
            }
        }
        Ok(())
    };
    // It ends where the server was killed.
    let _ = session();
    accepted
}

/// How often each message came.
fn counted(sink: &Sink) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for message in sink.messages() {
        let text = message.text();
        let subject = text.lines().find(|line| line.starts_with("Subject: number "));
        *counted.entry(subject.unwrap_or("none").to_owned()).or_default() += 1;
    }
    counted
}

fn end(house: &mut House, role: &str) {
    if role == "mta" {
        assert!(house.end_mta(Signal::SIGKILL), "children outlive the parent: {}", house.log());
        let serves = |house: &House| house.log().matches("serving; process id").count();
        let before = serves(house);
        house.start_mta().unwrap();
        // Until both children are ready, the end of one is the end of the start.
        assert!(harness::wait_until(|| serves(house) > before), "{}", house.log());
        return;
    }
    let killed = house.processes(role);
    for pid in &killed {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    // Where there was none, it was still to be started after its last end.
    let greets = || Client::connect(house.relay(), None).and_then(|mut client| client.reply());
    let is_back = || house.processes(role).iter().any(|pid| !killed.contains(pid));
    assert!(
        harness::wait_until(|| is_back() && greets().is_ok_and(|reply| reply.code() == 220)),
        "{role} does not come back: {}",
        house.log()
    );
}

#[test]
fn r2_no_message_is_lost_whoever_is_killed() {
    if !ready() {
        return;
    }
    let place = Place::take().unwrap();
    let sink = Sink::listen(place.address(), 0, Manner::smtp()).unwrap();
    let plan = Plan::new()
        .map("Connect:127\tRELAY")
        .everything_to((place.address(), sink.port()).into())
        .sections("[delivery]\nretry = [\"200ms\"]\n");
    let mut house = plan.start_at(place).unwrap();
    let seed = u64::from(std::process::id()) | 1 << 40;
    eprintln!("seed {seed}");
    let mut dice = Dice(seed);
    let begun = Instant::now();
    let (mut accepted, mut kills) = (BTreeSet::new(), 0);
    for number in 0..ROUNDS {
        let role = ["mta-receiver", "mta-sender", "mta"][usize::try_from(number % 3).unwrap()];
        let (to, (done, said)) = (house.relay(), mpsc::channel());
        let sending = std::thread::spawn(move || {
            let _ = done.send(());
            round(to, number)
        });
        said.recv().unwrap();
        std::thread::sleep(Duration::from_micros(dice.below(LATEST)));
        kills += usize::from(role != "mta-receiver");
        end(&mut house, role);
        accepted.extend(sending.join().unwrap());
    }
    let is_there = || accepted.iter().all(|subject| counted(&sink).contains_key(subject));
    let whole = harness::wait_for(Duration::from_secs(30), is_there);
    let counted = counted(&sink);
    let lost: Vec<_> = accepted.iter().filter(|one| !counted.contains_key(*one)).collect();
    let doubled: usize = counted.values().map(|count| count - 1).sum();
    eprintln!(
        "{} accepted of {}, {} arrived, {doubled} doubled, {kills} kills of a sender, {:?}",
        accepted.len(),
        ROUNDS * MESSAGES,
        counted.len(),
        begun.elapsed()
    );
    assert!(whole, "lost with seed {seed}: {lost:?}: {}", house.log());
    assert!(accepted.len() > 20, "hardly anything was tried with seed {seed}");
    // At most what was on its way to the next hop when the sender ended.
    let most = kills * usize::try_from(MESSAGES).unwrap();
    assert!(doubled <= most, "{doubled} doubled with seed {seed}");
    assert!(std::fs::read_dir(house.spool().join("corrupt")).unwrap().next().is_none());
}
