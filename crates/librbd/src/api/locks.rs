//! The exclusive lock of an image, and the advisory locks that share its name.
use crate::ffi::caller::{clear, duplicate, fetch, put, put_sized_text, put_texts, release, string};
use crate::ffi::ctypes::rbd_image_t;
use crate::ffi::errno::{Errno, Outcome};
use crate::handles::entry::with_image;
use crate::handles::image::OpenImage;
use std::ffi::{c_char, c_int};

/// `RBD_LOCK_MODE_EXCLUSIVE`; the only other one is shared.
const EXCLUSIVE: c_int = 0;

/// EOPNOTSUPP for the shared mode, as librbd.
fn exclusive_only(mode: c_int) -> Outcome<()> {
    if mode == EXCLUSIVE { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}

/// EINVAL for a handle that shows a snapshot, as librbd: there is nothing to lock.
fn lockable(image: &OpenImage) -> Outcome<()> {
    if image.view.shows_head() { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Asks the cluster: ESHUTDOWN if this client was fenced off.
pub unsafe extern "C" fn rbd_is_exclusive_lock_owner(image: rbd_image_t, is_owner: *mut c_int) -> c_int {
    with_image(image, |image| {
        // SAFETY: a place by the contract of librbd.h.
        unsafe { put(is_owner, 0) }?;
        if !image.view.shows_head() || image.view.head().info().features & lsd_engine::Features::EXCLUSIVE_LOCK == 0 {
            return Ok(0);
        }
        let owns = image.core.block_on(image.view.head().locks().confirm_owner())?;
        // SAFETY: the same place.
        unsafe { put(is_owner, c_int::from(owns)) }
    })
}

pub unsafe extern "C" fn rbd_lock_acquire(image: rbd_image_t, lock_mode: c_int) -> c_int {
    with_image(image, |image| {
        exclusive_only(lock_mode)?;
        lockable(image)?;
        image.core.block_on(image.view.head().locks().acquire())?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_lock_release(image: rbd_image_t) -> c_int {
    with_image(image, |image| {
        lockable(image)?;
        image.core.block_on(image.view.head().locks().release())?;
        Ok(0)
    })
}

/// The owner's address. ENOENT if there is none; ERANGE with the number of owners if there is no room.
pub unsafe extern "C" fn rbd_lock_get_owners(
    image: rbd_image_t,
    lock_mode: *mut c_int,
    lock_owners: *mut *mut c_char,
    max_lock_owners: *mut usize,
) -> c_int {
    with_image(image, |image| {
        // SAFETY: a number by the contract of librbd.h.
        let places = unsafe { fetch(max_lock_owners) }?;
        if lock_mode.is_null() || (lock_owners.is_null() && places > 0) {
            return Err(Errno::EINVAL);
        }
        // SAFETY: so many places by the contract of librbd.h.
        unsafe { clear(lock_owners, places) };
        let owner = image.core.block_on(image.view.head().locks().owner())?;
        // SAFETY: a place by the contract of librbd.h.
        unsafe { put(lock_mode, EXCLUSIVE) }?;
        // SAFETY: `fetch` found it not null.
        unsafe { max_lock_owners.write(1) };
        if places == 0 {
            return Err(Errno::ERANGE);
        }
        // SAFETY: an array with at least one place.
        unsafe { put(lock_owners, duplicate(&owner.addr)) }
    })
}

pub unsafe extern "C" fn rbd_lock_get_owners_cleanup(lock_owners: *mut *mut c_char, lock_owner_count: usize) {
    if lock_owners.is_null() {
        return;
    }
    for place in 0..lock_owner_count {
        // SAFETY: so many texts from `duplicate` by the contract of librbd.h.
        unsafe { release(&mut *lock_owners.add(place)) };
    }
}

/// Fences the owner at this address off the cluster. ENOENT: nobody owns the image; EBUSY: somebody else does.
pub unsafe extern "C" fn rbd_lock_break(image: rbd_image_t, lock_mode: c_int, lock_owner: *const c_char) -> c_int {
    with_image(image, |image| {
        exclusive_only(lock_mode)?;
        // SAFETY: a string by the contract of librbd.h.
        let owner = unsafe { string(lock_owner) }?;
        image.core.block_on(image.view.head().locks().break_owner(&owner))?;
        Ok(0)
    })
}

/// Sizes are set to what is needed, also with ERANGE; gives the number of lockers.
pub unsafe extern "C" fn rbd_list_lockers(
    image: rbd_image_t,
    exclusive: *mut c_int,
    tag: *mut c_char,
    tag_len: *mut usize,
    clients: *mut c_char,
    clients_len: *mut usize,
    cookies: *mut c_char,
    cookies_len: *mut usize,
    addrs: *mut c_char,
    addrs_len: *mut usize,
) -> isize {
    with_image(image, |image| {
        let state = image.core.block_on(image.view.head().locks().holders())?;
        // SAFETY: a place by the contract of librbd.h.
        unsafe { put(exclusive, c_int::from(state.exclusive)) }?;
        let lockers = state.lockers.iter();
        // SAFETY: buffers of these sizes by the contract of librbd.h.
        let filled = unsafe {
            [
                put_sized_text(tag, tag_len, &state.tag),
                put_texts(clients, clients_len, lockers.clone().map(|locker| locker.client.as_str())),
                put_texts(cookies, cookies_len, lockers.clone().map(|locker| locker.cookie.as_str())),
                put_texts(addrs, addrs_len, lockers.map(|locker| locker.addr.as_str())),
            ]
        };
        // Every size is told before the first error is.
        filled.into_iter().collect::<Outcome<Vec<_>>>()?;
        Ok(state.lockers.len() as isize)
    })
}

pub unsafe extern "C" fn rbd_lock_exclusive(image: rbd_image_t, cookie: *const c_char) -> c_int {
    with_image(image, |image| {
        // SAFETY: a string by the contract of librbd.h.
        let cookie = unsafe { string(cookie) }?;
        image.core.block_on(image.view.head().locks().lock_advisory(&cookie, None))?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_lock_shared(image: rbd_image_t, cookie: *const c_char, tag: *const c_char) -> c_int {
    with_image(image, |image| {
        // SAFETY: strings by the contract of librbd.h.
        let (cookie, tag) = unsafe { (string(cookie)?, string(tag)?) };
        image.core.block_on(image.view.head().locks().lock_advisory(&cookie, Some(&tag)))?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_unlock(image: rbd_image_t, cookie: *const c_char) -> c_int {
    with_image(image, |image| {
        // SAFETY: a string by the contract of librbd.h.
        let cookie = unsafe { string(cookie) }?;
        image.core.block_on(image.view.head().locks().unlock_advisory(&cookie))?;
        Ok(0)
    })
}

/// EINVAL if `client` is no client's name; else its holder is fenced off the cluster and the lock is free.
pub unsafe extern "C" fn rbd_break_lock(image: rbd_image_t, client: *const c_char, cookie: *const c_char) -> c_int {
    with_image(image, |image| {
        // SAFETY: strings by the contract of librbd.h.
        let (client, cookie) = unsafe { (string(client)?, string(cookie)?) };
        let number = client.strip_prefix("client.").ok_or(Errno::EINVAL)?;
        number.parse::<u64>().map_err(|_| Errno::EINVAL)?;
        image.core.block_on(image.view.head().locks().break_advisory(&client, &cookie))?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_update_features(image: rbd_image_t, features: u64, enabled: u8) -> c_int {
    with_image(image, |image| {
        image.view.writable()?;
        image.core.block_on(image.view.head().update_features(features, enabled != 0))?;
        Ok(0)
    })
}
