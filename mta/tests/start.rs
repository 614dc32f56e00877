//! J8: a server whose queue is long serves at once all the same, and knows all of it soon.
//!
//! `MESSAGES=200000 cargo test --release -p mta --test start -- --nocapture` prints the figure for the whole; a tenth of
//! that is enough to see a start that grows with the square of what is there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mta::spool::envelope::{Addressee, Envelope, Origin};
use mta::spool::id::Id;
use mta::spool::record;
use mta::spool::state::State;
use protocol::queue::Request;
use smtp::address::Sender;
use smtp::command::{Command as Smtp, MailParameters};

/// As many as a build with all its checks writes in a few seconds.
const MESSAGES: u64 = 20_000;
/// The bar for ten times as many.
const LIMIT: Duration = Duration::from_secs(10);
/// Whoever runs as root runs it as nobody.
const NOBODY: u32 = 65_534;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Messages that were tried once, and are not due for an hour.
fn fill(queue: &Path, messages: u64) {
    let Ok(Smtp::Rcpt(recipient, parameters)) = Smtp::parse(b"RCPT TO:<ann@next.example>") else {
        panic!("no recipient");
    };
    for number in 0..messages {
        let id = Id::parse(format!("{number:016}").as_bytes()).unwrap();
        let addressee = Addressee { recipient: recipient.clone(), parameters: parameters.clone() };
        let envelope = Envelope {
            id,
            arrived: now(),
            sender: Sender::Null,
            parameters: MailParameters::default(),
            recipients: vec![addressee],
            origin: Origin::Received {
                client: SocketAddr::from(([127, 0, 0, 1], 4242)),
                name: "localhost".into(),
                helo: "client.example".into(),
                with: "ESMTP".into(),
                user: None,
                held: None,
            },
        };
        let state = State { attempts: 1, next: now() + 3600, ..State::new(now(), 1) };
        let message = record::write_message(&envelope, b"Subject: a\r\n\r\nb\r\n").unwrap();
        fs::write(queue.join(id.as_str()), message).unwrap();
        fs::write(queue.join(format!("{id}.state")), record::write_state(id, &state)).unwrap();
    }
}

fn configure(directory: &Path) {
    let place = directory.display();
    let text = format!(
        "hostname = \"mail.test\"\nspool = \"{place}/spool\"\nrun_dir = \"{place}/run\"\n\
         [keep]\nmessages = 1000000\n[daemon]\nauth = \"{place}/auth\"\npolicy = \"{place}/policy\"\n\
         [[listener]]\nrole = \"relay\"\naddresses = [\"127.0.0.1:0\"]\n\
         [[certificate]]\ncertificate = \"{place}/c.pem\"\nkey = \"{place}/c.key\"\n"
    );
    fs::write(directory.join("mta.toml"), text).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["mail.test".to_owned()]).unwrap();
    fs::write(directory.join("c.pem"), made.cert.pem()).unwrap();
    fs::write(directory.join("c.key"), made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(directory.join("c.key"), Permissions::from_mode(0o600)).unwrap();
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

/// Everything below becomes nobody's.
fn give(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path()));
    }
}

fn start(directory: &Path) -> Child {
    let program = env!("CARGO_BIN_EXE_mta");
    let mut command = Command::new(if is_root() { "setpriv" } else { program });
    if is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", program]);
    }
    command.arg("--foreground").arg("--config").arg(directory.join("mta.toml"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// How many messages the sender knows, and how many it has not read yet.
fn status(directory: &Path) -> (u64, u64) {
    let mut stream = UnixStream::connect(directory.join("run/control")).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(&Request::Status.encode().unwrap()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let figure = |name: &str| value[name].as_u64().unwrap_or_else(|| panic!("no {name}: {text}"));
    (figure("messages"), figure("unread"))
}

#[test]
fn j8_a_long_queue_does_not_hold_up_the_start() {
    let messages = std::env::var("MESSAGES").map_or(MESSAGES, |text| text.parse::<u64>().unwrap());
    let directory = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .unwrap();
    let queue = directory.path().join("spool/queue");
    fs::create_dir_all(&queue).unwrap();
    fs::set_permissions(&queue, Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(directory.path().join("spool"), Permissions::from_mode(0o700)).unwrap();
    fill(&queue, messages);
    configure(directory.path());
    if is_root() {
        give(directory.path());
    }
    let begun = Instant::now();
    let mut mta = start(directory.path());
    let mut log = BufReader::new(mta.stderr.take().unwrap()).lines().map_while(Result::ok);
    let serving = log.by_ref().find(|line| line.contains("serving"));
    let serves = begun.elapsed();
    assert!(serving.is_some(), "it does not serve");
    let known = loop {
        match status(directory.path()) {
            (count, 0) if count == messages => break begun.elapsed(),
            so_far => assert!(begun.elapsed() < 6 * LIMIT, "messages and unread: {so_far:?}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    mta.kill().unwrap();
    mta.wait().unwrap();
    eprintln!("{messages} messages: serving after {serves:?}, all known after {known:?}");
    assert!(serves < LIMIT && known < LIMIT, "{serves:?} {known:?}");
}
