//! The sections of the configuration: keys, defaults, and the manual of each.
//!
//! The doc comments here are what `--sample-config` and mta.toml(5) print, so they speak to the administrator.

use settings::setting::{At, choices, settings};
use settings::values::{AbsolutePath, Account, Size, Time, Whole};

use super::values::{Address, Name, Place, Port, Recipients, Server};

fn path(text: &str) -> AbsolutePath {
    AbsolutePath(text.into())
}

/// A week.
const WEEK: u32 = 7 * 86_400_000;

settings! {
    /// What belongs to the whole server. These keys stand above the first section.
    pub struct Top {
        /// The name of this host in greetings, `Received:` lines and reports. By default the kernel's name of it; write the whole
        /// name here if that one has no domain.
        hostname: Option<At<Name>> = None,
        /// Domains whose mail is delivered here, besides `localhost`. Say where with a `[[route]]` whose `to` is "local".
        local_domains: At<Vec<Name>> = Vec::new().into(),
        /// Where mail is kept until it is delivered. A local file system; everything is made when it is missing.
        spool: At<AbsolutePath> = path("/var/spool/mta").into(),
        /// The directory of the pid file and of the control socket.
        run_dir: At<AbsolutePath> = path("/run/mta").into(),
        /// The socket on which `mailauth queue` asks. By default `control` in the run directory.
        control: Option<At<AbsolutePath>> = None,
        /// A group whose members may ask and change by `mailauth queue`, besides root.
        operators: Option<At<Account>> = None,
        /// The user of the process that hears clients. `mta --create-users` makes it.
        receiver_user: At<String> = "mta".to_owned().into(),
        /// The user of the process that speaks to other servers. `mta --create-users` makes it.
        sender_user: At<String> = "mta-out".to_owned().into(),
    }
}

settings! {
    /// Whom we ask who may log in, who may relay, and which TLS must be: saslauthd(8).
    pub struct Daemon {
        /// The socket that checks logins in Dovecot's auth protocol: one of saslauthd.toml(5) with `protocol = "auth"`, or
        /// Dovecot's own.
        auth: At<AbsolutePath> = path("/run/saslauthd/auth").into(),
        /// A socket of Cyrus's protocol that checks logins instead: PLAIN and LOGIN alone, and no address of the client is told.
        mux: Option<At<AbsolutePath>> = None,
        /// The socket that decides by the access map: one of saslauthd.toml(5) with `protocol = "policy"`.
        policy: At<AbsolutePath> = path("/run/saslauthd/policy").into(),
        /// How long an answer may take. Without one the client hears of a temporary failure.
        deadline: Time<1_000, 600_000> = Time(45_000),
    }
}

choices! {
    /// What a listener is for.
    pub enum RoleWord {
        /// Port 587.
        Submission = "submission",
        /// Port 465.
        Submissions = "submissions",
        /// Port 25.
        Relay = "relay",
    }
}

settings! {
    /// Where mail is received; repeat the section for more. Without any there is one of each role on its usual port of all
    /// addresses, or on free ports of the loopback addresses if `mta` is not started as root.
    pub struct Listener {
        /// "submission" (587: people and machines that are known, after STARTTLS), "submissions" (465: the same inside TLS from the
        /// first byte, which RFC 8314 prefers) or "relay" (25: other servers). Must be given.
        role: Option<RoleWord> = None,
        /// Where it listens, by default on all addresses. Without a port the role's usual one; with port 0 a free one.
        addresses: Vec<At<Place>> = vec![
            Place { address: std::net::Ipv4Addr::UNSPECIFIED.into(), port: None }.into(),
            Place { address: std::net::Ipv6Addr::UNSPECIFIED.into(), port: None }.into(),
        ],
        /// Addresses of proxies (haproxy, stunnel). They must say whom they speak for by a PROXY header; nobody else may.
        proxies: Vec<Address> = Vec::new(),
    }
}

