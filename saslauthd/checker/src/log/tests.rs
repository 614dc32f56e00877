//! What the log's readers rely on.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::net::UnixDatagram;

use credentials::Scheme;
use ipc::requests::{Peer, Source};
use protocol::{Address, Name};

use super::*;

fn settings(to: LogTo, level: Level) -> Settings {
    Settings { to, level, cyrus_lines: true, pid: 4932 }
}

fn name(bytes: &[u8]) -> Name {
    Name::new(bytes).unwrap()
}

fn event<'a>(user: &'a Name, other: &'a Name, outcome: Outcome) -> Event<'a> {
    let address = Address { ip: "192.0.2.7".parse().unwrap(), port: Some(4242) };
    Event {
        id: (0x5f, 26),
        outcome,
        user,
        realm: other,
        service: other,
        backend: Some("shadow"),
        mechanism: Some(("shadow", "shadow")),
        scheme: Some(Scheme::Yescrypt),
        cache: CacheUse::Miss,
        peer: Peer { pid: 77, uid: 101, gid: 102 },
        source: Source::Stated(address),
        throttled: None,
        micros: 41_200,
        exchanged: None,
    }
}

/// What a stderr log wrote.
fn written(log: &mut Log, file: &mut File) -> String {
    log.close();
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

fn stderr_log(level: Level) -> (Log, File) {
    let file = tempfile::tempfile().unwrap();
    let mut log = Log::new(settings(LogTo::Stderr, level)).unwrap();
    log.hand_over(file.try_clone().unwrap().into()).unwrap();
    (log, file)
}

#[test]
fn one_event_and_cyruss_line() {
    let (mut log, mut file) = stderr_log(Level::Info);
    let (user, empty) = (name(b"alice"), name(b""));
    log.login(&event(&user, &empty, Outcome::Refuse("wrong-password")));
    log.login(&event(&user, &empty, Outcome::Accept));
    let head = "saslauthd[4932]: login id=0000005f-1a";
    let tail = "user=\"alice\" realm=\"\" service=\"\" backend=shadow scheme=yescrypt cache=miss \
                peer_uid=101 peer_pid=77 rip=192.0.2.7 rip_source=stated throttled=- ms=41.200";
    assert_eq!(
        written(&mut log, &mut file),
        format!(
            "{head} outcome=refuse reason=wrong-password {tail}\n\
             saslauthd[4932]:                 : auth failure: [user=alice] [service=] [realm=] \
             [remote=192.0.2.7;4242] [mech=shadow] [reason=Incorrect password]\n\
             {head} outcome=accept reason=- {tail}\n"
        )
    );
}

#[test]
fn cyruss_success_lines_are_for_the_debug_level_and_sasldb_gives_no_reason() {
    let (mut log, mut file) = stderr_log(Level::Debug);
    let (user, empty) = (name(b"alice"), name(b""));
    let base = || Event {
        source: Source::Absent,
        mechanism: Some(("sasldb", "sasldb")),
        ..event(&user, &empty, Outcome::Accept)
    };
    log.login(&base());
    log.login(&Event { cache: CacheUse::Hit, ..base() });
    log.login(&Event { outcome: Outcome::Refuse("wrong-password"), ..base() });
    log.login(&Event { outcome: Outcome::Unavailable("backend"), ..base() });
    let text = written(&mut log, &mut file);
    let lines: Vec<&str> =
        text.lines().filter_map(|line| line.split_once(" : auth ")).map(|l| l.1).collect();
    assert_eq!(
        lines,
        [
            "success: [user=alice] [service=] [realm=] [mech=sasldb]",
            "success (cached): [user=alice] [service=] [realm=]",
            "failure: [user=alice] [service=] [realm=] [mech=sasldb] [reason=Unknown]",
        ]
    );
}

#[test]
fn d4_a_name_makes_no_line_no_field_and_no_address() {
    let hostile =
        name("a\" rip=1.2.3.4 x=\"\x1b[2J] [remote=1.2.3.4] \u{2028}\u{7f}\u{202e}".as_bytes());
    let (mut log, mut file) = stderr_log(Level::Info);
    log.login(&event(&hostile, &hostile, Outcome::Refuse("unknown-user")));
    let text = written(&mut log, &mut file);
    assert_eq!(text.lines().count(), 2);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    let first = text.lines().next().unwrap();
    assert_eq!(first.matches('"').count(), 6, "three fields in quotes and no more");
    assert_eq!(text.lines().nth(1).unwrap().matches("[remote=").count(), 1);
    let after = first.rsplit_once('"').unwrap().1;
    assert!(after.contains(" rip=192.0.2.7 rip_source=stated "), "{after}");
}

#[test]
fn a_level_above_info_logs_no_request() {
    let (mut log, mut file) = stderr_log(Level::Warning);
    let user = name(b"alice");
    log.login(&event(&user, &user, Outcome::Refuse("unknown-user")));
    log.say(Level::Info, format_args!("no"));
    log.say(Level::Warning, format_args!("yes"));
    assert_eq!(written(&mut log, &mut file), "saslauthd[4932]: yes\n");
}

fn datagrams(to: LogTo) -> (Log, UnixDatagram) {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut log = Log::new(settings(to, Level::Info)).unwrap();
    log.hand_over(ours.into()).unwrap();
    (log, theirs)
}

fn receive(socket: &UnixDatagram) -> Option<String> {
    let mut buffer = [0; 4096];
    let count = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8(buffer[..count].to_vec()).unwrap())
}

