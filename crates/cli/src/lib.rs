//! The `lsd` and `lsd-nbd` commands: rbd's words over the lsd engine.
//!
//! Owns: command lines, specifications, opening what they name, and what is printed. Does not own: what an image is
//! (crate `lsd-engine`), the stores (crates `lsd-store`, `lsd-rados`), the NBD protocol (crate `lsd-nbd`).
pub mod command;
mod commands;
pub mod error;
pub mod globals;
mod interchange;
pub mod nbd_cmd;
pub mod output;
mod pages;
pub mod session;
mod signals;
pub mod spec;

use error::Failure;
use std::path::Path;
use std::process::ExitCode;

/// The `lsd` command, from the process's arguments to its exit code.
pub fn lsd_main() -> ExitCode {
    let name = std::env::args_os().next();
    // In rbd's place it has rbd's name in what it says, which programs look for.
    if name.as_deref().and_then(|name| Path::new(name).file_name()).is_some_and(|name| name == "rbd") {
        output::set_program("rbd");
    }
    let args: Result<Vec<String>, _> = std::env::args_os().skip(1).map(|arg| arg.into_string()).collect();
    let done = match args {
        Ok(args) => run_to_end(command::dispatch::run(args)),
        Err(arg) => Err(Failure::invalid(format!("argument is not UTF-8: {}", arg.to_string_lossy()))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure);
            ExitCode::from(u8::try_from(failure.code).unwrap_or(1))
        }
    }
}

/// Prints what a command failed with.
pub fn report(failure: &Failure) {
    match (failure.message.is_empty(), failure.prefixed) {
        (true, _) => {}
        (false, true) => output::warn_named(&failure.message),
        (false, false) => output::warn(&failure.message),
    }
}

/// The version and, where the build had it, the commit.
pub fn version() -> String {
    match env!("LSD_GIT_HASH") {
        "" => env!("CARGO_PKG_VERSION").to_owned(),
        hash => format!("{} ({hash})", env!("CARGO_PKG_VERSION")),
    }
}

/// Runs a future on a runtime of its own, on threads for as many cores as there are.
pub fn run_to_end<T>(work: impl Future<Output = error::Result<T>>) -> error::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| Failure::errno("cannot start threads", error.raw_os_error().unwrap_or(nix::libc::EAGAIN)))?;
    runtime.block_on(work)
}
