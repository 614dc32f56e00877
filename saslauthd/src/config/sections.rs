//! The sections of the configuration except the limits: keys, defaults, and the manual of each.
//!
//! Runs in the parent. The doc comments here are what `--sample-config` and saslauthd.toml(5) print, so they
//! speak to the administrator.

use super::sasl::{List, Offer};
use super::setting::{At, choices, settings};
use super::values::{AbsolutePath, Account, Mode, Size, Time, Whole};

fn path(text: &str) -> AbsolutePath {
    AbsolutePath(text.into())
}

settings! {
    /// What belongs to the whole daemon. These keys stand above the first section.
    pub struct Top {
        /// The directory of the sockets and of the pid file. Made when it is missing, never changed when it is there.
        run_dir: At<AbsolutePath> = path("/run/saslauthd").into(),
        /// The group of a run directory that is made: who may reach the sockets. Debian's mail servers are in `sasl`.
        run_dir_group: At<Account> = Account::Name("sasl".into()).into(),
        /// The permissions of a run directory that is made. 0710 means that the group may enter and nobody may list.
        run_dir_mode: Mode = Mode(0o710),
        /// What survives a restart: the limiter's state, and `accounts/` with the SQLite accounts.
        state_dir: At<AbsolutePath> = path("/var/lib/saslauthd").into(),
        /// The user of the process that reads what clients send. `saslauthd --create-users` makes it.
        listener_user: At<String> = "saslauthd".to_owned().into(),
        /// The user of the process that reads password files. `saslauthd --create-users` makes it.
        checker_user: At<String> = "saslauthd-checker".to_owned().into(),
        /// A group whose members may ask and reset by `mailauth status` and `mailauth limits`, besides root. They
        /// must be able to enter the directory of the control socket, too.
        operators: Option<At<Account>> = None,
        /// The control socket. By default `control` in the run directory.
        control: Option<At<AbsolutePath>> = None,
        /// The backends that are asked, in this order: names of `[backend.NAME]` sections. `sqlite`, `sasldb`, `shadow`
        /// and `getpwent` (Cyrus's name for shadow) need no section. Each is tried until one accepts.
        chain: At<Vec<At<String>>> = vec![At::from("sqlite".to_owned())].into(),
    }
}

choices! {
    /// What is spoken on a socket.
    pub enum Protocol {
        /// Cyrus saslauthd.
        Mux = "mux",
        /// Its ancestor.
        Pwcheck = "pwcheck",
        /// Dovecot's auth protocol.
        Auth = "auth",
        /// Dovecot's userdb protocol.
        Userdb = "userdb",
        /// Postfix policy delegation.
        Policy = "policy",
    }
}

choices! {
    /// Who speaks first on an auth socket.
    pub enum Handshake {
        /// Whoever is the first.
        Auto = "auto",
        /// The server.
        Legacy = "legacy",
        /// The client.
        Wait = "wait",
    }
}

settings! {
    /// A socket that mail servers ask on; repeat the section for more. Without any there is one for the Cyrus
    /// protocol, `mux` in the run directory.
    pub struct Socket {
        /// Where it is. By default what is spoken there, in the run directory: `mux`, `pwcheck`, `auth`, `userdb` or `policy`.
        path: Option<At<AbsolutePath>> = None,
        /// What is spoken there: "mux" (Cyrus saslauthd), "pwcheck" (its ancestor), "auth" (Dovecot's auth protocol, for Postfix's
        /// `smtpd_sasl_type = dovecot`, Exim's dovecot driver, chasquid, maddy and Dovecot's login processes), "userdb"
        /// (Dovecot's userdb protocol: whether there is a user, never a password) or "policy" (Postfix's `check_policy_service`,
        /// answered by the map of `[access]`).
        protocol: Protocol = Protocol::Mux,
        /// The owner. By default whoever starts the daemon.
        owner: Option<At<Account>> = None,
        /// The group. By default that of whoever starts the daemon.
        group: Option<At<Account>> = None,
        /// Permissions; writing is what connecting needs. The directory is what keeps strangers out, as with Cyrus.
        mode: Mode = Mode(0o666),
        /// The users whose programs may ask here at all. By default everybody who can connect. Name them for "userdb", which tells
        /// whoever asks who has an account.
        uids: Option<Vec<At<Account>>> = None,
        /// The users whose programs may state the address of their client (the fifth field of newer Cyrus libraries, and `rip=`
        /// of "auth"). Whoever may do so can spread guesses over invented addresses, so name only mail servers.
        address_uids: Vec<At<Account>> = Vec::new(),
        /// For "auth": the users whose programs may state that a client showed a verified TLS certificate, and whose. Whoever
        /// may do so can log in as anybody by the mechanism EXTERNAL, so name only mail servers that verify certificates.
        certificate_uids: Vec<At<Account>> = Vec::new(),
        /// For "auth": who speaks first. "legacy": the server says all at once, as Dovecot up to 2.3. "wait": the server waits for
        /// the client's version, as Dovecot 2.4, so that newer clients are offered channel binding; Exim before 4.99 and maddy
        /// before 0.9 then wait for ever. "auto": all is said when the client has said nothing for 150 ms, which suits each.
        handshake: Handshake = Handshake::Auto,
        /// For "auth": how long a refusal waits on average, for guessers to wait as well. A quarter of it and half a second are
        /// added at most; some clients give the whole answer no more than 5 seconds. "0ms" answers at once.
        failure_delay: Time<0, 2_500> = Time(2_000),
        /// For "userdb": the user id that owns the mail of each user.
        userdb_uid: Option<At<Account>> = None,
        /// For "userdb": the group id of the same.
        userdb_gid: Option<At<Account>> = None,
        /// For "userdb": the home directory. %u is the user, %n what stands before its last @, %d what stands behind it. A user
        /// with a slash in its name has none.
        userdb_home: Option<At<String>> = None,
        /// For "userdb": the users, besides root, whose programs may list all users and flush the cache.
        list_uids: Vec<At<Account>> = Vec::new(),
        /// What is offered on an auth socket, instead of `mechanisms` of `[sasl]`.
        mechanisms: Option<Offer> = None,
        /// What may be used before TLS on an auth socket, instead of `before_tls` of `[sasl]`.
        before_tls: Option<List> = None,
    }
}

