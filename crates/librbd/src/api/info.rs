//! What an open image tells of itself. Size and flags are those of the snapshot that the handle shows, if it shows one.
use crate::ffi::caller::{put, put_sized_text, put_text};
use crate::ffi::ctypes::{RBD_MAX_IMAGE_NAME_SIZE, rbd_image_info_t, rbd_image_t};
use crate::ffi::errno::Errno;
use crate::handles::entry::with_image;
use lsd_engine::ImageInfo;
use nix::libc::timespec;
use std::ffi::{c_char, c_int};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Fills at most `infosize` bytes, so that callers built against a shorter struct are served too.
pub unsafe extern "C" fn rbd_stat(image: rbd_image_t, info: *mut rbd_image_info_t, infosize: usize) -> c_int {
    with_image(image, |image| {
        if info.is_null() {
            return Err(Errno::EINVAL);
        }
        let (told, size) = (image.view.head().info(), image.view.size());
        let object_size = 1_u64 << told.order;
        let mut answer = rbd_image_info_t {
            size,
            obj_size: object_size,
            num_objs: image.layout.objects(size),
            order: c_int::from(told.order),
            block_name_prefix: Default::default(),
            parent_pool: -1,
            parent_name: [0; RBD_MAX_IMAGE_NAME_SIZE],
        };
        // A prefix longer than the field is cut without a terminating zero, as in librbd (the field is deprecated).
        for (place, byte) in answer.block_name_prefix.iter_mut().zip(told.block_name_prefix.bytes()) {
            *place = byte as c_char;
        }
        let bytes = infosize.min(size_of::<rbd_image_info_t>());
        // SAFETY: the caller's struct has `infosize` bytes and ours at least `bytes`.
        unsafe { info.cast::<u8>().copy_from_nonoverlapping((&raw const answer).cast(), bytes) };
        Ok(0)
    })
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident -> $type:ty = $of:expr;)*) => {$(
        $(#[$doc])*
        pub unsafe extern "C" fn $name(image: rbd_image_t, place: *mut $type) -> c_int {
            with_image(image, |image| {
                let of: fn(&ImageInfo) -> $type = $of;
                // SAFETY: a place for the number by the contract of librbd.h.
                unsafe { put(place, of(&image.view.head().info())) }
            })
        }
    )*};
}

numbers! {
    /// There is no old format: always 0.
    rbd_get_old_format -> u8 = |_| 0;
    rbd_get_features -> u64 = |info| info.features;
    rbd_get_op_features -> u64 = |info| info.op_features;
    rbd_get_stripe_unit -> u64 = |info| info.stripe_unit;
    rbd_get_stripe_count -> u64 = |info| info.stripe_count;
    rbd_get_create_timestamp -> timespec = |info| time(info.timestamps.create_ns);
    rbd_get_access_timestamp -> timespec = |info| time(info.timestamps.access_ns);
    rbd_get_modify_timestamp -> timespec = |info| time(info.timestamps.modify_ns);
}

pub fn time(ns: u64) -> timespec {
    timespec { tv_sec: (ns / NANOS_PER_SECOND) as i64, tv_nsec: (ns % NANOS_PER_SECOND) as i64 }
}

/// Of what the handle shows. ENOENT: a snapshot that was removed meanwhile.
pub unsafe extern "C" fn rbd_get_flags(image: rbd_image_t, flags: *mut u64) -> c_int {
    with_image(image, |image| {
        // SAFETY: a place for the number by the contract of librbd.h.
        unsafe { put(flags, image.view.flags()?) }
    })
}

/// Of what the handle shows.
pub unsafe extern "C" fn rbd_get_size(image: rbd_image_t, size: *mut u64) -> c_int {
    with_image(image, |image| {
        // SAFETY: a place for the number by the contract of librbd.h.
        unsafe { put(size, image.view.size()) }
    })
}

pub unsafe extern "C" fn rbd_get_name(image: rbd_image_t, name: *mut c_char, name_len: *mut usize) -> c_int {
    with_image(image, |image| {
        // SAFETY: a buffer of that size by the contract of librbd.h.
        unsafe { put_sized_text(name, name_len, &image.view.head().info().name) }
    })
}

pub unsafe extern "C" fn rbd_get_id(image: rbd_image_t, id: *mut c_char, id_len: usize) -> c_int {
    with_image(image, |image| {
        // SAFETY: a buffer of that size by the contract of librbd.h.
        unsafe { put_text(id, id_len, &image.view.head().info().id.0) }?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_get_block_name_prefix(
    image: rbd_image_t,
    prefix: *mut c_char,
    prefix_len: usize,
) -> c_int {
    with_image(image, |image| {
        // SAFETY: a buffer of that size by the contract of librbd.h.
        unsafe { put_text(prefix, prefix_len, &image.view.head().info().block_name_prefix) }?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_get_data_pool_id(image: rbd_image_t) -> i64 {
    with_image(image, |image| Ok(image.view.head().info().data_pool.0))
}
