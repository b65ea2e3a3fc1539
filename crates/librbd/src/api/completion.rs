//! Completions: making them, asking and waiting for the end of their operation.
use crate::ffi::ctypes::{rbd_callback_t, rbd_completion_t};
use crate::ffi::errno::Errno;
use crate::ffi::panic::guard;
use crate::handles::completion::{Completion, completion_of, release};
use std::ffi::{c_int, c_void};

pub unsafe extern "C" fn rbd_aio_create_completion(
    cb_arg: *mut c_void,
    complete_cb: Option<rbd_callback_t>,
    c: *mut rbd_completion_t,
) -> c_int {
    guard(|| {
        if c.is_null() {
            return Err(Errno::EINVAL);
        }
        let completion = Completion::register(complete_cb, cb_arg)?;
        // SAFETY: not null, and the caller's to be written.
        unsafe { c.write(completion.handle()) };
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_aio_is_complete(c: rbd_completion_t) -> c_int {
    guard(|| Ok(c_int::from(completion_of(c)?.is_complete())))
}

pub unsafe extern "C" fn rbd_aio_wait_for_complete(c: rbd_completion_t) -> c_int {
    guard(|| {
        completion_of(c)?.wait();
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_aio_get_return_value(c: rbd_completion_t) -> isize {
    guard(|| Ok(completion_of(c)?.result() as isize))
}

pub unsafe extern "C" fn rbd_aio_get_arg(c: rbd_completion_t) -> *mut c_void {
    guard(|| Ok(completion_of(c)?.argument()))
}

pub unsafe extern "C" fn rbd_aio_release(c: rbd_completion_t) {
    guard(|| release(c));
}

#[cfg(test)]
mod tests;
