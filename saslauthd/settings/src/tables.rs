//! Sections of a settings file: single ones, repeated ones and named ones.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::complaint::{Complaints, Report};
use crate::setting::{At, Keys, Section, kind};

/// Reads a whole file: `read` takes its keys and sections, and an unknown one is a complaint. A value with an error keeps
/// its default, for as long as it takes to find the other errors.
///
/// # Errors
/// Where the text is no TOML: that, and whatever else is wrong in other lines.
pub fn document(
    path: &str,
    text: &str,
    read: impl FnOnce(&mut Keys<'_, '_>),
) -> Result<Complaints, Report> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut syntax = Complaints::default();
    for error in errors {
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        syntax.add(error.span(), message);
    }
    let mut complaints = Complaints::default();
    let mut keys = Keys::new(document.get_ref(), &mut complaints);
    read(&mut keys);
    keys.finish();
    if !syntax.is_empty() {
        return Err(complaints.without_lines_of(syntax, text).into_report(path, text));
    }
    Ok(complaints)
}

/// The keys of `[name]`, if the section is there.
pub fn read_section<S: Section>(name: &'static str, section: &mut S, keys: &mut Keys<'_, '_>) {
    let Some(value) = keys.raw(name) else { return };
    read_table(value, section, keys.complaints());
}

/// The keys of a table.
pub fn read_table<S: Section>(
    value: &Spanned<DeValue<'_>>,
    section: &mut S,
    complaints: &mut Complaints,
) {
    let DeValue::Table(table) = value.get_ref() else {
        let message = format!("expected a section, found {}", kind(value.get_ref()));
        return complaints.add(Some(value.span()), message);
    };
    let mut keys = Keys::new(table, complaints);
    section.read(&mut keys);
    keys.finish();
}

/// Each `[[name]]`, in order.
pub fn read_repeated<S: Section>(name: &'static str, keys: &mut Keys<'_, '_>) -> Vec<At<S>> {
    let Some(value) = keys.raw(name) else { return Vec::new() };
    let DeValue::Array(list) = value.get_ref() else {
        let message = format!("write each {name} as a section [[{name}]], with two brackets");
        keys.complaints().add(Some(value.span()), message);
        return Vec::new();
    };
    let read = |item: &Spanned<DeValue<'_>>| {
        let mut section = S::default();
        read_table(item, &mut section, keys.complaints());
        At { value: section, at: Some(item.span()) }
    };
    list.iter().map(read).collect()
}

/// `[kind.NAME]` for each name.
pub fn read_named<S: Section>(kind: &'static str, keys: &mut Keys<'_, '_>) -> Vec<(At<String>, S)> {
    let Some(value) = keys.raw(kind) else { return Vec::new() };
    let DeValue::Table(table) = value.get_ref() else {
        let message = format!("write it as a section [{kind}.NAME]");
        keys.complaints().add(Some(value.span()), message);
        return Vec::new();
    };
    let mut sections = Vec::new();
    for (name, value) in table.iter() {
        let mut section = S::default();
        if name.get_ref().is_empty() || name.get_ref().contains(char::is_control) {
            let message = format!("a name in [{kind}.NAME] is empty or has control characters");
            keys.complaints().add(Some(name.span()), message);
            continue;
        }
        read_table(value, &mut section, keys.complaints());
        let name = At { value: name.get_ref().clone().into_owned(), at: Some(name.span()) };
        sections.push((name, section));
    }
    sections
}
