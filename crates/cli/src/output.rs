//! What commands print: trees as plain JSON or XML, tables, sizes, times, progress.
use crate::error::{Failure, Result};
use std::io::Write;
use std::sync::OnceLock;

pub mod format;
pub mod progress;
pub mod size;
pub mod table;
pub mod time;

/// Writes to standard output; a closed pipe is an error, not a panic.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

static PROGRAM: OnceLock<String> = OnceLock::new();

/// The name that this program is called by stands before what it says from now on; `lsd` until then.
pub fn set_program(name: &str) {
    // Only the first call counts: a process is one program.
    let _ = PROGRAM.set(name.to_owned());
}

pub fn program() -> &'static str {
    PROGRAM.get().map_or("lsd", String::as_str)
}

/// Says something on standard error for whoever still reads it, behind the program's name.
pub fn warn_named(words: &str) {
    warn(&format!("{}: {words}", program()));
}

/// The same without the name. It goes into the log as well, if there is one.
pub fn warn(line: &str) {
    tracing::error!(target: "lsd::api", "{line}");
    let _ = writeln!(std::io::stderr(), "{line}");
}
