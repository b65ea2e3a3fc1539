//! Creating, removing, renaming and resizing images.
use crate::ffi::caller::{fetch, string};
use crate::ffi::ctypes::{librbd_progress_fn_t, rados_ioctx_t, rbd_image_options_t, rbd_image_t};
use crate::ffi::errno::{Errno, Outcome, told};
use crate::ffi::panic::guard;
use crate::ffi::progress::CallerProgress;
use crate::handles::entry::with_image;
use crate::handles::options::{ImageOptions, name, options_of};
use crate::handles::pool::Pool;
use crate::runtime::process::core;
use lsd_engine::{Catalog, CreateOptions, Image, ImageRef};
use std::ffi::{c_char, c_int, c_void};

/// What rbd_create2 and rbd_create3 take as numbers; `None` is the pool's default.
#[derive(Clone, Copy, Default)]
pub struct Wanted {
    pub order: u64,
    pub features: Option<u64>,
    pub stripe_unit: u64,
    pub stripe_count: u64,
}

impl Wanted {
    pub fn from_options(options: &ImageOptions) -> Self {
        Self {
            order: options.number(name::ORDER).unwrap_or(0),
            features: options.number(name::FEATURES),
            stripe_unit: options.number(name::STRIPE_UNIT).unwrap_or(0),
            stripe_count: options.number(name::STRIPE_COUNT).unwrap_or(0),
        }
    }
}

/// Fills what is not given from the `rbd_default_*` settings of the pool, if that was looked at, and of the caller's cluster handle.
pub fn create_options(
    pool: &Pool,
    size: u64,
    wanted: Wanted,
    options: Option<&ImageOptions>,
) -> Outcome<CreateOptions> {
    let mut created = CreateOptions::from_settings(&|key| pool.default_of(key)).map_err(told)?;
    created.size = size;
    if wanted.order != 0 {
        created.order = u8::try_from(wanted.order).map_err(|_| Errno::EDOM)?;
    }
    created.features = wanted.features.unwrap_or(created.features);
    if wanted.stripe_unit != 0 || wanted.stripe_count != 0 {
        (created.stripe_unit, created.stripe_count) = (wanted.stripe_unit, wanted.stripe_count);
    }
    let mut data_pool = None;
    if let Some(options) = options {
        created.features |= options.number(name::FEATURES_SET).unwrap_or(0);
        created.features &= !options.number(name::FEATURES_CLEAR).unwrap_or(0);
        data_pool = options.text(name::DATA_POOL);
    }
    if let Some(pool_name) = data_pool.or_else(|| pool.default_of("rbd_default_data_pool"))
        && !pool_name.is_empty()
    {
        created.data_pool = Some(pool.pool_id_of(&pool_name)?);
    }
    Ok(created)
}

/// Creates an image and gives its order.
///
/// # Safety
/// The contract of rbd_create.
unsafe fn create(
    io: rados_ioctx_t,
    image_name: *const c_char,
    size: u64,
    wanted: Wanted,
    options: Option<&ImageOptions>,
) -> Outcome<u8> {
    // SAFETY: the same contract.
    let (image_name, pool) = unsafe { (string(image_name)?, Pool::adopt(io)?) };
    core()?.block_on(pool.look_at_overrides())?;
    let create_options = create_options(&pool, size, wanted, options)?;
    core()?.block_on(Image::create(&pool.store, &image_name, &create_options))?;
    Ok(create_options.order)
}

/// # Safety
/// The contract of rbd_create3; `order` in and out.
unsafe fn create_with_order(
    io: rados_ioctx_t,
    image_name: *const c_char,
    size: u64,
    order: *mut c_int,
    wanted: Wanted,
) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let given = u64::try_from(unsafe { fetch(order) }?).map_err(|_| Errno::EDOM)?;
        // SAFETY: the same contract.
        let chosen = unsafe { create(io, image_name, size, Wanted { order: given, ..wanted }, None) }?;
        // SAFETY: `fetch` found it not null.
        unsafe { order.write(c_int::from(chosen)) };
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_create(
    io: rados_ioctx_t,
    image_name: *const c_char,
    size: u64,
    order: *mut c_int,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { create_with_order(io, image_name, size, order, Wanted::default()) }
}

