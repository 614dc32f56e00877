//! SASL exchanges: every mechanism right, wrong, unknown, closed, throttled and away; who may act for whom.

use accounts::{AccountName, Edit, Secrets, StoredHash};
use credentials::sasldb::{self, Format, Records};
use credentials::{ScramHash, ScramKeys};
use ipc::config::*;
use ipc::exchange::{LastWords, Reply, Transport};
use ipc::requests::Incoming;
use protocol::mechanism::Mechanism;
use protocol::{Answer, Name, Password, Senders};

use super::client::*;
use super::house::*;
use crate::dispatch::Origin;

const SCRAM: Mechanism = Mechanism::ScramSha256;

impl Files {
    /// A store with these users, each with an argon2id hash and keys.
    pub(super) fn with_keys(&self, name: &str, accounts: &[(&str, &str)]) -> Backend {
        let backend = self.sqlite(name, &[]);
        for (user, password) in accounts {
            self.add(name, user, "", &argon(password), restrictions("*", "*"));
            self.edit(name, user, &Edit::Secrets(keys(password)));
        }
        backend
    }
}

pub(super) fn keys(password: &str) -> Secrets {
    let secrets = Secrets::of(StoredHash::new(&argon(password)).unwrap());
    let password = Password::new(password.as_bytes()).unwrap();
    secrets.with_scram(ScramKeys::new(ScramHash::Sha256, &password).unwrap()).unwrap()
}

#[test]
fn plain_and_login_end_as_any_login() {
    let files = Files::new();
    let backend = files.sqlite("db", &[("alice", "", &argon("pencil"))]);
    let mut house = House::new(with_sasl(config(vec![backend]), &[]));
    let end = house.plain("", "alice", "pencil");
    assert_eq!((end.answer, end.user.as_deref()), (Answer::Accept, Some("alice")));
    let event = house.event();
    assert!(event.contains(" outcome=accept reason=- user=\"alice\" realm=\"\" service=\"smtp\" backend=db scheme=argon2id cache=off mech=PLAIN transport=tls peer_uid=101 "), "{event}");
    let end = house.plain("", "alice", "Pencil");
    assert_eq!((end.answer, end.user, end.last_words), (Answer::Refuse, None, None));
    assert_eq!(house.plain("", "nobody", "pencil").answer, Answer::Refuse);
    assert!(house.event().contains(" reason=unknown-user "));
    for (password, answer) in [("pencil", Answer::Accept), ("ink", Answer::Refuse)] {
        challenge(house.begin(1, &ask(Mechanism::Login), None));
        challenge(house.respond(1, b"alice"));
        assert_eq!(ended(house.respond(1, password.as_bytes())).answer, answer);
    }
    assert_eq!(house.core.exchanges.len(), 0);
}

#[test]
fn as_whom_somebody_may_send_is_said_with_the_answer() {
    let files = Files::new();
    let backend = files.with_keys("db", &[("alice", "pencil")]);
    let mut house = House::new(with_sasl(config(vec![backend]), &ALL));
    for list in [None, Some("*"), Some("a@b.example @c.example"), Some("")] {
        let senders = list.map_or(Senders::Own, |list| Senders::parse(list).unwrap());
        files.edit("db", "alice", &Edit::Senders(senders.clone()));
        assert_eq!(house.plain("", "alice", "pencil").senders, senders);
        // From memory as well.
        assert_eq!(house.plain("", "alice", "pencil").senders, senders);
        assert_eq!(house.scram(&ask(SCRAM), "n,,", "alice", "pencil").senders, senders);
        assert_eq!(house.plain("", "alice", "Pencil").senders, Senders::Own);
    }
}

