//! Under attack: a right login while wrong ones pour in, and while ten thousand clients sit idle.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use harness::{Daemon, Identity, Sandbox, Subject};

use crate::accounts::{Store, password, user};
use crate::load::{self, Figures, Login};
use crate::memory;

/// Connections that guess.
const GUESSERS: usize = 100;
/// Clients that connect and say nothing.
const IDLE: usize = 10_000;

/// Ours with addresses believed, so that the owner's source can be known.
const CONFIG: &str = r#"
chain = ["shadow"]

[[socket]]
path = "/run/saslauthd/mux"
protocol = "mux"
address_uids = [0]

[backend.shadow]
type = "shadow"
path = "/etc/shadow"
"#;

/// A right login from a known source beside a hundred guessers, theirs and ours.
pub(crate) fn flood(measured: Duration) {
    println!(
        "| shadow sha512crypt under {GUESSERS} guessers | right p50/p99 ms idle | right p50/p99 ms under attack | wrong answers/s |"
    );
    println!("| --- | --- | --- | --- |");
    let sandbox = Store::Sha512.sandbox();
    let theirs = Daemon::theirs(&sandbox, "shadow", &["-n", "5"]).expect("theirs starts");
    row("theirs", theirs.socket(), measured);
    drop(theirs);
    let sandbox = Store::Sha512.sandbox();
    let ours = Daemon::ours(&sandbox, CONFIG, "/run/saslauthd/mux", Identity::Root);
    let ours = ours.expect("ours starts");
    row("ours", ours.socket(), measured);
    println!();
}

fn row(name: &str, socket: &Path, measured: Duration) {
    let right = [Login::mux(&user(0), &password(0), "", b"OK").from("192.0.2.1;4242")];
    let warm_up = Duration::from_millis(500);
    let idle = load::run(socket, &right, 1, warm_up, measured);
    let stop = Arc::new(AtomicBool::new(false));
    let answers = Arc::new(AtomicUsize::new(0));
    let guessers: Vec<_> = (0..GUESSERS)
        .map(|number| {
            let (socket, stop) = (socket.to_path_buf(), Arc::clone(&stop));
            let answers = Arc::clone(&answers);
            thread::spawn(move || guess(&socket, number, &stop, &answers))
        })
        .collect();
    let before = answers.load(Ordering::Relaxed);
    let attacked = load::run(socket, &right, 1, warm_up, measured);
    let wrong = answers.load(Ordering::Relaxed) - before;
    stop.store(true, Ordering::Relaxed);
    for guesser in guessers {
        guesser.join().expect("a guesser ends");
    }
    let shown = |figures: &Figures| {
        let faults = crate::rows::faults(figures);
        format!("{:.2}/{:.2}{faults}", figures.percentile(50.0), figures.percentile(99.0))
    };
    let rate = wrong as f64 / (measured + warm_up).as_secs_f64();
    println!("| {name} | {} | {} | {rate:.0} |", shown(&idle), shown(&attacked));
}

fn guess(socket: &Path, number: usize, stop: &AtomicBool, answers: &AtomicUsize) {
    let address = format!("198.51.{}.{};9", number % 100, number);
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let guess = format!("guess-{number}-{turn}");
        let login = Login::mux(&user(turn % 8), &guess, "", b"NO").from(&address);
        if load::ask(socket, &login) == Some(true) {
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Others are served while ten thousand clients hold a connection and say nothing; theirs stands still at five.
pub(crate) fn idle(measured: Duration) {
    let sandbox: Sandbox = Store::Sasldb.sandbox();
    let ours = Daemon::cyrus(&sandbox, Subject::Ours, "sasldb", &["--foreground"]);
    let ours = ours.expect("ours starts");
    let logins = Store::Sasldb.logins();
    let warm_up = Duration::from_millis(200);
    let alone = load::run(ours.socket(), &logins, 8, warm_up, measured);
    raise_descriptor_limit();
    let held: Vec<UnixStream> =
        (0..IDLE).map_while(|_| UnixStream::connect(ours.socket()).ok()).collect();
    let beside = load::run(ours.socket(), &logins, 8, warm_up, measured);
    println!("| idle clients held | req/s | p50/p99 ms | RSS/PSS MB |\n| --- | --- | --- | --- |");
    for (count, figures) in [(0, &alone), (held.len(), &beside)] {
        println!(
            "| {count} | {:.0}{} | {:.2}/{:.2} | {} |",
            figures.rate(),
            crate::rows::faults(figures),
            figures.percentile(50.0),
            figures.percentile(99.0),
            memory::of(&ours.pids()),
        );
    }
}

fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("the soft limit rises to the hard one");
}
