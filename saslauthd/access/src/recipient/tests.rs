//! Who may send to whom, where the recorded decisions say little: routes, unknown clients, delayed checks.

use crate::decide::{Access, Ruleset, decide};
use crate::decision::{Action, Decision};
use crate::facts::{Facts, Resolve};
use crate::map::Map;
use crate::settings::Settings;

fn site() -> Settings {
    Settings {
        local_domains: vec!["us.example".into(), "[192.0.2.1]".into()],
        relay_domains: vec!["friend.example".into()],
        ..Settings::default()
    }
}

fn stranger(rcpt: &str) -> Facts {
    Facts {
        client_name: Some("mx.stranger.example".into()),
        client_addr: Some("198.51.100.7".into()),
        client_resolve: Some(Resolve::Ok),
        mail_from: Some("<a@stranger.example>".into()),
        rcpt: Some(rcpt.into()),
        ..Facts::default()
    }
}

fn asked(settings: &Settings, map: &str, facts: &Facts) -> Decision {
    let map = Map::parse(map).unwrap_or_else(|errors| panic!("{errors}"));
    decide(Ruleset::CheckRcpt, settings, Access::Loaded(&map), facts)
}

fn relays(map: &str, facts: &Facts) -> bool {
    let decision = asked(&site(), map, facts);
    assert_eq!(decision.relaying, decision.action == Action::Relay, "{decision:?}");
    decision.relaying
}

#[test]
fn a_route_is_judged_by_its_last_host() {
    assert!(relays("", &stranger("<joe@us.example>")));
    assert!(relays("", &stranger("<joe@a.friend.example>")));
    for route in [
        "<joe%far.example@us.example>",
        "<joe%far.example@friend.example>",
        "<far.example!joe@us.example>",
        "<joe%far.example%friend.example@us.example>",
        "<\"joe@far.example\"@us.example>",
        "<joe@far.example@friend.example>",
        "<@us.example:joe@far.example>",
        "joe@far.example",
        "joe%far.example",
    ] {
        assert!(!relays("", &stranger(route)), "{route}");
    }
    let map = "To:partner.example\tRELAY\n";
    assert!(relays(map, &stranger("<joe@partner.example>")));
    assert!(!relays(map, &stranger("<joe%far.example@partner.example>")));
    assert!(relays(map, &stranger("<joe%friend.example@partner.example>")));
}

#[test]
fn a_client_of_whom_nothing_is_known_is_nobody() {
    let far = stranger("<joe@far.example>");
    let map = "Connect:stranger.example\tRELAY\n";
    assert!(relays(map, &far));
    assert!(!relays(map, &Facts { client_resolve: None, ..far.clone() }));
    assert!(!relays(map, &Facts { client_resolve: Some(Resolve::Forged), ..far.clone() }));
    let nobody =
        Facts { client_name: None, client_addr: None, client_resolve: None, ..far.clone() };
    assert!(!relays("", &nobody));
    assert!(relays("", &Facts { client_addr: Some(String::new()), ..nobody.clone() }));
    assert!(relays("", &Facts { client_addr: Some("192.0.2.1".into()), ..nobody }));
}

#[test]
fn without_a_recipient_there_is_nothing_to_relay() {
    for rcpt in ["", "<>", " "] {
        let decision = asked(&site(), "", &stranger(rcpt));
        let reply = decision.reply.map(|reply| reply.to_string());
        assert_eq!(reply.as_deref(), Some("553 5.0.0 User address required"), "{rcpt:?}");
    }
}

#[test]
fn the_denial_offers_a_login_only_where_there_is_one() {
    let text = |settings: &Settings| {
        asked(settings, "", &stranger("<joe@far.example>")).reply.map(|reply| reply.text)
    };
    assert_eq!(text(&site()).as_deref(), Some("Relaying denied"));
    let settings = Settings { trusted_mechanisms: vec!["PLAIN".into()], ..site() };
    let offered = "Relaying denied. Proper authentication required.";
    assert_eq!(text(&settings).as_deref(), Some(offered));
}

#[test]
fn delayed_checks_ask_for_the_sender_and_the_connection() {
    let settings = Settings { delay_checks: true, ..site() };
    let action = |map: &str| {
        let decision = asked(&settings, map, &stranger("<joe@us.example>"));
        assert_eq!(
            decision.relaying,
            !decision.is_refusal() && decision.action != Action::Quarantine
        );
        decision.action
    };
    assert_eq!(action(""), Action::Accept);
    assert_eq!(action("From:a@stranger.example\tREJECT\n"), Action::Reject);
    assert_eq!(action("Connect:198.51.100\tERROR:450 later\n"), Action::TempFail);
    assert_eq!(action("Connect:198.51.100\tDISCARD\n"), Action::Discard);
    assert_eq!(action("Connect:198.51.100\tQUARANTINE:look\n"), Action::Quarantine);
    assert_eq!(action("TLS_Clt:\tVERIFY\n"), Action::TempFail);
}
