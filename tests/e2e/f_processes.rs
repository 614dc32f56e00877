//! F4 to F11: what a process inherits, shows, keeps and becomes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use harness::probe::counted;
use harness::{Daemon, PATIENCE, Probe, Ran, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::house::{House, LOGIN, MUX, PASSWORD, Plan, ready};
use crate::process::Process;
use crate::visitors::Visitors;

/// Opens the host of descriptors that a careless caller may leave, closes the standard streams, and executes the rest.
const CARELESS: &str = r#"
use POSIX; my $fd = POSIX::open('/etc/shadow', O_RDONLY) // die "open: $!";
for my $other (3..50) { POSIX::dup2($fd, $other) }
POSIX::close($fd) if $fd > 50; POSIX::close($_) for 0..2;
exec { $ARGV[0] } @ARGV;
"#;

#[test]
fn f4_strays_are_closed_and_closed_standard_streams_are_harmless() {
    if !ready() {
        return;
    }
    let plan = Plan::new().sections("[log]\nto = \"syslog\"");
    let sandbox = plan.furnish();
    let inner = plan.command(&sandbox);
    let mut command = sandbox.command("perl");
    command.args(["-e", CARELESS]);
    command.args(inner.get_args().skip_while(|word| *word != "--").skip(1));
    let daemon = Daemon::start(&sandbox, command, Path::new(MUX)).expect("a daemon");
    let house = House { daemon, sandbox };
    assert!(wait_until(|| house.visit() == "OK"), "{:?}", house.sandbox.syslog().lines());
    for process in [house.parent(), house.listener(), house.checker()] {
        let open: BTreeMap<i32, String> = process.descriptors().into_iter().collect();
        for stream in 0..=2 {
            assert_eq!(open[&stream], "/dev/null", "{}", process.executable());
        }
        let strays = open.values().filter(|target| target.contains("shadow")).count();
        assert_eq!(strays, 0, "{} holds {open:?}", process.executable());
        assert!(open.len() < 25, "{} holds {open:?}", process.executable());
    }
}

#[test]
fn f5_a_hostile_environment_reaches_nobody() {
    if !ready() {
        return;
    }
    let plan = Plan::new();
    let sandbox = plan.furnish();
    let trap = sandbox.path().join("tmp/trap");
    fs::create_dir(&trap).expect("a directory");
    nix::unistd::chown(&trap, Some(65534.into()), None).expect("root gives directories away");
    let mut command = plan.command(&sandbox);
    let names = [
        "SASL_PATH",
        "SASL_CONF_PATH",
        "SSLKEYLOGFILE",
        "OPENSSL_CONF",
        "TZ",
        "TZDIR",
        "TMPDIR",
        "SQLITE_TMPDIR",
        "RUST_LOG",
        "RUST_BACKTRACE",
        "CREDENTIALS_DIRECTORY",
        "XDG_RUNTIME_DIR",
        "HOME",
        "LD_LIBRARY_PATH",
        "LD_DEBUG_OUTPUT",
        "MALLOC_TRACE",
        "NSS_FILES_shadow",
        "http_proxy",
        "LOCPATH",
        "GETCONF_DIR",
        "RES_OPTIONS",
        "HOSTALIASES",
        "LOCALDOMAIN",
    ];
    for name in names {
        command.env(name, trap.join("x"));
    }
    command.env("GLIBC_TUNABLES", "glibc.malloc.check=3:glibc.malloc.perturb=255");
    command.env("LISTEN_FDS", "7").env("WATCHDOG_USEC", "-5").env("WATCHDOG_PID", "x");
    let daemon = Daemon::start(&sandbox, command, Path::new(MUX)).expect("a daemon");
    let house = House { daemon, sandbox };
    assert!(wait_until(|| house.visit() == "OK"), "{}", house.daemon.log());
    house.signal(Signal::SIGHUP);
    house.await_log("serving by the new configuration");
    assert_eq!(house.visit(), "OK");
    for child in [house.listener(), house.checker()] {
        assert_eq!(fs::read(child.path("environ")).expect("root reads it"), b"");
    }
    let trapped: Vec<_> = fs::read_dir(&trap).expect("a directory").flatten().collect();
    assert!(trapped.is_empty(), "{trapped:?}");
}

#[test]
fn f6_no_secret_is_in_an_argument_an_environment_or_the_log() {
    let plan = Plan::new().sections("[log]\nlevel = \"debug\"");
    let Some(house) = plan.start() else { return };
    let hash = harness::accounts::quick_hash(PASSWORD).expect("perl makes a hash");
    assert_eq!(house.visit(), "OK");
    assert_eq!(house.ask(LOGIN, &format!("{PASSWORD}!")), "NO");
    assert_eq!(house.ask(PASSWORD, "x"), "NO");
    house.signal(Signal::SIGHUP);
    house.await_log("serving by the new configuration");
    let secrets = [hash.as_str(), hash.rsplit('$').next().expect("a digest")];
    for process in [house.parent(), house.listener(), house.checker()] {
        for name in ["cmdline", "environ", "comm"] {
            let bytes = fs::read(process.path(name)).expect("root reads it");
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(PASSWORD), "{name} of {}", process.executable());
            assert!(secrets.iter().all(|secret| !text.contains(secret)), "{name}");
        }
    }
    // Whoever types a password for a login finds it as a login in the log, and nowhere else.
    let log = house.daemon.log();
    let others = log.lines().filter(|line| !line.contains(&format!("user=\"{PASSWORD}\"")));
    let told: Vec<_> = others.filter(|line| line.contains(PASSWORD)).collect();
    let told: Vec<_> = told.iter().filter(|line| !line.contains("[user=")).collect();
    assert!(told.is_empty(), "{told:?}");
    assert!(secrets.iter().all(|secret| !log.contains(secret)), "{log}");
}

