//! G9: who says whose connection it is. Only proxies that the configuration names may; what they say is the client's
//! address for the policy, for the log and for the limits.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use harness::mta::client::Client;
use harness::mta::{HOST, House, LOGIN, Place, Plan, plain, ready, tls, transact};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Where the proxy is, and somebody else.
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 10));

/// A listener for proxies beside the usual ones, and one with TLS from the first byte.
fn house() -> (House, SocketAddr, SocketAddr) {
    let place = Place::take().unwrap();
    let (relay, inside) = ((place.address(), 2526).into(), (place.address(), 2466).into());
    let listener = |role: &str, address: SocketAddr| {
        format!(
            "[[listener]]\nrole = \"{role}\"\naddresses = [\"{address}\"]\nproxies = [\"{PROXY}\"]\n"
        )
    };
    let plan = Plan::new()
        .map("Connect:198.51.100\tRELAY\nConnect:IPv6:2001:db8\tRELAY\nConnect:203.0.113\tREJECT")
        .sections(&listener("relay", relay))
        .sections(&listener("submissions", inside))
        .sections("[limits]\nconnections_per_address = 3\n[[route]]\nto = \"*\"\nvia = \"refuse\"\ntext = \"x\"\n");
    (plan.start_at(place).unwrap(), relay, inside)
}

fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, addresses].concat()
}

fn v4(from: [u8; 4]) -> Vec<u8> {
    v2(0x21, 0x11, &[&from[..], &[192, 0, 2, 25], &[1, 0], &[0, 25]].concat())
}

fn v6(from: &str) -> Vec<u8> {
    let octets = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    v2(0x21, 0x21, &[&octets(from)[..], &octets("2001:db8::25"), &[1, 0], &[0, 25]].concat())
}

/// Connects and says this first; what comes next.
fn greeted(to: SocketAddr, from: IpAddr, header: &[u8]) -> (Client, u16) {
    let mut client = Client::connect(to, Some(from)).unwrap();
    // It may be closed while it is said.
    let _ = client.send(header);
    let code = match client.reply() {
        Ok(reply) => reply.code(),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => panic!("{error}"),
    };
    (client, code)
}

/// Whether whoever this is relays.
fn relays(client: &mut Client) -> u16 {
    client.say("EHLO x").unwrap();
    let replies = transact(client, "joe@example.org", &["ann@next.example"], "A: b\r\n\r\nx\r\n");
    replies.unwrap().last().unwrap().code()
}

#[test]
fn g9_a_proxy_says_for_whom_it_speaks_and_the_policy_hears_it() {
    if !ready() {
        return;
    }
    let (house, relay, inside) = house();
    for (header, shown, code) in [
        (b"PROXY TCP4 198.51.100.7 192.0.2.25 1 25\r\n".to_vec(), "[198.51.100.7]", 250),
        (v4([198, 51, 100, 8]), "[198.51.100.8]", 250),
        (v4([192, 0, 2, 77]), "[192.0.2.77]", 550),
        (v6("2001:db8::7"), "2001:db8::7", 250),
        // Version 4 in 6: the map and the log see version 4.
        (v6("::ffff:198.51.100.9"), "[198.51.100.9]", 250),
        (b"PROXY TCP6 ::ffff:198.51.100.10 ::1 1 25\r\n".to_vec(), "[198.51.100.10]", 250),
        // A check by the proxy itself.
        (v2(0x20, 0, &[]), "[127.0.0.9]", 550),
        (b"PROXY UNKNOWN\r\n".to_vec(), "[127.0.0.9]", 550),
    ] {
        let (mut client, first) = greeted(relay, PROXY, &header);
        assert_eq!(first, 220, "{}", header.escape_ascii());
        let hello = client.say("EHLO x").unwrap();
        assert!(hello.lines[0].contains(shown), "{shown}: {hello}");
        assert_eq!(relays(&mut client), code, "{shown}");
    }
    // Whom the map refuses is refused, whoever passes it on.
    let (mut client, _) = greeted(relay, PROXY, &v4([203, 0, 113, 1]));
    assert_eq!(relays(&mut client) / 100, 5);
    // Behind the header TLS may begin at once, in the same packet or not.
    let mut client = Client::connect(inside, Some(PROXY)).unwrap();
    client.send(&v4([198, 51, 100, 7])).unwrap();
    client.handshake(tls::client(None, tls::ANY).unwrap(), HOST).unwrap();
    assert_eq!(client.reply().unwrap().code(), 220);
    assert!(house.logged(&["STARTTLS=server", "relay=[198.51.100.7]"]), "{}", house.log());
    // The daemon, which holds guessers by their address, hears of that one.
    client.say("EHLO x").unwrap();
    let said = client.say(&format!("AUTH PLAIN {}", plain(LOGIN, "wrong"))).unwrap();
    assert_eq!(said.code(), 535);
    let log = || fs::read_to_string(house.sandbox().path().join("tmp/daemon.log")).unwrap();
    let told = || log().contains("rip=198.51.100.7 rip_source=stated");
    assert!(harness::wait_until(told), "{}", log());
}

