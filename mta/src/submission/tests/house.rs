//! A desk with real sockets behind it: small servers that answer as the daemon does, a spool in a directory, and TLS with
//! an authority of its own. Clients speak from memory.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::mux;
use protocol::policy::{self, Attribute, Request};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use smtp::reply::{Reader, Received};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::auth::{Language, Logins};
use crate::config::Config;
use crate::control::{FromChild, Material};
use crate::daemon::Connector;
use crate::link::Link;
use crate::policy::Policy;
use crate::spool::incoming::Incoming;
use crate::submission::{Arrival, Desk, Doors, serve};
use crate::tls::server::Server;

/// The listeners of [`CONFIG`].
pub(super) const SUBMISSION: usize = 0;
pub(super) const SUBMISSIONS: usize = 1;
pub(super) const RELAY: usize = 2;
pub(super) const PROXIED: usize = 3;

const CONFIG: &str = "
hostname = \"mta.test\"
local_domains = [\"local.test\"]
[[listener]]
role = \"submission\"
addresses = [\"127.0.0.1:1\"]
[[listener]]
role = \"submissions\"
addresses = [\"127.0.0.1:2\"]
[[listener]]
role = \"relay\"
addresses = [\"127.0.0.1:3\"]
[[listener]]
role = \"submissions\"
addresses = [\"127.0.0.1:4\"]
proxies = [\"192.0.2.9\"]
[[certificate]]
certificate = \"/c.pem\"
key = \"/c.key\"
[[route]]
to = \"local\"
via = \"maildir\"
directory = \"/mail\"
[tls]
client_authorities = [\"/ca.pem\"]
";

/// Everything around the sessions.
pub(super) struct House {
    pub(super) desk: Arc<Desk>,
    pub(super) stop: watch::Sender<bool>,
    directory: tempfile::TempDir,
    parent: OwnedFd,
    authority: Authority,
}

struct Authority {
    certificate: CertificateDer<'static>,
    client: (CertificateDer<'static>, PrivateKeyDer<'static>),
}

/// What the access map says.
pub(super) type Map = fn(&Request) -> &'static str;

/// Who is logged in may send anywhere, everybody to us; the rest is refused, as the daemon does it.
pub(super) fn usual(request: &Request) -> &'static str {
    let asked = (request.value(Attribute::ProtocolState), request.value(Attribute::Ruleset));
    match asked {
        ("RCPT", _) if !request.value(Attribute::SaslUsername).is_empty() => "OK",
        ("RCPT", _) if request.value(Attribute::Recipient).ends_with("@local.test") => "OK",
        ("RCPT", _) if request.value(Attribute::Recipient) == "postmaster" => "OK",
        ("RCPT", _) if request.value(Attribute::Verify) == "OK" => "OK",
        (_, "srv_features") => "DUNNO\nvalue=",
        ("RCPT", _) => "550 5.7.1 Relaying denied. Proper authentication required.",
        (_, "relay") if request.value(Attribute::Verify) == "OK" => "OK",
        _ => "DUNNO",
    }
}

/// The daemon is away.
pub(super) fn away(_: &Request) -> &'static str {
    ""
}

impl House {
    pub(super) fn new(map: Map) -> Self {
        Self::with(map, "", |_| {})
    }

    /// `more` follows the configuration; `change` has the last word.
    pub(super) fn with(map: Map, more: &str, change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("incoming")).unwrap();
        let (authority, material) = certificates();
        let mut config = Config::parse(&format!("{CONFIG}{more}")).unwrap();
        change(&mut config);
        let places = (directory.path().join("policy"), directory.path().join("mux"));
        answer_policy(&places.0, map);
        answer_logins(&places.1);
        let (parent, child) = sys::channel::pair(sys::channel::Kind::Packets).unwrap();
        let (link, _orders) = Link::open(child).unwrap();
        let (stop, stopping) = watch::channel(false);
        let server =
            |index: &usize| Server::new(&config.tls, &material, &format!("{index}")).unwrap();
        let deadline = Duration::from_secs(5);
        let desk = Desk {
            tls: (0..config.listeners.len()).map(|index| server(&index)).collect(),
            logins: Logins::new(Connector::Path(places.1), Language::Mux, deadline),
            policy: Policy::new(Connector::Path(places.0), deadline),
            incoming: Incoming::open(directory.path(), 0).unwrap(),
            link,
            stopping,
            doors: Doors::default(),
            config: Arc::new(config),
        };
        Self { desk: Arc::new(desk), stop, directory, parent, authority }
    }

    /// A client, as from 192.0.2.1.
    pub(super) fn client(&self, listener: usize) -> Client<DuplexStream> {
        self.client_from(listener, "192.0.2.1:4321".parse().unwrap())
    }

    pub(super) fn client_from(&self, listener: usize, client: SocketAddr) -> Client<DuplexStream> {
        let (near, far) = tokio::io::duplex(256 * 1024);
        let server = "192.0.2.25:25".parse().unwrap();
        let arrival = Arrival { listener, client, server };
        tokio::spawn(serve(far, arrival, Arc::clone(&self.desk)));
        Client { stream: near, reader: Reader::default() }
    }

    /// A client of a listener that is inside TLS, greeted.
    pub(super) async fn inside(&self, listener: usize) -> Client<TlsStream<DuplexStream>> {
        let client = self.client(listener);
        let mut client = self.handshake(client, None).await;
        assert_eq!(client.code().await, 220);
        client
    }

    /// The client's side of the handshake, with a certificate or without.
    pub(super) async fn handshake(
        &self,
        client: Client<DuplexStream>,
        certificate: Option<()>,
    ) -> Client<TlsStream<DuplexStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match certificate {
            None => builder.with_no_client_auth(),
            Some(()) => {
                let (leaf, key) = &self.authority.client;
                builder.with_client_auth_cert(vec![leaf.clone()], key.clone_key()).unwrap()
            }
        };
        let connector = TlsConnector::from(Arc::new(config));
        let name = "mta.test".try_into().unwrap();
        let stream = connector.connect(name, client.stream).await.unwrap();
        Client { stream, reader: Reader::default() }
    }

    /// The texts of all messages that are kept, each with the bytes of its envelope before it.
    pub(super) fn kept(&self) -> Vec<Vec<u8>> {
        let files = std::fs::read_dir(self.directory.path().join("incoming")).unwrap();
        let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| std::fs::read(file).unwrap()).collect()
    }

    /// The lines for the log so far.
    pub(super) async fn log(&self) -> Vec<String> {
        self.desk.link.flush().await;
        sys::descriptors::set_nonblocking(&self.parent).unwrap();
        let mut lines = Vec::new();
        let mut buffer = vec![0; crate::control::MAX_MESSAGE];
        while let Ok(length) = sys::channel::receive_plain(&self.parent, &mut buffer) {
            if let Ok(FromChild::Log { text, .. }) = postcard::from_bytes(&buffer[..length]) {
                lines.push(text);
            }
        }
        lines
    }
}

/// A client that says what it likes and waits for replies.
pub(super) struct Client<S> {
    pub(super) stream: S,
    reader: Reader,
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Client<S> {
    pub(super) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next reply; `None` when the server closed.
    pub(super) async fn reply(&mut self) -> Option<Received> {
        loop {
            if let Some(reply) = self.reader.next().unwrap() {
                return Some(reply);
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.reader.push(&chunk[..length]),
            }
        }
    }

    /// The code of the next reply; 0 when the server closed.
    pub(super) async fn code(&mut self) -> u16 {
        self.reply().await.map_or(0, |reply| reply.code.number())
    }

    /// Says a line, and how it is answered.
    pub(super) async fn say(&mut self, line: &str) -> String {
        self.write(format!("{line}\r\n")).await;
        self.reply().await.map_or_else(|| "closed".into(), |reply| reply.to_string())
    }

    /// The codes of what is said to these lines, one after the other.
    pub(super) async fn codes(&mut self, lines: &[&str]) -> Vec<u16> {
        let mut codes = Vec::new();
        for line in lines {
            self.write(format!("{line}\r\n")).await;
            codes.push(self.code().await);
        }
        codes
    }
}

/// An authority, a server and a machine.
fn certificates() -> (Authority, Material) {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "authority.test");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let issue = |name: &str, purpose| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &issuer).unwrap(), key)
    };
    let (server, server_key) = issue("mta.test", ExtendedKeyUsagePurpose::ServerAuth);
    let (client, client_key) = issue("machine.test", ExtendedKeyUsagePurpose::ClientAuth);
    let files = [
        ("/c.pem", server.pem()),
        ("/c.key", server_key.serialize_pem()),
        ("/ca.pem", authority.pem()),
    ];
    let files = files.map(|(path, text)| (PathBuf::from(path), text.into_bytes()));
    let key = PrivateKeyDer::try_from(client_key.serialize_der()).unwrap();
    let authority =
        Authority { certificate: authority.der().clone(), client: (client.der().clone(), key) };
    (authority, Material { config: String::new(), files: files.into_iter().collect() })
}

