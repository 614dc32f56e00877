//! Every recorded decision of three generations of sendmail, against the engine.
//!
//! The vectors say what sendmail does, not what is right: where we mean to differ stands in [`DIVERGENCES`], one
//! line each with its reason, and a divergence that vanishes fails the run.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

use std::collections::BTreeMap;

use saslauthd_access::{
    Access, Action, Decision, DnFilter, Facts, Generation, Map, Resolve, Ruleset, Settings, decide,
    explain,
};
use serde_json::{Value, json};

/// Those that were given, and those found by asking sendmail 8.17 (its rules, and with the rules of 8.15 and 8.18)
/// about thousands of made-up maps: what we once answered differently, and a sample of every family.
const VECTORS: [&str; 2] = [
    include_str!("../vectors/sendmail-tls-policy.jsonl"),
    include_str!("../vectors/differential.jsonl"),
];

/// Where we mean to differ: which vectors, and why.
struct Divergence {
    profile: &'static str,
    ruleset: &'static str,
    ours: &'static str,
    reason: &'static str,
}

/// A map that can't be asked is "later" everywhere; nothing may look like an answer of the map.
const DIVERGENCES: [Divergence; 6] = [
    Divergence {
        profile: "tempfail",
        ruleset: "tls_client",
        ours: "tempfail",
        reason: "an outage would let a client in that the map may refuse",
    },
    Divergence {
        profile: "tempfail",
        ruleset: "tls_server",
        ours: "tempfail",
        reason: "an outage would send to a server that the map may refuse",
    },
    Divergence {
        profile: "tempfail",
        ruleset: "try_tls",
        ours: "tempfail",
        reason: "an outage would send in clear",
    },
    Divergence {
        profile: "tempfail",
        ruleset: "tls_srv_features",
        ours: "tempfail",
        reason: "<TMPF> is no option; taken for one, it switches TLS off",
    },
    Divergence {
        profile: "tempfail",
        ruleset: "tls_clt_features",
        ours: "tempfail",
        reason: "<TMPF> is no option; taken for one, it switches TLS off",
    },
    Divergence {
        profile: "tempfail",
        ruleset: "relay",
        ours: "tempfail",
        reason: "an outage would look like a certificate that may not relay",
    },
];

const GENERATIONS: [(Generation, &str); 3] = [
    (Generation::V8_15, "expect_8_15"),
    (Generation::V8_17, "expect"),
    (Generation::V8_18, "expect_8_18"),
];

fn settings(profile: &str, generation: Generation) -> Settings {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let site = Settings {
        generation,
        local_domains: words(&["mta.oracle.test", "local.oracle.test"]),
        relay_domains: words(&["relay.oracle.test", "192.0.2"]),
        trusted_mechanisms: words(&["PLAIN", "LOGIN", "EXTERNAL", "SCRAM-SHA-256"]),
        ..Settings::default()
    };
    match profile {
        "default" | "noaccess" | "tempfail" => site,
        "san" => Settings { cert_altnames: true, ..site },
        "delay" => Settings { delay_checks: true, ..site },
        "permerr" => Settings { permanent_tls_errors: true, ..site },
        "hostsonly" => Settings { relay_hosts_only: true, ..site },
        "dot" => Settings { lookup_dot_domain: true, ..site },
        "skip" => Settings { skip: true, ..site },
        "fulladdr" => Settings { relay_to_full_address: true, ..site },
        "regex" => Settings {
            issuer_filter: DnFilter::CommonName,
            subject_filter: DnFilter::CommonName,
            ..site
        },
        "verifiedrelay" => Settings { verified_may_relay: true, ..site },
        "expnauth" => Settings { expn_needs_auth: true, ..site },
        other => panic!("profile {other}"),
    }
}

fn facts(vector: &Value) -> Facts {
    let facts = vector.get("facts").expect("facts");
    let text = |name: &str| facts.get(name).and_then(Value::as_str).map(str::to_owned);
    let number = |name: &str| {
        facts.get(name).map(|value| {
            let number =
                value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
            u32::try_from(number.expect("a number")).expect("a small number")
        })
    };
    let list = |name: &str| {
        let names = facts.get(name).and_then(Value::as_array).into_iter().flatten();
        names.map(|name| name.as_str().expect("a name").to_owned()).collect()
    };
    Facts {
        verify: text("verify").unwrap_or_default(),
        cert_issuer: text("cert_issuer"),
        cert_subject: text("cert_subject"),
        cn_issuer: text("cn_issuer"),
        cn_subject: text("cn_subject"),
        cert_altnames: list("cert_altnames"),
        tls_version: text("tls_version"),
        cipher: text("cipher"),
        cipher_bits: number("cipher_bits"),
        client_name: text("client_name"),
        client_addr: text("client_addr"),
        client_resolve: text("client_resolve").as_deref().and_then(Resolve::from_name),
        server_name: text("server_name"),
        server_addr: text("server_addr"),
        auth_type: text("auth_type"),
        auth_authen: text("auth_authen"),
        auth_author: text("auth_author"),
        auth_ssf: number("auth_ssf"),
        mail_from: text("mail_from"),
        rcpt: text("rcpt"),
        ..Facts::default()
    }
}

