//! The synchronous data calls. They give the number of bytes worked on.
use crate::api::data::arguments::{check_pattern, mismatch_to, within_int};
use crate::api::data::operation::{self, clip};
use crate::ffi::caller::CallerMemory;
use crate::ffi::ctypes::rbd_image_t;
use crate::ffi::errno::{Errno, Outcome};
use crate::handles::entry::with_image;
use crate::handles::image::OpenImage;
use crate::handles::slab::Ref;
use std::ffi::{c_char, c_int, c_void};

/// Called for each region read: (bytes since the start, length, data, argument); negative ends the reading.
pub type ReadCallback = unsafe extern "C" fn(u64, usize, *const c_char, *mut c_void) -> c_int;

fn wait(image: &Ref<OpenImage>, operation: impl Future<Output = Outcome<u64>>) -> Outcome<isize> {
    image.core.block_on(operation).map(|bytes| bytes as isize)
}

pub unsafe extern "C" fn rbd_read(image: rbd_image_t, ofs: u64, len: usize, buf: *mut c_char) -> isize {
    // SAFETY: the same contract.
    unsafe { rbd_read2(image, ofs, len, buf, 0) }
}

pub unsafe extern "C" fn rbd_read2(
    image: rbd_image_t,
    ofs: u64,
    len: usize,
    buf: *mut c_char,
    _op_flags: c_int,
) -> isize {
    with_image(image, |image| wait(image, operation::read(image.clone(), ofs, CallerMemory::buffer(buf, len)?)))
}

pub unsafe extern "C" fn rbd_write(image: rbd_image_t, ofs: u64, len: usize, buf: *const c_char) -> isize {
    // SAFETY: the same contract.
    unsafe { rbd_write2(image, ofs, len, buf, 0) }
}

pub unsafe extern "C" fn rbd_write2(
    image: rbd_image_t,
    ofs: u64,
    len: usize,
    buf: *const c_char,
    op_flags: c_int,
) -> isize {
    with_image(image, |image| {
        let source = CallerMemory::buffer(buf, len)?;
        wait(image, operation::write(image.clone(), ofs, source, op_flags.into()))
    })
}

pub unsafe extern "C" fn rbd_discard(image: rbd_image_t, ofs: u64, len: u64) -> c_int {
    with_image(image, |image| {
        let len = within_int(len)?;
        wait(image, operation::discard(image.clone(), ofs, len)).map(|bytes| bytes as c_int)
    })
}

pub unsafe extern "C" fn rbd_write_zeroes(
    image: rbd_image_t,
    ofs: u64,
    len: usize,
    zero_flags: c_int,
    op_flags: c_int,
) -> isize {
    with_image(image, |image| {
        wait(image, operation::write_zeroes(image.clone(), ofs, len as u64, zero_flags, op_flags.into()))
    })
}

pub unsafe extern "C" fn rbd_writesame(
    image: rbd_image_t,
    ofs: u64,
    len: usize,
    buf: *const c_char,
    data_len: usize,
    op_flags: c_int,
) -> isize {
    with_image(image, |image| {
        let len = check_pattern(len, data_len)?;
        let pattern = CallerMemory::buffer(buf, data_len)?;
        wait(image, operation::write_same(image.clone(), ofs, len, pattern, op_flags.into()))
    })
}

pub unsafe extern "C" fn rbd_compare_and_write(
    image: rbd_image_t,
    ofs: u64,
    len: usize,
    cmp_buf: *const c_char,
    buf: *const c_char,
    mismatch_off: *mut u64,
    op_flags: c_int,
) -> isize {
    with_image(image, |image| {
        within_int(len as u64)?;
        let (compare, data) = (CallerMemory::buffer(cmp_buf, len)?, CallerMemory::buffer(buf, len)?);
        let mismatch = mismatch_to(mismatch_off);
        wait(image, operation::compare_and_write(image.clone(), ofs, compare, data, mismatch, op_flags.into()))
    })
}

pub unsafe extern "C" fn rbd_flush(image: rbd_image_t) -> c_int {
    with_image(image, |image| wait(image, operation::flush(image.clone())).map(|_| 0))
}

pub unsafe extern "C" fn rbd_invalidate_cache(image: rbd_image_t) -> c_int {
    with_image(image, |image| {
        image.core.block_on(image.view.invalidate_cache())?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_read_iterate(
    image: rbd_image_t,
    ofs: u64,
    len: usize,
    cb: Option<ReadCallback>,
    arg: *mut c_void,
) -> i64 {
    with_image(image, |image| read_iterate(image, ofs, len as u64, cb, arg))
}

pub unsafe extern "C" fn rbd_read_iterate2(
    image: rbd_image_t,
    ofs: u64,
    len: u64,
    cb: Option<ReadCallback>,
    arg: *mut c_void,
) -> c_int {
    with_image(image, |image| read_iterate(image, ofs, len, cb, arg).map(|_| 0))
}

/// Reads a period of stripes at a time, so memory is bounded by it.
fn read_iterate(
    image: &Ref<OpenImage>,
    ofs: u64,
    len: u64,
    callback: Option<ReadCallback>,
    arg: *mut c_void,
) -> Outcome<i64> {
    let callback = callback.ok_or(Errno::EINVAL)?;
    let shown = image.view.image()?;
    let len = clip(shown.size(), ofs, len)?;
    let period = image.layout.period();
    let mut done = 0;
    while done < len {
        let at = ofs + done;
        let now = (period - at % period).min(len - done);
        let data = image.core.block_on(shown.read(at, now))?.to_bytes();
        // SAFETY: the caller's function, with a buffer that lives through the call.
        let result = unsafe { callback(done, data.len(), data.as_ptr().cast(), arg) };
        if result < 0 {
            return Err(Errno(-result));
        }
        done += now;
    }
    Ok(done as i64)
}
