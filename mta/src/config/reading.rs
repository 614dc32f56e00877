//! From the text to the final types: what is missing, what excludes each other, and what follows from what.
//!
//! Pure: no file is opened and no name looked up, since children read the same text again where they can do neither.

mod hops;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use settings::complaint::{Complaints, Report};
use settings::setting::{At, Keys, Section};
use settings::tables::{self, read_repeated, read_section, read_table};
use settings::values::AbsolutePath;

use super::sections::{
    self, AskWord, Certificate, ClientCertificate, FallBackWord, LogLevel, OwnAddressesWord,
    RoleWord, Top,
};
use super::values::Place;
use super::{
    AskForCertificate, Config, Daemon, Delivery, FallBack, Keep, KeyPair, Limits, Listener, Logins,
    Operation, OwnAddresses, Role, Tls,
};
use crate::control::Level;

/// Most addresses of all listeners together: so many descriptors go into one message.
const MOST_ADDRESSES: usize = sys::channel::MAX_DESCRIPTORS;
/// Where the first certificate is if nobody says.
const DIRECTORY: &str = "/etc/mta/tls";

/// The file as it is written.
#[derive(Default)]
struct File {
    top: Top,
    daemon: sections::Daemon,
    listeners: Vec<At<sections::Listener>>,
    certificates: Vec<At<Certificate>>,
    client_certificates: Vec<At<ClientCertificate>>,
    tls: sections::Tls,
    limits: sections::Limits,
    keep: sections::Keep,
    delivery: sections::Delivery,
    smarthost: Option<At<sections::Smarthost>>,
    routes: Vec<At<sections::Route>>,
    log: sections::Log,
}

/// Reads a configuration. `path` is for messages.
pub(super) fn parse(path: &str, text: &str) -> Result<Config, Report> {
    let mut file = File::default();
    let first = tables::document(path, text, |keys| file.read(keys))?;
    let mut later = Complaints::default();
    let config = file.finish(&mut later);
    let complaints = first.and(later, text);
    if complaints.is_empty() { Ok(config) } else { Err(complaints.into_report(path, text)) }
}

impl File {
    fn read(&mut self, keys: &mut Keys<'_, '_>) {
        self.top.read(keys);
        read_section("daemon", &mut self.daemon, keys);
        read_section("tls", &mut self.tls, keys);
        read_section("limits", &mut self.limits, keys);
        read_section("keep", &mut self.keep, keys);
        read_section("delivery", &mut self.delivery, keys);
        read_section("log", &mut self.log, keys);
        if let Some(value) = keys.raw("smarthost") {
            let mut smarthost = sections::Smarthost::default();
            read_table(value, &mut smarthost, keys.complaints());
            self.smarthost = Some(At { value: smarthost, at: Some(value.span()) });
        }
        self.listeners = read_repeated("listener", keys);
        self.certificates = read_repeated("certificate", keys);
        self.client_certificates = read_repeated("client_certificate", keys);
        self.routes = read_repeated("route", keys);
    }

    fn finish(self, complaints: &mut Complaints) -> Config {
        let hostname = match &self.top.hostname {
            Some(name) => name.value.0.clone(),
            None => sys::clock::hostname().to_ascii_lowercase(),
        };
        let smarthost = self.smarthost.as_ref().and_then(|s| hops::smarthost(s, complaints));
        let local_domains: Vec<String> =
            self.top.local_domains.value.iter().map(|name| name.0.clone()).collect();
        let routes = hops::routes(&self.routes, complaints);
        hops::complain_of_homeless(&self.top.local_domains, &routes, complaints);
        Config {
            spool: self.top.spool.value.0.clone(),
            local_domains,
            daemon: daemon(&self.daemon, complaints),
            listeners: listeners(&self.listeners, complaints),
            tls: self.tls(&hostname, complaints),
            limits: limits(&self.limits),
            keep: Keep {
                messages: self.keep.messages.0.into(),
                reserve: u64::from(self.keep.reserve.0) * 1024,
            },
            delivery: self.delivery(smarthost, complaints),
            routes,
            operation: operation(self.top, &self.log),
            hostname,
        }
    }

    fn tls(&self, hostname: &str, complaints: &mut Complaints) -> Tls {
        let mut certificates: Vec<KeyPair> = self
            .certificates
            .iter()
            .filter_map(|section| {
                let pair = (&section.value.certificate, &section.value.key);
                key_pair(pair, &section.at, complaints)
            })
            .collect();
        if certificates.is_empty() {
            let directory = Path::new(DIRECTORY);
            certificates.push(KeyPair {
                certificate: directory.join(format!("{hostname}.pem")),
                key: directory.join(format!("{hostname}.key")),
            });
        }
        let (mut client_certificate, mut feature_certificates) = (None, Vec::new());
        for section in &self.client_certificates {
            let pair = (&section.value.certificate, &section.value.key);
            let Some(pair) = key_pair(pair, &section.at, complaints) else { continue };
            if !section.value.for_all {
                feature_certificates.push(pair);
            } else if client_certificate.replace(pair).is_some() {
                let message =
                    "one [[client_certificate]] is for all already; write for_all = false";
                complaints.add(section.at.clone(), message);
            }
        }
        Tls {
            certificates,
            client_authorities: paths(&self.tls.client_authorities),
            server_authorities: paths(&self.tls.server_authorities),
            revoked: paths(&self.tls.revoked),
            client_certificate,
            feature_certificates,
            ask: match self.tls.ask {
                AskWord::Always => AskForCertificate::Always,
                AskWord::Never => AskForCertificate::Never,
            },
        }
    }

