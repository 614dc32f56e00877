//! A world of its own for a peer and the daemon it asks: mounts, network, host name, process ids.
//!
//! Runs in the test process, as root. Everything started here dies with process 1 of the namespace, which dies
//! when the test process does. Must never leave a mount or a process behind on the host.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use harness::wait_for;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Failure, Result, etc, fetch};

/// A running namespace.
pub(crate) struct Namespace {
    holder: Child,
    first: i32,
    _base: tempfile::TempDir,
}

impl Namespace {
    /// Starts a namespace with the `packages` laid over `/usr`.
    pub(crate) fn start(packages: &[&str]) -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            return Err(Failure::Missing("root, for namespaces: run the tests as root".to_owned()));
        }
        let mut trees = String::new();
        for package in packages {
            let tree = fetch::fetch(package)?.join("usr");
            trees = format!("{trees}{}:", tree.display());
        }
        let base = tempfile::Builder::new().prefix("peer-").tempdir()?;
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755))?;
        etc::lay(base.path())?;
        let (holder, first) = hold(base.path(), &trees)?;
        Ok(Self { holder, first, _base: base })
    }

    /// A command that will run inside, in a process group of its own, with a bare environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.first))
            .args(["--mount", "--net", "--uts", "--ipc", "--pid", "--wd=/", "--"])
            .arg(program)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .process_group(0);
        command
    }

    /// Starts a server inside; what it prints is added to `/var/log/NAME.out` of the namespace.
    pub(crate) fn spawn(&self, name: &str, program: &str, arguments: &[&str]) -> Result<()> {
        let log = self.path(&format!("/var/log/{name}.out"));
        let log = fs::OpenOptions::new().create(true).append(true).open(log)?;
        // Left alone by nsenter, which would stop with a server that is stopped and not go on with it.
        let mut command = self.command("sh");
        command.args(["-c", "exec \"$0\" \"$@\" &", program]).args(arguments);
        let status = command.stdout(log.try_clone()?).stderr(log).status()?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::Broken(format!("{program}: {status}")))
    }

    /// Runs a shell script inside to its end; what it printed, or a failure with what it complained of.
    pub(crate) fn shell(&self, script: &str) -> Result<String> {
        let output = self.command("sh").args(["-ec", script]).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Failure::Broken(format!("{script}: {said}")));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The host's name for an absolute path of the namespace.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.first))
    }

    /// Writes a file inside, with its directories.
    pub(crate) fn write(&self, inside: &str, text: &str) -> Result<()> {
        let path = self.path(inside);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        Ok(fs::write(path, text)?)
    }

    /// Makes a directory inside for `owner`.
    pub(crate) fn directory(&self, inside: &str, owner: u32) -> Result<()> {
        let path = self.path(inside);
        fs::create_dir_all(&path)?;
        Ok(chown(path, Some(owner), None)?)
    }

    /// Connects to a TCP port of the namespace's loopback.
    pub(crate) fn connect(&self, port: u16, patience: Duration) -> io::Result<TcpStream> {
        self.connect_to(Ipv4Addr::LOCALHOST, port, patience)
    }

    /// Connects to a TCP port of an address of the namespace.
    pub(crate) fn connect_to(
        &self,
        host: Ipv4Addr,
        port: u16,
        patience: Duration,
    ) -> io::Result<TcpStream> {
        let address = SocketAddr::from((host, port));
        self.inside(move || TcpStream::connect_timeout(&address, patience))
    }

    /// Does something in the network of the namespace: a socket that is made there stays there wherever it is used.
    pub(crate) fn inside<T: Send + 'static>(
        &self,
        action: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.network()?.inside(action)
    }

    /// Its network, which can be entered for as long as this is held.
    pub(crate) fn network(&self) -> io::Result<Network> {
        fs::File::open(format!("/proc/{}/ns/net", self.first)).map(Network)
    }

    /// Waits until something listens on a TCP port; the log of `name` explains a failure.
    pub(crate) fn await_port(&self, port: u16, name: &str) -> Result<()> {
        self.await_port_of(Ipv4Addr::LOCALHOST, port, name)
    }

    /// The same on another address of the namespace.
    pub(crate) fn await_port_of(&self, host: Ipv4Addr, port: u16, name: &str) -> Result<()> {
        let listening = || self.connect_to(host, port, Duration::from_secs(1)).is_ok();
        if wait_for(Duration::from_secs(20), listening) {
            return Ok(());
        }
        let log = fs::read_to_string(self.path(&format!("/var/log/{name}.out")));
        let log = log.unwrap_or_default();
        Err(Failure::Broken(format!("{name} does not listen on port {port}: {}", log.trim_end())))
    }

    /// The processes inside whose command name starts with `name`, as the host numbers them.
    pub(crate) fn processes(&self, name: &str) -> Vec<Pid> {
        let Ok(ours) = fs::read_link(format!("/proc/{}/ns/pid", self.first)) else {
            return Vec::new();
        };
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let numbers =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let inside = |pid: &i32| {
            let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            command.starts_with(name)
                && fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|theirs| theirs == ours)
        };
        numbers.filter(inside).map(Pid::from_raw).collect()
    }

    /// Fails with what to install when a program inside lacks a library.
    pub(crate) fn check_libraries(&self, programs: &[&str]) -> Result<()> {
        for program in programs {
            let output = self.command("ldd").arg(program).output()?;
            let listed = String::from_utf8_lossy(&output.stdout).into_owned();
            let lacking = listed.lines().find(|line| line.contains("not found"));
            let complaint = match lacking {
                Some(line) => line.trim(),
                None if output.status.success() => continue,
                None => "not there, or not a program",
            };
            return Err(Failure::Missing(format!(
                "{program}: {complaint}; install the packages of tests/packages.txt"
            )));
        }
        Ok(())
    }
}

/// The network of a namespace.
pub(crate) struct Network(fs::File);

impl Network {
    /// Does something in it.
    pub(crate) fn inside<T: Send + 'static>(
        &self,
        action: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let network = self.0.try_clone()?;
        // A thread enters alone.
        let dialler = thread::spawn(move || {
            setns(network, CloneFlags::CLONE_NEWNET)?;
            action()
        });
        dialler.join().unwrap_or_else(|_| Err(io::Error::other("the dialling thread panicked")))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The end of process 1 ends every process of its namespace.
        let _ = kill(Pid::from_raw(self.first), Signal::SIGKILL);
        wait_for(Duration::from_secs(5), || matches!(self.holder.try_wait(), Ok(Some(_))));
    }
}

/// Starts process 1 and waits for its "ready"; with it, its number on the host.
fn hold(base: &Path, trees: &str) -> Result<(Child, i32)> {
    let mut holder = Command::new("unshare")
        .args(["--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child"])
        .args(["--mount-proc", "sh", "-c", include_str!("namespace.sh"), "namespace.sh"])
        .arg(base)
        .arg(trees)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(output) = holder.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    let number = holder.id();
    let first = fs::read_to_string(format!("/proc/{number}/task/{number}/children"));
    match first.map(|children| children.trim().parse()) {
        Ok(Ok(first)) if line == "ready\n" => Ok((holder, first)),
        _ => {
            let mut why = String::new();
            if let Some(mut errors) = holder.stderr.take() {
                let _ = errors.read_to_string(&mut why);
            }
            let _ = holder.wait();
            Err(Failure::Missing(format!("namespaces with overlayfs: {}", why.trim_end())))
        }
    }
}
