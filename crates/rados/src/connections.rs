//! Which connections of this process librados still has when the process ends.
//!
//! The last user of a connection may be librados' own thread that finishes the last operation; the connection is then shut down on a
//! thread of its own. `exit` destroys the static objects of librados and OpenSSL meanwhile, under the threads that still use
//! them: a crash after all work was done. So `exit` waits here until the last connection is gone.
use nix::libc;
use std::sync::{Condvar, Mutex, Once, PoisonError};
use std::time::Duration;

/// Longest wait at the end of the process. A connection that is not gone by then was leaked or hangs; the process ends all the
/// same, and the connection is left as it is.
const PATIENCE: Duration = Duration::from_secs(5);

struct Connections {
    open: usize,
    /// From when the process gave up waiting on.
    abandoned: bool,
}

static CONNECTIONS: Mutex<Connections> = Mutex::new(Connections { open: 0, abandoned: false });
static CLOSED: Condvar = Condvar::new();

fn connections() -> std::sync::MutexGuard<'static, Connections> {
    CONNECTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn opened() {
    connections().open += 1;
}

/// To be called when a connection was tried for the first time: libraries that librados loads or sets up then have registered their
/// own handlers, and handlers run in the opposite order.
pub(crate) fn wait_for_end_at_exit() {
    static REGISTERED: Once = Once::new();
    // SAFETY: a function of this library; the C library runs it before it unloads the library. If there is no memory for it,
    // nobody waits.
    REGISTERED.call_once(|| _ = unsafe { libc::atexit(at_exit) });
}

/// False if the process is past waiting: shutting down would use what is destroyed already.
pub(crate) fn may_shut_down() -> bool {
    !connections().abandoned
}

pub(crate) fn closed() {
    connections().open -= 1;
    CLOSED.notify_all();
}

extern "C" fn at_exit() {
    let waited = CLOSED.wait_timeout_while(connections(), PATIENCE, |connections| connections.open > 0);
    waited.unwrap_or_else(PoisonError::into_inner).0.abandoned = true;
}
