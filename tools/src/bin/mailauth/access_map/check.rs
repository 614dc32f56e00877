//! `mailauth access check`: every mistake of a map with its line, and what has less effect than it looks.

use std::path::Path;

use access::{Map, MapErrors};

use super::{read_text, shown};
use crate::failure::Failure;
use crate::print;

pub(super) fn run(path: &Path) -> Result<u8, Failure> {
    let source = read_text(path)?;
    let name = path.display();
    match Map::parse(&source) {
        Ok(map) => {
            let mut text = String::new();
            for warning in map.warnings() {
                text += &format!("{name}:{}: warning: {}\n", warning.line, shown(&warning.text));
            }
            print(&format!("{text}{name}: {} entries, no mistakes\n", map.len()))?;
            Ok(0)
        }
        Err(errors) => {
            print(&report(&name.to_string(), &source, &errors))?;
            Ok(1)
        }
    }
}

/// The mistakes as compilers show them: place, text, the line and a caret.
pub(super) fn report(name: &str, source: &str, errors: &MapErrors) -> String {
    let mut report = String::new();
    for error in &errors.0 {
        report += &format!("{name}:{}\n", shown(&error.to_string()));
        let line = usize::try_from(error.line).unwrap_or(usize::MAX);
        if let Some(line) = source.lines().nth(line.saturating_sub(1)) {
            let before = usize::try_from(error.column).unwrap_or(1).saturating_sub(1);
            report += &format!("    {}\n    {}^\n", shown(line), " ".repeat(before.min(200)));
        }
    }
    report
}