#[test]
fn syslog_lines_are_those_of_syslog_3() {
    let (mut log, theirs) = datagrams(LogTo::Syslog);
    log.say(Level::Error, format_args!("broken"));
    log.say(Level::Info, format_args!("started"));
    assert!(!log.flush());
    let first = receive(&theirs).unwrap();
    assert!(first.starts_with("<35>"), "{first}");
    assert_eq!(&first[4 + 15..], " saslauthd[4932]: broken");
    assert!(receive(&theirs).unwrap().starts_with("<38>"));
    assert_eq!(receive(&theirs), None);
}

#[test]
fn the_journal_gets_fields() {
    let (mut log, theirs) = datagrams(LogTo::Journal);
    let user = name(b"al ice");
    log.login(&event(&user, &user, Outcome::Accept));
    log.flush();
    let entry = receive(&theirs).unwrap();
    for line in [
        "PRIORITY=6",
        "SYSLOG_FACILITY=4",
        "SYSLOG_IDENTIFIER=saslauthd",
        "SYSLOG_PID=4932",
        "SASLAUTHD_OUTCOME=accept",
        "SASLAUTHD_USER=\"al ice\"",
        "SASLAUTHD_RIP=192.0.2.7",
    ] {
        assert!(entry.lines().any(|got| got == line), "{line} in {entry}");
    }
    assert!(entry.lines().all(|line| line.contains('=')) && entry.ends_with('\n'));
}

#[test]
fn a_dead_socket_is_asked_for_once_and_losses_are_told() {
    let (mut log, theirs) = datagrams(LogTo::Syslog);
    drop(theirs);
    let say = |log: &mut Log, text: &str| {
        log.say(Level::Warning, format_args!("{text}"));
        log.flush()
    };
    assert!(say(&mut log, "one"), "asks for another");
    assert!(!say(&mut log, "two"), "and only once");
    assert_eq!(log.lost(), 2);
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    log.hand_over(ours.into()).unwrap();
    log.flush();
    assert!(receive(&theirs).unwrap().ends_with("the log was away or full: 2 lines were lost"));
    drop(theirs);
    assert!(say(&mut log, "three"), "and once more for the next");
}

#[test]
fn a_full_socket_gets_its_lines_later_and_in_order() {
    let (mut log, theirs) = datagrams(LogTo::Syslog);
    theirs.set_nonblocking(false).unwrap();
    for number in 0..20_000 {
        log.say(Level::Info, format_args!("line {number}"));
    }
    assert!(!log.flush(), "full is not gone");
    for number in 0..20_000 {
        let line = receive(&theirs).unwrap();
        assert!(line.ends_with(&format!(": line {number}")), "{line} instead of {number}");
    }
    assert_eq!(log.lost(), 0);
}

#[test]
fn a_socket_that_stays_full_loses_what_is_too_much_and_is_kept() {
    let (mut log, theirs) = datagrams(LogTo::Syslog);
    theirs.set_nonblocking(false).unwrap();
    for turn in 0..40 {
        (0..10_000).for_each(|number| log.say(Level::Info, format_args!("line {turn} {number}")));
        assert!(!log.flush(), "full is not gone");
    }
    assert!(log.lost() > 0);
    while !receive(&theirs).unwrap().contains("line 0 9999") {}
    // The next turn that gets through tells what was lost.
    let reader =
        std::thread::spawn(
            move || while !receive(&theirs).unwrap().ends_with(" lines were lost") {},
        );
    while !reader.is_finished() {
        log.say(Level::Info, format_args!("again"));
        log.close();
    }
    reader.join().unwrap();
}