#[test]
fn scram_right_wrong_unknown_closed_and_without_keys() {
    let files = Files::new();
    let backend = files.with_keys("db", &[("alice", "pencil"), ("closed", "pencil")]);
    files.add("db", "keyless", "", &argon("pencil"), restrictions("*", "*"));
    files.add("db", "clear", "", "{PLAIN}pencil", restrictions("*", "*"));
    files.edit("db", "closed", &Edit::Lock);
    let mut house = House::new(with_sasl(config(vec![backend]), &ALL));
    let end = house.scram(&ask(SCRAM), "n,,", "alice", "pencil");
    assert_eq!((end.answer, end.user.as_deref()), (Answer::Accept, Some("alice")));
    assert!(end.last_words.unwrap().starts_with("v="));
    assert!(
        house.event().contains(" backend=db scheme=SCRAM-SHA-256 cache=off mech=SCRAM-SHA-256 ")
            || house.event().contains(" scheme=scram-sha-256 "),
        "{}",
        house.event()
    );
    for (user, password, reason) in [
        ("alice", "Pencil", "wrong-password"),
        ("nobody", "pencil", "unknown-user"),
        ("closed", "pencil", "disabled"),
        ("closed", "Pencil", "wrong-password"),
        ("keyless", "pencil", "no-keys"),
        ("clear", "pencil", "no-keys"),
    ] {
        let end = house.scram(&ask(SCRAM), "n,,", user, password);
        assert_eq!((end.answer, end.user, end.last_words), (Answer::Refuse, None, None), "{user}");
        assert!(
            house.event().contains(&format!(" reason={reason} user=\"{user}\"")),
            "{user} {}",
            house.event()
        );
    }
}

#[test]
fn a_name_that_cannot_be_one_is_refused_at_the_end_as_any_other() {
    let files = Files::new();
    let backend = files.with_keys("db", &[("alice", "pencil")]);
    let mut house = House::new(with_sasl(config(vec![backend]), &ALL));
    assert_eq!(house.scram(&ask(SCRAM), "n,,", "ali\u{200b}ce", "pencil").answer, Answer::Refuse);
    assert!(house.event().contains(" reason=name-not-allowed "));
    assert_eq!(house.plain("", "ali\u{200b}ce", "pencil").answer, Answer::Refuse);
    assert!(house.event().contains(" reason=name-not-allowed "));
}

#[test]
fn d1_a_name_that_nobody_has_is_shown_the_same_as_any_and_always() {
    let files = Files::new();
    let backend = files.with_keys("db", &[("alice", "pencil")]);
    let mut house = House::new(with_sasl(config(vec![backend]), &ALL));
    let shape = |server: &str| {
        let parts: Vec<_> = server.split(',').map(str::to_owned).collect();
        (parts[0].len(), parts[1].clone(), parts[1].len(), parts[2].clone())
    };
    let first = |house: &mut House, user: &str| {
        let message = format!("n,,n={user},r=x");
        let server = challenge(house.begin(1, &ask(SCRAM), Some(message.as_bytes())));
        house.core.incoming(Origin(0), Incoming::Cancel(1));
        shape(&server)
    };
    let (known, unknown) = (first(&mut house, "alice"), first(&mut house, "nobody"));
    assert_eq!((known.0, known.2, &known.3), (unknown.0, unknown.2, &unknown.3));
    assert_eq!(first(&mut house, "nobody"), unknown);
    assert_ne!(first(&mut house, "nobody2").1, unknown.1);
    // No earlier than the floor, and as late: the same for right names and wrong.
    let wait = |house: &mut House, user: &str| {
        let proof = house.scram_to_proof(&ask(SCRAM), "n,,", user, "wrong");
        let before = house.clock.get().boot_ns;
        assert_eq!(ended(house.respond(1, proof.as_bytes())).answer, Answer::Refuse);
        house.clock.get().boot_ns - before
    };
    let floors = 5 * MILLISECOND..=10 * MILLISECOND;
    assert!(
        floors.contains(&wait(&mut house, "alice")) && floors.contains(&wait(&mut house, "nobody"))
    );
}

#[test]
fn the_last_words_are_acknowledged_where_the_client_asks_for_that() {
    let files = Files::new();
    let backend = files.with_keys("db", &[("alice", "pencil")]);
    let mut house = House::new(with_sasl(config(vec![backend]), &ALL));
    let as_challenge = Ask { last_words: LastWords::AsChallenge, ..ask(SCRAM) };
    let end = house.scram(&as_challenge, "n,,", "alice", "pencil");
    assert_eq!((end.answer, end.user.as_deref()), (Answer::Accept, Some("alice")));
    assert!(end.last_words.unwrap().starts_with("v="));
    // Whoever answers them with something else is not let in; the guess was right all the same.
    let proof = house.scram_to_proof(&as_challenge, "n,,", "alice", "pencil");
    challenge(house.respond(1, proof.as_bytes()));
    assert_eq!(ended(house.respond(1, b"x")).answer, Answer::Refuse);
    assert!(house.event().contains(" reason=malformed-exchange "));
    // A closed account hears no server's proof.
    files.edit("db", "alice", &Edit::Lock);
    let proof = house.scram_to_proof(&as_challenge, "n,,", "alice", "pencil");
    assert_eq!(ended(house.respond(1, proof.as_bytes())).answer, Answer::Refuse);
    assert!(house.event().contains(" reason=disabled "));
}

