//! Callers' progress callbacks.
use crate::ffi::ctypes::librbd_progress_fn_t;
use lsd_engine::{Error, ErrorKind};
use nix::libc;
use std::ffi::c_void;

/// A callback with its argument; without a callback nobody is told.
#[derive(Clone, Copy)]
pub struct CallerProgress {
    callback: Option<librbd_progress_fn_t>,
    argument: *mut c_void,
}

// SAFETY: it is called only from the caller's own thread, which waits in the call that was given the callback.
unsafe impl Send for CallerProgress {}
// SAFETY: as above.
unsafe impl Sync for CallerProgress {}

impl CallerProgress {
    pub const NONE: Self = Self { callback: None, argument: std::ptr::null_mut() };

    pub fn new(callback: Option<librbd_progress_fn_t>, argument: *mut c_void) -> Self {
        Self { callback, argument }
    }

    /// Tells the caller; its negative answer is the error that ends the operation.
    pub fn report(&self, done: u64, total: u64) -> lsd_engine::Result<()> {
        let Some(callback) = self.callback else { return Ok(()) };
        // SAFETY: the caller gave this function for exactly this call.
        match unsafe { callback(done, total, self.argument) } {
            errno if errno < 0 => {
                let kind = match errno.saturating_neg() {
                    libc::ECANCELED => ErrorKind::Canceled,
                    errno => ErrorKind::Io { errno },
                };
                Err(Error::new(kind, "ended by the progress callback"))
            }
            _ => Ok(()),
        }
    }
}
