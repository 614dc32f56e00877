//! G4, G5, G10: what strangers try with AUTH, inside TLS.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use harness::mta::client::{Client, Reply};
use harness::mta::{House, LOGIN, PASSWORD, Plan, plain, ready};
use harness::{Account, accounts};

/// Refusals that nobody waits for.
pub(crate) const AT_ONCE: &str = "failure_delay = \"0ms\"";

fn inside(house: &House) -> Client {
    house.visit_tls(house.submission(), None).unwrap().0
}

#[test]
fn g4_what_is_not_base64_is_no_answer() {
    if !ready() {
        return;
    }
    let house = Plan::new().logins(AT_ONCE).start().unwrap();
    let right = plain(LOGIN, PASSWORD);
    let bare = right.trim_end_matches('=');
    assert!(bare.len() < right.len(), "the right one has padding to lose: {right}");
    // The last letter has bits that belong to nothing.
    let (start, last) = bare.split_at(bare.len() - 1);
    let loose = char::from(last.as_bytes()[0] + 1);
    let long = "A".repeat(12_290);
    let wrong = [
        format!("{}*{}", &right[..4], &right[5..]),
        right.replace('=', "") + "-",
        bare.to_owned(),
        format!("{right}="),
        format!("{right}===="),
        format!("{}={}", &right[..5], &right[6..]),
        format!("{start}{loose}{}", &right[bare.len()..]),
        format!("{}\0{}", &right[..4], &right[5..]),
        format!("{}é{}", &right[..4], &right[5..]),
        format!("{} {}", &right[..4], &right[5..]),
        "=".into(),
        "====".into(),
        long,
    ];
    for text in &wrong {
        let shown = text.get(..40).unwrap_or(text);
        // As the initial response; `=` there is an empty one (RFC 4954 section 4).
        let said = inside(&house).say(&format!("AUTH PLAIN {text}")).unwrap();
        let expected: &[u16] = match text.as_str() {
            "=" => &[535, 501],
            _ => &[500, 501],
        };
        assert!(expected.contains(&said.code()), "{shown}: {said}");
        // As the answer to a challenge.
        let mut client = inside(&house);
        assert_eq!(client.say("AUTH PLAIN").unwrap().code(), 334);
        let said = client.say(text).unwrap();
        assert!([500, 501].contains(&said.code()), "{shown}: {said}");
        // Afterwards it is awaited no more.
        assert_eq!(client.say(&right).unwrap().code(), 500);
        assert_eq!(client.say(&format!("AUTH PLAIN {right}")).unwrap().code(), 235);
    }
    let logins = || house.log().matches("AUTH=server").count();
    assert!(harness::wait_until(|| logins() >= wrong.len()), "{}", house.log());
    assert_eq!(logins(), wrong.len());
}

#[test]
fn g4_a_line_is_as_long_as_the_standard_says() {
    if !ready() {
        return;
    }
    let house = Plan::new().logins(AT_ONCE).start().unwrap();
    // 12 288 octets are a line of AUTH, whoever is meant by it; one more is none.
    let mut client = inside(&house);
    assert_eq!(client.say("AUTH PLAIN").unwrap().code(), 334);
    assert_eq!(client.say(&"A".repeat(12_288)).unwrap().code(), 535);
    assert_eq!(client.say("AUTH PLAIN").unwrap().code(), 334);
    assert_eq!(client.say(&"A".repeat(12_292)).unwrap().code(), 500);
    assert_eq!(client.say("NOOP").unwrap().code(), 250);
}

#[test]
fn g5_an_exchange_knows_nothing_of_the_one_before() {
    if !ready() {
        return;
    }
    let house =
        Plan::new().account("bob", "Other-Sentinel-5519-sea").logins(AT_ONCE).start().unwrap();
    let name = BASE64_STANDARD.encode(LOGIN);
    let password = BASE64_STANDARD.encode(PASSWORD);
    // A name that was given to one exchange is of no use to the next.
    let mut client = inside(&house);
    for (line, code) in [
        ("AUTH LOGIN", 334),
        (&name, 334),
        ("*", 501),
        ("AUTH LOGIN", 334),
        // The password, where a name is asked for.
        (&password, 334),
        (&password, 535),
        (&format!("AUTH PLAIN {}", plain("bob", PASSWORD)), 535),
        (&format!("AUTH PLAIN {}", plain(LOGIN, PASSWORD)), 235),
        // And after a login there is no other.
        (&format!("AUTH PLAIN {}", plain(LOGIN, PASSWORD)), 503),
        ("AUTH LOGIN", 503),
        ("EHLO again.example", 250),
        ("AUTH LOGIN", 503),
    ] {
        let said = client.say(line).unwrap();
        assert_eq!(said.code(), code, "{line}: {said}");
    }
}

