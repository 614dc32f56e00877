//! The kinds of values that a configuration has: numbers with bounds, times, sizes, paths, accounts, rates.
//!
//! Each parses into its final type at once and says what it expected otherwise.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;

use crate::complaint::Complaints;
use crate::setting::{At, Keys, Setting, mismatch};

/// A whole number between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole<const LEAST: u32, const MOST: u32>(pub u32);

impl<const LEAST: u32, const MOST: u32> Setting for Whole<LEAST, MOST> {
    fn expected() -> String {
        format!("a whole number from {LEAST} to {MOST}")
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        let Some(number) = value.get_ref().as_integer() else { return mismatch(value, complaints) };
        let parsed = u32::from_str_radix(number.as_str(), number.radix()).ok();
        match parsed.filter(|n| (LEAST..=MOST).contains(n)) {
            Some(number) => Some(Self(number)),
            None => {
                let message = format!("expected {}, found {number}", Self::expected());
                complaints.add(Some(value.span()), message);
                None
            }
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// A number with a unit, as a string. Bounds are in the smallest unit.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The largest unit that divides the number.
fn in_unit(number: u64, units: &[(&str, u64)]) -> String {
    let unit =
        units.iter().rev().find(|(_, factor)| number.is_multiple_of(*factor) && number >= *factor);
    let (name, factor) = unit.or_else(|| units.first()).copied().unwrap_or(("", 1));
    format!("{}{name}", number / factor)
}

fn parse_with_unit<T: Setting>(
    value: &Spanned<DeValue<'_>>,
    units: &[(&str, u64)],
    bounds: std::ops::RangeInclusive<u32>,
    complaints: &mut Complaints,
) -> Option<u32> {
    let Some(text) = value.get_ref().as_str() else {
        return mismatch::<T>(value, complaints).and(None);
    };
    let number = with_unit(text, units).and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| bounds.contains(number));
    if number.is_none() {
        let message = format!("expected {}, found \"{}\"", T::expected(), text.escape_debug());
        complaints.add(Some(value.span()), message);
    }
    number
}

const TIMES: &[(&str, u64)] =
    &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// A time in milliseconds between two bounds, written as `"250ms"`, `"10s"`, `"5m"`, `"8h"` or `"30d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time<const LEAST: u32, const MOST: u32>(pub u32);

impl<const LEAST: u32, const MOST: u32> Setting for Time<LEAST, MOST> {
    fn expected() -> String {
        let (least, most) = (in_unit(LEAST.into(), TIMES), in_unit(MOST.into(), TIMES));
        format!("a time from \"{least}\" to \"{most}\" (units ms, s, m, h, d)")
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        parse_with_unit::<Self>(value, TIMES, LEAST..=MOST, complaints).map(Self)
    }

    fn show(&self) -> Option<String> {
        Some(format!("\"{}\"", in_unit(self.0.into(), TIMES)))
    }
}

impl<const LEAST: u32, const MOST: u32> Time<LEAST, MOST> {
    /// In whole seconds, rounded up.
    pub fn seconds(self) -> u32 {
        self.0.div_ceil(1000)
    }
}

const SIZES: &[(&str, u64)] = &[("KiB", 1), ("MiB", 1024), ("GiB", 1024 * 1024)];

/// A size in KiB between two bounds, written as `"19MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size<const LEAST: u32, const MOST: u32>(pub u32);

impl<const LEAST: u32, const MOST: u32> Setting for Size<LEAST, MOST> {
    fn expected() -> String {
        let (least, most) = (in_unit(LEAST.into(), SIZES), in_unit(MOST.into(), SIZES));
        format!("a size from \"{least}\" to \"{most}\" (units KiB, MiB, GiB)")
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        parse_with_unit::<Self>(value, SIZES, LEAST..=MOST, complaints).map(Self)
    }

    fn show(&self) -> Option<String> {
        Some(format!("\"{}\"", in_unit(self.0.into(), SIZES)))
    }
}

impl Setting for bool {
    fn expected() -> String {
        "true or false".into()
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        value.get_ref().as_bool().or_else(|| mismatch(value, complaints))
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for String {
    fn expected() -> String {
        "a string without control characters".into()
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        match value.get_ref().as_str() {
            Some(text) if !text.contains(char::is_control) => Some(text.to_owned()),
            _ => mismatch(value, complaints),
        }
    }

    fn show(&self) -> Option<String> {
        Some(quoted(self))
    }

    fn example() -> &'static str {
        "\"...\""
    }
}

/// A TOML string. Values of the configuration have no control characters.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// An absolute path in UTF-8, without `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsolutePath(pub PathBuf);

impl AbsolutePath {
    /// From text that is one.
    pub fn new(text: &str) -> Option<Self> {
        let path = PathBuf::from(text);
        let climbs = path.components().any(|part| part == std::path::Component::ParentDir);
        let sound = path.is_absolute() && !climbs && !text.contains(char::is_control);
        sound.then_some(Self(path))
    }

    /// As text; the constructor took text.
    pub fn text(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }
}

impl Setting for AbsolutePath {
    fn expected() -> String {
        "an absolute path without `..`".into()
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        let Some(text) = value.get_ref().as_str() else { return mismatch(value, complaints) };
        let path = Self::new(text);
        if path.is_none() {
            let message = format!("expected {}, found {}", Self::expected(), quoted(text));
            complaints.add(Some(value.span()), message.replace(char::is_control, "?"));
        }
        path
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.text()))
    }

    fn example() -> &'static str {
        "\"/path/to/file\""
    }
}

