//! The bench: ours beside Debian's saslauthd and Dovecot in one run, row by row in turn, and a table of ratios.
//!
//! `cargo run --release -p tests --bin bench [-- SECONDS]`, as root on an otherwise idle machine. It prints; it
//! asserts nothing about time. Every reply is checked, and a wrong one is printed in its row.
//!
//! `bench auth [SECONDS]` does only what is beside Debian's Dovecot.
//!
//! `bench mail [SECONDS]` does only what is beside Debian's Postfix.
//!
//! `bench mail-row held|relayed SESSIONS BYTES SECONDS TIMES` does one row of that so many times.
//!
//! `bench load SOCKET USER PASSWORD CLIENTS SECONDS` puts a load of one right login on any mux socket, for a profiler.

// What is outside the product may end loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod accounts;
mod auth;
mod auth_rows;
mod dovecot;
mod flood;
mod load;
mod mail;
mod memory;
mod processor;
mod rows;
mod scram;

use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, socket, user, password, clients, seconds] = arguments.as_slice()
        && word == "load"
    {
        let clients = clients.parse().expect("CLIENTS is a number");
        let measured = Duration::from_secs_f64(seconds.parse().expect("SECONDS is a number"));
        return rows::one(socket.as_ref(), user, password, clients, measured);
    }
    if let [word, mail, sessions, size, seconds, times] = arguments.as_slice()
        && word == "mail-row"
    {
        let number = |text: &str| text.parse::<usize>().expect("a number");
        let measured = Duration::from_secs(number(seconds) as u64);
        return mail::one_row(mail, (number(sessions), number(size)), measured, number(times));
    }
    let only_mail = arguments.first().is_some_and(|word| word == "mail");
    let only_auth = arguments.first().is_some_and(|word| word == "auth");
    let seconds = arguments.last().and_then(|text| text.parse().ok()).unwrap_or(2.0);
    let measured = Duration::from_secs_f64(seconds);
    println!("each figure: {seconds} s after 0.5 s of warm-up\n");
    if only_mail {
        return mail::beside_postfix(measured);
    }
    auth_rows::beside_dovecot(measured);
    if only_auth {
        return;
    }
    println!("from here on one connection a login\n");
    rows::ceiling(measured);
    rows::throughput(measured);
    rows::crypt_alone(measured);
    flood::flood(measured);
    flood::idle(measured);
    mail::beside_postfix(measured);
}
