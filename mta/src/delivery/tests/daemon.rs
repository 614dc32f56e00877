//! A policy socket that answers what a test says.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use protocol::policy::{Attribute, Request, decode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

type Judge = Box<dyn Fn(&Request) -> String + Send>;

/// What it answers, and what it was asked.
pub(super) struct Daemon {
    directory: tempfile::TempDir,
    judge: Arc<Mutex<Judge>>,
    /// Rulesets, with the recipient and what is known of TLS.
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    /// Answers DUNNO to all.
    pub(super) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("policy")).unwrap();
        let judge: Arc<Mutex<Judge>> = Arc::new(Mutex::new(Box::new(|_| "DUNNO".to_owned())));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let daemon = Self { directory, judge: Arc::clone(&judge), asked: Arc::clone(&asked) };
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (judge, asked) = (Arc::clone(&judge), Arc::clone(&asked));
                tokio::spawn(async move {
                    let mut received = Vec::new();
                    loop {
                        while let Ok(Some((request, used))) = decode(&received, 0) {
                            received.drain(..used);
                            let words =
                                [Attribute::Ruleset, Attribute::Recipient, Attribute::Verify];
                            let words = words.map(|attribute| request.value(attribute).to_owned());
                            asked.lock().unwrap().push(words.join(" "));
                            let action = judge.lock().unwrap()(&request);
                            if action == "CLOSE" {
                                return;
                            }
                            let (action, value) = match action.split_once(" value=") {
                                Some((action, value)) => (action, value),
                                None => (action.as_str(), ""),
                            };
                            let value = match request.value(Attribute::Ruleset) {
                                "tls_clt_features" => format!("value={value}\n"),
                                _ => String::new(),
                            };
                            let reply = format!("action={action}\n{value}\n");
                            let _ = stream.write_all(reply.as_bytes()).await;
                        }
                        if stream.read_buf(&mut received).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                });
            }
        });
        daemon
    }

    /// Where it listens.
    pub(super) fn socket(&self) -> PathBuf {
        self.directory.path().join("policy")
    }

    /// From now on.
    pub(super) fn says(&self, judge: impl Fn(&Request) -> String + Send + 'static) {
        *self.judge.lock().unwrap() = Box::new(judge);
    }
}
