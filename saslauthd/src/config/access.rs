//! The section of the access map, and what the listener is told of it.
//!
//! Runs in the parent. The map is read and held to its rules here, so that a mistake is an administrator's error and never
//! reaches a decision. The doc comments here are what `--sample-config` and saslauthd.toml(5) print, so they
//! speak to the administrator.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use access::Map;
use ipc::config as task;

use super::complaint::{Complaints, Report};
use super::plan::Planner;
use super::sections::Protocol;
use super::setting::{At, choices, settings};
use super::values::AbsolutePath;

/// More than this is no map: reading it would keep parent and listener from answering each other.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// So many mistakes or warnings are said one by one. All go into the log, and each needs a look at the whole text.
const MOST_SAID: usize = 20;

choices! {
    /// Whose reply codes.
    pub enum Generation {
        /// sendmail 8.15.
        Old = "8.15",
        /// sendmail 8.17.
        Middle = "8.17",
        /// sendmail 8.18.
        New = "8.18",
    }
}

choices! {
    /// A feature of sendmail's configuration.
    pub enum Feature {
        /// Domains with a dot before them.
        LookupDotDomain = "lookupdotdomain",
        /// SKIP.
        Skip = "skip",
        /// Whole addresses.
        RelayToFullAddress = "relaytofulladdress",
        /// Alternative names.
        CheckCertAltnames = "check_cert_altnames",
        /// All at RCPT.
        DelayChecks = "delay_checks",
        /// For good.
        TlsPermErr = "tls_perm_err",
        /// Hosts, not domains.
        RelayHostsOnly = "relay_hosts_only",
        /// The issuer by its common name.
        IssuerCommonName = "issuer_common_name",
        /// The subject by its common name.
        SubjectCommonName = "subject_common_name",
        /// Any verified certificate.
        VerifiedRelay = "verified_relay",
        /// VRFY after a login.
        ExpnNeedsAuth = "expn_needs_auth",
    }
}

settings! {
    /// The access map, by which sockets with `protocol = "policy"` answer.
    pub struct Access {
        /// The map: source text as sendmail's users write it, a key, tabs or blanks, a value; 16 MiB at most. It must belong to
        /// root or to whoever starts the daemon, and nobody else may be able to write it. It is read again within a second
        /// when it changes, and at SIGHUP; `mailauth access check` shows its mistakes. A map with a mistake stops the daemon
        /// from starting, and later leaves the one before in force, which the log says once and `mailauth status` all the time.
        map: Option<At<AbsolutePath>> = None,
        /// Whose reply codes: those of sendmail "8.15", "8.17" or "8.18".
        generation: Generation = Generation::New,
        /// Features of sendmail's configuration that are on: "lookupdotdomain", "skip", "relaytofulladdress",
        /// "check_cert_altnames", "delay_checks", "tls_perm_err" (TLS_PERM_ERR), "relay_hosts_only"; "issuer_common_name" and
        /// "subject_common_name" (only /CN=... of a name is looked up), "verified_relay" (any verified certificate may
        /// relay), "expn_needs_auth" (VRFY only after a login).
        features: Vec<Feature> = Vec::new(),
        /// The names of this host and the domains it takes mail for (sendmail's class w). Mail for them is left to the mail server.
        local_domains: Vec<String> = Vec::new(),
        /// Domains, hosts and networks (as 192.0.2) that are relayed for (sendmail's class R).
        relay_domains: Vec<String> = Vec::new(),
        /// SASL mechanisms whose users may relay (TRUST_AUTH_MECH). Without any that is left to the mail server.
        trusted_mechanisms: Vec<String> = Vec::new(),
    }
}

/// A map that has no mistake, as it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Where it is.
    pub path: PathBuf,
    /// What the listener is told.
    pub task: task::Access,
    /// Its text, without comments and passwords.
    pub text: String,
    /// How many entries it has.
    pub entries: usize,
    /// By which a change is seen.
    pub stamp: Stamp,
    /// What has less effect than it looks, a line each.
    pub warnings: Vec<String>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.path.display(), self.text.len())
    }
}

/// What of a file changes when its content does: device, inode, length, and the moments of its last changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp([i128; 5]);

impl Stamp {
    /// Of the file as it is now; `None` when there is none.
    pub fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|facts| Self::from(&facts))
    }
}

