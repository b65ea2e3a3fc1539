// The small classes of librbd.hpp: options of images, statistics of pools, progress; and what of `RBD` needs no pool.
#include "ours.h"

#include <typeinfo>

namespace librbd {

// The first virtual method that is not inline: so the class's table and type information are in this file's object.
ProgressContext::~ProgressContext() {}

// librbd exports these two classes' type information, although nothing of them is in the library.
namespace {
[[gnu::used]] const std::type_info *const exported[] = {&typeid(UpdateWatchCtx), &typeid(QuiesceWatchCtx)};
}

RBD::RBD() {}

RBD::~RBD() {}

void RBD::version(int *major, int *minor, int *extra) { rbd_version(major, minor, extra); }

int RBD::features_to_string(uint64_t features, std::string *str_features) {
  return lsd::text(str_features,
                   [&](char *buffer, size_t *size) { return rbd_features_to_string(features, buffer, size); });
}

int RBD::features_from_string(const std::string str_features, uint64_t *features) {
  return rbd_features_from_string(str_features.c_str(), features);
}

PoolStats::PoolStats() { rbd_pool_stats_create(&pool_stats); }

PoolStats::~PoolStats() { rbd_pool_stats_destroy(pool_stats); }

int PoolStats::add(rbd_pool_stat_option_t option, uint64_t *opt_val) {
  return rbd_pool_stats_option_add_uint64(pool_stats, option, opt_val);
}

ImageOptions::ImageOptions() { rbd_image_options_create(&opts); }

// Another handle of the same options: what is set through one is seen through the other.
ImageOptions::ImageOptions(rbd_image_options_t opts_) : opts(nullptr) { lsd_image_options_share(opts_, &opts); }

ImageOptions::ImageOptions(const ImageOptions &imgopts) {
  rbd_image_options_create(&opts);
  std::vector<int> options{lsd::KIND_OPTION};
  for (int option = RBD_IMAGE_OPTION_FORMAT; option <= RBD_IMAGE_OPTION_MIRROR_IMAGE_MODE; ++option) {
    options.push_back(option);
  }
  for (int option : options) {
    uint64_t number;
    std::string text;
    if (imgopts.get(option, &number) == 0) {
      set(option, number);
    } else if (imgopts.get(option, &text) == 0) {
      set(option, text);
    }
  }
}

ImageOptions::~ImageOptions() { rbd_image_options_destroy(opts); }

int ImageOptions::set(int optname, const std::string &optval) {
  return rbd_image_options_set_string(opts, optname, optval.c_str());
}

int ImageOptions::set(int optname, uint64_t optval) { return rbd_image_options_set_uint64(opts, optname, optval); }

int ImageOptions::get(int optname, std::string *optval) const {
  return lsd::text(optval, [&](char *buffer, size_t *size) {
    int result = rbd_image_options_get_string(opts, optname, buffer, *size);
    return result == -E2BIG ? -ERANGE : result;
  });
}

int ImageOptions::get(int optname, uint64_t *optval) const {
  return rbd_image_options_get_uint64(opts, optname, optval);
}

int ImageOptions::is_set(int optname, bool *is_set) { return rbd_image_options_is_set(opts, optname, is_set); }

int ImageOptions::unset(int optname) { return rbd_image_options_unset(opts, optname); }

void ImageOptions::clear() { rbd_image_options_clear(opts); }

bool ImageOptions::empty() const { return rbd_image_options_is_empty(opts) > 0; }

} // namespace librbd
