//! The auth socket: clients of every generation, one login among many, and checkers that come and go.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ipc::config::{Auth, Handshake, Protocol, Socket};
use ipc::exchange::{LastWords, Transport};
use ipc::requests::{Incoming, Source};
use protocol::auth::{Client as Asking, Outcome, Parameters};
use protocol::mechanism::Mechanism;
use protocol::{Answer, Name, Password};

use crate::house::{Checker, House, PATIENCE, own_uid, socket};

const PLAIN: &str = "PLAIN\tservice=smtp\tresp=AGFsaWNlAHB3";
const NO: &str = "reason=authentication failed";

fn with(handshake: Handshake, failure_delay_ms: u32) -> Socket {
    let auth = Auth { handshake, failure_delay_ms, certificate_uids: Vec::new() };
    Socket { auth, ..socket(Protocol::Auth) }
}

fn house() -> House {
    House::start(vec![with(Handshake::Auto, 0)])
}

/// Answers one request.
fn settle(checker: &mut Checker, answer: Answer) {
    let begin = checker.begin();
    checker.end(begin.id, answer);
}

#[test]
fn postfix_speaks_at_once_and_exim_waits_for_us() {
    let house = house();
    let mut checker = house.checker();
    let mut postfix = house.client(0);
    postfix.say("VERSION\t1\t0\nCPID\t77\n");
    let mut exim = house.client(0);
    for client in [&mut postfix, &mut exim] {
        let hello: Vec<String> = (0..8).map(|_| client.line()).collect();
        assert_eq!(hello[0], "VERSION\t1\t4");
        assert_eq!(hello[1], "MECH\tPLAIN\tplaintext");
        assert_eq!(hello[3], "MECH\tSCRAM-SHA-256\tmutual-auth");
        assert!(hello[4].starts_with("SPID\t"), "{}", hello[4]);
        assert!(hello[5].starts_with("CUID\t") && hello[6].starts_with("COOKIE\t"));
        assert_eq!(hello[7], "DONE");
    }
    postfix.say(&format!("AUTH\t1\t{PLAIN}\n"));
    settle(&mut checker, Answer::Accept);
    assert_eq!(postfix.line(), "OK\t1\tuser=alice");
    postfix.say(&format!("AUTH\t2\t{PLAIN}\n"));
    settle(&mut checker, Answer::Refuse);
    assert_eq!(postfix.line(), format!("FAIL\t2\t{NO}"), "what Postfix tells its client");
    exim.say(
        "VERSION\t1\t0\nCPID\t9\nAUTH\t1\tplain\tservice=smtp\trip=::1\tlip=NULL\tnologin\tresp=\n",
    );
    let begin = checker.begin();
    assert_eq!((begin.mechanism, begin.initial.is_none()), (Mechanism::Plain, true));
    checker.challenge(begin.id, b"");
    assert_eq!(exim.line(), "CONT\t1\t");
    exim.say("CONT\t1\tAGFsaWNlAHB3\n");
    assert_eq!(&checker.respond().message[..], b"\0alice\0pw");
    checker.end(begin.id, Answer::Accept);
    assert_eq!(exim.line(), "OK\t1\tuser=alice");
}

#[test]
fn legacy_sockets_speak_and_waiting_ones_wait() {
    let house = House::start(vec![with(Handshake::Legacy, 0), with(Handshake::Wait, 0)]);
    let mut silent = house.client(0);
    assert_eq!(silent.line(), "VERSION\t1\t4");
    assert!(silent.is_silent(), "nothing is offered yet");
    let _checker = house.checker();
    while silent.line() != "DONE" {}
    let mut waits = house.client(1);
    assert_eq!(waits.line(), "VERSION\t1\t4");
    std::thread::sleep(Duration::from_millis(300));
    assert!(waits.is_silent());
    waits.say("VERSION\t1\t3\n");
    let mut mechanisms = BTreeSet::new();
    loop {
        match waits.line() {
            line if line == "DONE" => break,
            line => mechanisms.insert(line),
        };
    }
    assert!(mechanisms.contains("MECH\tSCRAM-SHA-256-PLUS\tmutual-auth\tchannel-binding"));
}

