//! Questions to the mta's sender about its queue, and its answers as text for a person.
//!
//! Everything in an answer may be a stranger's text: addresses, replies of servers, headers. Nothing of it moves a cursor.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use accounts::UnixTime;
use protocol::queue::{self, Request};
use serde_json::Value;

use crate::command_line::Form;
use crate::failure::Failure;
use crate::report::{line, list, row, sentence, table};
use crate::{moment, print};

/// Longer than a list may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// A question for the mta's control socket.
pub(crate) struct Task {
    pub(crate) control: PathBuf,
    pub(crate) request: Request,
    pub(crate) form: Form,
}

/// Asks, and prints the reply.
pub(crate) fn run(task: &Task) -> Result<(), Failure> {
    let reply = queue::ask(&task.control, &task.request, PATIENCE)
        .map_err(|error| failure(&task.control, &error))?;
    let value: Value = serde_json::from_str(&reply).map_err(|error| {
        let socket = task.control.display();
        Failure::unavailable(format!("{socket}: the reply is no JSON ({error}); is it the mta's?"))
    })?;
    if let Some(error) = value.get("error").and_then(Value::as_str) {
        return Err(Failure::failed(sentence(error)));
    }
    let now = moment::now();
    match (task.form, &task.request) {
        (Form::Json, _) => print(&format!("{value}\n")),
        (_, Request::Status) => print(&status(&value, now)),
        (_, Request::List(_)) => print(&messages(&value, now)),
        (_, Request::Show(..)) => print(&message(&value, now)),
        _ => {
            let done = value.get("done").and_then(Value::as_str).unwrap_or("done");
            crate::note(&sentence(done));
            Ok(())
        }
    }
}

fn failure(socket: &Path, error: &io::Error) -> Failure {
    use io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied, TimedOut, WouldBlock};
    let path = socket.display();
    match error.kind() {
        NotFound => Failure::unavailable(format!(
            "{path}: no such socket; is mta running? start it, or name its socket with --control"
        )),
        ConnectionRefused => {
            Failure::unavailable(format!("{path}: nobody listens there; is mta running? start it"))
        }
        PermissionDenied => Failure::permission(format!(
            "{path}: permission denied; ask as root or as a member of the group that may"
        )),
        WouldBlock | TimedOut => {
            Failure::temporary(format!("{path}: no answer for {} s; try again", PATIENCE.as_secs()))
        }
        _ => Failure::unavailable(format!("{path}: {error}; is mta running?")),
    }
}

fn of<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

/// `3h 12m` since a moment, or until it.
fn span(value: &Value, now: UnixTime) -> String {
    value.as_i64().map_or_else(|| "-".into(), |at| moment::span(now.0.abs_diff(at).cast_signed()))
}

fn status(reply: &Value, now: UnixTime) -> String {
    let count = |name: &str| line(of(reply, name));
    let mut text = format!(
        "messages     {} ({} waiting, {} active, {} held, {} not read yet)\noldest       {}\n\
         connections  {}\n",
        count("messages"),
        count("waiting"),
        count("active"),
        count("held"),
        count("unread"),
        span(of(reply, "oldest"), now),
        count("connections"),
    );
    let since = of(reply, "since_start");
    let figures = ["delivered", "failed", "deferred", "reports"];
    let figures = figures.map(|name| format!("{} {name}", line(of(since, name))));
    text += &format!("since start  {}\n", figures.join(", "));
    let destinations = list(reply, "/destinations");
    if !destinations.is_empty() {
        let mut rows = vec![row(&["DESTINATION", "MESSAGES", "CONNECTIONS", "PAUSED", "REPLY"])];
        rows.extend(destinations.iter().map(|one| {
            let paused = of(one, "paused").as_i64().map_or_else(|| "-".into(), moment::span);
            let of = |name: &str| line(of(one, name));
            vec![of("destination"), of("messages"), of("connections"), paused, of("reply")]
        }));
        text += &table(&rows);
    }
    text
}

fn messages(reply: &Value, now: UnixTime) -> String {
    let messages = list(reply, "/messages");
    if messages.is_empty() {
        return String::new();
    }
    let mut rows =
        vec![row(&["ID", "STATE", "AGE", "SIZE", "SENDER", "WAITING FOR", "LAST REPLY"])];
    rows.extend(messages.iter().map(|one| {
        let cell = |name: &str| line(of(one, name));
        let mut waiting: Vec<String> = list(one, "/waiting").iter().map(line).collect();
        let left = of(one, "left").as_u64().unwrap_or_default();
        let more = left.saturating_sub(waiting.len() as u64);
        if more > 0 {
            waiting.push(format!("and {more} more"));
        }
        vec![
            cell("id"),
            cell("state"),
            span(of(one, "arrived"), now),
            cell("size"),
            cell("sender"),
            waiting.join(" "),
            cell("reply"),
        ]
    }));
    let mut text = table(&rows);
    if of(reply, "more").as_bool() == Some(true) {
        text += "There are more; say --state, --sender or --recipient.\n";
    }
    text
}

fn message(reply: &Value, now: UnixTime) -> String {
    let cell = |name: &str| line(of(reply, name));
    let next = match of(reply, "next") {
        Value::Null => "-".into(),
        next => format!("in {}", span(next, now)),
    };
    let lines = [
        ("id", cell("id")),
        ("state", cell("state")),
        ("held", cell("held")),
        ("sender", cell("sender")),
        ("parameters", cell("parameters")),
        ("size", cell("size")),
        ("age", span(of(reply, "arrived"), now)),
        ("attempts", cell("attempts")),
        ("next", next),
        ("origin", cell("origin")),
    ];
    let mut text: String =
        lines.into_iter().map(|(name, value)| format!("{name:<12} {value}\n")).collect();
    let mut rows = vec![row(&["RECIPIENT", "STATE", "REPLY"])];
    rows.extend(
        list(reply, "/recipients")
            .iter()
            .map(|one| ["recipient", "state", "reply"].map(|name| line(of(one, name))).to_vec()),
    );
    text += &table(&rows);
    if let Some(header) = of(reply, "header").as_str() {
        text.push('\n');
        header.lines().for_each(|field| text += &format!("{}\n", sentence(field)));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_cannot_move_the_cursor() {
        let evil = "\u{1b}[2J\r\n\u{202e}";
        let reply = json!({
            "messages": [{ "id": evil, "waiting": [evil], "reply": evil, "arrived": 5 }],
            "recipients": [{ "recipient": evil }],
            "destinations": [{ "destination": evil, "reply": evil, "paused": 3 }],
            "header": evil,
            "origin": evil,
        });
        let now = UnixTime(65);
        let text = status(&reply, now) + &messages(&reply, now) + &message(&reply, now);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(!text.contains('\u{202e}'), "{text:?}");
    }

    #[test]
    fn an_empty_answer_is_no_panic() {
        for reply in [json!({}), json!(null), json!([1]), json!({ "messages": 3, "arrived": "x" })]
        {
            let now = UnixTime(i64::MAX);
            let _ = status(&reply, now) + &messages(&reply, now) + &message(&reply, now);
        }
    }
}
