//! What the parent tells its children to do: final values, checked by the parent, with nothing left to default.
//!
//! The parent's own config types carry the manual of each setting; these are what is left when paths are
//! resolved, names are looked up and units are fixed.

use serde::{Deserialize, Serialize};

mod access;
mod sasl;

pub use access::Access;
pub use sasl::{Certificates, Mechanisms, Offered, Sasl, SaslSocket};

/// The listener's whole task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The sockets, in the order of the descriptors that come along.
    pub sockets: Vec<Socket>,
    /// Longest login, password, service and realm on the mux, in bytes.
    pub fields: Fields,
    /// Milliseconds from accept until the whole request must have arrived.
    pub request_ms: u32,
    /// Milliseconds that a connection is drained after its reply.
    pub drain_ms: u32,
    /// Milliseconds from the whole request until an answer must have come; then Unavailable.
    pub answer_ms: u32,
    /// Most connections held at a time; 0 means as many as descriptors allow.
    pub connections: u32,
}

/// One public socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// Where it is bound, for the log.
    pub path: String,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Peer uids that may ask at all; `None` for everybody who can connect.
    pub uids: Option<Vec<u32>>,
    /// Peer uids whose stated client addresses count.
    pub address_uids: Vec<u32>,
    /// How the auth protocol is spoken here.
    pub auth: Auth,
    /// What the userdb protocol answers here.
    pub userdb: Userdb,
}

/// What is spoken on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// Cyrus saslauthd's counted strings.
    Mux,
    /// Its ancestor's NUL-ended strings.
    Pwcheck,
    /// Dovecot's auth client protocol.
    Auth,
    /// Dovecot's userdb protocol.
    Userdb,
    /// Postfix policy delegation.
    Policy,
}

/// How the auth protocol is spoken on a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auth {
    /// Who speaks first.
    pub handshake: Handshake,
    /// Peer uids that may state whose verified TLS certificate a client showed.
    pub certificate_uids: Vec<u32>,
    /// Milliseconds, on average, from a wrong guess to its refusal; 0 for at once.
    pub failure_delay_ms: u32,
}

/// Who speaks first on an auth socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Handshake {
    /// We say all there is when the client says nothing for a moment.
    #[default]
    Auto,
    /// We say all there is at once, as Dovecot up to 2.3.
    Legacy,
    /// We wait for the client's version, as Dovecot 2.4.
    Wait,
}

/// What a userdb socket says of each user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Userdb {
    /// `uid=`.
    pub uid: Option<u32>,
    /// `gid=`.
    pub gid: Option<u32>,
    /// `home=`, with %u, %n and %d still in it.
    pub home: Option<String>,
    /// Peer uids besides root that may list all users and flush the cache.
    pub list_uids: Vec<u32>,
}

/// Longest fields of a mux request, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fields {
    /// Login.
    pub login: u16,
    /// Password.
    pub password: u16,
    /// Service.
    pub service: u16,
    /// Realm.
    pub realm: u16,
}

/// The checker's whole task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checker {
    /// Every backend that some chain names.
    pub backends: Vec<Backend>,
    /// Chains for single realms; the first that matches the mapped realm is taken.
    pub realms: Vec<RealmChain>,
    /// The chain of every other realm: indices into `backends`, asked in order.
    pub chain: Vec<u8>,
    /// How login and realm of a request become the user and realm that are looked up.
    pub mapping: Mapping,
    /// How names are prepared before anything is keyed by them.
    pub names: Names,
    /// The hashing pool and the ceilings of stored hashes.
    pub hashing: Hashing,
    /// Rate limits.
    pub limits: Limits,
    /// The cache of positive answers.
    pub cache: Cache,
    /// What is logged.
    pub log: Log,
    /// SASL mechanisms.
    pub sasl: Sasl,
    /// Uids that may use the control socket besides root and the checker's own.
    pub operator_uids: Vec<u32>,
}

/// A chain for one realm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealmChain {
    /// The realm, exactly as it is after mapping.
    pub realm: String,
    /// Indices into the backends.
    pub chain: Vec<u8>,
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Its name in config, log and status.
    pub name: String,
    /// What it reads.
    pub kind: BackendKind,
}

/// What a backend reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackendKind {
    /// A shadow file; the realm is not looked at, as in Cyrus.
    Shadow {
        /// The file.
        path: String,
        /// Account states as Cyrus's saslauthd judges them instead of as pam_unix does.
        cyrus_states: bool,
    },
    /// A sasldb; an empty realm is looked up as `default_realm`.
    Sasldb {
        /// The file.
        path: String,
        /// The host's name, as in Cyrus, or what the config says.
        default_realm: String,
    },
    /// Our own SQLite accounts.
    Sqlite {
        /// The file; its directory must be writable by the checker.
        path: String,
    },
    /// Somebody else's SQLite table by a query.
    Query {
        /// The file, opened read-only.
        path: String,
        /// A SELECT with %u, %r, %d and %s.
        query: String,
    },
}

