//! G6: certificates of clients that are not what they should be. Nobody relays by one, nor logs in as somebody by half a
//! name.

use std::fs;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use harness::mta::sink::{Manner, Sink};
use harness::mta::tls::Identity;
use harness::mta::{House, Place, Plan, ready, transact};
use rcgen::{CrlDistributionPoint, CustomExtension, SerialNumber};

use crate::logins::AT_ONCE;
use crate::mint::{Mint, REVOKED, client, expired, list};

/// What a client is told that relays with it, and the verdict in the log.
fn relays(house: &House, identity: &Identity) -> (u16, String) {
    let before = house.log().matches("STARTTLS=server").count();
    let (mut client, _) = house.visit_tls(house.relay(), Some(identity.clone())).unwrap();
    let replies =
        transact(&mut client, "joe@example.org", &["ann@next.example"], "A: b\r\n\r\nx\r\n");
    let code = replies.unwrap().get(1).map_or(0, |reply| reply.code());
    let lines = || house.log().lines().filter(|it| it.contains("STARTTLS=server")).count();
    assert!(harness::wait_until(|| lines() > before), "{}", house.log());
    let log = house.log();
    let line = log.lines().filter(|line| line.contains("STARTTLS=server, relay")).nth_back(0);
    let verify = line.unwrap().split_once("verify=").unwrap().1;
    (code, verify.split(',').next().unwrap().to_owned())
}

/// What somebody is told that logs in by it alone.
fn logs_in(house: &House, identity: &Identity, as_whom: &str) -> u16 {
    let shown = Some(identity.clone());
    let (mut client, _) = house.visit_tls(house.submission(), shown).unwrap();
    let name = match as_whom {
        "" => "=".to_owned(),
        name => BASE64_STANDARD.encode(name),
    };
    client.say(&format!("AUTH EXTERNAL {name}")).unwrap().code()
}

#[test]
fn g6_a_certificate_that_is_not_right_relays_nowhere_and_is_nobodys() {
    if !ready() {
        return;
    }
    let mint = Mint::open();
    let root = mint.authority("attestor", None);
    let other = mint.authority("stranger", None);
    // The name of one that is believed, and another key.
    let double = Mint::open();
    let impostor = double.authority("attestor", None);
    let below = mint.authority("below", Some(&root));
    let mut revoked = client("alice", &["mx.good.example"]);
    revoked.serial_number = Some(SerialNumber::from(REVOKED));
    revoked.crl_distribution_points = ["a", "b", "c"]
        .map(|host| CrlDistributionPoint { uris: vec![format!("http://{host}.example/list.crl")] })
        .to_vec();
    let mut unnamed = client("alice", &[]);
    unnamed.custom_extensions =
        vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![0x30, 0])];
    let good = ["mx.good.example"];
    let evil = ["mx.evil.example"];
    let place = Place::take().unwrap();
    let next = Sink::listen(place.address(), 0, Manner::smtp()).unwrap();
    let plan = Plan::new()
        .authority(&mint.path("attestor.pem"))
        .logins(AT_ONCE)
        .map("CertIssuer:/CN=attestor\tRELAY\nCertIssuer:/CN=below\tRELAY\nCertIssuer:/CN=stranger\tRELAY")
        .everything_to((place.address(), next.port()).into());
    let house = plan.start_at(place).unwrap();
    let crl = house.tls().join("list.crl");
    fs::write(&crl, list(&root)).unwrap();
    let with_list = house
        .config()
        .unwrap()
        .replace("[tls]\n", "[tls]\nrevoked = [\"/etc/mta/tls/list.crl\"]\n");
    house.write_config(&with_list).unwrap();
    assert!(house.reload().unwrap(), "{}", house.log());
    let cases: [(&str, Identity, u16, &str, u16); 16] = [
        ("good", mint.issue(&client("alice", &good), &root, &[]), 250, "OK", 235),
        ("a common name alone", mint.issue(&client("alice", &[]), &root, &[]), 250, "OK", 235),
        (
            "two names",
            mint.issue(&client("alice", &["a.example", "b.example"]), &root, &[]),
            250,
            "OK",
            235,
        ),
        ("no name in the list of names", mint.issue(&unnamed, &root, &[]), 250, "OK", 235),
        (
            "no common name",
            mint.issue(&client("", &["alice@here.example"]), &root, &[]),
            250,
            "OK",
            504,
        ),
        (
            "NUL in the common name",
            mint.issue(&client("alice\0.evil", &["alice@here.example"]), &root, &[]),
            250,
            "OK",
            504,
        ),
        (
            "nobody has that name",
            mint.issue(&client("nobody-here", &good), &root, &[]),
            250,
            "OK",
            535,
        ),
        (
            "NUL in another name",
            mint.issue(&client("alice", &["mx.good.example\0.evil.example"]), &root, &[]),
            250,
            "OK",
            235,
        ),
        ("expired", mint.issue(&expired(client("alice", &good)), &root, &[]), 550, "FAIL", 504),
        ("another authority", mint.issue(&client("alice", &good), &other, &[]), 550, "FAIL", 504),
        (
            "another authority of that name",
            mint.issue(&client("alice", &good), &impostor, &[]),
            550,
            "FAIL",
            504,
        ),
        ("revoked", mint.issue(&revoked, &root, &[]), 550, "FAIL", 504),
        (
            "permitted below",
            mint.issue(&client("alice", &good), &below, &["below"]),
            250,
            "OK",
            235,
        ),
        (
            "not permitted below",
            mint.issue(&client("alice", &evil), &below, &["below"]),
            550,
            "FAIL",
            504,
        ),
        (
            "excluded below",
            mint.issue(&client("alice", &["x.bad.good.example"]), &below, &["below"]),
            550,
            "FAIL",
            504,
        ),
        (
            "NUL below",
            mint.issue(&client("alice", &["mx.good.example\0.evil.example"]), &below, &["below"]),
            550,
            "FAIL",
            504,
        ),
    ];
    for (what, identity, code, verify, login) in &cases {
        assert_eq!(relays(&house, identity), (*code, (*verify).to_owned()), "{what}");
        assert_eq!(logs_in(&house, identity, ""), *login, "{what}");
        assert_ne!(logs_in(&house, identity, "bob"), 235, "{what}");
    }
    assert_eq!(next.await_messages(9).len(), 9);
}

