//! Tests of what cannot be undone run in a process of their own: this very test program, started again for
//! one test.

use std::process::{Command, Output};

use crate::children::Exit;

/// The extra filter by which a test knows that it is the child. It matches no test's name.
const MARK: &str = "this-is-the-child";

/// How a test that did not happen says so.
const SKIPPED: &str = "SKIPPED";

/// Whether this process was started by [`command`].
pub(crate) fn am_child() -> bool {
    std::env::args().any(|argument| argument == MARK)
}

/// The value of an argument `key=value` that [`command`]'s caller added.
pub(crate) fn argument(key: &str) -> Option<String> {
    std::env::args().find_map(|argument| {
        let (name, value) = argument.split_once('=')?;
        (name == key).then(|| value.to_owned())
    })
}

/// The arguments that run the test of that full name (`module::tests::name`) and no other.
pub(crate) fn arguments(test: &str) -> [&str; 5] {
    [test, MARK, "--exact", "--nocapture", "--test-threads=1"]
}

/// This test program, started again.
pub(crate) fn command(test: &str) -> Command {
    let program = std::env::current_exe().expect("a running program has a path");
    let mut command = Command::new(program);
    command.args(arguments(test));
    command
}

/// Wants the child to have run its test to the end and passed it.
pub(crate) fn wants_success(test: &str, output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    for line in errors.lines().filter(|line| line.starts_with(SKIPPED)) {
        eprintln!("{test}: {line}");
    }
    let passed = output.status.success() && text.contains("1 passed");
    assert!(passed, "{test}: {}\n{text}{errors}", output.status);
}

/// Runs `body` in a fork of this process, which has one thread, and says how that ended.
///
/// The test library runs every test on a thread of its own, and what is tested here belongs to a thread
/// or refuses to work beside others.
pub(crate) fn alone(body: impl FnOnce()) -> Exit {
    // SAFETY: the one other thread of a child (see `command`) only waits for this one, so it holds no lock.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).expect("no orphans");
        let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_ok();
        leave(if passed { 0 } else { 101 });
    }
    let mut status = 0;
    // SAFETY: the pointer is to a live c_int.
    let ended = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(ended, pid);
    crate::children::exit_of(status)
}

/// Ends a fork without running what the test program registered for its own end.
fn leave(code: i32) -> ! {
    let _ = std::io::Write::flush(&mut std::io::stdout());
    // SAFETY: _exit takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// In the parent: runs `test` in a child and wants it to pass. In the child: runs `body` alone.
pub(crate) fn in_child(test: &str, body: impl FnOnce()) {
    if am_child() {
        assert_eq!(alone(body), Exit::Code(0));
    } else {
        wants_success(test, &command(test).output().expect("the test program starts again"));
    }
}

/// Says loudly that a test did not happen. On CI that is a failure.
pub(crate) fn skip(why: &str) {
    eprintln!("{SKIPPED}: {why}");
    assert!(std::env::var_os("CI").is_none(), "on CI nothing may be skipped: {why}");
}
