//! The checker as a process of its own, confined, with this test as its parent and its listener.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use accounts::{AccountName, Kind, NewAccount, Restrictions, Secrets, Store, StoredHash, UnixTime};
use ipc::allow::Gate;
use ipc::config::*;
use ipc::control::{self, FromChild, ToChecker};
use ipc::exchange::{Begin, Find, LastWords, Offer, Reply, Respond, Search, Transport};
use ipc::requests::{Answers, FromChecker, Outgoing, Peer, Source, Verify};
use ipc::status::Confinement;
use protocol::mechanism::Mechanism;
use protocol::{Answer, Name, Password};
use sys::channel::{self, Kind as Pair};

struct Running {
    child: Child,
    parent: OwnedFd,
    gate: Gate,
    log: std::thread::JoinHandle<String>,
}

fn rate(burst: u32) -> Rate {
    Rate { burst, count: 1, seconds: 1 }
}

fn config(database: &std::path::Path) -> Checker {
    let path = database.to_str().unwrap().into();
    Checker {
        backends: vec![Backend { name: "db".into(), kind: BackendKind::Sqlite { path } }],
        realms: Vec::new(),
        chain: vec![0],
        mapping: Mapping {
            rule: MappingRule::Cyrus,
            one_name: MappingRule::Cyrus,
            default_realm: String::new(),
        },
        names: Names::Precis,
        hashing: Hashing {
            threads: 2,
            memory_kib: 65_536,
            wait_ms: 60_000,
            max_memory_kib: 65_536,
            max_ms: 5000,
            weak: vec!["plain".into()],
            truncate: false,
            argon2_memory_kib: 8192,
            argon2_passes: 1,
            upgrade: true,
        },
        limits: Limits {
            on: true,
            pair: rate(5),
            source: rate(20),
            source_day: rate(150),
            network: rate(60),
            network_wide: rate(180),
            user: rate(10),
            user_day: rate(100),
            known_good: rate(10),
            peer: rate(1000),
            repeats: rate(60),
            hashing_percent: 70,
            known_good_days: 30,
            entries: 1024,
        },
        cache: Cache { mode: CacheMode::Costly, seconds: 60, entries: 100 },
        log: Log { to: LogTo::Stderr, level: Level::Info, cyrus_lines: false, pid: 1 },
        sasl: Sasl::default(),
        operator_uids: Vec::new(),
    }
}

fn database(directory: &tempfile::TempDir) -> std::path::PathBuf {
    let path = directory.path().join("accounts.sqlite");
    let account = NewAccount {
        name: AccountName::new("alice", "").unwrap(),
        kind: Kind::Person,
        secrets: Secrets::of(StoredHash::new("{PLAIN}pencil").unwrap()),
        expires: None,
        restrictions: Restrictions::default(),
    };
    Store::open(&path).unwrap().add(&account, UnixTime(1)).unwrap();
    path
}

impl Running {
    /// Starts the program with its channel at descriptor 3, as the parent does.
    fn start() -> Self {
        let (parent, theirs) = channel::pair(Pair::Packets).unwrap();
        let mut child = Command::new("/bin/sh")
            .args(["-c", "exec \"$0\" 3<&0 </dev/null", env!("CARGO_BIN_EXE_saslauthd-checker")])
            .stdin(Stdio::from(theirs))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        Self { child, parent, gate: control::gate::<FromChild>(), log }
    }

    fn tell(&self, message: &ToChecker, descriptors: &[&OwnedFd]) {
        let packet = control::encode(message).unwrap();
        let descriptors: Vec<_> = descriptors.iter().map(|fd| fd.as_fd()).collect();
        channel::send_with_fds(&self.parent, &packet, &descriptors).unwrap();
    }

    fn hear(&mut self) -> FromChild {
        let mut packet = vec![0; control::MAX_PACKET];
        let length = channel::receive_plain(&self.parent, &mut packet).unwrap();
        control::decode(&packet[..length], &mut self.gate).unwrap()
    }

    fn configure(&mut self, config: &Checker) -> Confinement {
        let table = sys::shared::SharedTable::create(config.limits.table_words()).unwrap();
        self.tell(&ToChecker::Configure(config.clone()), &[&table]);
        match self.hear() {
            FromChild::Ready(confinement) => confinement,
            other => panic!("{other:?}"),
        }
    }

    fn listener(&self) -> UnixStream {
        let (ours, theirs) = channel::pair(Pair::Stream).unwrap();
        self.tell(&ToChecker::Listener, &[&theirs]);
        ours.into()
    }

    /// Ends the channel to it, which ends it, and gives its exit and what it wrote.
    fn end(self) -> (bool, String) {
        let Self { mut child, parent, log, .. } = self;
        drop(parent);
        (child.wait().unwrap().success(), log.join().unwrap())
    }
}

