//! From a domain to the servers that take its mail, in the order in which they are tried.
//!
//! Runs in the sender. Records are a stranger's words: their number is bounded, they may not lead to this host (I6), and a
//! name server that doesn't answer is no answer: the mail waits. Between the records and their use is where DANE and
//! MTA-STS belong: [`Target`] is what they would say more of.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;

use super::route::Hop;
use super::transport::Reply;
use crate::config::files::RESOLV_CONF;
use crate::config::{Config, OwnAddresses, Server};
use crate::control::Material;
use crate::tls::Unusable;

/// Most servers of a domain that are looked at.
const SERVERS: usize = 20;
/// Most addresses of a server that are tried.
const ADDRESSES: usize = 8;
/// Most addresses that are tried for a message at a time.
const TARGETS: usize = 24;

/// A server at one address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Its name, without a dot at its end; or an address literal, when it has none.
    pub host: String,
    /// Where it is.
    pub address: SocketAddr,
}

impl Target {
    /// `mx.example.org [192.0.2.1]`
    pub fn label(&self) -> String {
        format!("{} [{}]", self.host, self.address.ip())
    }

    /// As TLS has it: an address without its brackets.
    pub fn tls_name(&self) -> &str {
        bare(&self.host)
    }

    /// As the log has it: `mx.example.org. [192.0.2.1]`.
    pub fn relay(&self) -> String {
        let dot = if self.host.starts_with('[') { "" } else { "." };
        format!("{}{dot} [{}]", self.host, self.address.ip())
    }
}

/// Asks name servers. Answers are kept as long as they may be.
pub struct Resolver {
    /// `None` when the host names no name server: nobody knows anything then, and mail that needs none still goes.
    inner: Option<TokioResolver>,
}

/// What there is of a name.
enum Records {
    Some(Vec<RData>),
    /// The name has none of this type.
    None,
    /// There is no such name.
    NoName,
}

