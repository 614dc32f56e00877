//! A private house for one test: own mount and host name, own `/etc`, `/run`, `/var/lib`, `/dev/log` and sasldb.
//!
//! A holder process keeps the namespaces; programs enter them through `nsenter`. What lies in the sandbox's
//! directory outside is the same inode inside, so a test connects to a socket without entering. Dropping the
//! sandbox kills whatever still runs in it, and the host never sees any of its mounts.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Account, PATIENCE, Ran, Syslog};

/// The host name inside, which Cyrus takes for the realm when none is given.
pub const HOSTNAME: &str = "mailhost";

/// Run inside the new namespaces: $1 is the sandbox's directory, $2 the host name, the rest pairs of
/// directories to bind (source, then target).
const ENTER: &str = r#"
house=$1; echo "$2" > /proc/sys/kernel/hostname; shift 2
for node in null zero full random urandom tty ptmx; do
    : > "$house/dev/$node"; mount --bind "/dev/$node" "$house/dev/$node"
done
mkdir "$house/dev/pts" "$house/dev/shm"
mount --rbind /dev/pts "$house/dev/pts"
chmod 1777 "$house/dev/shm"
ln -s /proc/self/fd "$house/dev/fd"
mount --bind "$house/lib" /var/lib
while [ $# -gt 0 ]; do mount --rbind "$1" "$2"; shift 2; done
mount --bind "$house/run" /run
mount --rbind "$house/dev" /dev
mount --bind "$house/etc" /etc
echo ready; exec cat > /dev/null
"#;

/// Files of the host's `/etc` that programs need and that name no account.
const FROM_HOST: [&str; 7] = [
    "nsswitch.conf",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "protocols",
    "services",
];

/// System accounts that the daemons drop to; the order gives the numbers, from 901.
const DAEMON_USERS: [&str; 5] =
    ["saslauthd", "saslauthd-checker", "saslauthd-directory", "mta", "mta-out"];

/// What a sandbox is made of before it starts.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    accounts: Vec<Account>,
    etc: Vec<String>,
    binds: Vec<(PathBuf, PathBuf)>,
}

impl Plan {
    /// Adds accounts to its passwd, group and shadow.
    #[must_use]
    pub fn accounts(mut self, accounts: &[Account]) -> Self {
        self.accounts.extend_from_slice(accounts);
        self
    }

    /// Copies a file or directory of the host's `/etc` in, by its name there.
    #[must_use]
    pub fn etc(mut self, name: &str) -> Self {
        self.etc.push(name.to_owned());
        self
    }

    /// Shows the directory `source` at `target` inside; `target` must exist on the host.
    #[must_use]
    pub fn bind(mut self, source: &Path, target: &Path) -> Self {
        self.binds.push((source.to_owned(), target.to_owned()));
        self
    }

    /// Makes the sandbox.
    pub fn start(self) -> io::Result<Sandbox> {
        // Modes of created files are compared, so they mustn't depend on the caller's shell.
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        let dir = tempfile::Builder::new().prefix("house").tempdir()?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        for name in ["etc", "run", "dev", "tmp", "lib", "run/saslauthd", "run/systemd"] {
            fs::create_dir(dir.path().join(name))?;
        }
        std::os::unix::fs::symlink("/run", dir.path().join("var-run"))?;
        for name in FROM_HOST.iter().copied().chain(self.etc.iter().map(String::as_str)) {
            copy(&Path::new("/etc").join(name), &dir.path().join("etc").join(name))?;
        }
        write_accounts(&dir.path().join("etc"), &self.accounts)?;
        let syslog = Syslog::listen(&dir.path().join("dev/log"))?;
        let holder = hold(dir.path(), &self.binds)?;
        let own = format!("/proc/{}/ns/mnt", holder.id());
        let namespace =
            Namespace { name: fs::read_link(&own)?, _open: Arc::new(fs::File::open(&own)?) };
        Ok(Sandbox { dir, holder, namespace, syslog })
    }
}

