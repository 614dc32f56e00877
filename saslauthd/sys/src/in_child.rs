//! Tests of what cannot be undone run in a process of their own: this very test program, started again for
//! one test.

use std::process::{Command, Output};

/// The extra filter by which a test knows that it is the child. It matches no test's name.
const MARK: &str = "this-is-the-child";

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

/// The arguments that run the test of that full name (`module::tests::name`) alone, on the main thread.
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
    let ran = text.contains("1 passed") || text.contains(REACHED);
    assert!(output.status.success() && ran, "{test}: {}\n{text}{errors}", output.status);
}

const REACHED: &str = "reached the end";

/// Ends a child under seccomp at once, before the test program does things that its list may not know.
pub(crate) fn leave() -> ! {
    println!("{REACHED}");
    std::process::exit(0)
}

/// In the parent: runs `test` in a child and wants it to pass. In the child: runs `body`.
pub(crate) fn in_child(test: &str, body: impl FnOnce()) {
    if am_child() {
        body();
    } else {
        wants_success(test, &command(test).output().expect("the test program starts again"));
    }
}

/// Says loudly that a test did not happen. On CI that is a failure.
pub(crate) fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
    assert!(std::env::var_os("CI").is_none(), "on CI nothing may be skipped: {why}");
}
