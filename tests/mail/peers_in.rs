//! Clients of Debian that log in and send, each by the ports and with the mechanisms that it has.
//!
//! They run in a world of their own, whose ports 465 and 587 lead to the house's; `clients.sh` says how each is called.

use std::fs;

use harness::mta::{DOMAIN, HOST, House, LOGIN, PASSWORD, Plan, plain, ready};
use harness::{PATIENCE, Ran, skip};

use crate::peers::dialogue::Dialogue;
use crate::peers::namespace::Namespace;
use crate::peers::tls::{SERVER, Wire};
use crate::peers::{Failure, Result};
use crate::tunnel::Tunnel;

const WRONG: &str = "wrong for everybody";
const PROGRAMS: [&str; 6] = [
    "/usr/bin/openssl",
    "/usr/bin/curl",
    "/usr/bin/perl",
    "/usr/bin/python3",
    "/usr/bin/msmtp",
    "/usr/bin/mutt",
];

/// Every client with what it says of a wrong password.
const CLIENTS: [(&str, &str); 13] = [
    ("swaks 587 PLAIN", "535 5.7.8"),
    ("swaks 587 LOGIN", "535 5.7.8"),
    ("swaks 465 PLAIN", "535 5.7.8"),
    ("swaks 465 by itself", "535 5.7.8"),
    ("curl smtps PLAIN", "535 5.7.8"),
    ("curl STARTTLS LOGIN", "535 5.7.8"),
    ("smtplib 465", "535, b'5.7.8"),
    ("smtplib 587", "535, b'5.7.8"),
    ("msmtp 465 PLAIN", "535 5.7.8"),
    ("msmtp 587 LOGIN", "535 5.7.8"),
    ("msmtp 587 by itself", "535 5.7.8"),
    // Its own words alone.
    ("mutt 465 PLAIN", "SASL authentication failed"),
    ("mutt 587 LOGIN", "SASL authentication failed"),
];

/// A world with clients, and the way to the house.
struct Desk {
    world: Namespace,
    _ways: [Tunnel; 2],
}

impl Desk {
    fn open(house: &House) -> Result<Self> {
        let world = Namespace::start(&["msmtp", "mutt"])?;
        world.check_libraries(&PROGRAMS)?;
        world.write("/etc/hosts", &format!("127.0.0.1 localhost\n127.0.0.2 {HOST}\n"))?;
        world.write("/etc/clients.sh", include_str!("clients.sh"))?;
        let authority = fs::read_to_string(house.tls().join("ca.pem"))?;
        world.write("/etc/tls/ca.pem", &authority)?;
        let ways = [
            Tunnel::out_of(&world, (SERVER, 465), house.submissions())?,
            Tunnel::out_of(&world, (SERVER, 587), house.submission())?,
        ];
        Ok(Self { world, _ways: ways })
    }

    fn send(&self, client: &str, password: &str) -> Ran {
        let mut command = self.world.command("sh");
        command.args(["/etc/clients.sh", client]).env("LC_ALL", "C.UTF-8").env("HOME", "/var/tmp");
        command.env("HOST", HOST).env("LOGIN", LOGIN).env("PASSWORD", password);
        command.env("FROM", format!("{LOGIN}@{DOMAIN}")).env("TO", recipient());
        Ran::of(&mut command, message(client).as_bytes(), 3 * PATIENCE).unwrap()
    }
}

fn recipient() -> String {
    format!("bob@{DOMAIN}")
}

/// With a line that begins with a dot, and one alone.
fn message(client: &str) -> String {
    format!(
        "From: <{LOGIN}@{DOMAIN}>\nTo: <{}>\nSubject: by {client}\n\nhello\n.dot\n.\nlast\n",
        recipient()
    )
}

/// A skip for what this machine lacks, a failure for what went wrong.
pub(crate) fn there<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Failure::Missing(what)) => {
            let _ = skip(&what);
            None
        }
        Err(Failure::Broken(what)) => panic!("{what}"),
    }
}