impl Resolver {
    /// Asks those of the settings, or those of the host's resolv.conf as it was handed over.
    ///
    /// # Errors
    /// They can't be asked at all.
    pub fn new(config: &Config, files: &Material) -> Result<Self, Unusable> {
        let unusable = |error: NetError| Unusable(format!("delivery.name_servers: {error}"));
        let servers = &config.delivery.name_servers;
        let handed = files.files.get(Path::new(RESOLV_CONF)).map(Vec::as_slice);
        let (servers, mut options) = if servers.is_empty() {
            let Ok(host) = parse_resolv_conf(handed.unwrap_or_default()) else {
                return Ok(Self { inner: None });
            };
            host
        } else {
            let servers = servers.iter().map(|address| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                let connections = connections.map(|mut connection| {
                    connection.port = address.port();
                    connection
                });
                NameServerConfig::new(address.ip(), true, connections.into())
            });
            let servers = ResolverConfig::from_name_servers(servers.collect());
            (servers, ResolverOpts::default())
        };
        bound(&mut options);
        let provider = TokioRuntimeProvider::default();
        let builder = TokioResolver::builder_with_config(servers, provider).with_options(options);
        Ok(Self { inner: Some(builder.build().map_err(unusable)?) })
    }

    fn inner(&self) -> Result<&TokioResolver, Reply> {
        self.inner.as_ref().ok_or_else(|| {
            let text = "no name server is known; write delivery.name_servers, or mend resolv.conf";
            Reply::local(451, 4, 3, text)
        })
    }

    /// The servers of a hop, the first to be tried first; at least one.
    ///
    /// # Errors
    /// Why there is none: for ever, or for now.
    pub async fn targets(&self, config: &Config, hop: &Hop) -> Result<Vec<Target>, Reply> {
        match hop {
            Hop::Smtp(server) | Hop::LmtpTcp(server) => self.configured(server).await,
            Hop::Literal(address) => {
                let target = literal(*address, config.delivery.port);
                usable(config, &target.host.clone(), vec![target])
            }
            Hop::Mx(domain) => self.exchangers(config, domain).await,
            _ => Err(Reply::local(451, 3, 5, "this next hop has no server")),
        }
    }

    /// Its address may be one of this host: the administrator said so.
    async fn configured(&self, server: &Server) -> Result<Vec<Target>, Reply> {
        let Server { host, port, .. } = server;
        if let Ok(address) = bare(host).parse::<IpAddr>() {
            return Ok(vec![literal(address, *port)]);
        }
        // What an administrator wrote wrongly is mended by one: it isn't the sender's fault.
        let unknown = |why: &str| Reply::local(451, 4, 4, format!("{host}: {why}"));
        let found = self.inner()?.lookup_ip(absolute(host).map_err(|_| unknown("no name"))?).await;
        let found = found.map_err(|error| unknown(&error.to_string()))?;
        let targets = found.iter().take(ADDRESSES).map(|address| Target {
            host: host.trim_end_matches('.').to_owned(),
            address: SocketAddr::new(address, *port),
        });
        let targets: Vec<_> = targets.collect();
        if targets.is_empty() { Err(unknown("it has no address")) } else { Ok(targets) }
    }

    async fn exchangers(&self, config: &Config, domain: &str) -> Result<Vec<Target>, Reply> {
        let name = absolute(domain).map_err(|()| {
            Reply::local(550, 1, 2, format!("{domain} is no name that the DNS could have"))
        })?;
        let hosts = match self.records(name, RecordType::MX, domain).await? {
            Records::NoName => {
                return Err(Reply::local(550, 1, 2, format!("there is no domain {domain}")));
            }
            // RFC 5321 section 5.1: then the domain is its own server.
            Records::None => vec![domain.to_owned()],
            Records::Some(records) => servers(config, domain, &records, &mut shuffled)?,
        };
        let mut targets = Vec::new();
        let mut waiting = None;
        for host in &hosts {
            match self.addresses(host).await {
                Ok(addresses) => targets.extend(addresses.into_iter().map(|address| Target {
                    host: host.clone(),
                    address: SocketAddr::new(address, config.delivery.port),
                })),
                Err(reply) => waiting = Some(reply),
            }
            if targets.len() >= TARGETS {
                break;
            }
        }
        targets.truncate(TARGETS);
        match waiting {
            // Nobody knows yet whether it has a server.
            Some(reply) if targets.is_empty() => Err(reply),
            _ if targets.is_empty() => {
                let text = format!("no server of {domain} has an address");
                Err(Reply::local(550, 4, 4, text))
            }
            _ => usable(config, domain, targets),
        }
    }

    /// All addresses of a host; none if it has none. Fails only when nobody knows.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Reply> {
        let Ok(name) = absolute(host) else { return Ok(Vec::new()) };
        let (six, four) = tokio::join!(
            self.records(name.clone(), RecordType::AAAA, host),
            self.records(name, RecordType::A, host),
        );
        let mut addresses: Vec<IpAddr> = Vec::new();
        let mut waiting = None;
        for answer in [six, four] {
            match answer {
                Ok(Records::Some(records)) => {
                    let found = records.iter().take(ADDRESSES).filter_map(|record| match record {
                        RData::A(address) => Some(IpAddr::V4(address.0)),
                        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                        _ => None,
                    });
                    addresses.extend(found);
                }
                Ok(Records::None | Records::NoName) => {}
                Err(reply) => waiting = Some(reply),
            }
        }
        match waiting {
            Some(reply) if addresses.is_empty() => Err(reply),
            _ => Ok(addresses),
        }
    }

    async fn records(&self, name: Name, kind: RecordType, said: &str) -> Result<Records, Reply> {
        let error = match self.inner()?.lookup(name, kind).await {
            Ok(found) => {
                let records = found.answers().iter().map(|record| record.data.clone());
                let records: Vec<_> =
                    records.filter(|data| data.record_type() == kind).take(4 * SERVERS).collect();
                return Ok(if records.is_empty() { Records::None } else { Records::Some(records) });
            }
            Err(error) => error,
        };
        match &error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
                ResponseCode::NXDomain => return Ok(Records::NoName),
                ResponseCode::NoError => return Ok(Records::None),
                _ => {}
            },
            NetError::Dns(DnsError::ResponseCode(ResponseCode::NXDomain)) => {
                return Ok(Records::NoName);
            }
            _ => {}
        }
        Err(Reply::local(451, 4, 3, format!("the DNS doesn't tell {kind} of {said}: {error}")))
    }
}

/// Without the brackets of an address literal.
fn bare(host: &str) -> &str {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bare.map_or(host, |bare| bare.strip_prefix("IPv6:").unwrap_or(bare))
}

fn literal(address: IpAddr, port: u16) -> Target {
    let host = match address {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    };
    Target { host, address: SocketAddr::new(address, port) }
}

