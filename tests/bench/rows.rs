//! The rows of the table: every store, cached and not, with growing numbers of clients.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Daemon, Identity, Sandbox, Subject};

use crate::accounts::Store;
use crate::load::{self, Figures, Login};
use crate::memory::{self, Memory};

/// Clients at a time.
const CLIENTS: [usize; 4] = [1, 8, 64, 512];
/// Not measured, before each row.
const WARM_UP: Duration = Duration::from_millis(500);

/// The transport alone: a server that says OK to everything.
pub(crate) fn ceiling(measured: Duration) {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("mux");
    load::ceiling(socket.clone());
    println!("| a server that checks nothing | clients | req/s | p50 ms | p99 ms |");
    println!("| --- | --- | --- | --- | --- |");
    for clients in CLIENTS {
        let logins = [Login::mux("user", "password", "", b"OK")];
        let figures = load::run(&socket, &logins, clients, WARM_UP, measured);
        println!(
            "| ceiling | {clients} | {:.0} | {:.2} | {:.2} |",
            figures.rate(),
            figures.percentile(50.0),
            figures.percentile(99.0)
        );
    }
    println!();
}

/// One right login on a socket that somebody else serves.
pub(crate) fn one(socket: &Path, user: &str, password: &str, clients: usize, measured: Duration) {
    let logins = [Login::mux(user, password, "", b"OK")];
    let figures = load::run(socket, &logins, clients, WARM_UP, measured);
    println!(
        "{:.0}{} req/s, p50 {:.2} ms, p99 {:.2} ms",
        figures.rate(),
        faults(&figures),
        figures.percentile(50.0),
        figures.percentile(99.0)
    );
}

/// Theirs and ours in turn.
pub(crate) fn throughput(measured: Duration) {
    println!(
        "| store | cache | clients | theirs req/s | ours req/s | ratio | theirs p50/p99 ms | ours p50/p99 ms | theirs RSS/PSS MB | ours RSS/PSS MB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for store in Store::ALL {
        for cache in [&[][..], &["-c"]] {
            let (theirs_at, ours_at) = (store.sandbox(), store.sandbox());
            let mut theirs = start(&theirs_at, Subject::Theirs, store, cache);
            let mut ours = start(&ours_at, Subject::Ours, store, cache);
            for clients in CLIENTS {
                let of = |daemon: &mut Daemon| {
                    let figures =
                        load::run(daemon.socket(), &store.logins(), clients, WARM_UP, measured);
                    let memory = memory::of(&daemon.pids());
                    (figures, memory)
                };
                print_row(store, cache, clients, of(&mut theirs), of(&mut ours));
            }
        }
    }
    println!();
}

fn start(sandbox: &Sandbox, subject: Subject, store: Store, cache: &[&str]) -> Daemon {
    let daemon = match subject {
        Subject::Theirs => {
            let args: Vec<&str> = ["-n", "5"].iter().chain(cache).copied().collect();
            Daemon::theirs(sandbox, store.mechanism(), &args)
        }
        Subject::Ours => {
            let mode = if cache.is_empty() { "off" } else { "all" };
            let config =
                format!("chain = [\"{}\"]\n[cache]\nmode = \"{mode}\"\n", store.mechanism());
            Daemon::ours(sandbox, &config, "/run/saslauthd/mux", Identity::Root)
        }
    };
    daemon.expect("the daemon starts")
}

fn print_row(
    store: Store,
    cache: &[&str],
    clients: usize,
    (theirs, their_memory): (Figures, Memory),
    (ours, our_memory): (Figures, Memory),
) {
    println!(
        "| {} | {} | {clients} | {:.0}{} | {:.0}{} | {:.2} | {:.2}/{:.2} | {:.2}/{:.2} | {} | {} |",
        store.name(),
        if cache.is_empty() { "no" } else { "yes" },
        theirs.rate(),
        faults(&theirs),
        ours.rate(),
        faults(&ours),
        ours.rate() / theirs.rate(),
        theirs.percentile(50.0),
        theirs.percentile(99.0),
        ours.percentile(50.0),
        ours.percentile(99.0),
        their_memory,
        our_memory,
    );
}

/// Wrong and missing replies, when there are any.
pub(crate) fn faults(figures: &Figures) -> String {
    match (figures.wrong, figures.failed) {
        (0, 0) => String::new(),
        (wrong, failed) => format!(" ({wrong} wrong, {failed} without reply)"),
    }
}

/// What crypt(3) alone allows on these cores: one perl a core, calling it in a loop.
pub(crate) fn crypt_alone(measured: Duration) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("| crypt(3) alone, {cores} processes | calls/s |\n| --- | --- |");
    for (name, setting) in
        [("sha512crypt", "$6$saltsalt0$"), ("yescrypt", "$y$j9T$F5Jx5fExrKuPp53xLKQ.0/")]
    {
        let script = "use Time::HiRes 'time'; my ($s, $t) = @ARGV; my $e = time + $t; my $n = 0; \
                      while (time < $e) { crypt('right-password-0', $s); $n++ } print $n";
        let seconds = measured.as_secs_f64();
        let loops: Vec<_> = (0..cores)
            .map(|_| {
                Command::new(Path::new("/usr/bin/perl"))
                    .args(["-e", script, setting, &seconds.to_string()])
                    .stdout(Stdio::piped())
                    .spawn()
                    .expect("perl runs")
            })
            .collect();
        let calls: f64 = loops
            .into_iter()
            .filter_map(|child| child.wait_with_output().ok())
            .filter_map(|output| String::from_utf8(output.stdout).ok()?.parse::<f64>().ok())
            .sum();
        println!("| {name} | {:.1} |", calls / seconds);
    }
    println!();
}