#[test]
fn c8_a_proof_is_good_once_and_for_its_own_exchange() {
    let files = Files::new();
    let backend = files.with_keys("db", &[("alice", "pencil")]);
    let mut house = House::new(with_sasl(config(vec![backend]), &ALL));
    let proof = house.scram_to_proof(&ask(SCRAM), "n,,", "alice", "pencil");
    assert_eq!(ended(house.respond(1, proof.as_bytes())).answer, Answer::Accept);
    // The exchange is over: nothing is answered any more.
    let again =
        ipc::exchange::Respond { id: 1, message: proof.clone().into_bytes().into(), binding: None };
    assert!(house.say(Incoming::Respond(again)).is_empty());
    challenge(house.begin(1, &ask(SCRAM), Some(b"n,,n=alice,r=clientnonce")));
    assert_eq!(ended(house.respond(1, proof.as_bytes())).answer, Answer::Refuse);
    // A client that could bind the channel and was not offered it, though we did, met somebody in between.
    let can_bind = Ask { can_bind: true, ..ask(SCRAM) };
    let mut bound = House::new({
        let files = files.sqlite("db", &[]);
        with_sasl(config(vec![files]), &[])
    });
    let end = ended(bound.begin(1, &can_bind, Some(b"y,,n=alice,r=x")));
    assert_eq!(end.answer, Answer::Refuse);
    assert!(bound.event().contains(" reason=downgrade "), "{}", bound.event());
    let plus = Ask { mechanism: Mechanism::ScramSha256Plus, ..ask(SCRAM) };
    assert_eq!(ended(bound.begin(1, &plus, None)).answer, Answer::Refuse);
    assert!(bound.event().contains(" reason=no-channel-binding "));
}

#[test]
fn wrong_proofs_are_counted_as_wrong_passwords_are() {
    let files = Files::new();
    let backend = files.with_keys("db", &[("alice", "pencil")]);
    let mut house = House::new(with_sasl(config(vec![backend]), &ALL));
    let burst = house
        .core
        .limiter
        .of_user(house.core.limiter.user(b"alice", b""), house.core.limiter.name(b"alice", b""))
        .left[0]
        .1;
    for _ in 0..burst {
        // The same wrong password each time: a proof of it is another one each time.
        assert_eq!(house.scram(&ask(SCRAM), "n,,", "alice", "wrong").answer, Answer::Refuse);
        assert!(house.event().contains(" reason=wrong-password "));
    }
    let end = house.scram(&ask(SCRAM), "n,,", "alice", "pencil");
    assert_eq!((end.answer, end.last_words), (Answer::Refuse, None));
    assert!(house.event().contains(" reason=throttled "), "{}", house.event());
    // By the same buckets as passwords, and mux logins.
    assert_eq!(house.plain("", "alice", "pencil").answer, Answer::Refuse);
    assert!(house.event().contains(" reason=throttled "));
    // Exchanges that prove nothing cost nothing, and right ones give everything back.
    let mut house = House::new(with_sasl(config(vec![files.sqlite("db", &[])]), &ALL));
    for _ in 0..3 * burst {
        assert_eq!(house.scram(&ask(SCRAM), "n,,", "alice", "pencil").answer, Answer::Accept);
        challenge(house.begin(1, &ask(SCRAM), Some(b"n,,n=alice,r=x")));
        house.core.incoming(Origin(0), Incoming::Cancel(1));
    }
}

#[test]
fn a12_a_backend_that_is_away_is_never_a_wrong_proof() {
    let files = Files::new();
    let works = files.with_keys("works", &[("alice", "pencil")]);
    for backends in [vec![files.missing("gone"), works.clone()], vec![works, files.missing("gone")]]
    {
        let mut house = House::new(with_sasl(config(backends), &ALL));
        assert_eq!(house.scram(&ask(SCRAM), "n,,", "alice", "pencil").answer, Answer::Accept);
        assert_eq!(house.scram(&ask(SCRAM), "n,,", "nobody", "pencil").answer, Answer::Unavailable);
        assert!(house.event().contains(" reason=backend "));
        assert_eq!(house.plain("", "nobody", "pencil").answer, Answer::Unavailable);
    }
    let mut house = House::new(with_sasl(config(vec![files.missing("gone")]), &ALL));
    let external =
        Ask { certificate: Some(Name::new(b"alice").unwrap()), ..ask(Mechanism::External) };
    assert_eq!(ended(house.begin(1, &external, Some(b""))).answer, Answer::Unavailable);
}

