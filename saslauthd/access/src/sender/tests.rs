//! Senders and connections where the recorded decisions say little.

use crate::decide::{Access, Ruleset, decide};
use crate::decision::{Action, Decision};
use crate::facts::Facts;
use crate::map::Map;
use crate::settings::Settings;

fn asked(ruleset: Ruleset, map: &str, facts: &Facts) -> Decision {
    let map = Map::parse(map).unwrap_or_else(|errors| panic!("{errors}"));
    let settings = Settings { local_domains: vec!["us.example".into()], ..Settings::default() };
    decide(ruleset, &settings, Access::Loaded(&map), facts)
}

fn mail(map: &str, sender: &str) -> Decision {
    let facts = Facts {
        client_name: Some("mx.far.example".into()),
        client_addr: Some("198.51.100.7".into()),
        mail_from: Some(sender.into()),
        ..Facts::default()
    };
    asked(Ruleset::CheckMail, map, &facts)
}

#[test]
fn senders_are_looked_up_by_mailbox_then_user_then_domain() {
    let map =
        "From:a@b.example\tOK\nFrom:a@\tREJECT\nb.example\tDISCARD\nFrom:c+*@b.example\tREJECT\n";
    assert_eq!(mail(map, "<a@b.example>").action, Action::Accept);
    assert_eq!(mail(map, "<a+x@b.example>").action, Action::Accept);
    assert_eq!(mail(map, "<a@c.example>").action, Action::Reject);
    assert_eq!(mail(map, "<z@sub.b.example>").action, Action::Discard);
    assert_eq!(mail(map, "<c+x@b.example>").action, Action::Reject);
    assert_eq!(mail(map, "<c@b.example>").action, Action::Discard);
    assert_eq!(mail("a@b.example\tREJECT\n", "a@B.example.").action, Action::Reject);
}

#[test]
fn a_sender_that_an_entry_takes_is_taken_at_last() {
    let decision = mail("From:b.example\tOK\n", "<a@b.example>");
    assert!(decision.last && decision.word.as_deref() == Some("OK"), "{decision:?}");
    assert!(mail("From:b.example\tRELAY\n", "<a@b.example>").last);
    assert!(!mail("", "<a@b.example>").last);
}

#[test]
fn only_we_are_localhost() {
    let reply = |name: &str| {
        let facts = Facts {
            client_name: Some(name.into()),
            client_addr: Some("198.51.100.7".into()),
            mail_from: Some("<x@LOCALHOST>".into()),
            ..Facts::default()
        };
        asked(Ruleset::CheckMail, "", &facts).reply.map(|reply| reply.code)
    };
    assert_eq!(reply("mx.far.example"), Some(553));
    assert_eq!(reply("us.example"), None);
}

#[test]
fn a_held_message_says_why() {
    let decision = mail("From:b.example\tQUARANTINE:odd sender\n", "<a@b.example>");
    assert_eq!(decision.action, Action::Quarantine);
    assert_eq!(decision.word.as_deref(), Some("odd sender"));
}

#[test]
fn a_connection_is_looked_up_by_name_then_by_address() {
    let facts = Facts {
        client_name: Some("[198.51.100.7]".into()),
        client_addr: Some("198.51.100.7".into()),
        ..Facts::default()
    };
    let action = |map: &str| asked(Ruleset::CheckRelay, map, &facts).action;
    assert_eq!(action("Connect:[198.51.100]\tREJECT\n198.51.100.7\tOK\n"), Action::Reject);
    assert_eq!(action("198.51.100\tREJECT\n"), Action::Reject);
    assert_eq!(action("Connect:198\tOK\n198.51.100.7\tREJECT\n"), Action::Reject);
    assert_eq!(action(""), Action::Accept);
}