#[test]
fn g5_nobody_tries_a_hundred_times_on_a_connection() {
    if !ready() {
        return;
    }
    let house = Plan::new().logins(AT_ONCE).start().unwrap();
    let wrong = format!("AUTH PLAIN {}\r\n", plain(LOGIN, "wrong"));
    for (line, most) in [(wrong.as_str(), 3), ("AUTH PLAIN !\r\n", 20), ("AUTH NTLM\r\n", 20)] {
        let mut client = inside(&house);
        // At once, as somebody who does not wait for answers.
        client.send(line.repeat(100).as_bytes()).unwrap();
        let mut codes = Vec::new();
        loop {
            match client.reply().unwrap().code() {
                0 => break,
                code => codes.push(code),
            }
        }
        assert!(codes.len() <= most + 1 && codes.last() == Some(&421), "{line}: {codes:?}");
        assert!(!codes.contains(&235), "{line}: {codes:?}");
    }
}

#[test]
fn g5_what_is_not_offered_is_not_done() {
    if !ready() {
        return;
    }
    let house = Plan::new().client("alice").logins(AT_ONCE).start().unwrap();
    let (mut client, offered) = house.visit_tls(house.submission(), None).unwrap();
    let line = offered.lines.iter().find(|line| line.contains("AUTH ")).unwrap();
    for absent in ["NTLM", "GSSAPI", "GSS-SPNEGO", "CRAM-MD5", "EXTERNAL", "ANONYMOUS"] {
        assert!(!line.contains(absent), "{line}");
        assert_eq!(client.say(&format!("AUTH {absent}")).unwrap().code(), 504);
    }
    let nuls = BASE64_STANDARD.encode([0; 100]);
    let say = |client: &mut Client| client.say(&format!("AUTH EXTERNAL {nuls}")).unwrap();
    assert_eq!(say(&mut client).code(), 504);
    // With a certificate there is EXTERNAL, and a hundred fields are nobody's name.
    let alice = house.certificate("alice").unwrap();
    for _ in 0..2 {
        let shown = Some(alice.clone());
        let (mut client, offered) = house.visit_tls(house.submission(), shown).unwrap();
        assert!(offered.lines.iter().any(|line| line.contains("EXTERNAL")), "{offered}");
        let said = say(&mut client);
        assert!([501, 535].contains(&said.code()), "{said}");
        let said = client.say(&format!("AUTH EXTERNAL {}", BASE64_STANDARD.encode("bob"))).unwrap();
        assert_eq!(said.code(), 535);
        assert_eq!(client.say("AUTH EXTERNAL =").unwrap().code(), 235);
    }
}

/// Logins that fail until the connection ends: what was said and how long each took.
fn attempts(house: &House, name: &str) -> (Vec<Reply>, Vec<Duration>) {
    let mut client = inside(house);
    let line = format!("AUTH PLAIN {}", plain(name, "wrong"));
    let mut times = Vec::new();
    let mut said: Vec<Reply> = (0..3)
        .map(|_| {
            let begun = Instant::now();
            let reply = client.say(&line).unwrap();
            times.push(begun.elapsed());
            reply
        })
        .collect();
    said.push(client.reply().unwrap());
    said.push(client.reply().unwrap());
    (said, times)
}

#[test]
fn g10_nobody_learns_who_has_an_account() {
    const ROUNDS: usize = 5;
    if !ready() {
        return;
    }
    // Without the wait that hides what there is to be seen.
    let house = Plan::new().logins(AT_ONCE).start().unwrap();
    // A hash that takes long enough for its absence to be seen over all noise.
    let hash = accounts::crypt(PASSWORD, "$6$rounds=50000$sandboxsalt$").unwrap();
    house.sandbox().set_accounts(&[Account::with(LOGIN, &hash)]).unwrap();
    let right = house.login(house.submission());
    assert!(right.is_ok(), "{:?}", right.err());
    let (known, _) = attempts(&house, LOGIN);
    let codes: Vec<u16> = known.iter().map(Reply::code).collect();
    assert_eq!(codes, [535, 535, 535, 421, 0]);
    let names = [LOGIN, "nobody-at-all", "alice@here.example", "root"];
    let mut times = vec![Vec::new(); names.len()];
    for _ in 0..ROUNDS {
        for (name, times) in names.iter().zip(&mut times) {
            let (said, took) = attempts(&house, name);
            assert_eq!(said, known, "{name}");
            times.extend(took);
        }
    }
    let mut middle = times.into_iter().map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    let first = middle.next().unwrap();
    for (name, other) in names.iter().skip(1).zip(middle) {
        let ratio = other.as_secs_f64() / first.as_secs_f64();
        eprintln!("{name}: {other:?}, with an account {first:?}");
        assert!((0.5..2.0).contains(&ratio), "{name}: {other:?}, with an account {first:?}");
    }
}
