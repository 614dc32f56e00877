//! Distinguished names, as they are compared.
//!
//! Runs in the receiver and in the sender; the bytes come from strangers. As OpenSSL does, letters of ASCII are compared
//! without regard to case, blanks count once, and how a text is encoded does not matter (RFC 5280 section 7.1).

use asn1::Tlv;

use super::certificate::{Malformed, elements, only};

/// A name in a form of which equal ones are equal: parts that begin one another stand for names that begin one another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Comparable(Vec<Vec<u8>>);

impl Comparable {
    /// Of a Name in DER.
    pub(super) fn of(name: &[u8]) -> Result<Self, Malformed> {
        elements(only(name)?.data())?.iter().map(relative).collect::<Result<_, _>>().map(Self)
    }

    /// Whether it is this name or one below it.
    pub(super) fn is_within(&self, base: &Self) -> bool {
        self.0.starts_with(&base.0)
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn relative(set: &Tlv<'_>) -> Result<Vec<u8>, Malformed> {
    let mut comparable = Vec::new();
    for attribute in elements(set.data())? {
        let parts = elements(attribute.data())?;
        let [kind, value] = parts.as_slice() else { return Err(Malformed) };
        let text = text(value);
        let bytes = text.as_deref().map_or(value.full_data(), str::as_bytes);
        for part in [kind.data(), &[u8::from(text.is_some())], bytes] {
            comparable.extend_from_slice(&(part.len() as u64).to_be_bytes());
            comparable.extend_from_slice(part);
        }
    }
    Ok(comparable)
}

/// What a string says; `None` for what is no string.
fn text(value: &Tlv<'_>) -> Option<String> {
    let bytes = value.data();
    let text: String = match value.tag().as_u8()? {
        0x0c => std::str::from_utf8(bytes).ok()?.to_owned(),
        // PrintableString, T61String (in fact Latin-1), IA5String, VisibleString.
        0x13 | 0x14 | 0x16 | 0x1a => bytes.iter().map(|byte| char::from(*byte)).collect(),
        0x1e => {
            let units = bytes.chunks(2).map(|pair| match pair {
                [high, low] => u16::from_be_bytes([*high, *low]),
                _ => 0xdc00,
            });
            char::decode_utf16(units).collect::<Result<_, _>>().ok()?
        }
        0x1c => {
            let units = bytes.chunks(4).map(|unit| <[u8; 4]>::try_from(unit).ok());
            units.map(|unit| char::from_u32(u32::from_be_bytes(unit?))).collect::<Option<_>>()?
        }
        _ => return None,
    };
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    Some(words.join(" ").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(kind: u8, value: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, inner: &[u8]| [&[tag, inner.len() as u8], inner].concat();
        let attribute = [&b"\x06\x03\x55\x04\x03"[..], &wrap(kind, value)].concat();
        wrap(0x30, &wrap(0x31, &wrap(0x30, &attribute)))
    }

    #[test]
    fn case_blanks_and_encodings_do_not_matter() {
        let one = Comparable::of(&name(0x0c, "Oracle  Tést ".as_bytes())).unwrap();
        for same in [
            name(0x0c, " oracle tést".as_bytes()),
            name(0x14, b"ORACLE T\xe9st"),
            name(0x1e, b"\0o\0r\0a\0c\0l\0e\0 \0T\0\xe9\0s\0t"),
        ] {
            assert_eq!(Comparable::of(&same).unwrap(), one);
        }
        assert_ne!(Comparable::of(&name(0x0c, b"Oracle Test")).unwrap(), one);
        assert_ne!(
            Comparable::of(&name(0x04, b"oracle")).unwrap(),
            Comparable::of(&name(0x0c, b"oracle")).unwrap()
        );
    }
}