#[test]
fn c9_nobody_is_another_unless_the_configuration_says_so() {
    let files = Files::new();
    let backend = files.with_keys("db", &[("alice", "pencil"), ("bob", "ink"), ("closed", "ink")]);
    files.edit("db", "closed", &Edit::Lock);
    let mut house = House::new(with_sasl(config(vec![backend]), &ALL));
    for same in ["", "alice"] {
        let end = house.plain(same, "alice", "pencil");
        assert_eq!((end.answer, end.user.as_deref()), (Answer::Accept, Some("alice")), "{same}");
    }
    for other in ["bob", "Alice", "alice@example.org", "alice@", "root", " alice"] {
        let end = house.plain(other, "alice", "pencil");
        assert_eq!((end.answer, end.user), (Answer::Refuse, None), "{other}");
    }
    let event = house.event();
    assert!(event.contains(" reason=authzid-not-allowed user=\"alice\" realm=\"\" service=\"smtp\" authzid=\" alice\""), "{event}");
    let end = house.scram(&ask(SCRAM), "n,a=bob,", "alice", "pencil");
    assert_eq!((end.answer, end.last_words), (Answer::Refuse, None));
    assert!(house.event().contains(" reason=authzid-not-allowed "));
    // Only with the password of the master, and for accounts that are there and open.
    let mut config = with_sasl(config(vec![files.sqlite("db", &[])]), &ALL);
    config.sasl.masters = vec!["alice".into()];
    let mut house = House::new(config);
    let end = house.plain("bob", "alice", "pencil");
    assert_eq!((end.answer, end.user.as_deref()), (Answer::Accept, Some("bob")));
    assert!(
        house
            .event()
            .contains(" user=\"bob\" realm=\"\" service=\"smtp\" authid=\"alice\" backend="),
        "{}",
        house.event()
    );
    let end = house.scram(&ask(SCRAM), "n,a=bob,", "alice", "pencil");
    assert_eq!((end.answer, end.user.as_deref()), (Answer::Accept, Some("bob")));
    for (authzid, authid, password) in [
        ("bob", "alice", "ink"),
        ("nobody", "alice", "pencil"),
        ("closed", "alice", "pencil"),
        ("alice", "bob", "ink"),
    ] {
        assert_eq!(
            house.plain(authzid, authid, password).answer,
            Answer::Refuse,
            "{authzid} {authid}"
        );
    }
}

#[test]
fn external_is_an_account_that_is_there_and_may_log_in() {
    let files = Files::new();
    let backend =
        files.sqlite("db", &[("alice", "", "!x"), ("machine", "", "x"), ("closed", "", "x")]);
    files.edit("db", "closed", &Edit::Lock);
    let mut house = House::new(with_sasl(config(vec![backend]), &[]));
    let external = |certificate: Option<&str>| Ask {
        certificate: certificate.map(|name| Name::new(name.as_bytes()).unwrap()),
        ..ask(Mechanism::External)
    };
    for (certificate, authzid, answer) in [
        (Some("machine"), "", Answer::Accept),
        (Some("machine"), "machine", Answer::Accept),
        (Some("machine"), "alice", Answer::Refuse),
        (Some("alice"), "", Answer::Refuse),
        (Some("closed"), "", Answer::Refuse),
        (Some("nobody"), "", Answer::Refuse),
        (Some("mach\u{200b}ine"), "", Answer::Refuse),
        (None, "machine", Answer::Refuse),
    ] {
        let end = ended(house.begin(1, &external(certificate), Some(authzid.as_bytes())));
        assert_eq!(end.answer, answer, "{certificate:?} {authzid}");
        assert_eq!(end.user.is_some(), answer == Answer::Accept);
    }
}

