//! Being quiet while a snapshot is taken.
//!
//! Owns: the arguments of the calls. Does not own: who is asked when (the engine), the threads of callbacks (`handles/quiesce.rs`).
use crate::ffi::caller::put;
use crate::ffi::ctypes::{Update, rbd_image_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::handles::entry::with_image;
use crate::handles::quiesce::Waiting;
use lsd_engine::Quiesce;
use std::ffi::{c_int, c_void};

/// `RBD_SNAP_CREATE_SKIP_QUIESCE` and `RBD_SNAP_CREATE_IGNORE_QUIESCE_ERROR`: one of them at a time. EINVAL for others, and for both.
pub fn mode(flags: u32) -> Outcome<Quiesce> {
    match flags {
        0 => Ok(Quiesce::Required),
        1 => Ok(Quiesce::Skip),
        2 => Ok(Quiesce::IgnoreErrors),
        _ => Err(Errno::EINVAL),
    }
}

/// Calls `quiesce_cb` before a snapshot is taken, by whatever client, and `unquiesce_cb` after it, on a thread of this watch. From its
/// return on no snapshot is taken before [`rbd_quiesce_complete`].
pub unsafe extern "C" fn rbd_quiesce_watch(
    image: rbd_image_t,
    quiesce_cb: Update,
    unquiesce_cb: Update,
    arg: *mut c_void,
    handle: *mut u64,
) -> c_int {
    with_image(image, |image| {
        let (quiesce, unquiesce) = (quiesce_cb.ok_or(Errno::EINVAL)?, unquiesce_cb.ok_or(Errno::EINVAL)?);
        if handle.is_null() {
            return Err(Errno::EINVAL);
        }
        let waiting = Waiting::new();
        let head = image.view.head();
        let number = image.core.block_on(head.quiesce_watch(waiting.listener()))?;
        // A snapshot may be waiting for it already: its number is there before the first callback.
        // SAFETY: a place by the check above.
        unsafe { put(handle, number) }?;
        match waiting.start(quiesce, unquiesce, arg) {
            Ok(watch) => {
                image.core.block_on(image.add_quiesce_watch(number, watch));
                Ok(0)
            }
            Err(error) => {
                image.core.block_on(head.quiesce_unwatch(number))?;
                Err(error.into())
            }
        }
    })
}

/// A negative `r` says that the caller could not become quiet: the snapshot fails with it. `unquiesce_cb` follows in either case. May be
/// called in `quiesce_cb`, and on any thread. One that nobody waits for changes nothing.
pub unsafe extern "C" fn rbd_quiesce_complete(image: rbd_image_t, handle: u64, r: c_int) {
    let _: c_int = with_image(image, |image| {
        let errno = if r < 0 { r.unsigned_abs() } else { 0 };
        image.view.head().quiesce_complete(handle, errno);
        Ok(0)
    });
}

/// ENOENT if there is no such watch. A snapshot that waits for it does so no longer.
pub unsafe extern "C" fn rbd_quiesce_unwatch(image: rbd_image_t, handle: u64) -> c_int {
    with_image(image, |image| {
        image.core.block_on(image.end_quiesce_watch(handle))?;
        Ok(0)
    })
}
