//! saslauthd from start to stop: its files, its signals, its second instance, its idle clients.

use std::fs;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use harness::{Daemon, Probe, Ran, Sandbox, Subject, file, wait_for, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::suite::{Case, Listed, case, compare, listed};
use crate::words;

type Story = fn(&Life) -> io::Result<String>;

/// A fresh house with alice in sasldb.
struct Life {
    subject: Subject,
    house: Sandbox,
}

impl Life {
    fn start(&self, args: &[&str]) -> io::Result<Daemon> {
        let daemon = Daemon::cyrus(&self.house, self.subject, "sasldb", args)?;
        // The original listens before it has forked all its workers and while signals still find it unprepared.
        let mut before = Vec::new();
        wait_until(|| {
            thread::sleep(Duration::from_millis(40));
            let now = daemon.pids();
            std::mem::replace(&mut before, now.clone()) == now
        });
        Ok(daemon)
    }

    fn run_dir(&self) -> PathBuf {
        self.house.path().join("run/saslauthd")
    }

    /// Every entry of a directory with its kind and mode, sorted.
    fn listing(&self, dir: &Path) -> String {
        let Ok(entries) = fs::read_dir(dir) else { return "no directory".to_owned() };
        let entries = entries.flatten().map(|entry| {
            format!("{} {}", entry.file_name().to_string_lossy(), file::facts(&entry.path()))
        });
        let mut entries: Vec<String> = entries.collect();
        entries.sort();
        if entries.is_empty() { "empty".to_owned() } else { entries.join(", ") }
    }
}

fn ask(daemon: &Daemon) -> String {
    daemon.ask("alice", "secret1", "smtp", "")
}

/// The same, by a client who waits half a second.
fn hasty(daemon: &Daemon) -> io::Result<String> {
    let mut probe = Probe::connect(daemon.socket())?;
    probe.send(REQUEST)?;
    Ok(probe.hear(Duration::from_millis(500))?.mux())
}

const REQUEST: &[u8] = b"\x00\x05alice\x00\x07secret1\x00\x04smtp\x00\x00";

fn cases() -> Vec<Case<Story>> {
    [files(), signals(), instances(), clients()].into_iter().flatten().collect()
}

fn files() -> Vec<Case<Story>> {
    fn listed_with(life: &Life, args: &[&str]) -> io::Result<String> {
        let _daemon = life.start(args)?;
        Ok(life.listing(&life.run_dir()))
    }
    vec![
        case(
            "life-files",
            (|life| listed_with(life, &[])) as Story,
            "mux socket 0777, mux.accept file 0600, saslauthd.pid file 0600",
        ),
        case(
            "life-files-no-accept-lock",
            |life| listed_with(life, &["-l"]),
            "mux socket 0777, saslauthd.pid file 0600",
        ),
        case(
            "life-files-fork-each",
            |life| listed_with(life, &["-n", "0"]),
            "mux socket 0777, saslauthd.pid file 0600",
        ),
        case(
            "life-files-cache",
            |life| listed_with(life, &["-c"]),
            "cache.flock file 0600, cache.mmap file 0600, mux socket 0777, mux.accept file 0600, saslauthd.pid file 0600",
        ),
        case(
            "life-files-new-directory",
            |life| {
                fs::remove_dir(life.run_dir())?;
                let _daemon = life.start(&[])?;
                Ok(format!("{}: {}", file::facts(&life.run_dir()), life.listing(&life.run_dir())))
            },
            "directory 0755: mux socket 0777, mux.accept file 0600, saslauthd.pid file 0600",
        ),
        case(
            "life-pid-file",
            |life| {
                let daemon = life.start(&[])?;
                let text = fs::read_to_string(life.run_dir().join("saslauthd.pid"))?;
                let first = daemon.pids().first().map(|pid| format!("{pid}\n"));
                Ok(if first == Some(text) {
                    "the first process and a newline"
                } else {
                    "something else"
                }
                .to_owned())
            },
            "the first process and a newline",
        ),
        case(
            "life-no-pid-file-in-foreground",
            |life| {
                let _daemon = life.start(&["-d"])?;
                Ok(file::facts(&life.run_dir().join("saslauthd.pid")))
            },
            "absent",
        ),
        case(
            "life-working-directory",
            |life| {
                let daemon = life.start(&[])?;
                let pid = daemon.pids().first().copied().unwrap_or_default();
                Ok(fs::read_link(format!("/proc/{pid}/cwd"))?.display().to_string())
            },
            "/run/saslauthd",
        ),
    ]
}

/// How long a daemon may take to end itself.
const ENOUGH: Duration = Duration::from_millis(900);

fn signals() -> Vec<Case<Story>> {
    fn after(life: &Life, signal: Signal) -> io::Result<String> {
        let mut daemon = life.start(&[])?;
        daemon.signal(signal);
        let ended = wait_for(ENOUGH, || daemon.pids().is_empty());
        let left = life.listing(&life.run_dir());
        Ok(if ended { format!("ends, leaves {left}") } else { format!("serves {}", ask(&daemon)) })
    }
    vec![
        case("life-sigterm", (|life| after(life, Signal::SIGTERM)) as Story, "ends, leaves empty"),
        case("life-sigint", |life| after(life, Signal::SIGINT), "ends, leaves empty"),
        case("life-sighup", |life| after(life, Signal::SIGHUP), "serves OK"),
        case("life-sigalrm", |life| after(life, Signal::SIGALRM), "serves OK"),
        case("life-sigpipe", |life| after(life, Signal::SIGPIPE), "serves OK"),
        case(
            "life-sigterm-with-idle-client",
            |life| {
                let mut daemon = life.start(&[])?;
                let _idle = Probe::connect(daemon.socket())?;
                Ok(daemon.stop().to_string())
            },
            "true",
        ),
        case(
            "life-restart",
            |life| {
                let mut first = life.start(&[])?;
                let before = ask(&first);
                first.stop();
                let second = life.start(&[])?;
                Ok(format!("{before}, {}", ask(&second)))
            },
            "OK, OK",
        ),
        case(
            "life-every-worker-killed",
            |life| {
                let mut daemon = life.start(&["-n", "3"])?;
                let main = daemon.main_pid().unwrap_or_default();
                for pid in daemon.pids().into_iter().filter(|pid| *pid != main) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
                wait_for(Duration::from_secs(1), || daemon.pids().len() == 1);
                // The original's main process is a worker too; one idle client keeps it.
                let _idle = Probe::connect(daemon.socket())?;
                let mut heard = String::new();
                // A login that is under way while the children come back is told that nobody knows.
                wait_for(Duration::from_secs(2), || {
                    heard = hasty(&daemon).unwrap_or_else(|why| why.to_string());
                    heard == "OK"
                });
                Ok(heard)
            },
            "(waiting)",
        ),
    ]
}

fn instances() -> Vec<Case<Story>> {
    fn second(life: &Life) -> io::Result<Ran> {
        let mut command = life.house.command(life.subject.program("saslauthd"));
        Ran::of(command.args(["-a", "sasldb", "-m", "/run/saslauthd"]), b"", harness::PATIENCE)
    }
    vec![
        case(
            "life-second-instance",
            (|life| {
                let daemon = life.start(&[])?;
                let ran = second(life)?;
                Ok(format!("{}; the first says {}", words::tell(&ran), ask(&daemon)))
            }) as Story,
            r#"exit 2; err "Cannot start saslauthd\nAnother instance of saslauthd is currently running"; the first says OK"#,
        ),
        case(
            "life-second-instance-elsewhere",
            |life| {
                let first = life.start(&[])?;
                let mut command = life.house.command(life.subject.program("saslauthd"));
                command.args(["-a", "sasldb", "-m", "/run/other"]);
                let mut second = Daemon::start(&life.house, command, Path::new("/run/other/mux"))?;
                second.await_detached()?;
                Ok(format!("{}, {}", ask(&first), ask(&second)))
            },
            "OK, OK",
        ),
        case(
            "life-killed-then-started",
            |life| {
                let daemon = life.start(&[])?;
                for pid in daemon.pids() {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
                wait_until(|| daemon.pids().is_empty());
                let left = file::facts(&life.run_dir().join("saslauthd.pid"));
                let again = life.start(&[])?;
                Ok(format!("left {left}, then {}", ask(&again)))
            },
            "left file 0600, then OK",
        ),
        case(
            "life-pid-file-of-a-stranger",
            |life| {
                fs::write(life.run_dir().join("saslauthd.pid"), "1\n")?;
                Ok(ask(&life.start(&[])?))
            },
            "OK",
        ),
        case(
            "life-pid-file-garbage",
            |life| {
                fs::write(life.run_dir().join("saslauthd.pid"), "not a number")?;
                Ok(ask(&life.start(&[])?))
            },
            "OK",
        ),
        case(
            "life-stale-socket",
            |life| {
                drop(UnixListener::bind(life.run_dir().join("mux"))?);
                Ok(ask(&life.start(&[])?))
            },
            "OK",
        ),
        case(
            "life-file-in-the-sockets-place",
            |life| {
                fs::write(life.run_dir().join("mux"), "precious")?;
                match life.start(&[]) {
                    Ok(daemon) => Ok(format!("replaces it, {}", ask(&daemon))),
                    Err(_) => Ok(file::facts(&life.run_dir().join("mux"))),
                }
            },
            "replaces it, OK",
        ),
        case(
            "life-link-in-the-sockets-place",
            |life| {
                let target = life.house.path().join("run/precious");
                fs::write(&target, "precious")?;
                std::os::unix::fs::symlink("/run/precious", life.run_dir().join("mux"))?;
                let said = life.start(&[]).map_or("refuses".to_owned(), |daemon| ask(&daemon));
                Ok(format!("{said}, {}", file::facts(&target)))
            },
            "OK, file 0644",
        ),
        case(
            "life-directory-in-the-sockets-place",
            |life| {
                fs::create_dir(life.run_dir().join("mux"))?;
                let ran = second(life)?;
                let running = wait_for(Duration::from_secs(1), || {
                    life.house.processes("saslauthd").is_empty()
                });
                Ok(format!("{}; {}", ran.end(), if running { "ends" } else { "stays" }))
            },
            "exit 0; ends",
        ),
        case(
            "life-foreign-socket-in-use",
            |life| {
                let _listener = UnixListener::bind(life.run_dir().join("mux"))?;
                let ran = second(life)?;
                Ok(ran.end())
            },
            "exit 0",
        ),
    ]
}

/// Clients that cost more than they should: idle, silent and never-closing ones.
fn clients() -> Vec<Case<Story>> {
    /// What a good client hears within a second, beside clients that a closure leaves open.
    fn beside(life: &Life, args: &[&str], others: usize, said: &[u8]) -> io::Result<String> {
        let daemon = life.start(args)?;
        let mut open = Vec::new();
        for _ in 0..others {
            let mut probe = Probe::connect(daemon.socket())?;
            probe.send(said)?;
            open.push(probe);
        }
        let mut probe = Probe::connect(daemon.socket())?;
        probe.send(REQUEST)?;
        let heard = probe.hear(Duration::from_millis(800))?.mux();
        drop((open, probe));
        Ok(format!("{heard}, afterwards {}", ask(&daemon)))
    }
    vec![
        case(
            "life-4-idle-clients",
            (|life| beside(life, &["-n", "5"], 4, b"")) as Story,
            "OK, afterwards OK",
        ),
        case(
            "life-5-idle-clients",
            |life| beside(life, &["-n", "5"], 5, b""),
            "(waiting), afterwards OK",
        ),
        case(
            "life-20-idle-clients",
            |life| beside(life, &["-n", "5"], 20, b""),
            "(waiting), afterwards OK",
        ),
        case(
            "life-1-idle-client-of-1",
            |life| beside(life, &["-n", "1"], 1, b""),
            "(waiting), afterwards OK",
        ),
        case(
            "life-20-idle-clients-fork-each",
            |life| beside(life, &["-n", "0"], 20, b""),
            "OK, afterwards OK",
        ),
        case(
            "life-5-half-requests",
            |life| beside(life, &["-n", "5"], 5, &REQUEST[..9]),
            "(waiting), afterwards OK",
        ),
        case(
            "life-5-answered-never-closed",
            |life| beside(life, &["-n", "5"], 5, REQUEST),
            "(waiting), afterwards OK",
        ),
        case(
            "life-5-endless-talkers",
            |life| beside(life, &["-n", "5"], 5, &[b'a'; 60_000]),
            "(waiting), afterwards OK",
        ),
    ]
}

fn act(subject: &Subject, story: &Story) -> io::Result<String> {
    let house = Sandbox::with(&[])?;
    house.load_sasldb(&[(b"alice\0mailhost\0userPassword", b"secret1")])?;
    story(&Life { subject: *subject, house })
}

pub(crate) fn all() -> Listed {
    listed(&cases())
}

#[test]
fn daemon_life() {
    compare("saslauthd's life", &cases(), Ok, act);
}
