//! A8, A9, A11 on the auth socket: many logins on one connection, noise beside it, and a checker that dies.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use harness::{PATIENCE, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::auth::client::Response;
use protocol::auth::{Client, Initial, Outcome, Parameters, Security};
use protocol::mechanism::Mechanism;
use protocol::{Name, Password};

use crate::house::{House, LOGIN, PASSWORD, Plan};

const AUTH: &str = "/run/saslauthd/auth";
const MUX: &str = "[[socket]]\npath = \"/run/saslauthd/mux\"";

fn plan(failure_delay: &str) -> Plan {
    let auth = format!("[[socket]]\nprotocol = \"auth\"\nfailure_delay = \"{failure_delay}\"");
    Plan::new().sections(MUX).sections(&auth)
}

fn tls() -> Parameters {
    let parameters = Parameters::of_service(Name::new(b"smtp").unwrap());
    Parameters { security: Security::Tls, ..parameters }
}

fn ask(client: &mut Client, login: &str, password: &str) -> Outcome {
    let login = Name::new(login.as_bytes()).unwrap();
    let password = Password::new(password.as_bytes()).unwrap();
    client.plain(tls(), &login, &password, PATIENCE)
}

fn accepted() -> Outcome {
    Outcome::Accepted(Name::new(LOGIN.as_bytes()).unwrap())
}

/// The parameters of a right PLAIN login, and of a wrong one.
fn plain(password: &str) -> String {
    let words = STANDARD.encode(format!("\0{LOGIN}\0{password}"));
    format!("PLAIN\tservice=smtp\tnologin\tlip=192.0.2.1\trip=192.0.2.7\tsecured\tresp={words}")
}

/// A client that says what it likes.
struct Raw(BufReader<UnixStream>);

impl Raw {
    fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    /// After the handshake of this minor.
    fn introduced(socket: &Path, minor: u32) -> Self {
        let mut raw = Self::connect(socket);
        raw.say(&format!("VERSION\t1\t{minor}\nCPID\t7\n"));
        while raw.line() != "DONE" {}
        raw
    }

