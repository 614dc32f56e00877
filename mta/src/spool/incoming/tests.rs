//! What the receiver keeps, and what it leaves behind when a step fails.

use std::fs;

use super::super::record::{MESSAGE, Records, Walk, read_envelope};
use super::super::samples;
use super::*;

fn spool() -> (tempfile::TempDir, Incoming) {
    let spool = tempfile::tempdir().unwrap();
    fs::create_dir(spool.path().join("incoming")).unwrap();
    let incoming = Incoming::open(spool.path(), 0).unwrap();
    (spool, incoming)
}

fn names(spool: &Path) -> Vec<String> {
    let files = fs::read_dir(spool.join("incoming")).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

fn text_of(file: &[u8]) -> Vec<u8> {
    let mut records = Records::new(file, MESSAGE).unwrap();
    let mut walk = Walk::begin(&mut records).unwrap();
    let mut text = Vec::new();
    while let Some(piece) = walk.next(&mut records).unwrap() {
        text.extend_from_slice(piece);
    }
    text
}

#[tokio::test]
async fn messages_of_every_size_are_kept_as_they_came() {
    let (spool, incoming) = spool();
    for length in [0, 1, 4_000, 65_535, 65_536, 65_537, 131_072, 131_073, 400_000] {
        for recipients in [1, 700] {
            let text: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let mut draft = incoming.begin();
            for piece in text.chunks(7_777) {
                draft.append(piece).await.unwrap();
            }
            let envelope = samples::envelope(draft.id(), recipients);
            draft.commit(&envelope).await.unwrap();
            let path = spool.path().join("incoming").join(envelope.id.as_str());
            let file = fs::read(&path).unwrap();
            assert_eq!(read_envelope(file.as_slice()).unwrap(), envelope);
            assert!(text_of(&file) == text, "{length} {recipients}");
            fs::remove_file(path).unwrap();
        }
    }
    assert!(names(spool.path()).is_empty());
}

#[tokio::test]
async fn a_draft_that_is_dropped_leaves_nothing() {
    let (spool, incoming) = spool();
    let mut draft = incoming.begin();
    draft.append(&vec![b'x'; 300_000]).await.unwrap();
    assert_eq!(names(spool.path()), [format!("{}.new", draft.id())]);
    drop(draft);
    assert!(names(spool.path()).is_empty());
}

#[tokio::test]
async fn drafts_of_a_former_receiver_are_deleted_and_nothing_else() {
    let (spool, incoming) = spool();
    let mut draft = incoming.begin();
    draft.append(&vec![b'x'; 300_000]).await.unwrap();
    let kept = incoming.begin();
    let envelope = samples::envelope(kept.id(), 1);
    kept.commit(&envelope).await.unwrap();
    fs::write(spool.path().join("incoming/somebody.new"), "").unwrap();
    let later = Incoming::open(spool.path(), 0).unwrap();
    let mut left = names(spool.path());
    left.sort();
    assert_eq!(left, [envelope.id.to_string(), "somebody.new".into()]);
    // Its file is gone; it isn't accepted into the void.
    let envelope = samples::envelope(draft.id(), 1);
    assert!(matches!(draft.commit(&envelope).await, Err(Refused::Unavailable(_))));
    assert!(later.has_room_for(1).is_ok());
}

#[tokio::test]
async fn there_is_no_room_beyond_the_reserve_or_the_count() {
    let (spool, incoming) = spool();
    assert_eq!(incoming.has_room_for(1), Ok(()));
    assert!(matches!(incoming.has_room_for(u64::MAX), Err(Refused::NoRoom(_))));
    incoming.note_kept(1, 2);
    assert_eq!(incoming.has_room_for(1), Ok(()));
    let draft = incoming.begin();
    let envelope = samples::envelope(draft.id(), 1);
    draft.commit(&envelope).await.unwrap();
    assert!(matches!(incoming.has_room_for(1), Err(Refused::NoRoom(_))), "one more was kept");
    incoming.note_kept(0, 2);
    assert_eq!(incoming.has_room_for(1), Ok(()));

    let full = Incoming::open(spool.path(), u64::MAX).unwrap();
    let draft = full.begin();
    let envelope = samples::envelope(draft.id(), 1);
    assert!(matches!(draft.commit(&envelope).await, Err(Refused::NoRoom(_))));
    assert_eq!(names(spool.path()).len(), 1);
}

#[tokio::test]
async fn an_envelope_that_could_not_be_read_again_is_not_kept() {
    let (spool, incoming) = spool();
    let draft = incoming.begin();
    let mut envelope = samples::envelope(draft.id(), 1);
    envelope.recipients.clear();
    assert!(matches!(draft.commit(&envelope).await, Err(Refused::Unavailable(_))));
    let draft = incoming.begin();
    let other = samples::envelope(incoming.begin().id(), 1);
    assert!(matches!(draft.commit(&other).await, Err(Refused::Unavailable(_))));
    assert!(names(spool.path()).is_empty());
}

#[tokio::test]
async fn where_there_is_no_directory_there_is_no_spool() {
    let nowhere = tempfile::tempdir().unwrap();
    assert!(matches!(Incoming::open(nowhere.path(), 0), Err(Refused::Unavailable(_))));
    fs::write(nowhere.path().join("incoming"), "").unwrap();
    assert!(matches!(Incoming::open(nowhere.path(), 0), Err(Refused::Unavailable(_))));
}
