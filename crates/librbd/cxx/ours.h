// C functions that the installed librbd.h does not declare: two of this library's own, for methods that have no C function in
// librbd, and those of newer releases than the header's. The names are bound to the symbols here, so that nothing conflicts
// where the header has them.
#pragma once

#include "bridge.h"

extern "C" {

// Another handle of the same options (crates/librbd/src/api/only_cxx.rs).
int lsd_image_options_share(rbd_image_options_t opts, rbd_image_options_t *shared);
// As rbd_rebuild_object_map, and changes nothing (crates/librbd/src/api/only_cxx.rs).
int lsd_check_object_map(rbd_image_t image, librbd_progress_fn_t cb, void *cbdata);

} // extern "C"

namespace lsd {

// The image option that says of which kind a new image becomes: text (crates/librbd/src/handles/options.rs).
constexpr int KIND_OPTION = 0x6c736400;

} // namespace lsd

namespace lsd::newer {

// As in librbd.h of Ceph 18 and 20.
struct EncryptionSpec {
  rbd_encryption_format_t format;
  rbd_encryption_options_t opts;
  size_t opts_size;
};

struct TrashNamespace {
  rbd_snap_namespace_type_t original_type;
  char *original_name;
};

struct ImageSnap {
  char *image_name;
  int64_t pool_id;
  uint64_t snap_id;
};

struct GroupSnap {
  char *id;
  char *name;
  char *image_snap_name;
  rbd_group_snap_state_t state;
  int namespace_type;
  size_t image_snaps_count;
  ImageSnap *image_snaps;
};

extern "C" {

int clone4(rados_ioctx_t p_ioctx, const char *p_name, uint64_t p_snap_id, rados_ioctx_t c_ioctx, const char *c_name,
           rbd_image_options_t c_opts) __asm__("rbd_clone4");
int diff_iterate3(rbd_image_t image, uint64_t from_snap_id, uint64_t ofs, uint64_t len, uint32_t flags,
                  int (*cb)(uint64_t, size_t, int, void *), void *arg) __asm__("rbd_diff_iterate3");
int encryption_load2(rbd_image_t image, const EncryptionSpec *specs, size_t spec_count) __asm__("rbd_encryption_load2");
int group_get_id(rados_ioctx_t p, const char *group_name, char *group_id, size_t *size) __asm__("rbd_group_get_id");
int group_snap_list2(rados_ioctx_t group_p, const char *group_name, GroupSnap *snaps,
                     size_t *num_entries) __asm__("rbd_group_snap_list2");
void group_snap_list2_cleanup(GroupSnap *snaps, size_t num_entries) __asm__("rbd_group_snap_list2_cleanup");
int group_snap_get_info(rados_ioctx_t group_p, const char *group_name, const char *snap_name,
                        GroupSnap *group_snap) __asm__("rbd_group_snap_get_info");
void group_snap_get_info_cleanup(GroupSnap *group_snap) __asm__("rbd_group_snap_get_info_cleanup");
int mirror_remote_namespace_get(rados_ioctx_t io_ctx, char *remote_namespace,
                                size_t *max_len) __asm__("rbd_mirror_remote_namespace_get");
int mirror_remote_namespace_set(rados_ioctx_t io_ctx,
                                const char *remote_namespace) __asm__("rbd_mirror_remote_namespace_set");
int snap_get_trash_namespace2(rbd_image_t image, uint64_t snap_id, TrashNamespace *trash_snap,
                              size_t trash_snap_size) __asm__("rbd_snap_get_trash_namespace2");
int snap_trash_namespace_cleanup(TrashNamespace *trash_snap,
                                 size_t trash_snap_size) __asm__("rbd_snap_trash_namespace_cleanup");

} // extern "C"

} // namespace lsd::newer
