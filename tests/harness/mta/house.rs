//! The two servers of a test, running: what they were given, what they wrote, and visits to them.

use super::*;

/// The two servers, running.
#[derive(Debug)]
pub struct House {
    // Dropped in this order: servers before what they run in.
    mta: Option<Child>,
    daemon: Option<Daemon>,
    sandbox: Sandbox,
    place: Place,
    plan: Plan,
}

impl House {
    pub(super) fn furnish(plan: Plan, place: Place, sandbox: Sandbox) -> io::Result<Self> {
        let house = Self { mta: None, daemon: None, sandbox, place, plan };
        house.cert(&["init", "--name", &house.plan.host])?;
        let Plan { authorities, of_servers, files, .. } = &house.plan;
        for file in authorities.iter().chain(of_servers).chain(files) {
            fs::copy(file, house.sandbox.path().join(given(file).trim_start_matches('/')))?;
        }
        for client in &house.plan.clients {
            house.cert(&["issue", "--client", client])?;
        }
        let root = house.sandbox.path();
        sandbox::replace(&root.join("etc/access"), house.map()?.as_bytes(), 0o644)?;
        sandbox::replace(
            &root.join("etc/mta.toml"),
            house.plan.mta_config(&house.place).as_bytes(),
            0o644,
        )?;
        let owner = match house.plan.identity {
            // mta-out of the sandbox.
            Identity::Root => 905,
            Identity::Nobody => 65534,
        };
        let mail = root.join("lib/mail");
        fs::create_dir(&mail)?;
        std::os::unix::fs::chown(&mail, Some(owner), Some(owner))?;
        if house.plan.identity == Identity::Nobody {
            for directory in ["lib", "run", "run/saslauthd", "etc/mta/tls"] {
                std::os::unix::fs::chown(root.join(directory), Some(owner), Some(owner))?;
            }
            // A daemon without root reads what is its own.
            std::os::unix::fs::chown(root.join("etc/shadow"), Some(owner), Some(owner))?;
            for file in fs::read_dir(root.join("etc/mta/tls"))? {
                std::os::unix::fs::chown(file?.path(), Some(owner), Some(owner))?;
            }
        }
        let ran = house.sandbox.run("sh", ["-ec", &house.plan.before])?;
        if ran.code != Some(0) {
            return Err(io::Error::other(format!("{}: {ran:?}", house.plan.before)));
        }
        Ok(house)
    }

