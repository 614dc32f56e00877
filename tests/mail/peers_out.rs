//! The house delivers to mail servers of Debian, under every policy of the access map that says what TLS must be.
//!
//! Each case has an address of the host for itself, by which the map knows the server; a tunnel leads from there to the
//! server's world and notes what went in the clear.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use harness::mta::{House, Place, Plan, ready, transact};
use harness::subject::built;
use harness::{PATIENCE, wait_for};

use crate::next_hop::{BROKEN, EXIM, FOREIGN, GOOD, NextHop, POSTFIX, SENDMAIL};
use crate::peers::Result;
use crate::peers::namespace::Namespace;
use crate::peers::tls::SERVER;
use crate::peers_in::there;
use crate::tunnel::Tunnel;

/// What becomes of a message.
#[derive(Clone, Copy)]
enum Fate {
    /// It arrives inside TLS, whose certificate is worth this.
    Tls(&'static str),
    /// It arrives in the clear.
    Clear,
    /// It waits, for this reason, and nobody hears of it.
    Waits(&'static str),
}

struct Case {
    name: &'static str,
    port: u16,
    /// `{}` is the server's address.
    map: &'static str,
    fate: Fate,
}

const fn case(name: &'static str, port: u16, map: &'static str, fate: Fate) -> Case {
    Case { name, port, map, fate }
}

const CASES: [Case; 14] = [
    case("plain", GOOD, "", Fate::Tls("OK")),
    case("stranger", FOREIGN, "", Fate::Tls("FAIL")),
    case("verified", GOOD, "TLS_Srv:{}\tVERIFY", Fate::Tls("OK")),
    case(
        "unverified",
        FOREIGN,
        "TLS_Srv:{}\tVERIFY",
        Fate::Waits("454 4.7.0 authentication failed"),
    ),
    case("strong", GOOD, "TLS_Srv:{}\tENCR:256", Fate::Tls("OK")),
    case(
        "enough",
        GOOD,
        "TLS_Srv:{}\tENCR:112\n{features}CipherSuites=TLS_AES_128_GCM_SHA256;{13}",
        Fate::Tls("OK"),
    ),
    case(
        "weak",
        GOOD,
        "TLS_Srv:{}\tENCR:256\n{features}CipherSuites=TLS_AES_128_GCM_SHA256;{13}",
        Fate::Waits("454 4.7.0 encryption too weak 128 less than 256"),
    ),
    case("older", GOOD, "{features}Options=SSL_OP_NO_TLSv1_3", Fate::Tls("OK")),
    case("clear", GOOD, "Try_TLS:{}\tNO", Fate::Clear),
    case(
        "impossible",
        GOOD,
        "Try_TLS:{}\tNO\nTLS_Srv:{}\tVERIFY",
        Fate::Waits("454 4.7.0 other side does not support STARTTLS"),
    ),
    case("broken", BROKEN, "", Fate::Waits("454 4.7.0 TLS handshake failed.")),
    case("fallen", BROKEN, "{features}Flags=C", Fate::Clear),
    case(
        "demanded",
        BROKEN,
        "TLS_Srv:{}\tENCR:112\n{features}Flags=C",
        Fate::Waits("454 4.7.0 encryption too weak 0 less than 112"),
    ),
    // Of its two recipients the map wants more for one.
    case("some", FOREIGN, "TLS_Rcpt:strict@some.example\tVERIFY", Fate::Tls("FAIL")),
];

const PORT: u16 = 2626;
const END: &str = "\nhello\n.dot\n.\nlast";

impl Case {
    fn map(&self, address: &str) -> String {
        self.map
            .replace("{features}", "TLS_Clt_Features:{}\t")
            .replace("{13}", "Options=SSL_OP_NO_TLSv1_2")
            .replace("{}", address)
    }

    fn recipient(&self) -> String {
        format!("ann@{}.example", self.name)
    }

    fn subject(&self) -> String {
        format!("Subject: case {}\n", self.name)
    }
}

/// A house with a way to a server for each case, and the server.
struct Scene {
    house: House,
    world: Namespace,
    addresses: Vec<SocketAddr>,
    ways: Vec<Tunnel>,
    // The addresses are theirs for as long.
    _places: Vec<Place>,
}

impl Scene {
    fn set(server: &NextHop, cases: &[Case], delivery: &str) -> Result<Self> {
        let world = server.world()?;
        let mut places = Vec::new();
        let mut plan = Plan::new().map("Connect:127\tRELAY");
        for case in cases {
            let place = Place::take()?;
            let address = place.address().to_string();
            plan = plan.map(&case.map(&address)).sections(&format!(
                "[[route]]\nto = \"{}.example\"\nvia = \"smtp\"\nhost = \"{address}\"\nport = {PORT}\n",
                case.name
            ));
            places.push(place);
        }
        // What a busy machine made late comes again.
        let delivery = format!("[delivery]\nretry = [\"3s\"]\n{delivery}");
        let house = plan.sections(&delivery).start()?;
        certify(&house, &world, "good.test")?;
        server.begin(&world)?;
        let addresses: Vec<SocketAddr> =
            places.iter().map(|place| (place.address(), PORT).into()).collect();
        let ways = cases
            .iter()
            .zip(&addresses)
            .map(|(case, address)| Tunnel::into_world(&world, *address, (SERVER, case.port)));
        let ways = ways.collect::<std::io::Result<_>>()?;
        Ok(Self { house, world, addresses, ways, _places: places })
    }

    fn send(&self, case: &Case, to: &[&str]) {
        let (mut client, _) = self.house.visit(self.house.relay()).unwrap();
        let text = format!("{}{END}", case.subject()).replace('\n', "\r\n");
        let from = format!("{}@example.org", case.name);
        let replies = transact(&mut client, &from, to, &text).unwrap();
        assert_eq!(replies.last().unwrap().code(), 250, "{replies:?}");
    }
}

/// Gives the server a certificate of the house's authority with this name, and one of another authority.
pub(crate) fn certify(house: &House, world: &Namespace, name: &str) -> Result<()> {
    house.cert(&["issue", "--server", name])?;
    let other = tempfile::tempdir()?;
    let mut command = Command::new(built("mailauth"));
    command.args(["cert", "init", "--name", "foreign.test", "--directory"]).arg(other.path());
    let made = command.output()?;
    assert!(made.status.success(), "{made:?}");
    let (ours, other) = (house.tls(), other.path().join("foreign.test"));
    for (from, to) in [(ours.join(name), "good"), (other, "foreign")] {
        for ending in ["pem", "key"] {
            let text = fs::read_to_string(format!("{}.{ending}", from.display()))?;
            world.write(&format!("/etc/tls/{to}.{ending}"), &text)?;
        }
    }
    world.write("/etc/tls/ca.pem", &fs::read_to_string(house.tls().join("ca.pem"))?)
}

/// What the server that kept it says of how it came.
fn received(text: &str) -> String {
    let from = text.find("Received: from").unwrap_or_else(|| panic!("no Received: {text}"));
    let first = text[from..].split("Received: from").nth(1).unwrap_or_default();
    first.to_lowercase()
}

#[track_caller]
fn check(scene: &Scene, kept: &[String], case: &Case, place: usize) {
    let (house, said) = (&scene.house, scene.ways[place].said());
    let address = scene.addresses[place].ip();
    let arrived: Vec<&String> = kept.iter().filter(|text| text.contains(&case.subject())).collect();
    let in_the_clear = said.contains("MAIL FROM");
    match case.fate {
        Fate::Waits(why) => {
            assert!(arrived.is_empty() && !in_the_clear, "{}: {arrived:?} {said:?}", case.name);
            let to = format!("to=<{}>", case.recipient());
            let stat = format!("stat=Deferred: {why}");
            assert!(house.logged(&[&to, &stat]), "{}: {}", case.name, house.log());
            return;
        }
        Fate::Clear => assert!(in_the_clear, "{}: {said:?}", case.name),
        Fate::Tls(worth) => {
            assert!(!in_the_clear, "{}: {said:?}", case.name);
            let (relay, verify) = (format!("relay=[{address}],"), format!("verify={worth},"));
            let version = if case.name == "older" { "version=TLSv1.2" } else { "version=TLSv1.3" };
            let line = ["STARTTLS=client", &relay, version, &verify];
            assert!(house.logged(&line), "{}: {}", case.name, house.log());
        }
    }
    let [text] = arrived[..] else { panic!("{}: {arrived:?} {}", case.name, house.log()) };
    let tls = received(text).contains(" esmtps ");
    assert_eq!(tls, matches!(case.fate, Fate::Tls(_)), "{}: {text}", case.name);
    assert!(text.trim_end().ends_with(END), "{}: {text:?}", case.name);
}

fn deliver_to(server: &NextHop) {
    if !ready() {
        return;
    }
    let Some(scene) = there(Scene::set(server, &CASES, "")) else { return };
    for case in &CASES {
        let mut to = vec![case.recipient()];
        if case.name == "some" {
            to.push("strict@some.example".to_owned());
        }
        scene.send(case, &to.iter().map(String::as_str).collect::<Vec<_>>());
    }
    // A list that is read while files get their names may lack one: the first whole one counts.
    let mut kept = Vec::new();
    let complete = wait_for(2 * PATIENCE, || {
        kept = server.kept(&scene.world);
        let whole = |case: &&Case| {
            let text = kept.iter().find(|text| text.contains(&case.subject()));
            text.is_some_and(|text| text.trim_end().ends_with(END))
        };
        CASES.iter().filter(|case| !matches!(case.fate, Fate::Waits(_))).all(|case| whole(&case))
    });
    assert!(complete, "{kept:?} {}", server.log(&scene.world));
    let why = "stat=Deferred: 454 4.7.0 authentication failed";
    assert!(scene.house.logged(&["to=<strict@some.example>", why]), "{}", scene.house.log());
    for (place, case) in CASES.iter().enumerate() {
        check(&scene, &kept, case, place);
    }
    assert!(!kept.iter().any(|text| text.contains("strict@")), "{kept:?}");
    // What arrived may be known to the server a moment before it is known to the queue.
    let mut waiting = String::new();
    let settled = wait_for(PATIENCE, || {
        let list = scene.house.sandbox().run(built("mailauth"), ["queue", "list"]);
        waiting = list.unwrap().out();
        CASES.iter().all(|case| {
            let waits = matches!(case.fate, Fate::Waits(_)) || case.name == "some";
            waiting.contains(&format!("<{}@example.org>", case.name)) == waits
        })
    });
    assert!(settled, "{waiting}");
}

#[test]
fn postfix_gets_what_the_map_lets_it_have() {
    deliver_to(&POSTFIX);
}

#[test]
fn exim_gets_what_the_map_lets_it_have() {
    deliver_to(&EXIM);
}

#[test]
fn sendmail_gets_what_the_map_lets_it_have() {
    deliver_to(&SENDMAIL);
}

/// sendmail's TLSFallbacktoClear, for everybody but where the map demands more or says no.
#[test]
fn a_failed_starttls_is_followed_by_the_clear_only_where_that_is_set() {
    const FALLS: [Case; 3] = [
        case("falls", BROKEN, "", Fate::Clear),
        case("stays", BROKEN, "{features}Flags=c", Fate::Waits("454 4.7.0 TLS handshake failed.")),
        case(
            "verifies",
            BROKEN,
            "TLS_Srv:{}\tVERIFY",
            Fate::Waits("454 4.7.0 STARTTLS disabled locally"),
        ),
    ];
    if !ready() {
        return;
    }
    let delivery = "clear_after_failed_handshake = \"once\"\n";
    let Some(scene) = there(Scene::set(&POSTFIX, &FALLS, delivery)) else { return };
    for case in &FALLS {
        scene.send(case, &[&case.recipient()]);
    }
    let all = || POSTFIX.kept(&scene.world);
    assert!(wait_for(2 * PATIENCE, || !all().is_empty()), "{}", scene.house.log());
    for (place, case) in FALLS.iter().enumerate() {
        check(&scene, &all(), case, place);
    }
}
