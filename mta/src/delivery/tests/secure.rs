//! TLS with servers, and what the access map makes of it.

use std::net::SocketAddr;
use std::sync::Arc;

use protocol::policy::{Attribute, Request};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use smtp::sasl::Message;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::server::{Heard, Script, answer, go_on};
use super::{House, job, outcomes, server, smtp};
use crate::config::{Begin, Credentials};
use crate::control::Material;
use crate::delivery::transport::Hop;

const TEXT: &[u8] = b"A: b\r\n\r\nc\r\n";

/// How a server begins TLS.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    StartTls,
    Implicit,
    /// 220, and then no TLS.
    Garbage,
}

/// An authority, and a certificate of it for this name.
fn certificates(name: &str) -> (String, rustls::ServerConfig) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "Test Authority");
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "server");
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    (authority, config)
}

async fn listen(kind: Kind, config: rustls::ServerConfig, script: Script) -> (SocketAddr, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Heard::default();
    let noted = Arc::clone(&heard);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (script, heard) = (Arc::clone(&script), Arc::clone(&noted));
            heard.lock().unwrap().push("<connect>".into());
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                if kind != Kind::Implicit {
                    stream.write_all(b"220 mx.test\r\n").await.unwrap();
                    let mut line = String::new();
                    while line != "STARTTLS" {
                        line.clear();
                        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                            return;
                        }
                        line = line.trim().to_owned();
                        heard.lock().unwrap().push(line.clone());
                        let answer = match line.as_str() {
                            "STARTTLS" => "220 go\r\n".into(),
                            "DATA" => "250 never in the clear\r\n".into(),
                            line => answer(line, &["STARTTLS", "AUTH PLAIN"]),
                        };
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
                if kind == Kind::Garbage {
                    stream.write_all(b"this is no TLS at all\r\n").await.unwrap();
                    let _ = stream.read_line(&mut String::new()).await;
                    return;
                }
                let Ok(stream) = acceptor.accept(stream.into_inner()).await else { return };
                heard.lock().unwrap().push("<tls>".into());
                let mut stream = BufReader::new(stream);
                if kind == Kind::Implicit {
                    stream.write_all(b"220 mx.test\r\n").await.unwrap();
                }
                go_on(stream, script, heard).await;
            });
        }
    });
    (address, heard)
}

async fn house(settings: &str, authority: &str) -> House {
    let mut files = Material::default();
    files.files.insert("/ca.pem".into(), authority.as_bytes().to_vec());
    files.files.insert("/secret".into(), b"pencil\nmore\n".to_vec());
    let settings = format!("{settings}[tls]\nserver_authorities = [\"/ca.pem\"]\n");
    House::with(&settings, files).await
}

fn inside() -> Script {
    Arc::new(|line: &str| match line {
        "AUTH PLAIN AGpvZQBwZW5jaWw=" => "235 2.7.0 ok\r\n".into(),
        line if line.starts_with("AUTH") => "535 5.7.8 no\r\n".into(),
        line => answer(line, &["8BITMIME", "AUTH X PLAIN LOGIN"]),
    })
}

#[tokio::test]
async fn starttls_where_it_is_offered_and_ehlo_again() {
    let (authority, config) = certificates("127.0.0.1");
    let house = house("", &authority).await;
    let (address, heard) = listen(Kind::StartTls, config, inside()).await;
    for _ in 0..2 {
        let report = house.deliver(job(smtp(address), &["<a@b.test>"], TEXT)).await;
        assert_eq!(outcomes(&report), ["D 250 2.0.0 queued"]);
    }
    let begun = ["<connect>", "EHLO mta.test", "STARTTLS", "<tls>", "EHLO mta.test"];
    assert_eq!(heard.lock().unwrap()[..5], begun);
    assert_eq!(heard.lock().unwrap().iter().filter(|line| *line == "<tls>").count(), 1);
    let lines = house.lines.lock().unwrap().join("\n");
    let line = "STARTTLS=client, relay=[127.0.0.1], version=TLSv1.3, verify=OK, cipher=TLS_";
    assert!(lines.starts_with(line) && !lines.contains('\n'), "{lines}");
    let asked = house.daemon.asked.lock().unwrap();
    assert_eq!(asked[2..4], ["tls_server  OK", "tls_rcpt a@b.test OK"]);
}