    fn say(&mut self, text: &str) {
        // A daemon that has hung up already is no error here.
        let _ = self.0.get_mut().write_all(text.as_bytes());
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => "(end)".into(),
            Ok(_) => line.trim_end_matches('\n').into(),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => "(end)".into(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn socket(house: &House) -> PathBuf {
    house.at(AUTH)
}

#[test]
fn auth_one_connection_serves_right_wrong_and_unknown() {
    let Some(house) = plan("0ms").start() else { return };
    let mut client = Client::connect(&socket(&house), PATIENCE).unwrap();
    assert!(client.mechanisms().contains(Mechanism::Plain));
    for _ in 0..3 {
        assert_eq!(ask(&mut client, LOGIN, PASSWORD), accepted());
        assert!(matches!(ask(&mut client, LOGIN, "wrong"), Outcome::Refused(_)));
        assert!(matches!(ask(&mut client, "nobody-here", PASSWORD), Outcome::Refused(_)));
    }
    let mut words = [PASSWORD, LOGIN].into_iter();
    let mut prompts = Vec::new();
    let outcome = client.exchange(Mechanism::Login, tls(), Initial::Absent, PATIENCE, |asked| {
        prompts.push(String::from_utf8(asked.message.to_vec()).unwrap());
        let message = words.next_back()?.as_bytes().to_vec().into();
        Some(Response { message, binding: None })
    });
    assert_eq!(outcome, accepted());
    assert_eq!(prompts, ["Username:", "Password:"]);
    // Without TLS a password is not taken.
    let name = Name::new(b"smtp").unwrap();
    let login = Name::new(LOGIN.as_bytes()).unwrap();
    let password = Password::new(PASSWORD.as_bytes()).unwrap();
    let clear = client.plain(Parameters::of_service(name), &login, &password, PATIENCE);
    assert!(matches!(clear, Outcome::Refused(_)), "{clear:?}");
}

#[test]
fn auth_whoever_waits_for_us_is_served_too_and_byte_by_byte() {
    let Some(house) = plan("0ms").start() else { return };
    let mut exim = Raw::connect(&socket(&house));
    while exim.line() != "DONE" {}
    exim.say(&format!("VERSION\t1\t0\nCPID\t9\nAUTH\t1\t{}\n", plain(PASSWORD)));
    assert_eq!(exim.line(), format!("OK\t1\tuser={LOGIN}"));
    exim.say(&format!("AUTH\t2\t{}\n", plain("wrong")));
    assert_eq!(exim.line(), "FAIL\t2\treason=authentication failed");
    let mut slow = Raw::connect(&socket(&house));
    for byte in format!("VERSION\t1\t1\nCPID\t9\nAUTH\t1\t{}\n", plain(PASSWORD)).chars() {
        slow.say(&byte.to_string());
        std::thread::sleep(Duration::from_millis(1));
    }
    while slow.line() != "DONE" {}
    assert_eq!(slow.line(), format!("OK\t1\tuser={LOGIN}"));
}

#[test]
fn a9_a_hundred_on_one_connection_and_only_the_flawed_fail() {
    let Some(house) = plan("0ms").start() else { return };
    let mut raw = Raw::introduced(&socket(&house), 2);
    let mut all: String =
        (1..=100).map(|id| format!("AUTH\t{id}\t{}\n", plain(PASSWORD))).collect();
    all += "AUTH\t101\tPLAIN\tservice=smtp\tresp=%%%\nAUTH\t102\tNONESUCH\tservice=smtp\n";
    all += "CONT\t103\tQQ==\nAUTH\t104\tPLAIN\tservice=smtp\tresp=\tx\n";
    raw.say(&all);
    let told: Vec<String> = (0..104).map(|_| raw.line()).collect();
    for id in 1..=100 {
        assert!(told.contains(&format!("OK\t{id}\tuser={LOGIN}")), "{id}: {told:?}");
    }
    assert!(told.iter().any(|line| line == "FAIL\t101\tcode=invalid_base64"));
    for id in 102..=104 {
        assert!(told.contains(&format!("FAIL\t{id}")), "{id}: {told:?}");
    }
}

#[test]
fn a8_noise_on_the_auth_socket_hurts_nobody() {
    let Some(house) = plan("0ms").start() else { return };
    let mut client = Client::connect(&socket(&house), PATIENCE).unwrap();
    let listener = house.listener();
    let mut seed = 7u64;
    for turn in 0..500usize {
        let noise: Vec<u8> = (0..turn * 17)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                seed.to_be_bytes()[0]
            })
            .collect();
        let mut stream = UnixStream::connect(socket(&house)).unwrap();
        if turn % 2 == 0 {
            let _ = stream.write_all(b"VERSION\t1\t0\nCPID\t7\nAUTH\t1\tPLAIN\tservice=x\tresp=");
        }
        let _ = stream.write_all(&noise);
    }
    assert_eq!(ask(&mut client, LOGIN, PASSWORD), accepted());
    assert_eq!(house.visit(), "OK");
    assert_eq!(house.listener().0, listener.0, "the same process");
}

#[test]
fn auth_a_refusal_waits_and_the_connection_lives_on() {
    let Some(house) = plan("1s").start() else { return };
    let mut client = Client::connect(&socket(&house), PATIENCE).unwrap();
    let began = Instant::now();
    assert!(matches!(ask(&mut client, LOGIN, "wrong"), Outcome::Refused(_)));
    assert!(began.elapsed() >= Duration::from_millis(750), "{:?}", began.elapsed());
    assert_eq!(ask(&mut client, LOGIN, PASSWORD), accepted());
}

#[test]
fn auth_a_checker_killed_in_an_exchange_is_an_outage_and_no_more() {
    let Some(house) = plan("0ms").start() else { return };
    let mut old = Raw::introduced(&socket(&house), 0);
    let mut new = Raw::introduced(&socket(&house), 2);
    for client in [&mut old, &mut new] {
        client.say("AUTH\t1\tLOGIN\tservice=smtp\tsecured=tls\n");
        assert_eq!(client.line(), "CONT\t1\tVXNlcm5hbWU6");
    }
    let checker = house.checker();
    kill(Pid::from_raw(checker.0), Signal::SIGKILL).unwrap();
    assert_eq!(old.line(), "(end)");
    assert_eq!(new.line(), "FAIL\t1\tuser=\tcode=temp_fail");
    assert!(wait_until(|| house.visit() == "OK"), "{}", house.daemon.log());
    new.say(&format!("AUTH\t2\t{}\n", plain(PASSWORD)));
    assert_eq!(new.line(), format!("OK\t2\tuser={LOGIN}"));
}

#[test]
fn auth_a_reload_keeps_connections() {
    let Some(house) = plan("0ms").start() else { return };
    let mut client = Client::connect(&socket(&house), PATIENCE).unwrap();
    assert_eq!(ask(&mut client, LOGIN, PASSWORD), accepted());
    house.signal(Signal::SIGHUP);
    house.await_log("serving by the new configuration");
    assert_eq!(ask(&mut client, LOGIN, PASSWORD), accepted());
    assert!(!client.is_lost());
}

#[test]
fn a11_ends_and_empty_words_at_every_step() {
    let Some(house) = plan("0ms").start() else { return };
    for said in [
        "AUTH\t1\tPLAIN\tservice=x\tsecured=tls\tresp==\n",
        "AUTH\t1\tLOGIN\tservice=x\tsecured=tls\tresp==\n",
    ] {
        let mut raw = Raw::introduced(&socket(&house), 2);
        raw.say(said);
        let mut line = raw.line();
        while line.starts_with("CONT") {
            raw.say("CONT\t1\t=\n");
            line = raw.line();
        }
        assert_eq!(line, "FAIL\t1", "{said:?}");
        for steps in 0..3 {
            let mut gone = Raw::introduced(&socket(&house), 2);
            gone.say(said);
            (0..steps).for_each(|_| gone.say("CONT\t1\tYQ==\n"));
        }
    }
    let mut client = Client::connect(&socket(&house), PATIENCE).unwrap();
    assert_eq!(ask(&mut client, LOGIN, PASSWORD), accepted());
}

#[test]
fn userdb_tells_who_there_is_and_never_a_secret() {
    let userdb = "[[socket]]\nprotocol = \"userdb\"\nuserdb_uid = 5000\nuserdb_home = \"/srv/%n\"";
    let Some(house) = plan("0ms").sections(userdb).start() else { return };
    let mut raw = Raw::connect(&house.at("/run/saslauthd/userdb"));
    assert_eq!(raw.line(), "VERSION\t1\t1");
    assert!(raw.line().starts_with("SPID\t"));
    raw.say(&format!("VERSION\t1\t1\nUSER\t1\t{LOGIN}\tservice=smtp\n"));
    assert_eq!(raw.line(), format!("USER\t1\t{LOGIN}\tuid=5000\thome=/srv/{LOGIN}"));
    raw.say("USER\t2\tnobody-here\tservice=smtp\n");
    assert_eq!(raw.line(), "NOTFOUND\t2");
    raw.say(&format!("PASS\t3\t{LOGIN}\tservice=smtp\n"));
    assert_eq!(raw.line(), "FAIL\t3");
    assert_eq!(house.visit(), "OK");
    raw.say("CACHE-FLUSH\t4\n");
    let flushed = raw.line();
    assert!(flushed.starts_with("OK\t4\t"), "{flushed}");
}
