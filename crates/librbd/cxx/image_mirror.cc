// `Image`: mirroring of this image.
#include "completion.h"
#include "mirror.h"

#include <memory>

namespace librbd {

using lsd::Operation;

namespace {

// An asynchronous question whose answer is a struct: `int call(C *place, rbd_completion_t)`; what it gave is the caller's in C++
// before the completion is complete.
template <class C, class Answer, class Call, class Clean>
int asked(Answer *answer, RBD::AioCompletion *c, Call call, Clean clean) {
  auto found = std::make_shared<C>();
  Operation *operation = Operation::claim(c);
  if (operation == nullptr) {
    return -EINVAL;
  }
  operation->at_end([=](ssize_t result) {
    if (result >= 0) {
      *answer = lsd::told(*found);
      clean(found.get());
    }
  });
  return operation->start([&](rbd_completion_t completion) { return call(found.get(), completion); });
}

template <class C, class Answer, class Call, class Clean> int asked_now(Answer *answer, Call call, Clean clean) {
  C found{};
  int result = call(&found);
  if (result >= 0) {
    *answer = lsd::told(found);
    clean(&found);
  }
  return result;
}

} // namespace

int Image::mirror_image_enable() { return rbd_mirror_image_enable(ctx); }

int Image::mirror_image_enable2(mirror_image_mode_t mode) { return rbd_mirror_image_enable2(ctx, mode); }

int Image::mirror_image_disable(bool force) { return rbd_mirror_image_disable(ctx, force); }

int Image::mirror_image_promote(bool force) { return rbd_mirror_image_promote(ctx, force); }

int Image::mirror_image_demote() { return rbd_mirror_image_demote(ctx); }

int Image::mirror_image_resync() { return rbd_mirror_image_resync(ctx); }

int Image::mirror_image_create_snapshot(uint64_t *snap_id) { return rbd_mirror_image_create_snapshot(ctx, snap_id); }

int Image::mirror_image_create_snapshot2(uint32_t flags, uint64_t *snap_id) {
  return rbd_mirror_image_create_snapshot2(ctx, flags, snap_id);
}

int Image::mirror_image_get_info(mirror_image_info_t *mirror_image_info, size_t info_size) {
  if (info_size != sizeof(mirror_image_info_t)) {
    return -ERANGE;
  }
  using C = rbd_mirror_image_info_t;
  return asked_now<C>(
      mirror_image_info, [&](C *place) { return rbd_mirror_image_get_info(ctx, place, sizeof(C)); },
      rbd_mirror_image_get_info_cleanup);
}

int Image::mirror_image_get_mode(mirror_image_mode_t *mode) { return rbd_mirror_image_get_mode(ctx, mode); }

int Image::mirror_image_get_global_status(mirror_image_global_status_t *mirror_image_global_status,
                                          size_t status_size) {
  if (status_size != sizeof(mirror_image_global_status_t)) {
    return -ERANGE;
  }
  using C = rbd_mirror_image_global_status_t;
  return asked_now<C>(
      mirror_image_global_status, [&](C *place) { return rbd_mirror_image_get_global_status(ctx, place, sizeof(C)); },
      rbd_mirror_image_global_status_cleanup);
}

int Image::mirror_image_get_status(mirror_image_status_t *mirror_image_status, size_t status_size) {
  if (status_size != sizeof(mirror_image_status_t)) {
    return -ERANGE;
  }
  using C = rbd_mirror_image_status_t;
  return asked_now<C>(
      mirror_image_status, [&](C *place) { return rbd_mirror_image_get_status(ctx, place, sizeof(C)); }, lsd::clean);
}

int Image::mirror_image_get_instance_id(std::string *instance_id) {
  return lsd::text(instance_id,
                   [&](char *buffer, size_t *size) { return rbd_mirror_image_get_instance_id(ctx, buffer, size); });
}

int Image::aio_mirror_image_promote(bool force, RBD::AioCompletion *c) {
  return Operation::run(c, [&](rbd_completion_t completion) { return rbd_aio_mirror_image_promote(ctx, force, completion); });
}

int Image::aio_mirror_image_demote(RBD::AioCompletion *c) {
  return Operation::run(c, [&](rbd_completion_t completion) { return rbd_aio_mirror_image_demote(ctx, completion); });
}

int Image::aio_mirror_image_get_info(mirror_image_info_t *mirror_image_info, size_t info_size, RBD::AioCompletion *c) {
  if (info_size != sizeof(mirror_image_info_t)) {
    return -ERANGE;
  }
  using C = rbd_mirror_image_info_t;
  return asked<C>(
      mirror_image_info, c,
      [&](C *place, rbd_completion_t completion) {
        return rbd_aio_mirror_image_get_info(ctx, place, sizeof(C), completion);
      },
      rbd_mirror_image_get_info_cleanup);
}

int Image::aio_mirror_image_get_mode(mirror_image_mode_t *mode, RBD::AioCompletion *c) {
  return Operation::run(c, [&](rbd_completion_t completion) { return rbd_aio_mirror_image_get_mode(ctx, mode, completion); });
}

int Image::aio_mirror_image_get_global_status(mirror_image_global_status_t *mirror_image_global_status,
                                              size_t status_size, RBD::AioCompletion *c) {
  if (status_size != sizeof(mirror_image_global_status_t)) {
    return -ERANGE;
  }
  using C = rbd_mirror_image_global_status_t;
  return asked<C>(
      mirror_image_global_status, c,
      [&](C *place, rbd_completion_t completion) {
        return rbd_aio_mirror_image_get_global_status(ctx, place, sizeof(C), completion);
      },
      rbd_mirror_image_global_status_cleanup);
}

int Image::aio_mirror_image_get_status(mirror_image_status_t *mirror_image_status, size_t status_size,
                                       RBD::AioCompletion *c) {
  if (status_size != sizeof(mirror_image_status_t)) {
    return -ERANGE;
  }
  using C = rbd_mirror_image_status_t;
  return asked<C>(
      mirror_image_status, c,
      [&](C *place, rbd_completion_t completion) {
        return rbd_aio_mirror_image_get_status(ctx, place, sizeof(C), completion);
      },
      lsd::clean);
}

int Image::aio_mirror_image_create_snapshot(uint32_t flags, uint64_t *snap_id, RBD::AioCompletion *c) {
  return Operation::run(c, [&](rbd_completion_t completion) {
    return rbd_aio_mirror_image_create_snapshot(ctx, flags, snap_id, completion);
  });
}

} // namespace librbd
