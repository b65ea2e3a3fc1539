//! Functions that are this library's own whatever kind of image there is: completions, image options, and giving back lists.
//!
//! Both libraries give lists in memory of malloc(), a string a piece, so either can give them back.
//!
//! Owns: which functions there are. Does not own: what they do (layer `api`).
use crate::api::{
    children, completion, config, features, group_snap_info, group_snapshots, groups, list, locks, only_cxx, options,
    pool, snap_trash, snapshots, trash, version, watch,
};
use crate::ffi::ctypes::{
    rados_ioctx_t, rbd_callback_t, rbd_child_info_t, rbd_completion_t, rbd_config_option_t, rbd_group_image_info_t,
    rbd_group_info_t, rbd_group_snap_info_t, rbd_group_snap_info2_t, rbd_image_options_t, rbd_image_spec_t,
    rbd_image_watcher_t, rbd_linked_image_spec_t, rbd_pool_stats_t, rbd_snap_group_namespace_t, rbd_snap_info_t,
    rbd_snap_spec_t, rbd_snap_trash_namespace_t, rbd_trash_image_info_t,
};
use std::ffi::{c_char, c_int, c_void};

functions! {
    own fn children::rbd_list_child_cleanup(child: *mut rbd_child_info_t);
    own fn children::rbd_list_children_cleanup(children: *mut rbd_child_info_t, num_children: usize);

    own fn completion::rbd_aio_create_completion(
        cb_arg: *mut c_void, complete_cb: Option<rbd_callback_t>, c: *mut rbd_completion_t
    ) -> c_int;
    own fn completion::rbd_aio_is_complete(c: rbd_completion_t) -> c_int;
    own fn completion::rbd_aio_wait_for_complete(c: rbd_completion_t) -> c_int;
    own fn completion::rbd_aio_get_return_value(c: rbd_completion_t) -> isize;
    own fn completion::rbd_aio_get_arg(c: rbd_completion_t) -> *mut c_void;
    own fn completion::rbd_aio_release(c: rbd_completion_t);

    own fn config::rbd_config_pool_list(
        io_ctx: rados_ioctx_t, options: *mut rbd_config_option_t, max_options: *mut c_int
    ) -> c_int;
    own fn config::rbd_config_pool_list_cleanup(options: *mut rbd_config_option_t, max_options: c_int);
    own fn config::rbd_config_image_list_cleanup(options: *mut rbd_config_option_t, max_options: c_int);

    own fn features::rbd_features_to_string(features: u64, str_features: *mut c_char, size: *mut usize) -> c_int;
    own fn features::rbd_features_from_string(str_features: *const c_char, features: *mut u64) -> c_int;

    own fn group_snap_info::rbd_group_snap_list2_cleanup(snaps: *mut rbd_group_snap_info2_t, num_entries: usize);
    own fn group_snap_info::rbd_group_snap_get_info_cleanup(group_snap: *mut rbd_group_snap_info2_t);

    own fn group_snapshots::rbd_group_snap_list_cleanup(
        snaps: *mut rbd_group_snap_info_t, group_snap_info_size: usize, num_entries: usize
    ) -> c_int;
    own fn group_snapshots::rbd_snap_group_namespace_cleanup(
        group_snap: *mut rbd_snap_group_namespace_t, group_snap_size: usize
    ) -> c_int;

    own fn groups::rbd_group_image_list_cleanup(
        images: *mut rbd_group_image_info_t, group_image_info_size: usize, num_entries: usize
    ) -> c_int;
    own fn groups::rbd_group_info_cleanup(group_info: *mut rbd_group_info_t, group_info_size: usize) -> c_int;

    own fn list::rbd_image_spec_cleanup(image: *mut rbd_image_spec_t);
    own fn list::rbd_image_spec_list_cleanup(images: *mut rbd_image_spec_t, num_images: usize);
    own fn list::rbd_linked_image_spec_cleanup(image: *mut rbd_linked_image_spec_t);
    own fn list::rbd_linked_image_spec_list_cleanup(images: *mut rbd_linked_image_spec_t, num_images: usize);
    own fn list::rbd_snap_spec_cleanup(snap: *mut rbd_snap_spec_t);

    own fn locks::rbd_lock_get_owners_cleanup(lock_owners: *mut *mut c_char, lock_owner_count: usize);

    own fn options::rbd_image_options_create(opts: *mut rbd_image_options_t);
    own fn options::rbd_image_options_destroy(opts: rbd_image_options_t);
    own fn options::rbd_image_options_set_string(
        opts: rbd_image_options_t, optname: c_int, optval: *const c_char
    ) -> c_int;
    own fn options::rbd_image_options_set_uint64(opts: rbd_image_options_t, optname: c_int, optval: u64) -> c_int;
    own fn options::rbd_image_options_get_string(
        opts: rbd_image_options_t, optname: c_int, optval: *mut c_char, maxlen: usize
    ) -> c_int;
    own fn options::rbd_image_options_get_uint64(opts: rbd_image_options_t, optname: c_int, optval: *mut u64) -> c_int;
    own fn options::rbd_image_options_is_set(opts: rbd_image_options_t, optname: c_int, is_set: *mut bool) -> c_int;
    own fn options::rbd_image_options_unset(opts: rbd_image_options_t, optname: c_int) -> c_int;
    own fn options::rbd_image_options_clear(opts: rbd_image_options_t);
    own fn options::rbd_image_options_is_empty(opts: rbd_image_options_t) -> c_int;

    own fn only_cxx::lsd_image_options_share(
        opts: rbd_image_options_t, shared: *mut rbd_image_options_t
    ) -> c_int;

    own fn pool::rbd_pool_init(io: rados_ioctx_t, force: bool) -> c_int;
    own fn pool::rbd_pool_stats_create(stats: *mut rbd_pool_stats_t);
    own fn pool::rbd_pool_stats_destroy(stats: rbd_pool_stats_t);
    own fn pool::rbd_pool_stats_option_add_uint64(
        stats: rbd_pool_stats_t, stat_option: c_int, stat_val: *mut u64
    ) -> c_int;

    own fn snap_trash::rbd_snap_trash_namespace_cleanup(
        trash_snap: *mut rbd_snap_trash_namespace_t, trash_snap_size: usize
    ) -> c_int;

    own fn snapshots::rbd_snap_list_end(snaps: *mut rbd_snap_info_t);

    own fn trash::rbd_trash_get_cleanup(info: *mut rbd_trash_image_info_t);
    own fn trash::rbd_trash_list_cleanup(entries: *mut rbd_trash_image_info_t, num_entries: usize);

    own fn version::rbd_version(major: *mut c_int, minor: *mut c_int, extra: *mut c_int);

    own fn watch::rbd_watchers_list_cleanup(watchers: *mut rbd_image_watcher_t, num_watchers: usize);
}
