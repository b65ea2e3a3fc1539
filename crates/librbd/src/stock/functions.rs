//! Functions of the stock library that have no handle of an image of its, or are asked for by hand.
//!
//! Owns: their prototypes. Does not own: when they are called (layer `face`); those that a table of `face` only passes on, which
//! are looked up there.
use crate::ffi::ctypes::{
    Progress, rados_ioctx_t, rbd_callback_t, rbd_completion_t, rbd_image_options_t, rbd_image_spec_t, rbd_image_t,
    rbd_pool_stats_t, rbd_trash_image_info_t,
};
use crate::ffi::errno::CReturn;
use crate::stock::symbol::Symbol;
use nix::libc::time_t;
use std::ffi::{c_char, c_int, c_void};

macro_rules! stock_functions {
    ($(fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        /// The stock library's; -EOPNOTSUPP if it has none.
        ///
        /// # Safety
        /// The contract of librbd.h, with handles of the stock library.
        pub unsafe extern "C" fn $name($($argument: $type),*) $(-> $result)? {
            static STOCK: Symbol<unsafe extern "C" fn($($type),*) $(-> $result)?> =
                Symbol::new(concat!(stringify!($name), "\0"));
            match STOCK.get() {
                // SAFETY: the same contract.
                Ok(function) => unsafe { function($($argument),*) },
                Err(errno) => CReturn::from_errno(errno),
            }
        }
    )*};
}

