//! The thin whole: people log in and send, machines relay by certificate, nobody else does, and an outage is no refusal.

use std::net::SocketAddr;
use std::process::Command;

use harness::Identity;
use harness::mta::client::{Client, Reply};
use harness::mta::sink::{Manner, Sink};
use harness::mta::{DOMAIN, HOST, House, LOGIN, PASSWORD, Place, Plan, plain, ready, transact};

const TEXT: &str = "Subject: hello\r\nFrom: <alice@here.example>\r\n\r\nhi\r\n";
const ELSEWHERE: &str = "ann@elsewhere.example";

fn here() -> String {
    format!("bob@{DOMAIN}")
}

#[track_caller]
fn kept(replies: &[Reply]) {
    assert_eq!(replies.last().unwrap().code(), 250, "{replies:?}");
    assert_eq!(replies.last().unwrap().text().get(4..9), Some("2.0.0"), "{replies:?}");
}

/// A house whose mail for others goes to a sink.
fn with_sink(plan: Plan) -> (House, Sink) {
    let place = Place::take().unwrap();
    let sink = Sink::listen(place.address(), 0, Manner::smtp()).unwrap();
    let to: SocketAddr = (place.address(), sink.port()).into();
    (plan.everything_to(to).start_at(place).unwrap(), sink)
}

#[test]
fn somebody_who_logged_in_sends_by_either_port() {
    if !ready() {
        return;
    }
    let (house, sink) = with_sink(Plan::new());
    for port in [house.submission(), house.submissions()] {
        let mut client = house.login(port).unwrap();
        kept(&transact(&mut client, "alice@here.example", &[&here(), ELSEWHERE], TEXT).unwrap());
        assert_eq!(client.say("QUIT").unwrap().code(), 221);
    }
    let mail = house.await_mail(&here(), 2);
    assert_eq!(mail.len(), 2);
    for text in &mail {
        assert!(text.contains("\nSubject: hello") && text.contains("with ESMTPSA id "), "{text}");
        assert!(text.contains("(authenticated bits=0)") && text.contains("verify=NO)"), "{text}");
        assert!(text.starts_with("Return-Path: <alice@here.example>"), "{text}");
    }
    let messages = sink.await_messages(2);
    assert_eq!(messages.len(), 2);
    assert!(
        messages[0].recipients[0].starts_with(&format!("RCPT TO:<{ELSEWHERE}>")),
        "{messages:?}"
    );
    assert!(
        house.logged(&["AUTH=server", "authid=alice", "mech=PLAIN", "bits=0"]),
        "{}",
        house.log()
    );
    assert!(
        house.logged(&["STARTTLS=server", "version=TLSv1.3", "verify=NO", "bits=256/256"]),
        "{}",
        house.log()
    );
}

#[test]
fn without_root_the_same() {
    if !ready() {
        return;
    }
    let house = Plan::new().identity(Identity::Nobody).start().unwrap();
    let mut client = house.login(house.submission()).unwrap();
    kept(&transact(&mut client, "alice@here.example", &[&here()], TEXT).unwrap());
    assert_eq!(house.await_mail(&here(), 1).len(), 1);
}

#[test]
fn a_machine_relays_by_its_certificate_and_no_other_does() {
    if !ready() {
        return;
    }
    let plan = Plan::new().client("printer").client("member").client("stranger");
    let (house, sink) = with_sink(
        plan.map("{pin:printer}\tRELAY\n{issuer:member}\tSUBJECT\n{subject:member}\tRELAY"),
    );
    for name in ["printer", "member"] {
        let identity = house.certificate(name).unwrap();
        let (mut client, _) = house.visit_tls(house.relay(), Some(identity)).unwrap();
        kept(&transact(&mut client, "joe@example.org", &[ELSEWHERE], TEXT).unwrap());
    }
    assert_eq!(sink.await_messages(2).len(), 2);
    let stranger = house.certificate("stranger").unwrap();
    for identity in [Some(stranger), None] {
        let (mut client, _) = house.visit_tls(house.relay(), identity).unwrap();
        let replies = transact(&mut client, "joe@example.org", &[ELSEWHERE], TEXT).unwrap();
        assert!(replies[1].text().starts_with("550 5.7.1 "), "{replies:?}");
    }
    let (mut client, _) = house.visit(house.relay()).unwrap();
    let replies = transact(&mut client, "joe@example.org", &[ELSEWHERE], TEXT).unwrap();
    assert!(replies[1].text().starts_with("550 5.7.1 "), "{replies:?}");
    // To whom it may concern here, anybody may write.
    let (mut client, _) = house.visit(house.relay()).unwrap();
    kept(&transact(&mut client, "joe@example.org", &[&here()], TEXT).unwrap());
    assert_eq!(sink.messages().len(), 2);
}