#[test]
fn bytes_one_at_a_time_and_pipelined_ones_are_the_same_conversation() {
    let house = house();
    let mut checker = house.checker();
    let text = format!("VERSION\t1\t1\nCPID\t7\nAUTH\t1\t{PLAIN}\n");
    for step in [1, 7, text.len()] {
        let mut client = house.client(0);
        for piece in text.as_bytes().chunks(step) {
            client.send(piece);
            if step < text.len() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        settle(&mut checker, Answer::Accept);
        while client.line() != "DONE" {}
        assert_eq!(client.line(), "OK\t1\tuser=alice");
    }
}

#[test]
fn our_own_client_logs_in_twice_on_one_connection() {
    let house = house();
    let mut checker = house.checker();
    let path = house.path(0);
    let asking = std::thread::spawn(move || {
        let mut client = Asking::connect(&path, PATIENCE).unwrap();
        assert!(client.mechanisms().contains(Mechanism::ScramSha256));
        let user = Name::new(b"alice").unwrap();
        let password = Password::new(b"pw").unwrap();
        let ask = |client: &mut Asking| {
            let parameters = Parameters::of_service(Name::new(b"smtp").unwrap());
            client.plain(parameters, &user, &password, PATIENCE)
        };
        [ask(&mut client), ask(&mut client), ask(&mut client)]
    });
    for answer in [Answer::Refuse, Answer::Unavailable, Answer::Accept] {
        settle(&mut checker, answer);
    }
    let [refused, unavailable, accepted] = asking.join().unwrap();
    assert!(matches!(refused, Outcome::Refused(_)));
    assert_eq!(unavailable, Outcome::Unavailable);
    assert_eq!(accepted, Outcome::Accepted(Name::new(b"alice").unwrap()));
}

#[test]
fn a9_of_a_hundred_only_the_flawed_fail() {
    let house = house();
    let mut checker = house.checker();
    let mut client = house.introduced(0, 2);
    for id in 1..=100 {
        client.say(&format!("AUTH\t{id}\t{PLAIN}\n"));
    }
    let begun: Vec<u64> = (1..=100).map(|_| checker.begin().id).collect();
    client.say(
        "AUTH\t101\tPLAIN\tservice=smtp\tresp=!!\nAUTH\t102\tX\tservice=smtp\nCONT\t103\tQQ==\n",
    );
    client.say(&format!("AUTH\t1\t{PLAIN}\nCANCEL\t2\nAUTH\t104\tPLAIN\n"));
    assert_eq!(client.line(), "FAIL\t101\tcode=invalid_base64");
    for id in [102, 103, 1, 104] {
        assert_eq!(client.line(), format!("FAIL\t{id}"));
    }
    assert_eq!([checker.cancel(), checker.cancel()], [begun[0], begun[1]]);
    for id in begun.iter().rev() {
        checker.end(*id, Answer::Accept);
    }
    for id in (3..=100).rev() {
        assert_eq!(client.line(), format!("OK\t{id}\tuser=alice"));
    }
}

#[test]
fn a8_noise_hurts_only_whoever_makes_it() {
    let house = house();
    let mut checker = house.checker();
    let mut good = house.introduced(0, 0);
    let mut seed = 1u32;
    for turn in 0..300 {
        let noise: Vec<u8> = (0..turn * 60)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                seed.to_be_bytes()[0]
            })
            .collect();
        let mut bad = house.client(0);
        if turn % 2 == 0 {
            bad.say("VERSION\t1\t0\nCPID\t7\n");
        }
        bad.send(&noise);
        if turn % 3 == 0 {
            bad.half_close();
        }
    }
    let mut long = house.introduced(0, 2);
    long.send(&[b'x'; 20_000]);
    assert_eq!(long.line(), "(end)");
    good.say(&format!("AUTH\t1\t{PLAIN}\n"));
    settle(&mut checker, Answer::Accept);
    assert_eq!(good.line(), "OK\t1\tuser=alice");
}