fn request(id: u64, login: &str, password: &str) -> Verify {
    Verify {
        id,
        socket: 0,
        peer: Peer { pid: 1, uid: 101, gid: 101 },
        source: Source::Absent,
        login: Name::new(login.as_bytes()).unwrap(),
        password: Password::new(password.as_bytes()).unwrap(),
        service: Name::new(b"smtp").unwrap(),
        realm: Name::new(b"").unwrap(),
    }
}

fn answers(stream: &mut UnixStream, count: usize) -> BTreeMap<u64, Answer> {
    let (mut bytes, mut decoder, mut got) = (Vec::new(), Answers::default(), BTreeMap::new());
    let mut chunk = [0; 65536];
    while got.len() < count {
        let length = stream.read(&mut chunk).unwrap();
        assert!(length > 0, "the checker closed the channel");
        bytes.extend_from_slice(&chunk[..length]);
        let mut used = 0;
        while let Some((message, length)) = decoder.next(&bytes[used..]).unwrap() {
            used += length;
            // What may be offered is said first on each channel.
            let FromChecker::Answered(answered) = message else { continue };
            assert!(got.insert(answered.id, answered.answer).is_none());
        }
        bytes.drain(..used);
    }
    got
}

fn ask(stream: &mut UnixStream, login: &str, password: &str) -> Answer {
    let mut outgoing = Outgoing::default();
    outgoing.verify(&request(1, login, password));
    stream.write_all(outgoing.as_bytes()).unwrap();
    answers(stream, 1)[&1]
}

#[test]
fn it_is_confined_and_answers_thousands_in_any_split() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = Running::start();
    let confinement = running.configure(&config(&database(&directory)));
    assert_eq!(confinement.seccomp, "checker");
    assert!(!confinement.landlock.starts_with("missing"), "{}", confinement.landlock);
    let mut stream = running.listener();
    let mut outgoing = Outgoing::default();
    for id in 0..10_000 {
        outgoing.verify(&request(id, if id % 10 == 0 { "nobody" } else { "alice" }, "pencil"));
    }
    let mut writer = stream.try_clone().unwrap();
    let thread = std::thread::spawn(move || {
        for (turn, chunk) in outgoing.as_bytes().chunks(7919).enumerate() {
            let (head, tail) = chunk.split_at(chunk.len().min(turn % 97));
            writer.write_all(head).unwrap();
            writer.write_all(tail).unwrap();
        }
    });
    let answers = answers(&mut stream, 10_000);
    thread.join().unwrap();
    for (id, answer) in answers {
        assert_eq!(answer, if id % 10 == 0 { Answer::Refuse } else { Answer::Accept }, "{id}");
    }
    running.tell(&ToChecker::Ping, &[]);
    assert_eq!(running.hear(), FromChild::Alive);
    let (orderly, log) = running.end();
    assert!(orderly, "{log}");
    let lost = log.lines().find(|line| line.contains("lost"));
    assert_eq!((log.matches(" outcome=accept ").count(), lost), (9000, None));
    // The record of plain text became a hash on the way, through the pool and the writer, inside the sandbox.
    let store = Store::open(&directory.path().join("accounts.sqlite")).unwrap();
    let alice = store.show(&AccountName::new("alice", "").unwrap()).unwrap();
    assert!(alice.secrets.password().unwrap().reveal().starts_with("$argon2id$"));
}

#[test]
fn a_malformed_frame_ends_one_channel_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = Running::start();
    running.configure(&config(&database(&directory)));
    let (mut bad, mut good) = (running.listener(), running.listener());
    assert_eq!(ask(&mut bad, "alice", "pencil"), Answer::Accept);
    bad.write_all(&[3, 0, 0, 0, 200, 1, 2]).unwrap();
    assert_eq!(bad.read(&mut [0; 16]).unwrap(), 0);
    assert_eq!(ask(&mut good, "alice", "pencil"), Answer::Accept);
    let (orderly, log) = running.end();
    assert!(orderly && log.contains("its channel is closed"), "{log}");
}

/// The next message about exchanges and searches.
fn reply(stream: &mut UnixStream, decoder: &mut Answers, bytes: &mut Vec<u8>) -> Reply {
    loop {
        if let Some((message, length)) = decoder.next(bytes).unwrap() {
            bytes.drain(..length);
            match message {
                FromChecker::Reply(reply) => return reply,
                FromChecker::Answered(_) => panic!("nobody logged in"),
            }
        }
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).unwrap();
        assert!(length > 0, "the checker closed the channel");
        bytes.extend_from_slice(&chunk[..length]);
    }
}