pub unsafe extern "C" fn rbd_create2(
    io: rados_ioctx_t,
    image_name: *const c_char,
    size: u64,
    features: u64,
    order: *mut c_int,
) -> c_int {
    let wanted = Wanted { features: Some(features), ..Wanted::default() };
    // SAFETY: the same contract.
    unsafe { create_with_order(io, image_name, size, order, wanted) }
}

pub unsafe extern "C" fn rbd_create3(
    io: rados_ioctx_t,
    image_name: *const c_char,
    size: u64,
    features: u64,
    order: *mut c_int,
    stripe_unit: u64,
    stripe_count: u64,
) -> c_int {
    let wanted = Wanted { order: 0, features: Some(features), stripe_unit, stripe_count };
    // SAFETY: the same contract.
    unsafe { create_with_order(io, image_name, size, order, wanted) }
}

/// The option `order` is set to the order that was chosen.
pub unsafe extern "C" fn rbd_create4(
    io: rados_ioctx_t,
    image_name: *const c_char,
    size: u64,
    opts: rbd_image_options_t,
) -> c_int {
    guard(|| {
        let options = options_of(opts)?;
        // SAFETY: the same contract.
        let order = unsafe { create(io, image_name, size, Wanted::from_options(&options), Some(&*options)) }?;
        options.set_number(name::ORDER, u64::from(order));
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_remove(io: rados_ioctx_t, image_name: *const c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { rbd_remove_with_progress(io, image_name, None, std::ptr::null_mut()) }
}

pub unsafe extern "C" fn rbd_remove_with_progress(
    io: rados_ioctx_t,
    image_name: *const c_char,
    cb: Option<librbd_progress_fn_t>,
    cbdata: *mut c_void,
) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let (image_name, pool) = unsafe { (string(image_name)?, Pool::adopt(io)?) };
        let progress = CallerProgress::new(cb, cbdata);
        let report = |done, total| progress.report(done, total);
        let bases = pool.bases();
        core()?.block_on(Image::remove_with(&pool.store, &ImageRef::Name(image_name), &bases, &report))?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_rename(
    src_io_ctx: rados_ioctx_t,
    srcname: *const c_char,
    destname: *const c_char,
) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let (from, to, pool) = unsafe { (string(srcname)?, string(destname)?, Pool::adopt(src_io_ctx)?) };
        core()?.block_on(Catalog::new(pool.store.clone()).rename(&from, &to))?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_resize(image: rbd_image_t, size: u64) -> c_int {
    resize(image, size, true, CallerProgress::NONE)
}

/// EINVAL if it would shrink the image and `allow_shrink` is false.
pub unsafe extern "C" fn rbd_resize2(
    image: rbd_image_t,
    size: u64,
    allow_shrink: bool,
    cb: Option<librbd_progress_fn_t>,
    cbdata: *mut c_void,
) -> c_int {
    resize(image, size, allow_shrink, CallerProgress::new(cb, cbdata))
}

pub unsafe extern "C" fn rbd_resize_with_progress(
    image: rbd_image_t,
    size: u64,
    cb: Option<librbd_progress_fn_t>,
    cbdata: *mut c_void,
) -> c_int {
    resize(image, size, true, CallerProgress::new(cb, cbdata))
}

fn resize(image: rbd_image_t, size: u64, allow_shrink: bool, progress: CallerProgress) -> c_int {
    with_image(image, |image| {
        image.view.writable()?;
        let report = |done, total| progress.report(done, total);
        image.core.block_on(image.view.head().resize(size, allow_shrink, &report))?;
        Ok(0)
    })
}
