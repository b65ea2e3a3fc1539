//! Copying an image with its snapshots within a cluster. What is copied is the engine's (`Image::deep_copy`).
use crate::api::clone::clone_format;
use crate::api::copy::layout_of_copy;
use crate::ffi::caller::string;
use crate::ffi::ctypes::{librbd_progress_fn_t, rados_ioctx_t, rbd_image_options_t, rbd_image_t};
use crate::ffi::errno::Outcome;
use crate::ffi::progress::CallerProgress;
use crate::handles::entry::with_image;
use crate::handles::image::OpenImage;
use crate::handles::options::{ImageOptions, name, options_of};
use crate::handles::pool::Pool;
use crate::handles::slab::Ref;
use lsd_engine::DeepCopy;
use std::ffi::{c_char, c_int, c_void};

/// A failed copy leaves the new image there, as librbd does.
async fn copy(
    source: &Ref<OpenImage>,
    pool: Pool,
    image_name: String,
    options: &ImageOptions,
    progress: CallerProgress,
) -> Outcome<()> {
    pool.look_at_overrides().await?;
    let copy = DeepCopy {
        layout: layout_of_copy(source, &pool, Some(options))?,
        flatten: options.number(name::FLATTEN).is_some_and(|flatten| flatten > 0),
        format: clone_format(&pool, options.number(name::CLONE_FORMAT))?,
        from: source.view.options().clone(),
        to: pool.open_options(false)?,
        store: pool.store.clone(),
        name: image_name,
    };
    let end = pool.end();
    let report = |done, total| progress.report(done, total);
    let shown = source.view.image()?;
    let copied = shown.deep_copy(&copy, &report).await;
    drop((copy, pool));
    end.reached().await;
    copied?;
    Ok(())
}

pub unsafe extern "C" fn rbd_deep_copy_with_progress(
    image: rbd_image_t,
    dest_io_ctx: rados_ioctx_t,
    destname: *const c_char,
    dest_opts: rbd_image_options_t,
    cb: Option<librbd_progress_fn_t>,
    cbdata: *mut c_void,
) -> c_int {
    with_image(image, |image| {
        let options = options_of(dest_opts)?;
        // SAFETY: a string and a live io context by the contract of librbd.h.
        let (image_name, pool) = unsafe { (string(destname)?, Pool::adopt(dest_io_ctx)?) };
        image.core.block_on(copy(image, pool, image_name, &options, CallerProgress::new(cb, cbdata)))?;
        Ok(0)
    })
}
