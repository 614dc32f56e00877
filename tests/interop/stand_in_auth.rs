//! A scripted daemon on the auth socket: greets as Dovecot 2.3, takes whole logins, and closes without a word
//! or says that it can't tell for now.
//!
//! Runs as threads of the test process. Shares no code with the daemons under test.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;

use crate::peers::Request;
use crate::stand_in::{Requests, Script};

const GREETING: &str = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\n\
                        MECH\tSCRAM-SHA-256\tmutual-auth\nSPID\t42\nCUID\t1\n\
                        COOKIE\t0123456789abcdef0123456789abcdef\nDONE\n";

/// What it says to a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// Nothing: it closes.
    Nothing,
    /// `code=temp_fail`.
    Word,
}

/// Listens at `path` and keeps what was asked.
pub(crate) fn fail_auth(path: &Path, says: Says) -> io::Result<(Script, Requests)> {
    let requests = Requests::default();
    let kept = Arc::clone(&requests);
    let script = Script::listen(path, move |mut stream: &UnixStream| {
        if stream.write_all(GREETING.as_bytes()).is_err() {
            return;
        }
        while let (Ok(Some((id, request))), Ok(mut kept)) = (read_login(stream), kept.lock()) {
            let word = format!("FAIL\t{id}\tuser={}\tcode=temp_fail\n", request.login);
            kept.push(request);
            if says == Says::Nothing || stream.write_all(word.as_bytes()).is_err() {
                return;
            }
        }
    })?;
    Ok((script, requests))
}

/// The next login of a connection; none when the client leaves before it.
fn read_login(mut stream: &UnixStream) -> io::Result<Option<(String, Request)>> {
    // A mail server may connect long before somebody logs in.
    stream.set_read_timeout(None)?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next() {
        let line = line?;
        let fields: Vec<&str> = line.split('\t').collect();
        let ["AUTH", id, mechanism, parameters @ ..] = fields.as_slice() else { continue };
        let value = |key: &str| parameters.iter().find_map(|field| field.strip_prefix(key));
        let service = value("service=").or(value("protocol=")).unwrap_or_default().to_owned();
        let initial = value("resp=").filter(|text| !text.is_empty()).map(str::to_owned);
        let mut ask = |prompt: &str| {
            stream.write_all(format!("CONT\t{id}\t{}\n", BASE64.encode(prompt)).as_bytes())?;
            let line = lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
            io::Result::Ok(line.rsplit('\t').next().unwrap_or_default().to_owned())
        };
        let said = match (*mechanism, initial) {
            ("LOGIN", Some(login)) => vec![login, ask("Password:")?],
            ("LOGIN", None) => vec![ask("Username:")?, ask("Password:")?],
            (_, Some(response)) => vec![response],
            (_, None) => vec![ask("")?],
        };
        return Ok(request(&said, service).map(|request| ((*id).to_owned(), request)));
    }
    Ok(None)
}

/// The name and the password of LOGIN, or of PLAIN behind the name of the one who is acted for.
fn request(said: &[String], service: String) -> Option<Request> {
    let words: Vec<Vec<u8>> = said.iter().filter_map(|text| BASE64.decode(text).ok()).collect();
    let (login, password) = match words.as_slice() {
        [message] => {
            let mut parts = message.split(|byte| *byte == 0).skip(1);
            (parts.next()?.to_vec(), parts.next()?.to_vec())
        }
        [login, password] => (login.clone(), password.clone()),
        _ => return None,
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Some(Request { login: text(login), password: text(password), service, realm: String::new() })
}
