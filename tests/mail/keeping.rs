//! J5 to J7: what is kept while files are damaged, clocks jump, and a second server wants the same spool.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use harness::mta::sink::{Act, Manner, Sink};
use harness::mta::{House, Place, Plan, ready, transact};
use nix::sys::signal::Signal;

/// A plan whose next hop is at this port, and waits that a test can wait for.
fn plan(place: &Place, port: u16) -> Plan {
    let to: SocketAddr = (place.address(), port).into();
    Plan::new()
        .map("Connect:127\tRELAY")
        .everything_to(to)
        .sections("[delivery]\nretry = [\"200ms\"]\n")
}

fn away(place: &Place) -> Sink {
    let busy = Manner::smtp().script(|_| Act::SayAndClose(b"421 4.3.2 later\r\n".to_vec()));
    Sink::listen(place.address(), 0, busy).unwrap()
}

/// The next hop is back.
fn back(house: &House, away: Sink) -> Sink {
    let port = away.port();
    away.stop();
    let mut sink = None;
    assert!(harness::wait_until(|| {
        sink = Sink::listen(house.address(), port, Manner::smtp()).ok();
        sink.is_some()
    }));
    sink.unwrap()
}

fn send(house: &House, number: usize) {
    let (mut client, _) = house.visit(house.relay()).unwrap();
    let text = format!("Subject: number {number}.\r\n\r\n{}end {number}.\r\n", "x\r\n".repeat(40));
    let replies = transact(&mut client, "bob@here.example", &["ann@next.example"], &text).unwrap();
    assert_eq!(replies.last().unwrap().code(), 250, "{replies:?}");
}

/// The messages in the queue, those that came first first.
fn queued(house: &House) -> Vec<PathBuf> {
    let entries = fs::read_dir(house.spool().join("queue")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_none());
    files.sort();
    files
}

fn number_of(text: &str) -> Option<usize> {
    let (_, rest) = text.split_once("Subject: number ")?;
    rest.split_once('.')?.0.parse().ok()
}

#[test]
fn j5_what_is_damaged_is_put_aside_and_never_sent() {
    const MESSAGES: usize = 60;
    if !ready() {
        return;
    }
    let place = Place::take().unwrap();
    let sink = away(&place);
    let mut house = plan(&place, sink.port()).start_at(place).unwrap();
    (0..MESSAGES).for_each(|number| send(&house, number));
    assert!(harness::wait_until(|| queued(&house).len() == MESSAGES), "{}", house.log());
    assert!(house.end_mta(Signal::SIGTERM));
    let files = queued(&house);
    // Every third as it was, every third cut, every third with a bit that is another; all along the file.
    let mut damaged = Vec::new();
    for (at, path) in files.iter().enumerate() {
        let mut bytes = fs::read(path).unwrap();
        let place = bytes.len() * at / MESSAGES;
        match at % 3 {
            0 => continue,
            1 => bytes.truncate(place),
            _ => bytes[place] ^= 1 << (at % 8),
        }
        // In place: it keeps its owner.
        fs::write(path, &bytes).unwrap();
        damaged.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    // And what is no message at all.
    fs::write(house.spool().join("queue/core"), "x").unwrap();
    let sink = back(&house, sink);
    house.start_mta().unwrap();
    assert!(harness::wait_until(|| queued(&house).len() == 1), "{}", house.log());
    let whole = MESSAGES - damaged.len();
    let messages = sink.await_messages(whole);
    assert_eq!(messages.len(), whole, "{}", house.log());
    for message in &messages {
        let number = number_of(&message.text()).unwrap();
        let text = message.text();
        assert!(text.trim_end().ends_with(&format!("x\r\nend {number}.")), "{text}");
    }
    let mut aside: Vec<String> = fs::read_dir(house.spool().join("corrupt"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| !name.contains('.'))
        .collect();
    aside.sort();
    assert_eq!(aside, damaged);
    for name in &damaged {
        assert!(house.logged(&[name, "damaged", "corrupt/"]), "{name}: {}", house.log());
    }
    // Nobody is told that mail came back: nobody knows whose it was.
    assert!(house.mailbox("bob@here.example").is_empty());
}

/// The clock of everything inside the house, so many seconds before or behind the true one.
struct Clock(PathBuf);

impl Clock {
    /// Moves wall clocks of programs that are started from now on; others, of waits, stay true.
    const LIBRARY: &str = r#"
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <fcntl.h>
        #include <sys/mman.h>
        #include <sys/time.h>
        #include <time.h>
        #include <unistd.h>
        static volatile long *offset;
        static int (*true_clock)(clockid_t, struct timespec *);
        static void begin(void) {
            if (!true_clock)
                *(void **)&true_clock = dlsym(RTLD_NEXT, "clock_gettime");
        }
        __attribute__((constructor)) static void open_offset(void) {
            int fd = open("/run/clock", O_RDONLY | O_CLOEXEC);
            begin();
            if (fd < 0)
                return;
            void *page = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, fd, 0);
            close(fd);
            offset = page == MAP_FAILED ? 0 : page;
        }
        int clock_gettime(clockid_t clock, struct timespec *now) {
            begin();
            int done = true_clock(clock, now);
            if (!done && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
                now->tv_sec += *offset;
            return done;
        }
        time_t time(time_t *out) {
            struct timespec now;
            clock_gettime(CLOCK_REALTIME, &now);
            if (out)
                *out = now.tv_sec;
            return now.tv_sec;
        }
        int gettimeofday(struct timeval *restrict now, void *restrict zone) {
            struct timespec precise;
            clock_gettime(CLOCK_REALTIME, &precise);
            now->tv_sec = precise.tv_sec;
            now->tv_usec = precise.tv_nsec / 1000;
            return 0;
        }
    "#;

    fn install(house: &House) -> Self {
        let root = house.sandbox().path();
        let (source, library) = (root.join("tmp/clock.c"), root.join("lib/clock.so"));
        fs::write(&source, Self::LIBRARY).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-w", "-o"]).arg(&library).arg(&source);
        let made = compiler.output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let clock = Self(root.join("run/clock"));
        fs::write(&clock.0, 0i64.to_ne_bytes()).unwrap();
        fs::write(root.join("etc/ld.so.preload"), "/var/lib/clock.so\n").unwrap();
        clock
    }

    /// Moves them, those of running programs too.
    fn jump(&self, seconds: i64) {
        use std::os::unix::fs::FileExt;
        let file = fs::OpenOptions::new().write(true).open(&self.0).unwrap();
        file.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }
}

#[test]
fn j6_a_clock_that_jumps_sends_no_mail_back_and_stops_none() {
    const MESSAGES: usize = 10;
    const DAY: i64 = 86_400;
    const DECADE: i64 = 3653 * DAY;
    if !ready() || !harness::require("cc", "gcc") {
        return;
    }
    let place = Place::take().unwrap();
    let sink = away(&place);
    let mut house = plan(&place, sink.port()).start_at(place).unwrap();
    assert!(house.end_mta(Signal::SIGTERM));
    let clock = Clock::install(&house);
    house.start_mta().unwrap();
    (0..MESSAGES).for_each(|number| send(&house, number));
    let tries = || sink.wire().iter().filter(|line| *line == "<connect>").count();
    let goes_on = |house: &House, when: &str| {
        let before = tries();
        assert!(harness::wait_until(|| tries() >= before + 3), "{when}: {}", house.log());
        let mail = house.mailbox("bob@here.example");
        assert!(mail.is_empty() && house.kept() == MESSAGES, "{when}: {mail:?} {}", house.log());
    };
    goes_on(&house, "at first");
    for (number, offset) in [-DAY, DECADE, 0, DECADE, -DAY].into_iter().enumerate() {
        clock.jump(offset);
        goes_on(&house, &format!("at {offset}"));
        if number < 3 {
            continue;
        }
        // What was written by one clock is read by another.
        assert!(house.end_mta(Signal::SIGTERM));
        clock.jump(-offset);
        house.start_mta().unwrap();
        goes_on(&house, &format!("started at {}", -offset));
    }
    // Files that come from the future are nothing else than others.
    assert!(house.end_mta(Signal::SIGTERM));
    clock.jump(0);
    let future = SystemTime::now() + Duration::from_secs(DECADE.unsigned_abs());
    for path in queued(&house) {
        fs::File::options().write(true).open(path).unwrap().set_modified(future).unwrap();
    }
    house.start_mta().unwrap();
    goes_on(&house, "files of the future");
    let log = house.log();
    let year = |text: &str| log.contains(text);
    assert!(!year("could not be delivered") && !year("takes longer"), "{log}");
    clock.jump(DECADE);
    let sink = back(&house, sink);
    let mut numbers: Vec<usize> =
        sink.await_messages(MESSAGES).iter().filter_map(|it| number_of(&it.text())).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..MESSAGES).collect::<Vec<_>>(), "{}", house.log());
    // It was that clock: what is written today has its date.
    send(&house, MESSAGES);
    let last = sink.await_messages(MESSAGES + 1).last().unwrap().text();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let year = 1970 + (now + DECADE.unsigned_abs()) / 31_556_952;
    assert!(last.contains(&format!(" {year} ")), "{year}: {last}");
}

