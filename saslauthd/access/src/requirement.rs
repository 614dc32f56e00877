//! What a `TLS_Clt:`, `TLS_Srv:` or `TLS_Rcpt:` entry requires, and its grammar.
//!
//! ```text
//! value = [ ("PERM" | "TEMP") "+" ] ( "VERIFY" [":" bits] | "ENCR" ":" bits ) [ "+" req *( "++" req ) ]
//! req   = "CN" [":" name] | "CS:" dn | "CI:" dn | "CITag:" tag | "CA" [":" name] | "PURPOSE:" purpose
//! ```
//!
//! Keywords in any case. `CA` and `PURPOSE` are ours; the rest is sendmail's. sendmail takes whatever it can't read
//! for "nothing is required" and lets the peer in; here it refuses the map. Blanks beside `+` and `:` vanish, as they do in
//! sendmail. In a name any other blank, or a `+` that begins no `+HH`, is sendmail's too: such a name matches nobody's.
//! Anywhere else they are mistakes.

use crate::error::Fault;
use crate::spelling::nearest;
use crate::value::Wanted;

/// Refuse for now or for good, whatever the site's default is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Temporary,
    Permanent,
}

/// What the connection must be before further requirements are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// `VERIFY`
    Verified,
    /// `VERIFY:bits`
    VerifiedWith(u32),
    /// `ENCR:bits`
    Encrypted(u32),
}

/// One further requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Extension {
    /// `CN`: the common name is the peer's name.
    PeerName,
    /// `CN:name`
    Name(String),
    /// `CS:dn`
    Subject(String),
    /// `CI:dn`
    Issuer(String),
    /// `CITag:tag`: the map has `tag:issuer` with OK.
    IssuerTag(String),
    /// `CA` or `CA:name`: a DNS alternative name is it, or the common name where there is no such name.
    AnyName(Option<String>),
    /// `PURPOSE:any`: a certificate for another purpose counts as verified.
    Purpose(Wanted),
}

/// A requirement as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    pub(crate) severity: Option<Severity>,
    pub(crate) level: Level,
    pub(crate) extensions: Vec<Extension>,
    /// The extensions as text: sendmail ends one of its replies with them.
    pub(crate) tail: String,
}

const LEVELS: [&str; 4] = ["VERIFY", "ENCR", "PERM", "TEMP"];
const EXTENSIONS: [&str; 7] = ["CN", "CS", "CI", "CITag", "CA", "PURPOSE", "VERIFY"];

impl Requirement {
    /// Does an extension ask for a certificate's purpose?
    pub(crate) fn purpose(&self) -> Option<Wanted> {
        self.extensions.iter().find_map(|extension| match extension {
            Extension::Purpose(wanted) => Some(*wanted),
            _ => None,
        })
    }

    /// Reads a value. Offsets of faults are bytes of the value as given.
    pub(crate) fn parse(value: &str) -> Result<Self, Fault> {
        let pieces = squeeze(value);
        let mut rest = Piece { text: &pieces.text, at: 0 };
        let severity = rest.severity();
        if severity.is_some() && rest.severity().is_some() {
            return Err(Fault::new(0, "only one of PERM+ and TEMP+ may stand in front")
                .or(Some("PERM+VERIFY")))
            .map_err(|fault| pieces.place(fault));
        }
        let (level, tail) = rest.cut("+");
        let parsed = read_level(level).and_then(|level| {
            let extensions = tail.map_or(Ok(Vec::new()), read_extensions)?;
            let tail = tail.map_or_else(String::new, |tail| tail.text.to_owned());
            Ok(Self { severity, level, extensions, tail })
        });
        parsed.map_err(|fault| pieces.place(fault))
    }
}

/// A value without the blanks that sendmail drops, and where its bytes came from.
struct Squeezed {
    text: String,
    origin: Vec<usize>,
}

impl Squeezed {
    fn place(&self, fault: Fault) -> Fault {
        let end = self.origin.last().map_or(0, |last| last + 1);
        Fault { offset: self.origin.get(fault.offset).copied().unwrap_or(end), ..fault }
    }
}

fn squeeze(value: &str) -> Squeezed {
    let mut squeezed = Squeezed { text: String::with_capacity(value.len()), origin: Vec::new() };
    let mut letters = value.char_indices().peekable();
    let operator =
        |letter: Option<char>| letter.is_none_or(|letter| letter == '+' || letter == ':');
    while let Some((at, letter)) = letters.next() {
        if !letter.is_whitespace() {
            squeezed.text.push(letter);
            squeezed.origin.extend(at..at + letter.len_utf8());
            continue;
        }
        while letters.next_if(|(_, letter)| letter.is_whitespace()).is_some() {}
        let after = letters.peek().map(|(_, letter)| *letter);
        if !operator(squeezed.text.chars().next_back()) && !operator(after) {
            squeezed.text.push(' ');
            squeezed.origin.push(at);
        }
    }
    squeezed
}