impl From<&std::fs::Metadata> for Stamp {
    fn from(facts: &std::fs::Metadata) -> Self {
        let moment =
            |seconds: i64, nanoseconds: i64| i128::from(seconds) << 32 | i128::from(nanoseconds);
        Self([
            facts.dev().into(),
            facts.ino().into(),
            facts.size().into(),
            moment(facts.mtime(), facts.mtime_nsec()),
            moment(facts.ctime(), facts.ctime_nsec()),
        ])
    }
}

impl Planner<'_> {
    /// The path of the map and the settings that go with it.
    pub(super) fn access(&mut self) -> Option<(PathBuf, task::Access)> {
        let section = &self.config.access;
        let Some(map) = &section.map else {
            let asked =
                self.config.sockets.iter().find(|socket| socket.value.protocol == Protocol::Policy);
            if let Some(socket) = asked {
                let message = "a socket for \"policy\" needs a map: write [access] map = \"/etc/mail/access\"";
                self.complaints.add(socket.at.clone(), message);
            }
            return None;
        };
        let task = task::Access {
            length: 0,
            generation: section.generation.word().to_owned(),
            features: section.features.iter().map(|feature| feature.word().to_owned()).collect(),
            local_domains: section.local_domains.clone(),
            relay_domains: section.relay_domains.clone(),
            trusted_mechanisms: section.trusted_mechanisms.clone(),
        };
        if ipc::control::encode(&ipc::control::ToListener::Access(task.clone())).is_none() {
            let message = "[access] has more than 64 KiB of domains; put them into the map";
            self.complaints.add(None, message);
        }
        Some((map.value.0.clone(), task))
    }
}

/// Reads the map, or says all that is wrong with it.
pub fn load(path: &Path, task: &task::Access) -> Result<Loaded, Report> {
    let name = path.to_string_lossy();
    let uid = sys::identity::current().map_or(u32::MAX, |identity| identity.uid);
    let (text, stamp) = read(path, uid).map_err(|message| Report::of(&name, message))?;
    let map = Map::parse(&text).map_err(|errors| {
        let mut complaints = Complaints::default();
        for error in errors.0.iter().take(MOST_SAID) {
            let mut message = error.text.clone();
            if let Some(nearest) = &error.nearest {
                message += &format!("; did you mean `{nearest}`?");
            }
            complaints.add(Some(place(&text, error.line, error.column)), message);
        }
        if let Some(more) = errors.0.len().checked_sub(MOST_SAID).filter(|more| *more > 0) {
            complaints.add(None, format!("{more} mistakes more than are shown here"));
        }
        complaints.into_report(&name, &text)
    })?;
    let mut warnings: Vec<String> =
        map.warnings().iter().take(MOST_SAID).map(|warning| format!("{name}:{warning}")).collect();
    if map.warnings().len() > MOST_SAID {
        warnings.push(format!("{name}: `mailauth access check` shows more warnings"));
    }
    let text = for_the_listener(&text);
    if map.holds_passwords() {
        if Map::parse(&text).is_ok_and(|map| map.holds_passwords()) {
            let message = "has passwords (AuthInfo:) in lines that do not begin with `AuthInfo:`";
            return Err(Report::of(&name, message));
        }
        warnings.push(format!(
            "{name}: its passwords (AuthInfo:) are left out, since no policy socket needs them"
        ));
    }
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let task = task::Access { length, ..task.clone() };
    let entries = map.len();
    Ok(Loaded { path: path.to_owned(), task, text, entries, stamp, warnings })
}

/// The text with empty lines for comments and passwords, which must not reach a process that speaks to strangers. Lines
/// keep their numbers.
fn for_the_listener(text: &str) -> String {
    const PASSWORDS: &str = "AuthInfo:";
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_kept = |line: &&str| {
        let tag = line.get(..PASSWORDS.len()).unwrap_or_default();
        !line.starts_with('#') && !tag.eq_ignore_ascii_case(PASSWORDS)
    };
    text.split_inclusive('\n').map(|line| Some(line).filter(is_kept).unwrap_or("\n")).collect()
}

