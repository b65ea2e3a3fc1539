// What a mirrored image tells, from C to C++.
#pragma once

#include "bridge.h"

#include <cstdlib>

namespace lsd {

inline librbd::mirror_image_info_t told(const rbd_mirror_image_info_t &info) {
  return {owned(info.global_id), info.state, info.primary};
}

inline librbd::mirror_image_status_t told(const rbd_mirror_image_status_t &status) {
  return {owned(status.name),  told(status.info), status.state, owned(status.description), status.last_update,
          status.up};
}

inline librbd::mirror_image_global_status_t told(const rbd_mirror_image_global_status_t &status) {
  librbd::mirror_image_global_status_t found{owned(status.name), told(status.info), {}};
  for (uint32_t at = 0; at < status.site_statuses_count; ++at) {
    const auto &site = status.site_statuses[at];
    found.site_statuses.push_back(
        {owned(site.mirror_uuid), site.state, owned(site.description), site.last_update, site.up});
  }
  return found;
}

// librbd.h has no function for it: as rbd_mirror_image_global_status_cleanup does with its own.
inline void clean(rbd_mirror_image_status_t *status) {
  free(status->name);
  rbd_mirror_image_get_info_cleanup(&status->info);
  free(status->description);
}

} // namespace lsd