settings! {
    /// What the listener takes from a client, and how long it waits.
    pub struct Listener {
        /// Longest login in bytes. Cyrus has 256 for each field; what is longer is answered NO.
        login: Whole<1, 1024> = Whole(1024),
        /// Longest password in bytes. Tokens that stand in for passwords are longer than Cyrus's 256.
        password: Whole<1, 8192> = Whole(8192),
        /// Longest service in bytes.
        service: Whole<1, 1024> = Whole(1024),
        /// Longest realm in bytes.
        realm: Whole<1, 1024> = Whole(1024),
        /// From the connection until the whole request must be there. Cyrus waits for ever, and five idle clients stop it.
        request: Time<100, 600_000> = Time(10_000),
        /// How long a connection is read on after its reply, for clients that close late.
        drain: Time<10, 60_000> = Time(2_000),
        /// From the whole request until an answer must be there; then the connection is closed without a reply, which
        /// Cyrus's library takes as a temporary failure.
        answer: Time<1_000, 600_000> = Time(30_000),
        /// Most connections held at a time. 0 means as many as the limit of open files allows.
        connections: Whole<0, 1_000_000> = Whole(0),
    }
}

choices! {
    /// What a backend reads.
    pub enum BackendType {
        /// A shadow file.
        Shadow = "shadow",
        /// The same by Cyrus's other name.
        Getpwent = "getpwent",
        /// A sasldb.
        Sasldb = "sasldb",
        /// Our own accounts.
        Sqlite = "sqlite",
        /// A foreign table.
        Query = "sqlite-query",
    }
}

choices! {
    /// How account states are judged.
    pub enum States {
        /// As pam_unix.
        Strict = "strict",
        /// As Cyrus saslauthd.
        Cyrus = "cyrus",
    }
}

settings! {
    /// A place where accounts are. NAME is what `chain` calls it.
    pub struct Backend {
        /// "shadow" or "getpwent" (a shadow file), "sasldb" (Berkeley DB, GDBM or LMDB, told apart by itself), "sqlite" (our own
        /// accounts) or "sqlite-query" (somebody else's table). Must be given unless NAME is one of the first four.
        r#type: Option<BackendType> = None,
        /// The file. By default /etc/shadow, /etc/sasldb2, or accounts/accounts.sqlite in the state directory.
        path: Option<At<AbsolutePath>> = None,
        /// For "sqlite-query": a SELECT that returns the stored password hash. %u is the user, %r the realm, %d what
        /// follows the last @ of the user or else the realm, %s the service; each is bound as a value, never pasted into the text.
        query: Option<At<String>> = None,
        /// For shadow files: "strict" refuses what pam_unix refuses; "cyrus" also accepts on the day of expiry, and when the
        /// password must be changed (lstchg 0), as Cyrus's saslauthd does.
        states: States = States::Strict,
        /// For sasldb: the realm of users who give none. By default the host's name, as with Cyrus.
        default_realm: Option<String> = None,
    }
}

settings! {
    /// The chain of one realm, `[realm."example.org"]`, instead of the general one.
    pub struct Realm {
        /// Names of backends, asked in this order.
        chain: At<Vec<At<String>>> = Vec::new().into(),
    }
}

choices! {
    /// How login and realm become what is looked up.
    pub enum Mapping {
        /// As they came.
        Cyrus = "cyrus",
        /// Joined.
        Join = "join",
        /// Split.
        Split = "split",
    }
}

choices! {
    /// How names are prepared.
    pub enum Names {
        /// RFC 8265.
        Precis = "precis",
        /// Bytes.
        Raw = "raw",
    }
}

