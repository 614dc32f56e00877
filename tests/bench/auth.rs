//! The load on an auth socket: clients that keep their connection and log in on it one after another.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;

use crate::accounts::{password, user};
use crate::load::{self, Figures};
use crate::scram::{Exchange, Salted};

/// What is said to a server that is told of TLS and an address; `nologin` spares it to keep the outcome.
const FIELDS: &str = "service=smtp\tnologin\tfinal-resp-ok\tsecured\tlip=192.0.2.1\trip=192.0.2.7";

/// How a client logs in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Plain,
    ScramSha256,
}

/// Logs the first `accounts` users in over `clients` connections.
pub(crate) fn run(
    socket: &Path,
    mechanism: Mechanism,
    accounts: usize,
    clients: usize,
    warm_up: Duration,
    measured: Duration,
) -> Figures {
    let socket = socket.to_path_buf();
    let salted = Salted::default();
    let client = move |number: usize| {
        let mut connection = Connection::open(&socket);
        let salted = Salted::clone(&salted);
        let mut next = number * 7;
        move || {
            let account = next % accounts;
            next += 1;
            let connection = connection.as_mut()?;
            match mechanism {
                Mechanism::Plain => connection.plain(account),
                Mechanism::ScramSha256 => connection.scram(account, &salted),
            }
        }
    };
    load::drive(client, clients, warm_up, measured)
}

struct Connection {
    stream: BufReader<UnixStream>,
    line: String,
    id: u32,
}

impl Connection {
    fn open(socket: &Path) -> Option<Self> {
        // Dovecot wants each connection to say another process.
        static PROCESS: AtomicU32 = AtomicU32::new(1_000_000);
        let mut stream = UnixStream::connect(socket).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        let process = PROCESS.fetch_add(1, Ordering::Relaxed);
        stream.write_all(format!("VERSION\t1\t2\nCPID\t{process}\n").as_bytes()).ok()?;
        let mut connection = Self { stream: BufReader::new(stream), line: String::new(), id: 0 };
        while connection.hear()? != "DONE" {}
        Some(connection)
    }

    fn say(&mut self, line: &str) -> Option<()> {
        self.stream.get_mut().write_all(line.as_bytes()).ok()
    }

    fn hear(&mut self) -> Option<&str> {
        self.line.clear();
        if self.stream.read_line(&mut self.line).ok()? == 0 {
            return None;
        }
        Some(self.line.trim_end_matches('\n'))
    }

    fn plain(&mut self, account: usize) -> Option<bool> {
        self.id += 1;
        let (id, user) = (self.id, user(account));
        let response = BASE64.encode(format!("\0{user}\0{}", password(account)));
        self.say(&format!("AUTH\t{id}\tPLAIN\t{FIELDS}\tresp={response}\n"))?;
        Some(is_ok(self.hear()?, id, &user))
    }

    /// The client's proof is checked by the server, and the server's by the client.
    fn scram(&mut self, account: usize, salted: &Salted) -> Option<bool> {
        self.id += 1;
        let (id, user) = (self.id, user(account));
        let exchange =
            Exchange::new(&user, &password(account), format!("nonce-of-the-bench-{id}"), salted);
        let first = BASE64.encode(exchange.first());
        self.say(&format!("AUTH\t{id}\tSCRAM-SHA-256\t{FIELDS}\tresp={first}\n"))?;
        let challenge = self.hear()?.strip_prefix(&format!("CONT\t{id}\t")).map(decode);
        let Some(challenge) = challenge else { return Some(false) };
        let Some((last, end)) = exchange.last(&challenge?) else { return Some(false) };
        self.say(&format!("CONT\t{id}\t{}\n", BASE64.encode(last)))?;
        let line = self.hear()?;
        let said = line.split('\t').find_map(|field| field.strip_prefix("resp=")).map(decode);
        Some(is_ok(line, id, &user) && said == Some(Some(end)))
    }
}

fn is_ok(line: &str, id: u32, user: &str) -> bool {
    let rest = line.strip_prefix(&format!("OK\t{id}\tuser={user}"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('\t'))
}

fn decode(text: &str) -> Option<String> {
    String::from_utf8(BASE64.decode(text).ok()?).ok()
}
