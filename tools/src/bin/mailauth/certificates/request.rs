//! Names that a certificate is asked for: checked before any key is made.

use std::net::IpAddr;

use crate::failure::Failure;

/// Longest common name (RFC 5280 appendix A, ub-common-name).
pub(super) const MAX_COMMON_NAME: usize = 64;
/// Longest name of a host (RFC 1035 section 2.3.4), without the dot at its end.
const MAX_HOST: usize = 253;

/// A name that is a file's, too: `printer`, `mail.example.com`.
#[derive(Clone)]
pub(crate) struct FileName(String);

impl FileName {
    /// Letters, digits, `.`, `-`, `_`, `+` and `@`, and no name that the authority's files have.
    pub(crate) fn new(name: &str) -> Result<Self, Failure> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+@".contains(&byte);
        let why = if name.is_empty() || name.len() > MAX_HOST {
            "it takes 1 to 253 characters"
        } else if !name.bytes().all(is_plain) {
            "files are called by it, so it takes letters, digits and . - _ + @"
        } else if name.starts_with(['.', '-']) {
            "files are called by it, so it cannot begin with . or -"
        } else if name.eq_ignore_ascii_case("ca") {
            "ca.pem and ca.key are the authority's; choose another"
        } else {
            return Ok(Self(name.to_owned()));
        };
        Err(Failure::usage(format!("the name {} cannot be used: {why}", shown(name))))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a server is reached by: a host's name in lower case, perhaps with `*` for its first label, or an address.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum HostName {
    Name(String),
    Address(IpAddr),
}

impl HostName {
    /// A name in a country's own letters is taken as A-labels only, since it is those that a client compares.
    pub(crate) fn new(name: &str) -> Result<Self, Failure> {
        if let Ok(address) = name.parse() {
            return Ok(Self::Address(address));
        }
        let bare = name.strip_prefix("*.").unwrap_or(name);
        let bare = bare.strip_suffix('.').unwrap_or(bare);
        let is_label = |label: &str| {
            let plain = label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
            plain
                && (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if bare.len() > MAX_HOST || !bare.split('.').all(is_label) {
            return Err(Failure::usage(format!(
                "{} is no name of a host: write labels of letters, digits and -, set off by dots, or an IP address; \
                 other letters as A-labels (xn--…)",
                shown(name)
            )));
        }
        Ok(Self::Name(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()))
    }

    /// Files are called by it, `*` being none of their letters.
    pub(crate) fn file_name(&self) -> Result<FileName, Failure> {
        match self {
            Self::Name(name) => FileName::new(name),
            Self::Address(address) => FileName::new(&address.to_string().replace(':', "-")),
        }
    }
}

impl std::fmt::Display for HostName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// One more name of a client: a host, an address, a mailbox or a URI.
#[derive(Clone)]
pub(crate) enum AlternativeName {
    Host(HostName),
    Mailbox(String),
    Uri(String),
}

impl AlternativeName {
    pub(crate) fn new(name: &str) -> Result<Self, Failure> {
        let is_plain = name.bytes().all(|byte| byte.is_ascii_graphic());
        match name {
            _ if !is_plain => Err(Failure::usage(format!(
                "{} cannot stand in a certificate: it takes ASCII letters, digits and signs, without blanks",
                shown(name)
            ))),
            _ if name.contains("://") || name.starts_with("urn:") => Ok(Self::Uri(name.to_owned())),
            _ if name.contains('@') => Ok(Self::Mailbox(name.to_owned())),
            _ => HostName::new(name).map(Self::Host),
        }
    }
}

/// A word of the command line, in a message.
fn shown(word: &str) -> String {
    format!("`{}`", word.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leaves_the_directory() {
        for bad in ["", "../x", "a/b", ".hidden", "-rf", "ca", "CA", "a\nb", "*.example.com", "ü"]
        {
            assert!(FileName::new(bad).is_err(), "{bad}");
        }
        for good in ["printer", "mail.example.com", "a@b", "x_y+z-1"] {
            assert_eq!(FileName::new(good).ok().unwrap().as_str(), good);
        }
    }

    #[test]
    fn hosts_are_lower_case_and_without_their_last_dot() {
        let read = |name: &str| HostName::new(name).ok().map(|host| host.to_string());
        assert_eq!(read("Mail.Example.COM.").unwrap(), "mail.example.com");
        assert_eq!(read("*.example.com").unwrap(), "*.example.com");
        assert_eq!(read("2001:DB8::1").unwrap(), "2001:db8::1");
        for bad in ["", ".", "a..b", "-a.b", "a.*.b", "a b", "bücher.example", "*."] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
