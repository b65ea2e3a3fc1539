//! What goes wrong beneath an image, told to a person on stderr, where librbd's errors go by default.
//!
//! Owns: which errors are told, how many, and when the log of the process begins. Does not own: the log (crate `lsd-log`); what is
//! told here goes there as well.
//!
//! An errno alone says too little about a damaged object or a lost lock. Errors that callers cause and expect (not
//! found, out of range, compare mismatch) are not told.
use lsd_engine::{Error, ErrorKind, Seldom};
use lsd_log::{FILE_OPTION, LEVEL_OPTION};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// At most this many lines in [`WINDOW`]; later ones are left out, since a failed image fails every request the same
/// way.
const LINES_IN_WINDOW: u32 = 5;
const WINDOW: Duration = Duration::from_secs(5);

static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
/// By errno.
static REPEATED: Mutex<BTreeMap<i32, Seldom>> = Mutex::new(BTreeMap::new());
static BUDGET: Mutex<Option<(Instant, u32)>> = Mutex::new(None);

/// Begins the log of the process, if it has none and these settings of a cluster handle ask for one. A level that is not understood
/// is told, and there is no log: that keeps no image from being opened.
pub fn start(setting: &dyn Fn(&str) -> Option<String>) {
    if lsd_log::is_on() {
        return;
    }
    let Some(level) = setting(LEVEL_OPTION) else { return };
    let file = setting(FILE_OPTION).filter(|path| !path.is_empty());
    if let Err(wrong) = lsd_log::start(&level, file.as_deref().map(Path::new)) {
        once(format!("option {LEVEL_OPTION}: {wrong}: there is no log"));
    }
}

/// Tells of an error worth a person's attention.
pub fn error(error: &Error) {
    let worth = matches!(
        error.kind,
        ErrorKind::Corrupt
            | ErrorKind::Fenced
            | ErrorKind::NoSpace
            | ErrorKind::Permission
            | ErrorKind::TimedOut
            | ErrorKind::Io { .. }
    );
    if worth {
        in_log(error);
        on_stderr(error);
    }
}

/// The engine has told what began, with the image's name. What follows are the calls of a guest that goes on: there may be many.
fn in_log(error: &Error) {
    let mut told = None;
    // Whoever holds the lock is telling of the same moment. Nothing waits here: a child may have been forked meanwhile.
    if let Ok(mut repeated) = REPEATED.try_lock() {
        repeated.entry(error.errno()).or_default().tell(|left_out| told = Some(left_out));
    }
    if let Some(left_out) = told {
        let (op, object) = (error.op(), error.object());
        tracing::error!(target: "lsd::api", op, object, left_out, "{error}");
    }
}

/// Tells of anything, as far as there is room. The log counts for itself.
pub fn line(what: &dyn std::fmt::Display) {
    tracing::error!(target: "lsd::api", "{what}");
    on_stderr(what);
}

fn on_stderr(what: &dyn std::fmt::Display) {
    if in_budget() {
        // Not `eprintln!`: it panics where nobody reads, and that would be the end of the image.
        let _ = writeln!(std::io::stderr(), "lsd: {what}");
    }
}

/// Tells of something that a process need not hear twice.
pub fn once(what: String) {
    let is_news = TOLD.lock().is_ok_and(|mut told| told.insert(what.clone()));
    if is_news {
        line(&what);
    }
}

fn in_budget() -> bool {
    // Whoever holds the lock is telling of the same moment.
    let Ok(mut budget) = BUDGET.try_lock() else { return false };
    let now = Instant::now();
    let (start, lines) = budget.filter(|(start, _)| now.duration_since(*start) < WINDOW).unwrap_or((now, 0));
    *budget = Some((start, lines + 1));
    lines < LINES_IN_WINDOW
}

#[cfg(test)]
mod tests;