/// One host may have services of two minds, which share the keys of their tickets, as Postfix's do.
#[tokio::test]
async fn what_one_port_showed_says_nothing_of_another() {
    let (authority, good) = certificates("127.0.0.1");
    let (_, mut other) = certificates("other.test");
    other.session_storage = Arc::clone(&good.session_storage);
    let house = house("", &authority).await;
    let (good, _) = listen(Kind::StartTls, good, inside()).await;
    let (other, heard) = listen(Kind::StartTls, other, inside()).await;
    let to = |address| job(Hop::Smtp(server(address, Begin::StartTls)), &["<a@b.test>"], TEXT);
    assert_eq!(outcomes(&house.deliver(to(good)).await), ["D 250 2.0.0 queued"]);
    let report = house.deliver(to(other)).await;
    assert!(outcomes(&report)[0].starts_with("T 454 4.7.0"), "{report:?}");
    assert!(!heard.lock().unwrap().iter().any(|line| line.starts_with("MAIL")));
}

#[tokio::test]
async fn what_the_map_says_is_done() {
    let (authority, _) = certificates("127.0.0.1");
    let (_, config) = certificates("other.test");
    let house = house("", &authority).await;
    let (address, heard) = listen(Kind::StartTls, config, inside()).await;
    let to = ["<a@b.test>", "<c@b.test>"];
    house.daemon.says(|request: &Request| match request.value(Attribute::Ruleset) {
        "tls_server" => "454 4.7.0 authentication failed".into(),
        _ => "DUNNO".into(),
    });
    let report = house.deliver(job(smtp(address), &to, TEXT)).await;
    assert_eq!(outcomes(&report), ["T 454 4.7.0 authentication failed"; 2]);
    house.daemon.says(|request: &Request| match request.value(Attribute::Ruleset) {
        "tls_server" => "554 5.7.0 authentication failed".into(),
        _ => "DUNNO".into(),
    });
    let report = house.deliver(job(smtp(address), &to, TEXT)).await;
    assert_eq!(outcomes(&report), ["F 554 5.7.0 authentication failed"; 2]);
    assert!(!heard.lock().unwrap().iter().any(|line| line.starts_with("MAIL")));
    house.daemon.says(|request: &Request| match request.value(Attribute::Recipient) {
        "c@b.test" => "554 5.7.0 authentication failed".into(),
        _ => "DUNNO".into(),
    });
    let report = house.deliver(job(smtp(address), &to, TEXT)).await;
    assert_eq!(outcomes(&report), ["D 250 2.0.0 queued", "F 554 5.7.0 authentication failed"]);
    assert!(!heard.lock().unwrap().iter().any(|line| line.contains("c@b.test")));
    house.daemon.says(|request: &Request| match request.value(Attribute::Ruleset) {
        "tls_clt_features" => "DUNNO value=Bogus=1".into(),
        _ => "DUNNO".into(),
    });
    let report = house.deliver(job(smtp(address), &to, TEXT)).await;
    assert_eq!(outcomes(&report), ["T 454 4.7.0 TLS temporarily not available."; 2]);
}

#[tokio::test]
async fn the_clear_follows_a_failed_handshake_only_where_it_may() {
    let (authority, config) = certificates("127.0.0.1");
    let (address, heard) = listen(Kind::Garbage, config, inside()).await;
    let careful = house("", &authority).await;
    let report = careful.deliver(job(smtp(address), &["<a@b.test>"], TEXT)).await;
    assert_eq!(outcomes(&report), ["T 454 4.7.0 TLS handshake failed."]);
    let asked = careful.daemon.asked.lock().unwrap().clone();
    assert_eq!(asked.last().unwrap(), "tls_server  SOFTWARE");
    let settings = "[delivery]\nclear_after_failed_handshake = \"once\"\n";
    let trusting = house(settings, &authority).await;
    trusting.daemon.says(|request: &Request| match request.value(Attribute::Verify) {
        "CLEAR" => "454 4.7.0 STARTTLS disabled locally".into(),
        _ => "DUNNO".into(),
    });
    let report = trusting.deliver(job(smtp(address), &["<a@b.test>"], TEXT)).await;
    assert_eq!(outcomes(&report), ["T 454 4.7.0 STARTTLS disabled locally"]);
    assert!(!heard.lock().unwrap().iter().any(|line| line.starts_with("MAIL")));
    trusting.daemon.says(|_| "DUNNO".into());
    trusting.deliver(job(smtp(address), &["<a@b.test>"], TEXT)).await;
    assert!(heard.lock().unwrap().iter().any(|line| line.starts_with("MAIL")));
    let demanding = job(Hop::Smtp(server(address, Begin::StartTls)), &["<a@b.test>"], TEXT);
    heard.lock().unwrap().clear();
    let report = trusting.deliver(demanding).await;
    assert!(outcomes(&report)[0].starts_with("T 454 4.7.0"), "{report:?}");
    assert!(!heard.lock().unwrap().iter().any(|line| line.starts_with("MAIL")));
}

