//! Chains and backends: every name in a chain becomes an index, every backend gets its file.
//!
//! Runs in the parent, which opens none of these files.

use ipc::config as task;

use super::plan::Planner;
use super::sections::{Backend, BackendType, States};
use super::setting::At;

/// The backends that some chain names, and the chains as indices into them.
pub(super) struct Chains {
    pub(super) backends: Vec<task::Backend>,
    pub(super) chain: Vec<u8>,
    pub(super) realms: Vec<task::RealmChain>,
}

/// The names that need no section.
const BUILT_IN: [(&str, BackendType); 4] = [
    ("sqlite", BackendType::Sqlite),
    ("sasldb", BackendType::Sasldb),
    ("shadow", BackendType::Shadow),
    ("getpwent", BackendType::Getpwent),
];

/// An index is a byte.
const MOST_BACKENDS: usize = 255;

impl Chains {
    pub(super) fn of(planner: &mut Planner<'_>) -> Self {
        let mut chains = Self { backends: Vec::new(), chain: Vec::new(), realms: Vec::new() };
        let config = planner.config;
        chains.chain = chains.indices(&config.top.chain, planner);
        for (name, section) in &config.realms {
            let chain = chains.indices(&section.chain, planner);
            if section.chain.at.is_none() {
                let message = format!("[realm.\"{}\"] needs a chain", name.value);
                planner.complaints.add(name.at.clone(), message);
            }
            chains.realms.push(task::RealmChain { realm: name.value.clone(), chain });
        }
        // Those that no chain names are still held to their rules.
        for (name, section) in &config.backends {
            if !chains.backends.iter().any(|backend| backend.name == name.value) {
                let _ = kind(name, section, planner);
            }
        }
        chains
    }

    fn indices(&mut self, chain: &At<Vec<At<String>>>, planner: &mut Planner<'_>) -> Vec<u8> {
        if chain.value.is_empty() && chain.at.is_some() {
            let message = "an empty chain answers nobody; name a backend";
            planner.complaints.add(chain.at.clone(), message);
        }
        let mut indices = Vec::new();
        for name in &chain.value {
            let Some(index) = self.index(name, planner) else { continue };
            if indices.contains(&index) {
                let message = format!("{} stands in this chain twice", name.value);
                planner.complaints.add(name.at.clone(), message);
            }
            indices.push(index);
        }
        indices
    }

    fn index(&mut self, name: &At<String>, planner: &mut Planner<'_>) -> Option<u8> {
        let known = self.backends.iter().position(|backend| backend.name == name.value);
        if let Some(known) = known {
            return u8::try_from(known).ok();
        }
        let sections = &planner.config.backends;
        let written = sections.iter().find(|(section, _)| section.value == name.value);
        let kind = match written {
            Some((at, section)) => kind(at, section, planner)?,
            None if built_in(&name.value).is_some() => kind(name, &Backend::default(), planner)?,
            None => {
                let message = format!(
                    "no backend {}; write a section [backend.{0}], or name sqlite, sasldb, shadow or getpwent",
                    name.value.escape_debug()
                );
                planner.complaints.add(name.at.clone(), message);
                return None;
            }
        };
        if self.backends.len() >= MOST_BACKENDS {
            planner.complaints.add(name.at.clone(), "more than 255 backends");
            return None;
        }
        self.backends.push(task::Backend { name: name.value.clone(), kind });
        u8::try_from(self.backends.len() - 1).ok()
    }
}

fn built_in(name: &str) -> Option<BackendType> {
    BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

fn kind(
    name: &At<String>,
    section: &Backend,
    planner: &mut Planner<'_>,
) -> Option<task::BackendKind> {
    let Some(kind) = section.r#type.or_else(|| built_in(&name.value)) else {
        let message = format!("[backend.{}] needs a type", name.value.escape_debug());
        planner.complaints.add(name.at.clone(), message);
        return None;
    };
    if let (Some(query), false) = (&section.query, kind == BackendType::Query) {
        planner
            .complaints
            .add(query.at.clone(), "only a backend of type \"sqlite-query\" has a query");
    }
    if section.default_realm.is_some() && kind != BackendType::Sasldb {
        let message = format!("[backend.{}]: only a sasldb has a default_realm", name.value);
        planner.complaints.add(name.at.clone(), message);
    }
    let path = |default: String| section.path.as_ref().map_or(default, |path| path.value.text());
    Some(match kind {
        BackendType::Shadow | BackendType::Getpwent => task::BackendKind::Shadow {
            path: path("/etc/shadow".into()),
            cyrus_states: section.states == States::Cyrus,
        },
        BackendType::Sasldb => task::BackendKind::Sasldb {
            path: path("/etc/sasldb2".into()),
            default_realm: section
                .default_realm
                .clone()
                .unwrap_or_else(|| planner.host.name.clone()),
        },
        BackendType::Sqlite => task::BackendKind::Sqlite {
            path: path(format!(
                "{}/accounts/accounts.sqlite",
                planner.config.top.state_dir.value.text()
            )),
        },
        BackendType::Query => return query(name, section, planner),
    })
}

fn query(
    name: &At<String>,
    section: &Backend,
    planner: &mut Planner<'_>,
) -> Option<task::BackendKind> {
    let (Some(path), Some(query)) = (&section.path, &section.query) else {
        let message = format!("[backend.{}] needs a path and a query", name.value.escape_debug());
        planner.complaints.add(name.at.clone(), message);
        return None;
    };
    if let Err(message) = check_query(&query.value) {
        planner.complaints.add(query.at.clone(), message);
        return None;
    }
    Some(task::BackendKind::Query { path: path.value.text(), query: query.value.clone() })
}

/// What can be said of a query without a database; the checker prepares it at start.
fn check_query(query: &str) -> Result<(), String> {
    if !query.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select")) {
        return Err("a query is a SELECT".into());
    }
    let mut asks_for_user = false;
    let mut letters = query.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            continue;
        }
        match letters.next() {
            Some('u') => asks_for_user = true,
            Some('r' | 'd' | 's' | '%') => {}
            Some(other) => {
                return Err(format!(
                    "unknown %{}; %u, %r, %d, %s and %% are known",
                    other.escape_debug()
                ));
            }
            None => return Err("a % at the end; write %% for a percent sign".into()),
        }
    }
    if asks_for_user {
        Ok(())
    } else {
        Err("a query without %u finds the same row for everybody".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_selects_with_known_parameters() {
        assert_eq!(check_query("SELECT hash FROM t WHERE u = %u AND r LIKE '%%x'"), Ok(()));
        for wrong in ["DELETE FROM t WHERE u = %u", "SELECT 1", "SELECT %u, %q", "SELECT %u %", "é"]
        {
            assert!(check_query(wrong).is_err(), "{wrong}");
        }
    }
}
