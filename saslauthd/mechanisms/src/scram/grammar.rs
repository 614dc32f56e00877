//! The two messages of a SCRAM client (RFC 5802 §7), taken apart by the letter.
//!
//! Runs in the checker, on bytes of strangers, before anything is looked up. What is bound into the AuthMessage stays
//! the bytes that came; only names leave here with their escapes resolved. It must never pass on a message that
//! another reader could take apart in another way: each attribute stands once, in its place.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::Name;
use zeroize::Zeroizing;

/// The longest nonce of a client, in bytes; those that are known have 16 to 64.
const LONGEST_NONCE: usize = 512;

/// Attributes with a meaning of their own, which no extension can be; `m=` must be understood and is not.
const TAKEN: &[u8] = b"aceimnprsv";

/// What a client says of the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag<'a> {
    /// `n`: it can't bind.
    CannotBind,
    /// `y`: it could, and thinks that we can't.
    ThinksWeCannot,
    /// `p=` and the binding's name.
    Binds(&'a [u8]),
}

/// `client-first-message`.
pub(super) struct First<'a> {
    pub(super) flag: Flag<'a>,
    pub(super) authzid: Option<Name>,
    pub(super) authid: Name,
    pub(super) nonce: &'a [u8],
    /// `gs2-header`, both of its commas included.
    pub(super) header: &'a [u8],
    /// `client-first-message-bare`.
    pub(super) bare: &'a [u8],
}

/// `client-final-message`.
pub(super) struct Last<'a> {
    /// What `c=` holds.
    pub(super) binding: Zeroizing<Vec<u8>>,
    pub(super) nonce: &'a [u8],
    /// What `p=` holds.
    pub(super) proof: Zeroizing<Vec<u8>>,
    /// `client-final-message-without-proof`.
    pub(super) unproven: &'a [u8],
}

impl<'a> First<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        let (flag, rest) = split(message)?;
        let (authzid, bare) = split(rest)?;
        let header = message.get(..message.len() - bare.len())?;
        let mut attributes = Attributes::of(bare)?;
        let authid = name(attributes.next(b'n')?)?;
        let nonce = attributes.next(b'r')?;
        let sound = attributes.are_extensions() && is_nonce(nonce);
        let (flag, authzid) = (Flag::parse(flag)?, parse_authzid(authzid)?);
        sound.then_some(Self { flag, authzid, authid, nonce, header, bare })
    }
}

impl<'a> Flag<'a> {
    fn parse(flag: &'a [u8]) -> Option<Self> {
        let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        match flag {
            b"n" => Some(Self::CannotBind),
            b"y" => Some(Self::ThinksWeCannot),
            [b'p', b'=', name @ ..] if !name.is_empty() && name.iter().all(in_name) => {
                Some(Self::Binds(name))
            }
            _ => None,
        }
    }
}

impl<'a> Last<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        // The proof is the last attribute, and base64 has no comma.
        let comma = message.iter().rposition(|byte| *byte == b',')?;
        let (unproven, proof) = message.split_at_checked(comma)?;
        let proof = Zeroizing::new(STANDARD.decode(proof.strip_prefix(b",p=")?).ok()?);
        let mut attributes = Attributes::of(unproven)?;
        let binding = Zeroizing::new(STANDARD.decode(attributes.next(b'c')?).ok()?);
        let nonce = attributes.next(b'r')?;
        attributes.are_extensions().then_some(Self { binding, nonce, proof, unproven })
    }
}

/// `x=value`, separated by commas.
struct Attributes<'a>(std::slice::Split<'a, u8, fn(&u8) -> bool>);

impl<'a> Attributes<'a> {
    /// All of it is UTF-8 without NUL.
    fn of(text: &'a [u8]) -> Option<Self> {
        let sound = !text.contains(&0) && std::str::from_utf8(text).is_ok();
        let is_comma: fn(&u8) -> bool = |byte| *byte == b',';
        sound.then(|| Self(text.split(is_comma)))
    }

    /// The value of the next attribute, which must be this one.
    fn next(&mut self, attribute: u8) -> Option<&'a [u8]> {
        match self.0.next()? {
            [found, b'=', value @ ..] if *found == attribute && !value.is_empty() => Some(value),
            _ => None,
        }
    }

    /// Whether all that is left are extensions, which may be ignored (RFC 5802 §5.1).
    fn are_extensions(self) -> bool {
        self.0.into_iter().all(|attribute| match attribute {
            [name, b'=', _, ..] => name.is_ascii_alphabetic() && !TAKEN.contains(name),
            _ => false,
        })
    }
}

/// What stands before the first comma, and what after it.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let comma = text.iter().position(|byte| *byte == b',')?;
    let (before, after) = text.split_at_checked(comma)?;
    Some((before, after.get(1..)?))
}

/// Nothing, or `a=` and a name.
fn parse_authzid(text: &[u8]) -> Option<Option<Name>> {
    match text {
        b"" => Some(None),
        [b'a', b'=', value @ ..] => Some(Some(name(value)?)),
        _ => None,
    }
}

