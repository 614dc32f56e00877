//! What is wrong with a configuration, all of it at once, each with its place.
//!
//! The text belongs to the administrator, yet it is shown on a terminal, so control
//! characters of it are never passed on.

use std::fmt;
use std::ops::Range;

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Bytes of the file; `None` when the value came from the command line or is built in.
    pub at: Option<Range<usize>>,
    /// What is wrong and what to do, lower case, without a full stop.
    pub message: String,
}

/// Complaints while they are gathered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Complaints(Vec<Complaint>);

impl Complaints {
    /// One more, about these bytes of the file.
    pub fn add(&mut self, at: Option<Range<usize>>, message: impl Into<String>) {
        self.0.push(Complaint { at, message: message.into() });
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that stand in lines without a syntax error; what was read there means nothing.
    pub fn without_lines_of(mut self, syntax: Self, text: &str) -> Self {
        let broken: Vec<usize> =
            syntax.0.iter().filter_map(|c| Some(line_of(text, c.at.as_ref()?.start))).collect();
        self.0.retain(|complaint| match &complaint.at {
            Some(at) => !broken.contains(&line_of(text, at.start)),
            None => broken.is_empty(),
        });
        self.0.extend(syntax.0);
        self
    }

    /// These, and of `later` what is found elsewhere: where a value was wrong, its default was looked at, of which
    /// nobody wants to hear.
    pub fn and(mut self, later: Self, text: &str) -> Self {
        let line = |complaint: &Complaint| Some(line_of(text, complaint.at.as_ref()?.start));
        let taken: Vec<usize> = self.0.iter().filter_map(line).collect();
        let is_empty = self.0.is_empty();
        self.0.extend(later.0.into_iter().filter(|complaint| match line(complaint) {
            Some(line) => !taken.contains(&line),
            None => is_empty,
        }));
        self
    }

    /// For the administrator.
    pub fn into_report(mut self, path: &str, text: &str) -> Report {
        self.0.sort_by_key(|complaint| complaint.at.as_ref().map(|at| at.start));
        Report { path: path.to_owned(), text: text.to_owned(), complaints: self.0 }
    }
}

/// All complaints about one configuration, shown as `path:line:col: message` with the line and a caret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    path: String,
    text: String,
    complaints: Vec<Complaint>,
}

impl Report {
    /// A report of one complaint that has no place.
    pub fn of(path: &str, message: impl Into<String>) -> Self {
        let complaints = vec![Complaint { at: None, message: message.into() }];
        Self { path: path.to_owned(), text: String::new(), complaints }
    }

    /// The same, a line each without source and caret, for a log.
    pub fn lines(&self) -> Vec<String> {
        self.complaints.iter().map(|complaint| self.heading(complaint)).collect()
    }

    fn heading(&self, complaint: &Complaint) -> String {
        let Some(at) = &complaint.at else {
            return format!("{}: {}", self.path, complaint.message);
        };
        let (line, column, _) = place(&self.text, at.start);
        format!("{}:{line}:{column}: {}", self.path, complaint.message)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for complaint in &self.complaints {
            writeln!(out, "{}", self.heading(complaint))?;
            let Some(at) = &complaint.at else { continue };
            let (_, column, source) = place(&self.text, at.start);
            writeln!(out, "    {}", printable(source))?;
            // Tabs stay tabs, so that the caret stands under its character whatever their width.
            let padded = source.chars().chain(std::iter::repeat(' '));
            let before: String = padded.take(column - 1).map(filler).collect();
            let marked = self.text.get(at.clone()).unwrap_or_default();
            let width = marked.lines().next().unwrap_or_default().chars().count().max(1);
            writeln!(out, "    {before}^{}", "~".repeat(width - 1))?;
        }
        Ok(())
    }
}

fn filler(character: char) -> char {
    if character == '\t' { '\t' } else { ' ' }
}

fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// Line and column from 1, the column in characters, and the whole line.
fn place(text: &str, offset: usize) -> (usize, usize, &str) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let (before, after) = text.split_at(offset);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let end = after.find('\n').map_or(text.len(), |newline| offset + newline);
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    (line_of(text, offset), column, text.get(start..end).unwrap_or_default().trim_end())
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carets_stand_under_what_is_meant() {
        let text = "a = 1\n\tb = \"ü\" # end\n";
        let mut complaints = Complaints::default();
        let start = text.find("\"ü\"").unwrap();
        complaints.add(Some(start..start + 4), "no such thing");
        complaints.add(None, "everything else");
        let report = complaints.into_report("/etc/x.toml", text);
        assert_eq!(
            report.to_string(),
            "/etc/x.toml: everything else\n\
             /etc/x.toml:2:6: no such thing\n    \tb = \"ü\" # end\n    \t    ^~~\n"
        );
        assert_eq!(report.lines().len(), 2);
    }

    #[test]
    fn a_place_behind_the_end_is_the_end() {
        let mut complaints = Complaints::default();
        complaints.add(Some(99..120), "ended too early");
        let report = complaints.into_report("x", "a = ");
        assert_eq!(report.to_string(), "x:1:5: ended too early\n    a =\n        ^\n");
    }
}
