//! Making clones, and flattening them.
use crate::ffi::caller::{fetch, string};
use crate::ffi::ctypes::{librbd_progress_fn_t, rados_ioctx_t, rbd_image_options_t, rbd_image_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::ffi::progress::CallerProgress;
use crate::handles::entry::with_image;
use crate::handles::options::{ImageOptions, name, options_of};
use crate::handles::pool::Pool;
use crate::runtime::process::core;
use lsd_engine::{CloneFormat, CloneOptions, Features, Image, ImageRef, SnapRef};
use std::ffi::{c_char, c_int, c_void};

/// What `format` says, else the setting `rbd_default_clone_format`, of which `auto` is 2: every client of lsd knows it.
/// EINVAL for any other number.
pub fn clone_format(pool: &Pool, format: Option<u64>) -> Outcome<CloneFormat> {
    let setting = || match pool.default_of("rbd_default_clone_format").as_deref() {
        Some("1") => 1,
        _ => 2,
    };
    match format.unwrap_or_else(setting) {
        1 => Ok(CloneFormat::Protected),
        2 => Ok(CloneFormat::Free),
        _ => Err(Errno::EINVAL),
    }
}

/// What rbd_clone2 takes as numbers, and rbd_clone3 in options. 0 and `None` are as the parent has it.
#[derive(Clone, Copy, Default)]
struct Wanted {
    order: u64,
    features: Option<u64>,
    stripe: Option<(u64, u64)>,
}

impl Wanted {
    fn from_options(options: &ImageOptions) -> Outcome<Self> {
        if options.number(name::FORMAT).is_some_and(|format| format < 2) {
            return Err(Errno::EINVAL);
        }
        let [unit, count] = [name::STRIPE_UNIT, name::STRIPE_COUNT].map(|option| options.number(option));
        let stripe = (unit.is_some() || count.is_some()).then(|| match unit.unwrap_or(0) {
            0 => (0, count.unwrap_or(0)),
            unit => (unit, count.unwrap_or(1)),
        });
        let order = options.number(name::ORDER).unwrap_or(0);
        Ok(Self { order, features: options.number(name::FEATURES), stripe })
    }
}

/// `parents`: the features that a clone has where none are asked for.
async fn clone_options(
    pool: &Pool,
    wanted: Wanted,
    options: Option<&ImageOptions>,
    parents: impl AsyncFnOnce() -> Outcome<u64>,
) -> Outcome<CloneOptions> {
    let mut clone = CloneOptions { features: wanted.features, stripe: wanted.stripe, ..CloneOptions::default() };
    if wanted.order != 0 {
        clone.order = Some(u8::try_from(wanted.order).map_err(|_| Errno::EDOM)?);
    }
    clone.format = clone_format(pool, options.and_then(|options| options.number(name::CLONE_FORMAT)))?;
    let mut data_pool = None;
    if let Some(options) = options {
        let [set, clear] = [name::FEATURES_SET, name::FEATURES_CLEAR].map(|option| options.number(option).unwrap_or(0));
        if set | clear != 0 {
            let features = match clone.features {
                Some(features) => features,
                None => parents().await?,
            };
            clone.features = Some((features | set) & !clear);
        }
        data_pool = options.text(name::DATA_POOL);
    }
    if let Some(pool_name) = data_pool.or_else(|| pool.default_of("rbd_default_data_pool"))
        && !pool_name.is_empty()
    {
        clone.data_pool = Some(pool.pool_id_of(&pool_name)?);
    }
    Ok(clone)
}

/// A snapshot of an image in a pool.
struct Parent {
    pool: Pool,
    image: ImageRef,
    snapshot: SnapRef,
}

impl Parent {
    /// # Safety
    /// The contract of rbd_clone.
    unsafe fn named(io: rados_ioctx_t, image: *const c_char, snapshot: *const c_char) -> Outcome<Self> {
        // SAFETY: the same contract.
        let (image, snapshot, pool) = unsafe { (string(image)?, string(snapshot)?, Pool::adopt(io)?) };
        Ok(Self { pool, image: ImageRef::Name(image), snapshot: SnapRef::Name(snapshot) })
    }

    /// Without those that only some images can have.
    async fn features(&self) -> Outcome<u64> {
        let image = Image::open(&self.pool.store, &self.image, &self.pool.open_options(true)?).await?;
        let features = image.info().features;
        image.close().await?;
        Ok(features & !(Features::DATA_POOL | Features::STRIPINGV2 | Features::INTERNAL))
    }
}

/// # Safety
/// The contract of rbd_clone.
unsafe fn clone(
    parent: Parent,
    c_ioctx: rados_ioctx_t,
    c_name: *const c_char,
    wanted: Wanted,
    options: Option<&ImageOptions>,
) -> Outcome<()> {
    // SAFETY: the same contract.
    let (clone_name, pool) = unsafe { (string(c_name)?, Pool::adopt(c_ioctx)?) };
    let made = async {
        pool.look_at_overrides().await?;
        let clone = clone_options(&pool, wanted, options, async || parent.features().await).await?;
        let from = (&parent.pool.store, &parent.image, &parent.snapshot);
        Image::clone_from(from, (&pool.store, &clone_name), &clone).await?;
        Ok(())
    };
    core()?.block_on(made)
}

pub unsafe extern "C" fn rbd_clone(
    p_ioctx: rados_ioctx_t,
    p_name: *const c_char,
    p_snapname: *const c_char,
    c_ioctx: rados_ioctx_t,
    c_name: *const c_char,
    features: u64,
    c_order: *mut c_int,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { rbd_clone2(p_ioctx, p_name, p_snapname, c_ioctx, c_name, features, c_order, 0, 0) }
}

/// `c_order` 0 is the parent's.
pub unsafe extern "C" fn rbd_clone2(
    p_ioctx: rados_ioctx_t,
    p_name: *const c_char,
    p_snapname: *const c_char,
    c_ioctx: rados_ioctx_t,
    c_name: *const c_char,
    features: u64,
    c_order: *mut c_int,
    stripe_unit: u64,
    stripe_count: c_int,
) -> c_int {
    guard(|| {
        // SAFETY: a number by the contract of librbd.h.
        let order = u64::try_from(unsafe { fetch(c_order) }?).map_err(|_| Errno::EDOM)?;
        let stripe = (stripe_unit, u64::try_from(stripe_count).map_err(|_| Errno::EINVAL)?);
        let wanted = Wanted { order, features: Some(features), stripe: Some(stripe) };
        // SAFETY: the same contract.
        unsafe { clone(Parent::named(p_ioctx, p_name, p_snapname)?, c_ioctx, c_name, wanted, None) }?;
        Ok(0)
    })
}

/// Options that are not set are as the parent has it.
pub unsafe extern "C" fn rbd_clone3(
    p_ioctx: rados_ioctx_t,
    p_name: *const c_char,
    p_snapname: *const c_char,
    c_ioctx: rados_ioctx_t,
    c_name: *const c_char,
    c_opts: rbd_image_options_t,
) -> c_int {
    guard(|| {
        let options = options_of(c_opts)?;
        let wanted = Wanted::from_options(&options)?;
        // SAFETY: the same contract.
        unsafe { clone(Parent::named(p_ioctx, p_name, p_snapname)?, c_ioctx, c_name, wanted, Some(&*options)) }?;
        Ok(0)
    })
}

/// As rbd_clone3, of a snapshot by its id.
pub unsafe extern "C" fn rbd_clone4(
    p_ioctx: rados_ioctx_t,
    p_name: *const c_char,
    p_snap_id: u64,
    c_ioctx: rados_ioctx_t,
    c_name: *const c_char,
    c_opts: rbd_image_options_t,
) -> c_int {
    guard(|| {
        let options = options_of(c_opts)?;
        let wanted = Wanted::from_options(&options)?;
        // SAFETY: the same contract.
        let (image, pool) = unsafe { (string(p_name)?, Pool::adopt(p_ioctx)?) };
        let parent = Parent { pool, image: ImageRef::Name(image), snapshot: SnapRef::Id(p_snap_id) };
        // SAFETY: the same contract.
        unsafe { clone(parent, c_ioctx, c_name, wanted, Some(&*options)) }?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_flatten(image: rbd_image_t) -> c_int {
    flatten(image, CallerProgress::NONE)
}

pub unsafe extern "C" fn rbd_flatten_with_progress(
    image: rbd_image_t,
    cb: Option<librbd_progress_fn_t>,
    cbdata: *mut c_void,
) -> c_int {
    flatten(image, CallerProgress::new(cb, cbdata))
}

/// EROFS; EINVAL: it is no clone.
fn flatten(image: rbd_image_t, progress: CallerProgress) -> c_int {
    with_image(image, |image| {
        image.view.writable()?;
        let report = |done, total| progress.report(done, total);
        image.core.block_on(image.view.head().flatten(&report))?;
        Ok(0)
    })
}
