//! A sample file and a manual page, made from the doc comments of the sections.
//!
//! Runs when the administrator asks for it; tests hold the committed pages to what comes out here.

use std::fmt::Write;

use crate::setting::{Entry, Section};

/// One part of the manual.
pub struct Part {
    heading: &'static str,
    about: &'static [&'static str],
    entries: Vec<Entry>,
}

impl Part {
    /// That of a section; the heading is as in a file, `[cache]`, and empty for the keys above the first section.
    pub fn of<S: Section>(heading: &'static str) -> Self {
        Self { heading, about: S::about(), entries: S::manual() }
    }

    /// What has no doc comment.
    pub fn undocumented(&self) -> Vec<&'static str> {
        let section = self.about.is_empty().then_some(self.heading);
        let keys = self.entries.iter().filter(|entry| entry.about.is_empty());
        section.into_iter().chain(keys.map(|entry| entry.key)).collect()
    }
}

/// A configuration file in which every key stands commented out with its default, below `introduction`.
pub fn sample(introduction: &str, parts: &[Part]) -> String {
    let mut out = String::from(introduction);
    for part in parts {
        out.push('\n');
        for line in part.about {
            let _ = writeln!(out, "#{line}");
        }
        if !part.heading.is_empty() {
            let _ = writeln!(out, "#{}", part.heading);
        }
        for entry in &part.entries {
            out.push('\n');
            for line in entry.about {
                let _ = writeln!(out, "#{line}");
            }
            let _ = match entry.is_default {
                true => writeln!(out, "#{} = {}", entry.key, entry.value),
                false => writeln!(out, "# (for example) {} = {}", entry.key, entry.value),
            };
        }
    }
    out
}

/// A manual page in Markdown, between `introduction` and `end`.
pub fn page(introduction: &str, parts: &[Part], end: &str) -> String {
    let mut out = String::from(introduction);
    for part in parts {
        let heading = if part.heading.is_empty() { "top of the file" } else { part.heading };
        let _ = write!(out, "\n## {heading}\n\n");
        write_text(&mut out, part.about);
        for entry in &part.entries {
            let what = if entry.is_default { "default" } else { "not set; for example" };
            let _ = write!(out, "\n### {}\n\n{what}: `{}`\n\n", entry.key, entry.value);
            write_text(&mut out, entry.about);
        }
    }
    out.push_str(end);
    out
}

fn write_text(out: &mut String, lines: &[&str]) {
    for line in lines {
        let _ = writeln!(out, "{}", line.trim_start());
    }
}
