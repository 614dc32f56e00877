//! Logins against small servers on real sockets: what they are told, and that nothing but their yes is one.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::JoinHandle;

use tempfile::TempDir;

use super::*;
use crate::tls::{Facts, Verify};

const LIMIT: Duration = Duration::from_secs(20);
/// Dovecot 2.3.19 of Debian 12, without mechanisms of a later one.
const DOVECOT: &str = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\n\
    MECH\tCRAM-MD5\tdictionary\tactive\nMECH\tGSSAPI\nSPID\t17\nCUID\t1\n\
    COOKIE\t000102030405060708090a0b0c0d0e0f\nDONE\n";
const OURS: &str = "VERSION\t1\t4\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\n\
    MECH\tSCRAM-SHA-256\tmutual-auth\nMECH\tSCRAM-SHA-256-PLUS\tmutual-auth\tchannel-binding\n\
    MECH\tEXTERNAL\nMECH\tANONYMOUS\tanonymous\nSPID\t17\nCUID\t1\n\
    COOKIE\t000102030405060708090a0b0c0d0e0f\nDONE\n";

fn facts() -> Facts {
    Facts {
        version: "TLSv1.3",
        cipher: "TLS_AES_256_GCM_SHA384",
        bits: 256,
        verify: Verify::No,
        reason: "ok".into(),
        failed_only_by_purpose: false,
        certificate: None,
        chain: Vec::new(),
        group: "X25519MLKEM768",
        exporter: None,
        server_name: None,
    }
}

fn session(facts: &Facts) -> Attempt {
    let at = |text: &str| text.parse().unwrap();
    Attempt::new(at("192.0.2.1:587"), at("[::ffff:203.0.113.9]:4242"), facts)
}

/// A server of one connection after the other: a greeting, and for each a reply to each line after VERSION and CPID. A
/// `#` in a reply is the number of the request, an empty reply says nothing.
struct Double {
    path: PathBuf,
    _directory: TempDir,
    serving: JoinHandle<Vec<String>>,
}

fn serve(greeting: &'static str, connections: Vec<Vec<&'static str>>) -> Double {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth");
    let listening = UnixListener::bind(&path).unwrap();
    let serving = std::thread::spawn(move || {
        let mut heard = Vec::new();
        for replies in connections {
            let (stream, _) = listening.accept().unwrap();
            converse(stream, greeting, &replies, &mut heard);
        }
        heard
    });
    Double { path, _directory: directory, serving }
}

