//! The `/etc` of a peer's world: its users, its hosts, its accounts.
//!
//! Runs in the test process. The host's `/etc` is only asked for what the dynamic linker, the service names and
//! `alternatives` need; its `passwd` and `shadow` must never be read.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use super::{Failure, Result};

/// The users that the peers and the daemons run as.
const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/sh
mail:x:8:8::/var/mail:/usr/sbin/nologin
nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin
postfix:x:601:601::/var/spool/postfix:/usr/sbin/nologin
Debian-exim:x:602:602::/var/spool/exim4:/usr/sbin/nologin
smmta:x:603:603::/var/lib/sendmail:/usr/sbin/nologin
smmsp:x:604:604::/var/lib/sendmail:/usr/sbin/nologin
cyrus:x:605:8::/var/lib/cyrus:/usr/sbin/nologin
openldap:x:606:606::/var/lib/ldap:/usr/sbin/nologin
saslauthd:x:607:607::/nonexistent:/usr/sbin/nologin
saslauthd-checker:x:608:608::/nonexistent:/usr/sbin/nologin
saslauthd-directory:x:609:609::/nonexistent:/usr/sbin/nologin
dovecot:x:610:610::/nonexistent:/usr/sbin/nologin
dovenull:x:611:611::/nonexistent:/usr/sbin/nologin
";

/// Their groups; members of `sasl` may reach the daemon's socket directory, as on Debian.
const GROUP: &str = "\
root:x:0:
mail:x:8:
shadow:x:42:saslauthd-checker
sasl:x:45:postfix,Debian-exim,smmta,cyrus,openldap,saslauthd-checker
nogroup:x:65534:
postdrop:x:600:
postfix:x:601:
Debian-exim:x:602:
smmta:x:603:
smmsp:x:604:
openldap:x:606:
saslauthd:x:607:
saslauthd-checker:x:608:
saslauthd-directory:x:609:
dovecot:x:610:
dovenull:x:611:
";

/// The group that may read shadow, by its number above.
const SHADOW_GROUP: u32 = 42;

const SHADOW: &str = "root:*:20000:0:99999:7:::\n";
const NSSWITCH: &str =
    "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\n";
const HOSTS: &str =
    "127.0.0.1 localhost mail.example.test mail\n127.0.0.2 submission.example.test\n";

/// What is copied from the host, because programs don't start or can't name a port without it.
const COPIED: [&str; 6] =
    ["ld.so.cache", "ld.so.conf", "ld.so.conf.d", "services", "protocols", "alternatives"];

/// Lays out `etc/` and `var/` below `base`.
pub(crate) fn lay(base: &Path) -> Result<()> {
    let etc = base.join("etc");
    fs::create_dir_all(&etc)?;
    let files = [
        ("passwd", PASSWD, 0o644),
        ("group", GROUP, 0o644),
        ("shadow", SHADOW, 0o640),
        ("nsswitch.conf", NSSWITCH, 0o644),
        ("hosts", HOSTS, 0o644),
    ];
    for (name, text, mode) in files {
        let path = etc.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    chown(etc.join("shadow"), None, Some(SHADOW_GROUP))?;
    copy_from_host(&etc)?;
    for directory in ["lib", "log", "spool", "tmp"] {
        fs::create_dir_all(base.join("var").join(directory))?;
    }
    symlink("/run", base.join("var/run"))?;
    Ok(())
}

fn copy_from_host(etc: &Path) -> Result<()> {
    let mut command = Command::new("cp");
    command.arg("-a");
    for name in COPIED {
        let from = Path::new("/etc").join(name);
        if from.exists() {
            command.arg(from);
        }
    }
    let output = command.arg(etc).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::Broken(format!(
        "cp into {}: {}",
        etc.display(),
        String::from_utf8_lossy(&output.stderr)
    )))
}