/// In the form of the vectors.
fn as_json(decision: &Decision) -> Value {
    let mut value = json!({ "action": decision.action.as_str() });
    if let Some(reply) = &decision.reply {
        value["code"] = reply.code.to_string().into();
        value["dsn"] = reply.dsn.clone().into();
        value["text"] = reply.text.clone().into();
    }
    match &decision.action {
        Action::Features(letters) => value["letters"] = letters.clone().into(),
        Action::Options(options) => value["value"] = options.clone().into(),
        Action::AuthInfo(info) => value["items"] = info.0.clone().into(),
        _ => {}
    }
    if decision.last {
        value["final"] = true.into();
    }
    if let Some(word) = &decision.word {
        value["value"] = word.clone().into();
    }
    value
}

fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
    vector.get(name).and_then(Value::as_str).unwrap_or("")
}

/// What we say; a map that is refused says so.
fn ours(vector: &Value, generation: Generation) -> Value {
    let pairs: Vec<(String, String)> =
        serde_json::from_value(vector["access"].clone()).expect("pairs");
    let map = match Map::from_pairs(pairs_of(&pairs)) {
        Ok(map) => map,
        Err(errors) => return json!({ "action": "refused", "text": errors.to_string() }),
    };
    let profile = text(vector, "profile");
    let access = match profile {
        "noaccess" => Access::Absent,
        "tempfail" => Access::Unavailable,
        _ => Access::Loaded(&map),
    };
    let settings = settings(profile, generation);
    let facts = facts(vector);
    let ruleset = Ruleset::from_name(text(vector, "ruleset")).expect("a ruleset");
    let decision = decide(ruleset, &settings, access, &facts);
    let explanation = explain(ruleset, &settings, access, &facts);
    assert_eq!(explanation.decision, decision, "{}", text(vector, "id"));
    as_json(&decision)
}

fn pairs_of(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

#[derive(Default)]
struct Count {
    agreed: usize,
    refused: usize,
    diverged: usize,
    differed: usize,
}

#[test]
fn decisions_agree_with_three_generations_of_sendmail() {
    let mut counts: BTreeMap<(String, &str), Count> = BTreeMap::new();
    let mut used = [false; DIVERGENCES.len()];
    let mut differing = Vec::new();
    for line in VECTORS.into_iter().flat_map(str::lines) {
        let vector: Value = serde_json::from_str(line).expect("a vector");
        for (generation, name) in GENERATIONS {
            let theirs = vector.get(name).or_else(|| vector.get("expect")).expect("an answer");
            let ours = ours(&vector, generation);
            let key = (text(&vector, "family").to_owned(), generation.as_str());
            let count = counts.entry(key).or_default();
            let wanted = DIVERGENCES.iter().position(|divergence| {
                divergence.profile == text(&vector, "profile")
                    && divergence.ruleset == text(&vector, "ruleset")
            });
            if let Some(at) = wanted {
                assert_eq!(ours["action"], DIVERGENCES[at].ours, "{}", DIVERGENCES[at].reason);
                assert_ne!(&ours, theirs, "this divergence has vanished");
                used[at] = true;
                count.diverged += 1;
            } else if ours == *theirs {
                count.agreed += 1;
            } else if ours["action"] == "refused" && text(&vector, "quirk").starts_with("fail-open")
            {
                count.refused += 1;
            } else {
                count.differed += 1;
                differing.push(format!(
                    "{} {}: {ours}, not {theirs}",
                    text(&vector, "id"),
                    generation.as_str()
                ));
            }
        }
    }
    for ((family, generation), count) in &counts {
        let Count { agreed, refused, diverged, differed } = count;
        println!(
            "{family:15}{generation}: agreed {agreed}, refused {refused}, diverged {diverged}, differed {differed}"
        );
    }
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
    assert!(used.iter().all(|used| *used), "a divergence has no vector");
    assert!(counts.values().map(|count| count.agreed).sum::<usize>() > 2400);
}
