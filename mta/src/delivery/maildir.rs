//! Mail into maildirs: one for each address, and a message is in `new/` as a whole or not at all.
//!
//! Runs in the sender. Addresses are strangers' words: a name that isn't plain letters is spelled in them, so that none
//! leads anywhere else. Written in `tmp/`, synced, moved to `new/`, and the directory synced: then it is delivered.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::Digest;
use smtp::address::Recipient;

use super::transfer::Message;
use super::transport::{Contact, Notifier, Outcome, Reply, Report};

/// The longest name of a file, in bytes.
const NAME: usize = 255;

/// Delivers to each recipient.
pub async fn deliver(directory: &Path, message: &Message, recipients: &[u32]) -> Report {
    let mut report = Report::all(&[], &Reply::local(451, 3, 0, ""));
    report.mailer = "maildir";
    report.contact = Contact::Made;
    report.notifier = Notifier::Mailbox;
    report.relay = directory.display().to_string();
    let place = directory.display().to_string();
    for number in recipients {
        let (directory, message, number) = (directory.to_owned(), message.clone(), *number);
        let keeping = move || keep(&directory, &message, number);
        let kept = tokio::task::spawn_blocking(keeping).await;
        let outcome = match kept.map_err(io::Error::other).flatten() {
            Ok(()) => Reply::local(250, 0, 0, "in its maildir").outcome(),
            Err(error) => unkept(&place, &error),
        };
        report.outcomes.push((number, outcome));
    }
    report
}

/// A disk that doesn't take it now may take it later.
fn unkept(place: &str, error: &io::Error) -> Outcome {
    let (code, detail) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (452, 1),
        _ => (451, 0),
    };
    let next = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => {
            let uid = nix::unistd::geteuid();
            format!("; it is to be there when the sender starts, and uid {uid} is to be its owner")
        }
        _ => String::new(),
    };
    let text = format!("the maildirs in {place} can't be written: {error}{next}");
    Reply::local(code, 3, detail, text).outcome()
}

fn keep(directory: &Path, message: &Message, number: u32) -> io::Result<()> {
    let index = usize::try_from(number).map_err(io::Error::other)?;
    let addressee = message.envelope.recipients.get(index);
    let recipient = &addressee.ok_or_else(|| io::Error::other("no such recipient"))?.recipient;
    let home = directory.join(name(recipient));
    for part in ["tmp", "new", "cur"] {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(home.join(part))?;
    }
    // The same name for the same message: what an interrupted attempt left is written over, and what it delivered
    // is delivered once.
    let file = format!("{}.{number}.mta", message.envelope.id);
    let (tmp, new) = (home.join("tmp").join(&file), home.join("new").join(&file));
    if let Err(error) = write(&tmp, message, recipient) {
        let _ = fs::remove_file(&tmp);
        return Err(error);
    }
    fs::rename(&tmp, &new)?;
    for made in [home.join("new"), home, directory.to_owned()] {
        File::open(made)?.sync_all()?;
    }
    Ok(())
}

fn write(tmp: &PathBuf, message: &Message, recipient: &Recipient) -> io::Result<()> {
    let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(tmp)?;
    let mut file = BufWriter::new(open);
    let to = recipient.to_string();
    let to = to.trim_start_matches('<').trim_end_matches('>');
    write!(file, "Return-Path: {}\nDelivered-To: {to}\n", message.envelope.sender)?;
    if copy(&mut message.text.open()?, &mut file)? != message.size {
        return Err(io::Error::other("the text is not as long as it was when it was kept"));
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// Copies with the line breaks of this system, as readers of maildirs want them; returns how much was read.
fn copy(text: &mut dyn Read, file: &mut dyn Write) -> io::Result<u64> {
    let (mut piece, mut length, mut cr) = (vec![0; 64 * 1024], 0u64, false);
    loop {
        let count = text.read(&mut piece)?;
        for byte in piece.get(..count).unwrap_or_default() {
            if cr && *byte != b'\n' {
                file.write_all(b"\r")?;
            }
            cr = *byte == b'\r';
            if !cr {
                file.write_all(&[*byte])?;
            }
        }
        length = length.saturating_add(count as u64);
        if count == 0 {
            return file.write_all(if cr { b"\r" } else { b"" }).map(|()| length);
        }
    }
}

/// The directory of an address: itself in lower case if it is of plain letters, and else with each other byte as `%HH`.
fn name(recipient: &Recipient) -> String {
    let text = match recipient {
        Recipient::Postmaster => "postmaster".to_owned(),
        Recipient::Address(address) => {
            let domain = address.domain().as_str().to_ascii_lowercase();
            format!("{}@{domain}", address.unquoted_local_part().to_ascii_lowercase())
        }
    };
    let mut name = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            // A dot first would hide it, or climb.
            b'.' if at == 0 => name.push_str("%2E"),
            b'a'..=b'z' | b'0'..=b'9' | b'@' | b'.' | b'-' | b'_' | b'+' => {
                name.push(char::from(byte));
            }
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    if name.len() > NAME {
        let digest = sha2::Sha256::digest(&text);
        name.truncate(NAME - 65);
        name.push('%');
        name.extend(digest.iter().map(|byte| format!("{byte:02x}")));
    }
    name
}

#[cfg(test)]
mod tests {
    use smtp::command::Command;

    use super::*;

    fn named(path: &str) -> String {
        match Command::parse(format!("RCPT TO:{path}").as_bytes()) {
            Ok(Command::Rcpt(recipient, _)) => name(&recipient),
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn names_lead_nowhere_else() {
        assert_eq!(named("<Joe.Doe+tag@Example.ORG>"), "joe.doe+tag@example.org");
        assert_eq!(named("<Postmaster>"), "postmaster");
        assert_eq!(named("<\"../../etc/x\"@a.test>"), "%2E.%2F..%2Fetc%2Fx@a.test");
        assert_eq!(named("<\"..\"@a.test>"), "%2E.@a.test");
        assert_eq!(named("<\"a b%\"@a.test>"), "a%20b%25@a.test");
        let long = |last: &str| named(&format!("<\"{}{last}\"@a.test>", " ".repeat(200)));
        assert_eq!(long("x").len(), NAME);
        assert_ne!(long("x"), long("y"));
    }

    #[test]
    fn line_breaks_become_those_of_this_system() {
        let mut out = Vec::new();
        let length = copy(&mut &b"a\r\nb\rc\r\r\n\r"[..], &mut out).unwrap();
        assert_eq!((length, &out[..]), (10, &b"a\nb\rc\r\n\r"[..]));
    }
}
