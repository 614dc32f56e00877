//! One dialogue, said again to a server that runs.

use std::io;
use std::sync::Arc;

use harness::mta::client::{Client, Reply};
use harness::mta::tls::{self, Identity};
use rustls::ClientConfig;

use crate::vectors::{Certificates, Dialogue, Turn};

/// What was said, what a sendmail answered, and what came now.
pub(crate) struct Answered {
    pub(crate) line: String,
    pub(crate) theirs: Vec<String>,
    pub(crate) now: Reply,
}

/// Says it all, until a server that differs leaves nothing to go on with, of which `goes_on` tells.
pub(crate) fn replay(
    client: &mut Client,
    dialogue: &Dialogue,
    certificates: &Certificates,
    mut goes_on: impl FnMut(&Answered) -> bool,
) -> io::Result<()> {
    let mut line = String::new();
    for turn in &dialogue.turns {
        match turn {
            Turn::Says(said) => {
                // What was computed from a challenge can't be said again.
                if said.starts_with('<') {
                    return Ok(());
                }
                line.clone_from(said);
                // A server that has closed may be spoken to; that it closed is what counts.
                let _ = client.send(format!("{said}\r\n").as_bytes());
            }
            Turn::Hears(theirs) => {
                let now = client.reply()?;
                let answered = Answered { line: line.clone(), theirs: theirs.clone(), now };
                if !goes_on(&answered) || theirs.is_empty() {
                    return Ok(());
                }
            }
            Turn::Tls(version, shown) => {
                client.handshake(
                    config(certificates, version, shown.as_deref())?,
                    "mta.oracle.test",
                )?;
            }
            Turn::Fails => return Ok(()),
        }
    }
    Ok(())
}

fn config(
    certificates: &Certificates,
    version: &str,
    shown: Option<&str>,
) -> io::Result<Arc<ClientConfig>> {
    let identity = match shown {
        None => None,
        Some("byinter") => {
            let (leaf, above) = (certificates.file("byinter.pem"), certificates.file("inter.pem"));
            Some(Identity::read(&[&leaf, &above], &certificates.file("byinter.key"))?)
        }
        Some(name) => Some(Identity::named(certificates.path(), name)?),
    };
    tls::client(identity, if version == "TLSv1.2" { tls::TLS_1_2 } else { tls::TLS_1_3 })
}

/// The code of a recorded reply; 0 where the server closed.
pub(crate) fn code(lines: &[String]) -> u16 {
    lines.last().and_then(|line| line.get(..3)?.parse().ok()).unwrap_or(0)
}
