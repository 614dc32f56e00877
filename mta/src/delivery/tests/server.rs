//! A scripted server: it notes what it hears, and answers what the script says.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};

/// What it answers to a line, or to the text (`.`); `""` closes the connection.
pub(super) type Script = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// What it heard, each connection with `<connect>` first and a text as one entry.
pub(super) type Heard = Arc<Mutex<Vec<String>>>;

/// EHLO with these extensions, and 250 to all.
pub(super) fn kind(extensions: &'static [&'static str]) -> Script {
    Arc::new(move |line| answer(line, extensions))
}

/// The answers of a kind server.
pub(super) fn answer(line: &str, extensions: &[&str]) -> String {
    let verb = line.split([' ', ':']).next().unwrap_or_default();
    match verb {
        "<connect>" => "220 mx.test ESMTP\r\n".into(),
        "EHLO" | "LHLO" => {
            let all = [&["mx.test"], extensions].concat();
            let last = all.len() - 1;
            let line = |(at, text): (usize, &&str)| {
                format!("250{}{text}\r\n", if at == last { ' ' } else { '-' })
            };
            all.iter().enumerate().map(line).collect()
        }
        "DATA" => "354 go on\r\n".into(),
        "QUIT" => "221 2.0.0 bye\r\n".into(),
        "RCPT" => "250 2.1.5 recipient ok\r\n".into(),
        "." => "250 2.0.0 queued\r\n".into(),
        _ => "250 2.0.0 ok\r\n".into(),
    }
}

/// Listens on loopback.
pub(super) async fn listen(script: Script) -> (SocketAddr, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Heard::default();
    let noted = Arc::clone(&heard);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&noted)));
        }
    });
    (address, heard)
}

/// Listens on a Unix socket.
pub(super) fn listen_unix(path: &Path, script: Script) -> Heard {
    let listener = UnixListener::bind(path).unwrap();
    let heard = Heard::default();
    let noted = Arc::clone(&heard);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&noted)));
        }
    });
    heard
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, script: Script, heard: Heard) {
    heard.lock().unwrap().push("<connect>".to_owned());
    let mut stream = BufReader::new(stream);
    let greeting = script("<connect>");
    if !greeting.is_empty() && stream.write_all(greeting.as_bytes()).await.is_ok() {
        go_on(stream, script, heard).await;
    }
}

/// Hears commands, the first one next.
pub(super) async fn go_on(
    mut stream: BufReader<impl AsyncRead + AsyncWrite + Unpin>,
    script: Script,
    heard: Heard,
) {
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        assert!(line.ends_with("\r\n"), "{line:?}");
        line.truncate(line.len() - 2);
        heard.lock().unwrap().push(line.clone());
        let answer = script(&line);
        let into_text = line == "DATA" && answer.starts_with('3');
        if answer.is_empty() || stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        if into_text {
            let Some(text) = text(&mut stream).await else { return };
            heard.lock().unwrap().push(text);
            let answer = script(".");
            if answer.is_empty() || stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// What comes up to the dot, as it came.
async fn text(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<String> {
    let mut all = Vec::new();
    loop {
        let from = all.len();
        if stream.read_until(b'\n', &mut all).await.unwrap_or(0) == 0 {
            return None;
        }
        if &all[from..] == b".\r\n" && (from == 0 || all[..from].ends_with(b"\r\n")) {
            all.truncate(from);
            return Some(String::from_utf8_lossy(&all).into_owned());
        }
    }
}
