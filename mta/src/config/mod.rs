//! The settings as final types: whoever holds one needs to check nothing any more.
//!
//! Read by the parent from `/etc/mta.toml`, and by its children from the text that the parent hands over. No file that is
//! named here is opened by a child: the parent hands over what is in them ([`crate::control::Material`]).

pub mod files;
pub mod manual;
mod reading;
pub mod sections;
pub mod values;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use settings::complaint::Report;
use settings::values::Account;

use crate::control::Level;

/// Where the configuration is when nobody says.
pub const DEFAULT: &str = "/etc/mta.toml";

/// All settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Our own name: in greetings, `Received:` and reports.
    pub hostname: String,
    /// Domains whose mail is delivered here, by a route of theirs. Lower case.
    pub local_domains: Vec<String>,
    /// Where mail is kept: `incoming/`, `queue/` and `corrupt/` are below it.
    pub spool: PathBuf,
    /// Who answers questions.
    pub daemon: Daemon,
    /// Where mail is received.
    pub listeners: Vec<Listener>,
    /// Keys and authorities, for both directions.
    pub tls: Tls,
    /// What one client, and all of them, may use.
    pub limits: Limits,
    /// What is kept.
    pub keep: Keep,
    /// How mail is sent.
    pub delivery: Delivery,
    /// Where mail for certain domains goes, the first that fits counting.
    pub routes: Vec<Route>,
    /// What concerns the parent alone.
    pub operation: Operation,
}

impl Config {
    /// Reads a configuration's text. Opens nothing.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Report> {
        Self::parse_as(DEFAULT, text)
    }

    /// The same, with the name of the file for messages.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse_as(path: &str, text: &str) -> Result<Self, Report> {
        reading::parse(path, text)
    }
}

/// What concerns the parent alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The directory of pid file and control socket.
    pub run_dir: PathBuf,
    /// The control socket.
    pub control: PathBuf,
    /// The group whose members may ask there, besides root.
    pub operators: Option<Account>,
    /// Who hears clients.
    pub receiver_user: String,
    /// Who speaks to other servers.
    pub sender_user: String,
    /// Where the log goes.
    pub log_to: sections::LogTo,
    /// The least important that is logged.
    pub log_level: Level,
}

/// The sockets of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// Who may log in.
    pub logins: Logins,
    /// Who may relay: a policy socket of the daemon's.
    pub policy: PathBuf,
    /// How long an answer may take.
    pub deadline: Duration,
}

/// Where logins are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logins {
    /// A socket that speaks Dovecot's auth protocol: the daemon's, or Dovecot's own.
    Auth(PathBuf),
    /// A socket of Cyrus's saslauthd: PLAIN and LOGIN alone.
    Mux(PathBuf),
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What it is for.
    pub role: Role,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// From whom a PROXY header is required; nobody else may send one.
    pub proxies: Vec<IpAddr>,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Role {
    /// Port 587: people and machines that are known, after STARTTLS.
    Submission,
    /// Port 465: the same, inside TLS from the first byte (RFC 8314).
    Submissions,
    /// Port 25: other servers.
    Relay,
}

impl Role {
    /// Its usual port.
    pub fn port(self) -> u16 {
        match self {
            Self::Submission => 587,
            Self::Submissions => 465,
            Self::Relay => 25,
        }
    }

    /// The word for it in the configuration and in the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Submission => "submission",
            Self::Submissions => "submissions",
            Self::Relay => "relay",
        }
    }
}

/// Keys and authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificates that we show, the first one to those who ask for no name we have.
    pub certificates: Vec<KeyPair>,
    /// Whose certificates of clients we believe: PEM files.
    pub client_authorities: Vec<PathBuf>,
    /// Whose certificates of servers we believe: PEM files; empty for the host's own list.
    pub server_authorities: Vec<PathBuf>,
    /// Lists of revoked certificates: PEM or DER files.
    pub revoked: Vec<PathBuf>,
    /// The certificate that we show to servers, when they ask.
    pub client_certificate: Option<KeyPair>,
    /// Those that the access map may choose by `CertFile` of `TLS_Clt_features:`.
    pub feature_certificates: Vec<KeyPair>,
    /// Whether clients are asked for a certificate.
    pub ask: AskForCertificate,
}