settings! {
    /// A certificate that clients are shown; repeat the section for more names. Each client gets the one for the name that it
    /// asks for, otherwise the first. Without any it is /etc/mta/tls/HOSTNAME.pem with the key HOSTNAME.key, which
    /// `mailauth cert init --directory /etc/mta/tls --name HOSTNAME` makes. The files are looked at every minute: a new
    /// certificate is in use without a restart.
    pub struct Certificate {
        /// The certificate and those between it and its authority, PEM. Let's Encrypt's fullchain.pem. Must be given.
        certificate: Option<At<AbsolutePath>> = None,
        /// Its key, PEM. Let's Encrypt's privkey.pem. Others must not be able to read it. Must be given.
        key: Option<At<AbsolutePath>> = None,
    }
}

settings! {
    /// A certificate that servers are shown when they ask for one; repeat the section for those that `CertFile` names in
    /// `TLS_Clt_features:` lines of the access map.
    pub struct ClientCertificate {
        /// The certificate and those between it and its authority, PEM. Must be given.
        certificate: Option<At<AbsolutePath>> = None,
        /// Its key, PEM. Must be given.
        key: Option<At<AbsolutePath>> = None,
        /// Whether every server may see it; false leaves it to the lines of the map that name it. One at most is for all.
        for_all: bool = true,
    }
}

choices! {
    /// Whether clients are asked for a certificate.
    pub enum AskWord {
        /// They are.
        Always = "always",
        /// They aren't.
        Never = "never",
    }
}

settings! {
    /// Whose certificates are believed.
    pub struct Tls {
        /// Authorities whose certificates let clients relay where the access map says so: PEM files.
        client_authorities: Vec<At<AbsolutePath>> = Vec::new(),
        /// Authorities of servers that mail is sent to: PEM files. Without any it is the host's own list,
        /// /etc/ssl/certs/ca-certificates.crt.
        server_authorities: Vec<At<AbsolutePath>> = Vec::new(),
        /// Lists of revoked certificates, of clients and servers: PEM or DER files.
        revoked: Vec<At<AbsolutePath>> = Vec::new(),
        /// Whether clients are asked for a certificate: "always" or "never", but for those of whom `Srv_Features:` has `V` or
        /// `v`. No connection fails for want of one.
        ask: AskWord = AskWord::Always,
    }
}

settings! {
    /// What one client, and all of them, may use.
    pub struct Limits {
        /// Largest message.
        message: Size<64, 1_048_576> = Size(51_200),
        /// Most recipients of a message. RFC 5321 wants 100 at least.
        recipients: Whole<1, 100_000> = Whole(1000),
        /// Most connections at a time.
        connections: Whole<1, 1_000_000> = Whole(20_000),
        /// Most connections of one address at a time.
        connections_per_address: Whole<1, 1_000_000> = Whole(50),
        /// How long the next command is waited for (RFC 5321: 5 minutes at least).
        command: Time<1_000, 3_600_000> = Time(300_000),
        /// How long a login, with all before it, may take on a submission listener.
        login: Time<1_000, 3_600_000> = Time(120_000),
        /// How long the next piece of a message is waited for (RFC 5321: 3 minutes at least).
        data: Time<1_000, 3_600_000> = Time(180_000),
    }
}

settings! {
    /// How much is kept.
    pub struct Keep {
        /// Most messages in the spool; clients hear 452 when there are so many.
        messages: Whole<1, 100_000_000> = Whole(100_000),
        /// Space that is left free on the spool's disk; clients hear 452 when less would be left.
        reserve: Size<0, { u32::MAX }> = Size(102_400),
    }
}

choices! {
    /// Whether the DNS may lead to this host.
    pub enum OwnAddressesWord {
        /// No.
        Refused = "refused",
        /// Yes.
        Permitted = "permitted",
    }
}

choices! {
    /// Whether mail may go in the clear after a TLS handshake that failed.
    pub enum FallBackWord {
        /// No.
        Never = "never",
        /// Once.
        Once = "once",
    }
}

