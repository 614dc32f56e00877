//! The table of processes: who each of them is, what it may do, and what it holds open.
//!
//! Needs root, since only root may look into processes that forbid it, and to start a daemon with users of its own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use harness::wait_until;
use nix::sys::signal::Signal;
use protocol::control::Request;

use crate::house::{House, Plan};
use crate::process::Process;

/// In the order of the sandbox's passwd file.
const LISTENER: &str = "901";
const CHECKER: &str = "902";
const SHADOW_GROUP: &str = "42";
const NOBODY: &str = "65534";

/// What a process is like.
struct Expected {
    user: &'static str,
    groups: String,
    threads: Option<&'static str>,
    seccomp: &'static str,
    /// What is open, by kind.
    open: &'static [(&'static str, usize)],
}

const PARENT_OPEN: &[(&str, usize)] = &[
    ("/dev/null", 1),
    ("standard error", 2),
    ("signals", 1),
    ("the run directory", 1),
    ("the pid file", 1),
    ("limiter's table", 1),
    ("channel of packets", 2),
    ("listening socket", 2),
    ("handle of a child", 2),
];
const LISTENER_OPEN: &[(&str, usize)] = &[
    ("/dev/null", 2),
    ("standard error", 1),
    ("event loop", 3),
    ("channel of packets", 1),
    ("channel of bytes", 1),
    ("listening socket", 1),
];
const CHECKER_OPEN: &[(&str, usize)] = &[
    ("/dev/null", 2),
    // The second is the log's.
    ("standard error", 2),
    ("event loop", 3),
    ("limiter's table", 1),
    // The second is for the last words.
    ("channel of packets", 2),
    ("channel of bytes", 1),
    ("listening socket", 1),
];

fn hold(process: Process, expected: &Expected) {
    let name = process.executable();
    let Expected { user, groups, threads, seccomp, open } = expected;
    let four = [*user; 4].join(" ");
    assert_eq!(process.status("Uid"), four, "{name}");
    assert_eq!(process.status("Gid"), four, "{name}");
    assert_eq!(process.status("Groups"), *groups, "{name}");
    if let Some(threads) = threads {
        assert_eq!(process.status("Threads"), *threads, "{name}");
    }
    assert_eq!(process.status("Seccomp"), *seccomp, "{name}");
    let wanted = open.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect();
    // A client that was just answered is held for a moment.
    wait_until(|| kinds(process) == wanted);
    assert_eq!(kinds(process), wanted, "{name} holds {:?}", process.descriptors());
    let limits = fs::read_to_string(process.path("limits")).expect("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{name}: {core}");
}

fn kinds(process: Process) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for (_, target) in process.descriptors() {
        *kinds.entry(kind(&target)).or_default() += 1;
    }
    kinds
}

fn kind(target: &str) -> String {
    match target {
        "/dev/null" => "/dev/null".into(),
        "anon_inode:[eventpoll]" | "anon_inode:[eventfd]" => "event loop".into(),
        "anon_inode:[signalfd]" => "signals".into(),
        "anon_inode:[pidfd]" => "handle of a child".into(),
        "/run/saslauthd" => "the run directory".into(),
        "/run/saslauthd/saslauthd.pid" => "the pid file".into(),
        "/memfd:saslauthd (deleted)" => "limiter's table".into(),
        log if log.ends_with("/tmp/daemon.log") => "standard error".into(),
        other => match other.strip_prefix("socket:[") {
            Some(inode) => socket(inode.trim_end_matches(']')),
            None => other.into(),
        },
    }
}

/// Unix sockets alone are listed there; any other is a way into a network.
fn socket(inode: &str) -> String {
    let all = fs::read_to_string("/proc/net/unix").expect("a list of Unix sockets");
    let line = all.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let Some(line) = line.into_iter().find(|words| words.get(6) == Some(&inode)) else {
        return "socket that is no Unix socket".into();
    };
    match (line[3], line[4]) {
        ("00010000", "0001") => "listening socket".into(),
        (_, "0001") => "channel of bytes".into(),
        (_, "0005") => "channel of packets".into(),
        other => format!("socket {other:?}"),
    }
}

/// What all children are, in each of their threads.
fn hold_confined(process: Process) {
    let name = process.executable();
    for thread in fs::read_dir(process.path("task")).expect("threads").flatten() {
        let id = thread.file_name().to_string_lossy().parse().expect("a number");
        for field in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(Process(id).status(field), "0000000000000000", "{name} {id} {field}");
        }
        assert_eq!(Process(id).status("NoNewPrivs"), "1", "{name} {id}");
        assert_eq!(Process(id).status("Seccomp"), "2", "{name} {id}");
    }
    hold_not_dumpable(process);
    assert_eq!(fs::read(process.path("environ")).expect("root reads it"), b"", "{name}");
}

/// The kernel gives the files of an undumpable process to root.
fn hold_not_dumpable(process: Process) {
    let facts = fs::metadata(process.path("environ")).expect("a process");
    let name = process.executable();
    assert_ne!(process.status("Uid").split(' ').next(), Some("0"), "{name}: root tells nothing");
    assert_eq!(facts.uid(), 0, "{name} may be looked into by its own user");
}