/// A user or a group, by name or by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// A name to look up.
    Name(String),
    /// The id itself.
    Id(u32),
}

impl Setting for Account {
    fn expected() -> String {
        "a name in quotes, or a number".into()
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(name) if !name.is_empty() && !name.contains(char::is_control) => {
                Some(Self::Name(name.clone().into_owned()))
            }
            // The last id means "unchanged" to chown(2) and setuid(2).
            DeValue::Integer(_) => Whole::<0, { u32::MAX - 1 }>::parse(value, complaints)
                .map(|number| Self::Id(number.0)),
            _ => mismatch(value, complaints),
        }
    }

    fn show(&self) -> Option<String> {
        Some(match self {
            Self::Name(name) => quoted(name),
            Self::Id(id) => id.to_string(),
        })
    }

    fn example() -> &'static str {
        "\"root\""
    }
}

/// Permissions of a socket or a directory, in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub u32);

impl Setting for Mode {
    fn expected() -> String {
        "permissions in octal, such as \"0660\"".into()
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        let Some(text) = value.get_ref().as_str() else { return mismatch(value, complaints) };
        let octal = text.bytes().all(|b| b.is_ascii_digit());
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| octal && *mode <= 0o777);
        if mode.is_none() {
            let message = format!("expected {}, found {}", Self::expected(), quoted(text));
            complaints.add(Some(value.span()), message.replace(char::is_control, "?"));
        }
        mode.map(Self)
    }

    fn show(&self) -> Option<String> {
        Some(format!("\"{:04o}\"", self.0))
    }
}

/// So many failures at once, and so many in a time in the long run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// In the long run: this many …
    pub count: u32,
    /// … in this many milliseconds, whole seconds.
    pub every: Time<1000, { 30 * 86_400_000 }>,
}

impl Rate {
    /// `burst` at once, `count` in `seconds` after that.
    pub const fn new(burst: u32, count: u32, seconds: u32) -> Self {
        Self { burst, count, every: Time(seconds * 1000) }
    }
}

impl Setting for Rate {
    fn expected() -> String {
        "a rate such as { burst = 5, count = 1, every = \"60s\" }".into()
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        let DeValue::Table(table) = value.get_ref() else { return mismatch(value, complaints) };
        let mut keys = Keys::new(table, complaints);
        let (mut burst, mut count, mut every) = (None, None, None);
        keys.read("burst", &mut burst);
        keys.read("count", &mut count);
        keys.read("every", &mut every);
        keys.finish();
        let (Some(Whole::<1, 1_000_000>(burst)), Some(Whole::<1, 1_000_000>(count)), Some(every)) =
            (burst, count, every)
        else {
            if table.len() < 3 {
                let message = format!("expected {}, and a key is missing", Self::expected());
                complaints.add(Some(value.span()), message);
            }
            return None;
        };
        Some(Self { burst, count, every })
    }

    fn show(&self) -> Option<String> {
        let every = self.every.show()?;
        Some(format!("{{ burst = {}, count = {}, every = {every} }}", self.burst, self.count))
    }
}