#[test]
fn a_refusal_waits_and_an_outage_does_not() {
    let house = House::start(vec![with(Handshake::Auto, 800)]);
    let mut checker = house.checker();
    let mut client = house.introduced(0, 2);
    let began = Instant::now();
    client.say(&format!("AUTH\t1\t{PLAIN}\nAUTH\t2\t{PLAIN}\nAUTH\t3\t{PLAIN}\n"));
    for answer in [Answer::Refuse, Answer::Unavailable, Answer::Accept] {
        settle(&mut checker, answer);
    }
    assert_eq!(client.line(), "FAIL\t2\tuser=\tcode=temp_fail");
    assert_eq!(client.line(), "OK\t3\tuser=alice", "the refused one is overtaken");
    assert_eq!(client.line(), "FAIL\t1");
    assert!(began.elapsed() >= Duration::from_millis(600), "{:?}", began.elapsed());
}

#[test]
fn a_lost_checker_is_an_outage_and_newer_clients_stay() {
    let house = house();
    let mut checker = house.checker();
    let mut old = house.introduced(0, 0);
    let mut new = house.introduced(0, 2);
    for client in [&mut old, &mut new] {
        client.say(&format!("AUTH\t1\t{PLAIN}\nAUTH\t2\tLOGIN\tservice=x\n"));
        checker.begin();
        let login = checker.begin();
        checker.challenge(login.id, b"Username:");
        assert_eq!(client.line(), "CONT\t2\tVXNlcm5hbWU6");
    }
    drop(checker);
    assert_eq!(old.line(), "(end)", "which is temporary to Postfix and Exim");
    let temporary = |id: u32| format!("FAIL\t{id}\tuser=\tcode=temp_fail");
    let told: BTreeSet<String> = [new.line(), new.line()].into();
    assert_eq!(told, [temporary(1), temporary(2)].into());
    new.say(&format!("AUTH\t3\t{PLAIN}\n"));
    assert_eq!(new.line(), temporary(3), "while there is none");
    let mut idle = house.introduced(0, 0);
    let mut checker = house.checker();
    for client in [&mut new, &mut idle] {
        client.say(&format!("AUTH\t4\t{PLAIN}\n"));
        settle(&mut checker, Answer::Accept);
        assert_eq!(client.line(), "OK\t4\tuser=alice");
    }
}

#[test]
fn a_checker_that_is_replaced_ends_the_exchanges_that_it_began() {
    let house = house();
    let mut before = house.checker();
    let mut client = house.introduced(0, 0);
    client.say("AUTH\t1\tLOGIN\tservice=x\n");
    let begun = before.begin().id;
    before.challenge(begun, b"Username:");
    client.line();
    house.serve(|_| true);
    let mut after = house.checker();
    let mut other = house.introduced(0, 0);
    other.say(&format!("AUTH\t1\t{PLAIN}\n"));
    settle(&mut after, Answer::Accept);
    assert_eq!(other.line(), "OK\t1\tuser=alice");
    client.say("CONT\t1\tYWxpY2U=\n");
    assert_eq!(before.respond().id, begun);
    before.end(begun, Answer::Accept);
    assert_eq!(client.line(), "OK\t1\tuser=alice");
    assert!(before.next().is_none(), "it is let go");
    client.say(&format!("AUTH\t2\t{PLAIN}\n"));
    settle(&mut after, Answer::Accept);
    assert_eq!(client.line(), "OK\t2\tuser=alice");
}

#[test]
fn a_socket_that_goes_lets_its_clients_finish() {
    let house = House::start(vec![with(Handshake::Auto, 0), with(Handshake::Auto, 0)]);
    let mut checker = house.checker();
    let mut stays = house.introduced(1, 0);
    let mut idle = house.introduced(0, 0);
    let mut busy = house.introduced(0, 0);
    busy.say(&format!("AUTH\t1\t{PLAIN}\n"));
    let begun = checker.begin();
    let gone = house.path(0).to_str().unwrap().to_owned();
    house.serve(|socket| socket.path != gone);
    assert_eq!(idle.line(), "(end)");
    checker.end(begun.id, Answer::Accept);
    assert_eq!(busy.line(), "OK\t1\tuser=alice");
    assert_eq!(busy.line(), "(end)");
    stays.say(&format!("AUTH\t1\t{PLAIN}\n"));
    let begun = checker.begin();
    assert_eq!(begun.socket, 0, "its place in the new configuration");
    checker.end(begun.id, Answer::Accept);
    assert_eq!(stays.line(), "OK\t1\tuser=alice");
    assert!(house.stop());
    assert_eq!(stays.line(), "(end)");
}

