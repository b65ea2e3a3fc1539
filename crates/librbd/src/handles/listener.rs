//! A caller's function that is told of changes to an image (rbd_update_watch).
//!
//! Owns: that it is not called once it has ended. Does not own: when it is called.
use crate::ffi::ctypes::rbd_update_callback_t;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};

/// A caller's function and argument, and whether they may still be used.
pub struct Listener {
    callback: rbd_update_callback_t,
    argument: *mut c_void,
    ended: AtomicBool,
}

// SAFETY: the argument is only handed back to the caller, on the completion thread as all callbacks.
unsafe impl Send for Listener {}
// SAFETY: as above.
unsafe impl Sync for Listener {}

impl Listener {
    pub fn new(callback: rbd_update_callback_t, argument: *mut c_void) -> Self {
        Self { callback, argument, ended: AtomicBool::new(false) }
    }

    /// No call begins after this. One that has begun goes on: flush the deliverer before the argument may go.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    /// On the completion thread. News may have been on their way when the listener ended.
    pub fn call(&self) {
        if self.ended.load(Ordering::SeqCst) {
            return;
        }
        // SAFETY: the caller gave this function for exactly this call, and has not taken it back.
        unsafe { (self.callback)(self.argument) };
    }
}

#[cfg(test)]
mod tests;