#[test]
fn what_is_not_offered_is_refused_and_so_is_what_is_not_offered_before_tls() {
    let files = Files::new();
    let backend = files.with_keys("db", &[("alice", "pencil")]);
    let mut config = with_sasl(config(vec![backend]), &["PLAIN", "SCRAM-SHA-256"]);
    config.sasl.sockets[0].before_tls = Mechanisms::of_names(["SCRAM-SHA-256"]);
    let mut house = House::new(config);
    let clear = |mechanism| Ask { transport: Transport::Clear, ..ask(mechanism) };
    let plain = b"\0alice\0pencil".as_slice();
    for (ask, reason) in [
        (clear(Mechanism::Plain), "before-tls"),
        (ask(Mechanism::Anonymous), "mechanism-not-offered"),
        (ask(Mechanism::CramMd5), "mechanism-not-offered"),
        (ask(Mechanism::External), "mechanism-not-offered"),
    ] {
        assert_eq!(ended(house.begin(1, &ask, Some(plain))).answer, Answer::Refuse);
        assert!(house.event().contains(&format!(" reason={reason} ")), "{}", house.event());
    }
    assert_eq!(house.scram(&clear(SCRAM), "n,,", "alice", "pencil").answer, Answer::Accept);
    assert!(house.event().contains(" transport=clear "));
    // A socket that speaks no SASL, and one that there isn't.
    let mut house = House::new(super::house::config(vec![files.sqlite("db", &[])]));
    assert_eq!(ended(house.begin(1, &ask(Mechanism::Plain), Some(plain))).answer, Answer::Refuse);
}

#[test]
fn a9_what_is_wrong_with_one_exchange_touches_no_other() {
    let files = Files::new();
    let backend = files.with_keys("db", &[("alice", "pencil")]);
    let mut house = House::new(with_sasl(config(vec![backend]), &ALL));
    let server = challenge(house.begin(1, &ask(SCRAM), Some(b"n,,n=alice,r=clientnonce")));
    for broken in [b"".as_slice(), b"\0", b"n,,", b"n,,n=alice", b"\xff\xfe", &[b'a'; 12_288]] {
        assert_eq!(ended(house.begin(2, &ask(SCRAM), Some(broken))).answer, Answer::Refuse);
        assert_eq!(
            ended(house.begin(2, &ask(Mechanism::Plain), Some(broken))).answer,
            Answer::Refuse
        );
    }
    // A repeated id ends both of its exchanges, a cancelled one is not answered, an unknown one is nothing.
    challenge(house.begin(3, &ask(SCRAM), Some(b"n,,n=alice,r=x")));
    assert_eq!(ended(house.begin(3, &ask(SCRAM), Some(b"n,,n=alice,r=x"))).answer, Answer::Refuse);
    challenge(house.begin(4, &ask(SCRAM), Some(b"n,,n=alice,r=x")));
    assert!(house.say(Incoming::Cancel(4)).is_empty());
    assert!(house.say(Incoming::Cancel(99)).is_empty());
    let respond = ipc::exchange::Respond { id: 4, message: Vec::new().into(), binding: None };
    assert!(house.say(Incoming::Respond(respond)).is_empty());
    assert_eq!(house.core.exchanges.len(), 1);
    let proof = proof("n,,", "n=alice,r=clientnonce", &server, "pencil");
    assert_eq!(ended(house.respond(1, proof.as_bytes())).answer, Answer::Accept);
}

#[test]
fn exchanges_are_bounded_in_number_and_in_time_and_end_with_their_channel() {
    let files = Files::new();
    let backend = files.with_keys("db", &[("alice", "pencil")]);
    let mut house = House::new(with_sasl(config(vec![backend]), &ALL));
    let other = Ask { uid: 102, ..ask(SCRAM) };
    for (first, ask) in [(0, ask(SCRAM)), (3000, other.clone())] {
        for id in first..first + 2048 {
            challenge(house.begin(id, &ask, Some(b"n,,n=alice,r=x")));
        }
        // One user's programs have half of the places and no more.
        let end = ended(house.begin(first + 2048, &ask, Some(b"n,,n=alice,r=x")));
        assert_eq!(end.answer, Answer::Unavailable);
    }
    house.core.incoming(Origin(0), Incoming::Cancel(3000));
    challenge(house.begin(9000, &other, Some(b"n,,n=alice,r=x")));
    house.core.closed(Origin(0));
    assert_eq!(house.core.exchanges.len(), 0);
    challenge(house.begin(1, &ask(SCRAM), Some(b"n,,n=alice,r=x")));
    house.pass(149 * SECOND);
    house.core.due();
    assert_eq!(house.core.exchanges.len(), 1);
    house.pass(7 * SECOND);
    house.core.due();
    let replies: Vec<_> = house.core.replies().map(|(_, reply)| reply).collect();
    assert_eq!(ended(one(replies)).answer, Answer::Unavailable);
    assert!(house.event().contains(" reason=exchange-timeout "));
    assert_eq!(house.core.exchanges.len(), 0);
}

