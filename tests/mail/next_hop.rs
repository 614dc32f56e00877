//! Mail servers of Debian as next hops: each runs in a world of its own, takes mail for everybody, and keeps what arrives.
//!
//! Runs in the test process, as root. A server has three ports, which differ in their TLS alone; the test reads what it
//! kept from the server's own files.

use std::fs;
use std::path::Path;

use crate::peers::namespace::Namespace;
use crate::peers::tls::SERVER;
use crate::peers::{Result, postfix};

/// With a certificate of the house's authority.
pub(crate) const GOOD: u16 = 25;
/// With one of an authority that the house doesn't know.
pub(crate) const FOREIGN: u16 = 26;
/// With STARTTLS that fails: no version of it is left that the house speaks.
pub(crate) const BROKEN: u16 = 27;

/// A mail server of Debian.
pub(crate) struct NextHop {
    packages: &'static [&'static str],
    programs: &'static [&'static str],
    begin: fn(&Namespace) -> Result<()>,
    store: &'static str,
    log: &'static str,
}

/// Postfix, which delivers into maildirs.
pub(crate) const POSTFIX: NextHop = NextHop {
    packages: &["postfix"],
    programs: &["/usr/lib/postfix/sbin/master", "/usr/lib/postfix/sbin/smtpd"],
    begin: begin_postfix,
    store: "/var/mail/store",
    log: "/var/log/postfix.log",
};

/// Exim, which does so too.
pub(crate) const EXIM: NextHop = NextHop {
    packages: &["exim4-base", "exim4-daemon-heavy"],
    programs: &["/usr/sbin/exim4"],
    begin: begin_exim,
    store: "/var/mail/store",
    log: "/var/log/exim4/mainlog",
};

/// sendmail, which keeps it in its queue.
pub(crate) const SENDMAIL: NextHop = NextHop {
    packages: &["sendmail-base", "sendmail-cf", "sendmail-bin"],
    programs: &["/usr/libexec/sendmail/sendmail", "/usr/bin/m4"],
    begin: begin_sendmail,
    store: "/var/spool/mqueue",
    log: "/var/log/server.out",
};

impl NextHop {
    /// Its world; nothing runs yet.
    pub(crate) fn world(&self) -> Result<Namespace> {
        let world = Namespace::start(self.packages)?;
        world.check_libraries(self.programs)?;
        Ok(world)
    }

    /// Starts it on its three ports; `/etc/tls` has `good` and `foreign`, each with `.pem` and `.key`.
    pub(crate) fn begin(&self, world: &Namespace) -> Result<()> {
        world.shell("chmod 644 /etc/tls/*.pem; chmod 600 /etc/tls/*.key")?;
        (self.begin)(world)?;
        for port in [GOOD, FOREIGN, BROKEN] {
            world.await_port_of(SERVER, port, "server")?;
        }
        Ok(())
    }

    /// What it has logged, for a failure.
    pub(crate) fn log(&self, world: &Namespace) -> String {
        fs::read_to_string(world.path(self.log)).unwrap_or_default()
    }

    /// The messages that it has, with their envelopes as far as it tells them; lines end in LF.
    pub(crate) fn kept(&self, world: &Namespace) -> Vec<String> {
        let mut texts = Vec::new();
        gather(&world.path(self.store), &mut texts);
        texts
    }
}

/// Maildirs below a directory, or sendmail's queue.
fn gather(directory: &Path, texts: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let read =
            |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        if path.is_dir() {
            gather(&path, texts);
        } else if let Some(id) = name.strip_prefix("qf") {
            texts.push(format!("{}\n{}", read(&path), read(&directory.join(format!("df{id}")))));
        } else if directory.ends_with("new") {
            texts.push(read(&path).replace("\r\n", "\n"));
        }
    }
}

fn begin_postfix(world: &Namespace) -> Result<()> {
    let settings = "mynetworks = 127.0.0.0/8\nsmtpd_sasl_auth_enable = no\n\
         smtpd_relay_restrictions = permit_mynetworks, reject\n";
    let listeners = format!(
        "{SERVER}:{GOOD} inet n - n - - smtpd\n\
         {SERVER}:{FOREIGN} inet n - n - - smtpd -o smtpd_tls_chain_files=/etc/tls/foreign.key,/etc/tls/foreign.pem\n\
         {SERVER}:{BROKEN} inet n - n - - smtpd -o smtpd_tls_protocols=TLSv1\n"
    );
    postfix_that_keeps(world, settings, &listeners)
}

/// Starts a Postfix that keeps what these settings and listeners let in, with the certificate `good`.
pub(crate) fn postfix_that_keeps(world: &Namespace, settings: &str, listeners: &str) -> Result<()> {
    const SETTINGS: &str = "inet_interfaces = all\nsmtpd_tls_security_level = may\n\
         smtpd_tls_received_header = yes\nsmtpd_tls_CAfile = /etc/tls/ca.pem\n\
         smtpd_tls_chain_files = /etc/tls/good.key, /etc/tls/good.pem\n\
         virtual_mailbox_domains = static:all\nvirtual_mailbox_base = /var/mail/store\n\
         virtual_mailbox_maps = static:all/\nvirtual_uid_maps = static:8\nvirtual_gid_maps = static:8\n\
         virtual_minimum_uid = 1\n";
    const SERVICES: &str = "cleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
         tlsmgr unix - - n 1000? 1 tlsmgr\nbounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\nvirtual unix - n n - - virtual\n";
    world.shell("install -d -o mail -g mail /var/mail /var/mail/store")?;
    postfix::begin(world, &format!("{SETTINGS}{settings}"), &format!("{listeners}{SERVICES}"))
}

