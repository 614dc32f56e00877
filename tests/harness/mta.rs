//! The mta beside the daemon, in a house of its own: certificates, an account, a map, listeners on an address that nobody
//! else has, and where mail goes.
//!
//! Runs in the test process, as root. Every house takes one address of 127.0.0.0/8 for itself, so that ports need not be
//! guessed and no two tests meet. Everything that is started ends with the house.

pub mod client;
pub mod sink;
pub mod tls;

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::accounts::quick_hash;
use crate::sandbox::{self, Plan as SandboxPlan};
use crate::subject::built;
use crate::{Account, Daemon, Identity, PATIENCE, Sandbox, wait_for, wait_until};
use client::{Client, Reply};
use tls::Identity as Certificate;

/// Who may log in.
pub const LOGIN: &str = "alice";
/// The password.
pub const PASSWORD: &str = "Wonder-Sentinel-7341-land";
/// The name of the server.
pub const HOST: &str = "mail.here.example";
/// The domain whose mail is delivered here.
pub const DOMAIN: &str = "here.example";

const RELAY: u16 = 2525;
const SUBMISSION: u16 = 2587;
const SUBMISSIONS: u16 = 2465;

/// An address of 127.0.0.0/8 that belongs to whoever holds this.
#[derive(Debug)]
pub struct Place {
    address: Ipv4Addr,
    _held: TcpListener,
}

impl Place {
    /// Takes one that nobody holds; test programs that run at the same time ask each other by a port of it.
    pub fn take() -> io::Result<Self> {
        /// Held for as long as the address is.
        const HELD: u16 = 4;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let start = std::process::id().wrapping_mul(251);
        for _ in 0..60_000 {
            let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let [_, _, high, low] = number.to_be_bytes();
            let address = Ipv4Addr::new(127, 77, high, low);
            if let Ok(held) = TcpListener::bind((address, HELD)) {
                return Ok(Self { address, _held: held });
            }
        }
        Err(io::Error::other("no free address in 127.77.0.0/16"))
    }

    /// The address.
    pub fn address(&self) -> IpAddr {
        self.address.into()
    }
}

/// The programs of a house.
pub const PROGRAMS: [&str; 7] = [
    "saslauthd",
    "saslauthd-listener",
    "saslauthd-checker",
    "mta",
    "mta-receiver",
    "mta-sender",
    "mailauth",
];

/// Whether a house can be made here; otherwise a loud skip.
#[must_use]
pub fn ready() -> bool {
    crate::require_root()
        && crate::require("perl", "perl-base")
        && PROGRAMS.iter().all(|program| crate::subject::require_built(program))
}

/// What a house is like before it starts.
#[derive(Clone, Debug)]
pub struct Plan {
    map: String,
    top: String,
    sections: String,
    daemon: String,
    identity: Identity,
    clients: Vec<String>,
    host: String,
    domains: Vec<String>,
    accounts: Vec<(String, String)>,
    authorities: Vec<PathBuf>,
    before: String,
}

impl Default for Plan {
    fn default() -> Self {
        Self::new()
    }
}

impl Plan {
    /// One account, an empty map, local mail into maildirs, everything else refused.
    pub fn new() -> Self {
        Self {
            map: String::new(),
            top: String::new(),
            sections: String::new(),
            daemon: String::new(),
            identity: Identity::Root,
            clients: Vec::new(),
            host: HOST.to_owned(),
            domains: vec![DOMAIN.to_owned()],
            accounts: vec![(LOGIN.to_owned(), PASSWORD.to_owned())],
            authorities: Vec::new(),
            before: String::new(),
        }
    }

    /// A shell script to be run inside before the servers are started: what is mounted, say.
    #[must_use]
    pub fn before(mut self, script: &str) -> Self {
        self.before += script;
        self.before += "\n";
        self
    }

    /// Another name of the server, and other domains whose mail is delivered here.
    #[must_use]
    pub fn named(mut self, host: &str, domains: &[&str]) -> Self {
        self.host = host.to_owned();
        self.domains = domains.iter().map(|domain| (*domain).to_owned()).collect();
        self
    }

    /// One more account, or another password of one that is there.
    #[must_use]
    pub fn account(mut self, name: &str, password: &str) -> Self {
        self.accounts.retain(|(known, _)| known != name);
        self.accounts.push((name.to_owned(), password.to_owned()));
        self
    }

    /// One more authority whose clients are believed: a PEM file, which is copied.
    #[must_use]
    pub fn authority(mut self, file: &Path) -> Self {
        self.authorities.push(file.to_owned());
        self
    }

    /// More lines of the access map; `{pin:NAME}` stands for a client's `CertKey:` entry.
    #[must_use]
    pub fn map(mut self, lines: &str) -> Self {
        self.map += lines;
        self.map += "\n";
        self
    }

