// `Image`: what it tells of itself, of its parent and of its children.
#include "bridge.h"

#include <set>
#include <utility>

namespace librbd {

namespace {

linked_image_spec_t told(const rbd_linked_image_spec_t &image) {
  return {image.pool_id,
          lsd::owned(image.pool_name),
          lsd::owned(image.pool_namespace),
          lsd::owned(image.image_id),
          lsd::owned(image.image_name),
          image.trash};
}

using LinkedImages = int (*)(rbd_image_t, rbd_linked_image_spec_t *, size_t *);

int linked_images(LinkedImages list, rbd_image_t image, std::vector<linked_image_spec_t> *images) {
  images->clear();
  return lsd::listed<rbd_linked_image_spec_t>(
      [&](rbd_linked_image_spec_t *places, size_t *count) { return list(image, places, count); },
      [&](const rbd_linked_image_spec_t &found) { images->push_back(told(found)); },
      rbd_linked_image_spec_list_cleanup);
}

void give(std::string *place, const std::string &text) {
  if (place != nullptr) {
    *place = text;
  }
}

} // namespace

int Image::stat(image_info_t &info, size_t infosize) { return rbd_stat(ctx, &info, infosize); }

int Image::get_name(std::string *name) {
  return lsd::text(name, [&](char *buffer, size_t *size) { return rbd_get_name(ctx, buffer, size); });
}

int Image::get_id(std::string *id) {
  return lsd::text(id, [&](char *buffer, size_t *size) { return rbd_get_id(ctx, buffer, *size); });
}

std::string Image::get_block_name_prefix() {
  std::string prefix;
  lsd::text(&prefix, [&](char *buffer, size_t *size) { return rbd_get_block_name_prefix(ctx, buffer, *size); });
  return prefix;
}

int64_t Image::get_data_pool_id() { return rbd_get_data_pool_id(ctx); }

int Image::parent_info(std::string *parent_poolname, std::string *parent_name, std::string *parent_snapname) {
  return parent_info2(parent_poolname, parent_name, nullptr, parent_snapname);
}

int Image::parent_info2(std::string *parent_poolname, std::string *parent_name, std::string *parent_id,
                        std::string *parent_snapname) {
  linked_image_spec_t image;
  snap_spec_t snap;
  int result = get_parent(&image, &snap);
  if (result >= 0) {
    give(parent_poolname, image.pool_name);
    give(parent_name, image.image_name);
    give(parent_id, image.image_id);
    give(parent_snapname, snap.name);
  }
  return result;
}

int Image::get_parent(linked_image_spec_t *parent_image, snap_spec_t *parent_snap) {
  rbd_linked_image_spec_t image{};
  rbd_snap_spec_t snap{};
  int result = rbd_get_parent(ctx, &image, &snap);
  if (result >= 0) {
    lsd::Finally cleaned([&] {
      rbd_linked_image_spec_cleanup(&image);
      rbd_snap_spec_cleanup(&snap);
    });
    *parent_image = told(image);
    *parent_snap = {snap.id, snap.namespace_type, lsd::owned(snap.name)};
  }
  return result;
}

int Image::get_migration_source_spec(std::string *source_spec) {
  return lsd::text(source_spec,
                   [&](char *buffer, size_t *size) { return rbd_get_migration_source_spec(ctx, buffer, size); });
}

int Image::old_format(uint8_t *old) { return rbd_get_old_format(ctx, old); }

int Image::size(uint64_t *size) { return rbd_get_size(ctx, size); }

int Image::get_group(group_info_t *group_info, size_t group_info_size) {
  if (group_info_size != sizeof(group_info_t)) {
    return -ERANGE;
  }
  rbd_group_info_t found{};
  int result = rbd_get_group(ctx, &found, sizeof(found));
  if (result >= 0) {
    lsd::Finally cleaned([&] { rbd_group_info_cleanup(&found, sizeof(found)); });
    *group_info = {lsd::owned(found.name), found.pool};
  }
  return result;
}

int Image::features(uint64_t *features) { return rbd_get_features(ctx, features); }

int Image::update_features(uint64_t features, bool enabled) { return rbd_update_features(ctx, features, enabled); }

int Image::get_op_features(uint64_t *op_features) { return rbd_get_op_features(ctx, op_features); }

int Image::overlap(uint64_t *overlap) { return rbd_get_overlap(ctx, overlap); }

int Image::get_flags(uint64_t *flags) { return rbd_get_flags(ctx, flags); }

uint64_t Image::get_stripe_unit() const {
  uint64_t stripe_unit = 0;
  rbd_get_stripe_unit(ctx, &stripe_unit);
  return stripe_unit;
}

uint64_t Image::get_stripe_count() const {
  uint64_t stripe_count = 0;
  rbd_get_stripe_count(ctx, &stripe_count);
  return stripe_count;
}

int Image::get_create_timestamp(struct timespec *timestamp) { return rbd_get_create_timestamp(ctx, timestamp); }

int Image::get_access_timestamp(struct timespec *timestamp) { return rbd_get_access_timestamp(ctx, timestamp); }

int Image::get_modify_timestamp(struct timespec *timestamp) { return rbd_get_modify_timestamp(ctx, timestamp); }

int Image::list_children(std::set<std::pair<std::string, std::string>> *children) {
  std::vector<linked_image_spec_t> images;
  int result = list_children3(&images);
  for (const auto &image : images) {
    if (!image.trash) {
      children->insert({image.pool_name, image.image_name});
    }
  }
  return result;
}

int Image::list_children2(std::vector<librbd::child_info_t> *children) {
  std::vector<linked_image_spec_t> images;
  int result = list_children3(&images);
  for (const auto &image : images) {
    children->push_back({image.pool_name, image.image_name, image.image_id, image.trash});
  }
  return result;
}

int Image::list_children3(std::vector<linked_image_spec_t> *images) {
  return linked_images(rbd_list_children3, ctx, images);
}

int Image::list_descendants(std::vector<linked_image_spec_t> *images) {
  return linked_images(rbd_list_descendants, ctx, images);
}

} // namespace librbd