impl Files {
    /// A sasldb with these passwords in the clear.
    pub(super) fn sasldb(&self, name: &str, accounts: &[(&str, &str)]) -> Backend {
        let set = |records: &mut Records| {
            for (user, password) in accounts {
                assert!(records.set_password(user.as_bytes(), b"host", password.as_bytes()));
            }
            sasldb::Edit::Save(())
        };
        sasldb::change(&self.path(name), Format::berkeley(), set).unwrap();
        let path = self.path(name).to_str().unwrap().into();
        Backend {
            name: name.into(),
            kind: BackendKind::Sasldb { path, default_realm: "host".into() },
        }
    }
}

#[test]
fn a_sasldb_serves_scram_and_the_shared_secrets() {
    let files = Files::new();
    let backend = files.sasldb("db", &[("alice", "pencil")]);
    let mut house = House::new(with_sasl(config(vec![backend]), &ALL));
    for _ in 0..2 {
        assert_eq!(house.scram(&ask(SCRAM), "n,,", "alice", "pencil").answer, Answer::Accept);
        assert_eq!(house.scram(&ask(SCRAM), "n,,", "alice", "Pencil").answer, Answer::Refuse);
        assert_eq!(house.scram(&ask(SCRAM), "n,,", "nobody", "pencil").answer, Answer::Refuse);
    }
    for (user, password, answer) in [
        ("alice", "pencil", Answer::Accept),
        ("alice", "Pencil", Answer::Refuse),
        ("nobody", "pencil", Answer::Refuse),
    ] {
        let server = challenge(house.begin(1, &ask(Mechanism::CramMd5), None));
        let response = cram(user, password, &server);
        assert_eq!(
            ended(house.respond(1, response.as_bytes())).answer,
            answer,
            "{user} {password}"
        );
        let server = challenge(house.begin(1, &ask(Mechanism::DigestMd5), None));
        let response = digest(user, password, &server);
        let end = ended(house.respond(1, response.as_bytes()));
        assert_eq!(end.answer, answer, "{user} {password}");
        let words = end.last_words.unwrap_or_default();
        assert_eq!(words.starts_with("rspauth="), answer == Answer::Accept);
    }
    // A challenge that may have taken a derivation comes no sooner for names that took none.
    for user in ["alice", "nobody"] {
        let before = house.clock.get().boot_ns;
        challenge(house.begin(1, &ask(SCRAM), Some(format!("n,,n={user},r=x").as_bytes())));
        assert_eq!(house.clock.get().boot_ns - before, 3 * MILLISECOND, "{user}");
        house.core.incoming(Origin(0), Incoming::Cancel(1));
    }
}

#[test]
fn scram_is_offered_by_itself_only_while_it_serves_everybody() {
    let files = Files::new();
    let backend = files.with_keys("db", &[("alice", "pencil")]);
    let mut house = House::new(with_sasl(config(vec![backend]), &[]));
    let offers = |replies: Vec<Reply>| match one(replies) {
        Reply::Offers(offers) => offers[0].tls.iter().map(Mechanism::as_str).collect::<Vec<_>>(),
        _ => panic!("no offers"),
    };
    let all = ["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "EXTERNAL"];
    house.core.opened(Origin(0));
    assert_eq!(offers(house.offers()), all);
    // An account without keys, and a client that tries: the offer shrinks, and grows when the account has keys.
    files.add("db", "bob", "", &argon("ink"), restrictions("*", "*"));
    assert_eq!(house.scram(&ask(SCRAM), "n,,", "bob", "ink").answer, Answer::Refuse);
    assert_eq!(offers(house.offers()), ["PLAIN", "LOGIN", "EXTERNAL"]);
    let name = AccountName::new("bob", "").unwrap();
    files.store("db").edit(&name, &Edit::Secrets(keys("ink")), accounts::UnixTime(3)).unwrap();
    house.pass(10 * SECOND);
    house.core.due();
    assert_eq!(offers(house.offers()), all);
    house.pass(10 * SECOND);
    house.core.due();
    assert_eq!(house.core.replies().count(), 0);
}
