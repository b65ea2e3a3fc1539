//! The functions of librbd.h that are exported and not supported yet: one line each, with its C prototype.
//!
//! They are here so that every client finds its symbols; each gives -EOPNOTSUPP and touches nothing. What belongs to
//! a result that is never given (a `_cleanup`) does nothing. A function leaves this file when it becomes real.
use crate::ffi::ctypes::{rados_ioctx_t, rados_t, rbd_completion_t, rbd_image_options_t, rbd_image_t};
use nix::libc::EOPNOTSUPP;
use std::ffi::{c_char, c_int, c_void};

macro_rules! unsupported {
    ($($name:ident($($type:ty),*);)*) => {$(
        pub unsafe extern "C" fn $name($(_: $type),*) -> c_int {
            -EOPNOTSUPP
        }
    )*};
}

macro_rules! nothing_to_clean {
    ($($name:ident($($type:ty),*) $(-> $zero:ident)?;)*) => {$(
        pub unsafe extern "C" fn $name($(_: $type),*) $(-> $zero)? {
            $(0 as $zero)?
        }
    )*};
}

unsupported! {
    // Mirroring.
    rbd_mirror_site_name_get(rados_t, *mut c_char, *mut usize);
    rbd_mirror_site_name_set(rados_t, *const c_char);
    rbd_mirror_mode_set(rados_ioctx_t, c_int);
    rbd_mirror_uuid_get(rados_ioctx_t, *mut c_char, *mut usize);
    rbd_mirror_peer_bootstrap_create(rados_ioctx_t, *mut c_char, *mut usize);
    rbd_mirror_peer_bootstrap_import(rados_ioctx_t, c_int, *const c_char);
    rbd_mirror_peer_site_add(rados_ioctx_t, *mut c_char, usize, c_int, *const c_char, *const c_char);
    rbd_mirror_peer_site_set_name(rados_ioctx_t, *const c_char, *const c_char);
    rbd_mirror_peer_site_set_client_name(rados_ioctx_t, *const c_char, *const c_char);
    rbd_mirror_peer_site_set_direction(rados_ioctx_t, *const c_char, c_int);
    rbd_mirror_peer_site_remove(rados_ioctx_t, *const c_char);
    rbd_mirror_peer_site_list(rados_ioctx_t, *mut c_void, *mut c_int);
    rbd_mirror_peer_site_get_attributes(
        rados_ioctx_t, *const c_char, *mut c_char, *mut usize, *mut c_char, *mut usize, *mut usize
    );
    rbd_mirror_peer_site_set_attributes(rados_ioctx_t, *const c_char, *const c_char, *const c_char, usize);
    rbd_mirror_image_global_status_list(rados_ioctx_t, *const c_char, usize, *mut *mut c_char, *mut c_void, *mut usize);
    rbd_mirror_peer_add(rados_ioctx_t, *mut c_char, usize, *const c_char, *const c_char);
    rbd_mirror_peer_remove(rados_ioctx_t, *const c_char);
    rbd_mirror_peer_list(rados_ioctx_t, *mut c_void, *mut c_int);
    rbd_mirror_peer_set_client(rados_ioctx_t, *const c_char, *const c_char);
    rbd_mirror_peer_set_cluster(rados_ioctx_t, *const c_char, *const c_char);
    rbd_mirror_peer_get_attributes(
        rados_ioctx_t, *const c_char, *mut c_char, *mut usize, *mut c_char, *mut usize, *mut usize
    );
    rbd_mirror_peer_set_attributes(rados_ioctx_t, *const c_char, *const c_char, *const c_char, usize);
    rbd_mirror_image_status_list(rados_ioctx_t, *const c_char, usize, *mut *mut c_char, *mut c_void, *mut usize);
    rbd_mirror_image_status_summary(rados_ioctx_t, *mut c_int, *mut c_int, *mut usize);
    rbd_mirror_image_instance_id_list(
        rados_ioctx_t, *const c_char, usize, *mut *mut c_char, *mut *mut c_char, *mut usize
    );
    rbd_mirror_image_info_list(
        rados_ioctx_t, *mut c_int, *const c_char, usize, *mut *mut c_char, *mut c_int, *mut c_void, *mut usize
    );
    rbd_snap_get_mirror_namespace(rbd_image_t, u64, *mut c_void, usize);
    rbd_mirror_image_enable(rbd_image_t);
    rbd_mirror_image_enable2(rbd_image_t, c_int);
    rbd_mirror_image_disable(rbd_image_t, bool);
    rbd_mirror_image_promote(rbd_image_t, bool);
    rbd_mirror_image_demote(rbd_image_t);
    rbd_mirror_image_resync(rbd_image_t);
    rbd_mirror_image_create_snapshot(rbd_image_t, *mut u64);
    rbd_mirror_image_create_snapshot2(rbd_image_t, u32, *mut u64);
    rbd_mirror_image_get_mode(rbd_image_t, *mut c_int);
    rbd_mirror_image_get_global_status(rbd_image_t, *mut c_void, usize);
    rbd_mirror_image_get_status(rbd_image_t, *mut c_void, usize);
    rbd_mirror_image_get_instance_id(rbd_image_t, *mut c_char, *mut usize);
    rbd_aio_mirror_image_promote(rbd_image_t, bool, rbd_completion_t);
    rbd_aio_mirror_image_demote(rbd_image_t, rbd_completion_t);
    rbd_aio_mirror_image_get_mode(rbd_image_t, *mut c_int, rbd_completion_t);
    rbd_aio_mirror_image_get_global_status(rbd_image_t, *mut c_void, usize, rbd_completion_t);
    rbd_aio_mirror_image_get_status(rbd_image_t, *mut c_void, usize, rbd_completion_t);
    rbd_aio_mirror_image_create_snapshot(rbd_image_t, u32, *mut u64, rbd_completion_t);
    rbd_mirror_remote_namespace_get(rados_ioctx_t, *mut c_char, *mut usize);
    rbd_mirror_remote_namespace_set(rados_ioctx_t, *const c_char);
    // Migration.
    rbd_migration_prepare_import(*const c_char, rados_ioctx_t, *const c_char, rbd_image_options_t);
    // Encryption.
    rbd_encryption_format(rbd_image_t, c_int, *mut c_void, usize);
    rbd_encryption_load(rbd_image_t, c_int, *mut c_void, usize);
    rbd_encryption_load2(rbd_image_t, *const c_void, usize);
}

nothing_to_clean! {
    rbd_mirror_peer_site_list_cleanup(*mut c_void, c_int);
    rbd_mirror_image_global_status_list_cleanup(*mut *mut c_char, *mut c_void, usize);
    rbd_mirror_peer_list_cleanup(*mut c_void, c_int);
    rbd_mirror_image_status_list_cleanup(*mut *mut c_char, *mut c_void, usize);
    rbd_mirror_image_instance_id_list_cleanup(*mut *mut c_char, *mut *mut c_char, usize);
    rbd_mirror_image_info_list_cleanup(*mut *mut c_char, *mut c_void, usize);
    rbd_snap_mirror_namespace_cleanup(*mut c_void, usize) -> c_int;
    rbd_mirror_image_global_status_cleanup(*mut c_void);
}