/// What `mailauth status` shows is what the kernel says.
fn hold_status(house: &House) {
    let status = house.operator(&Request::Status);
    let processes = status.pointer("/house/processes").and_then(|list| list.as_array());
    let processes = processes.expect("a list of processes");
    assert_eq!(processes.len(), 3, "{status}");
    for shown in processes {
        let pid = shown["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        let process = Process(pid.expect("a process id"));
        assert_eq!(process.executable(), shown["name"], "{status}");
        let confinement = &shown["confinement"];
        if confinement.is_null() {
            assert_eq!(process.0, house.parent().0, "{status}");
            continue;
        }
        let id = |field| process.status(field).split(' ').next().map(ToOwned::to_owned);
        assert_eq!(id("Uid"), Some(confinement["uid"].to_string()));
        assert_eq!(id("Gid"), Some(confinement["gid"].to_string()));
        assert_eq!(process.status("CapEff"), confinement["capabilities"]);
        let missing = confinement["missing"].as_array().expect("a list");
        if missing.is_empty() {
            assert!(confinement["landlock"].to_string().contains("full"), "{status}");
        } else {
            eprintln!("this kernel lacks: {missing:?}");
        }
    }
}

#[test]
fn started_as_root_each_process_is_a_user_of_its_own() {
    let Some(house) = Plan::new().start() else { return };
    assert_eq!(house.visit(), "OK");
    let parent = Expected {
        user: "0",
        groups: own_groups(),
        threads: Some("1"),
        seccomp: "0",
        open: PARENT_OPEN,
    };
    hold(house.parent(), &parent);
    let listener = Expected {
        user: LISTENER,
        groups: String::new(),
        threads: Some("1"),
        seccomp: "2",
        open: LISTENER_OPEN,
    };
    hold(house.listener(), &listener);
    let checker = Expected {
        user: CHECKER,
        groups: SHADOW_GROUP.into(),
        threads: None,
        seccomp: "2",
        open: CHECKER_OPEN,
    };
    hold(house.checker(), &checker);
    for child in [house.listener(), house.checker()] {
        hold_confined(child);
        assert_eq!(child.status("CapBnd"), "0000000000000000", "{}", child.executable());
    }
    hold_status(&house);
}

/// The parent is whoever starts it; groups too.
fn own_groups() -> String {
    Process(i32::try_from(std::process::id()).expect("a process id")).status("Groups")
}

#[test]
fn started_by_a_user_all_processes_are_that_user_and_still_confined() {
    if !crate::house::ready() {
        return;
    }
    let plan = Plan::new().unprivileged();
    let sandbox = plan.furnish();
    let shadow = sandbox.path().join("etc/shadow");
    let own = sandbox.path().join("tmp/state/shadow");
    fs::copy(&shadow, &own).expect("a copy");
    nix::unistd::chown(&own, Some(65534.into()), None).expect("root gives files away");
    let plan = plan.sections(&format!("[backend.shadow]\npath = \"{}\"", own.display()));
    plan.configure(&sandbox);
    let house = plan.start_in(sandbox);
    assert_eq!(house.visit(), "OK");
    let roles = [
        (house.parent(), Some("1"), "0", PARENT_OPEN),
        (house.listener(), Some("1"), "2", LISTENER_OPEN),
        (house.checker(), None, "2", CHECKER_OPEN),
    ];
    for (process, threads, seccomp, open) in roles {
        hold(process, &Expected { user: NOBODY, groups: String::new(), threads, seccomp, open });
        hold_not_dumpable(process);
    }
    hold_confined(house.listener());
    hold_confined(house.checker());
    hold_status(&house);
    let log = house.daemon.log();
    assert_eq!(log.matches("not started as root").count(), 1, "{log}");
}

#[test]
fn a_file_of_root_alone_costs_one_capability_and_no_more() {
    if !crate::house::ready() {
        return;
    }
    let plan = Plan::new();
    let sandbox = plan.furnish();
    let shadow = sandbox.path().join("etc/shadow");
    nix::unistd::chown(&shadow, Some(0.into()), Some(0.into())).expect("root owns files");
    fs::set_permissions(&shadow, fs::Permissions::from_mode(0o600)).expect("a mode");
    let house = plan.start_in(sandbox);
    assert_eq!(house.visit(), "OK");
    let checker = house.checker();
    assert_eq!(checker.status("Uid"), [CHECKER; 4].join(" "));
    for thread in fs::read_dir(checker.path("task")).expect("threads").flatten() {
        let id = thread.file_name().to_string_lossy().parse().expect("a number");
        // CAP_DAC_READ_SEARCH is number 2.
        for (field, capabilities) in [("CapEff", 4), ("CapPrm", 4), ("CapInh", 0), ("CapAmb", 0)] {
            let wanted = format!("{capabilities:016x}");
            assert_eq!(Process(id).status(field), wanted, "{field} of thread {id}");
        }
        assert_eq!(Process(id).status("NoNewPrivs"), "1");
        assert_eq!(Process(id).status("Seccomp"), "2");
    }
    hold_not_dumpable(checker);
    assert_eq!(house.listener().status("CapEff"), "0000000000000000");
}

#[test]
fn children_end_with_their_parent() {
    let Some(house) = Plan::new().start() else { return };
    let children = [house.listener(), house.checker()];
    house.parent().signal(Signal::SIGKILL);
    let gone = || children.iter().all(|child| !child.lives());
    assert!(wait_until(gone), "children outlive their parent");
}