settings! {
    /// How login and realm of a request become the user and the realm that limits, cache, backends and log see.
    pub struct Realms {
        /// "cyrus": both as they came. "join": the login becomes login@realm when there is a realm, and the realm stays
        /// (saslauthd -r). "split": a login with an @ is split at the last one when the realm is empty or the same. Clients of
        /// mux say the realm beside the login, if they use libsasl2. Those of "auth" and "userdb" say user@realm in one, so
        /// there "split" is meant unless this key is written; write "cyrus" for accounts whose user has an @.
        mapping: At<Mapping> = Mapping::Cyrus.into(),
        /// The realm of a request that has none. Empty leaves it empty.
        default_realm: String = String::new(),
        /// "precis": names are UTF-8 and prepared as RFC 8265 says (case is kept), so that one person has one name. "raw":
        /// the bytes as they came.
        names: Names = Names::Precis,
    }
}

choices! {
    /// A scheme that is refused unless it is allowed by name.
    pub enum WeakScheme {
        /// No hash at all.
        Plain = "plain",
        /// crypt(3) of old.
        Des = "des",
        /// Its BSDi extension.
        Bsdi = "bsdi",
        /// MD4 of UTF-16.
        Nt = "nt",
        /// MD5 once, salted or not.
        Md5 = "md5",
        /// SHA-1 once, without salt.
        Sha1 = "sha1",
    }
}

settings! {
    /// The pool that computes hashes, and what a stored hash may cost.
    pub struct Hashing {
        /// Threads. 0 means one a core.
        threads: Whole<0, 512> = Whole(0),
        /// Memory of all hashes computed at a time; more wait for their turn. yescrypt needs 16MiB, argon2id what it says.
        memory: Size<8192, 67_108_864> = Size(262_144),
        /// How long a login waits for its turn; after that the answer is a temporary failure instead of a pile-up.
        wait: Time<100, 600_000> = Time(10_000),
        /// Most memory that one stored hash may ask for. Whoever can write a hash into a table could stop the host otherwise.
        max_memory: Size<1024, 16_777_216> = Size(262_144),
        /// Most time that one stored hash may ask for, by estimate.
        max_time: Time<10, 600_000> = Time(5_000),
        /// Schemes allowed although they are weak or no hash at all: "plain", "des", "bsdi", "nt", "md5", "sha1".
        weak: Vec<WeakScheme> = Vec::new(),
        /// bcrypt sees 72 bytes of a password. false refuses longer ones, true ignores the rest as crypt(3) does.
        truncate: bool = false,
        /// Memory of new argon2id hashes.
        argon2_memory: Size<8192, 1_048_576> = Size(19_456),
        /// Passes of new argon2id hashes.
        argon2_passes: Whole<1, 64> = Whole(2),
        /// Replace older schemes of SQLite accounts by argon2id after a successful login.
        upgrade: bool = true,
    }
}

choices! {
    /// For which schemes the cache works.
    pub enum CacheMode {
        /// None.
        Off = "off",
        /// From 2 ms up.
        Costly = "costly",
        /// All.
        All = "all",
    }
}

settings! {
    /// Remembered successes. An entry ends at the next request after the account or its file changed, by whatever program,
    /// so an old password never lives on as in Cyrus's cache.
    pub struct Cache {
        /// "off", "costly" (schemes that take 2 ms or more) or "all". -c means "all" where it would be "off" here.
        mode: CacheMode = CacheMode::Costly,
        /// How long an entry lives after it was made, hits or not. Cyrus's 8 hours: the change of an account ends it, not time.
        time: Time<1_000, { 30 * 86_400_000 }> = Time(28_800_000),
        /// Most entries; the oldest make room. -s KB sets it as the entries that Cyrus would hold in so many KB.
        entries: Whole<1, 10_000_000> = Whole(10_240),
    }
}

choices! {
    /// Where the log goes.
    pub enum LogTo {
        /// Chosen at start.
        Auto = "auto",
        /// Standard error.
        Stderr = "stderr",
        /// /dev/log.
        Syslog = "syslog",
        /// The journal.
        Journal = "journal",
    }
}

choices! {
    /// How important an event is.
    pub enum Level {
        /// Something is broken.
        Error = "error",
        /// Something is odd.
        Warning = "warning",
        /// One event a request.
        Info = "info",
        /// More, without secrets.
        Debug = "debug",
    }
}

settings! {
    /// The log. No password and no hash is in it at any level.
    pub struct Log {
        /// "stderr", "syslog" (/dev/log, facility auth), "journal" (with fields), or "auto": standard error in the foreground
        /// and syslog otherwise.
        to: LogTo = LogTo::Auto,
        /// The least important that is logged: "error", "warning", "info" (one event a request) or "debug".
        level: Level = Level::Info,
        /// Failures also in the shape of Cyrus's line, `auth failure: [user=...] [service=...]`, for parsers that know it.
        cyrus_lines: bool = true,
    }
}
