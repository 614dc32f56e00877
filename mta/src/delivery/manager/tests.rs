//! The manager over a real spool, with a real server of LMTP on a Unix socket as next hop.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use smtp::address::{Address, Recipient, Sender};
use smtp::command::{MailParameters, NotifyOn, RcptParameters};
use sys::channel::{Kind, pair};

use super::*;
use crate::control::{Material, Socket};
use crate::daemon::Connector;
use crate::delivery::transport::Reply;
use crate::policy::Policy;
use crate::spool::envelope::{Addressee, Envelope, Origin};
use crate::spool::incoming::Incoming;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server of LMTP that says `said` after a message for a recipient, and hands over each that it took.
struct Hop {
    messages: std::sync::mpsc::Receiver<(String, String)>,
}

fn answered(local_part: &str) -> &'static str {
    match local_part {
        "never" => "550 5.1.1 nobody here",
        "later" => "451 4.2.0 not now",
        _ => "250 2.0.0 kept",
    }
}

impl Hop {
    fn start(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let (told, messages) = std::sync::mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let told = told.clone();
                thread::spawn(move || drop(serve(stream.unwrap(), &told)));
            }
        });
        Self { messages }
    }

    /// Recipient and text of the next one.
    fn next(&self) -> (String, String) {
        self.messages.recv_timeout(PATIENCE).unwrap()
    }
}

fn serve(
    stream: UnixStream,
    told: &std::sync::mpsc::Sender<(String, String)>,
) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    out.write_all(b"220 hop.test LMTP\r\n")?;
    let mut recipients = Vec::new();
    while let Some(line) = lines.next() {
        let line = line?;
        let verb = line.split([' ', ':']).next().unwrap().to_ascii_uppercase();
        match verb.as_str() {
            "LHLO" => out.write_all(b"250-hop.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n")?,
            "RCPT" => {
                let address = line.split(['<', '>']).nth(1).unwrap().to_owned();
                recipients.push(address);
                out.write_all(b"250 2.1.5 ok\r\n")?;
            }
            "DATA" => {
                out.write_all(b"354 go on\r\n")?;
                let mut text = String::new();
                for line in lines.by_ref() {
                    let line = line?;
                    if line == "." {
                        break;
                    }
                    text += &line;
                    text += "\n";
                }
                for address in recipients.drain(..) {
                    let reply = answered(address.split('@').next().unwrap());
                    out.write_all(format!("{reply}\r\n").as_bytes())?;
                    let _ = told.send((address, text.clone()));
                }
            }
            "QUIT" => return out.write_all(b"221 bye\r\n"),
            _ => out.write_all(b"250 ok\r\n")?,
        }
    }
    Ok(())
}

/// A spool with its manager.
struct House {
    home: tempfile::TempDir,
    manager: Manager,
    incoming: Incoming,
    _parent: OwnedFd,
}

impl House {
    async fn begin(more: &str) -> Self {
        Self::begin_at(tempfile::tempdir().unwrap(), more).await
    }

    async fn begin_at(home: tempfile::TempDir, more: &str) -> Self {
        let spool = home.path().join("spool");
        std::fs::create_dir_all(&spool).unwrap();
        let queue = Queue::open(&spool).unwrap();
        let config = Arc::new(config(home.path(), more));
        let (parent, child) = pair(Kind::Packets).unwrap();
        let (link, _orders) = Link::open(child).unwrap();
        let daemon = Connector::Link(link.clone(), Socket::Policy);
        let policy = Policy::new(daemon, Duration::from_secs(5));
        let files = Material::default();
        let log = Arc::new(|_, _| {});
        let transport = Transport::new(Arc::clone(&config), &files, policy, log).unwrap();
        let arrivals = queue.watch().unwrap();
        let manager = Manager::new(link, queue, Settings { config, transport });
        let serving = manager.clone();
        tokio::spawn(async move { serving.serve(arrivals).await });
        let incoming = Incoming::open(&spool, 0).unwrap();
        Self { home, manager, incoming, _parent: parent }
    }

