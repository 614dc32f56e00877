//! What a message says beside its text goes on to Debian's mail servers as far as they know the words: DSN, 8BITMIME and
//! SMTPUTF8. The servers are found by the DNS, and known to the map by their names.

use std::net::SocketAddr;

use harness::mta::names::Names;
use harness::mta::{Place, Plan, ready};
use harness::{PATIENCE, wait_for};

use crate::next_hop::{EXIM, GOOD, NextHop, POSTFIX, SENDMAIL};
use crate::peers::tls::SERVER;
use crate::peers_in::there;
use crate::peers_out::certify;
use crate::tunnel::Tunnel;

const PORT: u16 = 2625;
const WORDS: [&str; 4] = [
    "MAIL FROM:<joe@example.org> BODY=8BITMIME RET=HDRS ENVID=QQ314159",
    "RCPT TO:<ann@words.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;ann@words.example",
    "DATA",
    "Subject: words\r\n\r\ngrüße\r\n.",
];
const LETTERS: [&str; 4] = [
    "MAIL FROM:<> SMTPUTF8",
    "RCPT TO:<jörg@letters.example>",
    "DATA",
    "Subject: für jörg\r\n\r\ngrüße\r\n.",
];

/// What the server makes of letters beyond ASCII in an address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Letters {
    Known,
    Unknown,
}

fn words_reach(server: &NextHop, letters: Letters) {
    if !ready() {
        return;
    }
    let Some(world) = there(server.world()) else { return };
    let places = [(); 3].map(|()| Place::take().unwrap());
    let [clear, secret, dead] = [0, 1, 2].map(|which: usize| places[which].address());
    let names = Names::listen(
        clear,
        &[
            "words.example MX 10 clear.next.test",
            "letters.example MX 5 dead.next.test",
            "letters.example MX 10 mx.next.test",
            &format!("clear.next.test A {clear}"),
            &format!("mx.next.test A {secret}"),
            &format!("dead.next.test A {dead}"),
        ],
    )
    .unwrap();
    let plan = Plan::new().map("Connect:127\tRELAY\nTry_TLS:clear.next.test\tNO");
    let plan = plan.map("TLS_Srv:next.test\tENCR:112\nTLS_Srv:mx.next.test\tVERIFY:256+CA");
    let plan = plan.map("TLS_Srv:clear.next.test\tOK");
    let house = plan.sections(&format!(
        "[delivery]\nretry = [\"1s\"]\nport = {PORT}\nname_servers = [\"{}\"]\nown_addresses = \"permitted\"\n",
        names.address()
    ));
    let house = house.start().unwrap();
    there(certify(&house, &world, "mx.next.test"));
    there(server.begin(&world));
    let way = |address| {
        Tunnel::into_world(&world, SocketAddr::new(address, PORT), (SERVER, GOOD)).unwrap()
    };
    let (clear, secret) = (way(clear), way(secret));
    for lines in [WORDS, LETTERS] {
        let (mut client, _) = house.visit(house.relay()).unwrap();
        for line in lines {
            let reply = client.say(line).unwrap();
            assert!((200..400).contains(&reply.code()), "{line}: {reply}");
        }
    }
    let count = if letters == Letters::Known { 2 } else { 1 };
    let complete = wait_for(2 * PATIENCE, || {
        let kept = server.kept(&world);
        kept.len() == count && kept.iter().all(|text| text.trim_end().ends_with("\n\ngrüße"))
    });
    assert!(complete, "{:?} {} {}", server.kept(&world), house.log(), server.log(&world));
    let said = clear.said();
    for line in WORDS.iter().take(2) {
        let (command, parameters) = line.split_at(line.find("> ").unwrap() + 2);
        let found = said.lines().find(|said| said.starts_with(command));
        let found = found.unwrap_or_else(|| panic!("no {command}: {said}"));
        for parameter in parameters.split(' ') {
            assert!(found.split(' ').any(|word| word == parameter), "{parameter}: {found}");
        }
    }
    assert!(!secret.said().contains("MAIL"), "{:?}", secret.said());
    if letters == Letters::Unknown {
        let line = ["jörg@letters.example", "dsn=5.6.7, stat=550 5.6.7 ", "SMTPUTF8"];
        assert!(house.logged(&line), "{}", house.log());
    }
    let line = ["STARTTLS=client", "relay=mx.next.test.", "verify=OK", "bits=256/256"];
    assert!(house.logged(&line), "{}", house.log());
}

#[test]
fn postfix_hears_the_words() {
    words_reach(&POSTFIX, Letters::Known);
}

#[test]
fn exim_hears_the_words() {
    words_reach(&EXIM, Letters::Known);
}

#[test]
fn sendmail_hears_the_words() {
    // Debian's 8.17 is built without SMTPUTF8.
    words_reach(&SENDMAIL, Letters::Unknown);
}
