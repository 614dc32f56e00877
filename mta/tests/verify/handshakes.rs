//! What else a handshake must be: ALPN, SNI, tickets of one listener alone, the exporter.

use mta::tls::client::{Client, Name, named};
use mta::tls::server::{Ask, Server};
use mta::tls::{Facts, Verify};
use rustls::HandshakeKind::{self, Full, Resumed};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::workshop::{Workshop, block_on, settings};

/// A handshake of our client with our server, and a byte of each.
async fn meet(client: &Client, server: &Server, options: &str) -> (Facts, Facts) {
    let (served, visited, _) = meet_again(client, server, options).await;
    (served, visited)
}

/// The same, and whether a session went on or began.
async fn meet_again(
    client: &Client,
    server: &Server,
    options: &str,
) -> (Facts, Facts, Option<HandshakeKind>) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let options = client.options(options).unwrap();
    let serve = async {
        let (mut stream, facts) = server.accept(far, Ask::Yes).await.unwrap();
        stream.write_all(b"2").await.unwrap();
        stream.read_u8().await.unwrap();
        (facts, stream.get_ref().1.handshake_kind())
    };
    let visit = async {
        let (mut stream, facts) =
            client.connect(near, ("mta.oracle.test", 25), &options).await.unwrap();
        stream.read_u8().await.unwrap();
        stream.write_all(b"Q").await.unwrap();
        facts
    };
    let ((served, kind), visited) = tokio::join!(serve, visit);
    (served, visited, kind)
}

#[test]
fn both_sides_see_the_same() {
    let shop = Workshop::open();
    let tls = settings("", shop);
    let server = Server::new(&tls, &shop.material(), "a").unwrap();
    let client = Client::new(&tls, &shop.material()).unwrap();
    block_on(async {
        let (served, visited) = meet(&client, &server, "").await;
        assert_eq!((served.group, served.version), ("X25519MLKEM768", "TLSv1.3"));
        assert_eq!(served.cipher, "TLS_AES_256_GCM_SHA384");
        assert!(served.exporter.is_some() && served.exporter == visited.exporter);
        assert_eq!((served.verify, visited.verify), (Verify::Ok, Verify::Ok));
        assert_eq!(served.server_name.as_deref(), Some("mta.oracle.test"));
        // It has that name in its subject alone.
        assert_eq!(named(&visited, "mta.oracle.test"), Name::Differs);
        let der = CertificateDer::from_pem_file(shop.path("san.pem")).unwrap().to_vec();
        let shown = Facts { certificate: Some(der), ..visited };
        for (host, is) in [
            ("mail.san.example", Name::Matches),
            ("MAIL.san.example.", Name::Matches),
            ("san.oracle.test", Name::Differs),
            ("x.mail.san.example", Name::Differs),
        ] {
            assert_eq!(named(&shown, host), is, "{host}");
        }
        assert_eq!(served.chain.len(), 1);

        // A session that goes on is judged like a new one.
        let (served, _, kind) = meet_again(&client, &server, "").await;
        assert_eq!((served.verify, served.reason.as_str()), (Verify::Ok, "ok"));
        assert_eq!(kind, Some(Resumed));

        let (served, visited) =
            meet(&client, &server, "Options=SSL_OP_NO_TLSv1_3;CipherList=CHACHA20").await;
        assert_eq!((served.version, served.cipher), ("TLSv1.2", "ECDHE-RSA-CHACHA20-POLY1305"));
        assert_eq!((served.exporter, visited.exporter), (None, None));

        let (served, _) = meet(&client, &server, "CipherSuites=TLS_AES_128_GCM_SHA256").await;
        assert_eq!((served.cipher, served.bits), ("TLS_AES_128_GCM_SHA256", 128));
    });
}

#[test]
fn a_ticket_of_another_listener_opens_nothing() {
    let shop = Workshop::open();
    let tls = settings("", shop);
    let client = Client::new(&tls, &shop.material()).unwrap();
    let first = Server::new(&tls, &shop.material(), "a").unwrap();
    let mut others = settings("", shop);
    others.client_authorities = vec![shop.path("otherroot.pem")];
    let second = Server::new(&others, &shop.material(), "b").unwrap();
    block_on(async {
        for expected in [Full, Resumed] {
            let (served, _, kind) = meet_again(&client, &first, "").await;
            assert_eq!((served.verify, kind), (Verify::Ok, Some(expected)));
        }
        let (served, _, kind) = meet_again(&client, &second, "").await;
        assert_eq!((served.verify, kind), (Verify::Fail, Some(Full)));
        assert_eq!(served.reason, "unable to get local issuer certificate");
    });
}

#[test]
fn who_speaks_another_protocol_gets_an_alert() {
    let shop = Workshop::open();
    let server = Server::new(&settings("", shop), &shop.material(), "a").unwrap();
    let ask = |alpn: &str| shop.connect(&server, Ask::Yes, &["-alpn".into(), alpn.into()]);
    assert!(ask("h2,http/1.1").is_err());
    assert!(ask("imap").is_err());
    assert_eq!(ask("smtp").unwrap().verify, Verify::No);
    assert_eq!(ask("h2,smtp").unwrap().verify, Verify::No);
    assert!(shop.connect(&server, Ask::Yes, &["-tls1_1".into()]).is_err());
}
