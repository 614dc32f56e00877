//! Tests of what cannot be undone run in a process of their own: this very test program, started again for
//! one test.

use std::process::{Command, Output};

/// The extra filter by which a test knows that it is the child. It matches no test's name.
const MARK: &str = "this-is-the-child";

/// Whether this process was started by [`run`].
pub(crate) fn am_child() -> bool {
    std::env::args().any(|argument| argument == MARK)
}

/// Runs the test of that full name (`module::tests::name`) in a child, alone and on the main thread.
pub(crate) fn run(test: &str) -> Output {
    command(test).output().expect("the test program starts again")
}

/// The command that [`run`] runs, to change descriptors or environment first.
pub(crate) fn command(test: &str) -> Command {
    let program = std::env::current_exe().expect("a running program has a path");
    let mut command = Command::new(program);
    command.args([test, MARK, "--exact", "--nocapture", "--test-threads=1"]);
    command
}

/// In the parent: runs `test` in a child and wants it to pass, which also needs that it ran.
/// In the child: runs `body`.
pub(crate) fn in_child(test: &str, body: impl FnOnce()) {
    if am_child() {
        body();
        return;
    }
    let output = run(test);
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{test}: {}\n{text}{errors}",
        output.status
    );
}
