//! saslauthd: the parent of the house, started by an administrator, an init script or a service manager.
//!
//! Runs as root or as an ordinary user. It trusts its command line and its configuration; it must never read a
//! client's byte.

use std::io::Write;
use std::process::ExitCode;

use saslauthd::command_line::{self, Task};
use saslauthd::config::plan::Foreground;
use saslauthd::failure::Failure;
use saslauthd::{demo, serve};
use sys::identity::create_missing;
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
    let handed = Handed::take(ServiceEnvironment::take_sockets)?;
    match command_line::parse(std::env::args_os().skip(1))? {
        Task::Serve(options) => return serve::serve(options, &handed),
        Task::Demo(options) => demo::demo(&options, &handed)?,
        Task::Check(options) => {
            let plan = serve::plan(&options, Foreground::Yes)?;
            options.warnings.iter().chain(&plan.warnings).for_each(|w| eprintln!("saslauthd: {w}"));
            print(&format!("{}: no errors\n", plan.source))?;
        }
        Task::CreateUsers(options) => {
            let plan = serve::plan(&options, Foreground::Yes)?;
            print(&create_missing(&[&plan.listener_user, &plan.checker_user])?)?;
        }
        Task::Print(text) => print(&text)?,
        Task::Say(text) => std::io::stderr().write_all(text.as_bytes()).map_err(Failure::new)?,
    }
    Ok(0)
}

fn print(text: &str) -> Result<(), Failure> {
    std::io::stdout().write_all(text.as_bytes()).map_err(Failure::new)
}
