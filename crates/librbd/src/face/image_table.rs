//! What an image says of itself and is told to do, but for its data, snapshots and locks.
//!
//! Owns: which functions there are. Does not own: who does them (`macros.rs`).
use crate::api::{
    children, clone, config, create, groups, info, metadata, migration, only_cxx, parent, quiesce, unsupported, upkeep,
    watch,
};
use crate::ffi::ctypes::{
    Progress, Update, rbd_child_info_t, rbd_config_option_t, rbd_group_info_t, rbd_image_info_t, rbd_image_t,
    rbd_image_watcher_t, rbd_linked_image_spec_t, rbd_snap_spec_t,
};
use nix::libc::timespec;
use std::ffi::{c_char, c_int, c_void};

functions! {
    image fn children::rbd_list_children(
        image: rbd_image_t, pools: *mut c_char, pools_len: *mut usize, images: *mut c_char, images_len: *mut usize
    ) -> isize;
    image fn children::rbd_list_children2(
        image: rbd_image_t, children: *mut rbd_child_info_t, max_children: *mut c_int
    ) -> c_int;
    image fn children::rbd_list_children3(
        image: rbd_image_t, images: *mut rbd_linked_image_spec_t, max_images: *mut usize
    ) -> c_int;
    image fn children::rbd_list_descendants(
        image: rbd_image_t, images: *mut rbd_linked_image_spec_t, max_images: *mut usize
    ) -> c_int;

    image fn clone::rbd_flatten(image: rbd_image_t) -> c_int;
    image fn clone::rbd_flatten_with_progress(image: rbd_image_t, cb: Progress, cbdata: *mut c_void) -> c_int;

    image fn config::rbd_config_image_list(
        image: rbd_image_t, options: *mut rbd_config_option_t, max_options: *mut c_int
    ) -> c_int;

    image fn create::rbd_resize(image: rbd_image_t, size: u64) -> c_int;
    image fn create::rbd_resize2(
        image: rbd_image_t, size: u64, allow_shrink: bool, cb: Progress, cbdata: *mut c_void
    ) -> c_int;
    image fn create::rbd_resize_with_progress(
        image: rbd_image_t, size: u64, cb: Progress, cbdata: *mut c_void
    ) -> c_int;

    image fn groups::rbd_get_group(
        image: rbd_image_t, group_info: *mut rbd_group_info_t, group_info_size: usize
    ) -> c_int;

    image fn info::rbd_stat(image: rbd_image_t, info: *mut rbd_image_info_t, infosize: usize) -> c_int;
    image fn info::rbd_get_flags(image: rbd_image_t, flags: *mut u64) -> c_int;
    image fn info::rbd_get_size(image: rbd_image_t, size: *mut u64) -> c_int;
    image fn info::rbd_get_name(image: rbd_image_t, name: *mut c_char, name_len: *mut usize) -> c_int;
    image fn info::rbd_get_id(image: rbd_image_t, id: *mut c_char, id_len: usize) -> c_int;
    image fn info::rbd_get_block_name_prefix(image: rbd_image_t, prefix: *mut c_char, prefix_len: usize) -> c_int;
    image fn info::rbd_get_data_pool_id(image: rbd_image_t) -> i64;
    image fn info::rbd_get_old_format(image: rbd_image_t, place: *mut u8) -> c_int;
    image fn info::rbd_get_features(image: rbd_image_t, place: *mut u64) -> c_int;
    image fn info::rbd_get_op_features(image: rbd_image_t, place: *mut u64) -> c_int;
    image fn info::rbd_get_stripe_unit(image: rbd_image_t, place: *mut u64) -> c_int;
    image fn info::rbd_get_stripe_count(image: rbd_image_t, place: *mut u64) -> c_int;
    image fn info::rbd_get_create_timestamp(image: rbd_image_t, place: *mut timespec) -> c_int;
    image fn info::rbd_get_access_timestamp(image: rbd_image_t, place: *mut timespec) -> c_int;
    image fn info::rbd_get_modify_timestamp(image: rbd_image_t, place: *mut timespec) -> c_int;

    image fn metadata::rbd_metadata_get(
        image: rbd_image_t, key: *const c_char, value: *mut c_char, val_len: *mut usize
    ) -> c_int;
    image fn metadata::rbd_metadata_set(image: rbd_image_t, key: *const c_char, value: *const c_char) -> c_int;
    image fn metadata::rbd_metadata_remove(image: rbd_image_t, key: *const c_char) -> c_int;
    image fn metadata::rbd_metadata_list(
        image: rbd_image_t, start: *const c_char, max: u64, keys: *mut c_char, key_len: *mut usize,
        values: *mut c_char, vals_len: *mut usize
    ) -> c_int;

    image fn parent::rbd_get_overlap(image: rbd_image_t, overlap: *mut u64) -> c_int;
    image fn parent::rbd_get_parent(
        image: rbd_image_t, parent_image: *mut rbd_linked_image_spec_t, parent_snap: *mut rbd_snap_spec_t
    ) -> c_int;
    image fn parent::rbd_get_parent_info(
        image: rbd_image_t, parent_poolname: *mut c_char, ppoolnamelen: usize, parent_name: *mut c_char,
        pnamelen: usize, parent_snapname: *mut c_char, psnapnamelen: usize
    ) -> c_int;
    image fn parent::rbd_get_parent_info2(
        image: rbd_image_t, parent_poolname: *mut c_char, ppoolnamelen: usize, parent_name: *mut c_char,
        pnamelen: usize, parent_id: *mut c_char, pidlen: usize, parent_snapname: *mut c_char, psnapnamelen: usize
    ) -> c_int;

    image fn quiesce::rbd_quiesce_complete(image: rbd_image_t, handle: u64, r: c_int);
    image fn migration::rbd_get_migration_source_spec(
        image: rbd_image_t, source_spec: *mut c_char, max_len: *mut usize
    ) -> c_int;
    image fn unsupported::rbd_encryption_format(
        image: rbd_image_t, format: c_int, opts: *mut c_void, opts_size: usize
    ) -> c_int;
    image fn unsupported::rbd_encryption_load(
        image: rbd_image_t, format: c_int, opts: *mut c_void, opts_size: usize
    ) -> c_int;
    image fn unsupported::rbd_encryption_load2(image: rbd_image_t, specs: *const c_void, spec_count: usize) -> c_int;
    image fn quiesce::rbd_quiesce_watch(
        image: rbd_image_t, quiesce_cb: Update, unquiesce_cb: Update, arg: *mut c_void, handle: *mut u64
    ) -> c_int;
    image fn quiesce::rbd_quiesce_unwatch(image: rbd_image_t, handle: u64) -> c_int;

    image fn upkeep::rbd_sparsify(image: rbd_image_t, sparse_size: usize) -> c_int;
    image fn upkeep::rbd_sparsify_with_progress(
        image: rbd_image_t, sparse_size: usize, cb: Progress, cbdata: *mut c_void
    ) -> c_int;
    image fn only_cxx::lsd_check_object_map(image: rbd_image_t, cb: Progress, cbdata: *mut c_void) -> c_int;
    image fn upkeep::rbd_rebuild_object_map(image: rbd_image_t, cb: Progress, cbdata: *mut c_void) -> c_int;

    image fn watch::rbd_watchers_list(
        image: rbd_image_t, watchers: *mut rbd_image_watcher_t, max_watchers: *mut usize
    ) -> c_int;
    image fn watch::rbd_update_watch(image: rbd_image_t, handle: *mut u64, watch_cb: Update, arg: *mut c_void) -> c_int;
    image fn watch::rbd_update_unwatch(image: rbd_image_t, handle: u64) -> c_int;
}
