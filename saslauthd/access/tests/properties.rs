//! No text is a map that panics, and no facts make a decision panic, hang or contradict its explanation.

#![allow(clippy::expect_used, reason = "a test that fails panics")]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseResult;
use saslauthd_access::{
    Access, Action, Facts, Generation, KeyPin, Map, Purpose, Resolve, Ruleset, Settings, decide,
    explain,
};

const TAGS: [&str; 16] = [
    "TLS_Clt:",
    "TLS_Srv:",
    "TLS_Rcpt:",
    "Try_TLS:",
    "Connect:",
    "From:",
    "To:",
    "CertIssuer:",
    "CertSubject:",
    "CertChain:",
    "SubjAltName:m:",
    "Srv_Features:",
    "TLS_Srv_Features:",
    "AuthInfo:",
    "Mine:",
    "",
];

const VALUES: [&str; 9] = [
    "VERIFY+CA++CITag:Mine",
    "OK",
    "RELAY",
    "SUBJECT",
    "ALTNAMES:m PURPOSE:any",
    "SKIP",
    "REJECT",
    "DISCARD",
    "ERROR:\"550 5.7.1 no\"",
];

/// A key that looks like one more often than chance would have it.
fn key() -> impl Strategy<Value = String> {
    (select(TAGS.to_vec()), name()).prop_map(|(tag, name)| format!("{tag}{name}"))
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c.]{0,8}",
        "[a-c+%!@.]{0,10}",
        "/C=D/CN=[ab]",
        "[0-9.:]{0,9}",
        "IPv6:[0-9:]{0,9}",
        r"\[[0-9.:]{0,9}\]",
        "\\PC{0,6}",
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        concat!(
            "(PERM|TEMP)?\\+?(VERIFY|ENCR)(:[0-9]{1,3})?",
            "(\\+(CN|CA|CN:a|CI:/C=D/CN=a|CITag:Mine|PURPOSE:any)){0,2}"
        ),
        select(VALUES.to_vec()).prop_map(str::to_owned),
        "\\PC{0,12}",
    ]
}

fn verify() -> impl Strategy<Value = String> {
    select(vec!["OK", "FAIL", "", "TRUSTED", "DANE_FAIL", "x"]).prop_map(str::to_owned)
}

fn purpose() -> impl Strategy<Value = Option<Purpose>> {
    use Purpose::{Both, Client, Other, Server};
    option::of(select(vec![Client, Server, Both, Other]))
}

fn resolve() -> impl Strategy<Value = Option<Resolve>> {
    option::of(select(vec![Resolve::Ok, Resolve::Fail, Resolve::Forged, Resolve::Temp]))
}

fn facts() -> impl Strategy<Value = Facts> {
    let names = (vec(option::of(name()), 12), vec(vec(name(), 0..3), 4));
    let rest = (verify(), any::<bool>(), purpose(), resolve(), any::<u8>(), 0..300_u32);
    (names, rest).prop_map(|((names, lists), (verify, failed, purpose, resolve, pin, bits))| {
        let (mut names, mut lists) = (names.into_iter(), lists.into_iter());
        let mut one = || names.next().flatten();
        let mut list = || lists.next().unwrap_or_default();
        Facts {
            verify,
            failed_only_by_purpose: failed,
            cert_issuer: one(),
            cert_issuer_openssl_1_1: one(),
            cert_subject: one(),
            cn_subject: one(),
            client_name: one(),
            client_addr: one(),
            server_name: one(),
            server_addr: one(),
            auth_type: one(),
            auth_authen: one(),
            mail_from: one(),
            rcpt: one(),
            cert_altnames: list(),
            email_altnames: list(),
            uri_altnames: list(),
            chain_subjects: list(),
            purpose,
            client_resolve: resolve,
            spki_sha256: Some(KeyPin([pin; 32])),
            cipher_bits: Some(bits),
            ..Facts::default()
        }
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let generation = select(vec![Generation::V8_15, Generation::V8_17, Generation::V8_18]);
    (generation, any::<u16>()).prop_map(|(generation, bits)| {
        let on = |bit: u16| bits & (1 << bit) != 0;
        Settings {
            generation,
            lookup_dot_domain: on(2),
            skip: on(3),
            relay_to_full_address: on(4),
            cert_altnames: on(5),
            delay_checks: on(6),
            permanent_tls_errors: on(7),
            relay_hosts_only: on(8),
            local_domains: vec!["a".into(), "b.c".into()],
            relay_domains: vec!["c".into(), "10".into()],
            trusted_mechanisms: vec!["ab".into()],
            ..Settings::default()
        }
    })
}

/// What holds of every decision.
fn holds(settings: &Settings, access: Access<'_>, facts: &Facts) -> TestCaseResult {
    for ruleset in Ruleset::ALL {
        let decision = decide(ruleset, settings, access, facts);
        let explanation = explain(ruleset, settings, access, facts);
        prop_assert_eq!(&explanation.decision, &decision);
        prop_assert!(!explanation.to_string().is_empty());
        let refused = matches!(decision.action, Action::Reject);
        prop_assert!(
            !refused || decision.reply.as_ref().is_some_and(|reply| !reply.is_temporary())
        );
        if let Some(reply) = &decision.reply {
            prop_assert!(!reply.text.contains(['\r', '\n']), "{}", reply);
        }
        if matches!(access, Access::Unavailable) && ruleset == Ruleset::TlsClient {
            prop_assert_eq!(decision.action, Action::TempFail);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_text_is_a_map_or_a_list_of_mistakes(text in "(\\PC|\t|\n|\r){0,200}") {
        match Map::parse(&text) {
            Ok(map) => prop_assert!(map.len() <= text.lines().count()),
            Err(errors) => {
                prop_assert!(!errors.0.is_empty());
                for error in &errors.0 {
                    let line = text.lines().nth(error.line as usize - 1).expect("the line");
                    let most = line.chars().count() + 2;
                    prop_assert!(error.column as usize <= most, "{} in {:?}", error, line);
                }
            }
        }
    }

    #[test]
    fn any_pairs_are_a_map_or_a_list_of_mistakes(pairs in vec((key(), value()), 0..12)) {
        let source: String = pairs.iter().map(|(key, value)| format!("{key}\t{value}\n")).collect();
        let _ = Map::parse(&source);
        if let Err(errors) = Map::from_pairs(pairs.iter().map(|(key, value)| (key, value))) {
            prop_assert!(errors.0.iter().all(|error| error.line as usize <= pairs.len()));
        }
    }

    #[test]
    fn no_facts_panic(
        pairs in vec((key(), value()), 0..24),
        facts in facts(),
        settings in settings(),
    ) {
        // What is left of a map when its mistakes are taken out.
        let mut good: Vec<(String, String)> = Vec::new();
        for pair in pairs {
            good.push(pair);
            if Map::from_pairs(good.iter().map(|(key, value)| (key, value))).is_err() {
                good.pop();
            }
        }
        let map = Map::from_pairs(good.iter().map(|(key, value)| (key, value))).expect("a good map");
        for access in [Access::Loaded(&map), Access::Absent, Access::Unavailable] {
            holds(&settings, access, &facts)?;
        }
    }
}
