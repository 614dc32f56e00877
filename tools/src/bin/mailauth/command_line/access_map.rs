//! The command lines of `mailauth access`.

use std::ffi::OsString;
use std::path::PathBuf;

use access::{Generation, Ruleset, Settings};

use super::Reader;
use crate::access_map::{Decide, Explain, Task};
use crate::failure::Failure;

impl Reader<'_> {
    pub(super) fn access(&self, operands: &[OsString]) -> Result<Task, Failure> {
        Ok(match (self.command.words, operands) {
            ("access check", [map]) => Task::Check(map.into()),
            ("access key", [certificate]) => Task::Key(certificate.into(), self.form()),
            ("access decide", []) => Task::Decide(self.decide(None)?),
            ("access decide", [cases]) => Task::Decide(self.decide(Some(cases.into()))?),
            ("access explain", operands) => Task::Explain(Box::new(self.explain(operands)?)),
            _ => return Err(self.operands()),
        })
    }

    fn decide(&self, cases: Option<PathBuf>) -> Result<Decide, Failure> {
        let map = self.value("map").and_then(Clone::clone).map(PathBuf::from);
        Ok(Decide { cases, map, generation: self.generation()? })
    }

    /// One operand is the map; those of the form `name=value` are facts.
    fn explain(&self, operands: &[OsString]) -> Result<Explain, Failure> {
        let mut facts = Vec::new();
        let mut map = None;
        for operand in operands {
            match operand.to_str().and_then(|word| word.split_once('=')) {
                Some((name, value)) if is_name(name) => facts.push((name.into(), value.into())),
                _ if map.is_none() => map = Some(PathBuf::from(operand)),
                _ => return Err(self.operands()),
            }
        }
        let client = self.text("client")?.map(|client| match client.split_once(',') {
            Some((name, address)) => Ok((name.to_owned(), address.to_owned())),
            None => Err(Failure::usage("--client takes NAME,ADDRESS")),
        });
        Ok(Explain {
            map: map.ok_or_else(|| self.operands())?,
            certificate: self.value("cert").and_then(Clone::clone).map(PathBuf::from),
            client: client.transpose()?,
            ruleset: self.ruleset()?,
            settings: self.settings()?,
            facts,
        })
    }

    fn ruleset(&self) -> Result<Option<Ruleset>, Failure> {
        let Some(name) = self.text("ruleset")? else { return Ok(None) };
        Ruleset::from_name(&name).map(Some).ok_or_else(|| {
            let names = Ruleset::ALL.map(Ruleset::as_str).join(", ");
            Failure::usage(format!("--ruleset takes one of {names}"))
        })
    }

    fn generation(&self) -> Result<Generation, Failure> {
        let Some(name) = self.text("generation")? else { return Ok(Generation::default()) };
        let known = Generation::from_name(&name);
        known.ok_or_else(|| Failure::usage("--generation takes 8.15, 8.17 or 8.18"))
    }

    fn settings(&self) -> Result<Settings, Failure> {
        let list = |name| -> Result<Vec<String>, Failure> {
            let words = self.text(name)?.unwrap_or_default();
            Ok(words.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect())
        };
        let mut settings = Settings {
            generation: self.generation()?,
            local_domains: list("local-domains")?,
            relay_domains: list("relay-domains")?,
            trusted_mechanisms: list("trusted-mechanisms")?,
            ..Settings::default()
        };
        for feature in list("features")? {
            settings.switch_on(&feature).ok_or_else(|| {
                Failure::usage(format!("--features takes {}", Settings::FEATURES.join(", ")))
            })?;
        }
        Ok(settings)
    }
}

fn is_name(word: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !word.is_empty() && word.bytes().all(is_part)
}
