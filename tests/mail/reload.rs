//! Certificates that change while mail goes on: the new one is shown at once, and a broken one changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use harness::mta::client::Client;
use harness::mta::{HOST, House, Plan, ready, tls};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::mint::{Authority, Mint, server};

/// The certificate that clients are shown.
fn shown(house: &House) -> Vec<u8> {
    let mut client = Client::connect(house.submissions(), None).unwrap();
    client.handshake(tls::client(None, tls::ANY).unwrap(), HOST).unwrap();
    assert_eq!(client.reply().unwrap().code(), 220);
    leaf(&client)
}

fn leaf(client: &Client) -> Vec<u8> {
    client.tls().unwrap().peer_certificates().unwrap()[0].to_vec()
}

/// Puts another certificate of the same name in place of the one that is there.
fn renew(house: &House, mint: &Mint, root: &Authority) {
    mint.issue(&server(&[HOST.to_owned()]), root, &[]);
    put(house, "pem", &fs::read(mint.path("leaf.pem")).unwrap());
    put(house, "key", &fs::read(mint.path("leaf.key")).unwrap());
}

fn put(house: &House, ending: &str, bytes: &[u8]) {
    let path = house.tls().join(format!("{HOST}.{ending}"));
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

fn files(house: &House) -> [Vec<u8>; 2] {
    ["pem", "key"].map(|ending| fs::read(house.tls().join(format!("{HOST}.{ending}"))).unwrap())
}

#[test]
fn a_renewed_certificate_is_shown_and_who_is_inside_stays() {
    if !ready() {
        return;
    }
    let house = Plan::new().start().unwrap();
    let (mint, first) = (Mint::open(), shown(&house));
    let root = mint.authority("root", None);
    let mut inside = house.login(house.submission()).unwrap();
    for _ in 0..3 {
        let before = shown(&house);
        renew(&house, &mint, &root);
        assert_eq!(shown(&house), before, "nobody said so yet");
        assert!(house.reload().unwrap(), "{}", house.log());
        assert!(shown(&house) != before, "{}", house.log());
    }
    assert_eq!(inside.say("NOOP").unwrap().code(), 250);
    assert_eq!(leaf(&inside), first);
}

#[test]
fn a_broken_certificate_changes_nothing_and_the_log_says_what_is_wrong() {
    if !ready() {
        return;
    }
    let house = Plan::new().start().unwrap();
    let (first, [pem, key]) = (shown(&house), files(&house));
    let (mint, other) = (Mint::open(), Mint::open());
    let root = mint.authority("root", None);
    mint.issue(&server(&[HOST.to_owned()]), &root, &[]);
    other.issue(&server(&[HOST.to_owned()]), &root, &[]);
    let read = |of: &Mint, name: &str| fs::read(of.path(name)).unwrap();
    let cut = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    for (what, certificate, secret, said) in [
        ("cut", cut(&pem), key.clone(), "pem"),
        ("empty", Vec::new(), key.clone(), "pem"),
        ("a key for a certificate", key.clone(), key.clone(), "pem"),
        (
            "noise",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(),
            key.clone(),
            "pem",
        ),
        ("a cut key", pem.clone(), cut(&key), "key"),
        ("no key", pem.clone(), Vec::new(), "key"),
        ("the key of another", read(&mint, "leaf.pem"), read(&other, "leaf.key"), "key"),
    ] {
        put(&house, "pem", &certificate);
        put(&house, "key", &secret);
        let before = house.log().len();
        assert!(!house.reload().unwrap(), "{what}: {}", house.log());
        let file = format!("{HOST}.{said}");
        let named = || house.log()[before..].lines().any(|line| line.contains(&file));
        assert!(harness::wait_until(named), "{what}: {}", house.log());
        assert!(!house.log()[before..].contains("PRIVATE"), "{what}: {}", house.log());
        assert!(shown(&house) == first, "{what}: {}", house.log());
    }
    // Whoever is started again meanwhile works by what was in use, too.
    for role in ["mta-receiver", "mta-sender"] {
        let ended = house.processes(role);
        ended.iter().for_each(|pid| kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap());
        let is_back = || house.processes(role).iter().any(|pid| !ended.contains(pid));
        assert!(harness::wait_until(is_back), "{role}: {}", house.log());
    }
    assert!(shown(&house) == first, "{}", house.log());
    let mut client = house.login(house.submission()).unwrap();
    assert_eq!(client.say("NOOP").unwrap().code(), 250);
    renew(&house, &mint, &root);
    assert!(house.reload().unwrap(), "{}", house.log());
    assert!(shown(&house) != first, "{}", house.log());
}

#[test]
fn a_broken_file_of_one_child_is_not_taken_into_use_by_the_other() {
    if !ready() {
        return;
    }
    let house = Plan::new().start().unwrap();
    let first = shown(&house);
    let mint = Mint::open();
    let root = mint.authority("root", None);
    // The receiver's is fine, the sender's isn't; and there is a listener more.
    renew(&house, &mint, &root);
    fs::write(house.tls().join("servers.pem"), "nothing\n").unwrap();
    let config = house.config().unwrap();
    let added =
        format!("[[listener]]\nrole = \"relay\"\naddresses = [\"{}:2526\"]\n", house.address());
    let broken = config.replace(
        "server_authorities = [\"/etc/mta/tls/ca.pem\"]",
        "server_authorities = [\"/etc/mta/tls/servers.pem\"]",
    );
    house.write_config(&(broken + &added)).unwrap();
    assert!(!house.reload().unwrap(), "{}", house.log());
    assert!(house.logged(&["mta-sender", "servers.pem"]), "{}", house.log());
    assert!(harness::wait_until(|| shown(&house) == first), "{}", house.log());
    house.login(house.submission()).unwrap();
    let more = (house.address(), 2526);
    assert!(harness::wait_until(|| std::net::TcpStream::connect(more).is_err()));
    // What was right about it is of use once the rest is.
    house.write_config(&(config + &added)).unwrap();
    assert!(house.reload().unwrap(), "{}", house.log());
    assert!(shown(&house) != first, "{}", house.log());
    let mut client = Client::connect(more.into(), None).unwrap();
    assert_eq!(client.reply().unwrap().code(), 220);
}
