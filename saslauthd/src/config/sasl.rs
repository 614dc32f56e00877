//! The section of SASL mechanisms, and what the checker is told of it.
//!
//! Runs in the parent. The doc comments here are what `--sample-config` and saslauthd.toml(5) print, so they
//! speak to the administrator.

use ipc::config as task;
use toml::Spanned;
use toml::de::DeValue;

use super::complaint::Complaints;
use super::plan::Planner;
use super::sections::{Protocol, Socket};
use super::setting::{At, Setting, choices, mismatch, settings};

choices! {
    /// A SASL mechanism.
    pub enum Mechanism {
        /// RFC 4616.
        Plain = "PLAIN",
        /// Its ancestor.
        Login = "LOGIN",
        /// RFC 5802.
        ScramSha1 = "SCRAM-SHA-1",
        /// Bound to the TLS channel.
        ScramSha1Plus = "SCRAM-SHA-1-PLUS",
        /// RFC 7677.
        ScramSha256 = "SCRAM-SHA-256",
        /// Bound to the TLS channel.
        ScramSha256Plus = "SCRAM-SHA-256-PLUS",
        /// The longest hash.
        ScramSha512 = "SCRAM-SHA-512",
        /// Bound to the TLS channel.
        ScramSha512Plus = "SCRAM-SHA-512-PLUS",
        /// RFC 4422 appendix A.
        External = "EXTERNAL",
        /// RFC 2195.
        CramMd5 = "CRAM-MD5",
        /// RFC 2831.
        DigestMd5 = "DIGEST-MD5",
        /// RFC 4505.
        Anonymous = "ANONYMOUS",
    }
}

choices! {
    /// A SCRAM mechanism that keys are derived for.
    pub enum Scram {
        /// RFC 5802.
        Sha1 = "SCRAM-SHA-1",
        /// RFC 7677.
        Sha256 = "SCRAM-SHA-256",
        /// The longest hash.
        Sha512 = "SCRAM-SHA-512",
    }
}

/// What is offered: what serves everybody, or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// What serves everybody.
    Auto,
    /// These.
    Listed(Vec<Mechanism>),
}

impl Setting for Offer {
    fn expected() -> String {
        "\"auto\" or a list of mechanisms".into()
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        match value.get_ref() {
            DeValue::Array(_) => Vec::parse(value, complaints).map(Self::Listed),
            other if other.as_str() == Some("auto") => Some(Self::Auto),
            _ => mismatch(value, complaints),
        }
    }

    fn show(&self) -> Option<String> {
        match self {
            Self::Auto => Some("\"auto\"".into()),
            Self::Listed(list) => list.show(),
        }
    }

    fn example() -> &'static str {
        "[\"PLAIN\", \"LOGIN\"]"
    }
}

/// A list of mechanisms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(pub Vec<Mechanism>);

impl Setting for List {
    fn expected() -> String {
        "a list of mechanisms".into()
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        Vec::parse(value, complaints).map(Self)
    }

    fn show(&self) -> Option<String> {
        self.0.show()
    }

    fn example() -> &'static str {
        "[\"SCRAM-SHA-256\"]"
    }
}

settings! {
    /// SASL mechanisms on the sockets with protocol = "auth".
    pub struct Sasl {
        /// "auto", or a list. "auto" offers PLAIN and LOGIN; EXTERNAL where `certificate_uids` names somebody; and each SCRAM
        /// mechanism while every account could use it, since a client that sees it takes it, and would be refused with its right
        /// password. So SCRAM is never offered by itself beside shadow files and foreign tables. A list is offered as far
        /// as some backend can serve it: CRAM-MD5 and DIGEST-MD5 need a sasldb and are weak, ANONYMOUS lets everybody in.
        mechanisms: Offer = Offer::Auto,
        /// What may be used although the mail server didn't say that its client speaks TLS. A password that crosses a network in
        /// the clear is known to whoever listens.
        before_tls: List = List::default(),
        /// The SCRAM mechanisms that SQLite accounts get keys for: at their next login with a password, so that a store of
        /// hashes grows them without anybody's doing. An empty list derives none.
        derive: Vec<Scram> = vec![Scram::Sha256, Scram::Sha512],
        /// Logins that may act for any other: a client that proves to be one of them is let in as whom it asks for (its authzid),
        /// if that account may log in. Everybody else is only ever itself.
        masters: Vec<String> = Vec::new(),
        /// The names by which clients know the mail server, for CRAM-MD5 and DIGEST-MD5. By default the host's name.
        hosts: Vec<String> = Vec::new(),
    }
}

impl Planner<'_> {
    /// SASL for the checker; `sockets` are the listener's.
    pub(super) fn sasl(&mut self, sockets: &[task::Socket]) -> task::Sasl {
        let sasl = &self.config.sasl;
        let realm = &self.config.mapping.default_realm;
        let host = self.host.name.clone();
        let default = [At::from(Socket::default())];
        let written = if self.config.sockets.is_empty() { &default } else { &*self.config.sockets };
        task::Sasl {
            sockets: written
                .iter()
                .zip(sockets)
                .map(|(written, socket)| of_socket(&written.value, socket, sasl))
                .collect(),
            masters: sasl.masters.clone(),
            derive: task::Mechanisms::of_names(sasl.derive.iter().map(|scram| scram.word())),
            hosts: if sasl.hosts.is_empty() { vec![host] } else { sasl.hosts.clone() },
            // The host's name is no realm here: who is `alice` by PLAIN must not be `alice` of somewhere by DIGEST-MD5.
            realms: if realm.is_empty() { Vec::new() } else { vec![realm.clone()] },
        }
    }
}

fn of_socket(written: &Socket, socket: &task::Socket, sasl: &Sasl) -> task::SaslSocket {
    let offered = match written.protocol {
        Protocol::Auth => None,
        Protocol::Userdb => Some(task::Offered::Users),
        Protocol::Mux | Protocol::Pwcheck | Protocol::Policy => Some(task::Offered::Nothing),
    };
    if let Some(offered) = offered {
        return task::SaslSocket { offered, ..task::SaslSocket::default() };
    }
    let bits = |list: &[Mechanism]| task::Mechanisms::of_names(list.iter().map(|one| one.word()));
    task::SaslSocket {
        offered: match written.mechanisms.as_ref().unwrap_or(&sasl.mechanisms) {
            Offer::Auto => task::Offered::Auto,
            Offer::Listed(list) => task::Offered::Listed(bits(list)),
        },
        before_tls: bits(&written.before_tls.as_ref().unwrap_or(&sasl.before_tls).0),
        certificates: if socket.auth.certificate_uids.is_empty() {
            task::Certificates::NotStated
        } else {
            task::Certificates::Stated
        },
    }
}