#[test]
fn a_wrong_password_is_refused_and_the_third_ends_it() {
    if !ready() {
        return;
    }
    let house = Plan::new().start().unwrap();
    let (mut client, offered) = house.visit_tls(house.submission(), None).unwrap();
    assert!(offered.offers("AUTH"), "{offered}");
    let wrong = format!("AUTH PLAIN {}", plain(LOGIN, "wrong"));
    assert_eq!(client.say(&wrong).unwrap().text(), "535 5.7.8 Authentication credentials invalid");
    assert_eq!(
        client.say(&format!("AUTH PLAIN {}", plain("nobody", PASSWORD))).unwrap().code(),
        535
    );
    let third = client.say(&wrong).unwrap();
    assert!([535, 421].contains(&third.code()), "{third}");
    let after = client.reply().unwrap();
    assert!(third.code() == 421 || after.code() == 421, "{third} {after}");
    assert_eq!(client.rest().unwrap(), "");
}

#[test]
fn while_the_daemon_is_away_nothing_is_refused_for_good_and_nothing_accepted() {
    if !ready() {
        return;
    }
    let (mut house, sink) = with_sink(Plan::new().client("printer").map("{pin:printer}\tRELAY"));
    house.stop_daemon();
    let (mut client, _) = house.visit_tls(house.submission(), None).unwrap();
    let said = client.say(&format!("AUTH PLAIN {}", plain(LOGIN, PASSWORD))).unwrap();
    assert_eq!(said.code(), 454, "{said}");
    let printer = house.certificate("printer").unwrap();
    for identity in [Some(printer.clone()), None] {
        let (mut client, _) = house.visit_tls(house.relay(), identity).unwrap();
        let replies = transact(&mut client, "joe@example.org", &[ELSEWHERE], TEXT).unwrap();
        assert_eq!(replies.last().unwrap().code() / 100, 4, "{replies:?}");
    }
    house.start_daemon().unwrap();
    let accepted = || {
        let mut login = house.login(house.submission()).ok()?;
        let (mut relay, _) = house.visit_tls(house.relay(), Some(printer.clone())).ok()?;
        let replies = transact(&mut relay, "joe@example.org", &[ELSEWHERE], TEXT).ok()?;
        (login.say("NOOP").ok()?.code() == 250 && replies.last()?.code() == 250).then_some(())
    };
    assert!(harness::wait_until(|| accepted().is_some()), "{}", house.log());
    assert!(!sink.await_messages(1).is_empty());
}

#[test]
fn swaks_sends_by_starttls_and_inside_tls() {
    if !ready() || !harness::require("swaks", "swaks") {
        return;
    }
    let house = Plan::new().start().unwrap();
    for (port, begin) in
        [(house.submission().port(), "--tls"), (house.submissions().port(), "--tls-on-connect")]
    {
        let output = Command::new("swaks")
            .args(["--server", &house.address().to_string(), "--port", &port.to_string(), begin])
            .args(["--tls-verify", "--tls-ca-path"])
            .arg(house.tls().join("ca.pem"))
            .args(["--tls-sni", HOST])
            .args(["--auth", "PLAIN", "--auth-user", LOGIN, "--auth-password", PASSWORD])
            .args([
                "--from",
                "alice@here.example",
                "--to",
                &here(),
                "--header",
                "Subject: by swaks",
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let mail = house.await_mail(&here(), 2);
    assert!(
        mail.len() == 2 && mail.iter().all(|text| text.contains("Subject: by swaks")),
        "{mail:?}"
    );
}

#[test]
fn nobody_gets_past_a_port_for_people_without_logging_in() {
    if !ready() {
        return;
    }
    let house = Plan::new().start().unwrap();
    for port in [house.submission(), house.submissions()] {
        let (mut client, _) = house.visit_tls(port, None).unwrap();
        let replies = transact(&mut client, "joe@example.org", &[&here()], TEXT).unwrap();
        assert_eq!(replies.last().unwrap().text().get(..9), Some("530 5.7.0"), "{replies:?}");
    }
    let mut clear = Client::connect(house.submission(), None).unwrap();
    clear.reply().unwrap();
    clear.say("EHLO x").unwrap();
    let said = clear.say("MAIL FROM:<joe@example.org>").unwrap();
    assert_eq!(said.text().get(..9), Some("530 5.7.0"), "{said}");
}
