//! Compiles the operator's query template into SQL whose only variable parts are bound parameters.
//!
//! Runs in the checker at start and behind `--check`. The template is trusted as the operator's own; the names that
//! take the place of `%u`, `%r`, `%d` and `%s` are an attacker's, and therefore never become part of the SQL text.
//!
//! `%u` and `'%u'` both become `?1`, and `'%u@%r'` becomes `(?1||'@'||?2)`, so a template written for a program that
//! pastes text into quotes (Cyrus's sql_select, Dovecot's password_query) goes on working, safely.

use std::fmt;

/// A place in the template and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Line in the template, from 1.
    pub line: u32,
    /// Column in that line, in characters, from 1.
    pub column: u32,
    /// What is wrong and what to write.
    pub message: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for TemplateError {}

/// What a `%` sequence stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// `%u`: the user as asked for, with its `@domain` if it came with one.
    User,
    /// `%r`: the realm as asked for; may be empty.
    Realm,
    /// `%d`: what follows the last `@` of the user; without an `@` the realm (as `%d` of Cyrus's saslauthd.conf).
    Domain,
    /// `%s`: the service.
    Service,
}

impl Slot {
    fn from_letter(letter: char) -> Option<Self> {
        match letter {
            'u' => Some(Self::User),
            'r' => Some(Self::Realm),
            'd' => Some(Self::Domain),
            's' => Some(Self::Service),
            _ => None,
        }
    }
}

/// A compiled template: SQL text and what its parameters `?1`, `?2`, … stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    sql: String,
    slots: Vec<Slot>,
}

impl Template {
    /// The longest template in bytes.
    pub const MAX: usize = 16 * 1024;

    /// Compiles `text` in one pass.
    ///
    /// # Errors
    /// The place of an unknown `%` sequence, of a parameter mark of SQL's own, of a `%` sequence where no value can
    /// stand, or of a quote or comment without an end.
    pub fn compile(text: &str) -> Result<Self, TemplateError> {
        let mut compiler = Compiler {
            rest: text,
            at: Place { line: 1, column: 1 },
            sql: String::with_capacity(text.len() + 16),
            slots: Vec::new(),
        };
        if text.len() > Self::MAX {
            return Err(compiler.at.error("the query is longer than 16384 bytes"));
        }
        while compiler.step()? {}
        Ok(Self { sql: compiler.sql, slots: compiler.slots })
    }

    /// The SQL text; holds nothing but the operator's own words.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Whether it starts as a query does. SQLite counts ATTACH and BEGIN among the statements that change nothing.
    pub(super) fn is_select(&self) -> bool {
        let sql = self.sql.trim_start();
        let first = sql.find(|c: char| !c.is_ascii_alphabetic()).and_then(|end| sql.get(..end));
        ["select", "with"]
            .iter()
            .any(|word| first.is_some_and(|first| first.eq_ignore_ascii_case(word)))
    }

    /// What the parameters stand for, `?1` first.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }
}

#[derive(Clone, Copy)]
struct Place {
    line: u32,
    column: u32,
}

impl Place {
    fn error(self, message: impl Into<String>) -> TemplateError {
        TemplateError { line: self.line, column: self.column, message: message.into() }
    }
}

struct Compiler<'a> {
    rest: &'a str,
    at: Place,
    sql: String,
    slots: Vec<Slot>,
}

/// What stands between two single quotes, piece by piece.
enum Piece {
    Text(String),
    Value(usize),
}

