//! Key-value metadata of an image, and of a pool.
use crate::ffi::caller::{fetch, put_sized_text, put_texts, string};
use crate::ffi::ctypes::{rados_ioctx_t, rbd_image_t};
use crate::ffi::errno::{Errno, Outcome, told};
use crate::ffi::panic::guard;
use crate::handles::entry::with_image;
use crate::handles::pool::Pool;
use crate::runtime::process::core;
use lsd_engine::{Catalog, Namespaces};
use std::collections::BTreeMap;
use std::ffi::{c_char, c_int};
use std::ops::Bound;

pub unsafe extern "C" fn rbd_metadata_get(
    image: rbd_image_t,
    key: *const c_char,
    value: *mut c_char,
    val_len: *mut usize,
) -> c_int {
    with_image(image, |image| {
        // SAFETY: a string by the contract of librbd.h.
        let key = unsafe { string(key) }?;
        let found = image.core.block_on(image.view.head().metadata().get(&key))?;
        // SAFETY: a buffer of that size by the contract of librbd.h.
        unsafe { put_sized_text(value, val_len, &found) }
    })
}

/// EINVAL for an override of an option (`conf_*`) that is none, or whose text is not understood.
pub unsafe extern "C" fn rbd_metadata_set(image: rbd_image_t, key: *const c_char, value: *const c_char) -> c_int {
    with_image(image, |image| {
        // SAFETY: strings by the contract of librbd.h.
        let (key, value) = unsafe { (string(key)?, string(value)?) };
        image.view.writable()?;
        image.core.block_on(image.view.head().metadata().set(&key, &value)).map_err(told_if_invalid)?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_metadata_remove(image: rbd_image_t, key: *const c_char) -> c_int {
    with_image(image, |image| {
        // SAFETY: a string by the contract of librbd.h.
        let key = unsafe { string(key) }?;
        image.view.writable()?;
        image.core.block_on(image.view.head().metadata().remove(&key))?;
        Ok(0)
    })
}

/// Keys after `start`, at most `max` of them (0: all). Both sizes are set to what is needed before ERANGE.
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
        let all = || Ok(image.core.block_on(image.view.head().metadata().list())?);
        // SAFETY: the same contract.
        unsafe { put_page(all, start, max, (keys, key_len), (values, vals_len)) }
    })
}

/// A place for text and its size.
type Buffer = (*mut c_char, *mut usize);

/// Keys after `start`, at most `max` of them (0: all), and their values.
///
/// # Safety
/// The contract of rbd_metadata_list.
pub unsafe fn put_page(
    all: impl FnOnce() -> Outcome<BTreeMap<String, String>>,
    start: *const c_char,
    max: u64,
    keys: Buffer,
    values: Buffer,
) -> Outcome<c_int> {
    // SAFETY: a string and two sizes by the same contract.
    let start = unsafe {
        fetch(keys.1)?;
        fetch(values.1)?;
        string(start)?
    };
    let all = all()?;
    let most = if max == 0 { usize::MAX } else { max as usize };
    let page: Vec<_> = all.range::<str, _>((Bound::Excluded(start.as_str()), Bound::Unbounded)).take(most).collect();
    // SAFETY: buffers of those sizes by the same contract.
    let (keys, values) = unsafe {
        (
            put_texts(keys.0, keys.1, page.iter().map(|pair| pair.0.as_str())),
            put_texts(values.0, values.1, page.iter().map(|pair| pair.1.as_str())),
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
}

/// Which text of which option is wrong, EINVAL does not say.
fn told_if_invalid(error: lsd_engine::Error) -> Errno {
    if error.kind == lsd_engine::ErrorKind::Invalid { told(error) } else { error.into() }
}

/// Who has an image of the pool open goes by what the pool says now.
///
/// What was stored is stored, whether they can be told or not: they find it when they look.
async fn tell_images(pool: &Pool, key: &str) {
    if let Err(errno) = tell_all_images(pool, key).await {
        tracing::warn!(target: "lsd::image", op = "pool-metadata", errno = errno.0, "not all images are told of a pool's metadata");
    }
}

async fn tell_all_images(pool: &Pool, key: &str) -> Outcome<()> {
    if !key.starts_with("conf_") {
        return Ok(());
    }
    let root = pool.in_namespace("")?;
    for namespace in Namespaces::new(root.clone()).list().await? {
        Catalog::new(pool.in_namespace(&namespace)?).tell_of_options().await?;
    }
    Ok(Catalog::new(root).tell_of_options().await?)
}

pub unsafe extern "C" fn rbd_pool_metadata_get(
    io_ctx: rados_ioctx_t,
    key: *const c_char,
    value: *mut c_char,
    val_len: *mut usize,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context and a string by the contract of librbd.h.
        let (pool, key) = unsafe { (Pool::adopt(io_ctx)?, string(key)?) };
        let found = core()?.block_on(pool.metadata()?.get(&key))?;
        // SAFETY: a buffer of that size by the contract of librbd.h.
        unsafe { put_sized_text(value, val_len, &found) }
    })
}

/// EINVAL for an override of an option (`conf_*`) that is none, or whose text is not understood.
pub unsafe extern "C" fn rbd_pool_metadata_set(
    io_ctx: rados_ioctx_t,
    key: *const c_char,
    value: *const c_char,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context and strings by the contract of librbd.h.
        let (pool, key, value) = unsafe { (Pool::adopt(io_ctx)?, string(key)?, string(value)?) };
        core()?.block_on(pool.metadata()?.set(&key, &value)).map_err(told_if_invalid)?;
        core()?.block_on(tell_images(&pool, &key));
        Ok(0)
    })
}

/// ENOENT.
pub unsafe extern "C" fn rbd_pool_metadata_remove(io_ctx: rados_ioctx_t, key: *const c_char) -> c_int {
    guard(|| {
        // SAFETY: a live io context and a string by the contract of librbd.h.
        let (pool, key) = unsafe { (Pool::adopt(io_ctx)?, string(key)?) };
        core()?.block_on(pool.metadata()?.remove(&key))?;
        core()?.block_on(tell_images(&pool, &key));
        Ok(0)
    })
}

/// As rbd_metadata_list.
pub unsafe extern "C" fn rbd_pool_metadata_list(
    io_ctx: rados_ioctx_t,
    start: *const c_char,
    max: u64,
    keys: *mut c_char,
    key_len: *mut usize,
    values: *mut c_char,
    vals_len: *mut usize,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context by the contract of librbd.h.
        let pool = unsafe { Pool::adopt(io_ctx) }?;
        let all = || Ok(core()?.block_on(pool.metadata()?.list())?);
        // SAFETY: the same contract.
        unsafe { put_page(all, start, max, (keys, key_len), (values, vals_len)) }
    })
}
