//! Mirroring: nobody's but the stock library's. Without one, each function is as `api/mirror.rs` and `api/unsupported.rs` have it.
//!
//! Owns: which functions there are. Does not own: who does them (`macros.rs`).
use crate::api::{mirror, unsupported};
use crate::ffi::ctypes::{rados_ioctx_t, rados_t, rbd_completion_t, rbd_image_t, rbd_mirror_image_info_t};
use std::ffi::{c_char, c_int, c_void};

functions! {
    cluster fn unsupported::rbd_mirror_site_name_get(cluster: rados_t, name: *mut c_char, max_len: *mut usize) -> c_int;
    cluster fn unsupported::rbd_mirror_site_name_set(cluster: rados_t, name: *const c_char) -> c_int;
    stock fn mirror::rbd_mirror_mode_get(io_ctx: rados_ioctx_t, mirror_mode: *mut c_int) -> c_int;
    stock fn unsupported::rbd_mirror_mode_set(io_ctx: rados_ioctx_t, mirror_mode: c_int) -> c_int;
    stock fn unsupported::rbd_mirror_uuid_get(io_ctx: rados_ioctx_t, uuid: *mut c_char, max_len: *mut usize) -> c_int;
    stock fn unsupported::rbd_mirror_peer_bootstrap_create(
        io_ctx: rados_ioctx_t, token: *mut c_char, max_len: *mut usize
    ) -> c_int;
    stock fn unsupported::rbd_mirror_peer_bootstrap_import(
        io_ctx: rados_ioctx_t, direction: c_int, token: *const c_char
    ) -> c_int;
    stock fn unsupported::rbd_mirror_peer_site_add(
        io_ctx: rados_ioctx_t, uuid: *mut c_char, uuid_max_length: usize, direction: c_int,
        site_name: *const c_char, client_name: *const c_char
    ) -> c_int;
    stock fn unsupported::rbd_mirror_peer_site_set_name(
        io_ctx: rados_ioctx_t, uuid: *const c_char, site_name: *const c_char
    ) -> c_int;
    stock fn unsupported::rbd_mirror_peer_site_set_client_name(
        io_ctx: rados_ioctx_t, uuid: *const c_char, client_name: *const c_char
    ) -> c_int;
    stock fn unsupported::rbd_mirror_peer_site_set_direction(
        io_ctx: rados_ioctx_t, uuid: *const c_char, direction: c_int
    ) -> c_int;
    stock fn unsupported::rbd_mirror_peer_site_remove(io_ctx: rados_ioctx_t, uuid: *const c_char) -> c_int;
    stock fn unsupported::rbd_mirror_peer_site_list(
        io_ctx: rados_ioctx_t, peers: *mut c_void, max_peers: *mut c_int
    ) -> c_int;
    stock fn unsupported::rbd_mirror_peer_site_get_attributes(
        p: rados_ioctx_t, uuid: *const c_char, keys: *mut c_char, max_key_len: *mut usize, values: *mut c_char,
        max_value_len: *mut usize, key_value_count: *mut usize
    ) -> c_int;
    stock fn unsupported::rbd_mirror_peer_site_set_attributes(
        p: rados_ioctx_t, uuid: *const c_char, keys: *const c_char, values: *const c_char, key_value_count: usize
    ) -> c_int;
    stock fn unsupported::rbd_mirror_image_global_status_list(
        io_ctx: rados_ioctx_t, start_id: *const c_char, max: usize, image_ids: *mut *mut c_char,
        images: *mut c_void, len: *mut usize
    ) -> c_int;
    stock fn unsupported::rbd_mirror_peer_add(
        io_ctx: rados_ioctx_t, uuid: *mut c_char, uuid_max_length: usize, cluster_name: *const c_char,
        client_name: *const c_char
    ) -> c_int;
    stock fn unsupported::rbd_mirror_peer_remove(io_ctx: rados_ioctx_t, uuid: *const c_char) -> c_int;
    stock fn unsupported::rbd_mirror_peer_list(
        io_ctx: rados_ioctx_t, peers: *mut c_void, max_peers: *mut c_int
    ) -> c_int;
    stock fn unsupported::rbd_mirror_peer_set_client(
        io_ctx: rados_ioctx_t, uuid: *const c_char, name: *const c_char
    ) -> c_int;
    stock fn unsupported::rbd_mirror_peer_set_cluster(
        io_ctx: rados_ioctx_t, uuid: *const c_char, name: *const c_char
    ) -> c_int;
    stock fn unsupported::rbd_mirror_peer_get_attributes(
        p: rados_ioctx_t, uuid: *const c_char, keys: *mut c_char, max_key_len: *mut usize, values: *mut c_char,
        max_value_len: *mut usize, key_value_count: *mut usize
    ) -> c_int;
    stock fn unsupported::rbd_mirror_peer_set_attributes(
        p: rados_ioctx_t, uuid: *const c_char, keys: *const c_char, values: *const c_char, key_value_count: usize
    ) -> c_int;
    stock fn unsupported::rbd_mirror_image_status_list(
        io_ctx: rados_ioctx_t, start_id: *const c_char, max: usize, image_ids: *mut *mut c_char,
        images: *mut c_void, len: *mut usize
    ) -> c_int;
    stock fn unsupported::rbd_mirror_image_status_summary(
        io_ctx: rados_ioctx_t, states: *mut c_int, counts: *mut c_int, maxlen: *mut usize
    ) -> c_int;
    stock fn unsupported::rbd_mirror_image_instance_id_list(
        io_ctx: rados_ioctx_t, start_id: *const c_char, max: usize, image_ids: *mut *mut c_char,
        instance_ids: *mut *mut c_char, len: *mut usize
    ) -> c_int;
    stock fn unsupported::rbd_mirror_image_info_list(
        io_ctx: rados_ioctx_t, mode_filter: *mut c_int, start_id: *const c_char, max: usize,
        image_ids: *mut *mut c_char, mode_entries: *mut c_int, info_entries: *mut c_void, num_entries: *mut usize
    ) -> c_int;
    image fn unsupported::rbd_snap_get_mirror_namespace(
        image: rbd_image_t, snap_id: u64, mirror_snap: *mut c_void, mirror_snap_size: usize
    ) -> c_int;
    image fn unsupported::rbd_mirror_image_enable(image: rbd_image_t) -> c_int;
    image fn unsupported::rbd_mirror_image_enable2(image: rbd_image_t, mode: c_int) -> c_int;
    image fn unsupported::rbd_mirror_image_disable(image: rbd_image_t, force: bool) -> c_int;
    image fn unsupported::rbd_mirror_image_promote(image: rbd_image_t, force: bool) -> c_int;
    image fn unsupported::rbd_mirror_image_demote(image: rbd_image_t) -> c_int;
    image fn unsupported::rbd_mirror_image_resync(image: rbd_image_t) -> c_int;
    image fn unsupported::rbd_mirror_image_create_snapshot(image: rbd_image_t, snap_id: *mut u64) -> c_int;
    image fn unsupported::rbd_mirror_image_create_snapshot2(image: rbd_image_t, flags: u32, snap_id: *mut u64) -> c_int;
    image fn mirror::rbd_mirror_image_get_info(
        image: rbd_image_t, mirror_image_info: *mut rbd_mirror_image_info_t, info_size: usize
    ) -> c_int;
    image fn unsupported::rbd_mirror_image_get_mode(image: rbd_image_t, mode: *mut c_int) -> c_int;
    image fn unsupported::rbd_mirror_image_get_global_status(
        image: rbd_image_t, mirror_image_global_status: *mut c_void, status_size: usize
    ) -> c_int;
    image fn unsupported::rbd_mirror_image_get_status(
        image: rbd_image_t, mirror_image_status: *mut c_void, status_size: usize
    ) -> c_int;
    image fn unsupported::rbd_mirror_image_get_instance_id(
        image: rbd_image_t, instance_id: *mut c_char, id_max_length: *mut usize
    ) -> c_int;
    aio fn unsupported::rbd_aio_mirror_image_promote(image: rbd_image_t, force: bool; c: rbd_completion_t) -> c_int;
    aio fn unsupported::rbd_aio_mirror_image_demote(image: rbd_image_t; c: rbd_completion_t) -> c_int;
    aio fn mirror::rbd_aio_mirror_image_get_info(
        image: rbd_image_t, mirror_image_info: *mut rbd_mirror_image_info_t, info_size: usize; c: rbd_completion_t
    ) -> c_int;
    aio fn unsupported::rbd_aio_mirror_image_get_mode(
        image: rbd_image_t, mode: *mut c_int; c: rbd_completion_t
    ) -> c_int;
    aio fn unsupported::rbd_aio_mirror_image_get_global_status(
        image: rbd_image_t, mirror_global_image_status: *mut c_void, status_size: usize; c: rbd_completion_t
    ) -> c_int;
    aio fn unsupported::rbd_aio_mirror_image_get_status(
        image: rbd_image_t, mirror_image_status: *mut c_void, status_size: usize; c: rbd_completion_t
    ) -> c_int;
    aio fn unsupported::rbd_aio_mirror_image_create_snapshot(
        image: rbd_image_t, flags: u32, snap_id: *mut u64; c: rbd_completion_t
    ) -> c_int;
    stock fn unsupported::rbd_mirror_remote_namespace_get(
        io: rados_ioctx_t, remote_namespace: *mut c_char, max_len: *mut usize
    ) -> c_int;
    stock fn unsupported::rbd_mirror_remote_namespace_set(io: rados_ioctx_t, remote_namespace: *const c_char) -> c_int;
    theirs fn unsupported::rbd_mirror_peer_site_list_cleanup(peers: *mut c_void, max_peers: c_int);
    theirs fn unsupported::rbd_mirror_image_global_status_list_cleanup(
        image_ids: *mut *mut c_char, images: *mut c_void, len: usize
    );
    theirs fn unsupported::rbd_mirror_peer_list_cleanup(peers: *mut c_void, max_peers: c_int);
    theirs fn unsupported::rbd_mirror_image_status_list_cleanup(
        image_ids: *mut *mut c_char, images: *mut c_void, len: usize
    );
    theirs fn unsupported::rbd_mirror_image_instance_id_list_cleanup(
        image_ids: *mut *mut c_char, instance_ids: *mut *mut c_char, len: usize
    );
    theirs fn unsupported::rbd_mirror_image_info_list_cleanup(
        image_ids: *mut *mut c_char, info_entries: *mut c_void, num_entries: usize
    );
    theirs fn unsupported::rbd_snap_mirror_namespace_cleanup(
        mirror_snap: *mut c_void, mirror_snap_size: usize
    ) -> c_int;
    theirs fn mirror::rbd_mirror_image_get_info_cleanup(mirror_image_info: *mut rbd_mirror_image_info_t);
    theirs fn unsupported::rbd_mirror_image_global_status_cleanup(mirror_image_global_status: *mut c_void);
}
