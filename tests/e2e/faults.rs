//! Children that end, configurations that are wrong, and what has to survive both.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use harness::accounts::crypt;
use harness::probe::counted;
use harness::{Account, PATIENCE, Probe, wait_for, wait_until};
use nix::sys::signal::Signal;
use protocol::control::{Request, Reset};

use crate::house::{CONFIG, House, LOGIN, MUX, PASSWORD, Plan, replace};
use crate::process::Process;
use crate::visitors::Visitors;

/// A killed child has to be back by then.
const SECOND: Duration = Duration::from_secs(1);

/// With an account whose hash takes some tenths of a second.
fn with_slow_account() -> Plan {
    let hash = crypt("slow-password", "$6$rounds=400000$sandboxsalt$").expect("perl makes a hash");
    Plan::new().accounts(&[Account::with("slow", &hash)])
}

fn slow_request() -> Vec<u8> {
    counted(&[b"slow", b"slow-password", b"smtp", b""])
}

fn replies(probes: Vec<Probe>) -> Vec<String> {
    let hear = |mut probe: Probe| probe.hear(PATIENCE).map_or_else(tell, |heard| heard.mux());
    probes.into_iter().map(hear).collect()
}

fn tell(why: io::Error) -> String {
    format!("({why})")
}

/// Ends a child under load, and holds that everybody hears of a temporary failure and the next one is served.
///
/// `back` is told apart from hashes that are still computed for clients that are gone.
fn kill_child(house: &House, child: Process, back: impl Fn() -> bool) {
    let name = child.executable();
    let others: Vec<i32> = house.daemon.pids().into_iter().filter(|pid| *pid != child.0).collect();
    let under_way: Vec<Probe> = (0..20).map(|_| house.send(&slow_request())).collect();
    assert!(wait_until(|| house.figure("/logins/unanswered") > 15), "they don't arrive");
    child.signal(Signal::SIGKILL);
    let began = Instant::now();
    assert!(wait_for(SECOND, back), "{name} is not back in a second");
    eprintln!("{name} was back after {:?}", began.elapsed());
    assert!(wait_until(|| house.visit() == "OK"), "{}", house.daemon.log());
    let mut heard = replies(under_way);
    heard.retain(|reply| reply != "OK");
    assert!(heard.len() > 10, "the {name} was ended too late to matter: {heard:?}");
    // Nothing, and then the end: a temporary failure to every client library.
    let temporary = |reply: &String| reply == "(closed)" || reply == "(reset)";
    assert!(heard.iter().all(temporary), "{heard:?}");
    let now = house.daemon.pids();
    assert!(others.iter().all(|pid| now.contains(pid)), "the others go on: {others:?} {now:?}");
    assert!(!child.lives());
    house.await_log(&format!("{name}: it ended by signal 9; starting it again at once"));
}

#[test]
fn a_killed_checker_is_back_in_a_second_and_nobody_was_refused() {
    let Some(house) = with_slow_account().start() else { return };
    thread::sleep(SECOND);
    kill_child(&house, house.checker(), || house.visit() == "OK");
}

#[test]
fn a_killed_listener_is_back_in_a_second_and_nobody_was_refused() {
    let Some(house) = with_slow_account().start() else { return };
    thread::sleep(SECOND);
    // Requests without a login are refused by the listener alone.
    kill_child(&house, house.listener(), || house.ask("", "x") == "NO");
}

#[test]
fn children_that_end_again_and_again_never_make_a_refusal() {
    let Some(house) = Plan::new().start() else { return };
    let parent = house.parent();
    let visitors = Visitors::arrive(house.mux());
    for round in 0..4 {
        thread::sleep(Duration::from_millis(1200));
        let child = if round % 2 == 0 { house.checker() } else { house.listener() };
        child.signal(Signal::SIGKILL);
    }
    thread::sleep(SECOND);
    let visits = visitors.leave_after(100);
    let refused: Vec<_> = visits.wrong.iter().filter(|reply| reply.contains("NO")).collect();
    assert!(refused.is_empty(), "an outage looked like a wrong password: {refused:?}");
    assert!(visits.wrong.len() < 200, "{} logins failed", visits.wrong.len());
    assert!(parent.lives());
    assert_eq!(house.visit(), "OK");
    assert_eq!(house.figure("/house/processes/1/restarts"), 2);
    assert_eq!(house.figure("/house/processes/2/restarts"), 2);
}

