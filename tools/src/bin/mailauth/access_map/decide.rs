//! `mailauth access decide`: cases of a policy as JSON lines in, a line with the decision of each out.
//!
//! The form is that of the vectors recorded from running sendmails: `id`, `profile`, `access` (pairs of key and value),
//! `facts`, `ruleset`. A case may bring `settings` instead of a profile: `features`, `local_domains`, `relay_domains`,
//! `trusted_mechanisms`.

use std::io::{self, BufRead, BufReader};

use access::{Access, Action, Decision, Facts, Generation, Map, MapErrors, Ruleset, Settings};
use serde_json::{Map as Object, Value, json};

use super::{Decide, read_text};
use crate::failure::Failure;
use crate::print;

/// Longest line of the input, in bytes.
const MAX_LINE: usize = 16 * 1024 * 1024;

pub(super) fn run(asked: &Decide) -> Result<u8, Failure> {
    let map = asked.map.as_ref().map(|path| read_text(path)).transpose()?;
    let map = map.as_deref().map(Map::parse);
    let input: Box<dyn BufRead> = match &asked.cases {
        None => Box::new(io::stdin().lock()),
        Some(path) => {
            let failed = |error| Failure::of_file(path, &error, "name a file of cases");
            Box::new(BufReader::new(std::fs::File::open(path).map_err(failed)?))
        }
    };
    let mut wrong = 0;
    for (number, line) in input.lines().enumerate() {
        let failed = |error| Failure::failed(format!("cannot read the cases: {error}"));
        let line = line.map_err(failed)?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = match decided(&line, map.as_ref(), asked.generation) {
            Ok(answer) => answer,
            Err(why) => {
                wrong = 1;
                json!({ "line": number + 1, "error": why })
            }
        };
        print(&format!("{answer}\n"))?;
    }
    Ok(wrong)
}

fn decided(
    line: &str,
    general: Option<&Result<Map, MapErrors>>,
    generation: Generation,
) -> Result<Value, String> {
    if line.len() > MAX_LINE {
        return Err("the line is over 16 MiB".into());
    }
    let case: Value =
        serde_json::from_str(line).map_err(|error| format!("this is no JSON: {error}"))?;
    let text = |name: &str| case.get(name).and_then(Value::as_str);
    let ruleset = text("ruleset").ok_or("there is no ruleset")?;
    let ruleset =
        Ruleset::from_name(ruleset).ok_or_else(|| format!("there is no ruleset {ruleset}"))?;
    let profile = text("profile").unwrap_or("none");
    let settings = settings(profile, case.get("settings"), generation)?;
    let facts = facts(case.get("facts"))?;
    let own;
    let map = match (profile, case.get("access"), general) {
        ("noaccess", ..) => Ok(Access::Absent),
        ("tempfail", ..) => Ok(Access::Unavailable),
        (_, Some(pairs), _) => {
            own = Map::from_pairs(entries(pairs)?);
            own.as_ref().map(Access::Loaded)
        }
        (_, None, Some(general)) => general.as_ref().map(Access::Loaded),
        (_, None, None) => Ok(Access::Absent),
    };
    let decision = match map {
        Ok(map) => said(access::decide(ruleset, &settings, map, &facts)),
        Err(errors) => refused(errors),
    };
    Ok(json!({ "id": case.get("id").cloned().unwrap_or(Value::Null), "decision": decision }))
}

fn entries(pairs: &Value) -> Result<Vec<(&str, &str)>, String> {
    let wrong = || "access must be a list of pairs [key, value]".to_owned();
    let pairs = pairs.as_array().ok_or_else(wrong)?;
    pairs.iter().map(|entry| pair(entry).ok_or_else(wrong)).collect()
}

fn pair(entry: &Value) -> Option<(&str, &str)> {
    let [key, value] = entry.as_array()?.as_slice() else { return None };
    Some((key.as_str()?, value.as_str()?))
}

