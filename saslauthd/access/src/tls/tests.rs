//! Requirements beyond sendmail's, and what an explanation tells of them.

use crate::decide::{Access, Ruleset, explain};
use crate::decision::{Action, NameForm};
use crate::explanation::{Explanation, Outcome};
use crate::facts::{Facts, Purpose};
use crate::map::Map;
use crate::settings::Settings;

fn asked(map: &str, facts: &Facts) -> Explanation {
    let map = Map::parse(map).unwrap_or_else(|errors| panic!("{errors}"));
    explain(Ruleset::TlsClient, &Settings::default(), Access::Loaded(&map), facts)
}

fn text(map: &str, facts: &Facts) -> String {
    let decision = asked(map, facts).decision;
    match decision.reply {
        Some(reply) => reply.to_string(),
        None => decision.action.as_str().to_owned(),
    }
}

fn verified(names: &[&str]) -> Facts {
    Facts {
        verify: "OK".into(),
        client_name: Some("mx.example.org".into()),
        client_addr: Some("192.0.2.1".into()),
        cn_subject: Some("mx.example.org".into()),
        cert_altnames: names.iter().map(|name| (*name).to_owned()).collect(),
        cipher_bits: Some(256),
        ..Facts::default()
    }
}

#[test]
fn ca_takes_any_dns_name_and_the_common_name_only_without_one() {
    let map = "TLS_Clt:\tVERIFY+CA\n";
    assert_eq!(text(map, &verified(&[])), "accept");
    assert_eq!(text(map, &verified(&["a.example", "MX.example.org"])), "accept");
    assert_eq!(
        text(map, &verified(&["a.example"])),
        "454 4.7.0 Cert Name a.example does not match mx.example.org"
    );
    let map = "TLS_Clt:\tVERIFY+CA:other.example.org\n";
    assert_eq!(text(map, &verified(&["x.example", "other.example.org"])), "accept");
}

#[test]
fn a_wildcard_covers_one_left_most_label() {
    let map = "TLS_Clt:\tVERIFY+CA\n";
    assert_eq!(text(map, &verified(&["*.example.org"])), "accept");
    for name in ["*.org", "*.mx.example.org", "m*.example.org", "*", "*.", "*.*.org"] {
        assert_ne!(text(map, &verified(&[name])), "accept", "{name}");
    }
    let wide = Facts { cn_subject: Some("*.example.org".into()), ..verified(&[]) };
    assert_eq!(text(map, &wide), "accept");
}

#[test]
fn ca_believes_no_name_that_is_not_verified() {
    let failed = Facts { verify: "FAIL".into(), ..verified(&["mx.example.org"]) };
    assert_eq!(
        text("TLS_Clt:\tENCR:128+CA\n", &failed),
        "454 4.7.0 Cert Name mx.example.org is not verified"
    );
    assert_eq!(text("TLS_Clt:\tENCR:128+CN\n", &failed), "accept", "as sendmail has it");
}

#[test]
fn a_purpose_is_forgiven_only_where_the_entry_says_so() {
    let server = Facts {
        verify: "FAIL".into(),
        failed_only_by_purpose: true,
        purpose: Some(Purpose::Server),
        ..verified(&["mx.example.org"])
    };
    assert_eq!(text("TLS_Clt:\tVERIFY\n", &server), "454 4.7.0 authentication failed");
    assert_eq!(text("TLS_Clt:\tVERIFY+PURPOSE:server++CA\n", &server), "accept");
    assert_eq!(text("TLS_Clt:\tVERIFY+PURPOSE:any\n", &server), "accept");
    assert_eq!(
        text("TLS_Clt:\tVERIFY+PURPOSE:client\n", &server),
        "454 4.7.0 authentication failed"
    );
    let forged = Facts { failed_only_by_purpose: false, ..server.clone() };
    assert_eq!(text("TLS_Clt:\tVERIFY+PURPOSE:any\n", &forged), "454 4.7.0 authentication failed");
    let client = Facts { verify: "OK".into(), purpose: Some(Purpose::Client), ..server };
    assert_eq!(
        text("TLS_Clt:\tVERIFY+PURPOSE:server\n", &client),
        "454 4.7.0 Cert Purpose client is not server"
    );
}

#[test]
fn an_old_name_is_taken_and_said_to_be_old() {
    let map = "TLS_Clt:\tVERIFY+CI:/O=a+2Bb/CN=x++CITag:Mine\nMine:/O=a+2Bb/CN=x\tOK\n";
    let facts = Facts {
        cert_issuer: Some("/O=a+5C+2Bb/CN=x".into()),
        cert_issuer_openssl_1_1: Some("/O=a+2Bb/CN=x".into()),
        ..verified(&[])
    };
    let explanation = asked(map, &facts);
    assert_eq!(explanation.decision.action, Action::Accept);
    assert_eq!(explanation.decision.hit.as_ref().map(|hit| hit.form), Some(NameForm::OpenSsl1_1));
    assert!(explanation.to_string().contains("OpenSSL 1.1"), "{explanation}");
    let ambiguous = Facts { cert_issuer_openssl_1_1: None, ..facts };
    assert_eq!(asked(map, &ambiguous).decision.action, Action::TempFail);
}

#[test]
fn an_explanation_has_every_key_and_every_requirement_in_order() {
    let map = "TLS_Clt:192.0\tPERM+VERIFY:512+CN\n";
    let explanation = asked(map, &verified(&[]));
    let keys: Vec<_> = explanation.lookups.iter().map(|lookup| lookup.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "tls_clt:mx.example.org",
            "tls_clt:example.org",
            "tls_clt:org",
            "tls_clt:192.0.2.1",
            "tls_clt:192.0.2",
            "tls_clt:192.0",
        ]
    );
    let last = explanation.lookups.last().map(|lookup| &lookup.outcome);
    assert_eq!(last, Some(&Outcome::Found { line: 1, value: "PERM+VERIFY:512+CN".into() }));
    let checks: Vec<_> = explanation
        .checks
        .iter()
        .map(|check| (check.requirement, check.have.as_str(), check.want.as_str(), check.met))
        .collect();
    assert_eq!(checks, [("VERIFY", "OK", "OK", true), ("ENCR", "256", "512", false)]);
    let hit = explanation.decision.hit.as_ref().map(|hit| (hit.key.as_str(), hit.line));
    assert_eq!(hit, Some(("TLS_Clt:192.0", 1)));
    assert!(explanation.to_string().contains("554 5.7.0 encryption too weak 256 less than 512"));
}

#[test]
fn no_name_is_cut() {
    let long = format!("/O={}/CN=x", "y".repeat(4000));
    let facts = Facts { cert_issuer: Some(long.clone()), ..verified(&[]) };
    let map = format!("TLS_Clt:\tVERIFY+CI:{long}\n");
    assert_eq!(text(&map, &facts), "accept");
    let other = Facts { cert_issuer: Some(long.replace("CN=x", "CN=z")), ..facts };
    assert_ne!(text(&map, &other), "accept");
}
