//! Key-value metadata of an image.
use crate::caller::{fetch, put_sized_text, put_texts, string};
use crate::ctypes::rbd_image_t;
use crate::errno::Errno;
use crate::panic::with_image;
use std::ffi::{c_char, c_int};
use std::ops::Bound;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_metadata_get(
    image: rbd_image_t,
    key: *const c_char,
    value: *mut c_char,
    val_len: *mut usize,
) -> c_int {
    with_image(image, |image| {
        // SAFETY: a string by the contract of librbd.h.
        let key = unsafe { string(key) }?;
        let found = image.core.block_on(image.engine.metadata_get(&key))?;
        // SAFETY: a buffer of that size by the contract of librbd.h.
        unsafe { put_sized_text(value, val_len, &found) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_metadata_set(image: rbd_image_t, key: *const c_char, value: *const c_char) -> c_int {
    with_image(image, |image| {
        // SAFETY: strings by the contract of librbd.h.
        let (key, value) = unsafe { (string(key)?, string(value)?) };
        image.writable()?;
        image.core.block_on(image.engine.metadata_set(&key, &value))?;
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_metadata_remove(image: rbd_image_t, key: *const c_char) -> c_int {
    with_image(image, |image| {
        // SAFETY: a string by the contract of librbd.h.
        let key = unsafe { string(key) }?;
        image.writable()?;
        image.core.block_on(image.engine.metadata_remove(&key))?;
        Ok(0)
    })
}

/// Keys after `start`, at most `max` of them (0: all). Both sizes are set to what is needed before ERANGE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_metadata_list(
    image: rbd_image_t,
    start: *const c_char,
    max: u64,
    keys: *mut c_char,
    key_len: *mut usize,
    values: *mut c_char,
    vals_len: *mut usize,
) -> c_int {
    with_image(image, |image| {
        // SAFETY: a string and two sizes by the contract of librbd.h.
        let start = unsafe {
            fetch(key_len)?;
            fetch(vals_len)?;
            string(start)?
        };
        let all = image.core.block_on(image.engine.metadata_list())?;
        let most = if max == 0 { usize::MAX } else { max as usize };
        let page: Vec<_> =
            all.range::<str, _>((Bound::Excluded(start.as_str()), Bound::Unbounded)).take(most).collect();
        // SAFETY: buffers of those sizes by the contract of librbd.h.
        let (keys, values) = unsafe {
            (
                put_texts(keys, key_len, page.iter().map(|pair| pair.0.as_str())),
                put_texts(values, vals_len, page.iter().map(|pair| pair.1.as_str())),
            )
        };
        match (keys, values) {
            (Err(Errno::ERANGE), _) | (_, Err(Errno::ERANGE)) => Err(Errno::ERANGE),
            (keys, values) => {
                keys?;
                values?;
                Ok(0)
            }
        }
    })
}
