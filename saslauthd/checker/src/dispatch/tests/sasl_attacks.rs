//! Attacks by way of SASL exchanges: giving up at the right time, closed accounts, and what a listener may not ask.

use accounts::Edit;
use ipc::exchange::{Find, LastWords, Reply, Search};
use ipc::requests::{Incoming, Peer, Source};
use protocol::mechanism::Mechanism;
use protocol::{Address, Answer, Name};

use super::client::*;
use super::exchanges::keys;
use super::house::*;
use crate::dispatch::Origin;

/// E2: who asks and gives up without a pause has no more under way than who waits.
#[test]
fn e2_what_was_given_up_keeps_its_place_until_it_is_decided() {
    let files = Files::new();
    let backend = files.sqlite("db", &[("alice", "", &argon("pencil"))]);
    let mut config = with_sasl(config(vec![backend]), &[]);
    config.limits.on = false;
    let mut house = House::new(config);
    let plain = ask(Mechanism::Plain);
    for id in 0..2048 {
        house.core.incoming(Origin(0), plain.begin(id, Some(b"\0alice\0pencil")));
        house.core.incoming(Origin(0), Incoming::Cancel(id));
    }
    assert!(house.core.unanswered() > 0, "the pool was too fast; the test needs a slower hash");
    assert_eq!(house.core.exchanges.len(), 2048);
    house.core.incoming(Origin(0), plain.begin(5000, Some(b"\0alice\0pencil")));
    let reply = one(house.core.replies().map(|(_, reply)| reply).collect());
    assert_eq!(ended(reply).answer, Answer::Unavailable);
    // None of them is answered, and all have left their places.
    assert!(house.settle().is_empty());
    assert_eq!(house.core.replies().count(), 0);
    assert_eq!(house.core.exchanges.len(), 0);
    assert_eq!(house.plain("", "alice", "pencil").answer, Answer::Accept);
}

/// E2: a guess whose client gives up before the answer costs what any costs.
#[test]
fn e2_a_guess_that_is_given_up_counts() {
    let files = Files::new();
    let backend = files.sqlite("db", &[("alice", "", &argon("pencil"))]);
    let mut house = House::new(with_sasl(config(vec![backend]), &[]));
    for id in 0..50 {
        let guess = format!("\0alice\0guess {id}");
        let begin = ask(Mechanism::Plain).begin(id, Some(guess.as_bytes()));
        house.core.incoming(Origin(0), begin);
        house.core.incoming(Origin(0), Incoming::Cancel(id));
        house.settle();
    }
    assert_eq!(house.plain("", "alice", "pencil").answer, Answer::Refuse);
    assert!(house.event().contains(" reason=throttled "), "{}", house.event());
}

/// A certificate stands in for a password and for nothing else: an account that has ended stays closed, also where its
/// hash could not be compared anyway, and a line that can't be read says nothing of its account.
#[test]
fn b4_a_certificate_opens_no_account_that_has_ended() {
    let files = Files::new();
    let backend = files.shadow("shadow", &[]);
    let lines = "open:$6$x$y:19000:0:99999:7:::\nended:abcdefghijklm:19000:0:99999:7::19999:\n\
                 bare::19000:0:99999:7::19999:\naged:abcdefghijklm:1:0:1:7:::\n\
                 fresh:abcdefghijklm:0:0:99999:7:::\ntorn:$6$x$y:19000:0:99999:7::soon:\n\
                 unhashed:abcdefghijklm:19000:0:99999:7:::\n";
    std::fs::write(files.path("shadow"), lines).unwrap();
    let mut house = House::new(with_sasl(config(vec![backend]), &[]));
    for (user, reason, answer) in [
        ("unhashed", "-", Answer::Accept),
        ("ended", "account-expired", Answer::Refuse),
        ("bare", "account-expired", Answer::Refuse),
        ("aged", "password-expired", Answer::Refuse),
        ("fresh", "must-change", Answer::Refuse),
        ("torn", "malformed-hash", Answer::Refuse),
    ] {
        let certificate = Some(Name::new(user.as_bytes()).unwrap());
        let external = Ask { certificate, ..ask(Mechanism::External) };
        assert_eq!(ended(house.begin(1, &external, Some(b""))).answer, answer, "{user}");
        let event = house.event();
        assert!(event.contains(&format!(" reason={reason} user=\"{user}\"")), "{event}");
    }
}

/// A listener that was taken over asks for what no socket is there for.
#[test]
fn r13_users_are_looked_up_only_for_a_socket_that_is_for_that() {
    let files = Files::new();
    let backend = files.sqlite("db", &[("alice", "", "x")]);
    let name = |text: &[u8]| Name::new(text).unwrap();
    let mut house = House::new(with_sasl(config(vec![backend]), &ALL));
    for socket in [0, 1, u16::MAX] {
        for what in [
            Search::User { user: name(b"alice"), service: name(b"lmtp") },
            Search::List { mask: name(b"*") },
            Search::Flush { masks: Vec::new() },
        ] {
            let peer = Peer { pid: 1, uid: 0, gid: 0 };
            let found = one(house.say(Incoming::Find(Find { id: 1, socket, peer, what })));
            let Reply::Found { answer, users, .. } = found else { panic!() };
            assert_eq!((answer, users.len()), (Answer::Refuse, 0));
        }
    }
}

