//! sasldb files of a sandbox, made and read by Debian's tools alone.

use std::io;
use std::path::Path;
use std::process::Command;

use crate::{PATIENCE, Ran, Sandbox};

/// The record that holds a plaintext password.
pub const USER_PASSWORD: &str = "userPassword";

impl Sandbox {
    /// Adds `user` in `realm` (empty: the host name) to its `/etc/sasldb2` with Debian's saslpasswd2.
    pub fn add_sasldb_user(&self, user: &str, realm: &str, password: &str) -> io::Result<()> {
        let mut command = self.command("/usr/sbin/saslpasswd2");
        let command = command.args(["-p", "-c", "-u", realm, "--", user]);
        let ran = Ran::of(command, password.as_bytes(), PATIENCE)?;
        if ran.code == Some(0) {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "saslpasswd2 for {user}@{realm}: {} {}",
            ran.end(),
            ran.err()
        )))
    }

    /// Makes its `/etc/sasldb2` anew from raw keys and values with Debian's db5.3_load.
    pub fn load_sasldb(&self, records: &[(&[u8], &[u8])]) -> io::Result<()> {
        let path = self.path().join("etc/sasldb2");
        if path.exists() {
            std::fs::remove_file(&path)?;
        }
        load(&path, records)
    }
}

/// Makes a Berkeley DB hash file of these keys and values with Debian's db5.3_load.
pub fn load(path: &Path, records: &[(&[u8], &[u8])]) -> io::Result<()> {
    let mut text = String::new();
    for (key, value) in records {
        for bytes in [key, value] {
            bytes.iter().for_each(|byte| text.push_str(&format!("\\{byte:02x}")));
            text.push('\n');
        }
    }
    let mut command = Command::new("db5.3_load");
    let ran = Ran::of(command.args(["-T", "-t", "hash"]).arg(path), text.as_bytes(), PATIENCE)?;
    if ran.code == Some(0) {
        return Ok(());
    }
    Err(io::Error::other(format!("db5.3_load {}: {} {}", path.display(), ran.end(), ran.err())))
}

/// The records of a Berkeley DB file, as db5.3_dump reads them, sorted by key.
pub fn dump(path: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let ran = Ran::of(Command::new("db5.3_dump").arg(path), b"", PATIENCE)?;
    if ran.code != Some(0) {
        return Err(io::Error::other(format!("db5.3_dump {}: {}", path.display(), ran.err())));
    }
    let text = ran.out();
    let mut data = text.lines().skip_while(|line| *line != "HEADER=END").skip(1);
    let mut records = Vec::new();
    while let (Some(key), Some(value)) = (data.next(), data.next()) {
        records.push((unhex(key), unhex(value)));
    }
    records.sort();
    Ok(records)
}

fn unhex(line: &str) -> Vec<u8> {
    let digits: Vec<u8> = line.trim().bytes().collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).filter_map(byte).collect()
}

/// The records as one line: `alice@example.com userPassword=secret1`, joined by `, `; `(no records)` for none.
pub fn tell(path: &Path) -> String {
    if !path.exists() {
        return "(no file)".to_owned();
    }
    match dump(path) {
        Ok(records) if records.is_empty() => "(no records)".to_owned(),
        Ok(records) => {
            let told = records.iter().map(|(key, value)| tell_record(key, value));
            told.collect::<Vec<_>>().join(", ")
        }
        Err(why) => why.to_string(),
    }
}

/// One record as `alice@example.com userPassword=secret1`, odd bytes escaped.
pub fn tell_record(key: &[u8], value: &[u8]) -> String {
    let mut parts = key.splitn(3, |byte| *byte == 0).map(<[u8]>::escape_ascii);
    let (user, realm, property) = (parts.next(), parts.next(), parts.next());
    let text = |part: Option<std::slice::EscapeAscii<'_>>| part.map(|it| it.to_string());
    format!(
        "{}@{} {}={}",
        text(user).unwrap_or_default(),
        text(realm).unwrap_or_default(),
        text(property).unwrap_or_default(),
        value.escape_ascii()
    )
}
