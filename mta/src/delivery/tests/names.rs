//! From domains to servers, by a small name server on loopback (I6).

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;

use super::server::{answer, kind, listen};
use super::{House, job, outcomes};
use crate::delivery::transport::Hop;

const TEXT: &[u8] = b"A: b\r\n\r\nc\r\n";

/// What it knows: a name, a type (`MX`, `A`, `FAIL` for all), and data (`10 mx.test`, `127.0.0.1`).
type Zone = &'static [(&'static str, &'static str, &'static str)];

/// Answers what the zone says, and NXDOMAIN for names that it doesn't have.
async fn names(zone: Zone) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut packet = [0; 512];
        loop {
            let (length, client) = socket.recv_from(&mut packet).await.unwrap();
            let reply = reply(zone, &packet[..length]);
            socket.send_to(&reply, client).await.unwrap();
        }
    });
    address
}

fn reply(zone: Zone, query: &[u8]) -> Vec<u8> {
    let mut at = 12;
    let mut labels = Vec::new();
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8(query[at + 1..=at + length].to_vec()).unwrap());
        at += 1 + length;
    }
    let name = labels.join(".").to_lowercase();
    let kind = match u16::from_be_bytes([query[at + 1], query[at + 2]]) {
        1 => "A",
        15 => "MX",
        _ => "other",
    };
    let question = &query[12..at + 5];
    let known: Vec<_> = zone.iter().filter(|(known, ..)| *known == name).collect();
    let rcode: u8 = match known.as_slice() {
        [] => 3,
        all if all.iter().any(|(_, kind, _)| *kind == "FAIL") => 2,
        _ => 0,
    };
    let answers: Vec<Vec<u8>> = known
        .iter()
        .filter(|(_, known, _)| *known == kind)
        .map(|(_, kind, data)| match *kind {
            "A" => data.parse::<Ipv4Addr>().unwrap().octets().to_vec(),
            _ => {
                let (preference, host) = data.split_once(' ').unwrap();
                let mut bytes = preference.parse::<u16>().unwrap().to_be_bytes().to_vec();
                for label in host.split('.').filter(|label| !label.is_empty()) {
                    bytes.push(u8::try_from(label.len()).unwrap());
                    bytes.extend(label.as_bytes());
                }
                bytes.push(0);
                bytes
            }
        })
        .collect();
    let mut out = query[..2].to_vec();
    out.extend([0x85, 0x80 | rcode, 0, 1, 0, u8::try_from(answers.len()).unwrap(), 0, 0, 0, 0]);
    out.extend(question);
    for data in answers {
        out.extend([0xc0, 12]);
        out.extend(&question[question.len() - 4..]);
        out.extend([0, 0, 0, 60, 0, u8::try_from(data.len()).unwrap()]);
        out.extend(data);
    }
    out
}

async fn house(zone: Zone, port: u16, own: &str) -> House {
    let server = names(zone).await;
    House::new(&format!(
        "[delivery]\nname_servers = [\"{server}\"]\nport = {port}\nown_addresses = \"{own}\"\n"
    ))
    .await
}

async fn fate(house: &House, domain: &str) -> String {
    let to = format!("<a@{domain}>");
    let report = house.deliver(job(Hop::Mx(domain.into()), &[&to], TEXT)).await;
    outcomes(&report).remove(0)
}

#[tokio::test]
async fn servers_by_preference_until_one_answers() {
    let (address, heard) = listen(kind(&[])).await;
    let zone: Zone = &[
        ("b.test", "MX", "30 never.test"),
        ("b.test", "MX", "20 second.test"),
        ("b.test", "MX", "10 first.test"),
        ("first.test", "A", "127.0.0.9"),
        ("second.test", "A", "127.0.0.1"),
        ("never.test", "A", "127.0.0.1"),
        ("implicit.test", "A", "127.0.0.1"),
    ];
    let house = house(zone, address.port(), "permitted").await;
    let report = house.deliver(job(Hop::Mx("b.test".into()), &["<a@b.test>"], TEXT)).await;
    assert_eq!(outcomes(&report), ["D 250 2.0.0 queued"]);
    assert_eq!(report.relay, "second.test. [127.0.0.1]");
    assert_eq!(fate(&house, "implicit.test").await, "D 250 2.0.0 queued", "no MX: its own server");
    assert_eq!(heard.lock().unwrap().iter().filter(|line| *line == "<connect>").count(), 2);
}

#[tokio::test]
async fn domains_without_mail_and_names_that_nobody_tells() {
    let zone: Zone = &[
        ("null.test", "MX", "0 ."),
        ("empty.test", "MX", "10 gone.test"),
        ("silent.test", "FAIL", ""),
        ("half.test", "MX", "10 silent.test"),
        ("ours.test", "MX", "10 mta.test"),
        ("ours.test", "MX", "20 backup.test"),
        ("backup.test", "A", "192.0.2.1"),
        ("nothing.test", "TXT", ""),
    ];
    let house = house(zone, 25, "permitted").await;
    for (domain, expected) in [
        ("null.test", "F 556 5.1.10"),
        ("missing.test", "F 550 5.1.2"),
        ("empty.test", "F 550 5.4.4"),
        ("nothing.test", "F 550 5.4.4"),
        ("silent.test", "T 451 4.4.3"),
        ("half.test", "T 451 4.4.3"),
        ("ours.test", "F 554 5.4.6"),
    ] {
        let outcome = fate(&house, domain).await;
        assert!(outcome.starts_with(expected), "{domain}: {outcome}");
    }
}

#[tokio::test]
async fn the_dns_leads_to_this_host_only_where_it_may() {
    let zone: Zone = &[
        ("loop.test", "MX", "10 lo.test"),
        ("lo.test", "A", "127.0.0.1"),
        ("link.test", "A", "169.254.1.1"),
        ("zero.test", "A", "0.0.0.0"),
    ];
    let (address, heard) = listen(kind(&[])).await;
    let house = house(zone, address.port(), "refused").await;
    for domain in ["loop.test", "link.test", "zero.test"] {
        let outcome = fate(&house, domain).await;
        assert!(outcome.starts_with("F 554 5.4.6"), "{domain}: {outcome}");
    }
    for literal in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "fe80::1", "64:ff9b::7f00:1", "::"] {
        let hop = Hop::Literal(literal.parse().unwrap());
        let report = house.deliver(job(hop, &["<a@b.test>"], TEXT)).await;
        assert!(outcomes(&report)[0].starts_with("F 554 5.4.6"), "{literal}: {report:?}");
    }
    assert!(heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_server_that_has_our_name_is_us() {
    let script = |line: &str| answer(line, &[]).replace("mx.test", "mta.test");
    let (address, _) = listen(std::sync::Arc::new(script)).await;
    let zone: Zone = &[("b.test", "A", "127.0.0.1")];
    let house = house(zone, address.port(), "permitted").await;
    assert!(fate(&house, "b.test").await.starts_with('D'), "it may, here");
}
