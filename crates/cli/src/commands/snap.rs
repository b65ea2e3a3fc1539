//! `lsd snap`: names for moments of an image.
//!
//! Owns: which snapshot of which image a command is about, rbd's words for what fails. Does not own: what a snapshot is (the engine).
use crate::command::image_args::{Role, Snap, image_location};
use crate::command::{OptionSpec, Parsed, options};
use crate::error::{Failure, Result};
use crate::output::progress::ProgressLine;
use crate::session::Location;
use crate::spec::Strictness;
use lsd_engine::{Error, ErrorKind, SnapInfo, SnapNamespace};
use nix::libc;

mod change;
mod limit;
mod list;
mod protect;
mod remove;

pub(in crate::commands) use change::quiesce_of;
pub use change::{CREATE, RENAME, ROLLBACK};
pub use limit::{CLEAR_LIMIT, SET_LIMIT};
pub use list::LIST;
pub use protect::{PROTECT, UNPROTECT};
pub use remove::{PURGE, REMOVE};

const IMAGE_ID: &[OptionSpec] = &[options::IMAGE_ID];

/// An image, and the name of a snapshot of it.
fn snapshot_of(parsed: &Parsed, role: Role, strictness: Strictness) -> Result<(Location, String)> {
    let location = image_location(parsed, role, strictness, Snap::Required)?;
    Ok((location.head(), location.snap.unwrap_or_default()))
}

fn progress_line(parsed: &Parsed, operation: &'static str) -> ProgressLine {
    ProgressLine::new(operation, !parsed.has("no-progress"))
}

/// As rbd words it; of a limit that is reached the errno says everything.
fn failed(what: &str, error: &Error) -> Failure {
    match error.kind {
        ErrorKind::Io { errno: errno @ (libc::EDQUOT | libc::ERANGE) } => Failure::errno(what, errno),
        _ => Failure::engine(what, error),
    }
}

/// Snapshots that people made; the others are parts of something.
pub fn is_users(snapshot: &SnapInfo) -> bool {
    snapshot.namespace == SnapNamespace::User
}

/// As rbd has it in output for programs: text.
pub fn flag(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}
