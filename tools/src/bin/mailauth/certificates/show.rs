//! `mailauth cert show`: what is in the certificates of a file, and what the house takes each for.

use std::path::Path;

use accounts::UnixTime;
use protocol::certificate::{Certificate, Key, Purposes};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::files;
use crate::failure::Failure;
use crate::{moment, print};

pub(super) fn run(path: &Path, now: UnixTime) -> Result<(), Failure> {
    let text = files::read(path, "name a file of certificates in PEM")?;
    let bad = |why: &dyn std::fmt::Display| {
        Failure::failed(format!("{}: {why}; name a file of certificates in PEM", path.display()))
    };
    let found = protocol::certificate::certificates(text.as_bytes()).map_err(|why| bad(&why))?;
    let mut shown = Vec::new();
    for der in &found {
        let read = Certificate::from_der(der).map_err(|why| bad(&why))?;
        let (_, parsed) =
            X509Certificate::from_der(der).map_err(|_| bad(&"a certificate cannot be read"))?;
        shown.push(one(&read, &parsed, now));
    }
    print(&shown.join("\n"))
}

fn one(read: &Certificate, parsed: &X509Certificate<'_>, now: UnixTime) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text += &format!("{name:<12} {value}\n");
    line("subject:", &named(&read.subject.openssl_3));
    line("issuer:", &named(&read.issuer.openssl_3));
    let names = names(parsed);
    line("names:", if names.is_empty() { "none" } else { &names });
    line("purposes:", read.purposes.as_str());
    line("valid:", &validity(parsed, now));
    line("counts as:", counts_as(read.purposes, parsed.is_ca()));
    line("pin:", &read.public_key);
    line("map keys:", &format!("CertKey:{}", read.public_key));
    for (tag, key) in
        [("CertIssuer", &read.issuer.openssl_3), ("CertSubject", &read.subject.openssl_3)]
    {
        if !key.text.is_empty() {
            line("", &format!("{tag}:{}", key.text));
        }
    }
    text
}

fn named(key: &Key) -> String {
    if key.text.is_empty() { "empty".to_owned() } else { key.text.clone() }
}

fn names(parsed: &X509Certificate<'_>) -> String {
    let extensions =
        parsed.extensions().iter().filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(names.general_names.as_slice()),
            _ => None,
        });
    let names: Vec<String> = extensions.flatten().map(general_name).collect();
    names.join(", ")
}

fn general_name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => format!("DNS:{}", name.escape_debug()),
        GeneralName::RFC822Name(name) => format!("email:{}", name.escape_debug()),
        GeneralName::URI(name) => format!("URI:{}", name.escape_debug()),
        GeneralName::IPAddress(bytes) => {
            match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
                (Ok(four), _) => format!("IP:{}", std::net::Ipv4Addr::from(four)),
                (_, Ok(sixteen)) => format!("IP:{}", std::net::Ipv6Addr::from(sixteen)),
                _ => "a broken IP address".to_owned(),
            }
        }
        _ => "a name of another kind".to_owned(),
    }
}

fn validity(parsed: &X509Certificate<'_>, now: UnixTime) -> String {
    let (from, until) =
        (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    let state = match now.0 {
        now if now < from => "not yet",
        now if now > until => "expired",
        now => &format!("{} left", moment::span(until - now)),
    };
    format!("{} to {} ({state})", moment::shown(UnixTime(from)), moment::shown(UnixTime(until)))
}

/// What a server that asks a client for its certificate makes of it: the purpose decides, for the map's entries too.
fn counts_as(purposes: Purposes, authority: bool) -> &'static str {
    match (authority, purposes.client, purposes.server) {
        (true, _, _) => "an authority: it signs, and stands for no client and no server",
        (_, true, true) => "client and server certificate: every key of the map finds it",
        (_, true, false) => "client certificate: every key of the map finds it",
        (_, false, true) => {
            "server certificate: as a client's it relays by its CertKey: alone, or by entries with PURPOSE:server"
        }
        (_, false, false) => {
            "neither: it is for another purpose, and relays by its CertKey: alone, or by entries with PURPOSE:any"
        }
    }
}