#[test]
fn a_configuration_with_errors_changes_nothing_and_is_explained() {
    let plan = Plan::new();
    let Some(house) = plan.start() else { return };
    let pids = house.daemon.pids();
    let wrong =
        format!("{}\n[listener]\nanswer = \"soon\"\nno_such_key = 1\n", plan.text(&house.sandbox));
    let line = wrong.lines().position(|line| line.contains("soon")).expect("the line") + 1;
    replace(&house.at(CONFIG), wrong.as_bytes());
    house.signal(Signal::SIGHUP);
    house.await_log("the new configuration has errors; the old one stays");
    house.await_log(&format!("{CONFIG}:{line}:10:"));
    house.await_log(&format!("{CONFIG}:{}:1:", line + 1));
    assert_eq!(house.visit(), "OK");
    assert_eq!(house.daemon.pids(), pids);
    // A file that anybody may write is no configuration either.
    plan.configure(&house.sandbox);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(house.at(CONFIG), open).expect("a mode");
    house.signal(Signal::SIGHUP);
    let twice = "the old one stays";
    assert!(
        wait_until(|| house.daemon.log().matches(twice).count() == 2),
        "{}",
        house.daemon.log()
    );
    fs::remove_file(house.at(CONFIG)).expect("it was there");
    house.signal(Signal::SIGHUP);
    assert!(
        wait_until(|| house.daemon.log().matches(twice).count() == 3),
        "{}",
        house.daemon.log()
    );
    assert_eq!(house.daemon.pids(), pids);
    plan.configure(&house.sandbox);
    house.signal(Signal::SIGHUP);
    house.await_log("serving by the new configuration");
    assert_eq!(house.visit(), "OK");
}

#[test]
fn a_configuration_that_no_checker_can_serve_changes_nothing() {
    let plan = Plan::new().copied();
    let Some(house) = plan.start() else { return };
    let pids = house.daemon.pids();
    let checker = house.checker();
    let program = house.sandbox.path().join("tmp/programs/saslauthd-checker");
    let spare = program.with_extension("spare");
    let other = plan.clone().sections("[[socket]]\npath = \"/run/saslauthd/mux\"");
    other.sections("[[socket]]\npath = \"/run/saslauthd/other\"").configure(&house.sandbox);
    fs::rename(&program, &spare).expect("a program");
    for what in ["gone", "another"] {
        let before = house.daemon.log().matches("the old configuration stays").count();
        house.signal(Signal::SIGHUP);
        let said = || house.daemon.log().matches("the old configuration stays").count() > before;
        assert!(wait_until(said), "{what}:\n{}", house.daemon.log());
        assert_eq!(house.visit(), "OK", "{what}");
        assert!(wait_until(|| house.daemon.pids() == pids), "{what}: {:?}", house.daemon.pids());
        assert!(!house.at("/run/saslauthd/other").exists(), "{what}");
        assert!(house.mux().exists(), "{what}");
        fs::copy("/bin/false", &program).expect("a copy");
    }
    // Nor does it end when the checker in service does: it tries until one comes up.
    thread::sleep(SECOND);
    checker.signal(Signal::SIGKILL);
    house.await_log("starting it again in");
    assert_eq!(house.visit(), "(closed)");
    fs::rename(&spare, &program).expect("a program");
    assert!(wait_until(|| house.visit() == "OK"), "{}", house.daemon.log());
    house.signal(Signal::SIGHUP);
    house.await_log("serving by the new configuration");
    assert!(house.at("/run/saslauthd/other").exists());
}

