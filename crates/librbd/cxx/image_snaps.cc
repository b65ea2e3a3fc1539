// `Image`: snapshots: listing, making, removing, showing one, and what each belongs to.
#include "bridge.h"

namespace librbd {

int Image::snap_list(std::vector<snap_info_t> &snaps) {
  return lsd::listed<rbd_snap_info_t, int>(
      [&](rbd_snap_info_t *places, int *count) {
        int found = rbd_snap_list(ctx, places, count);
        if (found >= 0) {
          *count = found;
        }
        return found;
      },
      [&](const rbd_snap_info_t &snap) { snaps.push_back({snap.id, snap.size, lsd::owned(snap.name)}); },
      [](rbd_snap_info_t *places, int) { rbd_snap_list_end(places); });
}

bool Image::snap_exists(const char *snapname) {
  bool exists = false;
  return rbd_snap_exists(ctx, snapname, &exists) >= 0 && exists;
}

int Image::snap_exists2(const char *snapname, bool *exists) { return rbd_snap_exists(ctx, snapname, exists); }

int Image::snap_create(const char *snapname) { return rbd_snap_create(ctx, snapname); }

int Image::snap_create2(const char *snapname, uint32_t flags, ProgressContext &pctx) {
  return rbd_snap_create2(ctx, snapname, flags, lsd::progress, &pctx);
}

int Image::snap_remove(const char *snapname) { return rbd_snap_remove(ctx, snapname); }

int Image::snap_remove2(const char *snapname, uint32_t flags, ProgressContext &pctx) {
  return rbd_snap_remove2(ctx, snapname, flags, lsd::progress, &pctx);
}

int Image::snap_remove_by_id(uint64_t snap_id) { return rbd_snap_remove_by_id(ctx, snap_id); }

int Image::snap_rollback(const char *snap_name) { return rbd_snap_rollback(ctx, snap_name); }

int Image::snap_rollback_with_progress(const char *snap_name, ProgressContext &pctx) {
  return rbd_snap_rollback_with_progress(ctx, snap_name, lsd::progress, &pctx);
}

int Image::snap_protect(const char *snap_name) { return rbd_snap_protect(ctx, snap_name); }

int Image::snap_unprotect(const char *snap_name) { return rbd_snap_unprotect(ctx, snap_name); }

int Image::snap_is_protected(const char *snap_name, bool *is_protected) {
  int found = 0;
  int result = rbd_snap_is_protected(ctx, snap_name, &found);
  if (result >= 0) {
    *is_protected = found != 0;
  }
  return result;
}

int Image::snap_set(const char *snap_name) { return rbd_snap_set(ctx, snap_name); }

int Image::snap_set_by_id(uint64_t snap_id) { return rbd_snap_set_by_id(ctx, snap_id); }

int Image::snap_get_name(uint64_t snap_id, std::string *snap_name) {
  return lsd::text(snap_name,
                   [&](char *buffer, size_t *size) { return rbd_snap_get_name(ctx, snap_id, buffer, size); });
}

int Image::snap_get_id(const std::string snap_name, uint64_t *snap_id) {
  return rbd_snap_get_id(ctx, snap_name.c_str(), snap_id);
}

int Image::snap_rename(const char *srcname, const char *dstname) { return rbd_snap_rename(ctx, srcname, dstname); }

int Image::snap_get_limit(uint64_t *limit) { return rbd_snap_get_limit(ctx, limit); }

int Image::snap_set_limit(uint64_t limit) { return rbd_snap_set_limit(ctx, limit); }

int Image::snap_get_timestamp(uint64_t snap_id, struct timespec *timestamp) {
  return rbd_snap_get_timestamp(ctx, snap_id, timestamp);
}

int Image::snap_get_namespace_type(uint64_t snap_id, snap_namespace_type_t *namespace_type) {
  return rbd_snap_get_namespace_type(ctx, snap_id, namespace_type);
}

int Image::snap_get_group_namespace(uint64_t snap_id, snap_group_namespace_t *group_namespace,
                                    size_t snap_group_namespace_size) {
  if (snap_group_namespace_size != sizeof(snap_group_namespace_t)) {
    return -ERANGE;
  }
  rbd_snap_group_namespace_t found{};
  int result = rbd_snap_get_group_namespace(ctx, snap_id, &found, sizeof(found));
  if (result >= 0) {
    lsd::Finally cleaned([&] { rbd_snap_group_namespace_cleanup(&found, sizeof(found)); });
    *group_namespace = {found.group_pool, lsd::owned(found.group_name), lsd::owned(found.group_snap_name)};
  }
  return result;
}

int Image::snap_get_trash_namespace(uint64_t snap_id, std::string *original_name) {
  return lsd::text(original_name, [&](char *buffer, size_t *size) {
    return rbd_snap_get_trash_namespace(ctx, snap_id, buffer, *size);
  });
}

int Image::snap_get_mirror_namespace(uint64_t snap_id, snap_mirror_namespace_t *mirror_namespace,
                                     size_t snap_mirror_namespace_size) {
  if (snap_mirror_namespace_size != sizeof(snap_mirror_namespace_t)) {
    return -ERANGE;
  }
  rbd_snap_mirror_namespace_t found{};
  int result = rbd_snap_get_mirror_namespace(ctx, snap_id, &found, sizeof(found));
  if (result >= 0) {
    lsd::Finally cleaned([&] { rbd_snap_mirror_namespace_cleanup(&found, sizeof(found)); });
    mirror_namespace->state = found.state;
    mirror_namespace->mirror_peer_uuids.clear();
    const char *uuid = found.mirror_peer_uuids;
    for (size_t at = 0; uuid != nullptr && at < found.mirror_peer_uuids_count; ++at) {
      std::string one(uuid);
      uuid += one.size() + 1;
      mirror_namespace->mirror_peer_uuids.insert(std::move(one));
    }
    mirror_namespace->complete = found.complete;
    mirror_namespace->primary_mirror_uuid = lsd::owned(found.primary_mirror_uuid);
    mirror_namespace->primary_snap_id = found.primary_snap_id;
    mirror_namespace->last_copied_object_number = found.last_copied_object_number;
  }
  return result;
}

} // namespace librbd
