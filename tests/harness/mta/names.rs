//! A name server by script: it tells what a zone says, refuses to, or says nothing.
//!
//! Runs in the test process, one thread; it ends with the test. UDP alone: answers are short.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often is looked whether the test is over.
const LOOK: Duration = Duration::from_millis(50);

/// A running name server.
#[derive(Debug)]
pub struct Names {
    address: SocketAddr,
    zone: Arc<Mutex<Vec<Entry>>>,
    ends: Arc<AtomicBool>,
}

/// A name, a type and data.
type Entry = (String, String, String);

impl Names {
    /// Listens on a free port of this address. Lines are a name (`*.x.test` for all below), a type and data:
    /// `x.test MX 10 mx.x.test`, `mx.x.test A 192.0.2.1`, `alias.test CNAME x.test`. `FAIL` is SERVFAIL for all of a
    /// name, `SILENT` no answer; a name that stands in no line does not exist.
    pub fn listen(address: IpAddr, zone: &[&str]) -> io::Result<Self> {
        Self::listen_at((address, 0).into(), zone)
    }

    /// The same on this port: of a name server that was stopped, say.
    pub fn listen_at(address: SocketAddr, zone: &[&str]) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_read_timeout(Some(LOOK))?;
        let ends = Arc::new(AtomicBool::new(false));
        let zone = Arc::new(Mutex::new(read(zone)));
        let names = Self { address: socket.local_addr()?, zone: zone.clone(), ends: ends.clone() };
        std::thread::spawn(move || {
            let mut packet = [0; 2048];
            while !ends.load(Ordering::SeqCst) {
                let Ok((length, client)) = socket.recv_from(&mut packet) else { continue };
                let query = packet.get(..length).unwrap_or_default();
                let zone = zone.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(reply) = reply(&zone, query) {
                    let _ = socket.send_to(&reply, client);
                }
            }
        });
        Ok(names)
    }

    /// Where it is asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells this from now on.
    pub fn tell(&self, zone: &[&str]) {
        *self.zone.lock().unwrap_or_else(PoisonError::into_inner) = read(zone);
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
    }
}

fn read(zone: &[&str]) -> Vec<Entry> {
    let entry = |line: &&str| {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        (next(), next(), next())
    };
    zone.iter().map(entry).collect()
}

fn is_for(entry: &Entry, name: &str) -> bool {
    match entry.0.strip_prefix('*') {
        Some(parent) => name.ends_with(parent),
        None => entry.0 == name,
    }
}

/// `None`: no answer.
fn reply(zone: &[Entry], query: &[u8]) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut labels = Vec::new();
    while let Some(length @ 1..) = query.get(at).copied().map(usize::from) {
        labels.push(String::from_utf8_lossy(query.get(at + 1..=at + length)?).to_lowercase());
        at += 1 + length;
    }
    let question = query.get(12..at + 5)?;
    let kind = match query.get(at + 1..at + 3)? {
        [0, 1] => "A",
        [0, 15] => "MX",
        [0, 28] => "AAAA",
        _ => "other",
    };
    let name = labels.join(".");
    let known: Vec<&Entry> = zone.iter().filter(|entry| is_for(entry, &name)).collect();
    let says = |word: &str| known.iter().any(|(_, kind, _)| kind == word);
    if says("SILENT") {
        return None;
    }
    let rcode = match known.is_empty() {
        true => 3,
        false if says("FAIL") => 2,
        false => 0,
    };
    let told: Vec<(u8, Vec<u8>)> = known
        .iter()
        .filter(|(_, known, _)| known == kind || known == "CNAME")
        .filter_map(|(_, kind, data)| record(kind, data))
        .collect();
    let mut out = query.get(..2)?.to_vec();
    out.extend([0x85, 0x80 | rcode, 0, 1, 0, u8::try_from(told.len()).ok()?, 0, 0, 0, 0]);
    out.extend(question);
    for (kind, data) in told {
        // The name of the question, the type, the class, and a time of no use to a cache.
        out.extend([0xC0, 12, 0, kind, 0, 1, 0, 0, 0, 0]);
        out.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        out.extend(data);
    }
    Some(out)
}

fn record(kind: &str, data: &str) -> Option<(u8, Vec<u8>)> {
    match kind {
        "A" => Some((1, data.parse::<std::net::Ipv4Addr>().ok()?.octets().to_vec())),
        "AAAA" => Some((28, data.parse::<std::net::Ipv6Addr>().ok()?.octets().to_vec())),
        "CNAME" => Some((5, labels(data)?)),
        "MX" => {
            let (preference, host) = data.split_once(' ')?;
            let mut bytes = preference.parse::<u16>().ok()?.to_be_bytes().to_vec();
            bytes.extend(labels(host)?);
            Some((15, bytes))
        }
        _ => None,
    }
}

fn labels(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).ok()?);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    Some(bytes)
}
