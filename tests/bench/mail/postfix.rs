//! Debian's Postfix in a sandbox: TLS from the first byte, logins by our daemon's auth socket, mail to the sink.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};

use harness::{Sandbox, wait_until};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{HOST, Keeping, Keys, peer};

/// A running Postfix.
pub(super) struct Postfix {
    master: Child,
    pub(super) address: SocketAddr,
}

const SERVICES: &str = "\
anvil     unix      - - n - 1 anvil
rewrite   unix      - - n - - trivial-rewrite
proxymap  unix      - - n - - proxymap
postlog   unix-dgram n - n - 1 postlogd
cleanup   unix      n - n - 0 cleanup
qmgr      unix      n - n 300 1 qmgr
tlsmgr    unix      - - n 1000? 1 tlsmgr
bounce    unix      - - n - 0 bounce
defer     unix      - - n - 0 bounce
trace     unix      - - n - 0 bounce
smtp      unix      - - n - - smtp
";

const DIRECTORIES: &str = "\
install -d -o postfix /var/lib/postfix
install -d /var/spool/postfix /var/spool/postfix/pid
install -d -o postfix -m 700 /var/spool/postfix/private
install -d -o postfix -g postdrop -m 710 /var/spool/postfix/public
for queue in active bounce corrupt defer deferred flush hold incoming saved trace; do
    install -d -o postfix -m 700 /var/spool/postfix/$queue
done";

/// Starts it. The sandbox has a disk of its own at `/var/spool`, and users `postfix` and `postdrop`.
pub(super) fn start(
    sandbox: &Sandbox,
    keys: &Keys,
    sink: SocketAddr,
    keeping: Keeping,
    processes: usize,
) -> Postfix {
    let tree = peer("postfix");
    let overlay = format!("lowerdir={}:/usr", tree.join("usr").display());
    let mounted = sandbox.run("mount", ["-t", "overlay", "overlay", "-o", &overlay, "/usr"]);
    assert_eq!(mounted.expect("mount runs").code, Some(0), "an overlay over /usr");
    let etc = sandbox.path().join("etc");
    let mut group = fs::read_to_string(etc.join("group")).expect("groups");
    group.push_str("postfix:x:2001:\npostdrop:x:2002:\n");
    fs::write(etc.join("group"), group).expect("groups written");
    let address = super::free_address();
    let place = etc.join("postfix");
    fs::create_dir_all(&place).expect("a directory for settings");
    keys.write(&place);
    fs::write(place.join("main.cf"), settings(sink, keeping, processes)).expect("main.cf");
    let services = format!("{address} inet n - n - - smtpd\n{SERVICES}");
    fs::write(place.join("master.cf"), services).expect("master.cf");
    let made = sandbox.run("sh", ["-ec", DIRECTORIES]).expect("sh runs");
    assert_eq!(made.code, Some(0), "Postfix's directories: {}", made.err());
    let mut command = sandbox.command(Path::new("/usr/lib/postfix/sbin/master"));
    command.arg("-d").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let master = command.spawn().expect("master starts");
    let postfix = Postfix { master, address };
    let listens = wait_until(|| std::net::TcpStream::connect(address).is_ok());
    let log = fs::read_to_string(sandbox.path().join("tmp/postfix.log")).unwrap_or_default();
    assert!(listens, "Postfix listens; its log: {log}");
    postfix
}

fn settings(sink: SocketAddr, keeping: Keeping, processes: usize) -> String {
    let held = match keeping {
        Keeping::Held => "smtpd_client_restrictions = static:HOLD\n",
        Keeping::Relayed => "",
    };
    format!(
        "\
compatibility_level = 3.6
queue_directory = /var/spool/postfix
data_directory = /var/lib/postfix
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = {HOST}
mydestination =
alias_maps =
inet_protocols = ipv4
inet_interfaces = all
maillog_file = /tmp/postfix.log
maillog_file_prefixes = /tmp
default_process_limit = {processes}
smtpd_client_connection_count_limit = 0
smtpd_tls_wrappermode = yes
smtpd_tls_cert_file = /etc/postfix/cert.pem
smtpd_tls_key_file = /etc/postfix/key.pem
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = /run/saslauthd/auth
smtpd_relay_restrictions = permit_sasl_authenticated, reject
relayhost = [{}]:{}
{held}",
        sink.ip(),
        sink.port()
    )
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // Everything that it started is in its process group.
        let _ = killpg(Pid::from_raw(self.master.id().cast_signed()), Signal::SIGKILL);
        let _ = self.master.wait();
    }
}