/// A policy socket; an empty answer closes.
fn answer_policy(path: &Path, map: Map) {
    let socket = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut received = Vec::new();
                let mut chunk = [0; 65_536];
                while let Ok(length @ 1..) = stream.read(&mut chunk) {
                    received.extend_from_slice(&chunk[..length]);
                    while let Ok(Some((request, used))) = policy::decode(&received, 0) {
                        received.drain(..used);
                        match map(&request) {
                            "" => return,
                            action => {
                                stream.write_all(format!("action={action}\n\n").as_bytes()).unwrap()
                            }
                        }
                    }
                }
            });
        }
    });
}

/// A mux socket; the password is the name backwards, and who is called `outage` hears nothing.
fn answer_logins(path: &Path) {
    let socket = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let mut stream = stream.unwrap();
            let mut received = Vec::new();
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut chunk) {
                received.extend_from_slice(&chunk[..length]);
                let limits = mux::FieldLimits::default();
                if let mux::Decoded::Request(request) = mux::decode(&received, &limits) {
                    let name = request.login.as_bytes().to_vec();
                    let mut right = name.clone();
                    right.reverse();
                    let answer: &[u8] = match request.password.reveal() == right {
                        _ if name == b"outage" => b"",
                        true => b"\0\x02OK",
                        false => b"\0\x02NO",
                    };
                    let _ = stream.write_all(answer);
                    break;
                }
            }
        }
    });
}
