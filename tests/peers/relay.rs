//! Mail servers that ask whether a session may relay, and the clients that come to them with certificates.
//!
//! Runs in the test process. The settings are those of saslauthd-policy(7), word for word. Trusts openssl to make
//! certificates and to do the clients' TLS; whether somebody may relay is what the server says at RCPT.

use std::fs;
use std::io;
use std::time::Duration;

use super::dialogue::{Dialogue, heard};
use super::namespace::Namespace;
use super::tls::{self, Wire};
use super::{Failure, Heard, Result, Verdict};

/// Inside TLS.
pub(super) const SUBMISSIONS: u16 = 465;
/// Without TLS.
pub(super) const CLEAR: u16 = 25;

const MANUAL: &str = include_str!("../../saslauthd/man/saslauthd-policy.7.md");

/// A mail server that asks on the policy socket.
pub(crate) trait Relayer: Send + Sync {
    /// Its name in the table.
    fn name(&self) -> &'static str;
    /// The packages that are unpacked over `/usr`.
    fn packages(&self) -> &'static [&'static str];
    /// The programs whose libraries must all be found.
    fn programs(&self) -> &'static [&'static str];
    /// Where it asks.
    fn socket(&self) -> &'static str;
    /// Whether it tells the daemon a certificate's distinguished names.
    fn tells_names(&self) -> bool;
    /// Writes its settings into the namespace, starts it and waits until it listens.
    fn start(&self, world: &Namespace) -> Result<()>;
}

/// Every one, in the order of the table.
pub(crate) fn all() -> Vec<Box<dyn Relayer>> {
    vec![Box::new(super::postfix_relay::PostfixRelay), Box::new(super::exim_relay::EximRelay)]
}

/// The block of saslauthd-policy(7) with this mark.
pub(crate) fn recipe(mark: &str) -> Result<&'static str> {
    let missing = || Failure::Broken(format!("saslauthd-policy(7) has no block {mark}"));
    let (_, from) = MANUAL.split_once(&format!("\n```{mark}\n")).ok_or_else(missing)?;
    let (block, _) = from.split_once("\n```\n").ok_or_else(missing)?;
    Ok(block)
}

/// What a client comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    /// It speaks no TLS.
    Clear,
    /// TLS without a certificate.
    Nothing,
    /// TLS with the certificate of this name.
    Certificate(&'static str),
}

/// A client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor {
    /// Its address; without TLS it is 127.0.0.1.
    pub(crate) address: &'static str,
    /// What it shows.
    pub(crate) shows: Shows,
}

/// Signed by themselves.
const ALONE: [&str; 2] = ["pinned", "other"];
/// Signed by an authority: name, authority. Subjects are `/O=Example Test/CN=…`.
const SIGNED: [(&str, &str); 3] =
    [("member", "Members"), ("stranger", "Members"), ("partner", "Partners")];

/// Makes the server's certificate and the clients'. With it the pin of the one called `pinned`, and its digest as
/// Postfix writes it.
pub(crate) fn make_certificates(world: &Namespace) -> Result<Pin> {
    tls::make_certificate(world)?;
    let mut script = String::from("cd /etc/tls; conf='-config openssl.cnf'\n");
    script.push_str("new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'\n");
    for name in ALONE {
        script.push_str(&format!(
            "openssl req $conf -x509 $new -days 3650 -subj /CN={name} -keyout {name}.key -out {name}.pem\n"
        ));
    }
    for authority in ["Members", "Partners"] {
        script.push_str(&format!(
            "openssl req $conf -x509 $new -days 3650 -subj '/O=Example Test/CN={authority}' \\
                 -addext basicConstraints=critical,CA:TRUE -keyout {authority}.key -out {authority}.pem
             cat {authority}.pem >>authorities.pem\n"
        ));
    }
    for (name, authority) in SIGNED {
        script.push_str(&format!(
            "openssl req $conf $new -subj '/O=Example Test/CN={name}' -keyout {name}.key -out {name}.csr
             openssl x509 -req -in {name}.csr -CA {authority}.pem -CAkey {authority}.key -set_serial {serial} \\
                 -days 3650 -out {name}.pem\n",
            serial = name.len()
        ));
    }
    script.push_str(
        "exec 2>/dev/null
         openssl x509 -in pinned.pem -noout -pubkey | openssl pkey -pubin -outform DER >pinned.spki
         openssl dgst -sha256 -binary pinned.spki | base64
         openssl dgst -sha256 -c pinned.spki | cut -d' ' -f2",
    );
    let printed = world.shell(&script)?;
    let mut lines = printed.lines().rev();
    match (lines.next(), lines.next()) {
        (Some(hex), Some(base64)) if hex.len() == 32 * 3 - 1 && base64.len() == 44 => {
            let key = fs::read(world.path("/etc/tls/pinned.spki"))?;
            Ok(Pin { base64: base64.to_owned(), hex: hex.to_ascii_uppercase(), key })
        }
        _ => Err(Failure::Broken(format!("no digest of a key: {printed}"))),
    }
}

/// A public key that may relay.
#[derive(Clone)]
pub(crate) struct Pin {
    /// In DER, as a certificate has it.
    pub(crate) key: Vec<u8>,
    /// Its SHA-256 as a map has it.
    pub(crate) base64: String,
    /// The same as Postfix says it.
    pub(crate) hex: String,
}

/// What the server says to mail for somewhere else.
pub(crate) fn ask_to_relay(
    world: &Namespace,
    visitor: Visitor,
    patience: Duration,
) -> Result<Heard> {
    let wire = match visitor.shows {
        Shows::Clear => Wire::Clear(world.connect_to(tls::SERVER, CLEAR, harness::PATIENCE)?),
        shows => Wire::tls_with(world, SUBMISSIONS, &arguments(visitor.address, shows))?,
    };
    let mut dialogue = Dialogue::over(wire);
    let said = converse(&mut dialogue, patience);
    let verdict = match said.as_deref().map(|line| line.as_bytes().first()) {
        Ok(Some(b'2')) => Verdict::Accepted,
        Ok(Some(b'4')) => Verdict::Temporary,
        Ok(Some(b'5')) => Verdict::Refused,
        Ok(_) => Verdict::Strange,
        Err(_) => return heard(said, &[]),
    };
    let said = said?;
    let (code, text) = said.split_once(' ').unwrap_or((&said, ""));
    let enhanced = text.split(' ').next().filter(|word| word.starts_with(['2', '4', '5']));
    Ok(Heard::new(verdict, [code, enhanced.unwrap_or_default()].join(" ").trim()))
}

fn arguments(address: &str, shows: Shows) -> Vec<String> {
    let mut arguments = vec!["-bind".to_owned(), format!("{address}:0")];
    if let Shows::Certificate(name) = shows {
        arguments.extend(["-cert".to_owned(), format!("/etc/tls/{name}.pem")]);
        arguments.extend(["-key".to_owned(), format!("/etc/tls/{name}.key")]);
    }
    arguments
}

fn converse(dialogue: &mut Dialogue, patience: Duration) -> io::Result<String> {
    dialogue.patience(patience);
    let mut said = dialogue.reply()?;
    for line in
        ["EHLO client.example.test", "MAIL FROM:<joe@example.org>", "RCPT TO:<ann@elsewhere.test>"]
    {
        if !said.starts_with('2') {
            return Ok(format!("{said} (before {line})"));
        }
        dialogue.say(line)?;
        said = dialogue.reply()?;
    }
    let _ = dialogue.say("QUIT");
    Ok(said)
}