fn begin_exim(world: &Namespace) -> Result<()> {
    let of_port = |ending: &str| {
        format!(
            "${{if eq{{$received_port}}{{{FOREIGN}}}{{/etc/tls/foreign.{ending}}}{{/etc/tls/good.{ending}}}}}"
        )
    };
    let settings = format!(
        "primary_hostname = mail.example.test\nlocal_interfaces = 127.0.0.2\ndaemon_smtp_ports = {GOOD} : {FOREIGN} : {BROKEN}\n\
         log_file_path = /var/log/exim4/%slog\npid_file_path = /run/exim.pid\nkeep_environment =\nhost_lookup =\n\
         rfc1413_hosts =\ndsn_advertise_hosts = *\nsmtp_accept_queue_per_connection = 0\nsmtputf8_advertise_hosts = *\ntls_advertise_hosts = *\ntls_certificate = {}\ntls_privatekey = {}\n\
         tls_require_ciphers = ${{if eq{{$received_port}}{{{BROKEN}}}{{NORMAL:-VERS-ALL:+VERS-TLS1.0}}{{NORMAL}}}}\n\
         acl_smtp_rcpt = all\nbegin acl\nall:\n  accept\nbegin routers\nall:\n  driver = accept\n  transport = store\n\
         begin transports\nstore:\n  driver = appendfile\n  directory = /var/mail/store\n  maildir_format\n\
         \x20 envelope_to_add\n  user = mail\n  group = mail\n",
        of_port("pem"),
        of_port("key"),
    );
    world.write("/etc/exim4/exim4.conf", &settings)?;
    world.shell(
        "install -d -o mail -g mail /var/mail /var/mail/store
         chown Debian-exim /etc/tls/*
         install -d -o Debian-exim /var/spool/exim4 /var/log/exim4",
    )?;
    // Of its own settings file alone it keeps its privileges.
    world.spawn("server", "exim4", &["-bdf"])
}

/// sendmail's settings of certificates are the whole program's: each port has its own.
fn begin_sendmail(world: &Namespace) -> Result<()> {
    sendmail_settings(
        world,
        "define(`confDELIVERY_MODE', `queueonly')dnl\nFEATURE(`promiscuous_relay')dnl\n",
    )?;
    let broken = "-OServerSSLOptions=+SSL_OP_NO_TLSv1_2 +SSL_OP_NO_TLSv1_3";
    let usual = "-OServerSSLOptions=+SSL_OP_NO_TLSv1";
    for (port, name, options) in
        [(GOOD, "good", usual), (FOREIGN, "foreign", usual), (BROKEN, "good", broken)]
    {
        sendmail(world, port, name, &[options])?;
    }
    Ok(())
}

/// sendmail hears nobody while the machine is busy, unless it is told otherwise.
const BUSY: &str = "define(`confREFUSE_LA', `1000')dnl\ndefine(`confQUEUE_LA', `1000')dnl\n";

/// Makes sendmail's settings, with these lines of m4 beside its usual ones.
pub(crate) fn sendmail_settings(world: &Namespace, lines: &str) -> Result<()> {
    world.write("/etc/mail/service.switch", "hosts files\n")?;
    world.write(
        "/etc/mail/sendmail.mc",
        &format!(
            "include(`/usr/share/sendmail/cf/m4/cf.m4')dnl\nOSTYPE(`linux')dnl\n\
             define(`confDOMAIN_NAME', `mail.example.test')dnl\ndefine(`STATUS_FILE', `')dnl\n\
             define(`ALIAS_FILE', `')dnl\ndefine(`confTO_IDENT', `0')dnl\n\
             define(`confDEF_USER_ID', `mail:mail')dnl\ndefine(`confDONT_PROBE_INTERFACES', `True')dnl\n\
             define(`confSERVICE_SWITCH_FILE', `/etc/mail/service.switch')dnl\n\
             define(`confCACERT_PATH', `/etc/tls')dnl\ndefine(`confCACERT', `/etc/tls/ca.pem')dnl\n\
             FEATURE(`no_default_msa')dnl\nFEATURE(`nocanonify')dnl\n\
             FEATURE(`accept_unresolvable_domains')dnl\n{BUSY}{lines}MAILER(`local')dnl\nMAILER(`smtp')dnl\n"
        ),
    )?;
    world.shell(
        "m4 /etc/mail/sendmail.mc >/etc/mail/sendmail.cf; install -d -m 700 /var/spool/mqueue",
    )?;
    Ok(())
}

/// Starts a sendmail on one port with a certificate of this name.
pub(crate) fn sendmail(world: &Namespace, port: u16, name: &str, options: &[&str]) -> Result<()> {
    let own = [
        "-bD".to_owned(),
        "-C/etc/mail/sendmail.cf".to_owned(),
        format!("-ODaemonPortOptions=Name=MTA, Port={port}, Addr={SERVER}"),
        format!("-OServerCertFile=/etc/tls/{name}.pem"),
        format!("-OServerKeyFile=/etc/tls/{name}.key"),
        format!("-OPidFile=/run/sendmail-{port}.pid"),
    ];
    let mut arguments: Vec<&str> = own.iter().map(String::as_str).collect();
    arguments.extend(options);
    world.spawn("server", "/usr/libexec/sendmail/sendmail", &arguments)
}
