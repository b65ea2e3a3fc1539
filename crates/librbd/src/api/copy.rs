//! Copying what a handle shows, data and metadata, within a cluster. Snapshots are not copied.
use crate::api::create::{Wanted, create_options};
use crate::ffi::caller::string;
use crate::ffi::ctypes::{librbd_progress_fn_t, rados_ioctx_t, rbd_image_options_t, rbd_image_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::progress::CallerProgress;
use crate::handles::entry::with_image;
use crate::handles::image::{OpenImage, image_of};
use crate::handles::options::{ImageOptions, options_of};
use crate::handles::pool::Pool;
use crate::handles::slab::Ref;
use futures::{StreamExt, TryStreamExt, stream};
use lsd_engine::{CreateOptions, Image, ImageRef};
use std::ffi::{c_char, c_int, c_void};

/// Bytes copied at a time, and after which progress is reported.
const CHUNK_BYTES: u64 = 4 << 20;
/// Chunks in flight: with [`CHUNK_BYTES`] it bounds the memory of a copy.
const CHUNKS_IN_FLIGHT: usize = 8;

/// Copies what has data; the destination reads as zeroes elsewhere, so it must be new or is made so by discarding.
/// Metadata is the image's, whichever snapshot the handle shows.
async fn copy_data(from: &OpenImage, target: &Image, progress: CallerProgress, fresh: bool) -> Outcome<()> {
    let source = &from.view.image()?;
    let size = source.size();
    let chunks = stream::iter((0..size).step_by(CHUNK_BYTES as usize)).map(|at| async move {
        let len = CHUNK_BYTES.min(size - at);
        for extent in source.extents(at, len).await? {
            if extent.data {
                let data = source.read(extent.offset, extent.len).await?.to_bytes();
                target.write(extent.offset, data, false).await?;
            } else if !fresh {
                target.discard(extent.offset, extent.len, false).await?;
            }
        }
        Ok::<u64, Errno>(at + len)
    });
    // In order, so that progress never goes back.
    let mut chunks = chunks.buffered(CHUNKS_IN_FLIGHT);
    while let Some(done) = chunks.try_next().await? {
        progress.report(done, size)?;
    }
    for (key, value) in from.view.head().metadata().list().await? {
        target.metadata().set(&key, &value).await?;
    }
    target.flush().await?;
    Ok(())
}

/// The layout of a copy: the source's, but for what the options say.
pub fn layout_of_copy(source: &OpenImage, pool: &Pool, options: Option<&ImageOptions>) -> Outcome<CreateOptions> {
    let (info, size) = (source.view.head().info(), source.view.image()?.size());
    let mut wanted = Wanted {
        order: u64::from(info.order),
        features: Some(info.features),
        stripe_unit: info.stripe_unit,
        stripe_count: info.stripe_count,
    };
    if let Some(options) = options {
        let given = Wanted::from_options(options);
        if given.order != 0 {
            wanted = Wanted { order: given.order, stripe_unit: 0, stripe_count: 0, ..wanted };
        }
        if given.stripe_unit != 0 || given.stripe_count != 0 {
            wanted = Wanted { stripe_unit: given.stripe_unit, stripe_count: given.stripe_count, ..wanted };
        }
        wanted.features = given.features.or(wanted.features);
    }
    create_options(pool, size, wanted, options)
}

/// Copies into a new image. A failed copy leaves the new image there, as librbd does.
async fn copy_to_new(
    source: &Ref<OpenImage>,
    pool: Pool,
    image_name: String,
    options: Option<Ref<ImageOptions>>,
    progress: CallerProgress,
) -> Outcome<()> {
    pool.look_at_overrides().await?;
    let create_options = layout_of_copy(source, &pool, options.as_deref())?;
    Image::create(&pool.store, &image_name, &create_options).await?;
    let open_options = pool.open_options(false)?;
    let end = pool.end();
    let target = Image::open(&pool.store, &ImageRef::Name(image_name), &open_options).await?;
    let copied = copy_data(source, &target, progress, true).await;
    let closed = target.close().await;
    drop((target, pool));
    end.reached().await;
    copied?;
    Ok(closed?)
}

/// # Safety
/// The contract of rbd_copy3.
unsafe fn copy(
    image: rbd_image_t,
    dest_io_ctx: rados_ioctx_t,
    destname: *const c_char,
    dest_opts: Option<rbd_image_options_t>,
    progress: CallerProgress,
) -> c_int {
    with_image(image, |image| {
        let options = dest_opts.map(options_of).transpose()?;
        // SAFETY: the same contract.
        let (image_name, pool) = unsafe { (string(destname)?, Pool::adopt(dest_io_ctx)?) };
        image.core.block_on(copy_to_new(image, pool, image_name, options, progress))?;
        Ok(0)
    })
}

fn copy_to_open(src: rbd_image_t, dest: rbd_image_t, progress: CallerProgress) -> c_int {
    with_image(src, |source| {
        let target = image_of(dest)?;
        target.view.writable()?;
        if target.view.size() < source.view.image()?.size() {
            return Err(Errno::EINVAL);
        }
        image_copy(source, &target, progress)
    })
}

fn image_copy(source: &Ref<OpenImage>, target: &Ref<OpenImage>, progress: CallerProgress) -> Outcome<c_int> {
    source.core.block_on(copy_data(source, target.view.head(), progress, false))?;
    Ok(0)
}

pub unsafe extern "C" fn rbd_copy_with_progress(
    image: rbd_image_t,
    dest_p: rados_ioctx_t,
    destname: *const c_char,
    cb: Option<librbd_progress_fn_t>,
    cbdata: *mut c_void,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { copy(image, dest_p, destname, None, CallerProgress::new(cb, cbdata)) }
}

pub unsafe extern "C" fn rbd_copy_with_progress2(
    src: rbd_image_t,
    dest: rbd_image_t,
    cb: Option<librbd_progress_fn_t>,
    cbdata: *mut c_void,
) -> c_int {
    copy_to_open(src, dest, CallerProgress::new(cb, cbdata))
}

pub unsafe extern "C" fn rbd_copy_with_progress4(
    image: rbd_image_t,
    dest_p: rados_ioctx_t,
    destname: *const c_char,
    dest_opts: rbd_image_options_t,
    cb: Option<librbd_progress_fn_t>,
    cbdata: *mut c_void,
    _sparse_size: usize,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { copy(image, dest_p, destname, Some(dest_opts), CallerProgress::new(cb, cbdata)) }
}
