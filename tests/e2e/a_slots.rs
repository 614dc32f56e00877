//! A6 to A8: clients that hold their places, go away at every byte, or send noise.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use harness::probe::counted;
use harness::{PATIENCE, Probe, wait_for, wait_until};
use protocol::control::{Request, ask};

use crate::house::{House, LOGIN, PASSWORD, Plan};
use crate::visitors::Visitors;

/// No benchmark: an answer that a person would call quick, on a busy machine.
const QUICK: Duration = Duration::from_secs(1);

fn right() -> Vec<u8> {
    counted(&[LOGIN.as_bytes(), PASSWORD.as_bytes(), b"smtp", b""])
}

fn descriptors(house: &House) -> usize {
    house.listener().descriptors().len()
}

/// Legitimate logins for a while, all of which have to be served.
fn visits_while(house: &House, least: usize, attack: impl FnOnce()) {
    let visitors = Visitors::arrive(house.mux());
    attack();
    visitors.leave_after(least).all_were_served(QUICK);
}

#[test]
fn a6_ten_thousand_idle_clients_disturb_nobody_and_are_let_go() {
    let plan = Plan::new().sections("[listener]\nrequest = \"6s\"");
    let Some(house) = plan.start() else { return };
    let (limit, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        .expect("a limit of descriptors");
    // Both ends are descriptors under such a limit, and other tests of this process need some.
    let count =
        usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(4000).clamp(500, 10_000);
    let before = descriptors(&house);
    let mut idle = Vec::new();
    visits_while(&house, 100, || {
        idle.extend((0..count).map(|_| Probe::connect(house.mux()).expect("a place")));
        assert!(wait_until(|| descriptors(&house) >= before + count), "not all were accepted");
        thread::sleep(Duration::from_secs(2));
    });
    let memory = house.listener().resident_kib();
    assert!(memory < 64 * 1024, "{memory} KiB for {count} idle clients");
    // Their deadline ends them although they never go.
    let gone = || descriptors(&house) < before + 50;
    assert!(wait_for(Duration::from_secs(15), gone), "{} are held", descriptors(&house));
    assert_eq!(idle.len(), count);
    assert_eq!(house.visit(), "OK");
}

#[test]
fn a6_more_idle_clients_than_there_are_places_delay_nobody_for_long() {
    let plan = Plan::new().by(&["prlimit", "--nofile=600:600"]);
    let Some(house) = plan.start() else { return };
    let stay = Duration::from_secs(4);
    let visitors = Visitors::arrive(house.mux());
    let began = Instant::now();
    // As soon as one is let go, the next one comes.
    let mut idle = Vec::new();
    while began.elapsed() < stay {
        if idle.len() < 1500 {
            idle.push(Probe::connect(house.mux()).expect("room in the queue"));
        } else {
            thread::sleep(Duration::from_millis(10));
        }
    }
    // Whoever is late keeps its place for half a second; a login may have to wait for that.
    visitors.leave_after(20).all_were_served(Duration::from_secs(2));
    drop(idle);
    assert_eq!(house.visit(), "OK");
}

#[test]
fn a6_slow_clients_and_clients_that_never_close_cost_their_own_place_only() {
    let listener = "[listener]\nrequest = \"2s\"\ndrain = \"500ms\"";
    let Some(house) = Plan::new().sections(listener).start() else { return };
    let before = descriptors(&house);
    let request = right();
    visits_while(&house, 100, || {
        let mut slow: Vec<Probe> = (0..300).map(|_| house.send(&request[..1])).collect();
        // Answered, but neither read nor closed.
        let unread: Vec<Probe> = (0..1000).map(|_| house.send(&request)).collect();
        let began = Instant::now();
        let mut sent = 1;
        while began.elapsed() < Duration::from_secs(3) {
            thread::sleep(Duration::from_millis(200));
            for probe in &mut slow {
                probe.send(&request[sent..=sent]).expect("a peer that is gone is no error");
            }
            sent += 1;
        }
        let end = slow.first_mut().expect("300 of them").hear(PATIENCE).expect("an end");
        assert_eq!(end.mux(), "(closed)", "a slow request is nobody's refusal");
        assert!(wait_until(|| descriptors(&house) < before + 20), "{} held", descriptors(&house));
        drop(unread);
    });
}

#[test]
fn a7_clients_that_go_away_at_any_byte_leave_no_work_behind() {
    let plan = Plan::new().sections("[listener]\nrequest = \"5s\"\ndrain = \"2s\"");
    let Some(house) = plan.start() else { return };
    assert_eq!(house.visit(), "OK");
    let before = descriptors(&house);
    let request = right();
    let mut half_closed = Vec::new();
    for at in 0..=request.len() {
        for _ in 0..20 {
            let probe = house.send(&request[..at]);
            probe.half_close().expect("a connection");
            half_closed.push(probe);
            // One that goes with unread bytes of ours in its buffer resets the connection.
            drop(house.send(&request[..at]));
        }
    }
    let began = house.listener().spent();
    thread::sleep(Duration::from_secs(3));
    let spent = house.listener().spent() - began;
    assert!(spent < Duration::from_millis(150), "{spent:?} of 3 s were spent on nothing");
    assert!(wait_until(|| descriptors(&house) <= before + 2), "{} held", descriptors(&house));
    drop(half_closed);
    assert_eq!(house.visit(), "OK");
}

/// Sends noise to the socket that it is told, counting what it could send; an uid without rights runs it.
const NOISE: &str = r#"
use Socket; my ($path, $count, $seed) = @ARGV; srand($seed); my $sent = 0; my $denied = 0;
my $to = sockaddr_un($path);
my @good = ("\0\5alice", "\0\1x", "\0\4smtp", "\0\0", "\0\x0e192.0.2.7;4242");
for (1..$count) {
    socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
    unless (connect($s, $to)) { $denied++; last if $denied > 3; next }
    my $bytes = '';
    my $kind = rand;
    if ($kind < 0.4) { $bytes = pack('C*', map { int rand 256 } 1..int(rand 40)) }
    elsif ($kind < 0.9) {
        $bytes = join '', @good[0..int(rand 5)];
        for (1..int(rand 4)) { substr($bytes, int(rand length $bytes), 1) = chr int rand 256 if length $bytes }
    }
    else { $bytes = pack('n', int rand 65536) . ("\0" x int rand 3000) . "status\n" }
    { local $SIG{PIPE} = 'IGNORE'; defined(send($s, $bytes, 0)) and $sent++; }
    shutdown($s, 1) if rand > 0.5;
    if (rand > 0.9) { recv($s, my $reply, 100, MSG_DONTWAIT) }
    close $s;
}
print "$sent $denied\n";
"#;

fn noise(path: &Path, count: u32, seed: u32, uid: u32) -> Child {
    let mut command = Command::new("perl");
    command.args(["-e", NOISE]).arg(path).arg(count.to_string()).arg(seed.to_string());
    command.uid(uid).gid(uid).stdout(Stdio::piped()).spawn().expect("perl runs")
}

/// How many frames were sent, and how many connections were denied.
fn made(noise: Child) -> (u32, u32) {
    let output = noise.wait_with_output().expect("perl ends");
    let text = String::from_utf8(output.stdout).expect("figures");
    let (sent, denied) = text.trim().split_once(' ').expect("two figures");
    (sent.parse().expect("a figure"), denied.parse().expect("a figure"))
}

#[test]
fn a8_noise_from_an_unprivileged_user_ends_nothing() {
    let plan = Plan::new()
        .sections("[[socket]]\npath = \"/run/saslauthd/mux\"")
        .sections("[[socket]]\nprotocol = \"pwcheck\"")
        .sections("[log]\nlevel = \"warning\"\ncyrus_lines = false");
    let Some(house) = plan.start() else { return };
    let pids = house.daemon.pids();
    let (mux, pwcheck) = (house.at("/run/saslauthd/mux"), house.at("/run/saslauthd/pwcheck"));
    let control = house.at("/run/saslauthd/control");
    let visitors = Visitors::arrive(house.mux());
    let (one, two) = (noise(&mux, 60_000, 1, 65534), noise(&pwcheck, 40_000, 2, 65534));
    // Strangers don't get as far as the operators' socket; noise from root has to be survived there.
    assert_eq!(made(noise(&control, 100, 3, 65534)), (0, 4), "the operators' socket let one in");
    let (heard, _) = made(noise(&control, 5_000, 4, 0));
    assert!(heard > 1000, "only {heard} frames reached the operators' socket");
    let sent = made(one).0 + made(two).0;
    assert!(sent > 90_000, "only {sent} frames were taken");
    // Thousands stand before each of them in the kernel's queue, but nobody is turned away.
    visitors.leave_after(50).all_were_served(Duration::from_secs(3));
    assert_eq!(house.daemon.pids(), pids, "a process ended:\n{}", house.daemon.log());
    let status = ask(&control, &Request::Status, PATIENCE).expect("operators are still served");
    assert!(status.contains("\"backends\""), "{status}");
    assert_eq!(house.visit(), "OK");
}
