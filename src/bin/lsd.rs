//! The `lsd` command.
use std::process::ExitCode;

fn main() -> ExitCode {
    lsd_cli::lsd_main()
}
