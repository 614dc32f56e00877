//! Where openssl makes certificates, shows them as a client, and shows them as a server.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use mta::config::{AskForCertificate, KeyPair, Tls};
use mta::control::Material;
use mta::tls::Facts;
use mta::tls::client::Client;
use mta::tls::server::{Ask, Server};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

/// A directory with all certificates of all vectors, made once.
pub(crate) struct Workshop {
    directory: TempDir,
}

impl Workshop {
    /// The one of this run.
    pub(crate) fn open() -> &'static Self {
        static SHOP: OnceLock<Workshop> = OnceLock::new();
        SHOP.get_or_init(Self::build)
    }

    fn build() -> Self {
        let shop = Self { directory: TempDir::new().unwrap() };
        let mut done = Vec::new();
        for line in include_str!("sendmail-verify.jsonl").lines() {
            let vector: Value = serde_json::from_str(line).unwrap();
            for (name, text) in vector["files"].as_object().into_iter().flatten() {
                fs::write(shop.directory.path().join(name), text.as_str().unwrap()).unwrap();
            }
            if vector["kind"] == "dn" {
                continue;
            }
            for command in vector["recipe"].as_array().into_iter().flatten() {
                let command = command.as_str().unwrap().to_owned();
                if !done.contains(&command) {
                    shop.run(&command);
                    done.push(command);
                }
            }
        }
        shop.run("openssl ca -config ca-root.cnf -revoke revoked.pem");
        shop.run("openssl ca -config ca-root.cnf -gencrl -out root.crl");
        shop.run("openssl crl -in root.crl -outform DER -out root.crl.der");
        shop.run("echo nonsense >garbage.crl");
        shop
    }

    /// Runs a line of a recipe.
    pub(crate) fn run(&self, command: &str) {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command).current_dir(self.directory.path());
        let ran = shell.stdin(Stdio::null()).output().unwrap();
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    /// Writes a file that a recipe needs.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Where a file is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// All files, as the parent hands them over.
    pub(crate) fn material(&self) -> Material {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let files: BTreeMap<PathBuf, Vec<u8>> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        Material { files, ..Material::default() }
    }

    /// What our server says of a client that sends these certificates, the leaf and its key first.
    pub(crate) fn present(
        &self,
        tls: &Tls,
        ask: Ask,
        version: &str,
        send: &[&str],
    ) -> Result<Facts, String> {
        let server = Server::new(tls, &self.material(), "test").map_err(|_| "unusable")?;
        let mut arguments = vec![format!("-tls{}", version.replace('.', "_"))];
        if let Some((leaf, rest)) = send.split_first() {
            arguments.extend(["-cert".into(), format!("{leaf}.pem")]);
            arguments.extend(["-key".into(), format!("{leaf}.key")]);
            if !rest.is_empty() {
                let read =
                    |name: &&str| fs::read_to_string(self.path(&format!("{name}.pem"))).unwrap();
                let name = format!("{}.chain", send.join("-"));
                self.write(&name, &rest.iter().map(read).collect::<String>());
                arguments.extend(["-cert_chain".into(), name]);
            }
        }
        self.connect(&server, ask, &arguments).map_err(|_| "no handshake".into())
    }

    /// What our server says of openssl's client with these arguments.
    pub(crate) fn connect(
        &self,
        server: &Server,
        ask: Ask,
        arguments: &[String],
    ) -> std::io::Result<Facts> {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?.to_string();
            // Its own level of security must not keep it from showing what is weak.
            let mut client = Command::new("openssl")
                .args(["s_client", "-connect", &address, "-quiet", "-no_ign_eof"])
                .args(["-cipher", "ALL:@SECLEVEL=0", "-no-CAfile", "-no-CApath", "-no-CAstore"])
                .args(arguments)
                .current_dir(self.directory.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            let (stream, _) = listener.accept().await?;
            let accepted = server.accept(stream, ask).await;
            let facts = accepted.map(|(_stream, facts)| facts);
            client.kill()?;
            client.wait()?;
            facts
        })
    }

    /// What our client says of a server that shows this certificate.
    pub(crate) fn visit(&self, name: &str, version: &str) -> Facts {
        let mut server = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-naccept", "1"])
            .args(["-cert", &format!("{name}.pem"), "-key", &format!("{name}.key")])
            .arg(format!("-tls{}", version.replace('.', "_")))
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let address =
            lines.find_map(|line| Some(line.unwrap().strip_prefix("ACCEPT ")?.to_owned()));
        let client = Client::new(&settings("", self), &self.material()).unwrap();
        let options = client.options("").unwrap();
        let facts = block_on(async {
            let stream = TcpStream::connect(address.unwrap()).await.unwrap();
            client.connect(stream, ("localhost", 25), &options).await.unwrap().1
        });
        server.kill().unwrap();
        server.wait().unwrap();
        facts
    }
}

/// The settings of a vector.
pub(crate) fn settings(setting: &str, shop: &Workshop) -> Tls {
    let authority = match setting.contains("CACertFile=otherroot.pem") {
        true => "otherroot.pem",
        false => "root.pem",
    };
    let revoked = match setting {
        text if text.starts_with("CRLFile=root.crl") => vec![shop.path("root.crl")],
        text if text.contains("does not exist") => vec![shop.path("missing.crl")],
        text if text.contains("is not a CRL") => vec![shop.path("garbage.crl")],
        _ => Vec::new(),
    };
    let pair = |name: &str| KeyPair {
        certificate: shop.path(&format!("{name}.pem")),
        key: shop.path(&format!("{name}.key")),
    };
    Tls {
        certificates: vec![pair("server")],
        client_authorities: vec![shop.path(authority)],
        server_authorities: vec![shop.path("root.pem")],
        revoked,
        client_certificate: Some(pair("both")),
        feature_certificates: Vec::new(),
        ask: AskForCertificate::Always,
    }
}

/// Runs it to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