/// A part of the squeezed value and where it begins.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Piece<'a> {
    /// What is before and after a separator.
    fn cut(self, separator: &str) -> (Self, Option<Self>) {
        match self.text.split_once(separator) {
            Some((head, tail)) => (
                Piece { text: head, at: self.at },
                Some(Piece { text: tail, at: self.at + head.len() + separator.len() }),
            ),
            None => (self, None),
        }
    }

    /// Takes `PERM+` or `TEMP+` off the front.
    fn severity(&mut self) -> Option<Severity> {
        let (word, tail) = self.cut("+");
        let severity = if word.text.eq_ignore_ascii_case("PERM") {
            Severity::Permanent
        } else if word.text.eq_ignore_ascii_case("TEMP") {
            Severity::Temporary
        } else {
            return None;
        };
        *self = tail?;
        Some(severity)
    }

    fn fault(self, text: impl Into<String>) -> Fault {
        Fault::new(self.at, text)
    }

    /// Refuses a blank.
    fn one_word(self) -> Result<(), Fault> {
        let Some(blank) = self.text.find(' ') else { return Ok(()) };
        let text = "one requirement is one word; what follows the blank would not be looked at";
        Err(Fault::new(self.at + blank + 1, text))
    }

    /// The content of something that must have one.
    fn filled(self, what: &str) -> Result<&'a str, Fault> {
        if self.text.is_empty() {
            Err(self.fault(format!("{what} is empty")))
        } else {
            Ok(self.text)
        }
    }
}

fn read_level(level: Piece<'_>) -> Result<Level, Fault> {
    level.one_word()?;
    let (word, bits) = level.cut(":");
    let bits = bits.map(read_bits).transpose();
    if word.text.eq_ignore_ascii_case("VERIFY") {
        Ok(bits?.map_or(Level::Verified, Level::VerifiedWith))
    } else if word.text.eq_ignore_ascii_case("ENCR") {
        let missing = || word.fault("ENCR wants a number of bits").or(Some("ENCR:128"));
        bits?.map(Level::Encrypted).ok_or_else(missing)
    } else if word.text.is_empty() {
        Err(word.fault("a requirement begins with VERIFY or ENCR:bits"))
    } else {
        let known = nearest(word.text, LEVELS.into_iter().chain(["OK", "SKIP"]));
        let text = format!("`{}` is no requirement, and sendmail would require nothing", word.text);
        Err(word.fault(text).or(known))
    }
}

fn read_bits(bits: Piece<'_>) -> Result<u32, Fault> {
    let digits = bits.filled("the number of bits")?;
    // sendmail reads a number that begins with 0 as an octal one, and 0128 as 10.
    let octal = digits.len() > 1 && digits.starts_with('0');
    let decimal = !octal && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = decimal.then(|| digits.parse().ok()).flatten();
    number
        .filter(|bits| i32::try_from(*bits).is_ok())
        .ok_or_else(|| bits.fault(format!("`{digits}` is no number of bits")))
}

fn read_extensions(list: Piece<'_>) -> Result<Vec<Extension>, Fault> {
    let mut extensions = Vec::new();
    let mut rest = Some(list);
    while let Some(list) = rest {
        let (one, tail) = list.cut("++");
        extensions.push(read_extension(one)?);
        rest = tail;
    }
    Ok(extensions)
}

fn read_extension(one: Piece<'_>) -> Result<Extension, Fault> {
    let (word, argument) = one.cut(":");
    word.one_word()?;
    let is = |name: &str| word.text.eq_ignore_ascii_case(name);
    match argument {
        None if is("CN") => Ok(Extension::PeerName),
        None if is("CA") => Ok(Extension::AnyName(None)),
        Some(name) if is("CN") => encoded(name).map(Extension::Name),
        Some(name) if is("CA") => encoded(name).map(|name| Extension::AnyName(Some(name))),
        Some(dn) if is("CS") => encoded(dn).map(Extension::Subject),
        Some(dn) if is("CI") => encoded(dn).map(Extension::Issuer),
        Some(tag) if is("CITag") => read_tag(tag).map(|tag| Extension::IssuerTag(tag.to_owned())),
        Some(purpose) if is("PURPOSE") => Wanted::parse(purpose.text)
            .map(Extension::Purpose)
            .map_err(|fault| purpose.fault(fault.text).or(fault.nearest.as_deref())),
        None if is("CS") || is("CI") || is("CITag") || is("PURPOSE") => {
            Err(word.fault(format!("{} wants `:` and a value", word.text)))
        }
        _ => Err(unknown(word)),
    }
}

/// A single `+` where two should stand looks like one long word.
fn unknown(word: Piece<'_>) -> Fault {
    let (first, second) = word.cut("+");
    if let (true, Some(second)) = (EXTENSIONS.contains(&first.text), second) {
        return Fault::new(second.at, "further requirements are set off by `++`");
    }
    let text = if word.text.is_empty() {
        "a requirement is missing".to_owned()
    } else {
        format!("`{}` is no requirement, and sendmail would look at nothing behind it", word.text)
    };
    word.fault(text).or(nearest(word.text, EXTENSIONS))
}

/// A tag of the map: letters, digits, `-` and `_`. sendmail reads one token and accepts whatever is longer.
pub(crate) fn is_tag(text: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && text.bytes().all(fine)
}

fn read_tag(tag: Piece<'_>) -> Result<&str, Fault> {
    let text = tag.filled("the tag of CITag")?;
    if is_tag(text) {
        return Ok(text);
    }
    Err(tag.fault(format!("`{text}` is no tag: letters, digits, `-` and `_`")))
}

/// A name in map-key encoding.
fn encoded(name: Piece<'_>) -> Result<String, Fault> {
    name.filled("the name").map(str::to_owned)
}

/// Can no name in map-key encoding be this one? A blank in it is `+20`, and a `+` begins a `+HH`.
pub(crate) fn is_unencoded(name: &str) -> bool {
    let code = |at: usize| name.as_bytes().get(at + 1..at + 3);
    let encodes = |at| code(at).is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit));
    name.contains(' ') || name.match_indices('+').any(|(at, _)| !encodes(at))
}

#[cfg(test)]
#[path = "requirement/tests.rs"]
mod tests;
