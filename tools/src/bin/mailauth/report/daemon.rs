//! The daemon's JSON as text for a person.
//!
//! What is missing in a reply, since another version made it, is left out; what is unknown is printed by its name.

use serde_json::{Map, Value};

use super::{row, table, word};
use crate::moment;
use accounts::UnixTime;

/// Text of a reply on one line: whatever stands in it, it moves no cursor.
pub(crate) fn line(value: &Value) -> String {
    match value {
        Value::String(text) => sentence(text),
        Value::Null => "-".into(),
        other => sentence(&other.to_string()),
    }
}

/// The same of text that stands for itself: quotes and backslashes are no danger on a terminal.
pub(crate) fn sentence(text: &str) -> String {
    let quoted = protocol::Quoted(text.as_bytes()).to_string();
    let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    inner.replace("\\x22", "\"").replace("\\x5c", "\\")
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    at(value, pointer).as_array().map(Vec::as_slice).unwrap_or_default()
}

fn map(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// `hits 3, misses 4`.
fn figures(value: &Value) -> String {
    let each = |(name, value): (&String, &Value)| {
        format!("{} {}", word(name.replace('_', "-").as_bytes()), line(value))
    };
    map(value).map(each).collect::<Vec<_>>().join(", ")
}

/// `mailauth status`.
pub(crate) fn status(reply: &Value, now: UnixTime) -> String {
    let mut text = house(reply, now);
    text += "backends\n";
    text += &backends(reply);
    text += "figures\n";
    let sections = ["logins", "limits/throttled", "cache", "pool", "log"];
    let rows: Vec<_> = sections
        .iter()
        .map(|name| (name, at(reply, &format!("/{name}"))))
        .filter(|(_, value)| value.is_object())
        .map(|(name, value)| vec![format!("  {}", name.replace('/', " ")), figures(value)])
        .collect();
    text += &table(&rows);
    let warnings = list(reply, "/house/warnings");
    if !warnings.is_empty() {
        text += "warnings\n";
        warnings.iter().for_each(|warning| text += &format!("  {}\n", line(warning)));
    }
    text
}

fn house(reply: &Value, now: UnixTime) -> String {
    let mut text = format!("saslauthd {}", line(at(reply, "/house/version")));
    if let Some(started) = at(reply, "/house/started").as_i64() {
        let up = now.0.saturating_sub(started);
        let started = moment::shown(UnixTime(started));
        text += &format!(", up {} (since {started})", moment::span(up));
    }
    text += &format!("\nconfiguration  {}\n", line(at(reply, "/house/config")));
    for socket in list(reply, "/house/sockets") {
        text += &format!("socket         {}\n", line(socket));
    }
    text += "processes\n";
    for process in list(reply, "/house/processes") {
        text += &self::process(process);
    }
    text
}

fn process(process: &Value) -> String {
    let of = |name: &str| line(at(process, name));
    let mut text = format!("  {}  pid {}, restarts {}", of("/name"), of("/pid"), of("/restarts"));
    let confinement = at(process, "/confinement");
    if !confinement.is_object() {
        return text + "\n";
    }
    let groups: Vec<_> = list(process, "/confinement/groups").iter().map(line).collect();
    let groups = if groups.is_empty() { "none".into() } else { groups.join(" ") };
    let of = |name: &str| line(at(confinement, name));
    text += &format!(", uid {}, gid {}, groups {groups}\n", of("/uid"), of("/gid"));
    for name in ["landlock", "seccomp", "capabilities"] {
        text += &format!("    {name:<13}{}\n", of(&format!("/{name}")));
    }
    for missing in list(confinement, "/missing") {
        text += &format!("    {:<13}{}\n", "MISSING", line(missing));
    }
    text
}

fn backends(reply: &Value) -> String {
    let one = |backend: &Value| {
        let of = |name: &str| line(at(backend, name));
        let health = match at(backend, "/trouble") {
            Value::Null => "ok".into(),
            trouble => format!("TROUBLE: {}", line(trouble)),
        };
        // 0 stands for the daemon's start.
        let since = at(backend, "/since").as_i64().filter(|since| *since != 0);
        let since =
            since.map_or_else(|| "the start".into(), |since| moment::shown(UnixTime(since)));
        vec![
            format!("  {}", of("/name")),
            of("/kind"),
            format!("lookups {}, failures {}", of("/lookups"), of("/failures")),
            format!("since {since}"),
            health,
        ]
    };
    table(&list(reply, "/backends").iter().map(one).collect::<Vec<_>>())
}

/// `mailauth limits show`.
pub(crate) fn limits(reply: &Value) -> String {
    let mut rows = vec![row(&["CLASS", "LIMIT", "ROWS", "COUNTING", "THROTTLED", "EVICTED"])];
    for class in list(reply, "/classes") {
        let of = |name: &str| line(at(class, name));
        let on = match at(class, "/on") {
            Value::Bool(false) => "off".into(),
            Value::Bool(true) => "on".into(),
            other => line(other),
        };
        rows.push(vec![
            of("/class"),
            on,
            of("/rows"),
            of("/counting"),
            of("/throttled"),
            of("/evicted"),
        ]);
    }
    table(&rows) + &remembered(reply)
}

/// `mailauth limits show NAME`.
pub(crate) fn figures_of_user(reply: &Value) -> String {
    let mut rows = vec![row(&["CLASS", "LEFT"])];
    rows.extend(
        map(at(reply, "/left")).map(|(class, left)| vec![word(class.as_bytes()), line(left)]),
    );
    table(&rows) + &remembered(reply)
}

fn remembered(reply: &Value) -> String {
    format!(
        "known-good sources: {}\nremembered wrong passwords: {}\n",
        line(at(reply, "/known_good")),
        line(at(reply, "/digests"))
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reply_cannot_move_the_cursor() {
        let reply = json!({
            "house": {
                "version": "1\u{1b}[2J",
                "processes": [{ "name": "a\nb", "confinement": { "missing": ["\u{1b}c"] } }],
                "warnings": ["\r"],
            },
            "backends": [{ "name": "\u{9b}x", "trouble": "\u{202e}" }],
            "cache": { "\u{1b}": "\u{1b}" },
        });
        let text =
            status(&reply, UnixTime(0)) + &limits(&json!({ "classes": [{ "class": "\u{7}" }] }));
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(!text.contains('\u{202e}'));
    }

    #[test]
    fn sentences_stay_readable() {
        assert_eq!(
            sentence(r#"failures of "a\x1b" forgotten"#),
            r#"failures of "a\x1b" forgotten"#
        );
        assert_eq!(sentence("a\u{1b}b\\x22"), r"a\x1bb\x22");
    }

    #[test]
    fn an_empty_reply_is_no_panic() {
        for reply in [json!({}), json!(null), json!([1]), json!({ "house": 1, "backends": {} })] {
            let _ = status(&reply, UnixTime(i64::MAX)) + &limits(&reply) + &figures_of_user(&reply);
        }
    }
}