#[test]
fn claims_count_only_from_those_who_may_make_them() {
    let uid = own_uid();
    let mut trusted = with(Handshake::Auto, 0);
    trusted.address_uids = vec![uid];
    trusted.auth.certificate_uids = vec![uid];
    let house = House::start(vec![trusted, with(Handshake::Auto, 0)]);
    let mut checker = house.checker();
    let claims = "service=imap\tsecured=tls\trip=192.0.2.7\trport=99\tvalid-client-cert\tcert_username=al\tfinal-resp-ok";
    let mut clients = [house.introduced(0, 4), house.introduced(1, 4)];
    for (place, client) in clients.iter_mut().enumerate() {
        client.say(&format!("AUTH\t1\tSCRAM-SHA-256-PLUS\t{claims}\tresp=\n"));
        let begin = checker.begin();
        assert_eq!((begin.peer.uid, usize::from(begin.socket)), (uid, place));
        assert_eq!((begin.transport, begin.can_bind), (Transport::Tls, true));
        assert_eq!(begin.last_words, LastWords::WithOutcome);
        assert_eq!(begin.initial.as_deref(), Some(&Vec::new()));
        let certificate = begin.certificate.as_ref().map(Name::as_bytes);
        match (place, begin.source) {
            (0, Source::Stated(address)) => {
                assert_eq!(address.to_string(), "192.0.2.7;99");
                assert_eq!(certificate, Some(&b"al"[..]));
            }
            (1, Source::Ignored(_)) => assert_eq!(certificate, None),
            (place, source) => panic!("{place} {source:?}"),
        }
    }
    let mut exim = house.introduced(0, 0);
    exim.say(
        "AUTH\t1\tPLAIN\tservice=smtp\tsecured\trip=127.0.0.1\tlip=127.0.0.1\tnologin\tresp=\n",
    );
    assert_eq!(checker.begin().transport, Transport::Clear);
}

#[test]
fn a11_a_client_that_goes_at_any_step_is_forgotten() {
    let house = house();
    let mut checker = house.checker();
    for step in 0..3 {
        let mut client = house.introduced(0, 0);
        client.say("AUTH\t1\tLOGIN\tservice=x\tresp==\n");
        let id = checker.begin().id;
        for _ in 0..step {
            checker.challenge(id, b"");
            assert_eq!(client.line(), "CONT\t1\t");
            client.say("CONT\t1\t=\n");
            assert!(checker.respond().message.is_empty());
        }
        drop(client);
        assert_eq!(checker.cancel(), id);
    }
    // Whoever only says that nothing more comes still gets its answer.
    let mut client = house.introduced(0, 0);
    client.say(&format!("AUTH\t1\t{PLAIN}\n"));
    client.half_close();
    settle(&mut checker, Answer::Accept);
    assert_eq!(client.line(), "OK\t1\tuser=alice");
    assert_eq!(client.line(), "(end)");
}

#[test]
fn a_peer_that_may_not_ask_is_shown_out_and_the_others_are_served() {
    let mut closed = with(Handshake::Auto, 0);
    closed.uids = Some(vec![own_uid() + 1]);
    let house = House::start(vec![closed, with(Handshake::Auto, 0)]);
    let mut checker = house.checker();
    assert_eq!(house.client(0).line(), "(end)");
    let mut client = house.introduced(1, 0);
    client.say(&format!("AUTH\t1\t{PLAIN}\n"));
    assert!(matches!(checker.next(), Some(Incoming::Begin(_))));
}
