//! The dependency table of the house, held by what cargo itself says.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::top;

/// Who may lean on whom among our own crates. A crate that is not here may not exist.
const TABLE: &[(&str, &[&str])] = &[
    ("saslauthd-protocol", &[]),
    ("saslauthd-ipc", &["saslauthd-protocol"]),
    ("saslauthd-sys", &[]),
    ("saslauthd-crypt", &[]),
    ("saslauthd-credentials", &["saslauthd-protocol", "saslauthd-crypt"]),
    ("saslauthd-accounts", &["saslauthd-protocol", "saslauthd-credentials"]),
    ("saslauthd-mechanisms", &["saslauthd-protocol", "saslauthd-credentials"]),
    ("saslauthd-access", &[]),
    ("saslauthd-settings", &[]),
    ("mta-smtp", &[]),
    ("mta", &["saslauthd-protocol", "mta-smtp", "saslauthd-sys", "saslauthd-settings"]),
    ("saslauthd", &["saslauthd-ipc", "saslauthd-sys", "saslauthd-access", "saslauthd-settings"]),
    (
        "saslauthd-listener",
        &["saslauthd-protocol", "saslauthd-ipc", "saslauthd-sys", "saslauthd-access"],
    ),
    (
        "saslauthd-checker",
        &[
            "saslauthd-ipc",
            "saslauthd-credentials",
            "saslauthd-accounts",
            "saslauthd-mechanisms",
            "saslauthd-sys",
            "saslauthd-protocol",
        ],
    ),
    (
        "tools",
        &["saslauthd-protocol", "saslauthd-credentials", "saslauthd-accounts", "saslauthd-access"],
    ),
    ("pam_saslauthd", &["saslauthd-protocol"]),
    ("tests", &["saslauthd-protocol", "mta-smtp"]),
    ("mta-fuzz", &["mta", "mta-smtp"]),
    (
        "saslauthd-fuzz",
        &[
            "saslauthd-access",
            "saslauthd-accounts",
            "saslauthd-credentials",
            "saslauthd-ipc",
            "saslauthd-mechanisms",
            "saslauthd-protocol",
            "saslauthd",
        ],
    ),
];

/// What must never be linked where strangers are heard, or where root has no need of it.
const KEPT_OUT: &[(&str, &[&str])] = &[
    (
        "saslauthd-listener",
        &[
            "saslauthd-crypt",
            "saslauthd-credentials",
            "libsqlite3-sys",
            "argon2",
            "toml",
            "serde_json",
        ],
    ),
    (
        "saslauthd",
        &["saslauthd-crypt", "saslauthd-credentials", "libsqlite3-sys", "argon2", "tokio"],
    ),
    ("saslauthd-protocol", &["tokio", "serde", "nix", "libc"]),
    ("mta-smtp", &["tokio", "serde", "nix", "libc"]),
    ("mta", &["saslauthd-crypt", "saslauthd-credentials", "saslauthd-accounts", "libsqlite3-sys"]),
];

/// What cargo says of the platform that is served; on others some crates lean on libc where these do not.
fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(top())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// Package name by id, and the ids that each package leans on in what it ships.
struct Graph {
    names: BTreeMap<String, String>,
    ours: BTreeSet<String>,
    edges: BTreeMap<String, Vec<String>>,
}

impl Graph {
    fn read() -> Self {
        let metadata = metadata();
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        let list = |value: &Value| value.as_array().expect("a list").clone();
        let names = list(&metadata["packages"]);
        let names = names.iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
        let ours = list(&metadata["workspace_members"]).iter().map(text).collect();
        let mut edges = BTreeMap::new();
        for node in list(&metadata["resolve"]["nodes"]) {
            let shipped = list(&node["deps"])
                .into_iter()
                .filter(|dep| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()));
            edges.insert(text(&node["id"]), shipped.map(|dep| text(&dep["pkg"])).collect());
        }
        Self { names, ours, edges }
    }

    fn id(&self, name: &str) -> &str {
        let found = self.ours.iter().find(|id| self.names[*id] == name);
        found.unwrap_or_else(|| panic!("no crate {name} in the workspace"))
    }

    /// Names of everything that a crate ships, itself left out.
    fn shipped(&self, name: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![self.id(name)];
        while let Some(id) = open.pop() {
            for dep in &self.edges[id] {
                if seen.insert(dep.as_str()) {
                    open.push(dep);
                }
            }
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

#[test]
fn every_crate_leans_only_on_those_that_the_table_allows() {
    let graph = Graph::read();
    let known: BTreeSet<&str> = TABLE.iter().map(|(name, _)| *name).collect();
    for id in &graph.ours {
        assert!(
            known.contains(graph.names[id].as_str()),
            "{} is not in the table",
            graph.names[id]
        );
    }
    for (name, allowed) in TABLE {
        for dep in &graph.edges[graph.id(name)] {
            let dep_name = graph.names[dep].as_str();
            assert!(
                !graph.ours.contains(dep) || allowed.contains(&dep_name),
                "{name} may not lean on {dep_name}"
            );
        }
    }
}

#[test]
fn what_is_dangerous_stays_out_of_the_processes_that_hear_strangers() {
    let graph = Graph::read();
    for (name, kept_out) in KEPT_OUT {
        let shipped = graph.shipped(name);
        for bad in *kept_out {
            assert!(!shipped.contains(bad), "{name} links {bad}");
        }
    }
    // The test above would pass on an empty graph too.
    assert!(graph.shipped("saslauthd-checker").contains("libsqlite3-sys"));
    assert!(graph.shipped("saslauthd-listener").contains("tokio"));
}

#[test]
fn the_required_crates_are_in_use() {
    let graph = Graph::read();
    let all: BTreeSet<&str> = TABLE.iter().flat_map(|(name, _)| graph.shipped(name)).collect();
    for required in ["tokio", "shadow-rs", "rusqlite", "argon2", "nix", "governor", "serde"] {
        assert!(all.contains(required), "{required} is used nowhere");
    }
}
