//! The directives of a `digest-response` (RFC 2831 §2.1.2): `name=value`, where a value is a token or a quoted string.
//!
//! Runs in the checker, on bytes of strangers, before anything is looked up. Each directive that means something
//! may stand once; those of other people are read over.

use zeroize::Zeroizing;

/// "The size of a digest-response MUST be less than 4096 bytes."
const LONGEST: usize = 4095;

/// The values, without their quotes and escapes.
pub(super) struct Directives {
    pub(super) username: Vec<u8>,
    /// Empty when there is none.
    pub(super) realm: Vec<u8>,
    pub(super) nonce: Vec<u8>,
    pub(super) cnonce: Vec<u8>,
    pub(super) digest_uri: Vec<u8>,
    /// 32 digits of hexadecimal.
    pub(super) response: Zeroizing<Vec<u8>>,
    pub(super) authzid: Option<Vec<u8>>,
}

/// Those that may stand once, in the order of [`Found`].
const KNOWN: [&str; 12] = [
    "username",
    "realm",
    "nonce",
    "cnonce",
    "nc",
    "qop",
    "digest-uri",
    "response",
    "charset",
    "authzid",
    "maxbuf",
    "cipher",
];

type Found = [Option<Vec<u8>>; KNOWN.len()];

impl Directives {
    /// `None` also for another `qop` than `auth`, another charset than UTF-8, and a nonce that is not used for the
    /// first time.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        if message.len() > LONGEST || message.contains(&0) {
            return None;
        }
        let [username, realm, nonce, cnonce, nc, qop, digest_uri, response, charset, authzid, _, _] =
            find(message)?;
        if charset.as_ref().is_some_and(|charset| !charset.eq_ignore_ascii_case(b"utf-8")) {
            return None;
        }
        let usual = nc? == b"00000001" && qop.is_none_or(|qop| qop == b"auth");
        let spelt = charset.is_none()
            || [&username, &realm, &authzid]
                .into_iter()
                .flatten()
                .all(|text| std::str::from_utf8(text).is_ok());
        let given = authzid.as_ref().is_none_or(|authzid| !authzid.is_empty());
        let directives = Self {
            username: username?,
            realm: realm.unwrap_or_default(),
            nonce: nonce?,
            cnonce: cnonce.filter(|cnonce| !cnonce.is_empty())?,
            digest_uri: digest_uri?,
            response: Zeroizing::new(response?),
            authzid,
        };
        (usual && spelt && given).then_some(directives)
    }
}

fn find(message: &[u8]) -> Option<Found> {
    let mut found = Found::default();
    let mut rest = skip(message);
    while !rest.is_empty() {
        let (name, value, after) = directive(rest)?;
        let known = KNOWN.iter().position(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        if let Some(place) = known.and_then(|place| found.get_mut(place)) {
            if place.is_some() {
                return None;
            }
            *place = Some(value);
        }
        let after = blank(after);
        if !after.is_empty() && !after.starts_with(b",") {
            return None;
        }
        rest = skip(after);
    }
    Some(found)
}

/// The first directive, and what follows it.
fn directive(text: &[u8]) -> Option<(&[u8], Vec<u8>, &[u8])> {
    let (name, rest) = token(text)?;
    let rest = blank(blank(rest).strip_prefix(b"=")?);
    match rest.strip_prefix(b"\"") {
        Some(quoted) => {
            let (value, after) = unquote(quoted)?;
            Some((name, value, after))
        }
        None => {
            let (value, after) = token(rest)?;
            Some((name, value.to_vec(), after))
        }
    }
}

/// RFC 2831 §7.1; never empty.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let in_token = |byte: &u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(byte);
    let end = text.iter().position(|byte| !in_token(byte)).unwrap_or(text.len());
    if end == 0 { None } else { text.split_at_checked(end) }
}

/// Up to the closing quote, which is not given back.
fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (mut value, mut rest) = (Vec::new(), text);
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some((value, after)),
            [b'\\', escaped, after @ ..] => {
                value.push(*escaped);
                after
            }
            [b'\\'] | [] => return None,
            [byte, after @ ..] => {
                value.push(*byte);
                after
            }
        };
    }
}

/// Without blanks in front.
fn blank(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !b" \t\r\n".contains(byte)).unwrap_or(text.len());
    text.get(end..).unwrap_or_default()
}