/// How login and realm become what is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The rule where login and realm are two fields.
    pub rule: MappingRule,
    /// The rule where they come as one name: on the auth and userdb sockets.
    pub one_name: MappingRule,
    /// The realm where a request has none; empty leaves it empty.
    pub default_realm: String,
}

/// The rules of mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MappingRule {
    /// Login and realm as they came: saslauthd without -r.
    Cyrus,
    /// The login becomes login@realm when the realm is not empty, and the realm stays: saslauthd -r.
    Join,
    /// A login with an @ is split at the last one when the realm is empty or equals its domain.
    Split,
}

/// How names are prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Names {
    /// RFC 8265, case preserved; what is not UTF-8 is refused.
    Precis,
    /// The bytes as they came.
    Raw,
}

/// The hashing pool and the ceilings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashing {
    /// Threads; 0 means one a core.
    pub threads: u16,
    /// Memory of all hashes computed at a time, in KiB.
    pub memory_kib: u32,
    /// Milliseconds that a login may wait for its turn; then Unavailable.
    pub wait_ms: u32,
    /// Most memory that one stored hash may ask for, in KiB.
    pub max_memory_kib: u32,
    /// Most estimated milliseconds that one stored hash may ask for.
    pub max_ms: u32,
    /// Schemes allowed although they are weak: `des`, `nt`, `plain`, `md5`, …
    pub weak: Vec<String>,
    /// Compare only the first 72 bytes with bcrypt, as crypt(3) does, instead of refusing longer passwords.
    pub truncate: bool,
    /// argon2id of new hashes: memory in KiB.
    pub argon2_memory_kib: u32,
    /// argon2id of new hashes: passes.
    pub argon2_passes: u32,
    /// Replace older schemes by argon2id after a successful login.
    pub upgrade: bool,
}

/// So many at once, and so many in so long after that (GCRA).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// In the long run: this many …
    pub count: u32,
    /// … in this many seconds.
    pub seconds: u32,
}

/// Rate limits of failures, a class each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Off means that nothing is limited.
    pub on: bool,
    /// One user from one source address.
    pub pair: Rate,
    /// One source, /32 or /64.
    pub source: Rate,
    /// One source in a day.
    pub source_day: Rate,
    /// One network, /24 or /56.
    pub network: Rate,
    /// One wide network, /16 or /48.
    pub network_wide: Rate,
    /// One user from all sources that are not known good, in minutes.
    pub user: Rate,
    /// The same in a day.
    pub user_day: Rate,
    /// One user from one known-good source.
    pub known_good: Rate,
    /// Failures through one peer uid (one mail server).
    pub peer: Rate,
    /// Free repeats of the same wrong password per user.
    pub repeats: Rate,
    /// Share of the hashing pool, in percent, that sources not known good may take.
    pub hashing_percent: u8,
    /// Days that a source stays known good after a success.
    pub known_good_days: u16,
    /// Entries of each table; a table has 16 bytes an entry.
    pub entries: u32,
}

impl Limits {
    /// Tables in the shared memory: one for each class above, one for known-good sources, one for digests.
    pub const TABLES: usize = 12;
    /// Words of 64 bits in front of the tables: magic, version, key, clock, check.
    pub const HEADER_WORDS: usize = 64;

    /// Words of 64 bits that the limiter's shared table needs: two an entry. The parent makes the table, so
    /// that it outlives a checker.
    pub fn table_words(&self) -> usize {
        let entries = usize::try_from(self.entries).unwrap_or(usize::MAX);
        entries.saturating_mul(2 * Self::TABLES).saturating_add(Self::HEADER_WORDS)
    }
}

/// The cache of positive answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// Off, on for schemes that cost 2 ms or more, or on for all.
    pub mode: CacheMode,
    /// Seconds that an entry lives after it was made.
    pub seconds: u32,
    /// Most entries.
    pub entries: u32,
}

/// For which schemes the cache works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheMode {
    /// None.
    Off,
    /// Those that cost 2 ms or more.
    Costly,
    /// All.
    All,
}

/// What is logged, and how; the descriptor comes in a message of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Where to.
    pub to: LogTo,
    /// The least important that is logged.
    pub level: Level,
    /// Failures also in the shape of Cyrus's line.
    pub cyrus_lines: bool,
    /// The pid file's owner for the `saslauthd[PID]` of syslog lines.
    pub pid: i32,
}

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogTo {
    /// Standard error, a line an event.
    Stderr,
    /// /dev/log, RFC 3164 lines of facility auth.
    Syslog,
    /// The journal's native socket, with fields.
    Journal,
}

/// How important an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Something is broken.
    Error,
    /// Something is odd.
    Warning,
    /// One event a request, start and stop.
    Info,
    /// More, still without secrets.
    Debug,
}
