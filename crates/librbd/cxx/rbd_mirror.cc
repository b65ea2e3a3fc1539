// `RBD`: mirroring of a pool: mode, sites, peers, and the images that are mirrored.
#include "mirror.h"

#include <map>
#include <utility>

namespace librbd {

namespace {

using GetAttributes = int (*)(rados_ioctx_t, const char *, char *, size_t *, char *, size_t *, size_t *);
using SetAttributes = int (*)(rados_ioctx_t, const char *, const char *, const char *, size_t);

int attributes(GetAttributes get, rados_ioctx_t io, const std::string &uuid,
               std::map<std::string, std::string> *key_vals) {
  return lsd::pairs(
      [&](char *keys, size_t *keys_size, char *values, size_t *values_size) {
        size_t count = 0;
        return get(io, uuid.c_str(), keys, keys_size, values, values_size, &count);
      },
      [&](std::string key, const std::string &value) { key_vals->insert({std::move(key), value}); });
}

int set_attributes(SetAttributes set, rados_ioctx_t io, const std::string &uuid,
                   const std::map<std::string, std::string> &key_vals) {
  std::string keys, values;
  for (const auto &[key, value] : key_vals) {
    keys.append(key.c_str(), key.size() + 1);
    values.append(value.c_str(), value.size() + 1);
  }
  return set(io, uuid.c_str(), keys.c_str(), values.c_str(), key_vals.size());
}

// A C function that gives as many entries as there are places and no error if there are more: so `max` is what is asked for.
template <class T, class Call, class Take, class Clean>
int page(size_t max, Call call, Take take, Clean clean) {
  std::vector<char *> ids(max);
  std::vector<T> entries(max);
  size_t count = max;
  int result = call(ids.data(), entries.data(), &count);
  if (result >= 0) {
    lsd::Finally cleaned([&] { clean(ids.data(), entries.data(), count); });
    for (size_t at = 0; at < count; ++at) {
      take(lsd::owned(ids[at]), entries[at]);
    }
  }
  return lsd::zero(result);
}

// For a new peer's UUID, whose length is told beforehand.
template <class Call> int added(std::string *uuid, Call call) {
  return lsd::text(uuid, [&](char *buffer, size_t *size) {
    int result = call(buffer, *size);
    // It was not added then; a UUID fits always.
    return result == -ERANGE ? -EINVAL : result;
  });
}

} // namespace

int RBD::mirror_site_name_get(librados::Rados &rados, std::string *site_name) {
  return lsd::text(site_name, [&](char *buffer, size_t *size) {
    return rbd_mirror_site_name_get(lsd::raw(rados), buffer, size);
  });
}

int RBD::mirror_site_name_set(librados::Rados &rados, const std::string &site_name) {
  return rbd_mirror_site_name_set(lsd::raw(rados), site_name.c_str());
}

int RBD::mirror_mode_get(IoCtx &io_ctx, rbd_mirror_mode_t *mirror_mode) {
  return rbd_mirror_mode_get(lsd::raw(io_ctx), mirror_mode);
}

int RBD::mirror_mode_set(IoCtx &io_ctx, rbd_mirror_mode_t mirror_mode) {
  return rbd_mirror_mode_set(lsd::raw(io_ctx), mirror_mode);
}

int RBD::mirror_uuid_get(IoCtx &io_ctx, std::string *mirror_uuid) {
  return lsd::text(mirror_uuid,
                   [&](char *buffer, size_t *size) { return rbd_mirror_uuid_get(lsd::raw(io_ctx), buffer, size); });
}

int RBD::mirror_peer_bootstrap_create(IoCtx &io_ctx, std::string *token) {
  return lsd::text(token, [&](char *buffer, size_t *size) {
    return rbd_mirror_peer_bootstrap_create(lsd::raw(io_ctx), buffer, size);
  });
}

int RBD::mirror_peer_bootstrap_import(IoCtx &io_ctx, mirror_peer_direction_t direction, const std::string &token) {
  return rbd_mirror_peer_bootstrap_import(lsd::raw(io_ctx), direction, token.c_str());
}

int RBD::mirror_peer_site_add(IoCtx &io_ctx, std::string *uuid, mirror_peer_direction_t direction,
                              const std::string &site_name, const std::string &client_name) {
  return added(uuid, [&](char *buffer, size_t size) {
    return rbd_mirror_peer_site_add(lsd::raw(io_ctx), buffer, size, direction, site_name.c_str(), client_name.c_str());
  });
}

int RBD::mirror_peer_site_set_name(IoCtx &io_ctx, const std::string &uuid, const std::string &site_name) {
  return rbd_mirror_peer_site_set_name(lsd::raw(io_ctx), uuid.c_str(), site_name.c_str());
}

int RBD::mirror_peer_site_set_client_name(IoCtx &io_ctx, const std::string &uuid, const std::string &client_name) {
  return rbd_mirror_peer_site_set_client_name(lsd::raw(io_ctx), uuid.c_str(), client_name.c_str());
}

int RBD::mirror_peer_site_set_direction(IoCtx &io_ctx, const std::string &uuid, mirror_peer_direction_t direction) {
  return rbd_mirror_peer_site_set_direction(lsd::raw(io_ctx), uuid.c_str(), direction);
}

int RBD::mirror_peer_site_remove(IoCtx &io_ctx, const std::string &uuid) {
  return rbd_mirror_peer_site_remove(lsd::raw(io_ctx), uuid.c_str());
}

int RBD::mirror_peer_site_list(IoCtx &io_ctx, std::vector<mirror_peer_site_t> *peers) {
  peers->clear();
  return lsd::listed<rbd_mirror_peer_site_t, int>(
      [&](rbd_mirror_peer_site_t *places, int *count) {
        return rbd_mirror_peer_site_list(lsd::raw(io_ctx), places, count);
      },
      [&](const rbd_mirror_peer_site_t &peer) {
        peers->push_back({lsd::owned(peer.uuid), peer.direction, lsd::owned(peer.site_name),
                          lsd::owned(peer.mirror_uuid), lsd::owned(peer.client_name), peer.last_seen});
      },
      rbd_mirror_peer_site_list_cleanup);
}

int RBD::mirror_peer_site_get_attributes(IoCtx &io_ctx, const std::string &uuid,
                                         std::map<std::string, std::string> *key_vals) {
  return attributes(rbd_mirror_peer_site_get_attributes, lsd::raw(io_ctx), uuid, key_vals);
}

int RBD::mirror_peer_site_set_attributes(IoCtx &io_ctx, const std::string &uuid,
                                         const std::map<std::string, std::string> &key_vals) {
  return set_attributes(rbd_mirror_peer_site_set_attributes, lsd::raw(io_ctx), uuid, key_vals);
}

int RBD::mirror_image_global_status_list(IoCtx &io_ctx, const std::string &start_id, size_t max,
                                         std::map<std::string, mirror_image_global_status_t> *images) {
  using Status = rbd_mirror_image_global_status_t;
  return page<Status>(
      max,
      [&](char **ids, Status *entries, size_t *count) {
        return rbd_mirror_image_global_status_list(lsd::raw(io_ctx), start_id.c_str(), max, ids, entries, count);
      },
      [&](std::string id, const Status &status) { images->insert({std::move(id), lsd::told(status)}); },
      rbd_mirror_image_global_status_list_cleanup);
}

int RBD::mirror_image_status_summary(IoCtx &io_ctx, std::map<mirror_image_status_state_t, int> *states) {
  // One for each state that there is, and room for more.
  std::vector<mirror_image_status_state_t> found(lsd::FIRST_PLACES);
  std::vector<int> counts(found.size());
  size_t count = found.size();
  int result = rbd_mirror_image_status_summary(lsd::raw(io_ctx), found.data(), counts.data(), &count);
  for (size_t at = 0; result >= 0 && at < count; ++at) {
    (*states)[found[at]] = counts[at];
  }
  return result;
}

int RBD::mirror_image_instance_id_list(IoCtx &io_ctx, const std::string &start_id, size_t max,
                                       std::map<std::string, std::string> *instance_ids) {
  return page<char *>(
      max,
      [&](char **ids, char **entries, size_t *count) {
        return rbd_mirror_image_instance_id_list(lsd::raw(io_ctx), start_id.c_str(), max, ids, entries, count);
      },
      [&](std::string id, const char *instance) { instance_ids->insert({std::move(id), lsd::owned(instance)}); },
      rbd_mirror_image_instance_id_list_cleanup);
}

int RBD::mirror_image_info_list(IoCtx &io_ctx, mirror_image_mode_t *mode_filter, const std::string &start_id,
                                size_t max,
                                std::map<std::string, std::pair<mirror_image_mode_t, mirror_image_info_t>> *entries) {
  using Info = rbd_mirror_image_info_t;
  std::vector<mirror_image_mode_t> modes(max);
  const mirror_image_mode_t *mode = modes.data();
  return page<Info>(
      max,
      [&](char **ids, Info *infos, size_t *count) {
        return rbd_mirror_image_info_list(lsd::raw(io_ctx), mode_filter, start_id.c_str(), max, ids, modes.data(),
                                          infos, count);
      },
      [&](std::string id, const Info &info) { entries->insert({std::move(id), {*mode++, lsd::told(info)}}); },
      rbd_mirror_image_info_list_cleanup);
}

int RBD::mirror_peer_add(IoCtx &io_ctx, std::string *uuid, const std::string &cluster_name,
                         const std::string &client_name) {
  return added(uuid, [&](char *buffer, size_t size) {
    return rbd_mirror_peer_add(lsd::raw(io_ctx), buffer, size, cluster_name.c_str(), client_name.c_str());
  });
}

int RBD::mirror_peer_remove(IoCtx &io_ctx, const std::string &uuid) {
  return rbd_mirror_peer_remove(lsd::raw(io_ctx), uuid.c_str());
}

int RBD::mirror_peer_list(IoCtx &io_ctx, std::vector<mirror_peer_t> *peers) {
  peers->clear();
  return lsd::listed<rbd_mirror_peer_t, int>(
      [&](rbd_mirror_peer_t *places, int *count) { return rbd_mirror_peer_list(lsd::raw(io_ctx), places, count); },
      [&](const rbd_mirror_peer_t &peer) {
        peers->push_back({lsd::owned(peer.uuid), lsd::owned(peer.cluster_name), lsd::owned(peer.client_name)});
      },
      rbd_mirror_peer_list_cleanup);
}

int RBD::mirror_peer_set_client(IoCtx &io_ctx, const std::string &uuid, const std::string &client_name) {
  return rbd_mirror_peer_set_client(lsd::raw(io_ctx), uuid.c_str(), client_name.c_str());
}

int RBD::mirror_peer_set_cluster(IoCtx &io_ctx, const std::string &uuid, const std::string &cluster_name) {
  return rbd_mirror_peer_set_cluster(lsd::raw(io_ctx), uuid.c_str(), cluster_name.c_str());
}

int RBD::mirror_peer_get_attributes(IoCtx &io_ctx, const std::string &uuid,
                                    std::map<std::string, std::string> *key_vals) {
  return attributes(rbd_mirror_peer_get_attributes, lsd::raw(io_ctx), uuid, key_vals);
}

int RBD::mirror_peer_set_attributes(IoCtx &io_ctx, const std::string &uuid,
                                    const std::map<std::string, std::string> &key_vals) {
  return set_attributes(rbd_mirror_peer_set_attributes, lsd::raw(io_ctx), uuid, key_vals);
}

int RBD::mirror_image_status_list(IoCtx &io_ctx, const std::string &start_id, size_t max,
                                  std::map<std::string, mirror_image_status_t> *images) {
  using Status = rbd_mirror_image_status_t;
  return page<Status>(
      max,
      [&](char **ids, Status *entries, size_t *count) {
        return rbd_mirror_image_status_list(lsd::raw(io_ctx), start_id.c_str(), max, ids, entries, count);
      },
      [&](std::string id, const Status &status) { images->insert({std::move(id), lsd::told(status)}); },
      rbd_mirror_image_status_list_cleanup);
}

} // namespace librbd
