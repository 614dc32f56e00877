//! What a decision of the access map is made of: the map, a request, a certificate.

use access::{Access, Action, Facts, Generation, Map, Ruleset, Settings, decide, explain};
use protocol::certificate::{Certificate, certificates};
use protocol::policy::{MAX_REQUEST, Request, decode, decode_reply};

/// How many places a request is cut at.
const CUTS: usize = 64;

/// An access map, a NUL, and a session to decide about: lines of a fact's name, `=` and its value. The lines
/// `feature`, `local_domain`, `relay_domain` and `trusted_mechanism` are settings.
pub fn access_map(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (source, session) = text.split_once('\0').unwrap_or((&text, ""));
    let map = match Map::parse(source) {
        Ok(map) => map,
        Err(errors) => {
            assert!(!errors.0.is_empty());
            let lines = u32::try_from(source.lines().count()).expect("a few lines");
            for error in errors.0 {
                assert!((1..=lines.max(1)).contains(&error.line) && error.column >= 1);
            }
            return;
        }
    };
    // One of them for each map: all that is tried must be quick.
    let generation = ["8.15", "8.17", "8.18"].get(source.len() % 3).expect("one of three");
    let mut settings = Settings {
        generation: Generation::from_name(generation).expect("a generation"),
        ..Settings::default()
    };
    let facts = session_of(session, &mut settings);
    for ruleset in Ruleset::ALL {
        for access in [Access::Loaded(&map), Access::Absent, Access::Unavailable] {
            let told = explain(ruleset, &settings, access, &facts);
            let decision = decide(ruleset, &settings, access, &facts);
            assert_eq!(told.decision, decision);
            assert!(!told.to_string().is_empty());
            if let Some(reply) = &decision.reply {
                assert!((400..600).contains(&reply.code) && !reply.text.contains('\n'));
            }
            assert!(decision.action != Action::Relay || decision.relaying);
            assert!(decision.hit.is_none() || matches!(access, Access::Loaded(_)));
        }
    }
}

fn session_of(lines: &str, settings: &mut Settings) -> Facts {
    let mut facts = Facts::default();
    for (name, value) in lines.lines().filter_map(|line| line.split_once('=')) {
        match name {
            "feature" => drop(settings.switch_on(value)),
            "local_domain" => settings.local_domains.push(value.to_owned()),
            "relay_domain" => settings.relay_domains.push(value.to_owned()),
            "trusted_mechanism" => settings.trusted_mechanisms.push(value.to_owned()),
            // What can't be a fact is none.
            _ => drop(facts.state(name, value)),
        }
    }
    facts
}

/// What a mail server asks on the policy socket, and what it is told, whole and in parts.
pub fn policy_request(bytes: &[u8]) {
    let whole = decode(bytes, 0);
    for cut in (0..bytes.len()).step_by(1 + bytes.len() / CUTS) {
        let part = bytes.get(..cut).expect("a part");
        match decode(part, 0) {
            // The end was not there yet: looked for from here, what comes is the same.
            Ok(None) => assert_eq!(decode(bytes, cut), whole),
            first => assert_eq!(first, whole),
        }
    }
    if let Ok(Some((request, used))) = whole {
        assert!(0 < used && used <= bytes.len() && used <= MAX_REQUEST);
        let written = request.encode();
        // What is not UTF-8 takes more room when it is written.
        if written.len() <= MAX_REQUEST {
            assert_eq!(decode(&written, 0), Ok(Some((request, written.len()))));
        }
    }
    if let Ok(Some(action)) = decode_reply(bytes) {
        let written = action.encode();
        assert!(written.ends_with(b"\n\n"));
        if let Ok(again) = decode_reply(&written) {
            assert_eq!(again, Some(action));
        }
    }
}

/// A certificate in DER, and a text in PEM: what they say of themselves fits into a request and is understood.
pub fn certificate(bytes: &[u8]) {
    says(bytes);
    for der in certificates(bytes).into_iter().flatten() {
        says(&der);
    }
}

fn says(der: &[u8]) {
    let Ok(read) = Certificate::from_der(der) else { return };
    let mut request = Request::default();
    let mut facts = Facts::default();
    for (attribute, value) in read.attributes() {
        request = request.with(attribute, &value).expect("a value that can travel");
        facts.state(attribute.as_str(), &value).expect("a value that is understood");
    }
    assert_eq!(facts.spki_sha256.map(|pin| pin.0), Some(read.public_key_sha256));
    for key in [&facts.cert_issuer, &facts.cert_subject].into_iter().flatten() {
        assert!(key.bytes().all(|byte| byte.is_ascii_graphic()), "{key:?} is no key of a map");
    }
    let settings = Settings::default();
    for ruleset in [Ruleset::Relay, Ruleset::TlsClient] {
        let decision = decide(ruleset, &settings, Access::Loaded(&Map::default()), &facts);
        assert!(!decision.relaying, "an empty map relayed");
    }
}
