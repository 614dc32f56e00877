//! Which verdict a certificate gets, beside what sendmail said of the same one: openssl makes the certificates and shows
//! them, our server and our client judge them.
//!
//! What we say otherwise on purpose stands in `divergences.txt`, one line each; one that vanishes fails the run.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod constraints;
mod handshakes;
mod workshop;

use std::collections::BTreeMap;

use mta::tls::server::Ask;
use mta::tls::{Facts, Verify};
use protocol::certificate::Certificate;
use serde_json::Value;
use workshop::{Workshop, settings};

/// The vectors, without those of distinguished names.
fn vectors(kind: &str) -> Vec<Value> {
    let lines = include_str!("sendmail-verify.jsonl").lines();
    let all = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|vector| vector["kind"] == kind).collect()
}

/// What we say otherwise, by id.
fn divergences() -> BTreeMap<&'static str, &'static str> {
    let lines = include_str!("divergences.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut parts = line.split(" | ");
            let (id, ours) = (parts.next().unwrap(), parts.next().unwrap());
            assert!(parts.next().is_some_and(|reason| reason.len() > 10), "no reason: {line}");
            (id.trim(), ours.trim())
        })
        .collect()
}

fn theirs(vector: &Value) -> String {
    let expect = &vector["expect"];
    match expect["handshake"].as_str() {
        None | Some("ok") => {}
        Some(_) => return "no handshake".into(),
    }
    let log = expect["log"].as_str().or_else(|| expect["log"][0].as_str()).unwrap();
    let reason = expect["verifymsg"].as_str().unwrap();
    let agreed = match log.split_once("version=") {
        Some((_, agreed)) => agreed.to_owned(),
        // The line was another one; the same stands in Received:, in another order.
        None => {
            let (_, clause) = expect["received"].as_str().unwrap().split_once("(version=").unwrap();
            let words: Vec<&str> = clause.split([' ', ')']).collect();
            let bits = words[2].strip_prefix("bits=").unwrap();
            format!("{}, {}, {}, bits={bits}/{bits}", words[0], words[3], words[1])
        }
    };
    let names = ["cert_subject", "cert_issuer", "cn_subject", "cn_issuer"];
    let names = names.map(|name| expect[name].as_str().unwrap_or("")).join(" ");
    one_line(&format!("{agreed}: {reason} {names}"))
}

fn ours(facts: &Facts) -> String {
    let Facts { version, verify, cipher, bits, reason, .. } = facts;
    let agreed = format!("{version}, verify={verify}, cipher={cipher}, bits={bits}/{bits}");
    let leaf = facts.certificate.as_deref().map(|leaf| Certificate::from_der(leaf).unwrap());
    let names = leaf.map_or(String::new(), |leaf| {
        let (subject, issuer) = (&leaf.subject, &leaf.issuer);
        let keys = [&subject.openssl_3.text, &issuer.openssl_3.text];
        let plain = [&subject.common_name, &issuer.common_name];
        format!("{} {} {} {}", keys[0], keys[1], plain[0], plain[1])
    });
    one_line(&format!("{agreed}: {reason} {names}"))
}

/// With one blank where there are several: an empty name leaves two.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Compares, and says of each difference whether it is meant.
fn compare(found: Vec<(String, String, String)>, is_mine: impl Fn(&str) -> bool) {
    let mut expected = divergences();
    expected.retain(|id, _| is_mine(id));
    let mut wrong = Vec::new();
    for (id, theirs, ours) in found {
        match expected.remove(id.as_str()) {
            Some(_) if theirs == ours => wrong.push(format!("{id}: the divergence has vanished")),
            Some(meant) if !ours.contains(meant) => {
                wrong.push(format!("{id}: meant {meant}\n  ours {ours}"));
            }
            None if theirs != ours => {
                wrong.push(format!("{id}\n  theirs {theirs}\n  ours   {ours}"));
            }
            _ => {}
        }
    }
    wrong.extend(expected.keys().map(|id| format!("{id}: there is no such vector")));
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn clients_get_sendmails_verdicts() {
    let shop = Workshop::open();
    let found = vectors("client-certificate").into_iter().map(|vector| {
        let id = vector["id"].as_str().unwrap();
        let setting = vector["setting"].as_str().unwrap_or("");
        let tls = settings(setting, shop);
        let ask = match setting.contains("no certificate requested")
            || setting.ends_with("Srv_Features:client.oracle.test V")
        {
            true => Ask::No,
            false => Ask::Yes,
        };
        let send: Vec<&str> =
            vector["send"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let version = vector["tls"].as_str().unwrap_or("1.3");
        let ours = match shop.present(&tls, ask, version, &send) {
            Ok(facts) => ours(&facts),
            Err(why) => why,
        };
        (id.to_owned(), theirs(&vector), ours)
    });
    compare(found.collect(), |id| !id.starts_with("srv-"));
}

#[test]
fn servers_get_sendmails_verdicts() {
    let shop = Workshop::open();
    let found = vectors("server-certificate").into_iter().map(|vector| {
        let id = vector["id"].as_str().unwrap();
        let (name, version) = id.split_once("-tls").unwrap();
        let facts = shop.visit(name, version);
        let ours = ours(&Facts { certificate: None, ..facts });
        (id.to_owned(), theirs(&vector), ours)
    });
    compare(found.collect(), |id| id.starts_with("srv-"));
}

#[test]
fn only_the_purpose_is_wrong() {
    let shop = Workshop::open();
    let tls = settings("", shop);
    for (name, only_purpose) in [
        ("serveronly", true),
        ("emailonly", true),
        ("anyeku", true),
        ("keyenc", false),
        ("root", false),
        ("expired", false),
        ("selfsigned", false),
    ] {
        let facts = shop.present(&tls, Ask::Yes, "1.3", &[name]).unwrap();
        assert_eq!(facts.verify, Verify::Fail, "{name}");
        assert_eq!(facts.failed_only_by_purpose, only_purpose, "{name}");
        assert_eq!(facts.chain.is_empty(), !only_purpose, "{name}");
    }
}
