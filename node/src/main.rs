//! The Highwater binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    highwater::args::run()
}