impl<T: Setting> Setting for Option<T> {
    fn expected() -> String {
        T::expected()
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        T::parse(value, complaints).map(Some)
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }

    fn example() -> &'static str {
        T::example()
    }
}

impl<T: Setting> Setting for At<T> {
    fn expected() -> String {
        T::expected()
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        let at = Some(value.span());
        T::parse(value, complaints).map(|value| Self { value, at })
    }

    fn show(&self) -> Option<String> {
        self.value.show()
    }

    fn example() -> &'static str {
        T::example()
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn expected() -> String {
        format!("a list in brackets, each {}", T::expected())
    }

    fn parse(value: &Spanned<DeValue<'_>>, complaints: &mut Complaints) -> Option<Self> {
        let DeValue::Array(list) = value.get_ref() else { return mismatch(value, complaints) };
        let parsed: Vec<Option<T>> = list.iter().map(|item| T::parse(item, complaints)).collect();
        parsed.into_iter().collect()
    }

    fn show(&self) -> Option<String> {
        let items: Vec<String> = self.iter().filter_map(T::show).collect();
        Some(format!("[{}]", items.join(", ")))
    }

    fn example() -> &'static str {
        "[\"postfix\", \"root\"]"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Setting>(text: &str) -> Result<T, String> {
        let mut complaints = Complaints::default();
        let value = DeValue::parse(text).unwrap();
        T::parse(&value, &mut complaints)
            .ok_or_else(|| complaints.into_report("x", text).lines().join("\n"))
    }

    #[test]
    fn numbers_keep_their_bounds() {
        assert_eq!(read::<Whole<1, 9>>("9"), Ok(Whole(9)));
        assert_eq!(read::<Whole<1, 9>>("0x9"), Ok(Whole(9)));
        for wrong in ["0", "10", "-1", "99999999999999999999"] {
            let error = read::<Whole<1, 9>>(wrong).unwrap_err();
            assert!(error.contains("expected a whole number from 1 to 9, found"), "{error}");
        }
        assert!(read::<Whole<1, 9>>("\"3\"").unwrap_err().ends_with("found a string"));
    }

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(read::<Time<1, 600_000>>("\"250ms\""), Ok(Time(250)));
        assert_eq!(read::<Time<1, 600_000>>("\"10m\""), Ok(Time(600_000)));
        assert!(read::<Time<1, 600_000>>("\"11m\"").is_err());
        assert!(read::<Time<1, 600_000>>("\"10\"").is_err());
        assert!(read::<Time<1, 600_000>>("\"s\"").is_err());
        assert!(read::<Time<1, 600_000>>("\"99999999999999999999d\"").is_err());
        assert_eq!(read::<Size<1, 4096>>("\"4 MiB\""), Ok(Size(4096)));
        assert_eq!(Time::<1, 9>(28_800_000).show().unwrap(), "\"8h\"");
        assert_eq!(Size::<1, 9>(1025).show().unwrap(), "\"1025KiB\"");
    }

    #[test]
    fn paths_modes_and_accounts() {
        assert!(read::<AbsolutePath>("\"/run/x\"").is_ok());
        assert!(read::<AbsolutePath>("\"run/x\"").is_err());
        assert!(read::<AbsolutePath>("\"/run/../x\"").is_err());
        assert_eq!(read::<Mode>("\"0660\""), Ok(Mode(0o660)));
        assert!(read::<Mode>("\"+660\"").is_err());
        assert!(read::<Mode>("\"7777\"").is_err());
        assert!(read::<Mode>("660").is_err());
        assert_eq!(read::<Account>("\"postfix\""), Ok(Account::Name("postfix".into())));
        assert_eq!(read::<Account>("0"), Ok(Account::Id(0)));
        assert!(read::<Account>("4294967295").is_err());
    }

    #[test]
    fn rates_need_all_three() {
        let rate = Rate::new(5, 1, 60);
        assert_eq!(rate.show().unwrap(), "{ burst = 5, count = 1, every = \"1m\" }");
        assert_eq!(read::<Rate>(&rate.show().unwrap()), Ok(rate));
        assert!(read::<Rate>("{ burst = 5 }").unwrap_err().contains("a key is missing"));
        let unknown = read::<Rate>("{ burst = 5, count = 1, evry = \"1s\" }").unwrap_err();
        assert!(unknown.contains("did you mean `every`?"), "{unknown}");
    }
}