#[test]
fn g6_a_list_of_revoked_ones_that_is_damaged_takes_nothing_into_use() {
    if !ready() {
        return;
    }
    let mint = Mint::open();
    let root = mint.authority("attestor", None);
    let mut revoked = client("alice", &[]);
    revoked.serial_number = Some(SerialNumber::from(REVOKED));
    let revoked = mint.issue(&revoked, &root, &[]);
    let fine = mint.issue(&client("alice", &[]), &root, &[]);
    let plan = Plan::new()
        .authority(&mint.path("attestor.pem"))
        .map("CertIssuer:/CN=attestor\tRELAY\nTo:next.example\tRELAY");
    let house = plan.start().unwrap();
    let outcome = |identity| relays(&house, identity).1;
    assert_eq!(outcome(&revoked), "OK");
    let (before, crl) = (house.config().unwrap(), house.tls().join("list.crl"));
    let with_list = before.replace("[tls]\n", "[tls]\nrevoked = [\"/etc/mta/tls/list.crl\"]\n");
    house.write_config(&with_list).unwrap();
    // Not there yet: told, and nothing changes.
    assert!(!house.reload().unwrap());
    assert!(house.logged(&["list.crl"]), "{}", house.log());
    let whole = list(&root);
    let stranger = list(&Mint::open().authority("attestor", None));
    for (number, damaged) in [
        whole[..whole.len() / 2].to_vec(),
        b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n".to_vec(),
        b"nonsense".to_vec(),
        Vec::new(),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(&crl, &damaged).unwrap();
        let is_used = house.reload().unwrap();
        let told = || house.log().matches("list.crl").count() > number + 1;
        assert!(harness::wait_until(told), "{is_used}: {}", house.log());
        assert_eq!(outcome(&fine), "OK", "the one before is in use: {}", house.log());
    }
    // One that somebody else signed revokes nothing.
    fs::write(&crl, stranger).unwrap();
    assert!(house.reload().unwrap());
    assert_eq!(outcome(&fine), "OK");
    fs::write(&crl, whole).unwrap();
    assert!(house.reload().unwrap());
    assert!(harness::wait_until(|| outcome(&revoked) == "FAIL"), "{}", house.log());
    assert_eq!(outcome(&fine), "OK");
}
