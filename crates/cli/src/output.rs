//! What commands print: trees as plain JSON or XML, tables, sizes, times, progress.
use crate::error::{Failure, Result};
use std::io::Write;

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

/// Writes a line to standard error for whoever still reads it.
pub fn warn(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