fn converse(mut stream: UnixStream, greeting: &str, replies: &[&str], heard: &mut Vec<String>) {
    stream.write_all(greeting.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    heard.extend(lines.by_ref().take(2));
    for reply in replies {
        let Some(line) = lines.next() else { return };
        let number = line.split('\t').nth(1).unwrap().to_owned();
        heard.push(line);
        let _ = stream.write_all(reply.replace('#', &number).as_bytes());
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    heard.extend(lines);
}

impl Double {
    fn logins(&self) -> Logins {
        Logins::new(Connector::Path(self.path.clone()), Language::Auth, LIMIT)
    }

    fn heard(self, logins: Logins) -> Vec<String> {
        drop(logins);
        self.serving.join().unwrap()
    }
}

fn mechanism(name: &str) -> Mechanism {
    Mechanism::new(name).unwrap()
}

fn message(bytes: &[u8]) -> Message {
    Message::new(bytes.to_vec())
}

fn plain() -> Option<Message> {
    Some(message(b"\0alice\0pencil"))
}

fn accepted(step: Step) -> Login {
    match step {
        Step::Accepted(login) => login,
        other => panic!("{}", word(&other)),
    }
}

fn challenged(step: Step) -> (Exchange, Vec<u8>) {
    match step {
        Step::Challenge(exchange, message) => (exchange, message.reveal().to_vec()),
        other => panic!("{}", word(&other)),
    }
}

fn word(step: &Step) -> &'static str {
    match step {
        Step::Challenge(..) => "challenge",
        Step::Accepted(_) => "accepted",
        Step::Refused => "refused",
        Step::NotOffered => "not offered",
        Step::Unavailable => "unavailable",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_told_as_it_is_and_the_answer_is_the_daemons() {
    let replies = vec![
        "OK\t#\tuser=alice@example.org\tsenders=@example.org\n",
        "FAIL\t#\tuser=alice\n",
        "FAIL\t#\tuser=\tcode=temp_fail\n",
    ];
    let double = serve(OURS, vec![replies]);
    let logins = double.logins();
    let session = session(&facts());
    let login = accepted(logins.begin(&session, mechanism("plain"), plain()).await);
    assert_eq!(login.user.as_bytes(), b"alice@example.org");
    assert_eq!(login.senders, Senders::parse("@example.org").unwrap());
    for expected in ["refused", "unavailable"] {
        let step = logins.begin(&session, mechanism("PLAIN"), plain()).await;
        assert_eq!(word(&step), expected);
    }
    let heard = double.heard(logins);
    assert_eq!(heard[0], "VERSION\t1\t4");
    assert_eq!(
        heard[2],
        "AUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=192.0.2.1\tlport=587\trip=203.0.113.9\t\
         rport=4242\tsecured=tls\tfinal-resp-ok\tresp=AGFsaWNlAHBlbmNpbA=="
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_dovecot_is_told_in_its_own_words() {
    let double = serve(DOVECOT, vec![vec!["CONT\t#\tUGFzc3dvcmQ6\n", "OK\t#\tuser=alice\n"]]);
    let logins = double.logins();
    let session = session(&facts());
    let (exchange, prompt) = challenged(logins.begin(&session, mechanism("LOGIN"), None).await);
    assert_eq!(prompt, b"Username:");
    let (exchange, prompt) = challenged(exchange.answer(message(b"alice")).await);
    assert_eq!(prompt, b"Password:");
    assert_eq!(accepted(exchange.answer(message(b"pencil")).await).senders, Senders::Own);
    let heard = double.heard(logins);
    assert!(heard[2].starts_with("AUTH\t1\tLOGIN\t"), "{}", heard[2]);
    assert!(heard[2].ends_with("\tsecured\tfinal-resp-ok\tresp=YWxpY2U="), "{}", heard[2]);
    assert_eq!(heard[3], "CONT\t1\tcGVuY2ls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_offered_depends_on_the_session() {
    let double = serve(OURS, vec![vec![""]]);
    let logins = double.logins();
    let certified = rcgen::generate_simple_self_signed(vec!["mx.example".into()]).unwrap();
    let der = certified.cert.der().to_vec();
    let bound = Facts { exporter: Some([7; 32]), ..facts() };
    let shown = Facts { verify: Verify::Ok, certificate: Some(der.clone()), ..facts() };
    let failed = Facts { verify: Verify::Fail, certificate: Some(der), ..facts() };
    // Waits for the greeting.
    let step = logins.begin(&session(&facts()), mechanism("GSSAPI"), None).await;
    assert_eq!(word(&step), "not offered");
    let usual = "PLAIN LOGIN SCRAM-SHA-256";
    for (facts, expected) in [
        (facts(), usual.to_owned()),
        (bound, format!("{usual} SCRAM-SHA-256-PLUS")),
        (shown, format!("{usual} EXTERNAL")),
        (failed, usual.to_owned()),
    ] {
        let session = session(&facts);
        let offered = logins.mechanisms(&session);
        let names: Vec<&str> = offered.iter().map(Mechanism::as_str).collect();
        assert_eq!(names.join(" "), expected);
        let step = logins.begin(&session, mechanism("ANONYMOUS"), Some(message(b"me"))).await;
        assert_eq!(word(&step), "not offered");
    }
    double.heard(logins);
}

#[test]
fn a_certificate_is_of_its_common_name_or_of_nobody() {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};
    let permits = |common_name: Option<&str>| {
        let mut params = CertificateParams::default();
        params.distinguished_name.remove(DnType::CommonName);
        if let Some(name) = common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        let address = "admin@here.example".try_into().unwrap();
        params.subject_alt_names.push(SanType::Rfc822Name(address));
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let shown = Facts { verify: Verify::Ok, certificate: Some(der), ..facts() };
        session(&shown).permits(protocol::mechanism::Mechanism::External)
    };
    assert!(permits(Some("machine")));
    for odd in [None, Some(""), Some("admin\0.evil.example"), Some(&"c".repeat(300))] {
        assert!(!permits(odd), "{odd:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_channel_is_bound_and_the_last_words_are_heard() {
    let double = serve(
        OURS,
        vec![vec!["CONT\t#\tcj0x\tchannel_binding=tls-exporter\n", "OK\t#\tuser=a\tresp=dj14\n"]],
    );
    let logins = double.logins();
    let session = session(&Facts { exporter: Some([7; 32]), ..facts() });
    let first = Some(message(b"p=tls-exporter,,n=a,r=1"));
    let step = logins.begin(&session, mechanism("SCRAM-SHA-256-PLUS"), first).await;
    let (exchange, challenge) = challenged(step);
    assert_eq!(challenge, b"r=1");
    let (exchange, words) = challenged(exchange.answer(message(b"c=")).await);
    assert_eq!(words, b"v=x");
    accepted(exchange.answer(message(b"")).await);
    let heard = double.heard(logins);
    let data = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    assert_eq!(heard[3], format!("CONT\t1\tYz0=\tchannel_binding={data}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_gives_up_is_forgotten_and_a_late_answer_is_nobodys() {
    let replies = vec!["CONT\t#\tcj0x\n", "", "OK\t1\tuser=late\nFAIL\t#\tuser=a\n"];
    let double = serve(OURS, vec![replies]);
    let logins = double.logins();
    let session = session(&facts());
    let first = Some(message(b"n,,n=a,r=1"));
    let step = logins.begin(&session, mechanism("SCRAM-SHA-256"), first).await;
    drop(challenged(step));
    let step = logins.begin(&session, mechanism("PLAIN"), plain()).await;
    assert_eq!(word(&step), "refused");
    let heard = double.heard(logins);
    assert_eq!(heard[3], "CANCEL\t1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_no_answer_and_its_number_is_not_used_again() {
    let double = serve(OURS, vec![vec!["", "", "OK\t1\tuser=late\nOK\t#\tuser=a\n"]]);
    let logins =
        Logins::new(Connector::Path(double.path.clone()), Language::Auth, Duration::from_secs(1));
    let session = session(&facts());
    let step = logins.begin(&session, mechanism("PLAIN"), plain()).await;
    assert_eq!(word(&step), "unavailable");
    let login = accepted(logins.begin(&session, mechanism("PLAIN"), plain()).await);
    assert_eq!(login.user.as_bytes(), b"a");
    let heard = double.heard(logins);
    assert_eq!(heard[3], "CANCEL\t1");
    assert!(heard[4].starts_with("AUTH\t2\t"), "{}", heard[4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_daemon_says_wrongly_nobody_is_accepted_and_the_next_connection_serves() {
    for wrong in [
        "",
        "OK\n",
        "OK\t#\n",
        "OK\t#\tuserid=alice\n",
        "OK\t#\tuser=\n",
        "CANCELLED\t#\n",
        "\n\n\nCONT\t#\t!!\n",
    ] {
        let double = serve(OURS, vec![vec![wrong], vec!["OK\t#\tuser=a\n"]]);
        let logins = double.logins();
        let session = session(&facts());
        let step = logins.begin(&session, mechanism("PLAIN"), plain()).await;
        assert_eq!(word(&step), "unavailable", "{wrong:?}");
        let step = loop {
            match logins.begin(&session, mechanism("PLAIN"), plain()).await {
                Step::Unavailable => tokio::task::yield_now().await,
                step => break step,
            }
        };
        accepted(step);
        double.heard(logins);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_daemon_nobody_knows_but_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let path = Connector::Path(directory.path().join("nobody"));
    let logins = Logins::new(path.clone(), Language::Auth, LIMIT);
    let session = session(&facts());
    let step = logins.begin(&session, mechanism("PLAIN"), plain()).await;
    assert_eq!(word(&step), "unavailable");
    assert_eq!(logins.mechanisms(&session), [mechanism("PLAIN"), mechanism("LOGIN")]);
    let logins = Logins::new(path, Language::Mux, LIMIT);
    let step = logins.begin(&session, mechanism("PLAIN"), plain()).await;
    assert_eq!(word(&step), "unavailable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mux_is_asked_with_name_and_password() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mux");
    let listening = UnixListener::bind(&path).unwrap();
    let replies = [&b"\0\x02OK"[..], b"\0\x02NO", b"", b"\0\x02"];
    let request = b"\0\x05alice\0\x06pencil\0\x04smtp\0\x0bexample.org";
    let serving = std::thread::spawn(move || {
        for reply in replies {
            let (mut stream, _) = listening.accept().unwrap();
            let mut asked = vec![0; request.len()];
            stream.read_exact(&mut asked).unwrap();
            assert_eq!(asked, request);
            stream.write_all(reply).unwrap();
        }
    });
    let logins = Logins::new(Connector::Path(path), Language::Mux, LIMIT);
    let session = session(&facts());
    let offered = logins.mechanisms(&session);
    assert_eq!(offered, [mechanism("PLAIN"), mechanism("LOGIN")]);
    let step = logins.begin(&session, mechanism("LOGIN"), Some(message(b"alice@example.org")));
    let (exchange, _) = challenged(step.await);
    let login = accepted(exchange.answer(message(b"pencil")).await);
    assert_eq!(login.user.as_bytes(), b"alice@example.org");
    for expected in ["refused", "unavailable", "unavailable"] {
        let initial = Some(message(b"\0alice@example.org\0pencil"));
        let step = logins.begin(&session, mechanism("PLAIN"), initial).await;
        assert_eq!(word(&step), expected);
    }
    serving.join().unwrap();
    // None of these is asked at all.
    for bad in
        ["", "alice", "\0alice", "bob\0alice\0pencil", "\0\0pencil", "\0alice\0", "\0a\0b\0c"]
    {
        let initial = Some(message(bad.as_bytes()));
        let step = logins.begin(&session, mechanism("PLAIN"), initial).await;
        assert_eq!(word(&step), "refused", "{bad:?}");
    }
    let name = Some(message(b"alice\0x"));
    let (exchange, _) = challenged(logins.begin(&session, mechanism("LOGIN"), name).await);
    assert_eq!(word(&exchange.answer(message(b"pencil")).await), "refused");
}

#[test]
fn whose_addresses_are_whose() {
    let senders = Senders::Own;
    let login =
        Login { user: Name::new(b"alice").unwrap(), mechanism: mechanism("PLAIN"), senders };
    let local = ["here.example".to_owned()];
    let may = |address: &str| {
        login.may_send_as(&Sender::Address(Address::parse(address).unwrap()), &local)
    };
    assert!(login.may_send_as(&Sender::Null, &local));
    assert!(
        may("alice@Here.example") && may("alice+x@here.example") && may("\"alice\"@here.example")
    );
    assert!(!may("bob@here.example") && !may("alice@elsewhere.example"));
}
