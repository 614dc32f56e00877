//! How fast the spool of a directory is: `spool DIRECTORY [durable|start]`.
//!
//! `durable` keeps 4 kB messages from 1, 16 and 64 sessions; `start` opens a queue of 200,000. For the builder of the
//! house; nothing runs it in service.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use mta::spool::envelope::{Addressee, Envelope, Origin};
use mta::spool::id::Id;
use mta::spool::incoming::Incoming;
use mta::spool::queue::Queue;
use mta::spool::record;
use smtp::address::Sender;
use smtp::command::{Command, MailParameters};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn envelope(id: Id) -> Outcome<Envelope> {
    let Ok(Command::Rcpt(recipient, parameters)) =
        Command::parse(b"RCPT TO:<somebody@example.org>")
    else {
        return Err("no recipient".into());
    };
    Ok(Envelope {
        id,
        arrived: 0,
        sender: Sender::Null,
        parameters: MailParameters::default(),
        recipients: vec![Addressee { recipient, parameters }],
        origin: Origin::Received {
            client: SocketAddr::from(([127, 0, 0, 1], 4242)),
            name: "localhost".into(),
            helo: "client.example.org".into(),
            with: "ESMTPSA".into(),
            user: Some("user".into()),
            held: None,
        },
    })
}

async fn durable(spool: &Path, sessions: usize, bytes: usize) -> Outcome<f64> {
    let incoming = Incoming::open(spool, 0)?;
    let begun = Instant::now();
    let until = begun + Duration::from_secs(4);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..sessions {
        let incoming = incoming.clone();
        tasks.spawn(async move {
            let (text, mut kept) = (vec![b'x'; bytes], 0_u32);
            while Instant::now() < until {
                let mut draft = incoming.begin();
                draft.append(&text).await?;
                let envelope = envelope(draft.id())?;
                draft.commit(&envelope).await?;
                kept += 1;
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(kept)
        });
    }
    let mut kept = 0;
    while let Some(session) = tasks.join_next().await {
        kept += session??;
    }
    Ok(f64::from(kept) / begun.elapsed().as_secs_f64())
}

fn start(spool: &Path) -> Outcome<()> {
    drop(Queue::open(spool)?);
    for number in 0..200_000 {
        let id = Id::parse(format!("{number:016}").as_bytes()).ok_or("no id")?;
        let file = record::write_message(&envelope(id)?, b"Subject: a\r\n\r\nb\r\n")?;
        std::fs::write(spool.join("queue").join(id.as_str()), file)?;
    }
    let begun = Instant::now();
    let queue = Queue::open(spool)?;
    let ids = queue.taken()?;
    let listed = begun.elapsed();
    for id in &ids {
        queue.read(*id)?;
    }
    println!("{} messages: listed in {listed:?}, all read in {:?}", ids.len(), begun.elapsed());
    Ok(())
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: spool DIRECTORY [durable|start]")?;
    let spool = Path::new(&directory);
    if arguments.next().as_deref() == Some("start") {
        return start(spool);
    }
    drop(Queue::open(spool)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    for (sessions, bytes) in [(1, 4_000), (16, 4_000), (64, 4_000), (16, 100_000)] {
        let rate = runtime.block_on(durable(spool, sessions, bytes))?;
        println!("{sessions} sessions, {bytes} bytes: {rate:.0} messages/s");
    }
    Ok(())
}