    /// More keys above the first section of mta.toml.
    #[must_use]
    pub fn top(mut self, text: &str) -> Self {
        self.top += text;
        self.top += "\n";
        self
    }

    /// More sections of mta.toml.
    #[must_use]
    pub fn sections(mut self, text: &str) -> Self {
        self.sections += text;
        self.sections += "\n";
        self
    }

    /// More sections of saslauthd.toml.
    #[must_use]
    pub fn daemon(mut self, text: &str) -> Self {
        self.daemon += text;
        self.daemon += "\n";
        self
    }

    /// As whom both are started.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    /// Makes a certificate for a machine of this name.
    #[must_use]
    pub fn client(mut self, name: &str) -> Self {
        self.clients.push(name.to_owned());
        self
    }

    /// Mail for other domains goes to this server.
    #[must_use]
    pub fn everything_to(self, address: SocketAddr) -> Self {
        self.sections(&format!(
            "[[route]]\nto = \"*\"\nvia = \"smtp\"\nhost = \"{}\"\nport = {}\n",
            address.ip(),
            address.port()
        ))
    }

    /// Starts both.
    pub fn start(self) -> io::Result<House> {
        self.start_at(Place::take()?)
    }

    /// Starts both on an address that was taken before, for sinks.
    pub fn start_at(self, place: Place) -> io::Result<House> {
        let mut accounts = Vec::new();
        for (name, password) in &self.accounts {
            accounts.push(Account::with(name, &quick_hash(password)?));
        }
        let sandbox = SandboxPlan::default().accounts(&accounts).start()?;
        let house = House::furnish(self, place, sandbox)?;
        house.started()
    }

    fn mta_config(&self, place: &Place) -> String {
        let address = place.address();
        let authorities: String =
            self.authorities.iter().map(|file| format!(", \"{}\"", inside(file))).collect();
        let mut text = format!(
            "hostname = \"{}\"\nlocal_domains = [{}]\nspool = \"/var/lib/mta\"\n{}\n\
             [tls]\nclient_authorities = [\"/etc/mta/tls/ca.pem\"{authorities}]\n\
             server_authorities = [\"/etc/mta/tls/ca.pem\"]\n",
            self.host,
            quoted(&self.domains),
            self.top
        );
        for (role, port) in
            [("relay", RELAY), ("submission", SUBMISSION), ("submissions", SUBMISSIONS)]
        {
            text +=
                &format!("[[listener]]\nrole = \"{role}\"\naddresses = [\"{address}:{port}\"]\n");
        }
        text += "[[route]]\nto = \"local\"\nvia = \"maildir\"\ndirectory = \"/var/lib/mail\"\n";
        text + &self.sections
    }

    fn daemon_config(&self) -> String {
        format!(
            "chain = [\"shadow\"]\n[limits]\non = false\n[[socket]]\n[[socket]]\nprotocol = \"auth\"\n\
             address_uids = [\"root\", \"mta\", \"nobody\"]\ncertificate_uids = [\"root\", \"mta\", \"nobody\"]\n\
             [[socket]]\nprotocol = \"policy\"\n\
             [access]\nmap = \"/etc/access\"\ntrusted_mechanisms = [\"PLAIN\", \"LOGIN\", \"EXTERNAL\", \"SCRAM-SHA-256\"]\nlocal_domains = [{}, \"{}\"]\n{}",
            quoted(&self.domains),
            self.host,
            self.daemon
        )
    }
}

