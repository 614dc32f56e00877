//! Who answers on the policy socket: this project's saslauthd, and a scripted server that proves the peers.
//!
//! The script runs as threads of the test process. It reads requests on its own and shares no code with the daemon; it
//! knows the few clients that come here. Must never decide by anything but the request.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use harness::{PATIENCE, Subject, wait_for};
use nix::sys::signal::Signal;

use crate::daemon::{self, Daemon, End, Freeze, NAME};
use crate::peers::namespace::Namespace;
use crate::peers::relay::{Pin, Relayer, recipe};
use crate::peers::{Failure, Result};
use crate::stand_in::Script;

/// Where the map is.
pub(crate) const MAP: &str = "/etc/mail/access";

/// What the daemon under test decides by.
pub(crate) fn map(pin: &Pin) -> String {
    format!("CertKey:sha256/{}\tRELAY\n{}", pin.base64, map_without_pin())
}

/// The same without the key that may relay.
pub(crate) fn map_without_pin() -> String {
    "CertIssuer:/O=Example+20Test/CN=Members\tSUBJECT
CertSubject:/O=Example+20Test/CN=member\tRELAY
CertIssuer:/O=Example+20Test/CN=Partners\tRELAY
TLS_Clt:127.0.0.11\tVERIFY
TLS_Clt:127.0.0.12\tPERM+ENCR:512
Connect:127.0.0.13\tREJECT
TLS_Clt:127.0.0.14\tENCR:128
"
    .to_owned()
}

/// This project's saslauthd with the settings of saslauthd-policy(7).
pub(crate) struct PolicyDaemon<'a> {
    world: &'a Namespace,
    socket: &'static str,
}

impl<'a> PolicyDaemon<'a> {
    /// Not yet running; the map is there.
    pub(crate) fn new(world: &'a Namespace, relayer: &dyn Relayer, pin: &Pin) -> Result<Self> {
        // Where there is no Postfix. The directory of the script is not that of the daemon.
        world.directory("/var/spool/postfix", 0)?;
        world.shell("rm -rf /run/saslauthd /var/spool/postfix/saslauthd")?;
        world.write("/etc/saslauthd.toml", &format!("{}\n", recipe("saslauthd.toml")?))?;
        let this = Self { world, socket: relayer.socket() };
        this.write_map(&map(pin))?;
        Ok(this)
    }

    /// Puts another map in the place of the one before, at once.
    pub(crate) fn write_map(&self, text: &str) -> Result<()> {
        self.world.write(&format!("{MAP}.new"), text)?;
        self.world.shell(&format!("mv {MAP}.new {MAP}")).map(drop)
    }
}

impl Daemon for PolicyDaemon<'_> {
    fn start(&mut self) -> Result<()> {
        let program = Subject::Ours.program(NAME);
        if !program.exists() {
            let program = program.display();
            return Err(Failure::Missing(format!("{program}: run cargo build --workspace first")));
        }
        let arguments =
            ["-a", "sasldb", "-m", "/run/saslauthd", "-d", "--config", "/etc/saslauthd.toml"];
        self.world.spawn(NAME, &program.to_string_lossy(), &arguments)?;
        daemon::await_socket(self.world, self.socket)
    }

    fn stop(&mut self, end: End) -> Result<()> {
        let leader = self.world.processes(NAME).into_iter().min();
        daemon::end(self.world, NAME, end, leader)
    }

    fn freeze(&self, _what: Freeze) -> Result<()> {
        daemon::signal(self.world, NAME, Signal::SIGSTOP)
    }

    fn thaw(&self) -> Result<()> {
        daemon::signal(self.world, NAME, Signal::SIGCONT)
    }
}

/// Every different request that a script has read, as it came but for what is new each time.
pub(crate) type Requests = Arc<Mutex<BTreeSet<String>>>;

/// A scripted policy server.
pub(crate) struct PolicyScript<'a> {
    world: &'a Namespace,
    socket: &'static str,
    pin: Pin,
    frozen: Arc<AtomicBool>,
    requests: Requests,
    script: Option<Script>,
}

impl<'a> PolicyScript<'a> {
    /// Not yet running; it keeps what it is asked.
    pub(crate) fn new(
        world: &'a Namespace,
        relayer: &dyn Relayer,
        pin: &Pin,
        requests: Requests,
    ) -> Self {
        let (socket, pin) = (relayer.socket(), pin.clone());
        Self { world, socket, pin, frozen: Arc::default(), requests, script: None }
    }
}

impl Daemon for PolicyScript<'_> {
    fn start(&mut self) -> Result<()> {
        let (frozen, pin) = (Arc::clone(&self.frozen), self.pin.clone());
        let requests = Arc::clone(&self.requests);
        let (directory, _) = self.socket.rsplit_once('/').unwrap_or_default();
        self.world.directory(directory, 0)?;
        let serve = move |stream: &UnixStream| {
            let mut reader = BufReader::new(stream);
            while let Some(text) = read(&mut reader) {
                wait_for(PATIENCE, || !frozen.load(Ordering::SeqCst));
                let mut writer = stream;
                let _ = write!(writer, "action={}\n\n", action(&text, &pin));
                if let Ok(mut requests) = requests.lock() {
                    requests.insert(text);
                }
            }
        };
        self.script = Some(Script::listen(&self.world.path(self.socket), serve)?);
        Ok(())
    }

    fn stop(&mut self, end: End) -> Result<()> {
        self.script = None;
        if end == End::Abrupt {
            // A socket that nobody listens on any more, as a killed daemon leaves it.
            drop(UnixListener::bind(self.world.path(self.socket))?);
        }
        Ok(())
    }

    fn freeze(&self, _what: Freeze) -> Result<()> {
        self.frozen.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn thaw(&self) -> Result<()> {
        self.frozen.store(false, Ordering::SeqCst);
        Ok(())
    }
}

/// Lines up to an empty one, with it. None at the end of the connection.
fn read(reader: &mut impl BufRead) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let before = text.len();
        if reader.read_until(b'\n', &mut text).ok()? == 0 {
            return None;
        }
        if text.get(before..) == Some(b"\n") {
            return String::from_utf8(text).ok();
        }
    }
}

fn action(request: &str, pin: &Pin) -> &'static str {
    let said: BTreeMap<&str, &str> =
        request.lines().filter_map(|line| line.split_once('=')).collect();
    let value = |name: &str| said.get(name).copied().unwrap_or_default();
    let verified = value("verify") == "OK" || !value("ccert_subject").is_empty();
    let certificate = BASE64.decode(value("certificate")).unwrap_or_default();
    // Names and key stand in a certificate as they are.
    let has = |part: &[u8]| certificate.windows(part.len()).any(|here| here == part);
    match value("client_address") {
        _ if value("request") != "smtpd_access_policy" || value("protocol_state") != "RCPT" => {
            "451 4.3.5 not understood"
        }
        "127.0.0.11" if !verified => "454 4.7.0 not authenticated",
        "127.0.0.12" => "503 5.7.0 encryption too weak",
        "127.0.0.13" => "550 5.7.1 Access denied",
        _ if value("ccert_pubkey_fingerprint") == pin.hex || has(&pin.key) => "OK",
        _ if verified && (has(b"member") || has(b"Partners")) => "OK",
        _ => "DUNNO",
    }
}
