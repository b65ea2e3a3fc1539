//! Event notification of images of either kind. A stock image has an event socket of this library, not one of the stock library,
//! whose completions no caller knows.
use crate::api::notify;
use crate::face::passing::passed;
use crate::ffi::ctypes::{rbd_completion_t, rbd_image_t};
use crate::handles::events::EventSocket;
use crate::stock::images::find;
use std::ffi::c_int;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_set_image_notification(image: rbd_image_t, fd: c_int, kind: c_int) -> c_int {
    match find(image) {
        // SAFETY: the same contract.
        None => unsafe { notify::rbd_set_image_notification(image, fd, kind) },
        Some(found) => passed(found, |stock| stock.set_events(EventSocket::new(fd, kind)?).map(|()| 0)),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_poll_io_events(image: rbd_image_t, comps: *mut rbd_completion_t, numcomp: c_int) -> c_int {
    match find(image) {
        // SAFETY: the same contract.
        None => unsafe { notify::rbd_poll_io_events(image, comps, numcomp) },
        // SAFETY: the same contract.
        Some(found) => passed(found, |stock| unsafe { notify::poll(stock.events(), comps, numcomp) }),
    }
}