/// Facts by their names; a list may be one of JSON.
fn facts(stated: Option<&Value>) -> Result<Facts, String> {
    let mut facts = Facts::default();
    for (name, value) in stated.and_then(Value::as_object).into_iter().flatten() {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Null => String::new(),
            Value::Array(words) => {
                let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
                words.ok_or_else(|| format!("the list {name} must hold strings"))?.join(" ")
            }
            _ => return Err(format!("the fact {name} must be a string")),
        };
        facts.state(name, &value).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(facts)
}

/// The sites on which the vectors were recorded, by name; `none` is a site without features or domains.
fn settings(
    profile: &str,
    stated: Option<&Value>,
    generation: Generation,
) -> Result<Settings, String> {
    let mut settings = Settings { generation, ..Settings::default() };
    let features: &[&str] = match profile {
        "none" | "default" | "noaccess" | "tempfail" => &[],
        "san" => &["check_cert_altnames"],
        "delay" => &["delay_checks"],
        "permerr" => &["tls_perm_err"],
        "hostsonly" => &["relay_hosts_only"],
        "dot" => &["lookupdotdomain"],
        "skip" => &["skip"],
        "fulladdr" => &["relaytofulladdress"],
        "regex" => &["issuer_common_name", "subject_common_name"],
        "verifiedrelay" => &["verified_relay"],
        "expnauth" => &["expn_needs_auth"],
        _ => return Err(format!("there is no profile {profile}")),
    };
    if profile != "none" {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        settings.local_domains = owned(&["mta.oracle.test", "local.oracle.test"]);
        settings.relay_domains = owned(&["relay.oracle.test", "192.0.2"]);
        settings.trusted_mechanisms = owned(&["PLAIN", "LOGIN", "EXTERNAL", "SCRAM-SHA-256"]);
    }
    features.iter().for_each(|feature| {
        let _ = settings.switch_on(feature);
    });
    for (name, value) in stated.and_then(Value::as_object).into_iter().flatten() {
        let words =
            value.as_array().into_iter().flatten().map(|word| word.as_str().map(str::to_owned));
        let words: Option<Vec<String>> = words.collect();
        let words = words.ok_or_else(|| format!("the setting {name} must be a list of strings"))?;
        match name.as_str() {
            "local_domains" => settings.local_domains = words,
            "relay_domains" => settings.relay_domains = words,
            "trusted_mechanisms" => settings.trusted_mechanisms = words,
            "features" => {
                let unknown = words.iter().find(|word| settings.switch_on(word).is_none());
                if let Some(word) = unknown {
                    return Err(format!("there is no feature {word}"));
                }
            }
            _ => return Err(format!("there is no setting {name}")),
        }
    }
    Ok(settings)
}

/// A decision in the form of the vectors' `expect`.
fn said(decision: Decision) -> Value {
    let mut said = Object::new();
    said.insert("action".into(), decision.action.as_str().into());
    if let Some(reply) = decision.reply {
        said.insert("code".into(), reply.code.to_string().into());
        said.insert("dsn".into(), reply.dsn.into());
        said.insert("text".into(), reply.text.into());
    }
    if decision.last {
        said.insert("final".into(), true.into());
    }
    if let Some(word) = decision.word {
        said.insert("value".into(), word.into());
    }
    match decision.action {
        Action::Features(words) => said.insert("letters".into(), words.into()),
        Action::Options(value) => said.insert("value".into(), value.into()),
        Action::AuthInfo(items) => said.insert("items".into(), items.0.into()),
        _ => None,
    };
    said.into()
}

fn refused(errors: &MapErrors) -> Value {
    let Some(first) = errors.0.first() else { return json!({ "action": "refused" }) };
    let mut text = first.text.clone();
    if let Some(nearest) = &first.nearest {
        text += &format!("; did you mean `{nearest}`?");
    }
    json!({ "action": "refused", "line": first.line, "column": first.column, "text": text })
}
