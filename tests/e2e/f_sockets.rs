//! F1 and F2: what may lie where a daemon wants its files, and who may have a socket.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::{PATIENCE, Ran, Sandbox, wait_for, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::house::{CONFIG, MUX, Plan, replace};
use crate::visitors::Visitors;

const RUN: &str = "/run/saslauthd";
/// What a planted link leads to; nothing of it may change.
const VICTIM: &str = "/run/victim";

/// A run directory in which something lies already.
struct Planted {
    plan: Plan,
    sandbox: Sandbox,
    victim: PathBuf,
}

impl Planted {
    fn new() -> Option<Self> {
        if !crate::house::ready() {
            return None;
        }
        let plan = Plan::new();
        let sandbox = plan.furnish();
        let victim = sandbox.outside(Path::new(VICTIM));
        fs::write(&victim, "precious").expect("room");
        fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).expect("a mode");
        Some(Self { plan, sandbox, victim })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.sandbox.outside(Path::new(RUN)).join(name)
    }

    fn hold_victim(&self, what: &str) {
        assert_eq!(fs::read(&self.victim).expect("the victim"), b"precious", "{what}");
        let facts = fs::metadata(&self.victim).expect("the victim");
        assert_eq!((facts.mode() & 0o7777, facts.uid(), facts.nlink()), (0o600, 0, 1), "{what}");
    }

    fn run(&self) -> Ran {
        Ran::of(&mut self.plan.command(&self.sandbox), b"", PATIENCE).expect("a run")
    }

    /// Starts a daemon and ends it; whether it served. Opens no file that somebody could have planted.
    fn try_to_serve(&self) -> bool {
        let mut command = self.plan.command(&self.sandbox);
        let error = fs::File::create(self.sandbox.path().join("tmp/error")).expect("a file");
        let mut daemon = command.stdout(Stdio::null()).stderr(error).spawn().expect("a process");
        let mux = self.at("mux");
        let mut served = false;
        wait_for(Duration::from_secs(2), || {
            // The attacker's own sockets answer nothing.
            served = harness::probe::ask_mux(&mux, b"", b"", b"", b"") == "NO";
            served || daemon.try_wait().is_ok_and(|ended| ended.is_some())
        });
        let _ = kill(Pid::from_raw(i32::try_from(daemon.id()).expect("an id")), Signal::SIGTERM);
        let ended = wait_until(|| daemon.try_wait().is_ok_and(|ended| ended.is_some()));
        let said = fs::read_to_string(self.sandbox.path().join("tmp/error")).expect("a file");
        assert!(ended && !said.contains("panicked"), "{said}");
        served
    }

    /// The daemon doesn't start, says why, and leaves nothing behind but what was there.
    fn hold_refused(&self, what: &str, code: i32, said: &str) {
        let before = names(&self.at(""));
        let ran = self.run();
        assert_eq!(ran.code, Some(code), "{what}: {} {}", ran.end(), ran.err());
        assert!(ran.err().contains(said), "{what}: {}", ran.err());
        assert_eq!(names(&self.at("")), before, "{what}");
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn f1_nothing_that_was_planted_is_followed_opened_or_replaced() {
    let Some(house) = Planted::new() else { return };
    for name in ["mux", "control", "saslauthd.pid"] {
        let at = house.at(name);
        let planted = |what: &str, plant: &dyn Fn(), said: &str| {
            plant();
            house.hold_refused(&format!("{what} at {name}"), 1, said);
            house.hold_victim(&format!("{what} at {name}"));
            match fs::symlink_metadata(&at).expect("it stays").is_dir() {
                true => fs::remove_dir(&at).expect("an empty directory"),
                false => fs::remove_file(&at).expect("a file"),
            }
        };
        planted("a link", &|| symlink(VICTIM, &at).expect("a link"), "symbolic link");
        planted("a dangling link", &|| symlink("/run/none", &at).expect("a link"), "symbolic link");
        planted("a directory", &|| fs::create_dir(&at).expect("a directory"), name);
        let pipe = || nix::unistd::mkfifo(&at, Mode::from_bits_truncate(0o666)).expect("a pipe");
        planted("a pipe", &pipe, name);
        if name == "saslauthd.pid" {
            planted("a socket", &|| drop(UnixListener::bind(&at).expect("a socket")), name);
            fs::hard_link(&house.victim, &at).expect("a second name");
            house.hold_refused("a second name of a file", 1, "second name");
            fs::remove_file(&at).expect("a file");
        } else {
            planted("a file", &|| fs::write(&at, "x").expect("room"), "not a socket");
            let other = || drop(UnixDatagram::bind(&at).expect("a socket"));
            // A dead socket of whatever kind is only a name; one that is alive is somebody's.
            other();
            let alive = UnixDatagram::bind(house.at("alive")).expect("a socket");
            fs::rename(house.at("alive"), &at).expect("a rename");
            house.hold_refused("a living socket of another kind", 1, "another kind");
            drop(alive);
            fs::remove_file(&at).expect("a socket");
        }
        house.hold_victim(name);
        assert_eq!(names(&house.at("")), [""; 0], "{name}");
    }
    // And without any of them it starts.
    let house = house.plan.start_in(house.sandbox);
    assert_eq!(house.visit(), "OK");
}

#[test]
fn f1_a_directory_that_others_can_change_is_refused() {
    let Some(house) = Planted::new() else { return };
    let run = house.at("");
    for mode in [0o777, 0o775, 0o770, 0o757] {
        fs::set_permissions(&run, fs::Permissions::from_mode(mode)).expect("a mode");
        house.hold_refused(&format!("mode {mode:o}"), 1, "can be written by others");
        let facts = fs::metadata(&run).expect("a directory");
        assert_eq!(facts.mode() & 0o7777, mode, "it was changed");
    }
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).expect("a mode");
    nix::unistd::chown(&run, Some(65534.into()), None).expect("root gives directories away");
    house.hold_refused("of another user", 1, "belongs to uid 65534");
    nix::unistd::chown(&run, Some(0.into()), None).expect("root takes directories");
    let real = run.with_file_name("real");
    fs::rename(run.parent().expect("a parent").join("saslauthd"), &real).expect("a rename");
    symlink("real", run.parent().expect("a parent").join("saslauthd")).expect("a link");
    house.hold_refused("a link to a directory", 1, "symbolic link");
}