/// The stamp is that of the open file: one that changes while it is read is seen to have changed.
fn read(path: &Path, uid: u32) -> Result<(String, Stamp), String> {
    let file = settings::file::open_trusted(path, uid, "the access map")?;
    let failed = |e: std::io::Error| format!("cannot read the access map: {e}");
    let stamp = Stamp::from(&file.metadata().map_err(failed)?);
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST_BYTES) {
        return Err("is longer than 16 MiB, which no access map is".into());
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        format!("is not UTF-8 from byte {} on; save it as UTF-8", e.utf8_error().valid_up_to())
    })?;
    Ok((text, stamp))
}

/// The bytes of a character by its line and column.
fn place(text: &str, line: u32, column: u32) -> std::ops::Range<usize> {
    let index = |number: u32| usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
    let mut start = 0;
    for earlier in text.split_inclusive('\n').take(index(line)) {
        start += earlier.len();
    }
    let rest = text.get(start..).unwrap_or_default();
    let offset: usize = rest.chars().take(index(column)).map(char::len_utf8).sum();
    start + offset..start + offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_is_one_of_the_engine() {
        let config = [
            Feature::LookupDotDomain,
            Feature::Skip,
            Feature::RelayToFullAddress,
            Feature::CheckCertAltnames,
            Feature::DelayChecks,
            Feature::TlsPermErr,
            Feature::RelayHostsOnly,
            Feature::IssuerCommonName,
            Feature::SubjectCommonName,
            Feature::VerifiedRelay,
            Feature::ExpnNeedsAuth,
        ];
        let words: Vec<&str> = config.iter().map(|feature| feature.word()).collect();
        let mut known = access::Settings::FEATURES.to_vec();
        known.sort_unstable();
        let mut sorted = words.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, known);
        for generation in [Generation::Old, Generation::Middle, Generation::New] {
            assert!(access::Generation::from_name(generation.word()).is_some());
        }
    }

    #[test]
    fn all_mistakes_are_shown_with_their_places() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access");
        std::fs::write(&path, "Connect:192.0.2\tRELAY\nTLS_Clt:a\tVERFIY\nTLS_Srv:\tENCR\n")
            .unwrap();
        let report = load(&path, &task::Access::default()).unwrap_err().to_string();
        assert!(
            report.contains("access:2:11: ") && report.contains("did you mean `VERIFY`?"),
            "{report}"
        );
        assert!(report.contains("access:3:"), "{report}");
        std::fs::write(&path, "Connect:192.0.2\tRELAY\n").unwrap();
        let loaded = load(&path, &task::Access::default()).unwrap();
        assert_eq!(loaded.task.length, 22);
        assert_eq!(Some(loaded.stamp), Stamp::of(&path));
        assert!(load(&directory.path().join("none"), &task::Access::default()).is_err());
    }

    #[test]
    fn a_map_of_mistakes_is_reported_in_short() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access");
        std::fs::write(&path, "TLS_Clt:a\tVERFIY\n".repeat(100)).unwrap();
        let report = load(&path, &task::Access::default()).unwrap_err();
        assert_eq!(report.lines().len(), MOST_SAID + 1);
        assert!(report.to_string().contains("mistakes more than are shown here"), "{report}");
        let typing_errors: String = (0..100).map(|n| format!("Connect:a{n}\tRELY\n")).collect();
        std::fs::write(&path, typing_errors).unwrap();
        let loaded = load(&path, &task::Access::default()).unwrap();
        assert_eq!((loaded.warnings.len(), loaded.entries), (MOST_SAID + 1, 100));
    }

    #[test]
    fn passwords_and_comments_are_not_handed_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access");
        let text = "\u{feff}# was: AuthInfo:a \"P:secret\"\nAuthInfo:b\t\"U:u\" \"P:secret\"\nConnect:192.0.2\tRELAY\n\
                    authinfo:c\t\"U:u\" \"P:secret\"";
        std::fs::write(&path, text).unwrap();
        let loaded = load(&path, &task::Access::default()).unwrap();
        assert_eq!(loaded.text, "\n\nConnect:192.0.2\tRELAY\n\n");
        assert_eq!(usize::try_from(loaded.task.length).unwrap(), loaded.text.len());
        assert!(loaded.warnings.iter().any(|warning| warning.contains("AuthInfo")));
        assert!(!Map::parse(&loaded.text).unwrap().holds_passwords());
    }
}