    async fn receive(
        &self,
        sender: &str,
        recipients: &[(&str, Option<smtp::command::Notify>)],
    ) -> Id {
        let mut draft = self.incoming.begin();
        draft.append(b"Subject: hello\r\n\r\nHow are you?\r\n").await.unwrap();
        let id = draft.id();
        let address = |text: &str| Address::parse(text).unwrap();
        let envelope = Envelope {
            id,
            arrived: wall_seconds(),
            sender: if sender.is_empty() { Sender::Null } else { Sender::Address(address(sender)) },
            parameters: MailParameters::default(),
            recipients: recipients
                .iter()
                .map(|(recipient, notify)| Addressee {
                    recipient: Recipient::Address(address(recipient)),
                    parameters: RcptParameters { notify: *notify, orcpt: None },
                })
                .collect(),
            origin: Origin::Own,
        };
        draft.commit(&envelope).await.unwrap();
        id
    }

    /// Waits until something is so.
    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < end, "{what}: {}", self.manager.0.status());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn files(&self, directory: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.home.path().join("spool").join(directory)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.')).collect()
    }

    fn messages(&self) -> usize {
        self.manager.0.agenda().len()
    }

    fn state(&self, id: Id) -> crate::spool::state::State {
        self.manager.0.store.read(id).unwrap().state
    }
}

fn config(home: &Path, more: &str) -> Config {
    let text = format!(
        "hostname = \"mta.test\"\nlocal_domains = [\"here.test\"]\nspool = \"{home}/spool\"\n\
         [[route]]\nto = \"local\"\nvia = \"lmtp\"\nsocket = \"{home}/lmtp\"\n{more}\n",
        home = home.display()
    );
    Config::parse(&text).unwrap_or_else(|why| panic!("{why}"))
}

async fn next(hop: &Arc<Mutex<Hop>>) -> (String, String) {
    let hop = Arc::clone(hop);
    tokio::task::spawn_blocking(move || hop.lock().unwrap().next()).await.unwrap()
}

