//! The mta beside the daemon, in a house of its own: certificates, an account, a map, listeners on an address that nobody
//! else has, and where mail goes.
//!
//! Runs in the test process, as root. Every house takes one address of 127.0.0.0/8 for itself, so that ports need not be
//! guessed and no two tests meet. Everything that is started ends with the house.

pub mod client;
mod house;
pub mod names;
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
pub use house::House;

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
    logins: String,
    identity: Identity,
    clients: Vec<String>,
    host: String,
    domains: Vec<String>,
    accounts: Vec<(String, String)>,
    authorities: Vec<PathBuf>,
    of_servers: Vec<PathBuf>,
    files: Vec<PathBuf>,
    tls: String,
    before: String,
    here: String,
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
            logins: String::new(),
            identity: Identity::Root,
            clients: Vec::new(),
            host: HOST.to_owned(),
            domains: vec![DOMAIN.to_owned()],
            accounts: vec![(LOGIN.to_owned(), PASSWORD.to_owned())],
            authorities: Vec::new(),
            of_servers: Vec::new(),
            files: Vec::new(),
            tls: String::new(),
            before: String::new(),
            here: "[[route]]\nto = \"local\"\nvia = \"maildir\"\ndirectory = \"/var/lib/mail\"\n"
                .to_owned(),
        }
    }

    /// A shell script to be run inside before the servers are started: what is mounted, say.
    #[must_use]
    pub fn before(mut self, script: &str) -> Self {
        self.before += script;
        self.before += "\n";
        self
    }

    /// Routes for the mail of its own domains, instead of the one into maildirs.
    #[must_use]
    pub fn local_mail(mut self, routes: &str) -> Self {
        routes.clone_into(&mut self.here);
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

    /// One more authority whose servers are believed: a PEM file, which is copied.
    #[must_use]
    pub fn authority_of_servers(mut self, file: &Path) -> Self {
        self.of_servers.push(file.to_owned());
        self
    }

    /// A file that is copied to where [`given`] says.
    #[must_use]
    pub fn give(mut self, file: &Path) -> Self {
        self.files.push(file.to_owned());
        self
    }

    /// Shows clients this certificate instead of its own: PEM files, which are copied.
    #[must_use]
    pub fn shows(self, certificate: &Path, key: &Path) -> Self {
        let section = format!(
            "[[certificate]]\ncertificate = \"{}\"\nkey = \"{}\"\n",
            given(certificate),
            given(key)
        );
        self.give(certificate).give(key).sections(&section)
    }

    /// More keys of the section `[tls]` of mta.toml.
    #[must_use]
    pub fn tls(mut self, lines: &str) -> Self {
        self.tls += lines;
        self.tls += "\n";
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

    /// More keys of the daemon's socket for logins.
    #[must_use]
    pub fn logins(mut self, keys: &str) -> Self {
        self.logins += keys;
        self.logins += "\n";
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
        let more = |files: &[PathBuf]| {
            files.iter().map(|file| format!(", \"{}\"", given(file))).collect::<String>()
        };
        let (of_clients, of_servers) = (more(&self.authorities), more(&self.of_servers));
        let mut text = format!(
            "hostname = \"{}\"\nlocal_domains = [{}]\nspool = \"/var/lib/mta\"\n{}\n\
             [tls]\nclient_authorities = [\"/etc/mta/tls/ca.pem\"{of_clients}]\n\
             server_authorities = [\"/etc/mta/tls/ca.pem\"{of_servers}]\n{}",
            self.host,
            quoted(&self.domains),
            self.top,
            self.tls
        );
        for (role, port) in
            [("relay", RELAY), ("submission", SUBMISSION), ("submissions", SUBMISSIONS)]
        {
            text +=
                &format!("[[listener]]\nrole = \"{role}\"\naddresses = [\"{address}:{port}\"]\n");
        }
        text + &self.here + &self.sections
    }

    fn daemon_config(&self) -> String {
        format!(
            "chain = [\"shadow\"]\n[limits]\non = false\n[[socket]]\n[[socket]]\nprotocol = \"auth\"\n\
             address_uids = [\"root\", \"mta\", \"nobody\"]\ncertificate_uids = [\"root\", \"mta\", \"nobody\"]\n{}\
             [[socket]]\nprotocol = \"policy\"\n\
             [access]\nmap = \"/etc/access\"\ntrusted_mechanisms = [\"PLAIN\", \"LOGIN\", \"EXTERNAL\", \"SCRAM-SHA-256\"]\nlocal_domains = [{}, \"{}\"]\n{}",
            self.logins,
            quoted(&self.domains),
            self.host,
            self.daemon
        )
    }
}

/// Where the copy of a file that was given lies inside.
pub fn given(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("/etc/mta/tls/given-{name}")
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
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
