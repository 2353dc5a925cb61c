//! The Highwater binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    abort_on_panic();
    highwater::args::run()
}

/// A bug in one thread must not leave the others serving: the whole broker ends, and is recovered when it starts again.
fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}