fn bound(options: &mut ResolverOpts) {
    options.timeout = Duration::from_secs(5);
    options.attempts = 2;
    options.cache_size = 4096;
    options.positive_max_ttl = Some(Duration::from_secs(3600));
    options.negative_max_ttl = Some(Duration::from_secs(300));
    options.try_tcp_on_error = true;
}

/// A name with its last dot: no search list of this host's adds to it. Letters beyond ASCII become an A-label.
fn absolute(name: &str) -> Result<Name, ()> {
    let mut name = Name::from_utf8(name).map_err(|_| ())?;
    name.set_fqdn(true);
    Ok(name)
}

/// Puts names into any order.
type Shuffle<'a> = &'a mut dyn FnMut(&mut [String]);

fn shuffled(names: &mut [String]) {
    for last in (1..names.len()).rev() {
        let random = getrandom::u64().unwrap_or_default();
        let other = usize::try_from(random % (last as u64 + 1)).unwrap_or(last);
        names.swap(last, other);
    }
}

/// Names of servers by preference, in any order among equals (RFC 5321 section 5.1).
fn servers(
    config: &Config,
    domain: &str,
    records: &[RData],
    shuffle: Shuffle<'_>,
) -> Result<Vec<String>, Reply> {
    let mut found: Vec<(u16, String)> = records
        .iter()
        .filter_map(|record| match record {
            RData::MX(mx) => {
                let name = mx.exchange.to_ascii().trim_end_matches('.').to_lowercase();
                Some((mx.preference, name))
            }
            _ => None,
        })
        .collect();
    if let [(_, only)] = found.as_slice()
        && only.is_empty()
    {
        return Err(Reply::local(556, 1, 10, format!("{domain} takes no mail (null MX)")));
    }
    // A null MX among others is a mistake, and of no use.
    found.retain(|(_, name)| !name.is_empty());
    found.sort();
    let own = found.iter().find(|(_, name)| name.eq_ignore_ascii_case(&config.hostname));
    if let Some(own) = own.map(|(preference, _)| *preference) {
        // RFC 5321 section 5.1: mail never goes back to where it would come from again.
        found.retain(|(preference, _)| *preference < own);
        if found.is_empty() {
            let text = format!("the DNS says that mail for {domain} is ours, and it isn't");
            return Err(Reply::local(554, 4, 6, text));
        }
    }
    let mut names = Vec::new();
    for equals in found.chunk_by(|(one, _), (other, _)| one == other) {
        let mut equals: Vec<String> = equals.iter().map(|(_, name)| name.clone()).collect();
        equals.dedup();
        shuffle(&mut equals);
        names.extend(equals);
    }
    names.truncate(SERVERS);
    Ok(names)
}

/// Those that don't lead to this host.
fn usable(config: &Config, domain: &str, targets: Vec<Target>) -> Result<Vec<Target>, Reply> {
    if config.delivery.own_addresses == OwnAddresses::Permitted {
        return Ok(targets);
    }
    let first = targets.first().map(|target| target.address.ip());
    let usable: Vec<Target> =
        targets.into_iter().filter(|target| !is_own(config, target.address)).collect();
    match first {
        Some(address) if usable.is_empty() => {
            let text = format!("the DNS sends mail for {domain} to {address}: back to this host");
            Err(Reply::local(554, 4, 6, text))
        }
        _ => Ok(usable),
    }
}

/// Whether an address is of this host, or of nobody that one could send mail to.
fn is_own(config: &Config, target: SocketAddr) -> bool {
    let listens = config.listeners.iter().flat_map(|listener| &listener.addresses);
    let four = |address: Ipv4Addr| {
        address.is_loopback()
            || address.is_link_local()
            || address.is_broadcast()
            || address.is_multicast()
            || address.octets().first() == Some(&0)
    };
    let strange = match target.ip().to_canonical() {
        IpAddr::V4(address) => four(address),
        IpAddr::V6(address) => {
            let embedded = match address.segments() {
                // IPv4-compatible, ::1 and :: among them; and NAT64's own prefix.
                [0, 0, 0, 0, 0, 0, ..] => return true,
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
                }
                _ => None,
            };
            embedded.is_some_and(four) || address.is_unicast_link_local() || address.is_multicast()
        }
    };
    strange || listens.into_iter().any(|own| own.ip().to_canonical() == target.ip().to_canonical())
}
