//! Questions against a small server on a real socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::JoinHandle;

use protocol::policy::{Attribute, Request, decode};
use tempfile::TempDir;

use super::*;
use crate::tls::{Facts, Verify};

const LIMIT: Duration = Duration::from_secs(20);

/// Answers each request with the next reply; an empty one ends the connection.
fn serve(connections: Vec<Vec<&'static str>>) -> (PathBuf, TempDir, JoinHandle<Vec<Request>>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy");
    let listening = UnixListener::bind(&path).unwrap();
    let serving = std::thread::spawn(move || {
        let mut heard = Vec::new();
        for replies in connections {
            let (mut stream, _) = listening.accept().unwrap();
            let (mut received, mut chunk) = (Vec::new(), [0; 1000]);
            for reply in replies {
                let request = loop {
                    if let Some((request, used)) = decode(&received, 0).unwrap() {
                        received.drain(..used);
                        break request;
                    }
                    let count = stream.read(&mut chunk).unwrap();
                    received.extend_from_slice(&chunk[..count]);
                };
                heard.push(request);
                stream.write_all(reply.as_bytes()).unwrap();
            }
        }
        heard
    });
    (path, directory, serving)
}

fn question() -> Question {
    let at = |text: &str| text.parse().unwrap();
    Question::of_client(at("203.0.113.9:99"), at("192.0.2.1:25"), Resolved::To("mx.example.org"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_answered_in_their_order() {
    let replies = vec![
        "action=OK\n\n",
        "action=DUNNO\n\n",
        "action=550 5.7.1 Relaying denied\n\n",
        "action=451 4.3.0 later\n\n",
        "action=DISCARD\n\n",
        "action=HOLD look at it\n\n",
        "action=PREPEND X: y\n\n",
        "action=250 2.0.0 yes\n\n",
    ];
    let (path, _directory, serving) = serve(vec![replies]);
    let policy = Policy::new(Connector::Path(path), LIMIT);
    let question = question().about(About::Recipient);
    let refused = |code, subject, detail, text: &'static str| {
        Answer::Refused(Reply::new(Code::new(code).unwrap(), subject, detail, text))
    };
    for expected in [
        Answer::Permitted,
        Answer::Undecided,
        refused(550, 7, 1, "Relaying denied"),
        refused(451, 3, 0, "later"),
        Answer::Discard,
        Answer::Hold("look at it".into()),
        Answer::Unavailable,
        Answer::Unavailable,
    ] {
        assert_eq!(policy.ask(&question).await, expected);
    }
    drop(policy);
    serving.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_a_time_get_each_its_own() {
    let replies = vec!["action=OK\n\n", "action=DUNNO\n\n", "action=DISCARD\n\n"];
    let (path, _directory, serving) = serve(vec![replies]);
    let policy = Policy::new(Connector::Path(path), LIMIT);
    let question = question().about(About::Recipient);
    let said = tokio::join!(policy.ask(&question), policy.ask(&question), policy.ask(&question));
    assert_eq!(said, (Answer::Permitted, Answer::Undecided, Answer::Discard));
    serving.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_theirs_or_nobody_knows() {
    let replies = vec![
        "action=DUNNO\nvalue=S V\n\n",
        "action=DUNNO\nvalue=\n\n",
        "action=DUNNO\n\n",
        "action=451 4.3.0 x\n\n",
    ];
    let (path, _directory, serving) = serve(vec![replies]);
    let policy = Policy::new(Connector::Path(path), LIMIT);
    let question = question().about(About::SrvFeatures);
    for expected in [Some("S V".to_owned()), Some(String::new()), None, None] {
        assert_eq!(policy.value(&question).await, expected);
    }
    serving.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_is_no_yes_and_the_next_connection_serves() {
    for wrong in ["", "hello\n\n", "action=OK\n\naction=OK\n\n"] {
        let (path, _directory, serving) = serve(vec![vec![wrong], vec!["action=DISCARD\n\n"]]);
        let policy = Policy::new(Connector::Path(path), LIMIT);
        let question = question().about(About::Recipient);
        let first = policy.ask(&question).await;
        assert!(matches!(first, Answer::Unavailable) || wrong.starts_with("action"), "{wrong:?}");
        let next = loop {
            match policy.ask(&question).await {
                Answer::Unavailable => tokio::task::yield_now().await,
                answer => break answer,
            }
        };
        assert_eq!(next, Answer::Discard);
        serving.join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_hangs_or_is_away_is_no_yes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy");
    let away = Policy::new(Connector::Path(path.clone()), LIMIT);
    let question = question().about(About::Recipient);
    assert_eq!(away.ask(&question).await, Answer::Unavailable);
    let _hanging = UnixListener::bind(&path).unwrap();
    let policy = Policy::new(Connector::Path(path), Duration::from_millis(50));
    assert_eq!(policy.ask(&question).await, Answer::Unavailable);
}

#[test]
fn a_question_has_what_is_known() {
    let certified = rcgen::generate_simple_self_signed(vec!["mx.example".into()]).unwrap();
    let facts = Facts {
        version: "TLSv1.3",
        cipher: "TLS_AES_256_GCM_SHA384",
        bits: 256,
        verify: Verify::Ok,
        reason: "ok".into(),
        failed_only_by_purpose: false,
        certificate: Some(certified.cert.der().to_vec()),
        // CN=CA, O=a b
        chain: vec![b"\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x0c\x02CA".to_vec()],
        group: "X25519",
        exporter: None,
        server_name: None,
    };
    let alice = protocol::Name::new(b"alice").unwrap();
    let mechanism = smtp::sasl::Mechanism::new("PLAIN").unwrap();
    let address = |text| smtp::address::Address::parse(text).unwrap();
    let asked = question()
        .inside(&facts)
        .greeted_by("client.example")
        .logged_in(&alice, mechanism)
        .from(&smtp::address::Sender::Address(address("joe@example.org")))
        .to(&smtp::address::Recipient::Address(address("ann@elsewhere.test")))
        .about(About::Recipient);
    let request = asked.request().unwrap();
    for (attribute, value) in [
        (Attribute::ProtocolState, "RCPT"),
        (Attribute::Answer, "final"),
        (Attribute::ClientAddress, "203.0.113.9"),
        (Attribute::ClientName, "mx.example.org"),
        (Attribute::ClientResolve, "OK"),
        (Attribute::Verify, "OK"),
        (Attribute::EncryptionProtocol, "TLSv1.3"),
        (Attribute::ChainSubjects, "/CN=CA"),
        (Attribute::SaslUsername, "alice"),
        (Attribute::SaslMethod, "PLAIN"),
        (Attribute::Sender, "joe@example.org"),
        (Attribute::Recipient, "ann@elsewhere.test"),
    ] {
        assert_eq!(request.value(attribute), value, "{attribute}");
    }
    assert!(request.value(Attribute::Certificate).len() > 100);
    let server = Question::of_server("mx.example.", "2001:db8::1".parse().ok())
        .in_the_clear(Verify::None)
        .about(About::TlsServer);
    let request = server.request().unwrap();
    assert_eq!(request.value(Attribute::ServerName), "mx.example");
    assert_eq!(request.value(Attribute::Ruleset), "tls_server");
    assert_eq!(request.value(Attribute::Verify), "NONE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_said_is_not_asked() {
    let (path, _directory, _serving) = serve(vec![vec!["action=OK\n\n"]]);
    let policy = Policy::new(Connector::Path(path), LIMIT);
    for broken in [
        question().greeted_by("a\nb").about(About::Recipient),
        question().about(About::Mail).about(About::Recipient),
    ] {
        assert_eq!(policy.ask(&broken).await, Answer::Unavailable);
    }
}