/// Tries every way into another process of the same user, and prints those that worked.
const INTRUDER: &str = r#"
my $pid = $ARGV[0] + 0; my @in;
for my $name ('mem', 'environ', 'maps', 'auxv', 'stack', 'syscall', 'io') {
    if (open my $file, '<', "/proc/$pid/$name") { push @in, $name if defined sysread $file, my $bytes, 10 }
}
push @in, 'mem for writing' if open my $memory, '+<', "/proc/$pid/mem";
push @in, "fd $_" for grep { defined readlink $_ } map { "/proc/$pid/fd/$_" } 0..20;
push @in, 'exe' if defined readlink "/proc/$pid/exe"; push @in, 'cwd' if defined readlink "/proc/$pid/cwd";
push @in, 'ptrace' if syscall(101, 16, $pid, 0, 0) == 0;
push @in, 'seize' if syscall(101, 0x4206, $pid, 0, 0) == 0;
my $fd = syscall(434, $pid, 0); push @in, 'pidfd_getfd' if $fd >= 0 && syscall(438, $fd, 0, 0) >= 0;
print join(', ', @in), "\n";
"#;

fn intrude(process: Process, uid: u32) -> String {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new("perl");
    command.args(["-e", INTRUDER]).arg(process.0.to_string()).uid(uid).gid(uid);
    let output = command.stdin(Stdio::null()).output().expect("perl runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn f7_nobody_of_the_same_user_can_look_into_a_process() {
    let Some(house) = Plan::new().start() else { return };
    assert_eq!(house.visit(), "OK");
    for (child, uid) in [(house.listener(), 901), (house.checker(), 902)] {
        assert_eq!(child.status("Uid").split(' ').next(), Some(&*uid.to_string()));
        assert_eq!(intrude(child, uid), "", "{}", child.executable());
    }
    drop(house);
    let Some(house) = Plan::new().unprivileged().start() else { return };
    for process in [house.parent(), house.listener(), house.checker()] {
        assert_eq!(intrude(process, 65534), "", "{}", process.executable());
    }
    // The intruder knows its trade: a process like any other is open to it.
    let other = "use Socket; $| = 1; print 1; sleep 60";
    use std::os::unix::process::CommandExt;
    let mut other = Command::new("perl")
        .args(["-e", other])
        .uid(65534)
        .gid(65534)
        .stdout(Stdio::null())
        .spawn()
        .expect("perl runs");
    let open = Process(i32::try_from(other.id()).expect("an id"));
    assert!(wait_until(|| open.executable() == "perl"));
    let found = intrude(open, 65534);
    other.kill().expect("it runs");
    other.wait().expect("it ends");
    assert!(found.contains("mem") && found.contains("ptrace"), "{found}");
}

#[test]
fn f7_a_crash_leaves_no_core_and_another_takes_the_place() {
    let Some(house) = Plan::new().start() else { return };
    thread::sleep(Duration::from_secs(1));
    for signal in [Signal::SIGABRT, Signal::SIGILL, Signal::SIGFPE] {
        let checker = house.checker();
        let limits = fs::read_to_string(checker.path("limits")).expect("limits");
        let core = limits.lines().find(|line| line.starts_with("Max core file size"));
        assert!(core.is_some_and(|line| line.split_whitespace().nth(5) == Some("0")), "{core:?}");
        checker.signal(signal);
        assert!(wait_until(|| !checker.lives()), "{signal} does not end it");
        assert!(wait_until(|| house.visit() == "OK"), "after {signal}: {}", house.daemon.log());
    }
    assert!(!house.daemon.log().contains("core dumped"), "{}", house.daemon.log());
}

#[test]
fn f8_a_second_after_the_replies_no_password_is_in_any_memory() {
    let plan = Plan::new()
        .sections("[[socket]]\npath = \"/run/saslauthd/mux\"")
        .sections("[[socket]]\nprotocol = \"pwcheck\"")
        .sections("[cache]\nmode = \"off\"\n[log]\nlevel = \"warning\"\ncyrus_lines = false");
    let Some(house) = plan.start() else { return };
    let pwcheck = house.at("/run/saslauthd/pwcheck");
    let threads: Vec<_> = (0..4)
        .map(|nth| {
            let (mux, pwcheck) = (house.mux().to_owned(), pwcheck.clone());
            thread::spawn(move || send_sentinels(&mux, &pwcheck, nth))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    thread::sleep(Duration::from_secs(1));
    for process in [house.parent(), house.listener(), house.checker()] {
        let found = process.find_in_memory(&PASSWORD.as_bytes()[..PASSWORD.len() - 4]);
        assert!(found.is_empty(), "{}: {found:#?}", process.executable());
    }
    // The search finds it where it is.
    let own = Process(i32::try_from(std::process::id()).expect("an id"));
    let kept = PASSWORD.to_owned();
    assert!(!own.find_in_memory(kept.as_bytes()).is_empty());
}

/// Some thousand logins: whole, in pieces, wrong, too long, unfinished, and by the other protocol.
fn send_sentinels(mux: &Path, pwcheck: &Path, nth: usize) {
    let request = counted(&[LOGIN.as_bytes(), PASSWORD.as_bytes(), b"smtp", b""]);
    let wrong = counted(&[LOGIN.as_bytes(), format!("{PASSWORD}-wrong").as_bytes(), b"", b""]);
    let long = counted(&[LOGIN.as_bytes(), PASSWORD.repeat(400).as_bytes(), b"", b""]);
    let hear = |mut probe: Probe| probe.hear(PATIENCE).expect("a conversation").bytes;
    for round in 0..600 {
        let at = 8 + (round + nth) % (request.len() - 8);
        let mut probe = Probe::connect(mux).expect("a connection");
        match round % 5 {
            0 => probe.send_pieces([&request[..at], &request[at..]]).expect("room"),
            1 => probe.send(&wrong).expect("room"),
            2 => probe.send(&long).expect("room"),
            3 => {
                probe.send(&request[..at]).expect("room");
                probe.half_close().expect("a connection");
            }
            _ => {
                probe = Probe::connect(pwcheck).expect("a connection");
                probe.send(format!("{LOGIN}\0{PASSWORD}\0").as_bytes()).expect("room");
            }
        }
        hear(probe);
    }
}

#[test]
fn f9_a_path_for_a_name_is_a_name_that_nobody_has() {
    let plan = Plan::new().chain("\"shadow\"");
    let Some(house) = plan.start() else { return };
    let tree = || {
        let listed = Command::new("find")
            .arg(house.sandbox.path())
            .args(["-path", "*/dev", "-prune"])
            .args(["-o", "-not", "-name", "daemon.log", "-printf", "%p %s %T@\n"])
            .output();
        String::from_utf8_lossy(&listed.expect("find runs").stdout).into_owned()
    };
    assert_eq!(house.visit(), "OK");
    let before = tree();
    for name in [
        "../../etc/passwd",
        "/etc/shadow",
        "a/b",
        ".",
        "..",
        "./alice",
        "alice/",
        "alice/.",
        "../alice",
        "alice\u{2215}x",
        "..%2f..%2fetc%2fshadow",
        "file:alice",
        "~alice",
        "$HOME",
        "alice:x",
    ] {
        assert_eq!(house.ask(name, PASSWORD), "NO", "{name}");
        assert_eq!(
            house.daemon.ask(LOGIN, "wrong", name, name),
            "NO",
            "{name} as service and realm"
        );
    }
    assert_eq!(tree(), before, "a file was made or changed");
    assert_eq!(house.visit(), "OK");
}

#[test]
fn f10_missing_users_never_mean_root() {
    if !ready() {
        return;
    }
    let plan = Plan::new();
    let sandbox = plan.furnish();
    for name in ["passwd", "group"] {
        let file = sandbox.path().join("etc").join(name);
        let text = fs::read_to_string(&file).expect("a file");
        let without: Vec<&str> =
            text.lines().filter(|line| !line.starts_with("saslauthd")).collect();
        fs::write(&file, without.join("\n") + "\n").expect("room");
    }
    let house = plan.start_in(sandbox);
    assert_eq!(house.visit(), "OK");
    let first = |process: Process, field| -> u32 {
        let ids = process.status(field);
        let ids: Vec<u32> = ids.split(' ').map(|id| id.parse().expect("a number")).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{field} {ids:?}");
        ids[0]
    };
    let (listener, checker) = (house.listener(), house.checker());
    for field in ["Uid", "Gid"] {
        let (one, other) = (first(listener, field), first(checker, field));
        assert!(one > 0 && other > 0 && one != other && one != 65534, "{field} {one} {other}");
        let taken = fs::read_to_string(house.at("/etc/passwd")).expect("a file");
        assert!(!taken.contains(&format!(":{one}:")) && !taken.contains(&format!(":{other}:")));
    }
    assert_eq!(listener.status("Groups"), "");
    assert!(house.daemon.log().contains("no user saslauthd"), "{}", house.daemon.log());
    drop(house);
    // Who is named in the configuration has to be there.
    for key in ["listener_user", "checker_user"] {
        for (name, said) in [("nosuchuser", "no user nosuchuser"), ("root", "is root")] {
            let plan = Plan::new().top(&format!("{key} = \"{name}\""));
            let sandbox = plan.furnish();
            let ran = Ran::of(&mut plan.command(&sandbox), b"", PATIENCE).expect("a run");
            assert_eq!(ran.end(), "exit 1", "{key} {name}: {}", ran.err());
            assert!(ran.err().contains(said), "{key} {name}: {}", ran.err());
            assert!(!sandbox.outside(Path::new(MUX)).exists(), "{key} {name} left a socket");
        }
    }
}

#[test]
fn f10_a_drop_of_identity_that_fails_is_the_end() {
    if !ready() || !harness::require("strace", "strace") {
        return;
    }
    let calls = [
        "setresuid:error=EAGAIN",
        "setresgid:error=EPERM",
        "setgroups:error=EPERM",
        "setresuid:retval=0",
    ];
    for call in calls {
        let inject = format!("inject={call}");
        let plan = Plan::new().by(&["strace", "-f", "-o", "/dev/null", "-e", &inject]);
        let sandbox = plan.furnish();
        let ran = Ran::of(&mut plan.command(&sandbox), b"", PATIENCE).expect("a run");
        assert!(ran.code.is_some_and(|code| code != 0), "{call}: {} {}", ran.end(), ran.err());
        assert!(ran.err().contains("saslauthd-"), "{call}: {}", ran.err());
        assert!(!sandbox.outside(Path::new(MUX)).exists(), "{call} left a socket");
    }
}

#[test]
fn f11_a_storm_of_signals_under_load_changes_nothing() {
    let Some(mut house) = Plan::new().start() else { return };
    let parent = house.parent();
    let visitors = Visitors::arrive(house.mux());
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let pid = Pid::from_raw(parent.0);
            let signals = [
                Signal::SIGHUP,
                Signal::SIGCHLD,
                Signal::SIGUSR1,
                Signal::SIGWINCH,
                Signal::SIGCONT,
                Signal::SIGPIPE,
            ];
            while !enough.load(Ordering::Relaxed) {
                signals.iter().for_each(|signal| kill(pid, *signal).expect("it lives"));
                thread::sleep(Duration::from_millis(4));
            }
        });
        thread::sleep(Duration::from_secs(3));
        enough.store(true, Ordering::Relaxed);
    });
    visitors.leave_after(50).all_were_served(Duration::from_secs(2));
    assert!(wait_until(|| house.daemon.pids().len() == 3), "{:?}", house.daemon.pids());
    assert_eq!(house.visit(), "OK");
    let pid = Pid::from_raw(parent.0);
    let end = std::time::Instant::now() + Duration::from_millis(200);
    while std::time::Instant::now() < end && parent.lives() {
        let _ = kill(pid, Signal::SIGTERM);
        let _ = kill(pid, Signal::SIGHUP);
    }
    assert!(house.daemon.stop(), "it had to be killed");
    assert!(!house.mux().exists());
    assert!(house.daemon.log().contains("master exited"), "{}", house.daemon.log());
}
