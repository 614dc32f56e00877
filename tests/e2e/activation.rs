//! The service manager's side: sockets handed over, and what it is told, without systemd as process 1.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::probe::counted;
use harness::{Daemon, PATIENCE, Probe, Ran, Sandbox, wait_until};
use nix::sys::signal::Signal;

use crate::house::{House, LOGIN, MUX, PASSWORD, Plan, ready};

/// A service manager in few lines: binds what it is told at descriptor 3 and executes the rest.
///
/// First argument: `stream:PATH`, `packets:PATH`, `file:PATH` or `silent:PATH` (bound, but not listening). Second:
/// what LISTEN_PID is to be, `own` for the right one. Third: LISTEN_FDS. Fourth: LISTEN_FDNAMES.
const MANAGER: &str = r#"
use Socket; use POSIX; my ($what, $pid, $count, $names, @command) = @ARGV;
my ($kind, $path) = split /:/, $what, 2; my $fd;
if ($kind eq 'file') { $fd = POSIX::open($path, O_RDONLY) // die "open: $!" }
else {
    socket(my $socket, PF_UNIX, $kind eq 'packets' ? SOCK_SEQPACKET : SOCK_STREAM, 0) or die "socket: $!";
    bind($socket, sockaddr_un($path)) or die "bind: $!"; chmod 0666, $path;
    listen($socket, 512) or die "listen: $!" unless $kind eq 'silent';
    $fd = POSIX::dup2(fileno $socket, 20); close $socket;
}
POSIX::dup2($fd, 3); POSIX::close($fd) if $fd != 3;
$ENV{LISTEN_PID} = $pid eq 'own' ? $$ : $pid; $ENV{LISTEN_FDS} = $count; $ENV{LISTEN_FDNAMES} = $names;
exec { $command[0] } @command or die "exec: $!";
"#;

fn managed(plan: &Plan, sandbox: &Sandbox, handed: [&str; 4]) -> Command {
    let inner = plan.command(sandbox);
    let program = inner.get_args().skip_while(|word| *word != "--").skip(1);
    let mut command = sandbox.command("perl");
    command.args(["-e", MANAGER]).args(handed).args(program);
    command
}

fn request() -> Vec<u8> {
    counted(&[LOGIN.as_bytes(), PASSWORD.as_bytes(), b"smtp", b""])
}

#[test]
fn a_socket_that_was_handed_over_is_served_and_left_where_it_is() {
    if !ready() {
        return;
    }
    let plan = Plan::new();
    let sandbox = plan.furnish();
    let handed = [&*format!("stream:{MUX}"), "own", "1", "anything"];
    let command = managed(&plan, &sandbox, handed);
    let daemon = Daemon::start(&sandbox, command, Path::new(MUX)).expect("a daemon");
    let mut house = House { daemon, sandbox };
    // Asked before it is ready: the socket was there before the daemon.
    assert_eq!(house.visit(), "OK");
    let inode = fs::metadata(house.mux()).expect("the socket").ino();
    house.signal(Signal::SIGHUP);
    house.await_log("serving by the new configuration");
    assert_eq!(house.visit(), "OK");
    assert!(house.daemon.stop());
    assert_eq!(fs::metadata(house.mux()).expect("still there").ino(), inode);
    // What it was handed is all that it has: no descriptor of the manager's stays open.
    assert!(!house.at("/run/saslauthd/control").exists(), "its own socket is put away");
}

#[test]
fn a_handed_socket_is_found_by_its_name_and_the_others_are_bound() {
    if !ready() {
        return;
    }
    let plan = Plan::new()
        .sections("[[socket]]\npath = \"/run/saslauthd/mux\"")
        .sections("[[socket]]\nprotocol = \"pwcheck\"\npath = \"/run/saslauthd/ask\"");
    let sandbox = plan.furnish();
    // Where the manager bound it is the manager's affair.
    let handed = ["stream:/run/elsewhere", "own", "1", "ask"];
    let command = managed(&plan, &sandbox, handed);
    let daemon = Daemon::start(&sandbox, command, Path::new(MUX)).expect("a daemon");
    let house = House { daemon, sandbox };
    assert_eq!(house.visit(), "OK");
    let mut probe = Probe::connect(&house.at("/run/elsewhere")).expect("a connection");
    probe.send(format!("{LOGIN}\0{PASSWORD}\0").as_bytes()).expect("room");
    assert_eq!(probe.hear(PATIENCE).expect("a conversation").bytes, b"OK");
    assert!(!house.at("/run/saslauthd/ask").exists());
}

#[test]
fn f5_what_was_handed_to_another_process_is_not_taken() {
    if !ready() {
        return;
    }
    let plan = Plan::new();
    let sandbox = plan.furnish();
    let command = managed(&plan, &sandbox, ["stream:/run/elsewhere", "1", "1", "mux"]);
    let daemon = Daemon::start(&sandbox, command, Path::new(MUX)).expect("a daemon");
    let house = House { daemon, sandbox };
    assert_eq!(house.visit(), "OK");
    // The stray listening socket was closed, so nobody is there.
    let refused = Probe::connect(&house.at("/run/elsewhere")).expect_err("somebody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn f5_handed_descriptors_that_are_wrong_stop_the_start_and_are_named() {
    if !ready() {
        return;
    }
    let cases = [
        (["file:/etc/passwd", "own", "1", "mux"], "is not a socket"),
        (["packets:/run/x1", "own", "1", "mux"], "is not a stream socket"),
        (["silent:/run/x2", "own", "1", "mux"], "does not listen"),
        (["stream:/run/x3", "own", "1", "strange"], "is not in the configuration"),
        (["stream:/run/x4", "own", "2", "mux:second"], "descriptor 4 is not open"),
        (["stream:/run/x5", "own", "99999", "mux"], "at most"),
    ];
    let plan = Plan::new();
    let sandbox = plan.furnish();
    for (handed, said) in cases {
        let mut command = managed(&plan, &sandbox, handed);
        let ran = Ran::of(&mut command, b"", PATIENCE).expect("a run");
        assert_eq!(ran.end(), "exit 1", "{handed:?}: {}", ran.err());
        assert!(ran.err().contains(said), "{handed:?}: {}", ran.err());
        assert!(!sandbox.outside(Path::new(MUX)).exists(), "{handed:?} left a socket");
    }
    for count in ["-1", "", "many", "1 "] {
        let mut command = managed(&plan, &sandbox, ["file:/etc/passwd", "own", count, "mux"]);
        let daemon = Daemon::start(&sandbox, command_taken(&mut command), Path::new(MUX));
        let daemon = daemon.unwrap_or_else(|why| panic!("LISTEN_FDS={count:?}: {why}"));
        assert_eq!(daemon.ask(LOGIN, PASSWORD, "smtp", ""), "OK", "LISTEN_FDS={count:?}");
    }
}

fn command_taken(command: &mut Command) -> Command {
    std::mem::replace(command, Command::new("true"))
}

/// A service manager's ear.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        Self::of(UnixDatagram::bind(path).expect("a datagram socket"))
    }

    fn of(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self(socket)
    }

    fn hear(&self) -> String {
        let mut bytes = [0; 4096];
        let count = loop {
            match self.0.recv(&mut bytes) {
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                heard => break heard.expect("the daemon says nothing"),
            }
        };
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    /// The next message that is not of the watchdog.
    fn hear_news(&self) -> String {
        loop {
            let message = self.hear();
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }

    fn nothing_for(&self, time: Duration) {
        self.0.set_read_timeout(Some(time)).expect("a timeout");
        let mut heard = self.0.recv(&mut [0; 64]);
        while heard.as_ref().is_err_and(|why| why.kind() == ErrorKind::Interrupted) {
            heard = self.0.recv(&mut [0; 64]);
        }
        assert!(heard.as_ref().is_err_and(is_silence), "{heard:?}");
        self.0.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    }
}

fn is_silence(why: &io::Error) -> bool {
    why.kind() == ErrorKind::WouldBlock
}

#[test]
fn a_service_manager_hears_of_start_reload_and_end() {
    if !ready() {
        return;
    }
    let plan = Plan::new();
    let sandbox = plan.furnish();
    let manager = Manager::at(&sandbox.outside(Path::new("/run/notify")));
    let mut command = plan.command(&sandbox);
    command.env("NOTIFY_SOCKET", "/run/notify");
    let daemon = Daemon::start(&sandbox, command, Path::new(MUX)).expect("a daemon");
    let mut house = House { daemon, sandbox };
    assert_eq!(manager.hear(), "READY=1");
    assert_eq!(house.visit(), "OK", "ready means that it serves");
    house.signal(Signal::SIGHUP);
    let reloading = manager.hear();
    let stamp = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("systemd's words");
    // Of the clock that systemd compares it with: the time since the start of the machine.
    let uptime = fs::read_to_string("/proc/uptime").expect("an uptime");
    let uptime: f64 = uptime.split(' ').next().and_then(|text| text.parse().ok()).expect("seconds");
    let stamp: f64 = stamp.parse().expect("microseconds");
    assert!((stamp / 1e6 - uptime).abs() < 60.0, "{stamp} µs, {uptime} s");
    assert_eq!(manager.hear(), "READY=1");
    fs::write(house.at(crate::house::CONFIG), "no_such_key = 1").expect("room");
    house.signal(Signal::SIGHUP);
    assert!(manager.hear().starts_with("RELOADING=1\n"));
    assert_eq!(manager.hear(), "READY=1", "a failed reload ends, too");
    manager.nothing_for(Duration::from_millis(300));
    assert!(house.daemon.stop());
    assert_eq!(manager.hear(), "STOPPING=1");
}

#[test]
fn readiness_comes_when_it_serves_and_never_when_it_cannot() {
    if !ready() {
        return;
    }
    let plan = Plan::new().copied();
    let sandbox = plan.furnish();
    let manager = Manager::at(&sandbox.outside(Path::new("/run/notify")));
    fs::copy("/bin/false", sandbox.path().join("tmp/programs/saslauthd-checker")).expect("a copy");
    let mut command = plan.command(&sandbox);
    let ran = Ran::of(command.env("NOTIFY_SOCKET", "/run/notify"), b"", PATIENCE).expect("a run");
    assert_eq!(ran.end(), "exit 1", "{}", ran.err());
    assert!(ran.err().contains("saslauthd-checker: it ended by exit code 1"), "{}", ran.err());
    assert_eq!(manager.hear(), "STOPPING=1");
    assert!(!sandbox.outside(Path::new(MUX)).exists());
}

#[test]
fn the_watchdog_gets_its_signs_of_life_in_time_and_none_from_a_frozen_daemon() {
    if !ready() {
        return;
    }
    let plan = Plan::new();
    let sandbox = plan.furnish();
    let name = format!("e2e-watchdog-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("an abstract name");
    let manager = Manager::of(UnixDatagram::bind_addr(&address).expect("a datagram socket"));
    let mut command = plan.command(&sandbox);
    command.env("NOTIFY_SOCKET", format!("@{name}")).env("WATCHDOG_USEC", "400000");
    let daemon = Daemon::start(&sandbox, command, Path::new(MUX)).expect("a daemon");
    let house = House { daemon, sandbox };
    assert_eq!(manager.hear_news(), "READY=1");
    for _ in 0..8 {
        let began = Instant::now();
        assert_eq!(manager.hear(), "WATCHDOG=1");
        // Half of the time that it is given.
        assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
    }
    let parent = house.parent();
    parent.signal(Signal::SIGSTOP);
    assert!(wait_until(|| parent.status("State").starts_with('T')));
    manager.0.set_nonblocking(true).expect("a socket");
    while manager.0.recv(&mut [0; 64]).is_ok() {}
    manager.0.set_nonblocking(false).expect("a socket");
    manager.nothing_for(Duration::from_millis(800));
    // Clients are served all the same: the parent is not needed for that.
    assert_eq!(house.visit(), "OK");
    parent.signal(Signal::SIGCONT);
    assert_eq!(manager.hear(), "WATCHDOG=1");
}

#[test]
fn f5_a_hostile_notify_socket_is_refused_and_a_deaf_one_is_survived() {
    if !ready() {
        return;
    }
    let plan = Plan::new();
    let sandbox = plan.furnish();
    for wrong in ["relative/path", "vsock:1:2", "x"] {
        let mut command = plan.command(&sandbox);
        let ran = Ran::of(command.env("NOTIFY_SOCKET", wrong), b"", PATIENCE).expect("a run");
        assert_eq!(ran.end(), "exit 1", "{wrong}: {}", ran.err());
        assert!(ran.err().contains("NOTIFY_SOCKET"), "{wrong}: {}", ran.err());
        assert!(!sandbox.outside(Path::new(MUX)).exists(), "{wrong} left a socket");
    }
    // A manager that never reads: its queue is full at once, and nobody waits for it.
    let deaf = UnixDatagram::bind(sandbox.outside(Path::new("/run/notify"))).expect("a socket");
    let mut command = plan.command(&sandbox);
    command.env("NOTIFY_SOCKET", "/run/notify").env("WATCHDOG_USEC", "2000");
    let daemon = Daemon::start(&sandbox, command, Path::new(MUX)).expect("a daemon");
    let house = House { daemon, sandbox };
    assert!(wait_until(|| house.visit() == "OK"));
    std::thread::sleep(Duration::from_millis(300));
    let mut probe = house.send(&request());
    assert_eq!(probe.hear(PATIENCE).expect("a conversation").mux(), "OK");
    house.signal(Signal::SIGHUP);
    house.await_log("serving by the new configuration");
    drop(deaf);
    assert_eq!(house.visit(), "OK");
}