    fn delivery(&self, smarthost: Option<super::Via>, complaints: &mut Complaints) -> Delivery {
        let delivery = &self.delivery;
        if delivery.retry.value.is_empty() {
            complaints.add(delivery.retry.at.clone(), "write one wait at least, such as \"15m\"");
        }
        if delivery.give_up_after.value.0 < delivery.warn_after.0 {
            let message = "mail comes back before its sender is told that it takes longer; \
                           make it longer than warn_after";
            complaints.add(delivery.give_up_after.at.clone(), message);
        }
        Delivery {
            smarthost,
            retry: delivery.retry.value.iter().map(|wait| milliseconds(wait.0)).collect(),
            warn_after: milliseconds(delivery.warn_after.0),
            give_up_after: milliseconds(delivery.give_up_after.value.0),
            connections: count(delivery.connections.0),
            connections_per_destination: count(delivery.connections_per_destination.0),
            clear_after_failed_handshake: match delivery.clear_after_failed_handshake {
                FallBackWord::Never => FallBack::Never,
                FallBackWord::Once => FallBack::Once,
            },
            own_addresses: match delivery.own_addresses {
                OwnAddressesWord::Refused => OwnAddresses::Refused,
                OwnAddressesWord::Permitted => OwnAddresses::Permitted,
            },
            name_servers: delivery.name_servers.iter().map(|place| place.with_port(53)).collect(),
            port: delivery.port.0,
        }
    }
}

fn daemon(section: &sections::Daemon, complaints: &mut Complaints) -> Daemon {
    if let (Some(mux), true) = (&section.mux, section.auth.at.is_some()) {
        complaints.add(mux.at.clone(), "logins are checked by `auth` already; keep one of both");
    }
    Daemon {
        logins: match &section.mux {
            Some(mux) => Logins::Mux(mux.value.0.clone()),
            None => Logins::Auth(section.auth.value.0.clone()),
        },
        policy: section.policy.value.0.clone(),
        deadline: milliseconds(section.deadline.0),
    }
}

fn listeners(written: &[At<sections::Listener>], complaints: &mut Complaints) -> Vec<Listener> {
    if written.is_empty() {
        return [Role::Submission, Role::Submissions, Role::Relay].map(everywhere).into();
    }
    let mut seen = Vec::new();
    let mut listeners = Vec::new();
    for section in written {
        let Some(listener) = listener(section, complaints) else { continue };
        for (address, place) in listener.addresses.iter().zip(&section.value.addresses) {
            if address.port() != 0 && seen.contains(address) {
                let at = place.at.clone().or_else(|| section.at.clone());
                complaints.add(at, format!("{address} is listened on already"));
            }
            seen.push(*address);
        }
        listeners.push(listener);
    }
    if seen.len() > MOST_ADDRESSES {
        let at = written.last().and_then(|section| section.at.clone());
        complaints.add(at, format!("more than {MOST_ADDRESSES} addresses of all listeners"));
    }
    listeners
}

fn listener(section: &At<sections::Listener>, complaints: &mut Complaints) -> Option<Listener> {
    let Some(role) = section.value.role else {
        complaints.add(section.at.clone(), "say what it is for: role = \"submission\"");
        return None;
    };
    let role = match role {
        RoleWord::Submission => Role::Submission,
        RoleWord::Submissions => Role::Submissions,
        RoleWord::Relay => Role::Relay,
    };
    let addresses = section.value.addresses.iter();
    Some(Listener {
        role,
        addresses: addresses.map(|place| place.value.with_port(role.port())).collect(),
        proxies: section.value.proxies.iter().map(|proxy| proxy.0).collect(),
    })
}

/// The usual port of all addresses.
fn everywhere(role: Role) -> Listener {
    let all = [Place::from(std::net::IpAddr::from(Ipv4Addr::UNSPECIFIED))]
        .into_iter()
        .chain([Place::from(std::net::IpAddr::from(Ipv6Addr::UNSPECIFIED))]);
    let addresses = all.map(|place| place.with_port(role.port())).collect();
    Listener { role, addresses, proxies: Vec::new() }
}

fn limits(section: &sections::Limits) -> Limits {
    Limits {
        message: u64::from(section.message.0) * 1024,
        recipients: section.recipients.0,
        connections: count(section.connections.0),
        connections_per_address: count(section.connections_per_address.0),
        command: milliseconds(section.command.0),
        login: milliseconds(section.login.0),
        data: milliseconds(section.data.0),
    }
}

fn operation(top: Top, log: &sections::Log) -> Operation {
    let run_dir = top.run_dir.value.0;
    Operation {
        control: top.control.map_or_else(|| run_dir.join("control"), |control| control.value.0),
        run_dir,
        operators: top.operators.map(|group| group.value),
        receiver_user: top.receiver_user.value,
        sender_user: top.sender_user.value,
        log_to: log.to,
        log_level: match log.level {
            LogLevel::Error => Level::Error,
            LogLevel::Warning => Level::Warning,
            LogLevel::Notice => Level::Notice,
            LogLevel::Info => Level::Info,
        },
    }
}

fn key_pair(
    (certificate, key): (&Option<At<AbsolutePath>>, &Option<At<AbsolutePath>>),
    section: &Option<Range<usize>>,
    complaints: &mut Complaints,
) -> Option<KeyPair> {
    let (Some(certificate), Some(key)) = (certificate, key) else {
        complaints.add(section.clone(), "write both, certificate = and key =");
        return None;
    };
    Some(KeyPair { certificate: certificate.value.0.clone(), key: key.value.0.clone() })
}

fn paths(written: &[At<AbsolutePath>]) -> Vec<PathBuf> {
    written.iter().map(|path| path.value.0.clone()).collect()
}

fn milliseconds(number: u32) -> Duration {
    Duration::from_millis(number.into())
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
