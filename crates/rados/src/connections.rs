//! How many connections of this process librados still has.
//!
//! The last user of a connection may be librados' own thread that finishes the last operation; the connection is then shut down on a
//! thread of its own. A process that exits meanwhile destroys librados' static objects under it and crashes after its work was
//! done, so programs wait for the end.
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

static OPEN: Mutex<usize> = Mutex::new(0);
static CLOSED: Condvar = Condvar::new();

pub(crate) fn opened() {
    *OPEN.lock().unwrap_or_else(PoisonError::into_inner) += 1;
}

pub(crate) fn closed() {
    *OPEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    CLOSED.notify_all();
}

/// Waits until every connection that this crate made is shut down, for at most `patience`. False if some are left.
pub fn wait_for_end(patience: Duration) -> bool {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = CLOSED.wait_timeout_while(open, patience, |open| *open > 0);
    *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
}
