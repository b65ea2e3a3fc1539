//! The data of an image: reading, writing, differences; at once and with completions.
//!
//! Owns: which functions there are. Does not own: who does them (`macros.rs`).
use crate::api::data::io::ReadCallback;
use crate::api::data::{aio, io};
use crate::api::diff;
use crate::api::diff::DiffCallback;
use crate::ffi::ctypes::{rbd_completion_t, rbd_image_t};
use nix::libc::iovec;
use std::ffi::{c_char, c_int, c_void};

functions! {
    aio fn aio::rbd_aio_read(image: rbd_image_t, off: u64, len: usize, buf: *mut c_char; c: rbd_completion_t) -> c_int;
    aio fn aio::rbd_aio_read2(
        image: rbd_image_t, off: u64, len: usize, buf: *mut c_char; c: rbd_completion_t; op_flags: c_int
    ) -> c_int;
    aio fn aio::rbd_aio_readv(
        image: rbd_image_t, iov: *const iovec, iovcnt: c_int, off: u64; c: rbd_completion_t
    ) -> c_int;
    aio fn aio::rbd_aio_write(
        image: rbd_image_t, off: u64, len: usize, buf: *const c_char; c: rbd_completion_t
    ) -> c_int;
    aio fn aio::rbd_aio_write2(
        image: rbd_image_t, off: u64, len: usize, buf: *const c_char; c: rbd_completion_t; op_flags: c_int
    ) -> c_int;
    aio fn aio::rbd_aio_write_with_crc32c(
        image: rbd_image_t, off: u64, len: usize, buf: *const c_char,
        precomputed_crc32c: u32; c: rbd_completion_t; op_flags: c_int
    ) -> c_int;
    aio fn aio::rbd_aio_writev(
        image: rbd_image_t, iov: *const iovec, iovcnt: c_int, off: u64; c: rbd_completion_t
    ) -> c_int;
    aio fn aio::rbd_aio_discard(image: rbd_image_t, off: u64, len: u64; c: rbd_completion_t) -> c_int;
    aio fn aio::rbd_aio_write_zeroes(
        image: rbd_image_t, off: u64, len: usize; c: rbd_completion_t; zero_flags: c_int, op_flags: c_int
    ) -> c_int;
    aio fn aio::rbd_aio_writesame(
        image: rbd_image_t, off: u64, len: usize, buf: *const c_char,
        data_len: usize; c: rbd_completion_t; op_flags: c_int
    ) -> c_int;
    aio fn aio::rbd_aio_compare_and_write(
        image: rbd_image_t, off: u64, len: usize, cmp_buf: *const c_char,
        buf: *const c_char; c: rbd_completion_t; mismatch_off: *mut u64, op_flags: c_int
    ) -> isize;
    aio fn aio::rbd_aio_compare_and_writev(
        image: rbd_image_t, off: u64, cmp_iov: *const iovec, cmp_iovcnt: c_int, iov: *const iovec,
        iovcnt: c_int; c: rbd_completion_t; mismatch_off: *mut u64, op_flags: c_int
    ) -> isize;
    aio fn aio::rbd_aio_flush(image: rbd_image_t; c: rbd_completion_t) -> c_int;

    image fn io::rbd_read(image: rbd_image_t, ofs: u64, len: usize, buf: *mut c_char) -> isize;
    image fn io::rbd_read2(image: rbd_image_t, ofs: u64, len: usize, buf: *mut c_char, op_flags: c_int) -> isize;
    image fn io::rbd_write(image: rbd_image_t, ofs: u64, len: usize, buf: *const c_char) -> isize;
    image fn io::rbd_write2(image: rbd_image_t, ofs: u64, len: usize, buf: *const c_char, op_flags: c_int) -> isize;
    image fn io::rbd_discard(image: rbd_image_t, ofs: u64, len: u64) -> c_int;
    image fn io::rbd_write_zeroes(
        image: rbd_image_t, ofs: u64, len: usize, zero_flags: c_int, op_flags: c_int
    ) -> isize;
    image fn io::rbd_writesame(
        image: rbd_image_t, ofs: u64, len: usize, buf: *const c_char, data_len: usize, op_flags: c_int
    ) -> isize;
    image fn io::rbd_compare_and_write(
        image: rbd_image_t, ofs: u64, len: usize, cmp_buf: *const c_char, buf: *const c_char,
        mismatch_off: *mut u64, op_flags: c_int
    ) -> isize;
    image fn io::rbd_flush(image: rbd_image_t) -> c_int;
    image fn io::rbd_invalidate_cache(image: rbd_image_t) -> c_int;
    image fn io::rbd_read_iterate(
        image: rbd_image_t, ofs: u64, len: usize, cb: Option<ReadCallback>, arg: *mut c_void
    ) -> i64;
    image fn io::rbd_read_iterate2(
        image: rbd_image_t, ofs: u64, len: u64, cb: Option<ReadCallback>, arg: *mut c_void
    ) -> c_int;

    image fn diff::rbd_diff_iterate(
        image: rbd_image_t, fromsnapname: *const c_char, ofs: u64, len: u64, cb: Option<DiffCallback>, arg: *mut c_void
    ) -> c_int;
    image fn diff::rbd_diff_iterate2(
        image: rbd_image_t, fromsnapname: *const c_char, ofs: u64, len: u64, include_parent: u8, whole_object: u8,
        cb: Option<DiffCallback>, arg: *mut c_void
    ) -> c_int;
    image fn diff::rbd_diff_iterate3(
        image: rbd_image_t, from_snap_id: u64, ofs: u64, len: u64, flags: u32, cb: Option<DiffCallback>,
        arg: *mut c_void
    ) -> c_int;
}