settings! {
    /// How mail is sent.
    pub struct Delivery {
        /// Waits after the first, second, … failure; the last one repeats.
        retry: At<Vec<Time<100, WEEK>>> = vec![
            Time(300_000), Time(900_000), Time(1_800_000), Time(3_600_000), Time(7_200_000), Time(14_400_000),
        ].into(),
        /// After which time the sender is told that it takes longer.
        warn_after: Time<1_000, WEEK> = Time(14_400_000),
        /// After which time a message comes back.
        give_up_after: At<Time<1_000, { 5 * WEEK }>> = Time(5 * 86_400_000).into(),
        /// Most connections at a time.
        connections: Whole<1, 100_000> = Whole(100),
        /// Most connections to one destination at a time.
        connections_per_destination: Whole<1, 10_000> = Whole(10),
        /// Whether mail whose TLS handshake failed may go in the clear: "never" or "once", which is sendmail's
        /// TLSFallbacktoClear. Never where the access map demands TLS.
        clear_after_failed_handshake: FallBackWord = FallBackWord::Never,
        /// Whether the DNS may lead to this host's own addresses, loopback and link-local: "refused" or "permitted".
        own_addresses: OwnAddressesWord = OwnAddressesWord::Refused,
        /// Name servers to ask, instead of those in /etc/resolv.conf.
        name_servers: Vec<Place> = Vec::new(),
        /// The port of other servers.
        port: Port = Port(25),
    }
}

choices! {
    /// How TLS is begun with a configured server.
    pub enum BeginWord {
        /// If it offers it.
        IfOffered = "if-offered",
        /// By STARTTLS or not at all.
        StartTls = "starttls",
        /// From the first byte.
        Implicit = "implicit",
    }
}

settings! {
    /// A server that everything goes to that no `[[route]]` says otherwise of. Without this section mail goes where the DNS says.
    pub struct Smarthost {
        /// Its name, or its address. Must be given.
        host: Option<Server> = None,
        /// Its port. By default 587, or 465 when TLS begins at once.
        port: Option<Port> = None,
        /// "starttls" or "implicit", both with a certificate of its name or not at all, or "if-offered".
        tls: At<BeginWord> = BeginWord::StartTls.into(),
        /// Who we are there. Said inside TLS with a certificate of its name only.
        user: Option<At<String>> = None,
        /// The file with our password there, on its first line. Others must not be able to read it.
        password_file: Option<At<AbsolutePath>> = None,
    }
}

choices! {
    /// Which way a route goes.
    pub enum ViaWord {
        /// By the DNS.
        Mx = "mx",
        /// By SMTP.
        Smtp = "smtp",
        /// By LMTP.
        Lmtp = "lmtp",
        /// Into files.
        Maildir = "maildir",
        /// Back.
        Refuse = "refuse",
    }
}

settings! {
    /// Where mail of certain recipients goes; repeat the section for more. The first that fits counts.
    pub struct Route {
        /// "local" (all of `local_domains`), a domain, a domain after a dot for all below it, or "*". Must be given.
        to: Option<Recipients> = None,
        /// "smtp" or "lmtp" (the server `host`, or for LMTP the socket `socket`), "mx" (the servers that the DNS names),
        /// "maildir" (below `directory`) or "refuse" (back with `text`). Must be given.
        via: Option<At<ViaWord>> = None,
        /// The server's name or address; no MX is asked for.
        host: Option<Server> = None,
        /// Its port. By default 25, 465 when TLS begins at once, and 24 for LMTP.
        port: Option<Port> = None,
        /// How TLS begins: "if-offered", or "starttls" or "implicit", both with a certificate of its name or not at all.
        tls: At<BeginWord> = BeginWord::IfOffered.into(),
        /// Who we are there. Said inside TLS with a certificate of its name only.
        user: Option<At<String>> = None,
        /// The file with our password there, on its first line. Others must not be able to read it.
        password_file: Option<At<AbsolutePath>> = None,
        /// The Unix socket of an LMTP server, such as Cyrus's or Dovecot's.
        socket: Option<AbsolutePath> = None,
        /// The directory that has a maildir for each address.
        directory: Option<AbsolutePath> = None,
        /// What senders are told.
        text: Option<String> = None,
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
    /// How important a line is.
    pub enum LogLevel {
        /// Something does not work.
        Error = "error",
        /// Something may not work soon.
        Warning = "warning",
        /// Something unusual.
        Notice = "notice",
        /// What happened.
        Info = "info",
    }
}

settings! {
    /// The log. No password is in it at any level.
    pub struct Log {
        /// "stderr", "syslog" (/dev/log, facility mail), "journal", or "auto": standard error in the foreground and syslog otherwise.
        to: LogTo = LogTo::Auto,
        /// The least important that is logged: "error", "warning", "notice" or "info" (a line or two for each message).
        level: LogLevel = LogLevel::Info,
    }
}