/// Where a copy of an authority lies inside.
fn inside(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("/etc/mta/tls/of-clients-{name}")
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

/// The two servers, running.
#[derive(Debug)]
pub struct House {
    // Dropped in this order: servers before what they run in.
    mta: Option<Child>,
    daemon: Option<Daemon>,
    sandbox: Sandbox,
    place: Place,
    plan: Plan,
}

impl House {
    fn furnish(plan: Plan, place: Place, sandbox: Sandbox) -> io::Result<Self> {
        let house = Self { mta: None, daemon: None, sandbox, place, plan };
        house.cert(&["init", "--name", &house.plan.host])?;
        for file in &house.plan.authorities {
            fs::copy(file, house.sandbox.path().join(inside(file).trim_start_matches('/')))?;
        }
        for client in &house.plan.clients {
            house.cert(&["issue", "--client", client])?;
        }
        let root = house.sandbox.path();
        sandbox::replace(&root.join("etc/access"), house.map()?.as_bytes(), 0o644)?;
        sandbox::replace(
            &root.join("etc/mta.toml"),
            house.plan.mta_config(&house.place).as_bytes(),
            0o644,
        )?;
        let owner = match house.plan.identity {
            // mta-out of the sandbox.
            Identity::Root => 905,
            Identity::Nobody => 65534,
        };
        let mail = root.join("lib/mail");
        fs::create_dir(&mail)?;
        std::os::unix::fs::chown(&mail, Some(owner), Some(owner))?;
        if house.plan.identity == Identity::Nobody {
            for directory in ["lib", "run", "run/saslauthd", "etc/mta/tls"] {
                std::os::unix::fs::chown(root.join(directory), Some(owner), Some(owner))?;
            }
            // A daemon without root reads what is its own.
            std::os::unix::fs::chown(root.join("etc/shadow"), Some(owner), Some(owner))?;
            for file in fs::read_dir(root.join("etc/mta/tls"))? {
                std::os::unix::fs::chown(file?.path(), Some(owner), Some(owner))?;
            }
        }
        let ran = house.sandbox.run("sh", ["-ec", &house.plan.before])?;
        if ran.code != Some(0) {
            return Err(io::Error::other(format!("{}: {ran:?}", house.plan.before)));
        }
        Ok(house)
    }

    /// `mailauth cert …` on the house's directory; what it printed.
    pub fn cert(&self, words: &[&str]) -> io::Result<String> {
        let mut command = Command::new(built("mailauth"));
        let output = command.arg("cert").args(words).arg("--directory").arg(self.tls()).output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn map(&self) -> io::Result<String> {
        let mut map = self.plan.map.clone();
        for client in &self.plan.clients {
            let output = Command::new(built("mailauth"))
                .args(["access", "key"])
                .arg(self.tls().join(format!("{client}.pem")))
                .output()?;
            let keys = String::from_utf8_lossy(&output.stdout).into_owned();
            for (mark, tag) in
                [("pin", "CertKey:"), ("issuer", "CertIssuer:"), ("subject", "CertSubject:")]
            {
                let key = keys.lines().find(|line| line.starts_with(tag)).unwrap_or_default();
                map = map.replace(&format!("{{{mark}:{client}}}"), key);
            }
        }
        Ok(map)
    }

    fn started(mut self) -> io::Result<Self> {
        self.start_daemon()?;
        self.start_mta()?;
        Ok(self)
    }

    /// Starts the daemon, which must not be running.
    pub fn start_daemon(&mut self) -> io::Result<()> {
        let config = self.plan.daemon_config();
        self.daemon =
            Some(Daemon::ours(&self.sandbox, &config, "/run/saslauthd/mux", self.plan.identity)?);
        Ok(())
    }

    /// Stops the daemon, so that nobody answers.
    pub fn stop_daemon(&mut self) {
        self.daemon = None;
    }

    /// Starts the mta, which must not be running, and waits for its greetings.
    pub fn start_mta(&mut self) -> io::Result<()> {
        let program = built("mta");
        let mut command = match self.plan.identity {
            Identity::Root => self.sandbox.command(&program),
            Identity::Nobody => {
                let mut command = self.sandbox.command("setpriv");
                command
                    .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
                    .arg(&program);
                command
            }
        };
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path())?;
        command.args(["--foreground", "--config", "/etc/mta.toml"]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut child = command.spawn()?;
        let greets = || Client::connect(self.relay(), None).and_then(|mut client| client.reply());
        let mut ended = None;
        let up = wait_until(|| {
            ended = child.try_wait().ok().flatten();
            ended.is_some() || greets().is_ok_and(|reply| reply.code() == 220)
        });
        self.mta = Some(child);
        match (up, ended) {
            (true, None) => Ok(()),
            (_, ended) => {
                Err(io::Error::other(format!("the mta does not greet ({ended:?}): {}", self.log())))
            }
        }
    }

    /// Ends the mta with this signal, and waits until none of its processes is left.
    pub fn end_mta(&mut self, signal: Signal) -> bool {
        let Some(mut child) = self.mta.take() else { return true };
        let main = Pid::from_raw(child.id().cast_signed());
        let _ = kill(main, signal);
        let gone = wait_for(PATIENCE, || {
            let _ = child.try_wait();
            self.processes("mta").is_empty()
        });
        for pid in self.processes("mta") {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = child.wait();
        gone
    }

    /// Processes whose executable's name begins so.
    pub fn processes(&self, name: &str) -> Vec<i32> {
        self.sandbox.processes(name)
    }

    /// The sandbox.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The house's address, for sinks and for clients that come from it.
    pub fn address(&self) -> IpAddr {
        self.place.address()
    }

    /// Where other servers come to.
    pub fn relay(&self) -> SocketAddr {
        (self.address(), RELAY).into()
    }

    /// Where people come to, with STARTTLS.
    pub fn submission(&self) -> SocketAddr {
        (self.address(), SUBMISSION).into()
    }

    /// Where people come to, with TLS at once.
    pub fn submissions(&self) -> SocketAddr {
        (self.address(), SUBMISSIONS).into()
    }

    /// Where keys and certificates lie: `ca.pem`, those of [`HOST`], those of the plan's clients.
    pub fn tls(&self) -> PathBuf {
        self.sandbox.path().join("etc/mta/tls")
    }

    /// A machine's certificate.
    pub fn certificate(&self, name: &str) -> io::Result<Certificate> {
        Certificate::named(&self.tls(), name)
    }

    /// The spool.
    pub fn spool(&self) -> PathBuf {
        self.sandbox.path().join("lib/mta")
    }

    /// The files of the maildir of a local address, `new` alone.
    pub fn mailbox(&self, address: &str) -> Vec<PathBuf> {
        let Ok(entries) =
            fs::read_dir(self.sandbox.path().join("lib/mail").join(address).join("new"))
        else {
            return Vec::new();
        };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        files
    }

    /// Waits until the maildir of a local address has so many messages; their text.
    pub fn await_mail(&self, address: &str, count: usize) -> Vec<String> {
        wait_until(|| self.mailbox(address).len() >= count);
        let read = |path: &PathBuf| {
            String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
        };
        self.mailbox(address).iter().map(read).collect()
    }

    fn log_path(&self) -> PathBuf {
        self.sandbox.path().join("tmp/mta.log")
    }

    /// What the mta has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// Waits for a line of the log with all these parts.
    pub fn logged(&self, parts: &[&str]) -> bool {
        let has = |line: &str| parts.iter().all(|part| line.contains(part));
        wait_until(|| self.log().lines().any(has))
    }

    /// The map's file, for a change.
    pub fn write_map(&self, text: &str) -> io::Result<()> {
        sandbox::replace(&self.sandbox.path().join("etc/access"), text.as_bytes(), 0o644)
    }

    /// A client that has read the greeting and said EHLO.
    pub fn visit(&self, to: SocketAddr) -> io::Result<(Client, Reply)> {
        let mut client = Client::connect(to, None)?;
        client.reply()?;
        let offered = client.say("EHLO client.example")?;
        Ok((client, offered))
    }

    /// The same inside TLS; it believes the house's authority alone.
    pub fn visit_tls(
        &self,
        to: SocketAddr,
        identity: Option<Certificate>,
    ) -> io::Result<(Client, Reply)> {
        let config = tls::client_of(&self.tls().join("ca.pem"), identity)?;
        let mut client = Client::connect(to, None)?;
        if to.port() != SUBMISSIONS {
            client.reply()?;
            client.say("EHLO client.example")?;
            let said = client.say("STARTTLS")?;
            if said.code() != 220 {
                return Err(io::Error::other(format!("STARTTLS: {said}")));
            }
        }
        client.handshake(config, HOST)?;
        if to.port() == SUBMISSIONS {
            client.reply()?;
        }
        let offered = client.say("EHLO client.example")?;
        Ok((client, offered))
    }

    /// A client inside TLS that has logged in.
    pub fn login(&self, to: SocketAddr) -> io::Result<Client> {
        let (mut client, _) = self.visit_tls(to, None)?;
        let said = client.say(&format!("AUTH PLAIN {}", plain(LOGIN, PASSWORD)))?;
        if said.code() == 235 { Ok(client) } else { Err(io::Error::other(format!("AUTH: {said}"))) }
    }
}

/// The message of PLAIN.
pub fn plain(user: &str, password: &str) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode(format!("\0{user}\0{password}"))
}

/// A transaction from MAIL to the end of DATA; all replies up to the first that is not 2xx or 3xx.
pub fn transact(
    client: &mut Client,
    from: &str,
    to: &[&str],
    text: &str,
) -> io::Result<Vec<Reply>> {
    let mut lines = vec![format!("MAIL FROM:<{from}>")];
    lines.extend(to.iter().map(|to| format!("RCPT TO:<{to}>")));
    lines.extend(["DATA".to_owned(), format!("{}\r\n.", text.replace("\r\n.", "\r\n.."))]);
    let mut replies = Vec::new();
    for line in lines {
        let reply = client.say(&line)?;
        let goes_on = (200..400).contains(&reply.code());
        replies.push(reply);
        if !goes_on {
            break;
        }
    }
    Ok(replies)
}

impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the mta\n{}", self.log());
        }
        if let Some(child) = &mut self.mta {
            let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
            wait_for(Duration::from_secs(3), || matches!(child.try_wait(), Ok(Some(_))));
        }
        self.daemon = None;
    }
}
