// `Image`: what changes it as a whole: resizing, copying, flattening, sparsifying, object maps, encryption; and its metadata.
#include "ours.h"

namespace librbd {

namespace {

// What librbd.h has for the options of an encryption: the passphrase is the caller's text.
template <class C, class Options> C in_c(const Options &options) {
  C told{};
  told.alg = options.alg;
  told.passphrase = options.passphrase.c_str();
  told.passphrase_size = options.passphrase.size();
  return told;
}

using Encryption = int (*)(rbd_image_t, rbd_encryption_format_t, rbd_encryption_options_t, size_t);

// The C++ structs hold a string, the C ones a pointer and a length.
int encrypted(Encryption call, rbd_image_t image, encryption_format_t format, encryption_options_t opts, size_t size) {
  if (format == RBD_ENCRYPTION_FORMAT_LUKS1 && size == sizeof(encryption_luks1_format_options_t)) {
    const auto &given = *static_cast<const encryption_luks1_format_options_t *>(opts);
    auto told = in_c<rbd_encryption_luks1_format_options_t>(given);
    return call(image, format, &told, sizeof(told));
  }
  if (format == RBD_ENCRYPTION_FORMAT_LUKS2 && size == sizeof(encryption_luks2_format_options_t)) {
    const auto &given = *static_cast<const encryption_luks2_format_options_t *>(opts);
    auto told = in_c<rbd_encryption_luks2_format_options_t>(given);
    return call(image, format, &told, sizeof(told));
  }
  return -EINVAL;
}

} // namespace

int Image::resize(uint64_t size) { return rbd_resize(ctx, size); }

int Image::resize2(uint64_t size, bool allow_shrink, ProgressContext &pctx) {
  return rbd_resize2(ctx, size, allow_shrink, lsd::progress, &pctx);
}

int Image::resize_with_progress(uint64_t size, ProgressContext &pctx) {
  return rbd_resize_with_progress(ctx, size, lsd::progress, &pctx);
}

int Image::rebuild_object_map(ProgressContext &prog_ctx) {
  return rbd_rebuild_object_map(ctx, lsd::progress, &prog_ctx);
}

int Image::check_object_map(ProgressContext &prog_ctx) { return lsd_check_object_map(ctx, lsd::progress, &prog_ctx); }

int Image::copy(IoCtx &dest_io_ctx, const char *destname) { return rbd_copy(ctx, lsd::raw(dest_io_ctx), destname); }

int Image::copy2(Image &dest) { return rbd_copy2(ctx, dest.ctx); }

int Image::copy3(IoCtx &dest_io_ctx, const char *destname, ImageOptions &opts) {
  return rbd_copy3(ctx, lsd::raw(dest_io_ctx), destname, opts.opts);
}

int Image::copy4(IoCtx &dest_io_ctx, const char *destname, ImageOptions &opts, size_t sparse_size) {
  return rbd_copy4(ctx, lsd::raw(dest_io_ctx), destname, opts.opts, sparse_size);
}

int Image::copy_with_progress(IoCtx &dest_io_ctx, const char *destname, ProgressContext &prog_ctx) {
  return rbd_copy_with_progress(ctx, lsd::raw(dest_io_ctx), destname, lsd::progress, &prog_ctx);
}

int Image::copy_with_progress2(Image &dest, ProgressContext &prog_ctx) {
  return rbd_copy_with_progress2(ctx, dest.ctx, lsd::progress, &prog_ctx);
}

int Image::copy_with_progress3(IoCtx &dest_io_ctx, const char *destname, ImageOptions &opts,
                               ProgressContext &prog_ctx) {
  return rbd_copy_with_progress3(ctx, lsd::raw(dest_io_ctx), destname, opts.opts, lsd::progress, &prog_ctx);
}

int Image::copy_with_progress4(IoCtx &dest_io_ctx, const char *destname, ImageOptions &opts, ProgressContext &prog_ctx,
                               size_t sparse_size) {
  return rbd_copy_with_progress4(ctx, lsd::raw(dest_io_ctx), destname, opts.opts, lsd::progress, &prog_ctx,
                                 sparse_size);
}

int Image::deep_copy(IoCtx &dest_io_ctx, const char *destname, ImageOptions &opts) {
  return rbd_deep_copy(ctx, lsd::raw(dest_io_ctx), destname, opts.opts);
}

int Image::deep_copy_with_progress(IoCtx &dest_io_ctx, const char *destname, ImageOptions &opts,
                                   ProgressContext &prog_ctx) {
  return rbd_deep_copy_with_progress(ctx, lsd::raw(dest_io_ctx), destname, opts.opts, lsd::progress, &prog_ctx);
}

int Image::encryption_format(encryption_format_t format, encryption_options_t opts, size_t opts_size) {
  return encrypted(rbd_encryption_format, ctx, format, opts, opts_size);
}

int Image::encryption_load(encryption_format_t format, encryption_options_t opts, size_t opts_size) {
  return encrypted(rbd_encryption_load, ctx, format, opts, opts_size);
}

int Image::flatten() { return rbd_flatten(ctx); }

int Image::flatten_with_progress(ProgressContext &prog_ctx) {
  return rbd_flatten_with_progress(ctx, lsd::progress, &prog_ctx);
}

int Image::sparsify(size_t sparse_size) { return rbd_sparsify(ctx, sparse_size); }

int Image::sparsify_with_progress(size_t sparse_size, ProgressContext &prog_ctx) {
  return rbd_sparsify_with_progress(ctx, sparse_size, lsd::progress, &prog_ctx);
}

int Image::metadata_get(const std::string &key, std::string *value) {
  return lsd::text(value,
                   [&](char *buffer, size_t *size) { return rbd_metadata_get(ctx, key.c_str(), buffer, size); });
}

int Image::metadata_set(const std::string &key, const std::string &value) {
  return rbd_metadata_set(ctx, key.c_str(), value.c_str());
}

int Image::metadata_remove(const std::string &key) { return rbd_metadata_remove(ctx, key.c_str()); }

int Image::metadata_list(const std::string &start, uint64_t max, std::map<std::string, ceph::bufferlist> *pairs) {
  return lsd::pairs(
      [&](char *keys, size_t *keys_size, char *values, size_t *values_size) {
        return rbd_metadata_list(ctx, start.c_str(), max, keys, keys_size, values, values_size);
      },
      [&](std::string key, const std::string &value) {
        ceph::bufferlist bytes;
        bytes.append(value.data(), value.size());
        pairs->insert({std::move(key), std::move(bytes)});
      });
}

int Image::config_list(std::vector<config_option_t> *options) {
  return lsd::listed<rbd_config_option_t, int>(
      [&](rbd_config_option_t *places, int *count) { return rbd_config_image_list(ctx, places, count); },
      [&](const rbd_config_option_t &option) {
        options->push_back({lsd::owned(option.name), lsd::owned(option.value), option.source});
      },
      rbd_config_image_list_cleanup);
}

} // namespace librbd
