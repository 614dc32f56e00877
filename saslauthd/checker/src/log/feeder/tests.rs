//! Readers that read, that don't, and that are gone.

use std::io::Read;
use std::os::unix::net::UnixDatagram;

use super::super::lines::Lines;
use super::*;

const PATIENT: Duration = Duration::from_secs(60);

fn batch(lines: &[&str]) -> Batch {
    let mut all = Lines::default();
    lines.iter().for_each(|line| assert!(all.stderr(1, line)));
    all.take()
}

fn pipe() -> (Feeder, io::PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    let mut feeder = Feeder::start().unwrap();
    feeder.direct_to(Sink::File(OwnedFd::from(writer).into())).unwrap();
    (feeder, reader)
}

#[test]
fn a_line_is_there_at_once_while_the_reader_reads() {
    let (feeder, mut reader) = pipe();
    let mut line = [0; 18];
    for _ in 0..1000 {
        assert_eq!(feeder.feed(batch(&["abc"])), Fed::default());
        assert_eq!(feeder.shared.waiting.load(Acquire), 0, "no thread was needed");
        reader.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"saslauthd[1]: abc\n");
    }
}

#[test]
fn a_reader_that_does_not_read_costs_lines_and_no_time() {
    let (feeder, mut reader) = pipe();
    let line = "x".repeat(985);
    let taken = (0..20_000).filter(|_| feeder.feed(batch(&[&line])).lost == 0).count();
    assert!((100..10_000).contains(&taken), "{taken}");
    let mut text = vec![0; taken * 1000];
    reader.read_exact(&mut text).unwrap();
    assert!(text.split(|byte| *byte == b'\n').all(|line| line.is_empty() || line.len() == 999));
    feeder.drain(PATIENT);
    assert_eq!(feeder.feed(batch(&["again"])), Fed::default());
    reader.read_exact(&mut [0; 20]).unwrap();
}

#[test]
fn a_long_line_is_written_whole() {
    let (feeder, mut reader) = pipe();
    let long = "y".repeat(50_000);
    assert_eq!(feeder.feed(batch(&["before", &long, "after"])), Fed::default());
    let mut text = vec![0; 3 * 15 + 6 + 50_000 + 5];
    reader.read_exact(&mut text).unwrap();
    assert!(text.ends_with(b"yyy\nsaslauthd[1]: after\n"));
}

#[test]
fn a_small_socket_gets_every_line_in_order() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let mut feeder = Feeder::start().unwrap();
    feeder.direct_to(Sink::Socket(ours.into())).unwrap();
    let numbers: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
    for chunk in numbers.chunks(100) {
        let lines: Vec<&str> = chunk.iter().map(String::as_str).collect();
        assert_eq!(feeder.feed(batch(&lines)), Fed::default());
    }
    let mut buffer = [0; 100];
    for number in &numbers {
        let length = theirs.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..length], *format!("saslauthd[1]: {number}\n").as_bytes());
    }
}

#[test]
fn a_sink_that_is_gone_is_told_also_by_the_thread() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let mut feeder = Feeder::start().unwrap();
    feeder.direct_to(Sink::Socket(ours.into())).unwrap();
    let lines: Vec<&str> = std::iter::repeat_n("line", 1000).collect();
    assert_eq!(feeder.feed(batch(&lines)), Fed::default());
    drop(theirs);
    feeder.drain(PATIENT);
    let fed = feeder.feed(batch(&["one more"]));
    assert!(fed.gone && fed.lost > 1, "{fed:?}");
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    feeder.direct_to(Sink::Socket(ours.into())).unwrap();
    assert_eq!(feeder.feed(batch(&["another"])), Fed::default());
    assert!(theirs.recv(&mut [0; 100]).is_ok());
}
