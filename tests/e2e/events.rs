//! What the daemon wrote about logins, read as a log reader would, and questions in bulk.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use harness::probe::{ask_mux, counted};
use harness::{PATIENCE, Probe, wait_until};

use crate::house::House;

/// The fields of an event, in their order.
const FIELDS: [&str; 15] = [
    "id",
    "outcome",
    "reason",
    "user",
    "realm",
    "service",
    "backend",
    "scheme",
    "cache",
    "peer_uid",
    "peer_pid",
    "rip",
    "rip_source",
    "throttled",
    "ms",
];

/// One event by its fields; what stood in quotes without them.
#[derive(Clone, Debug)]
pub(crate) struct Event(HashMap<&'static str, String>);

impl Event {
    /// Reads a line that has an event; panics for one that isn't exactly as it should be.
    fn read(line: &str) -> Option<Self> {
        let (_, mut rest) = line.split_once("]: login ")?;
        let mut fields = HashMap::new();
        for field in FIELDS {
            let value = rest.strip_prefix(field).and_then(|rest| rest.strip_prefix('='));
            let value = value.unwrap_or_else(|| panic!("no {field} where it belongs: {line}"));
            let (value, after) = match value.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').expect("a closing quote"),
                None => value.split_at(value.find(' ').unwrap_or(value.len())),
            };
            fields.insert(field, value.to_owned());
            rest = after.strip_prefix(' ').unwrap_or(after);
        }
        assert_eq!(rest, "", "more than an event: {line}");
        Some(Self(fields))
    }

    /// A field.
    pub(crate) fn get(&self, field: &str) -> &str {
        self.0.get(field).unwrap_or_else(|| panic!("no field {field}"))
    }

    /// User and realm.
    pub(crate) fn identity(&self) -> [&str; 2] {
        [self.get("user"), self.get("realm")]
    }
}

/// All events of a log, oldest first.
pub(crate) fn events(log: &str) -> Vec<Event> {
    log.lines().filter_map(Event::read).collect()
}

/// Follows the events of one house.
#[derive(Debug, Default)]
pub(crate) struct Ear(usize);

impl Ear {
    /// One that hears what comes from now on.
    pub(crate) fn at(house: &House) -> Self {
        // The loop writes its events at the end of a turn, which may be that of the first answer here.
        house.figure("/logins/accepted");
        house.figure("/logins/accepted");
        Self(events(&house.daemon.log()).len())
    }

    /// The next event, which is waited for.
    pub(crate) fn next(&mut self, house: &House) -> Event {
        let mut found = None;
        wait_until(|| {
            found = events(&house.daemon.log()).into_iter().nth(self.0);
            found.is_some()
        });
        self.0 += 1;
        found.unwrap_or_else(|| panic!("no event {}:\n{}", self.0, house.daemon.log()))
    }

    /// The next `count` events.
    pub(crate) fn several(&mut self, house: &House, count: usize) -> Vec<Event> {
        wait_until(|| events(&house.daemon.log()).len() >= self.0 + count);
        let all: Vec<Event> =
            events(&house.daemon.log()).into_iter().skip(self.0).take(count).collect();
        assert_eq!(all.len(), count, "events that never came");
        self.0 += count;
        all
    }
}

/// One login: four fields, any bytes.
#[derive(Clone, Debug)]
pub(crate) struct Try {
    pub(crate) login: Vec<u8>,
    pub(crate) password: Vec<u8>,
    pub(crate) service: Vec<u8>,
    pub(crate) realm: Vec<u8>,
}

impl Try {
    /// For smtp, without a realm.
    pub(crate) fn new(login: impl AsRef<[u8]>, password: impl AsRef<[u8]>) -> Self {
        Self {
            login: login.as_ref().to_vec(),
            password: password.as_ref().to_vec(),
            service: b"smtp".to_vec(),
            realm: Vec::new(),
        }
    }

    /// The same in a realm.
    pub(crate) fn realm(mut self, realm: impl AsRef<[u8]>) -> Self {
        self.realm = realm.as_ref().to_vec();
        self
    }

    /// The same for another service.
    pub(crate) fn service(mut self, service: impl AsRef<[u8]>) -> Self {
        self.service = service.as_ref().to_vec();
        self
    }

    /// Asks at a mux socket.
    pub(crate) fn ask(&self, mux: &Path) -> String {
        ask_mux(mux, &self.login, &self.password, &self.service, &self.realm)
    }

    /// Asks as a mail server that states the address of its client.
    pub(crate) fn ask_from(&self, mux: &Path, address: &str) -> String {
        let fields: [&[u8]; 5] =
            [&self.login, &self.password, &self.service, &self.realm, address.as_bytes()];
        let mut probe = Probe::connect(mux).expect("a connection");
        probe.send(&counted(&fields)).expect("room for a request");
        probe.hear(PATIENCE).expect("a conversation").mux()
    }
}

/// Asks all, some at a time; the replies in the order of the questions.
pub(crate) fn ask_all(mux: &Path, tries: &[Try]) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let replies = Mutex::new(vec![String::new(); tries.len()]);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = tries.get(at) else { break };
                    let reply = one.ask(mux);
                    replies.lock().unwrap()[at] = reply;
                }
            });
        }
    });
    replies.into_inner().unwrap()
}