/// A private house; everything in it ends when it is dropped.
#[derive(Debug)]
pub struct Sandbox {
    dir: tempfile::TempDir,
    holder: Child,
    namespace: Namespace,
    syslog: Syslog,
}

impl Sandbox {
    /// A plan to add to, for suites that need more than accounts.
    pub fn plan() -> Plan {
        Plan::default()
    }

    /// A sandbox with these accounts and nothing else.
    pub fn with(accounts: &[Account]) -> io::Result<Self> {
        Plan::default().accounts(accounts).start()
    }

    /// Its directory as the test sees it; inside, `etc` is `/etc`, `run` is `/run`, `lib` is
    /// `/var/lib`, the rest is at this path.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A file inside as the test sees it: `/etc/sasldb2` and `/run/saslauthd/mux` lead into the directory.
    pub fn outside(&self, inside: &Path) -> PathBuf {
        let inside = inside.strip_prefix("/var").unwrap_or(inside);
        let path = Path::new("/").join(inside);
        match path.strip_prefix("/") {
            Ok(rest) if rest.starts_with("etc") || rest.starts_with("run") => {
                self.path().join(rest)
            }
            _ => path,
        }
    }

    /// A command that runs `program` inside, with a clean environment and `/` as its directory.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        let namespaces = format!("/proc/{}/ns", self.holder.id());
        command.arg(format!("--mount={namespaces}/mnt")).arg(format!("--uts={namespaces}/uts"));
        command.arg("--").arg(program.as_ref());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        // Cyrus ends its whole process group, which must not be the test's.
        command.process_group(0);
        command
    }

    /// Runs `program` inside to its end, at most for [`PATIENCE`], without input.
    pub fn run<A: AsRef<std::ffi::OsStr>>(
        &self,
        program: impl AsRef<Path>,
        args: impl IntoIterator<Item = A>,
    ) -> io::Result<Ran> {
        Ran::of(self.command(program).args(args), b"", PATIENCE)
    }

    /// What its programs sent to syslog.
    pub fn syslog(&self) -> &Syslog {
        &self.syslog
    }

    /// Writes the account files anew, as passwd(1) does: a new file, then a rename over the old one.
    pub fn set_accounts(&self, accounts: &[Account]) -> io::Result<()> {
        write_accounts(&self.path().join("etc"), accounts)
    }

    /// The processes inside that run an executable whose file name begins with `name`; those that no other of
    /// them started come first.
    pub fn processes(&self, name: &str) -> Vec<i32> {
        self.namespace.processes(name)
    }

    pub(crate) fn namespace(&self) -> Namespace {
        self.namespace.clone()
    }
}

/// The private mount namespace, by which the processes of a sandbox are told from all others.
///
/// The open file keeps the kernel from giving its number to another namespace while members are looked for.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    name: PathBuf,
    _open: Arc<fs::File>,
}

impl Namespace {
    /// The members that run an executable whose file name begins with `name`; those that no other of them
    /// started come first.
    pub(crate) fn processes(&self, name: &str) -> Vec<i32> {
        let named = |pid: &i32| {
            let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            exe.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name))
        };
        let found: Vec<i32> = self.members().into_iter().filter(named).collect();
        let mut pids = found.clone();
        pids.sort_unstable_by_key(|pid| (parent(*pid).is_some_and(|it| found.contains(&it)), *pid));
        pids
    }

    fn members(&self) -> Vec<i32> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
            .filter(|pid| {
                fs::read_link(format!("/proc/{pid}/ns/mnt")).is_ok_and(|ns| ns == self.name)
            })
            .collect()
    }
}

fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Again until none is left: a daemon may fork while the list is read.
        for _ in 0..100 {
            let members = self.namespace.members();
            if members.is_empty() {
                break;
            }
            for pid in members {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            let _ = self.holder.try_wait();
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let _ = self.holder.wait();
        Syslog::stop(&self.path().join("dev/log"));
    }
}

