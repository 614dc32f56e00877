//! What running sendmails did: dialogues, and the recipes of the certificates that were shown in them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const SESSIONS: &str = include_str!("../../mta/smtp/vectors/sendmail-sessions.jsonl");
const VERIFY: &str = include_str!("vectors/sendmail-verify.jsonl");

/// A dialogue with a server.
pub(crate) struct Dialogue {
    pub(crate) id: String,
    /// Whose: `8.17.1.9`.
    pub(crate) version: String,
    pub(crate) access: Vec<(String, String)>,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) turns: Vec<Turn>,
}

/// One step of it.
#[derive(Clone, Debug)]
pub(crate) enum Turn {
    /// The client says a line, or a message.
    Says(String),
    /// The server answers; no lines when it closed.
    Hears(Vec<String>),
    /// TLS begins: the version, and the name of the certificate that is shown.
    Tls(String, Option<String>),
    /// TLS fails, and nothing after it counts.
    Fails,
}

/// All dialogues with a server.
pub(crate) fn dialogues() -> Vec<Dialogue> {
    let read = |line| serde_json::from_str::<Value>(line).expect("a vector is JSON");
    SESSIONS
        .lines()
        .map(read)
        .filter(|vector| vector.get("dialogue").is_some())
        .map(|vector| dialogue(&vector))
        .collect()
}

fn dialogue(vector: &Value) -> Dialogue {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pairs =
        vector["access"].as_array().unwrap().iter().map(|pair| (text(&pair[0]), text(&pair[1])));
    let settings = vector["settings"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), text(value)));
    let mut turns = Vec::new();
    for entry in vector["dialogue"].as_array().unwrap() {
        turns.push(match entry[0].as_str().unwrap() {
            "C" => Turn::Says(text(&entry[1])),
            "S" => {
                let lines: Vec<String> = entry[1].as_array().unwrap().iter().map(text).collect();
                Turn::Hears(if lines == ["<closed>"] { Vec::new() } else { lines })
            }
            "TLS" => tls(entry[1].as_str().unwrap()),
            _ => Turn::Fails,
        });
    }
    Dialogue {
        id: text(&vector["id"]),
        version: text(&vector["sendmail"]),
        access: pairs.collect(),
        settings: settings.collect(),
        turns,
    }
}

fn tls(text: &str) -> Turn {
    match text.split_once(", ") {
        Some((version, "no certificate")) => Turn::Tls(version.to_owned(), None),
        Some((version, shown)) => {
            Turn::Tls(version.to_owned(), shown.strip_prefix("certificate ").map(str::to_owned))
        }
        None => Turn::Fails,
    }
}

/// A directory with the oracle's authority, its server's certificate, and those that clients show.
pub(crate) struct Certificates {
    directory: tempfile::TempDir,
}

impl Certificates {
    /// Makes those of these names, by the recipes.
    pub(crate) fn make(names: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = Self { directory };
        let vectors: Vec<Value> =
            VERIFY.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let setup = vectors.iter().find(|vector| vector["kind"] == "setup").unwrap();
        for (name, text) in setup["files"].as_object().unwrap() {
            std::fs::write(made.path().join(name), text.as_str().unwrap()).unwrap();
        }
        made.cook(&setup["recipe"]);
        for name in names.iter().filter(|name| !made.path().join(format!("{name}.pem")).exists()) {
            let shows = |vector: &&Value| {
                vector["send"]
                    .as_array()
                    .is_some_and(|sent| sent.first().is_some_and(|first| first == name))
            };
            let vector =
                vectors.iter().find(shows).unwrap_or_else(|| panic!("no recipe makes {name}"));
            made.cook(&vector["recipe"]);
        }
        made
    }

    /// Where they lie, as `NAME.pem` and `NAME.key`.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A file of it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn cook(&self, recipe: &Value) {
        for step in recipe.as_array().unwrap() {
            let step = step.as_str().unwrap();
            // Each recipe begins with the same authority; made twice, it would disown what it signed.
            let mut words = step.split(' ').skip_while(|word| *word != "-out").skip(1);
            if words.next().is_some_and(|made| self.file(made).exists()) {
                continue;
            }
            let output =
                Command::new("sh").args(["-ec", step]).current_dir(self.path()).output().unwrap();
            assert!(output.status.success(), "{step}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
