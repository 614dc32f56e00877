//! What running sendmails did: dialogues, and the recipes of the certificates that were shown in them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const SESSIONS: &str = include_str!("../../mta/smtp/vectors/sendmail-sessions.jsonl");
const VERIFY: &str = include_str!("../../mta/tests/verify/sendmail-verify.jsonl");

/// A dialogue with a server.
#[derive(Clone)]
pub(crate) struct Dialogue {
    pub(crate) id: String,
    /// Whose: `8.17.1.9`.
    pub(crate) version: String,
    pub(crate) access: Vec<(String, String)>,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) turns: Vec<Turn>,
    /// Its lines of the log.
    pub(crate) log: Vec<String>,
    /// `Received:` of the message, if one was accepted.
    pub(crate) received: Option<String>,
}

impl Dialogue {
    /// Whether the server was set so.
    pub(crate) fn is_set(&self, name: &str, value: &str) -> bool {
        self.settings.iter().any(|(known, set)| known == name && set == value)
    }

    /// Whoever logs in writes under its own name; `None` when nobody does by a name of ours.
    pub(crate) fn under_its_own_name(&self) -> Option<Self> {
        let login = self.log.iter().find_map(|line| line.split_once("AUTH=server, "));
        let (_, login) = login?.1.split_once("authid=")?;
        let name = login.split(',').next().filter(|name| !name.starts_with('/'))?;
        let mut own = self.clone();
        for turn in &mut own.turns {
            if let Turn::Says(line) = turn {
                *line =
                    line.replace("FROM:<a@b.example>", &format!("FROM:<{name}@local.oracle.test>"));
            }
        }
        Some(own)
    }
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
    let sessions = read(SESSIONS);
    let with_servers = sessions.iter().filter(|vector| vector.get("dialogue").is_some());
    with_servers.map(dialogue).collect()
}

/// A delivery to a server.
pub(crate) struct Delivery {
    pub(crate) id: String,
    pub(crate) access: Vec<(String, String)>,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) server: Server,
    /// What the server saw.
    pub(crate) wire: Vec<String>,
    /// Lines of the log about TLS.
    pub(crate) log: Vec<String>,
    /// `dsn=` and `stat=` of the log.
    pub(crate) status: Vec<String>,
}

/// How a server behaves that mail is delivered to.
pub(crate) struct Server {
    /// `tls`, `notls`, a code, `drop` or `garbage`.
    pub(crate) mode: String,
    /// The name of its certificate.
    pub(crate) certificate: String,
    /// The only version of TLS that it knows, if there is only one.
    pub(crate) version: Option<String>,
    /// The only cipher that it knows, if there is only one.
    pub(crate) cipher: Option<String>,
    /// The mechanism that it offers.
    pub(crate) mechanism: Option<String>,
}

/// All deliveries: those of the dialogues, and those to servers with all kinds of certificates.
pub(crate) fn deliveries() -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for vector in read(SESSIONS).iter().filter(|vector| vector["role"] == "client") {
        let said = &vector["server"];
        let server = Server {
            mode: said["mode"].as_str().unwrap_or("tls").to_owned(),
            certificate: said["cert"].as_str().unwrap_or("srv-good").to_owned(),
            version: said["ver"].as_str().map(str::to_owned),
            cipher: said["ciphers"].as_str().map(str::to_owned),
            mechanism: said["auth"][0].as_str().map(str::to_owned),
        };
        deliveries.push(delivery(vector, server));
    }
    for vector in vectors("server-certificate") {
        let (certificate, _) = vector["id"].as_str().unwrap().rsplit_once("-tls").unwrap();
        let server = Server {
            mode: "tls".to_owned(),
            certificate: certificate.to_owned(),
            version: vector["tls"].as_str().map(str::to_owned),
            cipher: None,
            mechanism: None,
        };
        deliveries.push(delivery(&vector, server));
    }
    deliveries
}

fn delivery(vector: &Value, server: Server) -> Delivery {
    let expect = &vector["expect"];
    Delivery {
        id: text(&vector["id"]),
        access: pairs(&vector["access"]),
        settings: settings(vector),
        server,
        wire: texts(&expect["wire"]),
        log: with_reason(texts(&expect["log"]), &text(&expect["verifymsg"])),
        status: texts(&expect["status"]),
    }
}

/// OpenSSL's reason, which ours says in the same line of the log.
fn with_reason(log: Vec<String>, reason: &str) -> Vec<String> {
    let failed = |line: &String| line.contains("verify=FAIL");
    let line = |line| if failed(&line) { format!("{line}, verifymsg={reason}") } else { line };
    log.into_iter().map(line).collect()
}

/// The vectors of certificates of one kind.
pub(crate) fn vectors(kind: &str) -> Vec<Value> {
    read(VERIFY).into_iter().filter(|vector| vector["kind"] == kind).collect()
}

fn read(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("a vector is JSON")).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let pairs = value.as_array().into_iter().flatten();
    pairs.map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}

fn settings(vector: &Value) -> Vec<(String, String)> {
    let settings = vector["settings"].as_object().into_iter().flatten();
    settings.map(|(name, value)| (name.clone(), text(value))).collect()
}

fn dialogue(vector: &Value) -> Dialogue {
    let mut turns = Vec::new();
    for entry in vector["dialogue"].as_array().unwrap() {
        turns.push(match entry[0].as_str().unwrap() {
            "C" => Turn::Says(text(&entry[1])),
            "S" => {
                let lines = texts(&entry[1]);
                Turn::Hears(if lines == ["<closed>"] { Vec::new() } else { lines })
            }
            "TLS" => tls(entry[1].as_str().unwrap()),
            _ => Turn::Fails,
        });
    }
    Dialogue {
        id: text(&vector["id"]),
        version: text(&vector["sendmail"]),
        access: pairs(&vector["access"]),
        settings: settings(vector),
        turns,
        log: texts(&vector["log"]),
        received: vector["received"].as_str().map(str::to_owned),
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
        let vectors = read(VERIFY);
        let setup = vectors.iter().find(|vector| vector["kind"] == "setup").unwrap();
        for (name, text) in setup["files"].as_object().unwrap() {
            std::fs::write(made.path().join(name), text.as_str().unwrap()).unwrap();
        }
        made.cook(&setup["recipe"]);
        for name in names.iter().filter(|name| !made.path().join(format!("{name}.pem")).exists()) {
            let shows = |vector: &&Value| {
                vector["send"][0] == *name
                    || vector["id"]
                        .as_str()
                        .is_some_and(|id| id.starts_with(&format!("{name}-tls")))
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