stock_functions! {
    fn rbd_aio_close(image: rbd_image_t, c: rbd_completion_t) -> c_int;
    fn rbd_aio_create_completion(
        cb_arg: *mut c_void, complete_cb: Option<rbd_callback_t>, c: *mut rbd_completion_t
    ) -> c_int;
    fn rbd_aio_get_return_value(c: rbd_completion_t) -> isize;
    fn rbd_aio_release(c: rbd_completion_t);
    fn rbd_clone(
        p_ioctx: rados_ioctx_t, p_name: *const c_char, p_snapname: *const c_char, c_ioctx: rados_ioctx_t,
        c_name: *const c_char, features: u64, c_order: *mut c_int
    ) -> c_int;
    fn rbd_clone2(
        p_ioctx: rados_ioctx_t, p_name: *const c_char, p_snapname: *const c_char, c_ioctx: rados_ioctx_t,
        c_name: *const c_char, features: u64, c_order: *mut c_int, stripe_unit: u64, stripe_count: c_int
    ) -> c_int;
    fn rbd_clone3(
        p_ioctx: rados_ioctx_t, p_name: *const c_char, p_snapname: *const c_char, c_ioctx: rados_ioctx_t,
        c_name: *const c_char, c_opts: rbd_image_options_t
    ) -> c_int;
    fn rbd_clone4(
        p_ioctx: rados_ioctx_t, p_name: *const c_char, p_snap_id: u64, c_ioctx: rados_ioctx_t,
        c_name: *const c_char, c_opts: rbd_image_options_t
    ) -> c_int;
    fn rbd_close(image: rbd_image_t) -> c_int;
    fn rbd_copy_with_progress(
        image: rbd_image_t, dest_p: rados_ioctx_t, destname: *const c_char, cb: Progress, cbdata: *mut c_void
    ) -> c_int;
    fn rbd_copy_with_progress2(src: rbd_image_t, dest: rbd_image_t, cb: Progress, cbdata: *mut c_void) -> c_int;
    fn rbd_copy_with_progress4(
        image: rbd_image_t, dest_p: rados_ioctx_t, destname: *const c_char, dest_opts: rbd_image_options_t,
        cb: Progress, cbdata: *mut c_void, sparse_size: usize
    ) -> c_int;
    fn rbd_create(io: rados_ioctx_t, image_name: *const c_char, size: u64, order: *mut c_int) -> c_int;
    fn rbd_create2(io: rados_ioctx_t, image_name: *const c_char, size: u64, features: u64, order: *mut c_int) -> c_int;
    fn rbd_create3(
        io: rados_ioctx_t, image_name: *const c_char, size: u64, features: u64, order: *mut c_int, stripe_unit: u64,
        stripe_count: u64
    ) -> c_int;
    fn rbd_create4(io: rados_ioctx_t, image_name: *const c_char, size: u64, opts: rbd_image_options_t) -> c_int;
    fn rbd_deep_copy_with_progress(
        image: rbd_image_t, dest_io_ctx: rados_ioctx_t, destname: *const c_char, dest_opts: rbd_image_options_t,
        cb: Progress, cbdata: *mut c_void
    ) -> c_int;
    fn rbd_group_create(p: rados_ioctx_t, name: *const c_char) -> c_int;
    fn rbd_group_image_add(
        group_p: rados_ioctx_t, group_name: *const c_char, image_p: rados_ioctx_t, image_name: *const c_char
    ) -> c_int;
    fn rbd_group_list(p: rados_ioctx_t, names: *mut c_char, size: *mut usize) -> c_int;
    fn rbd_group_rename(p: rados_ioctx_t, src_name: *const c_char, dest_name: *const c_char) -> c_int;
    fn rbd_image_options_create(opts: *mut rbd_image_options_t);
    fn rbd_image_options_destroy(opts: rbd_image_options_t);
    fn rbd_image_options_get_uint64(opts: rbd_image_options_t, optname: c_int, optval: *mut u64) -> c_int;
    fn rbd_image_options_set_string(opts: rbd_image_options_t, optname: c_int, optval: *const c_char) -> c_int;
    fn rbd_image_options_set_uint64(opts: rbd_image_options_t, optname: c_int, optval: u64) -> c_int;
    fn rbd_list(io: rados_ioctx_t, names: *mut c_char, size: *mut usize) -> c_int;
    fn rbd_list2(io: rados_ioctx_t, specs: *mut rbd_image_spec_t, max_images: *mut usize) -> c_int;
    fn rbd_migration_prepare(
        ioctx: rados_ioctx_t, image_name: *const c_char, dest_ioctx: rados_ioctx_t, dest_image_name: *const c_char,
        opts: rbd_image_options_t
    ) -> c_int;
    fn rbd_migration_prepare_import(
        source_spec: *const c_char, dest_ioctx: rados_ioctx_t, dest_image_name: *const c_char, opts: rbd_image_options_t
    ) -> c_int;
    fn rbd_namespace_create(io: rados_ioctx_t, namespace_name: *const c_char) -> c_int;
    fn rbd_namespace_list(io: rados_ioctx_t, namespace_names: *mut c_char, size: *mut usize) -> c_int;
    fn rbd_namespace_remove(io: rados_ioctx_t, namespace_name: *const c_char) -> c_int;
    fn rbd_open(io: rados_ioctx_t, which: *const c_char, image: *mut rbd_image_t, snap_name: *const c_char) -> c_int;
    fn rbd_open_by_id(
        io: rados_ioctx_t, which: *const c_char, image: *mut rbd_image_t, snap_name: *const c_char
    ) -> c_int;
    fn rbd_open_by_id_read_only(
        io: rados_ioctx_t, which: *const c_char, image: *mut rbd_image_t, snap_name: *const c_char
    ) -> c_int;
    fn rbd_open_read_only(
        io: rados_ioctx_t, which: *const c_char, image: *mut rbd_image_t, snap_name: *const c_char
    ) -> c_int;
    fn rbd_pool_metadata_get(
        io_ctx: rados_ioctx_t, key: *const c_char, value: *mut c_char, val_len: *mut usize
    ) -> c_int;
    fn rbd_pool_metadata_list(
        io_ctx: rados_ioctx_t, start: *const c_char, max: u64, keys: *mut c_char, key_len: *mut usize,
        values: *mut c_char, vals_len: *mut usize
    ) -> c_int;
    fn rbd_pool_metadata_remove(io_ctx: rados_ioctx_t, key: *const c_char) -> c_int;
    fn rbd_pool_metadata_set(io_ctx: rados_ioctx_t, key: *const c_char, value: *const c_char) -> c_int;
    fn rbd_pool_stats_create(stats: *mut rbd_pool_stats_t);
    fn rbd_pool_stats_destroy(stats: rbd_pool_stats_t);
    fn rbd_pool_stats_get(io: rados_ioctx_t, stats: rbd_pool_stats_t) -> c_int;
    fn rbd_pool_stats_option_add_uint64(stats: rbd_pool_stats_t, stat_option: c_int, stat_val: *mut u64) -> c_int;
    fn rbd_rename(src_io_ctx: rados_ioctx_t, srcname: *const c_char, destname: *const c_char) -> c_int;
    fn rbd_trash_get(io: rados_ioctx_t, id: *const c_char, info_to_fill: *mut rbd_trash_image_info_t) -> c_int;
    fn rbd_trash_list(io: rados_ioctx_t, entries: *mut rbd_trash_image_info_t, num_entries: *mut usize) -> c_int;
    fn rbd_trash_purge_with_progress(
        io: rados_ioctx_t, expire_ts: time_t, threshold: f32, cb: Progress, cbdata: *mut c_void
    ) -> c_int;
    fn rbd_trash_restore(io: rados_ioctx_t, id: *const c_char, name: *const c_char) -> c_int;
}
