//! Functions of a pool that go to the library that has what they name: an image, an entry of the trash, a group.
//!
//! Owns: which functions there are. Does not own: how it is found (`names.rs`).
use crate::api::{create, group_snap_info, group_snapshots, groups, migration, trash};
use crate::ffi::ctypes::{
    Progress, rados_ioctx_t, rbd_group_image_info_t, rbd_group_snap_info_t, rbd_group_snap_info2_t,
    rbd_trash_image_info_t,
};
use std::ffi::{c_char, c_int, c_void};

functions! {
    named fn create::rbd_remove(io: rados_ioctx_t, image_name: *const c_char) -> c_int;
    named fn create::rbd_remove_with_progress(
        io: rados_ioctx_t, image_name: *const c_char, cb: Progress, cbdata: *mut c_void
    ) -> c_int;

    grouped fn group_snap_info::rbd_group_snap_list2(
        group_p: rados_ioctx_t, group_name: *const c_char, snaps: *mut rbd_group_snap_info2_t, num_entries: *mut usize
    ) -> c_int;
    grouped fn group_snap_info::rbd_group_snap_get_info(
        group_p: rados_ioctx_t, group_name: *const c_char, snap_name: *const c_char,
        group_snap: *mut rbd_group_snap_info2_t
    ) -> c_int;

    grouped fn group_snapshots::rbd_group_snap_create(
        group_p: rados_ioctx_t, group_name: *const c_char, snap_name: *const c_char
    ) -> c_int;
    grouped fn group_snapshots::rbd_group_snap_create2(
        group_p: rados_ioctx_t, group_name: *const c_char, snap_name: *const c_char, flags: u32
    ) -> c_int;
    grouped fn group_snapshots::rbd_group_snap_remove(
        group_p: rados_ioctx_t, group_name: *const c_char, snap_name: *const c_char
    ) -> c_int;
    grouped fn group_snapshots::rbd_group_snap_rename(
        group_p: rados_ioctx_t, group_name: *const c_char, old_snap_name: *const c_char, new_snap_name: *const c_char
    ) -> c_int;
    grouped fn group_snapshots::rbd_group_snap_list(
        group_p: rados_ioctx_t, group_name: *const c_char, snaps: *mut rbd_group_snap_info_t,
        group_snap_info_size: usize, num_entries: *mut usize
    ) -> c_int;
    grouped fn group_snapshots::rbd_group_snap_rollback(
        group_p: rados_ioctx_t, group_name: *const c_char, snap_name: *const c_char
    ) -> c_int;
    grouped fn group_snapshots::rbd_group_snap_rollback_with_progress(
        group_p: rados_ioctx_t, group_name: *const c_char, snap_name: *const c_char, cb: Progress, cbdata: *mut c_void
    ) -> c_int;

    grouped fn groups::rbd_group_remove(p: rados_ioctx_t, name: *const c_char) -> c_int;
    grouped fn groups::rbd_group_get_id(
        p: rados_ioctx_t, group_name: *const c_char, group_id: *mut c_char, size: *mut usize
    ) -> c_int;
    grouped fn groups::rbd_group_image_remove(
        group_p: rados_ioctx_t, group_name: *const c_char, image_p: rados_ioctx_t, image_name: *const c_char
    ) -> c_int;
    grouped fn groups::rbd_group_image_remove_by_id(
        group_p: rados_ioctx_t, group_name: *const c_char, image_p: rados_ioctx_t, image_id: *const c_char
    ) -> c_int;
    grouped fn groups::rbd_group_image_list(
        group_p: rados_ioctx_t, group_name: *const c_char, images: *mut rbd_group_image_info_t,
        group_image_info_size: usize, num_entries: *mut usize
    ) -> c_int;

    named fn trash::rbd_trash_move(io: rados_ioctx_t, name: *const c_char, delay: u64) -> c_int;
    trashed fn trash::rbd_trash_get(
        io: rados_ioctx_t, id: *const c_char, info_to_fill: *mut rbd_trash_image_info_t
    ) -> c_int;
    trashed fn trash::rbd_trash_remove(io: rados_ioctx_t, id: *const c_char, force: bool) -> c_int;
    trashed fn trash::rbd_trash_remove_with_progress(
        io: rados_ioctx_t, id: *const c_char, force: bool, cb: Progress, cbdata: *mut c_void
    ) -> c_int;

    named fn migration::rbd_migration_execute(ioctx: rados_ioctx_t, image_name: *const c_char) -> c_int;
    named fn migration::rbd_migration_execute_with_progress(
        ioctx: rados_ioctx_t, image_name: *const c_char, cb: Progress, cbdata: *mut c_void
    ) -> c_int;
    named fn migration::rbd_migration_abort(ioctx: rados_ioctx_t, image_name: *const c_char) -> c_int;
    named fn migration::rbd_migration_abort_with_progress(
        ioctx: rados_ioctx_t, image_name: *const c_char, cb: Progress, cbdata: *mut c_void
    ) -> c_int;
    named fn migration::rbd_migration_commit(ioctx: rados_ioctx_t, image_name: *const c_char) -> c_int;
    named fn migration::rbd_migration_commit_with_progress(
        ioctx: rados_ioctx_t, image_name: *const c_char, cb: Progress, cbdata: *mut c_void
    ) -> c_int;
    named fn migration::rbd_migration_status(
        ioctx: rados_ioctx_t, image_name: *const c_char, status: *mut c_void, status_size: usize
    ) -> c_int;
    own fn migration::rbd_migration_status_cleanup(status: *mut c_void);
}
