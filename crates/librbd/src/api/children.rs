//! The clones of a snapshot: of the one that the handle shows, or of all that its image has.
use crate::ffi::caller::{clear, duplicate, fetch, put_texts, release};
use crate::ffi::ctypes::{rbd_child_info_t, rbd_image_t, rbd_linked_image_spec_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::handles::entry::with_image;
use crate::handles::image::OpenImage;
use lsd_engine::Child;
use lsd_store::PoolId;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{c_char, c_int};

/// A clone, and the name of its pool.
type Named = (String, Child);

#[derive(Clone, Copy)]
enum Depth {
    Children,
    Descendants,
}

/// Sorted by the names of pools and images, as librbd does.
fn named(image: &OpenImage, depth: Depth) -> Outcome<Vec<Named>> {
    let (head, snapshot) = (image.view.head(), image.view.snapshot()?);
    image.core.block_on(async {
        let found = match depth {
            Depth::Children => head.children(snapshot).await?,
            Depth::Descendants => head.descendants(snapshot).await?,
        };
        let mut pools: BTreeMap<i64, String> = BTreeMap::new();
        let mut named = Vec::with_capacity(found.len());
        for child in found {
            let PoolId(pool) = child.pool;
            if let Entry::Vacant(name) = pools.entry(pool) {
                name.insert(image.view.pool_name(child.pool).await?);
            }
            named.push((pools.get(&pool).cloned().unwrap_or_default(), child));
        }
        let key = |(pool, child): &Named| (pool.clone(), child.namespace.clone(), child.name.clone());
        named.sort_by_cached_key(key);
        Ok(named)
    })
}

/// The names of pools and of images, each with its terminating zero, without clones in the trash. Gives how many there are; ERANGE with
/// the sizes needed.
pub unsafe extern "C" fn rbd_list_children(
    image: rbd_image_t,
    pools: *mut c_char,
    pools_len: *mut usize,
    images: *mut c_char,
    images_len: *mut usize,
) -> isize {
    with_image(image, |image| {
        let found = named(image, Depth::Children)?;
        let names: BTreeSet<(&str, &str)> =
            found.iter().filter(|(_, child)| !child.trash).map(|(pool, child)| (&**pool, &*child.name)).collect();
        for len in [pools_len, images_len] {
            // SAFETY: null or a number by the contract of librbd.h.
            unsafe { fetch(len) }?;
        }
        // SAFETY: buffers of those sizes by the contract of librbd.h.
        let given = unsafe {
            [
                put_texts(pools, pools_len, names.iter().map(|(pool, _)| *pool)),
                put_texts(images, images_len, names.iter().map(|(_, image)| *image)),
            ]
        };
        // Nothing needs no buffer.
        for one in given.into_iter().filter(|_| !names.is_empty()) {
            one?;
        }
        Ok(names.len() as isize)
    })
}

/// Gives how many there are, and needs a place more for the end of the list: else ERANGE, with the places needed.
pub unsafe extern "C" fn rbd_list_children2(
    image: rbd_image_t,
    children: *mut rbd_child_info_t,
    max_children: *mut c_int,
) -> c_int {
    with_image(image, |image| {
        // SAFETY: a number by the contract of librbd.h.
        let places = usize::try_from(unsafe { fetch(max_children) }?).unwrap_or(0);
        let found = named(image, Depth::Children)?;
        if places <= found.len() {
            // SAFETY: `fetch` found it not null.
            unsafe { max_children.write(c_int::try_from(found.len() + 1).unwrap_or(c_int::MAX)) };
            return Err(Errno::ERANGE);
        }
        if children.is_null() {
            return Err(Errno::EINVAL);
        }
        // SAFETY: so many places by the contract of librbd.h.
        unsafe { clear(children, places) };
        for (place, (pool, child)) in found.iter().enumerate() {
            let told = rbd_child_info_t {
                pool_name: duplicate(pool),
                image_name: duplicate(&child.name),
                image_id: duplicate(&child.id.0),
                trash: child.trash,
            };
            // SAFETY: there are more places than clones.
            unsafe { children.add(place).write(told) };
        }
        c_int::try_from(found.len()).map_err(|_| Errno::ERANGE)
    })
}

pub unsafe extern "C" fn rbd_list_child_cleanup(child: *mut rbd_child_info_t) {
    // SAFETY: null or one filled entry by the contract of librbd.h.
    if let Some(child) = unsafe { child.as_mut() } {
        // SAFETY: all came from `duplicate`, or are null.
        unsafe {
            release(&mut child.pool_name);
            release(&mut child.image_name);
            release(&mut child.image_id);
        }
    }
}

pub unsafe extern "C" fn rbd_list_children_cleanup(children: *mut rbd_child_info_t, num_children: usize) {
    if children.is_null() {
        return;
    }
    for place in 0..num_children {
        // SAFETY: `num_children` filled entries by the contract of librbd.h.
        unsafe { rbd_list_child_cleanup(children.add(place)) };
    }
}

/// ERANGE with the number of clones if there are more than `max_images`.
///
/// # Safety
/// The contract of rbd_list_children3.
unsafe fn linked_images(
    image: rbd_image_t,
    images: *mut rbd_linked_image_spec_t,
    max_images: *mut usize,
    depth: Depth,
) -> c_int {
    with_image(image, |image| {
        // SAFETY: a number by the contract of librbd.h.
        let places = unsafe { fetch(max_images) }?;
        // SAFETY: null, or so many places by the contract of librbd.h.
        unsafe { clear(images, places) };
        let found = named(image, depth)?;
        // SAFETY: `fetch` found it not null.
        unsafe { max_images.write(found.len()) };
        if found.len() > places {
            return Err(Errno::ERANGE);
        }
        if images.is_null() && !found.is_empty() {
            return Err(Errno::EINVAL);
        }
        for (place, (pool, child)) in found.iter().enumerate() {
            let spec = rbd_linked_image_spec_t {
                pool_id: child.pool.0,
                pool_name: duplicate(pool),
                pool_namespace: duplicate(&child.namespace),
                image_id: duplicate(&child.id.0),
                image_name: duplicate(&child.name),
                trash: child.trash,
            };
            // SAFETY: the array has at least as many places as there are clones.
            unsafe { images.add(place).write(spec) };
        }
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_list_children3(
    image: rbd_image_t,
    images: *mut rbd_linked_image_spec_t,
    max_images: *mut usize,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { linked_images(image, images, max_images, Depth::Children) }
}

/// The clones, their clones, and so on.
pub unsafe extern "C" fn rbd_list_descendants(
    image: rbd_image_t,
    images: *mut rbd_linked_image_spec_t,
    max_images: *mut usize,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { linked_images(image, images, max_images, Depth::Descendants) }
}
