// `RBD`: groups of images and their snapshots.
#include "bridge.h"

namespace librbd {

int RBD::group_create(IoCtx &io_ctx, const char *group_name) { return rbd_group_create(lsd::raw(io_ctx), group_name); }

int RBD::group_remove(IoCtx &io_ctx, const char *group_name) { return rbd_group_remove(lsd::raw(io_ctx), group_name); }

int RBD::group_list(IoCtx &io_ctx, std::vector<std::string> *names) {
  return lsd::texts(rbd_group_list, lsd::raw(io_ctx), [&](std::string name) { names->push_back(std::move(name)); });
}

int RBD::group_rename(IoCtx &io_ctx, const char *src_group_name, const char *dest_group_name) {
  return rbd_group_rename(lsd::raw(io_ctx), src_group_name, dest_group_name);
}

int RBD::group_image_add(IoCtx &io_ctx, const char *group_name, IoCtx &image_io_ctx, const char *image_name) {
  return rbd_group_image_add(lsd::raw(io_ctx), group_name, lsd::raw(image_io_ctx), image_name);
}

int RBD::group_image_remove(IoCtx &io_ctx, const char *group_name, IoCtx &image_io_ctx, const char *image_name) {
  return rbd_group_image_remove(lsd::raw(io_ctx), group_name, lsd::raw(image_io_ctx), image_name);
}

int RBD::group_image_remove_by_id(IoCtx &io_ctx, const char *group_name, IoCtx &image_io_ctx, const char *image_id) {
  return rbd_group_image_remove_by_id(lsd::raw(io_ctx), group_name, lsd::raw(image_io_ctx), image_id);
}

int RBD::group_image_list(IoCtx &io_ctx, const char *group_name, std::vector<group_image_info_t> *images,
                          size_t group_image_info_size) {
  if (group_image_info_size != sizeof(group_image_info_t)) {
    return -ERANGE;
  }
  using Entry = rbd_group_image_info_t;
  return lsd::listed<Entry>(
      [&](Entry *places, size_t *count) {
        return rbd_group_image_list(lsd::raw(io_ctx), group_name, places, sizeof(Entry), count);
      },
      [&](const Entry &image) { images->push_back({lsd::owned(image.name), image.pool, image.state}); },
      [](Entry *places, size_t count) { rbd_group_image_list_cleanup(places, sizeof(Entry), count); });
}

int RBD::group_snap_create(IoCtx &io_ctx, const char *group_name, const char *snap_name) {
  return rbd_group_snap_create(lsd::raw(io_ctx), group_name, snap_name);
}

int RBD::group_snap_create2(IoCtx &io_ctx, const char *group_name, const char *snap_name, uint32_t flags) {
  return rbd_group_snap_create2(lsd::raw(io_ctx), group_name, snap_name, flags);
}

int RBD::group_snap_remove(IoCtx &io_ctx, const char *group_name, const char *snap_name) {
  return rbd_group_snap_remove(lsd::raw(io_ctx), group_name, snap_name);
}

int RBD::group_snap_rename(IoCtx &group_ioctx, const char *group_name, const char *old_snap_name,
                           const char *new_snap_name) {
  return rbd_group_snap_rename(lsd::raw(group_ioctx), group_name, old_snap_name, new_snap_name);
}

int RBD::group_snap_list(IoCtx &group_ioctx, const char *group_name, std::vector<group_snap_info_t> *snaps,
                         size_t group_snap_info_size) {
  if (group_snap_info_size != sizeof(group_snap_info_t)) {
    return -ERANGE;
  }
  using Entry = rbd_group_snap_info_t;
  return lsd::listed<Entry>(
      [&](Entry *places, size_t *count) {
        return rbd_group_snap_list(lsd::raw(group_ioctx), group_name, places, sizeof(Entry), count);
      },
      [&](const Entry &snap) { snaps->push_back({lsd::owned(snap.name), snap.state}); },
      [](Entry *places, size_t count) { rbd_group_snap_list_cleanup(places, sizeof(Entry), count); });
}

int RBD::group_snap_rollback(IoCtx &io_ctx, const char *group_name, const char *snap_name) {
  return rbd_group_snap_rollback(lsd::raw(io_ctx), group_name, snap_name);
}

int RBD::group_snap_rollback_with_progress(IoCtx &io_ctx, const char *group_name, const char *snap_name,
                                           ProgressContext &pctx) {
  return rbd_group_snap_rollback_with_progress(lsd::raw(io_ctx), group_name, snap_name, lsd::progress, &pctx);
}

} // namespace librbd
