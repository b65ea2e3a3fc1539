// `RBD`: a pool: its namespaces, its preparation, statistics, metadata and settings.
#include "bridge.h"

namespace librbd {

int RBD::namespace_create(IoCtx &io_ctx, const char *namespace_name) {
  return rbd_namespace_create(lsd::raw(io_ctx), namespace_name);
}

int RBD::namespace_remove(IoCtx &io_ctx, const char *namespace_name) {
  return rbd_namespace_remove(lsd::raw(io_ctx), namespace_name);
}

int RBD::namespace_list(IoCtx &io_ctx, std::vector<std::string> *namespace_names) {
  namespace_names->clear();
  return lsd::texts(rbd_namespace_list, lsd::raw(io_ctx),
                    [&](std::string name) { namespace_names->push_back(std::move(name)); });
}

int RBD::namespace_exists(IoCtx &io_ctx, const char *namespace_name, bool *exists) {
  return rbd_namespace_exists(lsd::raw(io_ctx), namespace_name, exists);
}

int RBD::pool_init(IoCtx &io_ctx, bool force) { return rbd_pool_init(lsd::raw(io_ctx), force); }

int RBD::pool_stats_get(IoCtx &io_ctx, PoolStats *pool_stats) {
  return rbd_pool_stats_get(lsd::raw(io_ctx), pool_stats->pool_stats);
}

int RBD::pool_metadata_get(IoCtx &io_ctx, const std::string &key, std::string *value) {
  return lsd::text(value, [&](char *buffer, size_t *size) {
    return rbd_pool_metadata_get(lsd::raw(io_ctx), key.c_str(), buffer, size);
  });
}

int RBD::pool_metadata_set(IoCtx &io_ctx, const std::string &key, const std::string &value) {
  return rbd_pool_metadata_set(lsd::raw(io_ctx), key.c_str(), value.c_str());
}

int RBD::pool_metadata_remove(IoCtx &io_ctx, const std::string &key) {
  return rbd_pool_metadata_remove(lsd::raw(io_ctx), key.c_str());
}

int RBD::pool_metadata_list(IoCtx &io_ctx, const std::string &start, uint64_t max,
                            std::map<std::string, ceph::bufferlist> *pairs) {
  return lsd::pairs(
      [&](char *keys, size_t *keys_size, char *values, size_t *values_size) {
        return rbd_pool_metadata_list(lsd::raw(io_ctx), start.c_str(), max, keys, keys_size, values, values_size);
      },
      [&](std::string key, const std::string &value) {
        ceph::bufferlist bytes;
        bytes.append(value.data(), value.size());
        pairs->insert({std::move(key), std::move(bytes)});
      });
}

int RBD::config_list(IoCtx &io_ctx, std::vector<config_option_t> *options) {
  return lsd::listed<rbd_config_option_t, int>(
      [&](rbd_config_option_t *places, int *count) { return rbd_config_pool_list(lsd::raw(io_ctx), places, count); },
      [&](const rbd_config_option_t &option) {
        options->push_back({lsd::owned(option.name), lsd::owned(option.value), option.source});
      },
      rbd_config_pool_list_cleanup);
}

} // namespace librbd