impl Compiler<'_> {
    fn take(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let character = characters.next()?;
        self.rest = characters.as_str();
        if character == '\n' {
            self.at = Place { line: self.at.line.saturating_add(1), column: 1 };
        } else {
            self.at.column = self.at.column.saturating_add(1);
        }
        Some(character)
    }

    /// Compiles one token outside quotes; `false` at the end.
    fn step(&mut self) -> Result<bool, TemplateError> {
        let start = self.at;
        let rest = self.rest;
        let Some(character) = self.take() else { return Ok(false) };
        match character {
            '\'' => self.literal(start)?,
            '"' | '`' => self.identifier(start, character)?,
            '[' => self.identifier(start, ']')?,
            '%' => match self.sequence(start)? {
                Some(parameter) => self.parameter(parameter),
                None => self.sql.push('%'),
            },
            '-' if rest.starts_with("--") => self.comment(start, "\n")?,
            '/' if rest.starts_with("/*") => self.comment(start, "*/")?,
            '?' | ':' | '@' | '$' | '#' if !self.inside_word() => {
                return Err(start.error(format!(
                    "`{character}` would be a parameter of SQL's own; write %u, %r, %d or %s"
                )));
            }
            '\0' => return Err(start.error("the query contains a NUL byte")),
            _ => self.sql.push(character),
        }
        Ok(true)
    }

    /// SQLite takes a `$` inside a word as part of the word.
    fn inside_word(&self) -> bool {
        self.sql.ends_with(|before: char| {
            before.is_ascii_alphanumeric() || matches!(before, '_' | '$') || !before.is_ascii()
        })
    }

    /// What follows a `%`: the number of a parameter, or nothing for `%%`.
    fn sequence(&mut self, start: Place) -> Result<Option<usize>, TemplateError> {
        let Some(letter) = self.take() else {
            return Err(start.error("the query ends in a lone %; a literal % is written %%"));
        };
        if letter == '%' {
            return Ok(None);
        }
        let Some(slot) = Slot::from_letter(letter) else {
            let shown = letter.escape_default();
            return Err(start.error(format!(
                "%{shown} is not known; there are %u, %r, %d and %s, and a literal % is written %%"
            )));
        };
        let known = self.slots.iter().position(|other| *other == slot);
        let index = known.unwrap_or_else(|| {
            self.slots.push(slot);
            self.slots.len() - 1
        });
        Ok(Some(index + 1))
    }

    fn parameter(&mut self, number: usize) {
        // The blanks keep it apart from a word or number beside it.
        self.sql.push_str(&format!(" ?{number} "));
    }

    fn literal(&mut self, start: Place) -> Result<(), TemplateError> {
        let is_blob = self.sql.ends_with(['x', 'X']);
        let mut pieces = Vec::new();
        let mut text = String::new();
        loop {
            let at = self.at;
            match self.take() {
                None => return Err(start.error("this quote has no end")),
                Some('\0') => return Err(at.error("the query contains a NUL byte")),
                Some('\'') if self.rest.starts_with('\'') => {
                    self.take();
                    text.push_str("''");
                }
                Some('\'') => break,
                Some('%') => match self.sequence(at)? {
                    None => text.push('%'),
                    Some(_) if is_blob => {
                        return Err(at.error("a value cannot stand inside a blob literal"));
                    }
                    Some(number) => {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                        pieces.push(Piece::Value(number));
                    }
                },
                Some(character) => text.push(character),
            }
        }
        self.write_literal(pieces, text);
        Ok(())
    }

    fn write_literal(&mut self, mut pieces: Vec<Piece>, last: String) {
        if pieces.is_empty() {
            self.sql.push_str(&format!("'{last}'"));
            return;
        }
        pieces.push(Piece::Text(last));
        let joined: Vec<String> = pieces
            .into_iter()
            .filter_map(|piece| match piece {
                Piece::Text(text) if text.is_empty() => None,
                Piece::Text(text) => Some(format!("'{text}'")),
                Piece::Value(number) => Some(format!("?{number}")),
            })
            .collect();
        if let [only] = joined.as_slice() {
            self.sql.push_str(&format!(" {only} "));
        } else {
            self.sql.push_str(&format!(" ({}) ", joined.join("||")));
        }
    }

    fn identifier(&mut self, start: Place, end: char) -> Result<(), TemplateError> {
        self.sql.push(if end == ']' { '[' } else { end });
        loop {
            let at = self.at;
            match self.take() {
                None => return Err(start.error("this quote has no end")),
                Some('\0') => return Err(at.error("the query contains a NUL byte")),
                Some('%') => match self.sequence(at)? {
                    None => self.sql.push('%'),
                    Some(_) => {
                        return Err(at.error(
                            "a value cannot stand in the name of a column; use single quotes or none",
                        ));
                    }
                },
                Some(character) if character == end => {
                    self.sql.push(character);
                    // A doubled quote comes back here as the start of the next name, which reads the same.
                    return Ok(());
                }
                Some(character) => self.sql.push(character),
            }
        }
    }

    /// Comments are dropped, so what stands in one is never a sequence.
    fn comment(&mut self, start: Place, end: &str) -> Result<(), TemplateError> {
        self.take();
        self.sql.push(' ');
        while !self.rest.starts_with(end) {
            if self.take().is_none() {
                return if end == "\n" {
                    Ok(())
                } else {
                    Err(start.error("this comment has no end"))
                };
            }
        }
        end.chars().for_each(|_| {
            self.take();
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sql(text: &str) -> String {
        let compiled = Template::compile(text).unwrap();
        compiled.sql().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn error(text: &str) -> (u32, u32) {
        let error = Template::compile(text).unwrap_err();
        (error.line, error.column)
    }

    #[test]
    fn quoted_and_bare_values_become_parameters() {
        assert_eq!(sql("SELECT p FROM t WHERE u = %u"), "SELECT p FROM t WHERE u = ?1");
        assert_eq!(sql("SELECT p FROM t WHERE u = '%u'"), "SELECT p FROM t WHERE u = ?1");
        assert_eq!(
            sql("SELECT p FROM t WHERE u='%u@%r'"),
            "SELECT p FROM t WHERE u= (?1||'@'||?2)"
        );
        assert_eq!(sql("SELECT p WHERE a='%u%r' AND s=%s"), "SELECT p WHERE a= (?1||?2) AND s= ?3");
        assert_eq!(sql("SELECT 'it''s %u'"), "SELECT ('it''s '||?1)");
    }

    #[test]
    fn one_value_is_one_parameter() {
        let compiled = Template::compile("%r '%u' %r %d %u").unwrap();
        assert_eq!(compiled.slots(), [Slot::Realm, Slot::User, Slot::Domain]);
    }

    #[test]
    fn a_doubled_percent_is_one() {
        assert_eq!(sql("SELECT 5 %% 2, 'a%%u'"), "SELECT 5 % 2, 'a%u'");
        assert!(Template::compile("SELECT 'a%%u'").unwrap().slots().is_empty());
    }

    #[test]
    fn c2_an_unknown_sequence_is_a_start_up_error_with_its_place() {
        assert_eq!(error("SELECT %x"), (1, 8));
        assert_eq!(error("SELECT p\n  FROM t WHERE u = '%{env:X}'"), (2, 21));
        assert_eq!(error("SELECT %0999999999d"), (1, 8));
        assert_eq!(error("é '%n'"), (1, 4));
        assert_eq!(error("SELECT %"), (1, 8));
        assert_eq!(error("SELECT '%"), (1, 9));
        assert_eq!(error("SELECT '%U'"), (1, 9));
    }

    #[test]
    fn a_value_stands_only_where_values_stand() {
        assert_eq!(error("SELECT \"%u\""), (1, 9));
        assert_eq!(error("SELECT `%u`"), (1, 9));
        assert_eq!(error("SELECT [%u]"), (1, 9));
        assert_eq!(error("SELECT x'%u'"), (1, 10));
    }

    #[test]
    fn parameters_of_sql_itself_are_refused() {
        for text in ["SELECT ?", "SELECT ?1", "SELECT :u", "SELECT @u", "SELECT $u", "SELECT #u"] {
            assert_eq!(error(text), (1, 8), "{text}");
        }
        assert_eq!(sql("SELECT a$b, '?:@$#'"), "SELECT a$b, '?:@$#'");
    }

    #[test]
    fn quotes_and_comments_have_ends() {
        assert_eq!(error("SELECT 'abc"), (1, 8));
        assert_eq!(error("SELECT \"abc"), (1, 8));
        assert_eq!(error("SELECT 1 /* abc"), (1, 10));
        assert_eq!(sql("SELECT 1 -- 100% of '%x\n, 2 /* %y ' */ , 3 -- end"), "SELECT 1 , 2 , 3");
        assert_eq!(sql("SELECT 'a--b', '/*%%*/'"), "SELECT 'a--b', '/*%*/'");
        assert_eq!(sql("SELECT \"a\"\"b\", [c d]"), "SELECT \"a\"\"b\", [c d]");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_text_is_a_template_or_an_error(text in "[-'\"`\\[\\]%urdsxX*/?:@$ \\n\u{e9}]{0,40}") {
            if let Ok(template) = Template::compile(&text) {
                prop_assert!(template.slots().len() <= 4);
            }
        }
    }
}