#[test]
fn j7_a_second_server_on_a_spool_says_who_has_it_and_touches_nothing() {
    if !ready() {
        return;
    }
    let place = Place::take().unwrap();
    let sink = Sink::listen(place.address(), 0, Manner::smtp()).unwrap();
    let house = plan(&place, sink.port()).start_at(place).unwrap();
    let config = house.config().unwrap().replace(":2525", ":3525").replace(":2587", ":3587");
    let config = config.replace(":2465", ":3465");
    let other = config.replace("spool = ", "run_dir = \"/run/mta2\"\nspool = ");
    fs::write(house.sandbox().path().join("etc/mta2.toml"), other).unwrap();
    let first = house.processes("mta");
    // A message on its way in, which a second receiver would take for one that nobody finishes.
    let (mut client, _) = house.visit(house.relay()).unwrap();
    for line in ["MAIL FROM:<joe@example.org>", "RCPT TO:<ann@next.example>", "DATA"] {
        assert!(client.say(line).unwrap().code() < 400);
    }
    client.send("Subject: half\r\n\r\n".as_bytes()).unwrap();
    client.send("0123456789\r\n".repeat(40_000).as_bytes()).unwrap();
    let drafts = || fs::read_dir(house.spool().join("incoming")).unwrap().count();
    assert!(harness::wait_until(|| drafts() == 1));
    for _ in 0..3 {
        let program = harness::subject::built("mta");
        let ran = house.sandbox().run(program, ["--foreground", "--config", "/etc/mta2.toml"]);
        let ran = ran.unwrap();
        assert_eq!(ran.code, Some(75), "{} {}", ran.out(), ran.err());
        let who = format!("/var/lib/mta: the mta with process id {} has this spool", first[0]);
        assert!(ran.err().contains(&who), "{who}: {}", ran.err());
    }
    assert_eq!(drafts(), 1);
    assert_eq!(client.say(".").unwrap().code(), 250);
    assert_eq!(sink.await_messages(1).len(), 1);
    assert_eq!(house.processes("mta"), first);
}
