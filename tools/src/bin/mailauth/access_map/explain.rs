//! `mailauth access explain`: the keys in the order in which they are tried, the hit, each requirement, the reply.

use access::{Access, Facts, Map, Ruleset, Settings};
use protocol::certificate::Certificate;

use super::{Explain, check, key, read_text, shown};
use crate::failure::Failure;
use crate::print;

/// What is explained unless somebody asks for one decision: the session, and the relaying.
const USUAL: [Ruleset; 2] = [Ruleset::TlsClient, Ruleset::Relay];
/// The same where a recipient is given: the complete answers.
const WITH_RECIPIENT: [Ruleset; 4] =
    [Ruleset::CheckRelay, Ruleset::TlsClient, Ruleset::CheckMail, Ruleset::CheckRcpt];

pub(super) fn run(asked: &Explain) -> Result<u8, Failure> {
    let source = read_text(&asked.map)?;
    let map = match Map::parse(&source) {
        Ok(map) => map,
        Err(errors) => {
            print(&check::report(&asked.map.display().to_string(), &source, &errors))?;
            return Ok(1);
        }
    };
    let (facts, notes) = facts(asked)?;
    let mut text = notes;
    let rulesets = match asked.ruleset {
        Some(ref ruleset) => std::slice::from_ref(ruleset),
        None if facts.rcpt.is_some() => &WITH_RECIPIENT[..],
        None => &USUAL[..],
    };
    for ruleset in rulesets {
        text += &explained(*ruleset, &asked.settings, &map, &facts);
    }
    print(&shown(&text))?;
    Ok(0)
}

fn explained(ruleset: Ruleset, settings: &Settings, map: &Map, facts: &Facts) -> String {
    let explanation = access::explain(ruleset, settings, Access::Loaded(map), facts);
    let relay = match (ruleset, explanation.decision.relaying) {
        (Ruleset::Relay | Ruleset::CheckRcpt, true) => "relay     yes\n",
        (Ruleset::Relay | Ruleset::CheckRcpt, false) => "relay     no\n",
        _ => "",
    };
    format!("{explanation}{relay}\n")
}

/// What is known of the session: what a certificate says, what `--client` says, and over both what is stated.
fn facts(asked: &Explain) -> Result<(Facts, String), Failure> {
    let mut facts = Facts::default();
    let mut notes = String::new();
    if let Some(path) = &asked.certificate {
        let certificate = key::certificate(path)?;
        notes += &assume_verified(&mut facts, &certificate);
        for (attribute, value) in certificate.attributes() {
            state(&mut facts, attribute.as_str(), &value)?;
        }
    }
    if let Some((name, address)) = &asked.client {
        let address = address.parse().map_err(|_| Failure::usage("--client takes NAME,ADDRESS"))?;
        facts.client_addr = Some(access::address_key(address));
        facts.client_name = Some(name.clone());
        facts.client_resolve = Some(access::Resolve::Ok);
    }
    for (name, value) in &asked.facts {
        state(&mut facts, name, value)?;
    }
    Ok((facts, notes))
}

/// Nobody verifies anything here, so that the certificate is taken for one that verified as far as its purpose goes.
fn assume_verified(facts: &mut Facts, certificate: &Certificate) -> String {
    if certificate.purposes.client {
        facts.verify = "OK".into();
        return "assumed   verify=OK: the certificate is genuine (say verify=FAIL for one that is not)\n".into();
    }
    facts.verify = "FAIL".into();
    facts.failed_only_by_purpose = true;
    format!(
        "assumed   verify=FAIL: the certificate is genuine, but its purpose is {}\n",
        certificate.purposes.as_str()
    )
}

fn state(facts: &mut Facts, name: &str, value: &str) -> Result<(), Failure> {
    facts.state(name, value).map_err(|why| match why {
        access::FactError::Unknown => Failure::usage(format!(
            "there is no fact {name}; there are {}",
            Facts::NAMES.join(", ")
        )),
        why => Failure::usage(format!("{name}: {why}")),
    })
}
