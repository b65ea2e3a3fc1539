//! Who has an image open, and telling callers that it changed.
use crate::ffi::caller::{duplicate, fetch, put, release};
use crate::ffi::ctypes::{rbd_image_t, rbd_image_watcher_t, rbd_update_callback_t};
use crate::ffi::errno::Errno;
use crate::handles::entry::with_image;
use crate::handles::listener::Listener;
use std::ffi::{c_int, c_void};
use std::sync::Arc;

/// ERANGE with the number of watchers if there are more than `max_watchers`.
pub unsafe extern "C" fn rbd_watchers_list(
    image: rbd_image_t,
    watchers: *mut rbd_image_watcher_t,
    max_watchers: *mut usize,
) -> c_int {
    with_image(image, |image| {
        // SAFETY: a number by the contract of librbd.h.
        let places = unsafe { fetch(max_watchers) }?;
        let found = image.core.block_on(image.view.head().watchers())?;
        // SAFETY: `fetch` found it not null.
        unsafe { max_watchers.write(found.len()) };
        if found.len() > places {
            return Err(Errno::ERANGE);
        }
        if watchers.is_null() && !found.is_empty() {
            return Err(Errno::EINVAL);
        }
        for (place, watcher) in found.iter().enumerate() {
            let told = rbd_image_watcher_t {
                addr: duplicate(&watcher.addr),
                id: watcher.client as i64,
                cookie: watcher.cookie,
            };
            // SAFETY: the array has at least as many places as there are watchers.
            unsafe { watchers.add(place).write(told) };
        }
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_watchers_list_cleanup(watchers: *mut rbd_image_watcher_t, num_watchers: usize) {
    if watchers.is_null() {
        return;
    }
    for place in 0..num_watchers {
        // SAFETY: `num_watchers` filled entries by the contract of librbd.h, their addresses from `duplicate`.
        unsafe { release(&mut (*watchers.add(place)).addr) };
    }
}

/// Calls `watch_cb` on the completion thread after each change of the image's header.
pub unsafe extern "C" fn rbd_update_watch(
    image: rbd_image_t,
    handle: *mut u64,
    watch_cb: Option<rbd_update_callback_t>,
    arg: *mut c_void,
) -> c_int {
    with_image(image, |image| {
        if handle.is_null() {
            return Err(Errno::EINVAL);
        }
        let listener = Arc::new(Listener::new(watch_cb.ok_or(Errno::EINVAL)?, arg));
        let (core, called) = (image.core, listener.clone());
        let number = image.view.head().add_update_listener(Arc::new(move |_| {
            let called = called.clone();
            core.deliverer.push(move || called.call());
        }));
        image.add_listener(number, listener);
        // SAFETY: a place by the check above.
        unsafe { put(handle, number) }
    })
}

/// ENOENT if there is no such listener.
pub unsafe extern "C" fn rbd_update_unwatch(image: rbd_image_t, handle: u64) -> c_int {
    with_image(image, |image| {
        image.end_listener(handle)?;
        // The caller may free its argument as soon as this returns.
        image.core.deliverer.flush();
        Ok(0)
    })
}