/// Without blanks and commas in front: a list may have empty elements.
fn skip(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !b" \t\r\n,".contains(byte)).unwrap_or(text.len());
    text.get(end..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC: &str = "charset=utf-8,username=\"chris\",realm=\"elwood.innosoft.com\",\
        nonce=\"OA6MG9tEQGm2hh\",nc=00000001,cnonce=\"OA6MHXh6VqTrRk\",\
        digest-uri=\"imap/elwood.innosoft.com\",\
        response=d388dad90d4bbd760a152321f2143af7,qop=auth";

    #[test]
    fn the_response_of_rfc_2831() {
        let read = Directives::parse(RFC.as_bytes()).expect("directives");
        assert_eq!(read.username, b"chris");
        assert_eq!(read.realm, b"elwood.innosoft.com");
        assert_eq!(read.nonce, b"OA6MG9tEQGm2hh");
        assert_eq!(read.cnonce, b"OA6MHXh6VqTrRk");
        assert_eq!(read.digest_uri, b"imap/elwood.innosoft.com");
        assert_eq!(*read.response, b"d388dad90d4bbd760a152321f2143af7");
        assert_eq!(read.authzid, None);
    }

    #[test]
    fn blanks_escapes_and_foreign_directives() {
        let odd = format!(" , {} ,, maxbuf=1 ,x-odd = \"a,\\\"b\" , x-odd=c,", RFC);
        let odd = odd.replace("\"chris\"", "\"ch\\\"r\\is\"").replace("qop=auth", "QOP=\"auth\"");
        let read = Directives::parse(odd.as_bytes()).expect("directives");
        assert_eq!(read.username, b"ch\"ris");
        let plain = RFC.replace("charset=utf-8,", "").replace("chris", "\u{e9}");
        assert!(
            Directives::parse(plain.as_bytes()).is_some_and(|d| d.username == "\u{e9}".as_bytes())
        );
        let rest = plain.replace("username=", "x=");
        let latin1 = [b"username=\"\xe9\",".as_slice(), rest.as_bytes()];
        assert!(Directives::parse(&latin1.concat()).is_some_and(|d| d.username == b"\xe9"));
        let short = RFC.replace(",qop=auth", "").replace("realm=\"elwood.innosoft.com\",", "");
        assert!(Directives::parse(short.as_bytes()).is_some_and(|d| d.realm.is_empty()));
    }

    #[test]
    fn what_is_no_response() {
        let changed = |from: &str, to: &str| {
            assert!(RFC.contains(from), "{from}");
            RFC.replace(from, to).into_bytes()
        };
        for wrong in [
            b"".to_vec(),
            b"username".to_vec(),
            changed("charset=utf-8", "charset=latin-1"),
            changed("charset=utf-8", "charset=utf-8,charset=utf-8"),
            changed("username=\"chris\",", ""),
            changed("username=\"chris\"", "username=\"chris\",username=\"root\""),
            changed("username=\"chris\"", "username=\"chris"),
            changed("username=\"chris\"", "username=\"chris\"root"),
            changed("username=\"chris\"", "username"),
            changed("username=\"chris\"", "username="),
            changed("username=\"chris\"", "=\"chris\""),
            changed("chris", "ch\0ris"),
            changed("nonce=\"OA6MG9tEQGm2hh\",", ""),
            changed("cnonce=\"OA6MHXh6VqTrRk\"", "cnonce=\"\""),
            changed("nc=00000001,", ""),
            changed("nc=00000001", "nc=00000002"),
            changed("digest-uri=\"imap/elwood.innosoft.com\",", ""),
            changed("response=d388dad90d4bbd760a152321f2143af7,", ""),
            changed("qop=auth", "qop=auth-int"),
            changed("qop=auth", "qop=auth,authzid=\"\""),
            changed("qop=auth", "qop=auth,x=\"\\"),
            changed("qop=auth", "qop=auth,x=("),
            format!("{RFC},x=\"{}\"", "x".repeat(4096)).into_bytes(),
            [RFC.as_bytes(), b",authzid=\"\xff\""].concat(),
        ] {
            let text = String::from_utf8_lossy(&wrong);
            assert!(Directives::parse(&wrong).is_none(), "{text}");
        }
    }
}