    /// `mailauth cert …` on the house's directory; what it printed.
    pub fn cert(&self, words: &[&str]) -> io::Result<String> {
        let mut command = Command::new(built("mailauth"));
        let output = command.arg("cert").args(words).arg("--directory").arg(self.tls()).output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn map(&self) -> io::Result<String> {
        let mut map = self.plan.map.clone();
        for client in &self.plan.clients {
            let output = Command::new(built("mailauth"))
                .args(["access", "key"])
                .arg(self.tls().join(format!("{client}.pem")))
                .output()?;
            let keys = String::from_utf8_lossy(&output.stdout).into_owned();
            for (mark, tag) in
                [("pin", "CertKey:"), ("issuer", "CertIssuer:"), ("subject", "CertSubject:")]
            {
                let key = keys.lines().find(|line| line.starts_with(tag)).unwrap_or_default();
                map = map.replace(&format!("{{{mark}:{client}}}"), key);
            }
        }
        Ok(map)
    }

    pub(super) fn started(mut self) -> io::Result<Self> {
        self.start_daemon()?;
        self.start_mta()?;
        Ok(self)
    }

    /// Starts the daemon, which must not be running.
    pub fn start_daemon(&mut self) -> io::Result<()> {
        let config = self.plan.daemon_config();
        self.daemon =
            Some(Daemon::ours(&self.sandbox, &config, "/run/saslauthd/mux", self.plan.identity)?);
        Ok(())
    }

    /// Stops the daemon, so that nobody answers.
    pub fn stop_daemon(&mut self) {
        self.daemon = None;
    }

    /// Starts the mta, which must not be running, and waits for its greetings.
    pub fn start_mta(&mut self) -> io::Result<()> {
        let program = built("mta");
        let mut command = match self.plan.identity {
            Identity::Root => self.sandbox.command(&program),
            Identity::Nobody => {
                let mut command = self.sandbox.command("setpriv");
                command
                    .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
                    .arg(&program);
                command
            }
        };
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path())?;
        command.args(["--foreground", "--config", "/etc/mta.toml"]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut child = command.spawn()?;
        let greets = || Client::connect(self.relay(), None).and_then(|mut client| client.reply());
        let mut ended = None;
        let up = wait_until(|| {
            ended = child.try_wait().ok().flatten();
            ended.is_some() || greets().is_ok_and(|reply| reply.code() == 220)
        });
        self.mta = Some(child);
        match (up, ended) {
            (true, None) => Ok(()),
            (_, ended) => {
                Err(io::Error::other(format!("the mta does not greet ({ended:?}): {}", self.log())))
            }
        }
    }

    /// Ends the mta with this signal, and waits until none of its processes is left.
    pub fn end_mta(&mut self, signal: Signal) -> bool {
        let Some(mut child) = self.mta.take() else { return true };
        let main = Pid::from_raw(child.id().cast_signed());
        let _ = kill(main, signal);
        let gone = wait_for(PATIENCE, || {
            let _ = child.try_wait();
            self.processes("mta").is_empty()
        });
        for pid in self.processes("mta") {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = child.wait();
        gone
    }

    /// Processes whose executable's name begins so.
    pub fn processes(&self, name: &str) -> Vec<i32> {
        self.sandbox.processes(name)
    }

    /// The sandbox.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The house's address, for sinks and for clients that come from it.
    pub fn address(&self) -> IpAddr {
        self.place.address()
    }

    /// Where other servers come to.
    pub fn relay(&self) -> SocketAddr {
        (self.address(), RELAY).into()
    }

    /// Where people come to, with STARTTLS.
    pub fn submission(&self) -> SocketAddr {
        (self.address(), SUBMISSION).into()
    }

    /// Where people come to, with TLS at once.
    pub fn submissions(&self) -> SocketAddr {
        (self.address(), SUBMISSIONS).into()
    }

    /// Where keys and certificates lie: `ca.pem`, those of [`HOST`], those of the plan's clients.
    pub fn tls(&self) -> PathBuf {
        self.sandbox.path().join("etc/mta/tls")
    }

    /// A machine's certificate.
    pub fn certificate(&self, name: &str) -> io::Result<Certificate> {
        Certificate::named(&self.tls(), name)
    }

    /// The spool.
    pub fn spool(&self) -> PathBuf {
        self.sandbox.path().join("lib/mta")
    }

    /// How many messages the spool holds, those that still come among them.
    pub fn kept(&self) -> usize {
        let files = |directory: &str| {
            let entries = fs::read_dir(self.spool().join(directory)).into_iter().flatten();
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned())
        };
        // A message may have a file of what became of it beside it.
        files("incoming").count() + files("queue").filter(|name| !name.contains('.')).count()
    }

    /// The files of the maildir of a local address, `new` alone.
    pub fn mailbox(&self, address: &str) -> Vec<PathBuf> {
        let Ok(entries) =
            fs::read_dir(self.sandbox.path().join("lib/mail").join(address).join("new"))
        else {
            return Vec::new();
        };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        files
    }

    /// Waits until the maildir of a local address has so many messages; their text.
    pub fn await_mail(&self, address: &str, count: usize) -> Vec<String> {
        wait_until(|| self.mailbox(address).len() >= count);
        let read = |path: &PathBuf| {
            String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
        };
        self.mailbox(address).iter().map(read).collect()
    }

    fn log_path(&self) -> PathBuf {
        self.sandbox.path().join("tmp/mta.log")
    }

    /// What the mta has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// Waits for a line of the log with all these parts.
    pub fn logged(&self, parts: &[&str]) -> bool {
        let has = |line: &str| parts.iter().all(|part| line.contains(part));
        wait_until(|| self.log().lines().any(has))
    }

    /// Has the configuration and all files that it names read anew, and waits for what the log says of it: whether they
    /// are in use.
    pub fn reload(&self) -> io::Result<bool> {
        let said = |text: &str| self.log().matches(text).count();
        let (taken, stays) = ("serving by the new configuration", "the old one stays");
        let (before_taken, before_stays) = (said(taken), said(stays));
        let mta = self.mta.as_ref().ok_or(io::ErrorKind::NotFound)?;
        kill(Pid::from_raw(mta.id().cast_signed()), Signal::SIGHUP)?;
        let heard = || said(taken) > before_taken || said(stays) > before_stays;
        if wait_until(heard) {
            return Ok(said(stays) == before_stays);
        }
        Err(io::Error::other(format!("no word of a reload: {}", self.log())))
    }

    /// The mta's configuration.
    pub fn config(&self) -> io::Result<String> {
        fs::read_to_string(self.sandbox.path().join("etc/mta.toml"))
    }

    /// Writes another one, for the next [`Self::reload`] or start.
    pub fn write_config(&self, text: &str) -> io::Result<()> {
        sandbox::replace(&self.sandbox.path().join("etc/mta.toml"), text.as_bytes(), 0o644)
    }

    /// The map's file, for a change.
    pub fn write_map(&self, text: &str) -> io::Result<()> {
        sandbox::replace(&self.sandbox.path().join("etc/access"), text.as_bytes(), 0o644)
    }

    /// A client that has read the greeting and said EHLO.
    pub fn visit(&self, to: SocketAddr) -> io::Result<(Client, Reply)> {
        let mut client = Client::connect(to, None)?;
        client.reply()?;
        let offered = client.say("EHLO client.example")?;
        Ok((client, offered))
    }

    /// The same inside TLS; it believes the house's authority alone.
    pub fn visit_tls(
        &self,
        to: SocketAddr,
        identity: Option<Certificate>,
    ) -> io::Result<(Client, Reply)> {
        let config = tls::client_of(&self.tls().join("ca.pem"), identity)?;
        let mut client = Client::connect(to, None)?;
        if to.port() != SUBMISSIONS {
            client.reply()?;
            client.say("EHLO client.example")?;
            let said = client.say("STARTTLS")?;
            if said.code() != 220 {
                return Err(io::Error::other(format!("STARTTLS: {said}")));
            }
        }
        client.handshake(config, HOST)?;
        if to.port() == SUBMISSIONS {
            client.reply()?;
        }
        let offered = client.say("EHLO client.example")?;
        Ok((client, offered))
    }

    /// A client inside TLS that has logged in.
    pub fn login(&self, to: SocketAddr) -> io::Result<Client> {
        let (mut client, _) = self.visit_tls(to, None)?;
        let said = client.say(&format!("AUTH PLAIN {}", plain(LOGIN, PASSWORD)))?;
        if said.code() == 235 { Ok(client) } else { Err(io::Error::other(format!("AUTH: {said}"))) }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the mta\n{}", self.log());
        }
        if let Some(child) = &mut self.mta {
            let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
            wait_for(Duration::from_secs(3), || matches!(child.try_wait(), Ok(Some(_))));
        }
        self.daemon = None;
    }
}
