//! Which files each child needs: opened by the parent, and handed over.
//!
//! A child gets what its job needs and no other: keys of the receiver's certificates never reach the sender, and no
//! password of a smarthost the receiver.

use std::path::{Path, PathBuf};

use super::{Config, KeyPair, Via};

/// Where the host keeps the authorities that it believes, under which they are in the sender's material.
pub const HOST_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Name servers of the host, under which they are in the sender's material unless the configuration names others.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holds {
    /// Certificates or lists of revoked ones.
    Public,
    /// A key or a password: nobody else may be able to read it.
    Secret,
    /// What the host has, or hasn't.
    Optional,
}

/// A file that a child needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needed {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub holds: Holds,
}

/// Which child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    /// Hears clients.
    Receiver,
    /// Speaks to other servers.
    Sender,
}

impl Config {
    /// The files that a child needs, each once.
    pub fn files(&self, child: Child) -> Vec<Needed> {
        let mut needed = Vec::new();
        let mut add = |path: &Path, holds| needed.push(Needed { path: path.to_owned(), holds });
        let mut add_pair = |pair: &KeyPair| {
            add(&pair.certificate, Holds::Public);
            add(&pair.key, Holds::Secret);
        };
        match child {
            Child::Receiver => {
                self.tls.certificates.iter().for_each(add_pair);
                self.tls.client_authorities.iter().for_each(|path| add(path, Holds::Public));
            }
            Child::Sender => {
                let pairs = self.tls.client_certificate.iter();
                pairs.chain(&self.tls.feature_certificates).for_each(&mut add_pair);
                self.tls.server_authorities.iter().for_each(|path| add(path, Holds::Public));
                if self.tls.server_authorities.is_empty() {
                    add(Path::new(HOST_AUTHORITIES), Holds::Optional);
                }
                if self.delivery.name_servers.is_empty() {
                    add(Path::new(RESOLV_CONF), Holds::Optional);
                }
                self.passwords().for_each(|path| add(path, Holds::Secret));
            }
        }
        self.tls.revoked.iter().for_each(|path| add(path, Holds::Public));
        needed.sort();
        needed.dedup();
        needed
    }

    fn passwords(&self) -> impl Iterator<Item = &Path> {
        let ways = self.delivery.smarthost.iter().chain(self.routes.iter().map(|route| &route.via));
        ways.filter_map(|via| match via {
            Via::Smtp(server) | Via::LmtpTcp(server) => server.login.as_ref(),
            _ => None,
        })
        .map(|login| login.password.as_path())
    }
}
