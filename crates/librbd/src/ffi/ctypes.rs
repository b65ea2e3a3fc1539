//! The types of `rbd/librbd.h` that the functions here take, laid out as in C. A test compares them with the header.
#![expect(non_camel_case_types, reason = "named as in librbd.h")]
use nix::libc::time_t;
use std::ffi::{c_char, c_int, c_void};

pub type rados_t = *mut c_void;
pub type rados_ioctx_t = *mut c_void;
pub type rbd_image_t = *mut c_void;
pub type rbd_image_options_t = *mut c_void;
pub type rbd_pool_stats_t = *mut c_void;
pub type rbd_completion_t = *mut c_void;
pub type rbd_callback_t = unsafe extern "C" fn(rbd_completion_t, *mut c_void);
pub type librbd_progress_fn_t = unsafe extern "C" fn(u64, u64, *mut c_void) -> c_int;
pub type rbd_update_callback_t = unsafe extern "C" fn(*mut c_void);
/// As arguments, where null is nobody.
pub type Progress = Option<librbd_progress_fn_t>;
pub type Update = Option<rbd_update_callback_t>;

pub const RBD_MAX_BLOCK_NAME_SIZE: usize = 24;
pub const RBD_MAX_IMAGE_NAME_SIZE: usize = 96;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_trash_image_info_t {
    pub id: *mut c_char,
    pub name: *mut c_char,
    /// An enum in C.
    pub source: c_int,
    /// Seconds since 1970.
    pub deletion_time: time_t,
    pub deferment_end_time: time_t,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_image_info_t {
    pub size: u64,
    pub obj_size: u64,
    pub num_objs: u64,
    pub order: c_int,
    pub block_name_prefix: [c_char; RBD_MAX_BLOCK_NAME_SIZE],
    pub parent_pool: i64,
    pub parent_name: [c_char; RBD_MAX_IMAGE_NAME_SIZE],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_image_spec_t {
    pub id: *mut c_char,
    pub name: *mut c_char,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_linked_image_spec_t {
    pub pool_id: i64,
    pub pool_name: *mut c_char,
    pub pool_namespace: *mut c_char,
    pub image_id: *mut c_char,
    pub image_name: *mut c_char,
    pub trash: bool,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_child_info_t {
    pub pool_name: *mut c_char,
    pub image_name: *mut c_char,
    pub image_id: *mut c_char,
    pub trash: bool,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_snap_trash_namespace_t {
    /// An enum in C.
    pub original_namespace_type: c_int,
    pub original_name: *mut c_char,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_snap_spec_t {
    pub id: u64,
    pub namespace_type: c_int,
    pub name: *mut c_char,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_snap_info_t {
    pub id: u64,
    pub size: u64,
    pub name: *const c_char,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_group_info_t {
    pub name: *mut c_char,
    pub pool: i64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_mirror_image_info_t {
    pub global_id: *mut c_char,
    pub state: c_int,
    pub primary: bool,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_group_image_info_t {
    pub name: *mut c_char,
    pub pool: i64,
    /// An enum in C.
    pub state: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_group_snap_info_t {
    pub name: *mut c_char,
    /// An enum in C.
    pub state: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_snap_group_namespace_t {
    pub group_pool: i64,
    pub group_name: *mut c_char,
    pub group_snap_name: *mut c_char,
}

/// Of Ceph 20, as the two that follow.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_group_image_snap_info_t {
    pub image_name: *mut c_char,
    pub pool_id: i64,
    pub snap_id: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_group_snap_info2_t {
    pub id: *mut c_char,
    pub name: *mut c_char,
    pub image_snap_name: *mut c_char,
    /// Enums in C.
    pub state: c_int,
    pub namespace_type: c_int,
    pub image_snaps_count: usize,
    pub image_snaps: *mut rbd_group_image_snap_info_t,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_image_watcher_t {
    pub addr: *mut c_char,
    pub id: i64,
    pub cookie: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_config_option_t {
    pub name: *mut c_char,
    pub value: *mut c_char,
    /// An enum in C.
    pub source: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rbd_image_migration_status_t {
    pub source_pool_id: i64,
    pub source_pool_namespace: *mut c_char,
    pub source_image_name: *mut c_char,
    pub source_image_id: *mut c_char,
    pub dest_pool_id: i64,
    pub dest_pool_namespace: *mut c_char,
    pub dest_image_name: *mut c_char,
    pub dest_image_id: *mut c_char,
    /// An enum in C.
    pub state: c_int,
    pub state_description: *mut c_char,
}

/// The numbers of `tests/programs/capi_layout.c`, which compares them with the header.
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<rbd_image_info_t>() == 160 && offset_of!(rbd_image_info_t, order) == 24);
    assert!(offset_of!(rbd_image_info_t, block_name_prefix) == 28 && offset_of!(rbd_image_info_t, parent_pool) == 56);
    assert!(offset_of!(rbd_image_info_t, parent_name) == 64);
    assert!(size_of::<rbd_image_spec_t>() == 16);
    assert!(size_of::<rbd_linked_image_spec_t>() == 48 && offset_of!(rbd_linked_image_spec_t, trash) == 40);
    assert!(size_of::<rbd_child_info_t>() == 32 && offset_of!(rbd_child_info_t, trash) == 24);
    assert!(size_of::<rbd_snap_spec_t>() == 24 && offset_of!(rbd_snap_spec_t, name) == 16);
    assert!(size_of::<rbd_snap_info_t>() == 24 && offset_of!(rbd_snap_info_t, name) == 16);
    assert!(size_of::<rbd_group_info_t>() == 16 && offset_of!(rbd_group_info_t, pool) == 8);
    assert!(size_of::<rbd_mirror_image_info_t>() == 16 && offset_of!(rbd_mirror_image_info_t, primary) == 12);
    assert!(size_of::<rbd_group_image_info_t>() == 24 && offset_of!(rbd_group_image_info_t, state) == 16);
    assert!(size_of::<rbd_group_snap_info_t>() == 16 && offset_of!(rbd_group_snap_info_t, state) == 8);
    assert!(size_of::<rbd_snap_group_namespace_t>() == 24);
    assert!(offset_of!(rbd_snap_group_namespace_t, group_snap_name) == 16);
    assert!(size_of::<rbd_group_snap_info2_t>() == 48 && offset_of!(rbd_group_snap_info2_t, image_snaps) == 40);
    assert!(size_of::<rbd_image_watcher_t>() == 24 && offset_of!(rbd_image_watcher_t, cookie) == 16);
    assert!(size_of::<rbd_image_migration_status_t>() == 80);
    assert!(offset_of!(rbd_image_migration_status_t, state) == 64);
    assert!(size_of::<rbd_config_option_t>() == 24 && offset_of!(rbd_config_option_t, source) == 16);
};