#[test]
fn clients_that_log_in_send() {
    if !ready() {
        return;
    }
    let house = Plan::new().start().unwrap();
    let Some(desk) = there(Desk::open(&house)) else { return };
    for (count, (client, _)) in CLIENTS.iter().enumerate() {
        let ran = desk.send(client, PASSWORD);
        assert_eq!(ran.code, Some(0), "{client}: {} {}", ran.out(), ran.err());
        let mail = house.await_mail(&recipient(), count + 1);
        let subject = format!("Subject: by {client}\n");
        let Some(text) = mail.iter().find(|text| text.contains(&subject)) else {
            panic!("{client}: not here: {mail:?}");
        };
        assert!(text.contains("with ESMTPSA id "), "{client}: {text}");
        assert!(text.trim_end().ends_with("\n\nhello\n.dot\n.\nlast"), "{client}: {text:?}");
    }
    assert_eq!(house.mailbox(&recipient()).len(), CLIENTS.len());
}

#[test]
fn a_wrong_password_is_535_to_each_client_and_an_outage_never() {
    if !ready() {
        return;
    }
    let mut house = Plan::new().start().unwrap();
    let Some(desk) = there(Desk::open(&house)) else { return };
    for (client, refused) in CLIENTS {
        let ran = desk.send(client, WRONG);
        let said = format!("{}{}", ran.out(), ran.err());
        assert!(ran.code != Some(0) && said.contains(refused), "{client}: {said}");
    }
    house.stop_daemon();
    for (client, _) in CLIENTS {
        let ran = desk.send(client, PASSWORD);
        let said = format!("{}{}", ran.out(), ran.err());
        // Never as if the password were wrong; mutt alone has its own words for both.
        let told = said.contains("454") || client.starts_with("mutt");
        assert!(
            ran.code != Some(0)
                && told
                && !["535 5.7.8", "535, b"].iter().any(|words| said.contains(words)),
            "{client}: {said}"
        );
    }
    house.start_daemon().unwrap();
    let (client, _) = CLIENTS[0];
    assert!(harness::wait_until(|| desk.send(client, PASSWORD).code == Some(0)), "{}", house.log());
    assert_eq!(house.await_mail(&recipient(), 1).len(), 1);
}

#[test]
fn openssl_carries_a_dialogue_by_hand() {
    if !ready() {
        return;
    }
    let mut house = Plan::new().start().unwrap();
    let Some(desk) = there(Desk::open(&house)) else { return };
    let open = |port: u16| {
        let mut arguments = vec!["-CAfile", "/etc/tls/ca.pem", "-verify_return_error"];
        arguments.extend(["-verify_hostname", HOST]);
        if port == 587 {
            arguments.extend(["-starttls", "smtp"]);
        }
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let mut dialogue = Dialogue::over(Wire::tls_with(&desk.world, port, &arguments).unwrap());
        dialogue.patience(2 * PATIENCE);
        if port == 465 {
            assert!(dialogue.reply().unwrap().starts_with("220 "));
        }
        dialogue
    };
    let say = |dialogue: &mut Dialogue, line: &str| {
        dialogue.say(line).unwrap();
        dialogue.reply().unwrap()
    };
    let (right, wrong) = (plain(LOGIN, PASSWORD), plain(LOGIN, WRONG));
    for port in [465, 587] {
        let mut dialogue = open(port);
        for (line, code) in [
            ("EHLO client.example", "250 "),
            (&format!("AUTH PLAIN {wrong}"), "535 5.7.8"),
            (&format!("AUTH PLAIN {right}"), "235 2.7.0"),
            (&format!("MAIL FROM:<{LOGIN}@{DOMAIN}>"), "250 "),
            (&format!("RCPT TO:<{}>", recipient()), "250 "),
            ("DATA", "354 "),
            (&format!("Subject: by hand {port}\r\n\r\nhi\r\n."), "250 "),
            ("QUIT", "221 "),
        ] {
            let said = say(&mut dialogue, line);
            assert!(said.starts_with(code), "{port}: {line}: {said}");
        }
    }
    assert_eq!(house.await_mail(&recipient(), 2).len(), 2);
    house.stop_daemon();
    let mut dialogue = open(465);
    say(&mut dialogue, "EHLO client.example");
    let said = say(&mut dialogue, &format!("AUTH PLAIN {right}"));
    assert!(said.starts_with("454 4.7.0"), "{said}");
}
