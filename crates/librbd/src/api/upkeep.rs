//! Upkeep of an image: giving back what zeroes take, looking at its map.
use crate::ffi::ctypes::{librbd_progress_fn_t, rbd_image_t};
use crate::ffi::progress::CallerProgress;
use crate::handles::entry::with_image;
use std::ffi::{c_int, c_void};

/// EINVAL: `sparse_size` is no power of two from 4096 to the size of an object; EROFS.
pub unsafe extern "C" fn rbd_sparsify(image: rbd_image_t, sparse_size: usize) -> c_int {
    sparsify(image, sparse_size, CallerProgress::NONE)
}

pub unsafe extern "C" fn rbd_sparsify_with_progress(
    image: rbd_image_t,
    sparse_size: usize,
    cb: Option<librbd_progress_fn_t>,
    cbdata: *mut c_void,
) -> c_int {
    sparsify(image, sparse_size, CallerProgress::new(cb, cbdata))
}

fn sparsify(image: rbd_image_t, sparse_size: usize, progress: CallerProgress) -> c_int {
    with_image(image, |image| {
        image.view.writable()?;
        let report = |done, total| progress.report(done, total);
        image.core.block_on(image.view.head().sparsify(sparse_size as u64, &report))?;
        Ok(0)
    })
}

/// EINVAL without the feature object-map; EROFS; EIO: the map, or what it leads to, is damaged.
pub unsafe extern "C" fn rbd_rebuild_object_map(
    image: rbd_image_t,
    cb: Option<librbd_progress_fn_t>,
    cbdata: *mut c_void,
) -> c_int {
    with_image(image, |image| {
        let progress = CallerProgress::new(cb, cbdata);
        let report = |done, total| progress.report(done, total);
        image.core.block_on(image.view.changeable()?.rebuild_object_map(&report))?;
        Ok(0)
    })
}
