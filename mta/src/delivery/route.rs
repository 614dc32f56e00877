//! Where each recipient's mail goes next.
//!
//! Runs in the sender, from the settings alone: no look-up is made here. The order counts: literals and routes first,
//! then the smarthost, then the DNS. A local domain that no route serves waits: to send it out would be a loop.

use std::net::IpAddr;
use std::path::PathBuf;

use smtp::address::{Domain, Recipient};

use crate::config::{Config, Pattern, Server, Via};
use crate::spool::envelope::Addressee;

/// A next hop: recipients of one message that have the same go there together, and the manager counts connections by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Hop {
    /// The servers that the DNS names for this domain: lower case, letters beyond ASCII as they were written.
    Mx(String),
    /// `user@[192.0.2.1]`: this address.
    Literal(IpAddr),
    /// This server, by SMTP.
    Smtp(Server),
    /// This server, by LMTP over TCP.
    LmtpTcp(Server),
    /// By LMTP over this Unix socket.
    LmtpUnix(PathBuf),
    /// Into maildirs below this directory.
    Maildir(PathBuf),
    /// Nowhere: it comes back with this text.
    Refuse(String),
    /// Nowhere for now: the settings call this domain local, and no route is for it.
    Unserved(String),
}

/// Recipients by next hop, in the order in which they first appear. Numbers are those of
/// [`crate::spool::envelope::Envelope::recipients`].
pub fn hops<'a>(
    config: &Config,
    recipients: impl IntoIterator<Item = (u32, &'a Addressee)>,
) -> Vec<(Hop, Vec<u32>)> {
    let mut groups: Vec<(Hop, Vec<u32>)> = Vec::new();
    for (number, addressee) in recipients {
        let hop = hop(config, &addressee.recipient);
        match groups.iter_mut().find(|(known, _)| *known == hop) {
            Some((_, numbers)) => numbers.push(number),
            None => groups.push((hop, vec![number])),
        }
    }
    groups
}

/// Where one recipient's mail goes.
pub fn hop(config: &Config, recipient: &Recipient) -> Hop {
    let domain = match recipient {
        // RFC 5321 section 4.5.1: the postmaster of this host.
        Recipient::Postmaster => config.hostname.to_lowercase(),
        Recipient::Address(address) => address.domain().as_str().to_lowercase(),
    };
    let local = matches!(recipient, Recipient::Postmaster) || is_local(config, &domain);
    let routed = config.routes.iter().find(|route| fits(&route.pattern, &domain, local));
    let via = match routed {
        Some(route) => &route.via,
        None if local => return Hop::Unserved(domain),
        None => config.delivery.smarthost.as_ref().unwrap_or(&Via::Mx),
    };
    match via {
        Via::Mx => match Domain::parse(&domain).ok().and_then(Domain::literal) {
            Some(address) => Hop::Literal(address),
            None => Hop::Mx(domain),
        },
        Via::Smtp(server) => Hop::Smtp(server.clone()),
        Via::LmtpTcp(server) => Hop::LmtpTcp(server.clone()),
        Via::LmtpUnix(socket) => Hop::LmtpUnix(socket.clone()),
        Via::Maildir(directory) => Hop::Maildir(directory.clone()),
        Via::Refuse(text) => Hop::Refuse(text.clone()),
    }
}

/// `localhost` always is ours, as for the access map and in sendmail's class w: it has no other servers.
fn is_local(config: &Config, domain: &str) -> bool {
    domain == "localhost" || config.local_domains.iter().any(|local| local == domain)
}

fn fits(pattern: &Pattern, domain: &str, local: bool) -> bool {
    match pattern {
        Pattern::Everybody => true,
        Pattern::Domain(name) => name == domain,
        Pattern::Below(parent) => domain
            .strip_suffix(parent.as_str())
            .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        Pattern::Local => local,
    }
}

#[cfg(test)]
mod tests {
    use smtp::address::Address;

    use super::*;

    #[test]
    fn localhost_is_ours_and_nothing_below_it() {
        let config = Config::parse(
            "hostname = \"mta.test\"\nlocal_domains = [\"here.test\"]\n\
             [[route]]\nto = \"local\"\nvia = \"maildir\"\ndirectory = \"/mail\"\n",
        )
        .unwrap();
        let of = |address| hop(&config, &Recipient::Address(Address::parse(address).unwrap()));
        for ours in ["x@localhost", "x@LOCALHOST", "x@here.test"] {
            assert_eq!(of(ours), Hop::Maildir("/mail".into()), "{ours}");
        }
        assert_eq!(of("x@a.localhost"), Hop::Mx("a.localhost".into()));
        let nowhere = Config { routes: Vec::new(), ..config };
        let address = Recipient::Address(Address::parse("x@localhost").unwrap());
        assert_eq!(hop(&nowhere, &address), Hop::Unserved("localhost".into()));
    }
}
