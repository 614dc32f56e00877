//! mta: the parent of receiver and sender, started by an administrator or a service manager.
//!
//! Runs as root or as an ordinary user. It trusts its command line and its configuration; it must never read a byte of a
//! client or of another server.

use std::io::Write;
use std::process::ExitCode;

use mta::parent::command_line::{self, Task};
use mta::parent::failure::Failure;
use mta::parent::{demo, serve};
use sys::notify::ServiceEnvironment;
use sys::start::Handed;

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            // Without a standard error the exit code alone has to tell.
            let _ = std::io::stderr().write_all(failure.text.as_bytes());
            ExitCode::from(failure.code)
        }
    }
}

/// The recipe: throw away what was inherited, read the command line, do what it says.
fn run() -> Result<u8, Failure> {
    let handed = Handed::take(ServiceEnvironment::take_tcp_sockets)?;
    match command_line::parse(std::env::args_os().skip(1))? {
        Task::Serve(options) => return serve::serve(&options, &handed),
        Task::Demo => demo::demo(&handed)?,
        Task::Check(options) => print(&serve::check(&options)?)?,
        Task::CreateUsers(options) => print(&serve::create_users(&options)?)?,
        Task::Print(text) => print(&text)?,
    }
    Ok(0)
}

fn print(text: &str) -> Result<(), Failure> {
    std::io::stdout().write_all(text.as_bytes()).map_err(Failure::new)
}