/// `saslname`: `=2C` is a comma and `=3D` an equals sign, and no other equals sign may stand there.
fn name(text: &[u8]) -> Option<Name> {
    std::str::from_utf8(text).ok().filter(|text| !text.is_empty())?;
    let (mut plain, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((byte, after)) = rest.split_first() {
        (plain, rest) = match (byte, after) {
            (b'=', [b'2', b'C', after @ ..]) => (with(plain, b','), after),
            (b'=', [b'3', b'D', after @ ..]) => (with(plain, b'='), after),
            (b'=', _) => return None,
            _ => (with(plain, *byte), after),
        };
    }
    Name::new(&plain).ok()
}

fn with(mut text: Vec<u8>, byte: u8) -> Vec<u8> {
    text.push(byte);
    text
}

/// `1*printable`, which has no comma.
fn is_nonce(nonce: &[u8]) -> bool {
    nonce.len() <= LONGEST_NONCE && nonce.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_message_is_taken_apart() {
        let first =
            First::parse(b"p=tls-exporter,a=mas=3Dter,n=a=2Cb=3Dc,r=abc,x=y=z").expect("ok");
        assert_eq!(first.flag, Flag::Binds(b"tls-exporter"));
        assert_eq!(first.authzid.expect("one").as_bytes(), b"mas=ter");
        assert_eq!(first.authid.as_bytes(), b"a,b=c");
        assert_eq!(first.nonce, b"abc");
        assert_eq!(first.header, b"p=tls-exporter,a=mas=3Dter,");
        assert_eq!(first.bare, b"n=a=2Cb=3Dc,r=abc,x=y=z");
        let first = First::parse("y,,n=jos\u{e9},r=~!".as_bytes()).expect("ok");
        assert_eq!((first.flag, first.authzid), (Flag::ThinksWeCannot, None));
        assert_eq!(first.authid.as_bytes(), "jos\u{e9}".as_bytes());
        assert!(First::parse(&[b"n,,n=u,r=".as_slice(), &[b'r'; 512]].concat()).is_some());
        assert!(First::parse(&[b"n,,n=u,r=".as_slice(), &[b'r'; 513]].concat()).is_none());
    }

    /// Among them all that rsasl's own parser panics on.
    #[test]
    fn what_is_no_first_message() {
        for wrong in [
            "",
            ",",
            ",,",
            "n",
            "n,",
            "n,,",
            "n,x,n=u,r=a",
            "n,a,n=u,r=a",
            "n,a=,n=u,r=a",
            "n,,n",
            "n,,n=u",
            "n,,n=u,",
            "n,,n=a,r",
            "n,,n=a,r=",
            "n,,n=a,",
            "n,,n=,r=a",
            "n,,u,r=a",
            "n,,r=a,n=u",
            "n,,m=x,n=u,r=a",
            "n,,n=u,r=a,m=x",
            "n,,n=u,r=a,",
            "n,,n=u,r=a,x",
            "n,,n=u,r=a,x=",
            "n,,n=u,r=a,1=x",
            "n,,n=u,r=a,r=b",
            "n,,n=u,r=a,n=v",
            "n,,n=u,r=a,,x=y",
            "n,,n=u=2,r=a",
            "n,,n=u=2c,r=a",
            "n,,n=u=,r=a",
            "n,,n=u\0,r=a",
            "n,,n=u\n,r=a",
            "n,,n=u,r=a b",
            "n,,n=u,r=\u{e9}",
            "N,,n=u,r=a",
            "nn,,n=u,r=a",
            "p,,n=u,r=a",
            "p=,,n=u,r=a",
            "p=tls_unique,,n=u,r=a",
            "n=,,n=u,r=a",
            "F,n,,n=u,r=a",
        ] {
            assert!(First::parse(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
        assert!(First::parse(b"n,,n=caf\xe9,r=a").is_none());
        assert!(First::parse(b"n,,n=u,r=a,x=\xff").is_none());
        assert!(First::parse(&[b"n,,n=".as_slice(), &[b'u'; 1025], b",r=a"].concat()).is_none());
    }

    #[test]
    fn a_last_message_is_taken_apart() {
        let last = Last::parse(b"c=biws,r=abc,x=p=1,p=AAEC").expect("ok");
        assert_eq!(*last.binding, b"n,,");
        assert_eq!(last.nonce, b"abc");
        assert_eq!(*last.proof, [0, 1, 2]);
        assert_eq!(last.unproven, b"c=biws,r=abc,x=p=1");
    }

    #[test]
    fn what_is_no_last_message() {
        for wrong in [
            "",
            "c",
            "c=biws",
            "c=biws,r",
            "c=biws,r=a",
            "c=biws,r=a,p",
            "c=biws,r=a,p=!",
            "c=biws,r=a,p=AAE",
            "c=biws,r=a,p=AAEC,",
            "c=biws,r=a,p=AAEC,x=y",
            "c=biws,r=a,p=AAEC,p=AAEC",
            "c=biws,r=,p=AAEC",
            "c=,r=a,p=AAEC",
            "c=bi!s,r=a,p=AAEC",
            "c=biw,r=a,p=AAEC",
            "r=a,c=biws,p=AAEC",
            "c=biws,p=AAEC",
            "c=biws,m=x,r=a,p=AAEC",
            "c=biws,r=a,m=x,p=AAEC",
            "c=biws,r=a,x,p=AAEC",
            "c=biws,r=a,c=biws,p=AAEC",
            "r=a,p=AAEC",
            "c=biws,r=a\0,p=AAEC",
            "p=AAEC",
            ",p=AAEC",
        ] {
            assert!(Last::parse(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
    }
}