/// Puts links, pipes and sockets at the names that the daemon wants, and takes them away, as fast as it can.
const PLANTER: &str = r#"
use Socket; use POSIX; my ($run, $victim) = @ARGV; chdir $run or die "chdir: $!";
while (1) {
    for my $name ('mux', 'control', 'saslauthd.pid') {
        symlink $victim, $name; unlink $name;
        POSIX::mkfifo($name, 0666); unlink $name;
        socket(my $s, PF_UNIX, SOCK_STREAM, 0); bind($s, sockaddr_un($name)); close $s; unlink $name;
    }
}
"#;

fn planter(run: &Path) -> Child {
    let mut command = Command::new("perl");
    command.args(["-e", PLANTER]).arg(run).arg(VICTIM).uid(65534).gid(65534);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("perl runs")
}

#[test]
fn f1_whoever_wins_the_race_for_a_name_wins_nothing() {
    let Some(house) = Planted::new() else { return };
    // Sticky: whoever may write here can plant names, but not take away those of others.
    fs::set_permissions(house.at(""), fs::Permissions::from_mode(0o1777)).expect("a mode");
    let mut attacker = planter(&house.at(""));
    let (mut served, mut refused) = (0, 0);
    let end = Instant::now() + Duration::from_secs(30);
    while served + refused < 40 && Instant::now() < end {
        match house.try_to_serve() {
            true => served += 1,
            false => refused += 1,
        }
        house.hold_victim("in the race");
    }
    attacker.kill().expect("it runs");
    attacker.wait().expect("it ends");
    eprintln!("{served} starts served, {refused} were refused");
    assert!(served + refused >= 10, "{served} {refused}");
    for name in names(&house.at("")) {
        let facts = fs::symlink_metadata(house.at(&name)).expect("a file");
        assert_eq!(facts.uid(), 65534, "{name} was left behind");
    }
}