#[test]
fn exchanges_and_searches_travel_beside_logins() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = Running::start();
    let mut config = config(&database(&directory));
    let socket = SaslSocket { offered: Offered::Auto, ..SaslSocket::default() };
    let users = SaslSocket { offered: Offered::Users, ..SaslSocket::default() };
    config.sasl.sockets = vec![users, socket];
    running.configure(&config);
    let mut stream = running.listener();
    let (mut decoder, mut bytes) = (Answers::default(), Vec::new());
    let Reply::Offers(offers) = reply(&mut stream, &mut decoder, &mut bytes) else { panic!() };
    let plain = Mechanisms::of_names(["PLAIN", "LOGIN"]).set();
    // The account has no keys yet, so that SCRAM would shut it out.
    assert_eq!(offers, [Offer::default(), Offer { tls: plain, clear: Default::default() }]);
    let peer = Peer { pid: 1, uid: 101, gid: 101 };
    let begin = |id, mechanism, initial: &[u8]| Begin {
        id,
        socket: 1,
        peer,
        source: Source::Absent,
        mechanism,
        service: Name::new(b"smtp").unwrap(),
        transport: Transport::Tls,
        certificate: None,
        can_bind: false,
        last_words: LastWords::WithOutcome,
        initial: Some(initial.to_vec().into()),
    };
    let mut outgoing = Outgoing::default();
    outgoing.begin(&begin(1, Mechanism::Plain, b"\0alice\0pencil"));
    outgoing.begin(&begin(2, Mechanism::Login, b"alice"));
    outgoing.begin(&begin(3, Mechanism::ScramSha256, b"n,,n=alice,r=x"));
    let user =
        |user: &[u8]| Search::User { user: Name::new(user).unwrap(), service: Name::default() };
    outgoing.find(&Find { id: 4, socket: 0, peer, what: user(b"alice") });
    outgoing.find(&Find {
        id: 5,
        socket: 0,
        peer,
        what: Search::List { mask: Name::new(b"*").unwrap() },
    });
    stream.write_all(outgoing.as_bytes()).unwrap();
    let mut seen = BTreeMap::new();
    while seen.len() < 5 {
        let (id, what) = match reply(&mut stream, &mut decoder, &mut bytes) {
            Reply::Challenge { id, message, .. } => {
                let mut outgoing = Outgoing::default();
                outgoing.respond(&Respond {
                    id,
                    message: b"pencil".to_vec().into(),
                    binding: None,
                });
                stream.write_all(outgoing.as_bytes()).unwrap();
                assert!((id, &**message) == (2, b"Password:"));
                continue;
            }
            Reply::Ended { id, answer, user, .. } => (id, (answer, user.into_iter().collect())),
            Reply::Found { more: true, users, .. } => {
                assert_eq!(users, [Name::new(b"alice").unwrap()]);
                continue;
            }
            Reply::Found { id, answer, users, .. } => (id, (answer, users)),
            Reply::Offers(_) => continue,
        };
        assert!(seen.insert(id, what).is_none());
    }
    let alice = vec![Name::new(b"alice").unwrap()];
    assert_eq!(seen[&1], (Answer::Accept, alice.clone()));
    assert_eq!(seen[&2], (Answer::Accept, alice.clone()));
    assert_eq!(seen[&3], (Answer::Refuse, vec![]));
    assert_eq!(seen[&4], (Answer::Accept, alice));
    assert_eq!(seen[&5], (Answer::Accept, vec![]));
    // A damaged frame of an exchange ends this channel alone.
    let mut other = running.listener();
    stream.write_all(&[2, 0, 0, 0, 3, 1]).unwrap();
    while stream.read(&mut [0; 4096]).unwrap() > 0 {}
    assert_eq!(ask(&mut other, "alice", "pencil"), Answer::Accept);
    assert!(running.end().0);
}

#[test]
fn it_stops_when_it_was_asked_to_and_the_listener_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = Running::start();
    running.configure(&config(&database(&directory)));
    let mut stream = running.listener();
    assert_eq!(ask(&mut stream, "alice", "pencil"), Answer::Accept);
    running.tell(&ToChecker::Stop, &[]);
    assert_eq!(ask(&mut stream, "alice", "pencil"), Answer::Accept, "still served");
    drop(stream);
    let mut nothing = [0; 16];
    assert_eq!(channel::receive_plain(&running.parent, &mut nothing).unwrap(), 0);
    assert!(running.child.wait().unwrap().success());
}

#[test]
fn a_task_that_cannot_be_done_is_refused_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = Running::start();
    let mut config = config(&database(&directory));
    config.chain = vec![7];
    let table = sys::shared::SharedTable::create(config.limits.table_words()).unwrap();
    running.tell(&ToChecker::Configure(config), &[&table]);
    let FromChild::Refused(why) = running.hear() else { panic!("not refused") };
    assert!(why.contains("backend 7"), "{why}");
    assert!(!running.end().0);
}

#[test]
fn a_parent_that_speaks_nonsense_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = Running::start();
    running.configure(&config(&database(&directory)));
    channel::send(&running.parent, &[77, 1, 2]).unwrap();
    assert!(!running.child.wait().unwrap().success());
}