fn hop(house: &House) -> Arc<Mutex<Hop>> {
    Arc::new(Mutex::new(Hop::start(&house.home.path().join("lmtp"))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_is_delivered_and_gone() {
    let house = House::begin("").await;
    let hop = hop(&house);
    house.receive("a@else.test", &[("bob@here.test", None), ("carol@here.test", None)]).await;
    let mut got = [next(&hop).await, next(&hop).await];
    got.sort();
    assert_eq!(got[0].0, "bob@here.test");
    assert_eq!(got[1].0, "carol@here.test");
    assert!(got[0].1.ends_with("Subject: hello\n\nHow are you?\n"), "{}", got[0].1);
    house
        .until("it is gone", |house| house.files("queue").is_empty() && house.messages() == 0)
        .await;
    assert!(house.files("incoming").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_comes_back_and_the_others_are_delivered_once() {
    let house = House::begin("").await;
    let hop = hop(&house);
    house.receive("sue@here.test", &[("bob@here.test", None), ("never@here.test", None)]).await;
    let mut got = [next(&hop).await, next(&hop).await, next(&hop).await];
    got.sort();
    assert_eq!(
        got.each_ref().map(|(to, _)| to.as_str()),
        ["bob@here.test", "never@here.test", "sue@here.test"]
    );
    let report = &got[2].1;
    assert!(report.contains("Action: failed\nStatus: 5.1.1\n"), "{report}");
    assert!(report.contains("Final-Recipient: rfc822; never@here.test\n"));
    assert!(!report.contains("rfc822; bob@here.test"));
    house.until("all is gone", |house| house.files("queue").is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_of_what_has_no_sender_or_wants_no_report() {
    let house = House::begin("").await;
    let hop = hop(&house);
    house.receive("", &[("never@here.test", None)]).await;
    let never = Some(smtp::command::Notify::Never);
    house.receive("sue@here.test", &[("never@here.test", never)]).await;
    next(&hop).await;
    next(&hop).await;
    house
        .until("both are gone", |house| house.messages() == 0 && house.files("queue").is_empty())
        .await;
    assert_eq!(house.manager.0.figures.reports.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_is_reported_when_it_was_asked_for() {
    let house = House::begin("").await;
    let hop = hop(&house);
    let success = NotifyOn { success: true, ..NotifyOn::default() };
    let notify = Some(smtp::command::Notify::On(success));
    house.receive("sue@here.test", &[("bob@here.test", notify)]).await;
    assert_eq!(next(&hop).await.0, "bob@here.test");
    let (to, report) = next(&hop).await;
    assert_eq!(to, "sue@here.test");
    assert!(report.contains("Action: delivered\nStatus: 2.0.0\n"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_told_of_once_and_comes_back_in_the_end() {
    let more = "[delivery]\nretry = [\"200ms\"]\nwarn_after = \"1s\"\ngive_up_after = \"3s\"\n";
    let house = House::begin(more).await;
    let hop = hop(&house);
    house.receive("sue@here.test", &[("later@here.test", None)]).await;
    let mut reports = Vec::new();
    while reports.len() < 2 {
        let (to, text) = next(&hop).await;
        if to == "sue@here.test" {
            reports.push(text);
        }
    }
    assert!(reports[0].contains("Action: delayed\nStatus: 4.2.0\n"), "{}", reports[0]);
    assert!(reports[1].contains("Action: failed\nStatus: 4.2.0\n"), "{}", reports[1]);
    house.until("all is gone", |house| house.files("queue").is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_stays_done_over_a_restart() {
    let house = House::begin("").await;
    let hop = hop(&house);
    let id =
        house.receive("a@else.test", &[("bob@here.test", None), ("later@here.test", None)]).await;
    next(&hop).await;
    next(&hop).await;
    house.until("it is put down", |house| house.files("queue").len() == 2).await;
    house
        .until("it waits", |house| {
            matches!(
                house.manager.0.agenda().entry(id).map(|entry| entry.phase),
                Some(Phase::Until(_))
            )
        })
        .await;
    let state = house.state(id);
    assert_eq!((state.attempts, settle::waiting(&state)), (1, vec![1]));
    let queue = house.manager.0.store.queue.clone();
    let message = queue.read(id).unwrap();
    let entry = house.manager.0.entry(&message);
    assert!(matches!(entry.phase, Phase::Until(at) if at > Instant::now()));
    assert_eq!((entry.attempts, entry.waiting), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_half_taken_does_not_arrive_again_after_it_was_sent() {
    let house = House::begin("").await;
    let id = house.receive("sue@here.test", &[("bob@here.test", None)]).await;
    // Nobody hears LMTP: it waits.
    house
        .until("it waits", |house| {
            let entry = house.manager.0.agenda().entry(id).cloned();
            entry.is_some_and(|entry| entry.attempts == 1) && house.manager.0.agenda().active() == 0
        })
        .await;
    let spool = house.home.path().join("spool");
    let [taken, arrived] = ["queue", "incoming"].map(|name| spool.join(name).join(id.as_str()));
    std::fs::hard_link(&taken, &arrived).unwrap();
    let hop = hop(&house);
    {
        let mut agenda = house.manager.0.agenda();
        agenda.forget_hops();
        agenda.end_pauses();
        agenda.wait(id, Instant::now());
    }
    house.manager.0.wake.notify_one();
    next(&hop).await;
    house.until("it is gone", |house| house.messages() == 0 && !taken.exists()).await;
    assert!(!arrived.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hop_that_is_away_is_tried_once_for_many() {
    let more = "[delivery]\nretry = [\"2s\"]\n";
    let house = House::begin(more).await;
    for number in 0..20 {
        house.receive("a@else.test", &[(&format!("u{number}@here.test"), None)]).await;
    }
    house
        .until("all have been looked at", |house| {
            let agenda = house.manager.0.agenda();
            agenda.len() == 20
                && agenda.entries().all(|(_, entry)| matches!(entry.phase, Phase::Until(_)))
        })
        .await;
    let tried = house.manager.0.figures.deferred.load(Ordering::Relaxed);
    assert!((1..=11).contains(&tried), "{tried} attempts for 20 messages");
    let hop = hop(&house);
    for _ in 0..20 {
        next(&hop).await;
    }
    house.until("all are gone", |house| house.messages() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_put_aside_and_mail_goes_on() {
    let house = House::begin("").await;
    let hop = hop(&house);
    let name = "0123456789abcdef";
    let spool = house.home.path().join("spool");
    std::fs::write(spool.join("draft"), b"no message").unwrap();
    std::fs::rename(spool.join("draft"), spool.join("incoming").join(name)).unwrap();
    house.receive("a@else.test", &[("bob@here.test", None)]).await;
    assert_eq!(next(&hop).await.0, "bob@here.test");
    house.until("it is put aside", |house| house.files("corrupt").len() == 1).await;
    assert!(house.files("incoming").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_hold_release_and_delete() {
    let house = House::begin("[delivery]\nretry = [\"1h\"]\n").await;
    let control = house.home.path().join("control");
    house.manager.hear(tokio::net::UnixListener::bind(&control).unwrap());
    let ask = async |line: &str| -> serde_json::Value {
        let (line, control) = (format!("{line}\n"), control.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(control).unwrap();
            stream.write_all(line.as_bytes()).unwrap();
            let mut reply = String::new();
            std::io::Read::read_to_string(&mut stream, &mut reply).unwrap();
            serde_json::from_str(&reply).unwrap()
        });
        asked.await.unwrap()
    };
    let id = house.receive("sue@else.test", &[("later@here.test", None)]).await;
    house
        .until("it waits", |house| {
            matches!(
                house.manager.0.agenda().entry(id).map(|entry| entry.phase),
                Some(Phase::Until(_))
            )
        })
        .await;
    assert_eq!(ask(&format!("hold\t{id}")).await["done"], "1 message held");
    let list = ask("list\tstate=held\trecipient=LATER@").await;
    assert_eq!(list["messages"][0]["id"], id.as_str());
    assert_eq!(ask("list\tstate=waiting").await["messages"], serde_json::json!([]));
    assert!(house.state(id).held.is_some());
    let hop = hop(&house);
    assert_eq!(ask("release\tall").await["count"], 1);
    assert_eq!(ask("retry\tall").await.get("error"), None);
    assert_eq!(next(&hop).await.0, "later@here.test");
    let shown = ask(&format!("show\t{id}\theader")).await;
    assert_eq!(shown["sender"], "<sue@else.test>");
    assert_eq!(shown["header"], "Subject: hello");
    let status = ask("status").await;
    assert_eq!(status["messages"], 1);
    assert_eq!(ask(&format!("delete\t{id}")).await["done"], "1 message deleted");
    assert!(house.files("queue").is_empty());
    let gone = ask(&format!("delete\t{id}")).await;
    assert!(gone["error"].as_str().unwrap().starts_with("there is no message"), "{gone}");
    assert!(ask("nonsense").await["error"].is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_said_is_remembered_when_nothing_can_be_read() {
    let house = House::begin("").await;
    let id = house.receive("sue@here.test", &[("bob@here.test", None)]).await;
    // Nobody hears LMTP: it waits.
    house
        .until("it waits", |house| {
            house.messages() == 1
                && house.files("queue").len() == 2
                && house.manager.0.agenda().active() == 0
        })
        .await;
    let said = Reply::local(250, 0, 0, "kept");
    let mut report = crate::delivery::transport::Report::all(&[0], &said);
    report.notifier = crate::delivery::transport::Notifier::Mailbox;
    let store = &house.manager.0.store;
    store.remember(id, report);
    assert!(store.in_trouble(Instant::now()).is_some(), "nothing new is begun meanwhile");
    let message = store.read(id).unwrap();
    assert_eq!(settle::waiting(&message.state), [0u32; 0]);
    store.record(id, &message.state).unwrap();
    assert_eq!(settle::waiting(&house.manager.0.store.queue.read(id).unwrap().state), [0u32; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_the_next_hop_that_messages_wait_for() {
    let house = House::begin("").await;
    house.receive("sue@here.test", &[("bob@here.test", None)]).await;
    house
        .until("it waits", |house| {
            let status = house.manager.0.status();
            status["waiting"] == 1 && status["destinations"][0]["failures"] == 1
        })
        .await;
    let status = house.manager.0.status();
    assert_eq!(status["destinations"][0]["messages"], 1, "{status}");
    assert!(status["destinations"][0]["paused"].as_u64() > Some(0), "{status}");
}
