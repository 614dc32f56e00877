//! Questions to the running daemon: a login over its mux socket, the rest over its control socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use protocol::control::{self, Request};
use protocol::{Answer, Name, client, mux};
use serde_json::Value;
use tools::connect;

use crate::command_line::{Ask, Form, Test};
use crate::failure::Failure;
use crate::secret::Times;
use crate::{moment, print, report};

/// Longer than the daemon takes before it gives up on an answer itself.
const PATIENCE: Duration = Duration::from_secs(40);

/// sysexits' EX_TEMPFAIL.
const TEMPORARY: u8 = 75;

/// Tries a login, prints the answer, and ends with 0, 1 or 75.
pub(crate) fn test(test: &Test) -> Result<u8, Failure> {
    let name = |what: &str, text: &str| {
        Name::new(text.as_bytes()).map_err(|why| Failure::usage(format!("bad {what}: {why}")))
    };
    let request = mux::Request {
        login: name("name", &test.who.user)?,
        service: name("service", &test.service)?,
        realm: name("realm", test.who.realm.as_deref().unwrap_or_default())?,
        address: test.address,
        password: test.secret.password(Times::Once, |_| Ok(()))?,
    };
    let bytes = mux::encode(&request).map_err(|why| Failure::usage(why.to_string()))?;
    let answer = connect::within(&test.socket, PATIENCE)
        .and_then(|stream| client::ask_mux_over(stream, &bytes, PATIENCE))
        .map_err(|error| failure(&test.socket, &error))?;
    let (word, code) = match answer {
        Answer::Accept => ("accepted", 0),
        Answer::Refuse => ("refused", 1),
        Answer::Unavailable => ("unavailable", TEMPORARY),
    };
    print(&format!("{word}\n"))?;
    Ok(code)
}

/// Asks, and prints the reply. `status` ends with 75 when a backend is in trouble.
pub(crate) fn ask(ask: &Ask) -> Result<u8, Failure> {
    let reply = control::ask(&ask.control, &ask.request, PATIENCE)
        .map_err(|error| failure(&ask.control, &error))?;
    let value: Value = serde_json::from_str(&reply).map_err(|error| {
        let socket = ask.control.display();
        Failure::unavailable(format!(
            "{socket}: the reply is no JSON ({error}); is it saslauthd's?"
        ))
    })?;
    if let Some(error) = value.get("error").and_then(Value::as_str) {
        return Err(Failure::failed(report::sentence(error)));
    }
    match (ask.form, &ask.request) {
        (Form::Json, _) => print(&format!("{value}\n"))?,
        (_, Request::Status) => print(&report::status(&value, moment::now()))?,
        (_, Request::Limits) => print(&report::limits(&value))?,
        (_, Request::LimitsOf(_)) => print(&report::figures_of_user(&value))?,
        (_, Request::Reset(_) | Request::CacheFlush) => {
            let done = value.get("done").and_then(Value::as_str).unwrap_or("done");
            crate::note(&report::sentence(done));
        }
    }
    Ok(if in_trouble(&value) { TEMPORARY } else { 0 })
}

fn in_trouble(reply: &Value) -> bool {
    let backends = reply.get("backends").and_then(Value::as_array);
    backends.is_some_and(|all| {
        all.iter().any(|backend| backend.get("trouble").is_some_and(Value::is_string))
    })
}

fn failure(socket: &Path, error: &io::Error) -> Failure {
    use io::ErrorKind::{
        BrokenPipe, ConnectionRefused, ConnectionReset, InvalidInput, NotFound, PermissionDenied,
        TimedOut, WouldBlock,
    };
    let path = socket.display();
    match error.kind() {
        NotFound => Failure::unavailable(format!(
            "{path}: no such socket; start saslauthd, or name its socket"
        )),
        ConnectionRefused => {
            Failure::unavailable(format!("{path}: nobody listens there; start saslauthd"))
        }
        PermissionDenied => Failure::permission(format!(
            "{path}: permission denied; ask as root or as a member of the group that may"
        )),
        WouldBlock | TimedOut => {
            Failure::temporary(format!("{path}: no answer for {} s; try again", PATIENCE.as_secs()))
        }
        ConnectionReset | BrokenPipe => {
            Failure::temporary(format!("{path}: the daemon closed the connection; try again"))
        }
        InvalidInput => Failure::usage(format!("this cannot be asked: {error}")),
        _ => Failure::unavailable(format!("{path}: {error}")),
    }
}
