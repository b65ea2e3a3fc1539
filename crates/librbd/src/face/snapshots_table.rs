//! Snapshots and locks of an image.
//!
//! Owns: which functions there are. Does not own: who does them (`macros.rs`).
use crate::api::{group_snapshots, locks, snap_trash, snapshots};
use crate::ffi::ctypes::{
    Progress, rbd_image_t, rbd_snap_group_namespace_t, rbd_snap_info_t, rbd_snap_trash_namespace_t,
};
use nix::libc::timespec;
use std::ffi::{c_char, c_int, c_void};

functions! {
    image fn group_snapshots::rbd_snap_get_group_namespace(
        image: rbd_image_t, snap_id: u64, group_snap: *mut rbd_snap_group_namespace_t, group_snap_size: usize
    ) -> c_int;

    image fn locks::rbd_is_exclusive_lock_owner(image: rbd_image_t, is_owner: *mut c_int) -> c_int;
    image fn locks::rbd_lock_acquire(image: rbd_image_t, lock_mode: c_int) -> c_int;
    image fn locks::rbd_lock_release(image: rbd_image_t) -> c_int;
    image fn locks::rbd_lock_get_owners(
        image: rbd_image_t, lock_mode: *mut c_int, lock_owners: *mut *mut c_char, max_lock_owners: *mut usize
    ) -> c_int;
    image fn locks::rbd_lock_break(image: rbd_image_t, lock_mode: c_int, lock_owner: *const c_char) -> c_int;
    image fn locks::rbd_list_lockers(
        image: rbd_image_t, exclusive: *mut c_int, tag: *mut c_char, tag_len: *mut usize, clients: *mut c_char,
        clients_len: *mut usize, cookies: *mut c_char, cookies_len: *mut usize, addrs: *mut c_char,
        addrs_len: *mut usize
    ) -> isize;
    image fn locks::rbd_lock_exclusive(image: rbd_image_t, cookie: *const c_char) -> c_int;
    image fn locks::rbd_lock_shared(image: rbd_image_t, cookie: *const c_char, tag: *const c_char) -> c_int;
    image fn locks::rbd_unlock(image: rbd_image_t, cookie: *const c_char) -> c_int;
    image fn locks::rbd_break_lock(image: rbd_image_t, client: *const c_char, cookie: *const c_char) -> c_int;
    image fn locks::rbd_update_features(image: rbd_image_t, features: u64, enabled: u8) -> c_int;

    image fn snap_trash::rbd_snap_get_trash_namespace(
        image: rbd_image_t, snap_id: u64, original: *mut c_char, max_length: usize
    ) -> c_int;
    image fn snap_trash::rbd_snap_get_trash_namespace2(
        image: rbd_image_t, snap_id: u64, trash_snap: *mut rbd_snap_trash_namespace_t, trash_snap_size: usize
    ) -> c_int;

    image fn snapshots::rbd_snap_list(image: rbd_image_t, snaps: *mut rbd_snap_info_t, max_snaps: *mut c_int) -> c_int;
    image fn snapshots::rbd_snap_exists(image: rbd_image_t, snapname: *const c_char, exists: *mut bool) -> c_int;
    image fn snapshots::rbd_snap_create(image: rbd_image_t, snapname: *const c_char) -> c_int;
    image fn snapshots::rbd_snap_create2(
        image: rbd_image_t, snap_name: *const c_char, flags: u32, cb: Progress, cbdata: *mut c_void
    ) -> c_int;
    image fn snapshots::rbd_snap_remove(image: rbd_image_t, snapname: *const c_char) -> c_int;
    image fn snapshots::rbd_snap_remove2(
        image: rbd_image_t, snap_name: *const c_char, flags: u32, cb: Progress, cbdata: *mut c_void
    ) -> c_int;
    image fn snapshots::rbd_snap_remove_by_id(image: rbd_image_t, snap_id: u64) -> c_int;
    image fn snapshots::rbd_snap_rename(
        image: rbd_image_t, snapname: *const c_char, dstsnapsname: *const c_char
    ) -> c_int;
    image fn snapshots::rbd_snap_protect(image: rbd_image_t, snap_name: *const c_char) -> c_int;
    image fn snapshots::rbd_snap_unprotect(image: rbd_image_t, snap_name: *const c_char) -> c_int;
    image fn snapshots::rbd_snap_is_protected(
        image: rbd_image_t, snap_name: *const c_char, is_protected: *mut c_int
    ) -> c_int;
    image fn snapshots::rbd_snap_rollback(image: rbd_image_t, snapname: *const c_char) -> c_int;
    image fn snapshots::rbd_snap_rollback_with_progress(
        image: rbd_image_t, snapname: *const c_char, cb: Progress, cbdata: *mut c_void
    ) -> c_int;
    image fn snapshots::rbd_snap_get_limit(image: rbd_image_t, limit: *mut u64) -> c_int;
    image fn snapshots::rbd_snap_set_limit(image: rbd_image_t, limit: u64) -> c_int;
    image fn snapshots::rbd_snap_set(image: rbd_image_t, snapname: *const c_char) -> c_int;
    image fn snapshots::rbd_snap_set_by_id(image: rbd_image_t, snap_id: u64) -> c_int;
    image fn snapshots::rbd_snap_get_id(image: rbd_image_t, snapname: *const c_char, snap_id: *mut u64) -> c_int;
    image fn snapshots::rbd_snap_get_name(
        image: rbd_image_t, snap_id: u64, snapname: *mut c_char, name_len: *mut usize
    ) -> c_int;
    image fn snapshots::rbd_snap_get_timestamp(image: rbd_image_t, snap_id: u64, timestamp: *mut timespec) -> c_int;
    image fn snapshots::rbd_snap_get_namespace_type(
        image: rbd_image_t, snap_id: u64, namespace_type: *mut c_int
    ) -> c_int;
}