/// A certificate chain and its key: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// Leaf first.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskForCertificate {
    /// They are; nothing fails without one.
    Always,
    /// They aren't.
    Never,
}

/// What one client, and all of them, may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message in bytes.
    pub message: u64,
    /// Most recipients of one message.
    pub recipients: u32,
    /// Most connections at a time.
    pub connections: usize,
    /// Most connections of one address at a time.
    pub connections_per_address: usize,
    /// How long a command may be waited for (RFC 5321 section 4.5.3.2.7: 5 minutes).
    pub command: Duration,
    /// How long a login, and everything before it, may take on a submission listener.
    pub login: Duration,
    /// How long a piece of a message may be waited for (RFC 5321 section 4.5.3.2.5: 3 minutes).
    pub data: Duration,
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Most messages in the spool.
    pub messages: u64,
    /// Space that is left free on the spool's disk, in bytes.
    pub reserve: u64,
}

/// How mail is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where everything goes that no route says otherwise of; `None` for the servers that the DNS names.
    pub smarthost: Option<Via>,
    /// Waits after the first, second, … failure; the last one repeats.
    pub retry: Vec<Duration>,
    /// After which time the sender is told that it takes longer.
    pub warn_after: Duration,
    /// After which time it comes back.
    pub give_up_after: Duration,
    /// Most connections at a time.
    pub connections: usize,
    /// Most connections to one destination at a time.
    pub connections_per_destination: usize,
    /// Whether mail whose TLS handshake failed may go in the clear (sendmail's TLSFallbacktoClear).
    pub clear_after_failed_handshake: FallBack,
    /// Whether the DNS may lead to this host: loopback and link-local addresses.
    pub own_addresses: OwnAddresses,
    /// Name servers to ask; empty for those of /etc/resolv.conf.
    pub name_servers: Vec<SocketAddr>,
    /// The port of other servers: 25.
    pub port: u16,
}

/// Whether mail whose TLS handshake failed may go in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FallBack {
    /// It waits.
    Never,
    /// Once, at once, on a new connection, unless a policy demands TLS.
    Once,
}

/// Whether the DNS may lead to this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnAddresses {
    /// That is a loop, or somebody's attempt to reach what isn't for them.
    Refused,
    /// It may: a test, or servers behind one address.
    Permitted,
}

/// Where the mail of a domain goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which recipients.
    pub pattern: Pattern,
    /// Where to.
    pub via: Via,
}

/// Which recipients a route is for. Lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// All that no route before it took.
    Everybody,
    /// Of this domain.
    Domain(String),
    /// Of the domains below this one, which is without its first dot.
    Below(String),
    /// Of all [`Config::local_domains`].
    Local,
}

/// A next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// The servers that the DNS names.
    Mx,
    /// This server, by SMTP.
    Smtp(Server),
    /// This server, by LMTP over TCP.
    LmtpTcp(Server),
    /// By LMTP over this Unix socket.
    LmtpUnix(PathBuf),
    /// Into a maildir below this directory, one for each address.
    Maildir(PathBuf),
    /// Nowhere: it comes back with this text.
    Refuse(String),
}

/// A server that mail is handed to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Its name or address; no MX is asked for.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How TLS is begun.
    pub tls: Begin,
    /// Who we are there. Said inside verified TLS only.
    pub login: Option<Credentials>,
}

/// How TLS is begun with a configured server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Begin {
    /// If it offers STARTTLS, whatever its certificate, unless a policy says more.
    IfOffered,
    /// By STARTTLS, with a certificate of its name, or not at all.
    StartTls,
    /// From the first byte, with a certificate of its name.
    Implicit,
}

/// A login at a smarthost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The file that holds the password, on its first line.
    pub password: PathBuf,
}

#[cfg(test)]
mod tests;
