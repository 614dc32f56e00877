//! What the sender takes, records and removes.

use std::io::Read;
use std::time::Duration;

use smtp::reply::{Code, Status};

use super::super::incoming::Incoming;
use super::super::samples;
use super::super::state::{Fate, Standing, Told};
use super::*;
use crate::delivery::transport::{Reply, Source};

fn spool() -> (tempfile::TempDir, Queue) {
    let spool = tempfile::tempdir().unwrap();
    let queue = Queue::open(spool.path()).unwrap();
    (spool, queue)
}

async fn accepted(spool: &Path, text: &[u8]) -> Id {
    let incoming = Incoming::open(spool, 0).unwrap();
    let mut draft = incoming.begin();
    draft.append(text).await.unwrap();
    let id = draft.id();
    draft.commit(&samples::envelope(id, 2)).await.unwrap();
    id
}

fn text(queue: &Queue, id: Id) -> Vec<u8> {
    let mut text = Vec::new();
    queue.open_text(id).unwrap().open().unwrap().read_to_end(&mut text).unwrap();
    text
}

fn names(directory: &Path) -> Vec<String> {
    let files = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn tried() -> State {
    let reply = Reply {
        code: Code::new(450).unwrap(),
        status: Status { subject: 2, detail: 1 },
        text: "later".into(),
        source: Source::Server("mx.example.net [192.0.2.1]".into()),
    };
    State {
        watched: Duration::new(5, 7),
        noted: 1_700_000_100,
        next: 1_700_001_000,
        attempts: 1,
        held: Some("an operator".into()),
        warned: Told::Yes,
        recipients: vec![
            Standing { fate: Fate::Waiting, reply: Some(reply) },
            Standing { fate: Fate::Delivered(Told::No), reply: None },
        ],
    }
}

#[tokio::test]
async fn two_who_take_a_message_at_once_both_have_it() {
    let (spool, queue) = spool();
    let id = accepted(spool.path(), b"text").await;
    queue.take(id).unwrap();
    let [taken, arrived] =
        ["queue", "incoming"].map(|name| spool.path().join(name).join(id.as_str()));
    for _ in 0..500 {
        // What a crash leaves of one that was half taken.
        fs::hard_link(&taken, &arrived).unwrap();
        let start = std::sync::Barrier::new(2);
        let take = || {
            start.wait();
            queue.take(id)
        };
        let outcomes = std::thread::scope(|scope| {
            [scope.spawn(take), scope.spawn(take)].map(|taker| taker.join().unwrap())
        });
        assert_eq!(outcomes, [Ok(()), Ok(())]);
        queue.clear_state(id).unwrap();
        assert!(taken.exists() && !arrived.exists());
    }
}

#[tokio::test]
async fn a_message_goes_from_the_receiver_to_its_end() {
    let (spool, queue) = spool();
    let long = vec![b'x'; 200_000];
    for content in [b"".as_slice(), b"Subject: a\r\n\r\nb\r\n", &long] {
        let id = accepted(spool.path(), content).await;
        assert_eq!(queue.arrived().unwrap(), [id]);
        queue.take(id).unwrap();
        queue.take(id).unwrap();
        assert_eq!((queue.arrived().unwrap(), queue.taken().unwrap()), (vec![], vec![id]));
        let message = queue.read(id).unwrap();
        assert_eq!(*message.envelope, samples::envelope(id, 2));
        assert_eq!(message.state, State::new(1_700_000_000, 2));
        assert_eq!(message.size, content.len() as u64);
        assert!(text(&queue, id) == content);
        queue.record(id, &State::new(1, 2)).unwrap();
        queue.record(id, &tried()).unwrap();
        assert_eq!(queue.read(id).unwrap().state, tried());
        let open = queue.open_text(id).unwrap();
        queue.remove(id).unwrap();
        let mut later = Vec::new();
        open.open().unwrap().read_to_end(&mut later).unwrap();
        assert!(later == content, "what is being sent is sent to its end");
        assert!(names(&spool.path().join("queue")).is_empty());
        assert_eq!(queue.read(id), Err(Trouble::Gone));
        assert_eq!(queue.take(id), Err(Trouble::Gone));
        assert_eq!(queue.record(id, &tried()), Err(Trouble::Gone));
        assert_eq!(queue.quarantine(id), Err(Trouble::Gone));
        assert_eq!(queue.remove(id), Ok(()));
    }
}

#[test]
fn a_report_is_kept_under_an_id_of_its_own() {
    let (_spool, queue) = spool();
    let never = Id::parse(b"0000000000000000").unwrap();
    let first = queue.keep(&samples::own(never), b"first").unwrap();
    let second = queue.keep(&samples::own(never), b"second").unwrap();
    assert_eq!(queue.taken().unwrap(), [first, second]);
    assert_eq!(*queue.read(first).unwrap().envelope, samples::own(first));
    assert_eq!(text(&queue, second), b"second");
}

#[test]
fn a_second_sender_is_told_so() {
    let (spool, queue) = spool();
    assert_eq!(Queue::open(spool.path()).unwrap_err(), Trouble::Locked);
    drop(queue);
    Queue::open(spool.path()).unwrap();
}

#[tokio::test]
async fn what_is_damaged_is_not_taken_and_goes_aside() {
    let (spool, queue) = spool();
    let id = accepted(spool.path(), b"Subject: a\r\n\r\nb\r\n").await;
    let path = spool.path().join("incoming").join(id.as_str());
    let whole = fs::read(&path).unwrap();
    let damaged = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        assert!(matches!(queue.take(id), Err(Trouble::Damaged(_))));
    };
    for at in (0..whole.len()).step_by(29) {
        damaged(&whole[..at]);
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        damaged(&flipped);
    }
    damaged(&[whole.as_slice(), b"\0"].concat());
    damaged(&[whole.as_slice(), &whole].concat());
    queue.quarantine(id).unwrap();
    assert_eq!(names(&spool.path().join("corrupt")), [id.as_str()]);
    assert!(queue.arrived().unwrap().is_empty());
}