#[tokio::test]
async fn passwords_are_said_to_verified_servers_alone() {
    for (name, begin, kind, sent) in [
        ("127.0.0.1", Begin::StartTls, Kind::StartTls, true),
        ("127.0.0.1", Begin::Implicit, Kind::Implicit, true),
        ("other.test", Begin::StartTls, Kind::StartTls, false),
        ("other.test", Begin::Implicit, Kind::Implicit, false),
        ("other.test", Begin::IfOffered, Kind::StartTls, false),
    ] {
        let (authority, config) = certificates(name);
        let house = house("", &authority).await;
        let (address, heard) = listen(kind, config, inside()).await;
        let mut server = server(address, begin);
        server.login = Some(Credentials { user: "joe".into(), password: "/secret".into() });
        let report = house.deliver(job(Hop::Smtp(server), &["<a@b.test>"], TEXT)).await;
        let heard = heard.lock().unwrap();
        assert_eq!(heard.iter().any(|line| line.starts_with("AUTH")), sent, "{name} {begin:?}");
        let outcome = outcomes(&report).remove(0);
        let expected = if sent { "D 250 2.0.0 queued" } else { "T 454 4.7.0" };
        assert!(outcome.starts_with(expected), "{name} {begin:?}: {outcome}");
        assert_eq!(heard.last().map(String::as_str) == Some("QUIT"), !sent, "{name} {begin:?}");
    }
}

/// What a server of SCRAM does at its end.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Proof,
    WrongProof,
    NoProof,
}

/// SCRAM-SHA-256 for the password `pencil`.
fn scram(end: End) -> Script {
    use aws_lc_rs::{hmac, pbkdf2};
    let said = std::sync::Mutex::new(String::new());
    let message = |text: &str| Message::new(text.as_bytes().to_vec()).encode();
    let decoded = |line: &str| {
        let message = Message::decode(line.as_bytes()).unwrap();
        String::from_utf8(message.reveal().to_vec()).unwrap()
    };
    Arc::new(move |line: &str| {
        let mut said = said.lock().unwrap();
        if let Some(first) = line.strip_prefix("AUTH SCRAM-SHA-256 ") {
            let bare = decoded(first).strip_prefix("n,,").unwrap().to_owned();
            let nonce = bare.split_once(",r=").unwrap().1.to_owned();
            let first = format!("r={nonce}+server,s=c2FsdA==,i=4096");
            *said = format!("{bare},{first}");
            return format!("334 {}\r\n", *message(&first));
        }
        if said.is_empty() || line.contains(' ') {
            return answer(line, &["AUTH PLAIN SCRAM-SHA-256"]);
        }
        if line.is_empty() || end == End::NoProof {
            said.clear();
            return "235 2.7.0 ok\r\n".into();
        }
        let answered = decoded(line);
        let all = format!("{said},{}", answered.rsplit_once(",p=").unwrap().0);
        let mut salted = [0; 32];
        let rounds = std::num::NonZeroU32::new(4096).unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, b"salt", b"pencil", &mut salted);
        let keyed = |key: &[u8], text: &[u8]| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
        };
        let text = if end == End::Proof { all } else { format!("{all}!") };
        let proof = Message::new(keyed(&keyed(&salted, b"Server Key"), text.as_bytes()));
        format!("334 {}\r\n", *message(&format!("v={}", *proof.encode())))
    })
}

#[tokio::test]
async fn a_server_that_does_not_know_the_password_gets_nothing() {
    for end in [End::Proof, End::WrongProof, End::NoProof] {
        let (authority, config) = certificates("127.0.0.1");
        let house = house("", &authority).await;
        let (address, heard) = listen(Kind::StartTls, config, scram(end)).await;
        let mut server = server(address, Begin::StartTls);
        server.login = Some(Credentials { user: "joe".into(), password: "/secret".into() });
        let report = house.deliver(job(Hop::Smtp(server), &["<a@b.test>"], TEXT)).await;
        let outcome = outcomes(&report).remove(0);
        let expected = if end == End::Proof { "D 250 2.0.0 queued" } else { "T 454 4.7.0" };
        assert!(outcome.starts_with(expected), "{outcome}");
        let mail = heard.lock().unwrap().iter().any(|line| line.starts_with("MAIL"));
        assert_eq!(mail, end == End::Proof);
    }
}