fn hold(house: &Path, binds: &[(PathBuf, PathBuf)]) -> io::Result<Child> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--uts", "--propagation", "private", "--", "sh", "-ec", ENTER, "sh"]);
    command.arg(house).arg(HOSTNAME);
    for (source, target) in binds {
        command.arg(source).arg(target);
    }
    let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    if let Some(stdout) = holder.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    if line.trim() != "ready" {
        let _ = holder.kill();
        let _ = holder.wait();
        return Err(io::Error::other("no private mount namespace; run as root with CAP_SYS_ADMIN"));
    }
    Ok(holder)
}

fn write_accounts(etc: &Path, accounts: &[Account]) -> io::Result<()> {
    let mut passwd = "root:x:0:0:root:/root:/bin/sh\n".to_owned();
    passwd.push_str("daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n");
    passwd.push_str("nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
    let mut group =
        "root:x:0:\ndaemon:x:1:\nshadow:x:42:\nsasl:x:45:\nnogroup:x:65534:\n".to_owned();
    for (number, name) in (901..).zip(DAEMON_USERS) {
        passwd.push_str(&format!("{name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n"));
        group.push_str(&format!("{name}:x:{number}:\n"));
    }
    let mut shadow = "root:*:19000:0:99999:7:::\n".to_owned();
    for (uid, account) in (2001..).zip(accounts) {
        passwd.push_str(&account.passwd_line(uid));
        shadow.push_str(&account.shadow_line());
    }
    replace(&etc.join("passwd"), passwd.as_bytes(), 0o644)?;
    replace(&etc.join("group"), group.as_bytes(), 0o644)?;
    replace(&etc.join("shadow"), shadow.as_bytes(), 0o640)?;
    let shadow_group = nix::unistd::Gid::from_raw(42);
    nix::unistd::chown(&etc.join("shadow"), None, Some(shadow_group)).map_err(io::Error::from)
}

/// Puts `bytes` at `path` by a rename, so that no reader sees half of them.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, bytes)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(mode))?;
    fs::rename(&new, path)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.exists() {
        return Ok(());
    }
    let done = Command::new("cp").args(["-aL", "--"]).arg(from).arg(to).status()?;
    done.success()
        .then_some(())
        .ok_or_else(|| io::Error::other(format!("cannot copy {}", from.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_and_host_know_nothing_of_each_other() {
        if !crate::require_root() {
            return;
        }
        let house = Sandbox::with(&[Account::with("only-inside", "*")]).unwrap();
        let inside = house.run("cat", ["/etc/passwd", "/proc/sys/kernel/hostname"]).unwrap().out();
        assert!(inside.contains("only-inside") && inside.contains(HOSTNAME), "{inside}");
        assert!(!fs::read_to_string("/etc/passwd").unwrap().contains("only-inside"));
        for place in ["/etc", "/run", "/var/lib", "/dev/shm"] {
            let file = format!("{place}/of-{}", house.holder.id());
            assert_eq!(house.run("touch", [&file]).unwrap().code, Some(0), "{file}");
            assert!(!Path::new(&file).exists(), "{file} reached the host");
        }
    }

    #[test]
    fn what_runs_inside_ends_with_it() {
        if !crate::require_root() {
            return;
        }
        let house = Sandbox::with(&[]).unwrap();
        let mut sleeper = house.command("sleep").arg("600").spawn().unwrap();
        assert!(crate::wait_until(|| house.processes("sleep").len() == 1));
        drop(house);
        assert_eq!(crate::ran::finish(&mut sleeper, crate::PATIENCE).unwrap().signal, Some(9));
    }

    #[test]
    fn syslog_is_heard() {
        if !crate::require_root() {
            return;
        }
        let house = Sandbox::with(&[]).unwrap();
        let script =
            "use Sys::Syslog; openlog('harness', 'ndelay', 'auth'); syslog('info', 'hello');";
        house.run("perl", ["-e", script]).unwrap();
        let heard = || house.syslog().lines().iter().any(|line| line.contains("hello"));
        assert!(crate::wait_until(heard), "{:?}", house.syslog().lines());
    }
}
