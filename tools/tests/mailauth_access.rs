//! `mailauth access` against what running sendmails decided, and the keys that they made of certificates.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_mailauth");
const HOUSE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../saslauthd");

/// A map that can't be asked is a temporary failure of every decision here; sendmail's own rules do not see it in these.
const OUTAGE_THAT_SENDMAIL_OVERLOOKS: [&str; 6] = [
    "s-misc_profiles-040",
    "s-misc_profiles-041",
    "s-misc_profiles-042",
    "s-misc_profiles-044",
    "s-misc_profiles-045",
    "s-misc_profiles-047",
];

fn mailauth(words: &[&str]) -> Output {
    Command::new(PROGRAM).args(words).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names() -> Vec<Value> {
    let path = Path::new(HOUSE).join("protocol/tests/certificate_names.jsonl");
    lines(&std::fs::read_to_string(path).unwrap())
}

fn file(directory: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn certificate(directory: &tempfile::TempDir, id: &str) -> PathBuf {
    let vector = names().into_iter().find(|vector| vector["id"] == id).unwrap();
    file(directory, "certificate.pem", vector["pem"].as_str().unwrap())
}

#[test]
fn decisions_are_those_of_three_sendmails() {
    let path = format!("{HOUSE}/access/vectors/sendmail-tls-policy.jsonl");
    let vectors = lines(&std::fs::read_to_string(&path).unwrap());
    assert!(vectors.len() > 500);
    for (generation, field) in
        [("8.15", "expect_8_15"), ("8.17", "expect"), ("8.18", "expect_8_18")]
    {
        let output = mailauth(&["access", "decide", "--generation", generation, &path]);
        assert!(output.status.success(), "{output:?}");
        let answers = lines(&said(&output));
        assert_eq!(answers.len(), vectors.len());
        for (vector, answer) in vectors.iter().zip(&answers) {
            let (id, decision) = (vector["id"].as_str().unwrap(), &answer["decision"]);
            assert_eq!(answer["id"], id);
            let expect = vector.get(field).unwrap_or(&vector["expect"]);
            let fails_open =
                vector["quirk"].as_str().is_some_and(|quirk| quirk.contains("fail-open"));
            if OUTAGE_THAT_SENDMAIL_OVERLOOKS.contains(&id) {
                assert_eq!(
                    (&decision["action"], &decision["code"]),
                    (&"tempfail".into(), &"451".into()),
                    "{id}"
                );
            } else if decision["action"] == "refused" {
                assert!(fails_open && decision["line"].is_u64(), "{generation} {id}: {decision}");
            } else {
                assert_eq!(decision, expect, "{generation} {id}");
            }
        }
    }
}

#[test]
fn keys_are_those_of_sendmail_with_either_openssl() {
    let directory = tempfile::tempdir().unwrap();
    for vector in names() {
        let id = vector["id"].as_str().unwrap();
        // Cut by sendmail after 255 bytes, and never here.
        if id == "dn-long" {
            continue;
        }
        let path = file(&directory, "certificate.pem", vector["pem"].as_str().unwrap());
        let output = mailauth(&["access", "key", "--json", path.to_str().unwrap()]);
        let found: Value = serde_json::from_str(&said(&output)).unwrap();
        for (member, expect) in [("openssl_3", "expect"), ("openssl_1_1", "expect_openssl_1_1")] {
            for (name, want) in vector[expect].as_object().unwrap() {
                assert_eq!(&found[member][name], want, "{id} {member} {name}");
            }
        }
        assert_eq!(found["cert_subject"], found["openssl_3"]["cert_subject"]);
    }
}

#[test]
fn a_certificate_gets_the_lines_of_a_map() {
    let directory = tempfile::tempdir().unwrap();
    let path = certificate(&directory, "dn-plus");
    let output = mailauth(&["access", "key", path.to_str().unwrap()]);
    assert!(output.status.success());
    // What is printed is a map: keys, and comments.
    let text = said(&output);
    assert!(text.contains("CertSubject:/C=US/O=A+5C+2BB/CN=one+5C+2Btwo\n"), "{text}");
    assert!(text.contains("CertSubject:/C=US/O=A+2BB/CN=one+2Btwo\n"), "{text}");
    assert!(text.contains("CertKey:sha256/"), "{text}");
    let path = certificate(&directory, "dn-slash-inject");
    let text = said(&mailauth(&["access", "key", path.to_str().unwrap()]));
    assert!(
        text.contains("# CertSubject:/C=US/O=endmail.org/CN=DeathStar as OpenSSL 1.1"),
        "{text}"
    );
    let path = file(&directory, "nothing.pem", "hello");
    assert_eq!(mailauth(&["access", "key", path.to_str().unwrap()]).status.code(), Some(1));
    assert_eq!(mailauth(&["access", "key", "/nonexistent.pem"]).status.code(), Some(69));
}

#[test]
fn every_mistake_of_a_map_is_shown_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let path =
        file(&directory, "access", "# mine\nTLS_Clt:example.org\tVERFIY:128\nTLS_Srv:\tENCR\n");
    let name = path.to_str().unwrap();
    let output = mailauth(&["access", "check", name]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(
        text.contains(&format!("{name}:2:21: ")) && text.contains("did you mean `VERIFY`?"),
        "{text}"
    );
    assert!(text.contains(&format!("{name}:3:")), "{text}");
    assert!(
        text.contains("    TLS_Clt:example.org VERFIY:128\n                        ^\n"),
        "{text}"
    );
    let path = file(&directory, "access", "Connect:192.0.2\tRELAY\n");
    let output = mailauth(&["access", "check", path.to_str().unwrap()]);
    assert!(
        output.status.success() && said(&output).ends_with("1 entries, no mistakes\n"),
        "{output:?}"
    );
}

#[test]
fn a_decision_is_explained_from_key_to_reply() {
    let directory = tempfile::tempdir().unwrap();
    let pem = certificate(&directory, "dn-plus");
    let map = file(
        &directory,
        "access",
        "CertIssuer:/C=US/O=Oracle+20Test/CN=Root+20CA\tSUBJECT\n\
         CertSubject:/C=US/O=A+2BB/CN=one+2Btwo\tRELAY\n\
         TLS_Clt:example.org\tVERIFY:128+CN\n",
    );
    let (pem, map) = (pem.to_str().unwrap(), map.to_str().unwrap());
    let explain = |more: &[&str]| {
        let words = ["access", "explain", "--client", "mx.example.org,192.0.2.9", map];
        said(&mailauth(&[&words[..], more].concat()))
    };
    let text = explain(&["--cert", pem, "cipher_bits=256"]);
    for part in [
        "key       tls_clt:example.org = VERIFY:128+CN (line 3)\n",
        "require   CN: have `one+2Btwo`, want `mx.example.org`: not met\n",
        "reply     454 4.7.0 CN one+2Btwo does not match mx.example.org\n",
        "(line 2, by the name as OpenSSL 1.1 wrote it)\n",
        "relay     yes\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = explain(&["verify=FAIL", "--ruleset", "relay", "--cert", pem]);
    assert!(text.contains("relay     no\n") && !text.contains("asked     tls_client"), "{text}");
    let text = explain(&["rcpt=ann@example.net", "--relay-domains", "example.net", "verify=OK"]);
    assert!(text.contains("asked     check_rcpt") && text.contains("relay     yes"), "{text}");
    assert_eq!(mailauth(&["access", "explain", map, "verfy=OK"]).status.code(), Some(64));
    assert_eq!(mailauth(&["access", "explain", map, "--ruleset", "tls"]).status.code(), Some(64));
}

#[test]
fn cases_may_use_a_map_of_their_own_site() {
    let directory = tempfile::tempdir().unwrap();
    let map = file(&directory, "access", "To:partner.example\tRELAY\n");
    let cases = file(
        &directory,
        "cases.jsonl",
        "{\"id\":1,\"ruleset\":\"check_rcpt\",\"facts\":{\"rcpt\":\"a@partner.example\",\"client_addr\":\"203.0.113.9\"}}\n\
         {\"id\":2,\"ruleset\":\"check_rcpt\",\"facts\":{\"rcpt\":\"a@here.example\",\"client_addr\":\"203.0.113.9\"},\
          \"settings\":{\"local_domains\":[\"here.example\"]}}\n\
         {\"id\":3,\"ruleset\":\"check_rcpt\",\"facts\":{\"recipient\":\"a@here.example\"}}\n\
         {\"id\":4,\"ruleset\":\"tls_client\",\"access\":[[\"TLS_Clt:\",\"VERFIY\"]],\"facts\":{}}\n",
    );
    let output =
        mailauth(&["access", "decide", "--map", map.to_str().unwrap(), cases.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let answers = lines(&said(&output));
    assert_eq!(answers[0]["decision"]["action"], "relay");
    // To one's own domain anybody may send, which sendmail's rules call relaying as well.
    assert_eq!(answers[1]["decision"]["action"], "relay");
    assert!(answers[2]["error"].as_str().unwrap().contains("recipient"), "{}", answers[2]);
    assert_eq!(answers[3]["decision"]["action"], "refused");
    assert_eq!(answers[3]["decision"]["line"], 1);
}
