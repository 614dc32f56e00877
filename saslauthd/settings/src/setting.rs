//! How one setting is read, shown and documented.
//!
//! A [`Setting`] is a value that parses into its final type at once; the [`settings!`]
//! macro makes a section out of fields, so that doc comment, default and parser of a key stand in one place.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::complaint::Complaints;

/// A value of the configuration.
pub trait Setting: Sized {
    /// What may stand there, such as `a whole number from 1 to 9`.
    fn expected() -> String;

    /// Reads it, or complains.
    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self>;

    /// As it stands in a file; `None` when it is not set.
    fn show(&self) -> Option<String>;

    /// As it could stand in a file, for settings that are not set by default.
    fn example() -> &'static str {
        ""
    }
}

/// A value with the place that it was read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its bytes in the file, if it came from there.
    pub at: Option<Range<usize>>,
}

impl<T> From<T> for At<T> {
    fn from(value: T) -> Self {
        Self { value, at: None }
    }
}

/// One key as the manual shows it.
pub struct Entry {
    /// The key.
    pub key: &'static str,
    /// Its doc comment, line by line.
    pub about: &'static [&'static str],
    /// Its default, or an example of it.
    pub value: String,
    /// Whether `value` is the default.
    pub is_default: bool,
}

impl Entry {
    /// The entry of a field whose default is `value`.
    pub fn new<T: Setting>(key: &'static str, about: &'static [&'static str], value: &T) -> Self {
        match value.show() {
            Some(value) => Self { key, about, value, is_default: true },
            None => Self { key, about, value: T::example().to_owned(), is_default: false },
        }
    }
}

/// Some keys that belong together.
pub trait Section: Default {
    /// Reads the keys that are there and leaves the others as they are.
    fn read(&mut self, keys: &mut Keys<'_, '_>);

    /// The manual of the keys.
    fn manual() -> Vec<Entry>;

    /// The section's doc comment, line by line.
    fn about() -> &'static [&'static str];
}

/// The keys of one table while they are read.
pub struct Keys<'t, 'c> {
    table: &'t DeTable<'t>,
    known: Vec<&'static str>,
    complaints: &'c mut Complaints,
}

impl<'t, 'c> Keys<'t, 'c> {
    /// None read yet.
    pub fn new(table: &'t DeTable<'t>, complaints: &'c mut Complaints) -> Self {
        Self { table, known: Vec::new(), complaints }
    }

    /// Where complaints go.
    pub fn complaints(&mut self) -> &mut Complaints {
        self.complaints
    }

    /// The raw value of a key.
    pub fn raw(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// Reads one key into its field if it is there.
    pub fn read<T: Setting>(&mut self, key: &'static str, field: &mut T) {
        let Some(value) = self.raw(key) else { return };
        if let Some(value) = T::parse(value, self.complaints) {
            *field = value;
        }
    }

    /// Complains of every key that nobody asked for.
    pub fn finish(self) {
        for (key, _) in self.table.iter() {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let near = self.known.iter().find(|known| is_near(known, name));
            let help = match near {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("the keys here are {}", self.known.join(", ")),
            };
            let message = format!("unknown key `{}`; {help}", name.escape_debug());
            self.complaints.add(Some(key.span()), message);
        }
    }
}

/// One slip of the finger: at most two letters differ, are missing or are too many.
fn is_near(known: &str, typed: &str) -> bool {
    let (known, typed): (Vec<char>, Vec<char>) =
        (known.chars().collect(), typed.to_lowercase().chars().collect());
    let head = known.iter().zip(&typed).take_while(|(a, b)| a == b).count();
    let tail = known.iter().rev().zip(typed.iter().rev()).take_while(|(a, b)| a == b).count();
    let kept = (head + tail).min(known.len()).min(typed.len());
    kept >= 2 && known.len().max(typed.len()) - kept <= 2
}

/// What a TOML value is, in words.
pub fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Complains that something else was expected.
pub fn mismatch<T: Setting>(
    value: &Spanned<DeValue<'_>>,
    complaints: &mut Complaints,
) -> Option<T> {
    let message = format!("expected {}, found {}", T::expected(), kind(value.get_ref()));
    complaints.add(Some(value.span()), message);
    None
}

/// A section: each field's doc comment is its manual, its initial value the default.
#[macro_export]
macro_rules! settings {
    (
        $(#[doc = $about:literal])*
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])* $field:ident: $type:ty = $default:expr, )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::setting::Section for $name {
            fn read(&mut self, keys: &mut $crate::setting::Keys<'_, '_>) {
                $( keys.read(stringify!($field).trim_start_matches("r#"), &mut self.$field); )*
            }

            fn manual() -> Vec<$crate::setting::Entry> {
                let section = Self::default();
                vec![$( $crate::setting::Entry::new(
                    stringify!($field).trim_start_matches("r#"), &[$($doc),*], &section.$field,
                ), )*]
            }

            fn about() -> &'static [&'static str] {
                &[$($about),*]
            }
        }
    };
}

/// A choice among words.
#[macro_export]
macro_rules! choices {
    (
        $(#[doc = $about:literal])*
        pub enum $name:ident { $( $(#[doc = $doc:literal])* $variant:ident = $word:literal, )* }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( $(#[doc = $doc])* $variant, )* }

        impl $name {
            /// The word that stands for it in a file.
            pub fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }
        }

        impl $crate::setting::Setting for $name {
            fn expected() -> String {
                format!("one of {}", [$( concat!("\"", $word, "\"") ),*].join(", "))
            }

            fn parse(
                value: &$crate::toml::Spanned<$crate::toml::de::DeValue<'_>>,
                complaints: &mut $crate::complaint::Complaints,
            ) -> Option<Self> {
                match value.get_ref().as_str() {
                    $( Some($word) => Some(Self::$variant), )*
                    Some(other) => {
                        let message = format!(
                            "expected {}, found \"{}\"", Self::expected(), other.escape_debug()
                        );
                        complaints.add(Some(value.span()), message);
                        None
                    }
                    None => $crate::setting::mismatch(value, complaints),
                }
            }

            fn show(&self) -> Option<String> {
                Some(format!("\"{}\"", self.word()))
            }

            fn example() -> &'static str {
                [$( concat!("\"", $word, "\"") ),*].first().copied().unwrap_or_default()
            }
        }
    };
}

pub use crate::{choices, settings};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_a_slip_and_not_another_word() {
        assert!(is_near("threads", "thread"));
        assert!(is_near("threads", "treads"));
        assert!(is_near("max_ms", "max-ms"));
        assert!(!is_near("path", "query"));
        assert!(!is_near("a", "b"));
    }
}
