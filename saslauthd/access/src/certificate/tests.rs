//! Relaying by certificate beyond sendmail's issuer and subject.

use super::*;
use crate::decide::{Access, Ruleset, decide};
use crate::facts::Facts;
use crate::map::Map;
use crate::pin::KeyPin;
use crate::settings::Settings;

const PIN: &str = "CertKey:sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

fn asked(map: &str, facts: &Facts) -> Decision {
    let map = Map::parse(map).unwrap_or_else(|errors| panic!("{errors}"));
    decide(Ruleset::Relay, &Settings::default(), Access::Loaded(&map), facts)
}

fn relays(map: &str, facts: &Facts) -> bool {
    let decision = asked(map, facts);
    assert!(matches!(decision.action, Action::Relay | Action::None), "{decision:?}");
    assert_eq!(decision.last, decision.action == Action::Relay);
    decision.last
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn verified() -> Facts {
    Facts {
        verify: "OK".into(),
        cert_issuer: Some("/C=DE/CN=Inter".into()),
        cert_subject: Some("/C=DE/CN=host".into()),
        ..Facts::default()
    }
}

fn for_servers() -> Facts {
    Facts {
        verify: "FAIL".into(),
        failed_only_by_purpose: true,
        purpose: Some(Purpose::Server),
        ..verified()
    }
}

#[test]
fn a_pinned_key_needs_no_ca_and_no_purpose() {
    let pin = KeyPin::parse(PIN.trim_start_matches("CertKey:"));
    let facts = Facts { verify: "FAIL".into(), spki_sha256: pin, ..Facts::default() };
    let map = format!("{PIN}\tRELAY\n");
    assert!(relays(&map, &facts));
    assert!(relays(&map, &Facts { purpose: Some(Purpose::Server), ..facts.clone() }));
    assert!(!relays(
        &format!("{PIN}\tRELAY PURPOSE:client\n"),
        &Facts { purpose: Some(Purpose::Server), ..facts.clone() }
    ));
    assert!(!relays(&format!("{PIN}\tREJECT\n"), &facts));
    assert!(!relays(&map, &Facts { spki_sha256: Some(KeyPin([7; 32])), ..facts.clone() }));
    assert!(!relays(&map, &Facts { spki_sha256: None, ..facts }));
}

#[test]
fn any_ca_of_the_chain_may_be_named() {
    let facts = Facts { chain_subjects: names(&["/C=DE/CN=Inter", "/C=DE/CN=Root"]), ..verified() };
    assert!(relays("CertChain:/c=de/cn=root\tRELAY\n", &facts));
    assert!(!relays("CertIssuer:/C=DE/CN=Root\tRELAY\n", &facts));
    assert!(relays("CertChain:/C=DE/CN=Root\tSUBJECT\nCertSubject:/C=DE/CN=host\tRELAY\n", &facts));
    assert!(!relays("CertChain:/C=DE/CN=Inter\tREJECT\nCertChain:/C=DE/CN=Root\tRELAY\n", &facts));
    assert!(!relays("CertIssuer:/C=DE/CN=Inter\tREJECT\nCertChain:/C=DE/CN=Root\tRELAY\n", &facts));
    let failed = Facts { verify: "FAIL".into(), ..facts };
    assert!(!relays("CertChain:/C=DE/CN=Root\tRELAY\n", &failed));
}

#[test]
fn alternative_names_of_an_issuer_may_relay() {
    let map = |key: &str| {
        format!("CertIssuer:/C=DE/CN=Inter\tALTNAMES:Mta\nSubjAltName:mta:{key}\tRELAY\n")
    };
    let hosts = Facts { cert_altnames: names(&["a.b.example", "*.w.example"]), ..verified() };
    assert!(relays(&map("A.b.example"), &hosts));
    assert!(relays(&map("*.w.example"), &hosts));
    assert!(relays(&map(".b.example"), &hosts));
    assert!(relays(&map(".example"), &hosts));
    for key in ["b.example", "x.w.example", ".w.example", "other", "*.b.example"] {
        assert!(!relays(&map(key), &hosts), "{key}");
    }
    let mail = Facts { email_altnames: names(&["Joe@b.example"]), ..verified() };
    assert!(relays(&map("joe@b.example"), &mail));
    assert!(!relays(&map(".example"), &mail));
    let resource = Facts { uri_altnames: names(&["spiffe://b.example/mta"]), ..verified() };
    assert!(relays(&map("spiffe://b.example/mta"), &resource));
    // Another kind, or a certificate that nobody verified, is no name.
    assert!(!relays(
        &map("joe@b.example"),
        &Facts { cert_altnames: names(&["joe@b.example"]), ..verified() }
    ));
    assert!(!relays(&map("a.b.example"), &Facts { verify: "FAIL".into(), ..hosts }));
}

#[test]
fn the_first_name_that_may_relay_ends_the_search() {
    let map =
        "CertIssuer:/C=DE/CN=Inter\tALTNAMES:m\nSubjAltName:m:a\tREJECT\nSubjAltName:m:b\tRELAY\n";
    assert!(relays(map, &Facts { cert_altnames: names(&["a", "b"]), ..verified() }));
    assert!(!relays(map, &Facts { cert_altnames: names(&["a"]), ..verified() }));
}

#[test]
fn an_entry_is_for_clients_unless_it_says_otherwise() {
    let issuer = "CertIssuer:/C=DE/CN=Inter\tRELAY";
    assert!(!relays(&format!("{issuer}\n"), &for_servers()));
    assert!(asked(&format!("{issuer}\n"), &for_servers()).because.contains("another purpose"));
    assert!(relays(&format!("{issuer} PURPOSE:any\n"), &for_servers()));
    assert!(relays(&format!("{issuer} PURPOSE:server\n"), &for_servers()));
    let both = Facts { purpose: Some(Purpose::Both), ..verified() };
    assert!(relays(&format!("{issuer}\n"), &both));
    assert!(relays(&format!("{issuer} PURPOSE:server\n"), &both));
    assert!(!relays(&format!("{issuer} PURPOSE:server\n"), &verified()), "nobody looked");
    let forged = Facts { failed_only_by_purpose: false, ..for_servers() };
    assert!(!relays(&format!("{issuer} PURPOSE:any\n"), &forged));
}

#[test]
fn the_new_name_comes_before_the_old_one() {
    let facts = Facts {
        cert_issuer: Some("/O=a+5C+2Bb".into()),
        cert_issuer_openssl_1_1: Some("/O=a+2Bb".into()),
        ..verified()
    };
    let form = |map: &str| asked(map, &facts).hit.map(|hit| hit.form);
    assert_eq!(form("CertIssuer:/O=a+2Bb\tRELAY\n"), Some(NameForm::OpenSsl1_1));
    assert_eq!(
        form("CertIssuer:/O=a+2Bb\tRELAY\nCertIssuer:/O=a+5C+2Bb\tRELAY\n"),
        Some(NameForm::OpenSsl3)
    );
    assert!(!relays("CertIssuer:/O=a+2Bb\tRELAY\nCertIssuer:/O=a+5C+2Bb\tREJECT\n", &facts));
}

#[test]
fn a_common_name_ends_where_its_value_does() {
    let only = |name| filtered(name, DnFilter::CommonName);
    assert_eq!(only("/C=DE/CN=a/emailAddress=x"), "/CN=a");
    assert_eq!(only("/C=DE/CN=a+5C/b/L=x"), "/CN=a+5C/b");
    assert_eq!(only("/C=DE"), "/C=DE");
    assert_eq!(filtered("/C=DE/CN=a", DnFilter::Whole), "/C=DE/CN=a");
}

#[test]
fn a_map_that_cannot_be_asked_is_later_and_only_where_it_is_needed() {
    let settings = Settings { trusted_mechanisms: names(&["PLAIN"]), ..Settings::default() };
    let action =
        |facts: &Facts| decide(Ruleset::CheckRcpt, &settings, Access::Unavailable, facts).action;
    let rcpt = Some("joe@far.example".to_owned());
    let facts = Facts { rcpt, client_addr: Some("198.51.100.1".into()), ..verified() };
    assert_eq!(action(&facts), Action::TempFail);
    assert_eq!(action(&Facts { auth_type: Some("PLAIN".into()), ..facts.clone() }), Action::Relay);
    assert_eq!(
        action(&Facts { client_addr: Some("127.0.0.1".into()), ..facts.clone() }),
        Action::Relay
    );
    assert_eq!(action(&Facts { client_addr: None, ..facts.clone() }), Action::TempFail);
    assert_eq!(
        action(&Facts { verify: String::new(), client_addr: None, ..facts }),
        Action::TempFail
    );
}
