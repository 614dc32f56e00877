//! What is wrong with a map: every mistake at once, each with its place and the nearest right spelling.
//!
//! A map with one mistake is refused whole. sendmail takes most mistakes for "nothing is required"; nobody who
//! wrote `VERFIY` meant that.

use std::fmt;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapError {
    /// The line, from 1; in a list of pairs the number of the pair.
    pub line: u32,
    /// The column in characters, from 1; in a pair as if one blank stood between key and value.
    pub column: u32,
    /// What is wrong.
    pub text: String,
    /// What may have been meant.
    pub nearest: Option<String>,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.text)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

/// All mistakes of a map, in the order of its lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapErrors(pub Vec<MapError>);

impl fmt::Display for MapErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for MapErrors {}

/// Something that is legal and has no effect, or less effect than it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapWarning {
    /// The line, as in [`MapError`].
    pub line: u32,
    /// What to know.
    pub text: String,
}

impl fmt::Display for MapWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.text)
    }
}

/// A mistake inside a key or a value, before its line is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// In bytes from the start of the key or value.
    pub(crate) offset: usize,
    pub(crate) text: String,
    pub(crate) nearest: Option<String>,
}

impl Fault {
    pub(crate) fn new(offset: usize, text: impl Into<String>) -> Self {
        Self { offset, text: text.into(), nearest: None }
    }

    pub(crate) fn or(self, nearest: Option<&str>) -> Self {
        Self { nearest: nearest.map(str::to_owned), ..self }
    }
}