#[tokio::test]
async fn a_state_that_is_damaged_or_anothers_is_not_believed() {
    let (spool, queue) = spool();
    let id = accepted(spool.path(), b"text").await;
    queue.take(id).unwrap();
    queue.record(id, &tried()).unwrap();
    let path = spool.path().join("queue").join(state_name(id));
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(29) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        for bytes in [&whole[..at], &flipped] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(queue.read(id), Err(Trouble::Damaged(_))));
        }
    }
    let other = Id::parse(b"0000000000000000").unwrap();
    for bytes in [record::write_state(other, &tried()), record::write_state(id, &State::new(0, 3))]
    {
        fs::write(&path, bytes).unwrap();
        assert!(matches!(queue.read(id), Err(Trouble::Damaged(_))));
    }
    queue.quarantine(id).unwrap();
    assert_eq!(names(&spool.path().join("corrupt")), [id.to_string(), state_name(id)]);
    assert!(names(&spool.path().join("queue")).is_empty());
}

#[tokio::test]
async fn what_is_no_message_is_not_taken_for_one() {
    let (spool, queue) = spool();
    let id = accepted(spool.path(), b"text").await;
    let incoming = spool.path().join("incoming");
    let renamed = Id::parse(b"0000000000000000").unwrap();
    fs::rename(incoming.join(id.as_str()), incoming.join(renamed.as_str())).unwrap();
    assert!(matches!(queue.take(renamed), Err(Trouble::Damaged(_))), "it says another id");
    let link = Id::parse(b"1111111111111111").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", incoming.join(link.as_str())).unwrap();
    assert!(matches!(queue.take(link), Err(Trouble::Damaged(_))));
    let directory = Id::parse(b"2222222222222222").unwrap();
    fs::create_dir(incoming.join(directory.as_str())).unwrap();
    assert!(matches!(queue.take(directory), Err(Trouble::Damaged(_))));
    let pipe = Id::parse(b"3333333333333333").unwrap();
    let mode = nix::sys::stat::Mode::S_IRUSR;
    nix::unistd::mkfifo(&incoming.join(pipe.as_str()), mode).unwrap();
    assert!(matches!(queue.take(pipe), Err(Trouble::Damaged(_))), "nobody waits for its writer");
    queue.quarantine(pipe).unwrap();
    assert_eq!(names(&spool.path().join("corrupt")), [pipe.as_str()]);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_has_no_end() {
    let (spool, queue) = spool();
    let id = accepted(spool.path(), &vec![b'x'; 200_000]).await;
    queue.take(id).unwrap();
    let open = queue.open_text(id).unwrap();
    let path = spool.path().join("queue").join(id.as_str());
    let mut bytes = fs::read(&path).unwrap();
    bytes[150_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = open.open().unwrap().read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn arrivals_are_told() {
    let (spool, queue) = spool();
    let first = accepted(spool.path(), b"a").await;
    let mut arrivals = queue.watch().unwrap();
    assert_eq!(arrivals.next().await.unwrap(), [first]);
    queue.take(first).unwrap();
    let path = spool.path().to_owned();
    let second = tokio::spawn(async move { accepted(&path, b"b").await });
    let told = arrivals.next().await.unwrap();
    let second = second.await.unwrap();
    assert_eq!(told, [second]);
    // What is there already isn't looked through for each that comes.
    let third = accepted(spool.path(), b"c").await;
    assert_eq!(arrivals.next().await.unwrap(), [third]);
}