#[test]
fn a_reload_adds_changes_and_removes_sockets_and_loses_no_client() {
    let mux = "[[socket]]\npath = \"/run/saslauthd/mux\"";
    let plan = with_slow_account().sections(mux);
    let first = plan.clone().sections("[[socket]]\npath = \"/run/saslauthd/old\"");
    let Some(house) = first.start() else { return };
    let listener = house.listener();
    let inode = fs::metadata(house.mux()).expect("the socket").ino();
    let request = counted(&[LOGIN.as_bytes(), PASSWORD.as_bytes(), b"smtp", b""]);
    let mut half = house.send(&request[..9]);
    let computing = house.send(&slow_request());
    let mut on_old = Probe::connect(&house.at("/run/saslauthd/old")).expect("a connection");
    let second = plan.sections("mode = \"0660\"\n[[socket]]\npath = \"/run/saslauthd/new\"");
    second.configure(&house.sandbox);
    house.signal(Signal::SIGHUP);
    house.await_log("serving by the new configuration");
    assert!(wait_until(|| Probe::connect(&house.at("/run/saslauthd/new")).is_ok()));
    assert!(wait_until(|| !house.at("/run/saslauthd/old").exists()));
    let now = fs::metadata(house.mux()).expect("the socket");
    assert_eq!((now.ino(), now.mode() & 0o777), (inode, 0o660));
    assert_eq!(house.listener(), listener, "the listener was replaced");
    half.send(&request[9..]).expect("still connected");
    on_old.send(&request).expect("still connected");
    assert_eq!(replies(vec![half, computing, on_old]), ["OK", "OK", "OK"]);
    assert_eq!(house.visit(), "OK");
}

#[test]
fn a_throttled_user_stays_so_over_the_end_of_a_checker_and_of_the_daemon() {
    let plan = Plan::new().limits("user = { burst = 3, count = 1, every = \"1d\" }");
    let Some(mut house) = plan.start() else { return };
    for wrong in ["one", "two", "three"] {
        assert_eq!(house.ask(LOGIN, wrong), "NO");
    }
    let hold_throttled = |house: &House, when: &str| {
        assert!(wait_until(|| house.visit() != "(closed)"), "{when}: nobody serves");
        assert_eq!(house.visit(), "NO", "{when}: {}", house.daemon.log());
        assert!(house.daemon.log().contains("throttled=user "), "{when}: {}", house.daemon.log());
    };
    hold_throttled(&house, "at first");
    thread::sleep(SECOND);
    let checker = house.checker();
    checker.signal(Signal::SIGKILL);
    assert!(wait_until(|| !checker.lives()));
    hold_throttled(&house, "after the end of the checker");
    house.signal(Signal::SIGHUP);
    house.await_log("serving by the new configuration");
    hold_throttled(&house, "after a reload");
    assert!(house.daemon.stop(), "it had to be killed");
    house = house.start_again(&plan);
    hold_throttled(&house, "after a restart");
    house.operator(&Request::Reset(Reset::All));
    assert_eq!(house.visit(), "OK");
}

#[test]
fn damaged_state_is_thrown_away_and_said() {
    let plan = Plan::new().limits("user = { burst = 3, count = 1, every = \"1d\" }");
    let Some(mut house) = plan.start() else { return };
    assert_eq!(house.visit(), "OK");
    assert!(house.daemon.stop());
    let state = house.sandbox.path().join("tmp/state");
    let files: Vec<_> = fs::read_dir(&state)
        .expect("a directory")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let whole = fs::read(&files[0]).expect("root reads it");
    let mut flipped = whole.clone();
    flipped[..64].iter_mut().for_each(|byte| *byte ^= 0x5A);
    for (what, bytes) in [("cut", &whole[..whole.len() / 2]), ("flipped", &flipped), ("empty", b"")]
    {
        fs::write(&files[0], bytes).expect("room");
        house = house.start_again(&plan);
        assert_eq!(house.visit(), "OK", "{what}");
        let log = house.daemon.log();
        assert!(log.contains("limit"), "{what} is not said:\n{log}");
        assert!(house.daemon.stop());
    }
}

