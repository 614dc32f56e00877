//! The client against servers of every manner, on real sockets.

use std::io::BufRead;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::JoinHandle;

use super::*;

const HELLO: &str = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tX-NEW\nSPID\t1\nCUID\t1\n\
                     COOKIE\t000102030405060708090a0b0c0d0e0f\nDONE\n";
const LIMIT: Duration = Duration::from_secs(20);

/// A server for one connection: says the hello, then a reply for each line after VERSION and CPID.
fn server(
    hello: &str,
    replies: Vec<Vec<u8>>,
) -> (PathBuf, tempfile::TempDir, JoinHandle<Vec<String>>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth");
    let listening = UnixListener::bind(&path).unwrap();
    let hello = hello.to_owned();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listening.accept().unwrap();
        stream.write_all(hello.as_bytes()).unwrap();
        let lines = io::BufReader::new(stream.try_clone().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let mut heard: Vec<String> = lines.by_ref().take(2).collect();
        for reply in replies {
            heard.extend(lines.next());
            // The client may have had enough.
            let _ = stream.write_all(&reply);
        }
        let _ = stream.shutdown(std::net::Shutdown::Write);
        heard.extend(lines);
        heard
    });
    (path, directory, serving)
}

fn ask(replies: &[&[u8]]) -> (Outcome, bool, Vec<String>) {
    let replies = replies.iter().map(|reply| reply.to_vec()).collect();
    let (path, _directory, serving) = server(HELLO, replies);
    let mut client = Client::connect(&path, LIMIT).unwrap();
    assert!(client.mechanisms().iter().eq([Mechanism::Plain]));
    let parameters = Parameters::of_service(Name::new(b"smtp").unwrap());
    let password = Password::new(b"pw").unwrap();
    let outcome = client.plain(parameters, &Name::new(b"alice").unwrap(), &password, LIMIT);
    let lost = client.is_lost();
    drop(client);
    (outcome, lost, serving.join().unwrap())
}

#[test]
fn plain_in_one_go() {
    let (outcome, lost, heard) = ask(&[b"OK\t1\tuser=alice@example.org\n"]);
    assert_eq!(outcome, Outcome::Accepted(Name::new(b"alice@example.org").unwrap()));
    assert!(!lost);
    assert_eq!(heard[0], "VERSION\t1\t2");
    assert_eq!(heard[1], format!("CPID\t{}", std::process::id()));
    assert_eq!(heard[2], "AUTH\t1\tPLAIN\tservice=smtp\tnologin\tresp=AGFsaWNlAHB3");
    let (outcome, lost, _) = ask(&[b"FAIL\t1\tuser=alice\treason=no\n"]);
    assert_eq!((outcome, lost), (Outcome::Refused(Code::Refused), false));
    let (outcome, lost, _) = ask(&[b"FAIL\t1\tuser=\tcode=temp_fail\n"]);
    assert_eq!((outcome, lost), (Outcome::Unavailable, false));
}

#[test]
fn a10_whatever_a_server_says_wrongly_is_a_temporary_failure() {
    let endless = vec![b'x'; 1 << 20];
    let foreign: &[u8] = b"FAIL\t9\treason=x\n";
    for reply in [
        &b""[..],
        b"OK\n",
        b"OK\t1\n",
        b"OK\t1\tuserid=alice\n",
        b"OK\t1\tuser=\n",
        b"OK\t2\tuser=alice\n",
        b"\t\t\t\n",
        b"FAIL\n",
        b"FAIL\t1",
        b"CONT\n",
        b"CONT\t1\t!!\n",
        b"CONT\t1\t\n",
        b"NONSENSE\n",
        b"CANCELLED\t1\n",
        foreign,
        &endless,
    ] {
        let (outcome, lost, _) = ask(&[reply]);
        let what = String::from_utf8_lossy(reply.get(..reply.len().min(40)).unwrap()).into_owned();
        assert_eq!(outcome, Outcome::Unavailable, "{what:?}");
        assert!(lost || what.starts_with("CONT\t1\t\n"), "{what:?}");
    }
}

#[test]
fn what_is_of_another_time_or_not_understood_is_passed_over() {
    let (outcome, ..) = ask(&[b"\nNEWS\tx\nSPID\t1\nOK\t1\tuser=alice\tbare\tk=v\n"]);
    assert!(matches!(outcome, Outcome::Accepted(_)));
}

#[test]
fn an_exchange_of_several_steps_and_two_logins_on_one_connection() {
    let replies: [&[u8]; 4] = [
        b"CONT\t1\tVXNlcm5hbWU6\n",
        b"CONT\t1\tUGFzc3dvcmQ6\n",
        b"OK\t1\tuser=alice\tresp=dj14\n",
        b"FAIL\t2\n",
    ];
    let replies = replies.iter().map(|reply| reply.to_vec()).collect();
    let (path, _directory, serving) = server(HELLO, replies);
    let mut client = Client::connect(&path, LIMIT).unwrap();
    let parameters = || Parameters::of_service(Name::new(b"smtp").unwrap());
    let mut asked = Vec::new();
    let outcome =
        client.exchange(Mechanism::Login, parameters(), Initial::Absent, LIMIT, |challenge| {
            asked.push((challenge.message.to_vec(), challenge.last_words));
            Some(Response { message: Message::new(b"x".to_vec()), binding: None })
        });
    assert!(matches!(outcome, Outcome::Accepted(_)));
    let wanted: [(&[u8], bool); 3] = [(b"Username:", false), (b"Password:", false), (b"v=x", true)];
    assert!(asked.iter().map(|(words, last)| (&words[..], *last)).eq(wanted));
    let password = Password::new(b"pw").unwrap();
    let outcome = client.plain(parameters(), &Name::new(b"bob").unwrap(), &password, LIMIT);
    assert_eq!(outcome, Outcome::Refused(Code::Refused));
    drop(client);
    assert_eq!(serving.join().unwrap()[3..5], ["CONT\t1\teA==", "CONT\t1\teA=="]);
}

#[test]
fn a_handshake_that_is_none_is_an_error() {
    for (hello, kind) in [
        ("", ErrorKind::UnexpectedEof),
        ("VERSION\t2\t0\nMECH\tPLAIN\nDONE\n", ErrorKind::InvalidData),
        ("VERSION\t1\t1\nSPID\t1\n", ErrorKind::InvalidData),
        ("VERSION\t1\t1\nDONE\n", ErrorKind::InvalidData),
        ("VERSION\t1\nMECH\tPLAIN\nDONE\n", ErrorKind::InvalidData),
    ] {
        let (path, _directory, serving) = server(hello, Vec::new());
        let error = Client::connect(&path, LIMIT).err().unwrap();
        assert_eq!(error.kind(), kind, "{hello:?}");
        serving.join().unwrap();
    }
}

#[test]
fn a_silent_server_is_not_waited_for_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth");
    let _listening = UnixListener::bind(&path).unwrap();
    let error = Client::connect(&path, Duration::from_millis(30)).err().unwrap();
    assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock));
}
