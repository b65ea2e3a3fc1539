//! The asynchronous data calls.
//!
//! An operation is polled first in the caller's thread: most writes are accepted in memory and reads found in the
//! cache, and then that is all. Otherwise whoever brings what it waits for goes on with it (module `task`). What an
//! entry returns says only whether the operation was started; its result is the completion's: bytes for reads, 0 for
//! the rest.
use crate::api::data::arguments::{check_pattern, mismatch_to};
use crate::api::data::operation::{self, OpFlags};
use crate::ffi::caller::CallerMemory;
use crate::ffi::ctypes::{rbd_completion_t, rbd_image_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::handles::completion::{Completion, arm};
use crate::handles::done::Done;
use crate::handles::entry::with_image;
use crate::handles::image::{InFlight, OpenImage};
use crate::handles::slab::Ref;
use crate::runtime::task::{Kind, Task};
use futures::FutureExt;
use nix::libc;
use std::ffi::{c_char, c_int};
use std::panic::AssertUnwindSafe;

/// What a completion reports for success.
#[derive(Clone, Copy)]
enum Success {
    Bytes,
    Zero,
}

type Panicked = Box<dyn std::any::Any + Send>;

/// Starts an operation in this thread, so that it has its place among those before and after it. EINVAL or EBADF if the
/// completion cannot take one; all other errors go to the completion.
fn submit(
    image: &Ref<OpenImage>,
    handle: rbd_completion_t,
    success: Success,
    operation: impl Future<Output = Outcome<u64>> + Send + 'static,
) -> Outcome<c_int> {
    let completion = arm(handle)?;
    let in_flight = InFlight::begin(image);
    // Not an async block, in which the operation would have its place twice.
    let ended = AssertUnwindSafe(operation).catch_unwind();
    let work = ended.map(move |outcome| finish(completion, in_flight, success, outcome));
    Task::new(image.core, Kind::Operation, work).run();
    Ok(0)
}

fn finish(completion: Ref<Completion>, image: InFlight, success: Success, outcome: Result<Outcome<u64>, Panicked>) {
    let result = match outcome {
        Ok(Ok(bytes)) => match success {
            Success::Bytes => bytes as i64,
            Success::Zero => 0,
        },
        Ok(Err(errno)) => -i64::from(errno.0),
        Err(_) => {
            image.poison();
            -i64::from(Errno::EIO.0)
        }
    };
    let core = image.core();
    Done { completion, image: Some(image), result }.send(core);
}

fn submit_read(image: rbd_image_t, off: u64, target: Outcome<CallerMemory>, c: rbd_completion_t) -> c_int {
    with_image(image, |image| submit(image, c, Success::Bytes, operation::read(image.clone(), off, target?)))
}

fn submit_write(
    image: rbd_image_t,
    off: u64,
    source: Outcome<CallerMemory>,
    c: rbd_completion_t,
    flags: OpFlags,
) -> c_int {
    with_image(image, |image| submit(image, c, Success::Zero, operation::write(image.clone(), off, source?, flags)))
}

pub unsafe extern "C" fn rbd_aio_read(
    image: rbd_image_t,
    off: u64,
    len: usize,
    buf: *mut c_char,
    c: rbd_completion_t,
) -> c_int {
    submit_read(image, off, CallerMemory::buffer(buf, len), c)
}

pub unsafe extern "C" fn rbd_aio_read2(
    image: rbd_image_t,
    off: u64,
    len: usize,
    buf: *mut c_char,
    c: rbd_completion_t,
    _op_flags: c_int,
) -> c_int {
    submit_read(image, off, CallerMemory::buffer(buf, len), c)
}

pub unsafe extern "C" fn rbd_aio_readv(
    image: rbd_image_t,
    iov: *const libc::iovec,
    iovcnt: c_int,
    off: u64,
    c: rbd_completion_t,
) -> c_int {
    // SAFETY: `iovcnt` iovecs by the contract of librbd.h.
    submit_read(image, off, unsafe { CallerMemory::iovecs(iov, iovcnt) }, c)
}

pub unsafe extern "C" fn rbd_aio_write(
    image: rbd_image_t,
    off: u64,
    len: usize,
    buf: *const c_char,
    c: rbd_completion_t,
) -> c_int {
    submit_write(image, off, CallerMemory::buffer(buf, len), c, OpFlags::default())
}

pub unsafe extern "C" fn rbd_aio_write2(
    image: rbd_image_t,
    off: u64,
    len: usize,
    buf: *const c_char,
    c: rbd_completion_t,
    op_flags: c_int,
) -> c_int {
    submit_write(image, off, CallerMemory::buffer(buf, len), c, op_flags.into())
}

/// The checksum saves librbd work on the wire; the log has its own checksums, so here it is not needed.
pub unsafe extern "C" fn rbd_aio_write_with_crc32c(
    image: rbd_image_t,
    off: u64,
    len: usize,
    buf: *const c_char,
    _precomputed_crc32c: u32,
    c: rbd_completion_t,
    op_flags: c_int,
) -> c_int {
    submit_write(image, off, CallerMemory::buffer(buf, len), c, op_flags.into())
}

pub unsafe extern "C" fn rbd_aio_writev(
    image: rbd_image_t,
    iov: *const libc::iovec,
    iovcnt: c_int,
    off: u64,
    c: rbd_completion_t,
) -> c_int {
    // SAFETY: `iovcnt` iovecs by the contract of librbd.h.
    submit_write(image, off, unsafe { CallerMemory::iovecs(iov, iovcnt) }, c, OpFlags::default())
}

pub unsafe extern "C" fn rbd_aio_discard(image: rbd_image_t, off: u64, len: u64, c: rbd_completion_t) -> c_int {
    with_image(image, |image| submit(image, c, Success::Zero, operation::discard(image.clone(), off, len)))
}

pub unsafe extern "C" fn rbd_aio_write_zeroes(
    image: rbd_image_t,
    off: u64,
    len: usize,
    c: rbd_completion_t,
    zero_flags: c_int,
    op_flags: c_int,
) -> c_int {
    with_image(image, |image| {
        let operation = operation::write_zeroes(image.clone(), off, len as u64, zero_flags, op_flags.into());
        submit(image, c, Success::Zero, operation)
    })
}

pub unsafe extern "C" fn rbd_aio_writesame(
    image: rbd_image_t,
    off: u64,
    len: usize,
    buf: *const c_char,
    data_len: usize,
    c: rbd_completion_t,
    op_flags: c_int,
) -> c_int {
    with_image(image, |image| {
        let len = check_pattern(len, data_len)?;
        let pattern = CallerMemory::buffer(buf, data_len)?;
        submit(image, c, Success::Zero, operation::write_same(image.clone(), off, len, pattern, op_flags.into()))
    })
}

pub unsafe extern "C" fn rbd_aio_compare_and_write(
    image: rbd_image_t,
    off: u64,
    len: usize,
    cmp_buf: *const c_char,
    buf: *const c_char,
    c: rbd_completion_t,
    mismatch_off: *mut u64,
    op_flags: c_int,
) -> isize {
    with_image(image, |image| {
        let (compare, data) = (CallerMemory::buffer(cmp_buf, len)?, CallerMemory::buffer(buf, len)?);
        let mismatch = mismatch_to(mismatch_off);
        let operation = operation::compare_and_write(image.clone(), off, compare, data, mismatch, op_flags.into());
        submit(image, c, Success::Zero, operation).map(|started| started as isize)
    })
}

/// EINVAL if the two vectors differ in length.
pub unsafe extern "C" fn rbd_aio_compare_and_writev(
    image: rbd_image_t,
    off: u64,
    cmp_iov: *const libc::iovec,
    cmp_iovcnt: c_int,
    iov: *const libc::iovec,
    iovcnt: c_int,
    c: rbd_completion_t,
    mismatch_off: *mut u64,
    op_flags: c_int,
) -> isize {
    with_image(image, |image| {
        // SAFETY: as many iovecs as the counts say, by the contract of librbd.h.
        let (compare, data) =
            unsafe { (CallerMemory::iovecs(cmp_iov, cmp_iovcnt)?, CallerMemory::iovecs(iov, iovcnt)?) };
        if compare.len() != data.len() {
            return Err(Errno::EINVAL);
        }
        let mismatch = mismatch_to(mismatch_off);
        let operation = operation::compare_and_write(image.clone(), off, compare, data, mismatch, op_flags.into());
        submit(image, c, Success::Zero, operation).map(|started| started as isize)
    })
}

pub unsafe extern "C" fn rbd_aio_flush(image: rbd_image_t, c: rbd_completion_t) -> c_int {
    with_image(image, |image| submit(image, c, Success::Zero, operation::flush(image.clone())))
}
