//! OpenLDAP's slapd, which asks through libsasl2 when a stored password reads `{SASL}name`.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::namespace::Namespace;
use super::{ACCOUNTS, Account, Heard, Peer, Question, Result, Verdict, fetch};

/// slapd of Debian.
pub(crate) struct Slapd;

const PORT: u16 = 389;

const SLAPD_CONF: &str = "\
modulepath /usr/lib/ldap
moduleload back_mdb
include /etc/ldap/core.schema
pidfile /run/slapd.pid
sasl-host mail.example.test
database mdb
maxsize 1048576
suffix dc=example
directory /var/lib/ldap
";

const SASL_CONF: &str = "\
pwcheck_method: saslauthd
saslauthd_path: /run/saslauthd/mux
";

/// Result codes of RFC 4511 §4.1.9 that a bind here may end in.
const MEANINGS: [(&str, Verdict); 4] = [
    ("0", Verdict::Accepted),
    ("49", Verdict::Refused),
    ("51", Verdict::Temporary),
    ("52", Verdict::Temporary),
];

impl Peer for Slapd {
    fn name(&self) -> &'static str {
        "slapd"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["slapd"]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["/usr/sbin/slapd", "/usr/lib/ldap/back_mdb.so"]
    }

    fn routes(&self) -> &'static [&'static str] {
        &["{SASL} bind"]
    }

    fn tells_outage(&self, _route: &str) -> bool {
        false
    }

    fn service(&self, _route: &str) -> &'static str {
        "ldap"
    }

    fn start(&self, world: &Namespace) -> Result<()> {
        let schema = fetch::fetch("slapd")?.join("etc/ldap/schema/core.schema");
        world.write("/etc/ldap/core.schema", &std::fs::read_to_string(schema)?)?;
        world.write("/etc/ldap/slapd.conf", SLAPD_CONF)?;
        world.write("/etc/ldap/sasl2/slapd.conf", SASL_CONF)?;
        world.write("/etc/ldap/people.ldif", &people())?;
        world.shell(
            "install -d /var/lib/ldap
             slapadd -q -f /etc/ldap/slapd.conf -l /etc/ldap/people.ldif",
        )?;
        let arguments = ["-f", "/etc/ldap/slapd.conf", "-h", "ldap://127.0.0.1/", "-d", "0"];
        world.spawn("slapd", "slapd", &arguments)?;
        world.await_port(PORT, "slapd")
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        let mut stream = world.connect(PORT, question.patience)?;
        stream.set_read_timeout(Some(question.patience))?;
        stream.write_all(&simple_bind(&name(question.login), question.password))?;
        match result_code(&mut stream) {
            Ok(code) => Ok(Heard::among(&code.to_string(), &MEANINGS)),
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                Ok(Heard::new(Verdict::Silent, "waits"))
            }
            Err(why) => Ok(Heard::new(Verdict::Strange, why.to_string())),
        }
    }
}

fn name(login: &str) -> String {
    format!("cn={login},dc=example")
}

fn people() -> String {
    let mut text = "\
dn: dc=example
objectClass: dcObject
objectClass: organization
dc: example
o: example
"
    .to_owned();
    for Account { login, .. } in ACCOUNTS {
        text.push_str(&format!(
            "\ndn: {}\ncn: {login}\nuserPassword: {{SASL}}{login}\n\
             objectClass: applicationProcess\nobjectClass: simpleSecurityObject\n",
            name(login)
        ));
    }
    text
}

/// A bind request with message id 1 (RFC 4511 §4.2); every length here fits one byte.
fn simple_bind(name: &str, password: &str) -> Vec<u8> {
    let mut bind = element(0x02, &[3]);
    bind.extend(element(0x04, name.as_bytes()));
    bind.extend(element(0x80, password.as_bytes()));
    let mut message = element(0x02, &[1]);
    message.extend(element(0x60, &bind));
    element(0x30, &message)
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    let mut bytes = vec![tag, length];
    bytes.extend_from_slice(content);
    bytes
}

/// `30 n 02 01 01 61 n 0a 01 CODE …`: the bind response to message 1.
fn result_code(stream: &mut TcpStream) -> io::Result<u8> {
    let mut start = [0; 10];
    stream.read_exact(&mut start)?;
    match start {
        [0x30, _, 0x02, 1, 1, 0x61, _, 0x0a, 1, code] => Ok(code),
        other => Err(io::Error::other(format!("not a bind response: {other:02x?}"))),
    }
}
