// `RBD`: the images of a pool: listing, creating, cloning, removing, the trash, migration.
#include "bridge.h"

namespace librbd {

int RBD::list(IoCtx &io_ctx, std::vector<std::string> &names) {
  std::vector<image_spec_t> images;
  int result = list2(io_ctx, &images);
  if (result < 0) {
    return result;
  }
  names.clear();
  for (auto &image : images) {
    names.push_back(std::move(image.name));
  }
  return 0;
}

int RBD::list2(IoCtx &io_ctx, std::vector<image_spec_t> *images) {
  images->clear();
  return lsd::listed<rbd_image_spec_t>(
      [&](rbd_image_spec_t *places, size_t *count) { return rbd_list2(lsd::raw(io_ctx), places, count); },
      [&](const rbd_image_spec_t &image) { images->push_back({lsd::owned(image.id), lsd::owned(image.name)}); },
      rbd_image_spec_list_cleanup);
}

int RBD::create(IoCtx &io_ctx, const char *name, uint64_t size, int *order) {
  return rbd_create(lsd::raw(io_ctx), name, size, order);
}

int RBD::create2(IoCtx &io_ctx, const char *name, uint64_t size, uint64_t features, int *order) {
  return rbd_create2(lsd::raw(io_ctx), name, size, features, order);
}

int RBD::create3(IoCtx &io_ctx, const char *name, uint64_t size, uint64_t features, int *order, uint64_t stripe_unit,
                 uint64_t stripe_count) {
  return rbd_create3(lsd::raw(io_ctx), name, size, features, order, stripe_unit, stripe_count);
}

int RBD::create4(IoCtx &io_ctx, const char *name, uint64_t size, ImageOptions &opts) {
  return rbd_create4(lsd::raw(io_ctx), name, size, opts.opts);
}

int RBD::clone(IoCtx &p_ioctx, const char *p_name, const char *p_snapname, IoCtx &c_ioctx, const char *c_name,
               uint64_t features, int *c_order) {
  return rbd_clone(lsd::raw(p_ioctx), p_name, p_snapname, lsd::raw(c_ioctx), c_name, features, c_order);
}

int RBD::clone2(IoCtx &p_ioctx, const char *p_name, const char *p_snapname, IoCtx &c_ioctx, const char *c_name,
                uint64_t features, int *c_order, uint64_t stripe_unit, int stripe_count) {
  return rbd_clone2(lsd::raw(p_ioctx), p_name, p_snapname, lsd::raw(c_ioctx), c_name, features, c_order, stripe_unit,
                    stripe_count);
}

int RBD::clone3(IoCtx &p_ioctx, const char *p_name, const char *p_snapname, IoCtx &c_ioctx, const char *c_name,
                ImageOptions &opts) {
  return rbd_clone3(lsd::raw(p_ioctx), p_name, p_snapname, lsd::raw(c_ioctx), c_name, opts.opts);
}

int RBD::remove(IoCtx &io_ctx, const char *name) { return rbd_remove(lsd::raw(io_ctx), name); }

int RBD::remove_with_progress(IoCtx &io_ctx, const char *name, ProgressContext &pctx) {
  return rbd_remove_with_progress(lsd::raw(io_ctx), name, lsd::progress, &pctx);
}

int RBD::rename(IoCtx &src_io_ctx, const char *srcname, const char *destname) {
  return rbd_rename(lsd::raw(src_io_ctx), srcname, destname);
}

namespace {

trash_image_info_t told(const rbd_trash_image_info_t &entry) {
  return {lsd::owned(entry.id), lsd::owned(entry.name), entry.source, entry.deletion_time, entry.deferment_end_time};
}

} // namespace

int RBD::trash_move(IoCtx &io_ctx, const char *name, uint64_t delay) {
  return rbd_trash_move(lsd::raw(io_ctx), name, delay);
}

int RBD::trash_get(IoCtx &io_ctx, const char *id, trash_image_info_t *info) {
  rbd_trash_image_info_t entry{};
  int result = rbd_trash_get(lsd::raw(io_ctx), id, &entry);
  if (result >= 0) {
    *info = told(entry);
    rbd_trash_get_cleanup(&entry);
  }
  return result;
}

int RBD::trash_list(IoCtx &io_ctx, std::vector<trash_image_info_t> &entries) {
  return lsd::listed<rbd_trash_image_info_t>(
      [&](rbd_trash_image_info_t *places, size_t *count) { return rbd_trash_list(lsd::raw(io_ctx), places, count); },
      [&](const rbd_trash_image_info_t &entry) { entries.push_back(told(entry)); }, rbd_trash_list_cleanup);
}

int RBD::trash_purge(IoCtx &io_ctx, time_t expire_ts, float threshold) {
  return rbd_trash_purge(lsd::raw(io_ctx), expire_ts, threshold);
}

int RBD::trash_purge_with_progress(IoCtx &io_ctx, time_t expire_ts, float threshold, ProgressContext &pctx) {
  return rbd_trash_purge_with_progress(lsd::raw(io_ctx), expire_ts, threshold, lsd::progress, &pctx);
}

int RBD::trash_remove(IoCtx &io_ctx, const char *image_id, bool force) {
  return rbd_trash_remove(lsd::raw(io_ctx), image_id, force);
}

int RBD::trash_remove_with_progress(IoCtx &io_ctx, const char *image_id, bool force, ProgressContext &pctx) {
  return rbd_trash_remove_with_progress(lsd::raw(io_ctx), image_id, force, lsd::progress, &pctx);
}

int RBD::trash_restore(IoCtx &io_ctx, const char *id, const char *name) {
  return rbd_trash_restore(lsd::raw(io_ctx), id, name);
}

int RBD::migration_prepare(IoCtx &io_ctx, const char *image_name, IoCtx &dest_io_ctx, const char *dest_image_name,
                           ImageOptions &opts) {
  return rbd_migration_prepare(lsd::raw(io_ctx), image_name, lsd::raw(dest_io_ctx), dest_image_name, opts.opts);
}

int RBD::migration_prepare_import(const char *source_spec, IoCtx &dest_io_ctx, const char *dest_image_name,
                                  ImageOptions &opts) {
  return rbd_migration_prepare_import(source_spec, lsd::raw(dest_io_ctx), dest_image_name, opts.opts);
}

int RBD::migration_execute(IoCtx &io_ctx, const char *image_name) {
  return rbd_migration_execute(lsd::raw(io_ctx), image_name);
}

int RBD::migration_execute_with_progress(IoCtx &io_ctx, const char *image_name, ProgressContext &prog_ctx) {
  return rbd_migration_execute_with_progress(lsd::raw(io_ctx), image_name, lsd::progress, &prog_ctx);
}

int RBD::migration_abort(IoCtx &io_ctx, const char *image_name) {
  return rbd_migration_abort(lsd::raw(io_ctx), image_name);
}

int RBD::migration_abort_with_progress(IoCtx &io_ctx, const char *image_name, ProgressContext &prog_ctx) {
  return rbd_migration_abort_with_progress(lsd::raw(io_ctx), image_name, lsd::progress, &prog_ctx);
}

int RBD::migration_commit(IoCtx &io_ctx, const char *image_name) {
  return rbd_migration_commit(lsd::raw(io_ctx), image_name);
}

int RBD::migration_commit_with_progress(IoCtx &io_ctx, const char *image_name, ProgressContext &prog_ctx) {
  return rbd_migration_commit_with_progress(lsd::raw(io_ctx), image_name, lsd::progress, &prog_ctx);
}

int RBD::migration_status(IoCtx &io_ctx, const char *image_name, image_migration_status_t *status, size_t status_size) {
  if (status_size != sizeof(image_migration_status_t)) {
    return -ERANGE;
  }
  rbd_image_migration_status_t found{};
  int result = rbd_migration_status(lsd::raw(io_ctx), image_name, &found, sizeof(found));
  if (result >= 0) {
    lsd::Finally cleaned([&] { rbd_migration_status_cleanup(&found); });
    *status = {found.source_pool_id,
               lsd::owned(found.source_pool_namespace),
               lsd::owned(found.source_image_name),
               lsd::owned(found.source_image_id),
               found.dest_pool_id,
               lsd::owned(found.dest_pool_namespace),
               lsd::owned(found.dest_image_name),
               lsd::owned(found.dest_image_id),
               found.state,
               lsd::owned(found.state_description)};
  }
  return result;
}

} // namespace librbd
