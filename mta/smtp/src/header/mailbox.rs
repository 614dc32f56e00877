//! Address lists of a header (RFC 5322 section 3.4): names, comments and groups away, addresses kept.
//!
//! Runs in the receiver of the mta, which compares the authors of a message with what an account may write as. Nothing
//! is trusted, and what is in doubt is no list: an address that only some readers would see must not pass.

use crate::address::Address;

/// Deepest nesting of comments.
const MAX_DEPTH: usize = 16;

/// The addresses of a field's value, folded or not; `None` when anything in it is no mailbox.
pub fn list(value: &[u8]) -> Option<Vec<Address>> {
    let text = String::from_utf8_lossy(value);
    let mut element = Element::default();
    let mut found = Vec::new();
    let mut group = Group::Outside;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '(' => comment(&mut letters)?,
            '"' => quoted(&mut letters, element.current()?)?,
            '<' => found.extend(element.open()?),
            '>' => element.close()?,
            ',' if element.place != Place::Within => found.extend(element.finish()?),
            ':' if group == Group::Outside && element.place == Place::Before => {
                group = Group::Inside;
                // A name with an address in it is one to some readers.
                if element.is_like_an_address() {
                    return None;
                }
                element = Element::default();
            }
            ';' if group == Group::Inside && element.place != Place::Within => {
                found.extend(element.finish()?);
                group = Group::Outside;
                element.place = Place::AfterGroup;
            }
            '\r' | '\n' => {}
            ' ' | '\t' if matches!(element.place, Place::After | Place::AfterGroup) => {}
            other => {
                element.note_plain(other);
                element.current()?.push(other);
            }
        }
    }
    found.extend(element.finish()?);
    (group == Group::Outside).then_some(found)
}

#[derive(PartialEq)]
enum Group {
    Outside,
    Inside,
}

/// Where in a mailbox the reader is.
#[derive(Default, PartialEq)]
enum Place {
    /// Before `<`: a name, or an address without brackets.
    #[default]
    Before,
    /// Between the brackets.
    Within,
    /// Behind `>`.
    After,
    /// Behind the `;` of a group, where only a comma may stand.
    AfterGroup,
}

/// What stands between two commas.
#[derive(Default)]
struct Element {
    place: Place,
    text: String,
    bracketed: String,
    /// Whether an `@` stands outside quotes before `<`.
    at: At,
}

#[derive(Default, PartialEq)]
enum At {
    #[default]
    Nowhere,
    InName,
}

impl Element {
    fn current(&mut self) -> Option<&mut String> {
        match self.place {
            Place::Before => Some(&mut self.text),
            Place::Within => Some(&mut self.bracketed),
            Place::After | Place::AfterGroup => None,
        }
    }

    fn note_plain(&mut self, letter: char) {
        if letter == '@' && self.place == Place::Before {
            self.at = At::InName;
        }
    }

    fn is_like_an_address(&self) -> bool {
        self.at == At::InName
    }

    /// The address that stands where a name should, since some readers show that one: it is an author like others.
    /// `None` when something else with an `@` stands there.
    fn open(&mut self) -> Option<Option<Address>> {
        if self.place != Place::Before {
            return None;
        }
        self.place = Place::Within;
        match self.is_like_an_address() {
            true => Address::parse(self.text.trim_matches([' ', '\t'])).ok().map(Some),
            false => Some(None),
        }
    }

    fn close(&mut self) -> Option<()> {
        (self.place == Place::Within).then(|| self.place = Place::After)
    }

    /// Its address: none when it is empty, which is allowed; `None` when it isn't one.
    fn finish(&mut self) -> Option<Option<Address>> {
        let element = std::mem::take(self);
        let text = match element.place {
            Place::Within => return None,
            Place::AfterGroup => return Some(None),
            Place::After => element.bracketed,
            Place::Before if element.text.trim().is_empty() => return Some(None),
            Place::Before => element.text,
        };
        // What wasn't UTF-8 is nobody's address.
        if text.contains(char::REPLACEMENT_CHARACTER) {
            return None;
        }
        Address::parse(text.trim_matches([' ', '\t'])).ok().map(Some)
    }
}

/// Skips the rest of a comment.
fn comment(letters: &mut std::str::Chars<'_>) -> Option<()> {
    let mut depth = 1;
    while depth > 0 {
        match letters.next()? {
            '(' if depth == MAX_DEPTH => return None,
            '(' => depth += 1,
            ')' => depth -= 1,
            '\\' => drop(letters.next()?),
            _ => {}
        }
    }
    Some(())
}

/// Copies the rest of a quoted string, quotes and backslashes included.
fn quoted(letters: &mut std::str::Chars<'_>, into: &mut String) -> Option<()> {
    into.push('"');
    loop {
        let letter = letters.next()?;
        if matches!(letter, '\r' | '\n') {
            continue;
        }
        into.push(letter);
        match letter {
            '"' => return Some(()),
            '\\' => into.push(letters.next()?),
            _ => {}
        }
    }
}