#[test]
fn a_killed_daemon_leaves_nothing_that_stops_the_next_one() {
    let plan = Plan::new();
    let Some(mut house) = plan.start() else { return };
    for _ in 0..5 {
        let parent = house.parent();
        parent.signal(Signal::SIGKILL);
        assert!(wait_until(|| !parent.lives()));
        assert!(house.mux().exists() && house.at("/run/saslauthd/saslauthd.pid").exists());
        // At once, while its children are still on their way out.
        let mut next = plan.command(&house.sandbox);
        next.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut next = next.spawn().expect("a process");
        let serves = || house.visit() == "OK" && house.daemon.pids().len() == 3;
        assert!(wait_until(serves), "{:?}", next.try_wait());
        let again = nix::unistd::Pid::from_raw(i32::try_from(next.id()).expect("an id"));
        nix::sys::signal::kill(again, Signal::SIGTERM).expect("it runs");
        assert!(next.wait().expect("it ends").success());
        house = house.start_again(&plan);
        assert_eq!(house.visit(), "OK");
    }
    let stated = fs::read_to_string(house.at("/run/saslauthd/saslauthd.pid")).expect("a pid file");
    assert_eq!(stated, format!("{}\n", house.parent().0));
}

#[test]
fn a_stopped_daemon_answers_who_is_under_way_and_cleans_up() {
    let Some(mut house) = with_slow_account().start() else { return };
    let under_way: Vec<Probe> = (0..3).map(|_| house.send(&slow_request())).collect();
    assert!(wait_until(|| house.figure("/logins/unanswered") == 3), "they don't arrive");
    assert!(house.daemon.stop(), "it had to be killed:\n{}", house.daemon.log());
    assert_eq!(replies(under_way), ["OK", "OK", "OK"]);
    let left: Vec<_> = fs::read_dir(house.at("/run/saslauthd"))
        .expect("a directory")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(house.daemon.log().contains("master exited"), "{}", house.daemon.log());
}

#[test]
fn a_log_that_nobody_reads_stops_neither_logins_nor_the_replacement_of_a_child() {
    if !crate::house::ready() {
        return;
    }
    let plan = Plan::new();
    let sandbox = plan.furnish();
    let mut command = plan.command(&sandbox);
    // Nobody ever reads from it.
    let (_reader, writer) = io::pipe().expect("a pipe");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer);
    let mut daemon = command.spawn().expect("a process");
    let mux = sandbox.outside(Path::new(MUX));
    let ask = |password: &str| {
        harness::probe::ask_mux(&mux, LOGIN.as_bytes(), password.as_bytes(), b"imap", b"")
    };
    assert!(wait_until(|| ask(PASSWORD) == "OK"), "it never serves");
    // Far more lines than a pipe holds.
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..60).for_each(|_| assert_eq!(ask("wrong"), "NO")));
        }
    });
    assert_eq!(ask(PASSWORD), "OK");
    thread::sleep(SECOND);
    let checker = *sandbox.processes("saslauthd-checker").first().expect("a checker");
    for _ in 0..3 {
        Process(i32::try_from(daemon.id()).expect("an id")).signal(Signal::SIGHUP);
        thread::sleep(Duration::from_millis(200));
    }
    for pid in sandbox.processes("saslauthd-checker") {
        Process(pid).signal(Signal::SIGKILL);
    }
    assert!(wait_until(|| !Process(checker).lives()));
    assert!(wait_until(|| ask(PASSWORD) == "OK"), "nobody takes the place of the checker");
    Process(i32::try_from(daemon.id()).expect("an id")).signal(Signal::SIGTERM);
    let ended = wait_until(|| daemon.try_wait().is_ok_and(|ended| ended.is_some()));
    assert!(ended, "it doesn't end");
}

#[test]
fn a_full_disk_costs_the_memory_of_failures_and_nothing_else() {
    if !crate::house::ready() {
        return;
    }
    let plan = Plan::new().limits("user = { burst = 3, count = 1, every = \"1d\" }");
    let sandbox = plan.furnish();
    let state = sandbox.path().join("tmp/state");
    let mut mount = sandbox.command("mount");
    mount.args(["-t", "tmpfs", "-o", "nr_inodes=1,mode=0755", "tmpfs"]).arg(&state);
    assert!(mount.status().expect("mount runs").success());
    let house = plan.start_in(sandbox);
    assert_eq!(house.visit(), "OK");
    assert_eq!(house.ask(LOGIN, "wrong"), "NO");
    let mut house = house;
    assert!(house.daemon.stop(), "it had to be killed");
    let log = house.daemon.log();
    assert!(log.contains("No space left on device"), "it is not said:\n{log}");
    assert!(log.contains("master exited"), "{log}");
    house = house.start_again(&plan);
    assert_eq!(house.visit(), "OK");
}