/// D1: a derivation is hidden by the floor of its own hash function, of which the longest takes three times as long.
#[test]
fn d1_the_floor_of_a_challenge_is_that_of_its_hash() {
    let files = Files::new();
    let backend = files.sasldb("db", &[("alice", "pencil")]);
    let mut house = House::new(with_sasl(config(vec![backend]), &ALL));
    for (mechanism, floor) in
        [(Mechanism::ScramSha1, 3), (Mechanism::ScramSha256, 3), (Mechanism::ScramSha512, 8)]
    {
        for user in ["alice", "nobody"] {
            let before = house.clock.get().boot_ns;
            let first = format!("n,,n={user},r=x");
            challenge(house.begin(1, &ask(mechanism), Some(first.as_bytes())));
            assert_eq!(house.clock.get().boot_ns - before, floor * MILLISECOND, "{user}");
            house.core.incoming(Origin(0), Incoming::Cancel(1));
        }
    }
}

/// C5: an exchange that is kept open is no way around a lock, or into an account with its last password.
#[test]
fn c5_what_changes_between_challenge_and_proof_counts() {
    let files = Files::new();
    let backend = files.with_keys("db", &[("alice", "pencil")]);
    let mut house = House::new(with_sasl(config(vec![backend]), &ALL));
    let plain = ask(Mechanism::ScramSha256);
    let as_challenge = Ask { last_words: LastWords::AsChallenge, ..plain.clone() };
    for (change, back, reason) in [
        (Edit::Lock, Edit::Unlock, "disabled"),
        (Edit::Secrets(keys("ink")), Edit::Secrets(keys("pencil")), "wrong-password"),
    ] {
        let proof = house.scram_to_proof(&plain, "n,,", "alice", "pencil");
        files.edit("db", "alice", &change);
        let end = ended(house.respond(1, proof.as_bytes()));
        assert_eq!((end.answer, end.last_words), (Answer::Refuse, None), "{reason}");
        assert!(house.event().contains(&format!(" reason={reason} ")), "{}", house.event());
        files.edit("db", "alice", &back);
        // The same while the client reads the server's last words.
        let proof = house.scram_to_proof(&as_challenge, "n,,", "alice", "pencil");
        challenge(house.respond(1, proof.as_bytes()));
        files.edit("db", "alice", &change);
        assert_eq!(ended(house.respond(1, b"")).answer, Answer::Refuse, "{reason}");
        files.edit("db", "alice", &back);
        assert_eq!(house.scram(&as_challenge, "n,,", "alice", "pencil").answer, Answer::Accept);
    }
    let proof = house.scram_to_proof(&plain, "n,,", "alice", "pencil");
    std::fs::remove_file(files.path("db")).unwrap();
    assert_eq!(ended(house.respond(1, proof.as_bytes())).answer, Answer::Unavailable);
}

/// C9: whose name has no room beside its realm is not let in as somebody of another.
#[test]
fn c9_a_name_too_long_for_its_realm_is_nobody() {
    let files = Files::new();
    let long = "a".repeat(200);
    let backend = files.sqlite("db", &[(&long, &"r".repeat(900), &argon("pencil"))]);
    let mut config = with_sasl(config(vec![backend]), &[]);
    config.mapping.one_name = ipc::config::MappingRule::Split;
    config.mapping.default_realm = "r".repeat(900);
    let mut house = House::new(config);
    let end = house.plain("", &long, "pencil");
    // The listener lets nobody in without a name.
    assert_eq!(end.user, None);
}

/// E2: asking for an account without keys makes the loop look at all accounts, and not each time.
#[test]
fn e2_a_stranger_does_not_say_how_often_all_accounts_are_looked_at() {
    let files = Files::new();
    let backend = files.sqlite("db", &[("keyless", "", &argon("pencil"))]);
    let mut house = House::new(with_sasl(config(vec![backend]), &ALL));
    let now = house.clock.get().boot_ns;
    challenge(house.begin(1, &ask(Mechanism::ScramSha256), Some(b"n,,n=keyless,r=x")));
    assert_eq!(house.core.offers.next(), 0, "once it is looked at once");
    house.core.due();
    challenge(house.begin(2, &ask(Mechanism::ScramSha256), Some(b"n,,n=keyless,r=x")));
    assert_eq!(house.core.offers.next(), now + SECOND);
}

/// What an account may not do with its password it may not do with a proof or a certificate either.
#[test]
fn c9_services_and_networks_hold_for_every_mechanism() {
    let files = Files::new();
    files.add("db", "bound", "", &argon("pencil"), restrictions("imap", "192.0.2.0/24"));
    files.edit("db", "bound", &Edit::Secrets(keys("pencil")));
    let backend = files.sqlite("db", &[]);
    let mut house = House::new(with_sasl(config(vec![backend]), &ALL));
    let source = |ip: &str| Source::Stated(Address { ip: ip.parse().unwrap(), port: None });
    for (service, source, answer) in [
        ("imap", source("192.0.2.7"), Answer::Accept),
        ("smtp", source("192.0.2.7"), Answer::Refuse),
        ("imap", source("198.51.100.7"), Answer::Refuse),
        ("imap", Source::Absent, Answer::Refuse),
    ] {
        let scram = Ask { service, source, ..ask(Mechanism::ScramSha256) };
        assert_eq!(house.scram(&scram, "n,,", "bound", "pencil").answer, answer, "{service}");
        let certificate = Some(Name::new(b"bound").unwrap());
        let external = Ask { service, source, certificate, ..ask(Mechanism::External) };
        assert_eq!(ended(house.begin(1, &external, Some(b""))).answer, answer, "{service}");
        let plain = Ask { service, source, ..ask(Mechanism::Plain) };
        let end = ended(house.begin(1, &plain, Some(b"\0bound\0pencil")));
        assert_eq!(end.answer, answer, "{service}");
    }
}
