//! Knows whether the present thread is one of librados' own, inside a callback.
//!
//! `rados_shutdown` joins those threads, so it must never run on one of them: whoever drops the last handle of a
//! cluster asks here first.
use std::cell::Cell;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Marks the thread while it lives. The first thing a callback makes and the last thing it drops.
pub(crate) struct CallbackScope(());

impl CallbackScope {
    pub fn enter() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self(())
    }
}

impl Drop for CallbackScope {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// True inside a callback from librados.
pub fn on_librados_thread() -> bool {
    DEPTH.get() > 0
}
