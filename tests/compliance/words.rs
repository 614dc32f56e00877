//! Puts what a program did into one line that can stand beside its case.

use harness::Ran;

/// `exit 1; out "…"; err "…"` with what differs from run to run and from house to house taken out.
pub(crate) fn tell(ran: &Ran) -> String {
    let mut line = ran.end();
    for (name, bytes) in [("out", &ran.stdout), ("err", &ran.stderr)] {
        let text = plain(&String::from_utf8_lossy(bytes));
        if !text.is_empty() {
            line.push_str(&format!("; {name} \"{}\"", text.escape_debug()));
        }
    }
    line
}

/// Without the words that name one house: a usage text becomes `<usage>`, a version text `<version>`, and
/// process ids go.
fn plain(text: &str) -> String {
    let lower = text.to_lowercase();
    if lower.contains("usage:") || lower.contains("usage\n") {
        return "<usage>".to_owned();
    }
    if lower.contains("version") || lower.contains("authentication mechanisms:") || is_version(text)
    {
        return "<version>".to_owned();
    }
    // Berkeley DB talks on its own; what it says is no promise of the program.
    let lines = text.lines().filter(|line| !line.starts_with("BDB"));
    let lines: Vec<&str> = lines.map(without_ident).collect();
    lines.join("\n")
}

/// A single line of a program's name and a number with dots.
fn is_version(text: &str) -> bool {
    let number = text.trim_end().split_once(' ').map(|(_, number)| number).unwrap_or_default();
    number.contains('.') && number.chars().all(|it| it.is_ascii_digit() || it == '.')
}

/// A line without syslog's `saslauthd[123] :` before it.
fn without_ident(line: &str) -> &str {
    match line.split_once("] :") {
        Some((ident, rest)) if ident.starts_with("saslauthd[") => rest,
        _ => line,
    }
}