#[test]
fn g9_nobody_else_says_so() {
    if !ready() {
        return;
    }
    let (house, relay, inside) = house();
    let v1 = b"PROXY TCP4 198.51.100.7 192.0.2.25 1 25\r\n";
    for to in [relay, house.relay(), house.submission()] {
        for header in [&v1[..], &v4([198, 51, 100, 7])] {
            // The greeting is said to whoever comes; what is said as a command by a stranger ends it.
            let (mut client, first) = greeted(to, STRANGER, header);
            let said = client.rest().unwrap();
            assert!(first == 220 || first == 0, "{first}");
            assert!(
                said.is_empty() || said.starts_with("421 ") || said.starts_with("500 "),
                "{said}"
            );
            assert!(!said.contains("250"), "{said}");
        }
        // Neither does another listener than the proxy's believe the proxy.
        if to != relay {
            let (mut client, _) = greeted(to, PROXY, v1);
            assert!(client.rest().unwrap().starts_with("421 "));
        }
    }
    let (_, first) = greeted(inside, STRANGER, v1);
    assert_eq!(first, 0);
    let mut client = Client::connect(relay, Some(STRANGER)).unwrap();
    client.reply().unwrap();
    client.say("EHLO x").unwrap();
    for command in ["XCLIENT ADDR=198.51.100.7", "XFORWARD ADDR=198.51.100.7"] {
        assert_eq!(client.say(command).unwrap().code(), 502);
    }
    assert_eq!(relays(&mut client), 550);
    assert!(!house.log().contains("relay=[198.51.100.7]"), "{}", house.log());
}

#[test]
fn g9_what_is_no_header_ends_the_connection() {
    if !ready() {
        return;
    }
    let (house, relay, _) = house();
    let mut wrong: Vec<Vec<u8>> = [
        &b"EHLO x\r\nMAIL FROM:<>\r\n"[..],
        b"PROXY TCP4 198.51.100.7 192.0.2.25 1\r\n  ",
        b"PROXY TCP4 198.51.100.7 192.0.2.25 1 65536\r\n",
        b"PROXY TCP4 ::1 192.0.2.25 1 25\r\n",
        b"PROXY TCP5 198.51.100.7 192.0.2.25 1 25\r\n",
        b"PROXY TCP4 198.51.100.07 192.0.2.25 1 25\r\n",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    wrong.push([&b"PROXY TCP4 "[..], &[b'1'; 200]].concat());
    // Lengths that the family doesn't have, and more than anybody needs.
    wrong.push(v2(0x21, 0x11, &[1; 11]));
    wrong.push(v2(0x21, 0x21, &[1; 12]));
    wrong.push(v2(0x21, 0x31, &[0; 216]));
    wrong.push(v2(0x21, 0x12, &[1; 12]));
    wrong.push(v2(0x31, 0x11, &[1; 12]));
    wrong.push(v2(0x2f, 0x11, &[1; 12]));
    wrong.push(v2(0x21, 0x11, &[1; 60_000]));
    for header in &wrong {
        let (mut client, first) = greeted(relay, PROXY, header);
        let shown: Vec<u8> = header.iter().copied().take(60).collect();
        assert_eq!(first, 0, "{}", shown.escape_ascii());
        assert_eq!(client.rest().unwrap_or_default(), "");
    }
    let told = || house.log().matches("no PROXY header from").count() >= wrong.len();
    assert!(harness::wait_until(told), "{}", house.log());
    // Cut anywhere, it is no header either; and nothing of it is waited for when the proxy ends.
    let whole = v4([198, 51, 100, 7]);
    for cut in [1, 11, 12, 13, 15, 16, 17, 27] {
        let mut client = Client::connect(relay, Some(PROXY)).unwrap();
        client.send(&whole[..cut]).unwrap();
        client.half_close().unwrap();
        assert_eq!(client.rest().unwrap(), "");
    }
    // In pieces it is one.
    let mut client = Client::connect(relay, Some(PROXY)).unwrap();
    for piece in whole.chunks(5) {
        client.send(piece).unwrap();
    }
    assert_eq!(client.reply().unwrap().code(), 220);
}

#[test]
fn g9_limits_count_the_client_and_not_its_proxy() {
    if !ready() {
        return;
    }
    let (_house, relay, _) = house();
    // Three of each are let in, a fourth is not: by the client's address.
    let mut held = Vec::new();
    for client in [1, 2] {
        for number in 0..4 {
            let (it, code) = greeted(relay, PROXY, &v4([198, 51, 100, client]));
            assert_eq!(code, if number < 3 { 220 } else { 421 }, "{client} {number}");
            held.push(it);
        }
    }
}
