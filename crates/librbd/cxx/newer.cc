// Methods that librbd's classes got after Ceph 16.
//
// The installed header may not declare them, so each is a function with the object first, under the symbol of the method; what
// the method takes that the header does not have is declared here. Owns: those symbols. The names say which method each is.
#include "ours.h"

#include <utility>

using librbd::Image;
using librbd::ImageOptions;
using librbd::IoCtx;
using librbd::RBD;

namespace lsd::newer {

// As in librbd.hpp of Ceph 20.
struct GroupImageSnap {
  std::string image_name;
  int64_t pool_id;
  uint64_t snap_id;
};

struct GroupSnapInfo {
  std::string id;
  std::string name;
  std::string image_snap_name;
  rbd_group_snap_state_t state;
  int namespace_type;
  std::vector<GroupImageSnap> image_snaps;
};

struct OriginalNamespace {
  rbd_snap_namespace_type_t original_type;
  std::string original_name;
};

namespace {

// RBD_ENCRYPTION_FORMAT_LUKS of Ceph 18: whichever of the two it is.
constexpr int ANY_LUKS = 2;

GroupSnapInfo told(const GroupSnap &snap) {
  GroupSnapInfo found{owned(snap.id), owned(snap.name),    owned(snap.image_snap_name),
                      snap.state,     snap.namespace_type, {}};
  for (size_t at = 0; at < snap.image_snaps_count; ++at) {
    const ImageSnap &part = snap.image_snaps[at];
    found.image_snaps.push_back({owned(part.image_name), part.pool_id, part.snap_id});
  }
  return found;
}

// The handle in an object, to be changed.
void *&handle(Image *image) { return *reinterpret_cast<void **>(image); }

} // namespace

int rbd_clone4(RBD *, IoCtx &p_ioctx, const char *p_name, uint64_t p_snap_id, IoCtx &c_ioctx, const char *c_name,
               ImageOptions &opts)
    __asm__("_ZN6librbd3RBD6clone4ERN8librados7v14_2_05IoCtxEPKcmS4_S6_RNS_12ImageOptionsE");
int rbd_clone4(RBD *, IoCtx &p_ioctx, const char *p_name, uint64_t p_snap_id, IoCtx &c_ioctx, const char *c_name,
               ImageOptions &opts) {
  return clone4(raw(p_ioctx), p_name, p_snap_id, raw(c_ioctx), c_name, raw(opts));
}

int rbd_group_get_id(RBD *, IoCtx &io_ctx, const char *group_name,
                     std::string *group_id)
    __asm__("_ZN6librbd3RBD12group_get_idERN8librados7v14_2_05IoCtxEPKcPNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE");
int rbd_group_get_id(RBD *, IoCtx &io_ctx, const char *group_name, std::string *group_id) {
  return text(group_id,
              [&](char *buffer, size_t *size) { return group_get_id(raw(io_ctx), group_name, buffer, size); });
}

int rbd_group_snap_list2(RBD *, IoCtx &group_ioctx, const char *group_name,
                         std::vector<GroupSnapInfo> *snaps)
    __asm__("_ZN6librbd3RBD16group_snap_list2ERN8librados7v14_2_05IoCtxEPKcPSt6vectorINS_18group_snap_info2_tESaIS8_EE");
int rbd_group_snap_list2(RBD *, IoCtx &group_ioctx, const char *group_name, std::vector<GroupSnapInfo> *snaps) {
  return listed<GroupSnap>(
      [&](GroupSnap *places, size_t *count) { return group_snap_list2(raw(group_ioctx), group_name, places, count); },
      [&](const GroupSnap &snap) { snaps->push_back(told(snap)); }, group_snap_list2_cleanup);
}

int rbd_group_snap_get_info(RBD *, IoCtx &group_ioctx, const char *group_name, const char *snap_name,
                            GroupSnapInfo *group_snap)
    __asm__("_ZN6librbd3RBD19group_snap_get_infoERN8librados7v14_2_05IoCtxEPKcS6_PNS_18group_snap_info2_tE");
int rbd_group_snap_get_info(RBD *, IoCtx &group_ioctx, const char *group_name, const char *snap_name,
                            GroupSnapInfo *group_snap) {
  GroupSnap found{};
  int result = group_snap_get_info(raw(group_ioctx), group_name, snap_name, &found);
  if (result >= 0) {
    Finally cleaned([&] { group_snap_get_info_cleanup(&found); });
    *group_snap = told(found);
  }
  return result;
}

int rbd_mirror_remote_namespace_get(RBD *, IoCtx &io_ctx,
                                    std::string *remote_namespace)
    __asm__("_ZN6librbd3RBD27mirror_remote_namespace_getERN8librados7v14_2_05IoCtxEPNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE");
int rbd_mirror_remote_namespace_get(RBD *, IoCtx &io_ctx, std::string *remote_namespace) {
  return text(remote_namespace,
              [&](char *buffer, size_t *size) { return mirror_remote_namespace_get(raw(io_ctx), buffer, size); });
}

int rbd_mirror_remote_namespace_set(RBD *, IoCtx &io_ctx,
                                    const std::string &remote_namespace)
    __asm__("_ZN6librbd3RBD27mirror_remote_namespace_setERN8librados7v14_2_05IoCtxERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE");
int rbd_mirror_remote_namespace_set(RBD *, IoCtx &io_ctx, const std::string &remote_namespace) {
  return mirror_remote_namespace_set(raw(io_ctx), remote_namespace.c_str());
}

// A constructor has a symbol for whole objects and one for parts of objects.
void image_move(Image *image, Image &&rhs) noexcept
    __asm__("_ZN6librbd5ImageC1EOS0_");
void image_move(Image *image, Image &&rhs) noexcept { handle(image) = std::exchange(handle(&rhs), nullptr); }

void image_move_base(Image *image, Image &&rhs) noexcept
    __asm__("_ZN6librbd5ImageC2EOS0_");
void image_move_base(Image *image, Image &&rhs) noexcept { image_move(image, std::move(rhs)); }

// What was open is closed.
Image &image_assign(Image *image, Image &&rhs) noexcept
    __asm__("_ZN6librbd5ImageaSEOS0_");
Image &image_assign(Image *image, Image &&rhs) noexcept {
  void *taken = std::exchange(handle(&rhs), nullptr);
  image->close();
  handle(image) = taken;
  return *image;
}

// The C++ structs hold a string, the C ones a pointer and a length.
int image_encryption_load2(Image *image, const EncryptionSpec *specs,
                           size_t spec_count)
    __asm__("_ZN6librbd5Image16encryption_load2EPK21rbd_encryption_spec_tm");
int image_encryption_load2(Image *image, const EncryptionSpec *specs, size_t spec_count) {
  union Options {
    rbd_encryption_luks1_format_options_t of_version;
    struct {
      const char *passphrase;
      size_t passphrase_size;
    } of_any;
  };
  std::vector<Options> options(spec_count);
  std::vector<EncryptionSpec> told(specs, specs + spec_count);
  for (size_t at = 0; at < spec_count; ++at) {
    EncryptionSpec &spec = told[at];
    if (static_cast<int>(spec.format) == ANY_LUKS && spec.opts_size == sizeof(std::string)) {
      const auto &passphrase = *static_cast<const std::string *>(spec.opts);
      options[at].of_any = {passphrase.c_str(), passphrase.size()};
      spec.opts_size = sizeof(options[at].of_any);
    } else if (static_cast<int>(spec.format) < ANY_LUKS &&
               spec.opts_size == sizeof(librbd::encryption_luks1_format_options_t)) {
      // Both versions have the same members.
      const auto &given = *static_cast<const librbd::encryption_luks1_format_options_t *>(spec.opts);
      options[at].of_version = {given.alg, given.passphrase.c_str(), given.passphrase.size()};
      spec.opts_size = sizeof(options[at].of_version);
    } else {
      return -EINVAL;
    }
    spec.opts = &options[at];
  }
  return encryption_load2(raw(*image), told.data(), spec_count);
}

int image_snap_get_trash_namespace2(Image *image, uint64_t snap_id, OriginalNamespace *trash_namespace,
                                    size_t size)
    __asm__("_ZN6librbd5Image25snap_get_trash_namespace2EmPNS_22snap_trash_namespace_tEm");
int image_snap_get_trash_namespace2(Image *image, uint64_t snap_id, OriginalNamespace *trash_namespace, size_t size) {
  if (size != sizeof(OriginalNamespace)) {
    return -ERANGE;
  }
  TrashNamespace found{};
  int result = snap_get_trash_namespace2(raw(*image), snap_id, &found, sizeof(found));
  if (result >= 0) {
    Finally cleaned([&] { snap_trash_namespace_cleanup(&found, sizeof(found)); });
    *trash_namespace = {found.original_type, owned(found.original_name)};
  }
  return result;
}

int image_diff_iterate3(Image *image, uint64_t from_snap_id, uint64_t ofs, uint64_t len, uint32_t flags,
                        int (*cb)(uint64_t, size_t, int, void *), void *arg)
    __asm__("_ZN6librbd5Image13diff_iterate3EmmmjPFimmiPvES1_");
int image_diff_iterate3(Image *image, uint64_t from_snap_id, uint64_t ofs, uint64_t len, uint32_t flags,
                        int (*cb)(uint64_t, size_t, int, void *), void *arg) {
  return diff_iterate3(raw(*image), from_snap_id, ofs, len, flags, cb, arg);
}

} // namespace lsd::newer