#[test]
fn f1_modes_owners_and_the_made_directory_are_those_of_the_configuration() {
    let Some(house) = Planted::new() else { return };
    fs::remove_dir(house.at("")).expect("an empty directory");
    let mux = "[[socket]]\npath = \"/run/saslauthd/mux\"\nmode = \"0660\"\nowner = \"daemon\"\n\
               group = \"sasl\"";
    let plan = house.plan.sections(mux).sections("[[socket]]\npath = \"/run/saslauthd/open\"");
    plan.configure(&house.sandbox);
    let house = plan.start_in(house.sandbox);
    let facts = |name: &str| {
        let facts = fs::symlink_metadata(house.at(name)).expect("it is there");
        (facts.mode() & 0o7777, facts.uid(), facts.gid())
    };
    assert_eq!(facts(RUN), (0o710, 0, 45));
    assert_eq!(facts(MUX), (0o660, 1, 45));
    assert_eq!(facts("/run/saslauthd/open"), (0o666, 0, 0));
    let (mode, owner, _) = facts("/run/saslauthd/control");
    assert_eq!((mode & 0o007, owner), (0, 0), "operators alone");
    assert_eq!(facts("/run/saslauthd/saslauthd.pid"), (0o600, 0, 0));
}

#[test]
fn f2_a_second_instance_gives_way_to_the_first() {
    let Some(house) = Plan::new().start() else { return };
    let before = names(&house.at(RUN));
    let inode = fs::metadata(house.mux()).expect("the socket").ino();
    let plan = Plan::new();
    let second = Ran::of(&mut plan.command(&house.sandbox), b"", PATIENCE).expect("a run");
    assert_eq!(second.end(), "exit 2", "{}", second.err());
    let sentence = "Another instance of saslauthd is currently running";
    assert!(second.err().contains(sentence), "{}", second.err());
    // One with a run directory of its own meets the first at the socket.
    let config = format!(
        "run_dir = \"/run/second\"\n{}\n[[socket]]\npath = \"{MUX}\"\n",
        plan.text(&house.sandbox)
    );
    replace(&house.at(CONFIG), config.as_bytes());
    let third = Ran::of(&mut plan.command(&house.sandbox), b"", PATIENCE).expect("a run");
    assert_eq!(third.end(), "exit 75", "{}", third.err());
    assert!(third.err().contains(MUX), "{}", third.err());
    assert_eq!(names(&house.at(RUN)), before);
    assert_eq!(names(&house.at("/run/second")), [""; 0], "the third cleans up");
    assert_eq!(fs::metadata(house.mux()).expect("the socket").ino(), inode);
    assert_eq!(house.visit(), "OK");
}

#[test]
fn f2_a_living_socket_of_another_program_is_respected_and_a_dead_one_replaced() {
    let Some(house) = Planted::new() else { return };
    let mux = house.at("mux");
    let other = UnixListener::bind(&mux).expect("a listener");
    house.hold_refused("another daemon", 75, MUX);
    // The look at it was all that came.
    let (mut look, _) = other.accept().expect("a connection");
    assert_eq!(look.read(&mut [0; 8]).expect("an end"), 0);
    assert!(UnixStream::connect(&mux).is_ok(), "it still serves");
    // Its file stays, dead.
    drop(other);
    assert!(mux.exists());
    let house = house.plan.start_in(house.sandbox);
    assert_eq!(house.visit(), "OK");
}

#[test]
fn f2_a_hundred_reloads_refuse_nobody_and_lose_no_answer() {
    let Some(house) = Plan::new().start() else { return };
    let listener = house.listener();
    let inode = fs::metadata(house.mux()).expect("the socket").ino();
    let visitors = Visitors::arrive(house.mux());
    for nth in 1..=100 {
        house.signal(Signal::SIGHUP);
        let served = "serving by the new configuration";
        let done = || house.daemon.log().matches(served).count() >= nth;
        assert!(wait_until(done), "reload {nth}:\n{}", house.daemon.log());
    }
    // Connections without a pause: a moment without a socket would be found.
    for _ in 0..1000 {
        house.send(b"");
    }
    visitors.leave_after(100).all_were_served(Duration::from_secs(2));
    assert_eq!(house.listener(), listener);
    assert_eq!(fs::metadata(house.mux()).expect("the socket").ino(), inode);
    // Old checkers go as soon as they have answered.
    assert!(wait_until(|| house.daemon.pids().len() == 3), "{:?}", house.daemon.pids());
    let open = house.parent().descriptors().len();
    assert!(open < 20, "{:?}", house.parent().descriptors());
}

#[test]
fn f2_a_restart_leaves_clients_waiting_for_a_moment_at_most() {
    let Some(mut house) = Plan::new().start() else { return };
    let plan = Plan::new();
    for _ in 0..5 {
        assert!(house.daemon.stop(), "{}", house.daemon.log());
        let began = Instant::now();
        house = house.start_again(&plan);
        assert_eq!(house.visit(), "OK");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
}
