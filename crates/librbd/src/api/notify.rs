//! Event notification: completions that a caller polls for after its eventfd or pipe became readable.
use crate::ffi::ctypes::{rbd_completion_t, rbd_image_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::handles::entry::with_image;
use crate::handles::events::EventSocket;
use std::ffi::c_int;

/// EINVAL for an unknown type, a bad descriptor, or an image that already has one.
pub unsafe extern "C" fn rbd_set_image_notification(image: rbd_image_t, fd: c_int, kind: c_int) -> c_int {
    with_image(image, |image| {
        image.set_events(EventSocket::new(fd, kind)?)?;
        Ok(0)
    })
}

/// Gives up to `numcomp` ended completions and their number.
pub unsafe extern "C" fn rbd_poll_io_events(image: rbd_image_t, comps: *mut rbd_completion_t, numcomp: c_int) -> c_int {
    // SAFETY: the same contract.
    with_image(image, |image| unsafe { poll(image.events(), comps, numcomp) })
}

/// The same of an event socket, which is there if somebody has set one.
///
/// # Safety
/// `comps`: null, or `numcomp` places.
pub unsafe fn poll(socket: Option<&EventSocket>, comps: *mut rbd_completion_t, numcomp: c_int) -> Outcome<c_int> {
    if comps.is_null() || numcomp < 0 {
        return Err(Errno::EINVAL);
    }
    let Some(socket) = socket else { return Ok(0) };
    let handles = socket.pop(numcomp as usize);
    for (place, handle) in handles.iter().enumerate() {
        // SAFETY: the caller's array has `numcomp` places and no more than that were taken.
        unsafe { comps.add(place).write(*handle) };
    }
    Ok(handles.len() as c_int)
}
