// `RBD`: opening images, at once and asynchronously.
//
// An `Image` that is open already is closed first, as in librbd.
#include "completion.h"

namespace librbd {

namespace {

using Open = int (*)(rados_ioctx_t, const char *, rbd_image_t *, const char *);
using AioOpen = int (*)(rados_ioctx_t, const char *, rbd_image_t *, const char *, rbd_completion_t);

int opened(Open open, IoCtx &io_ctx, Image &image, image_ctx_t *ctx, const char *which, const char *snapname) {
  image.close();
  image_ctx_t fresh = nullptr;
  int result = open(lsd::raw(io_ctx), which, &fresh, snapname);
  if (result < 0) {
    return result;
  }
  *ctx = fresh;
  return 0;
}

// The handle is there, or null, before the completion is complete.
int opening(AioOpen open, IoCtx &io_ctx, Image &image, image_ctx_t *ctx, const char *which, const char *snapname,
            RBD::AioCompletion *c) {
  image.close();
  return lsd::Operation::run(c, [&](rbd_completion_t completion) { return open(lsd::raw(io_ctx), which, ctx, snapname, completion); });
}

} // namespace

int RBD::open(IoCtx &io_ctx, Image &image, const char *name) { return open(io_ctx, image, name, nullptr); }

int RBD::open(IoCtx &io_ctx, Image &image, const char *name, const char *snapname) {
  return opened(rbd_open, io_ctx, image, &image.ctx, name, snapname);
}

int RBD::open_by_id(IoCtx &io_ctx, Image &image, const char *id) { return open_by_id(io_ctx, image, id, nullptr); }

int RBD::open_by_id(IoCtx &io_ctx, Image &image, const char *id, const char *snapname) {
  return opened(rbd_open_by_id, io_ctx, image, &image.ctx, id, snapname);
}

int RBD::open_read_only(IoCtx &io_ctx, Image &image, const char *name, const char *snapname) {
  return opened(rbd_open_read_only, io_ctx, image, &image.ctx, name, snapname);
}

int RBD::open_by_id_read_only(IoCtx &io_ctx, Image &image, const char *id, const char *snapname) {
  return opened(rbd_open_by_id_read_only, io_ctx, image, &image.ctx, id, snapname);
}

int RBD::aio_open(IoCtx &io_ctx, Image &image, const char *name, const char *snapname, RBD::AioCompletion *c) {
  return opening(rbd_aio_open, io_ctx, image, &image.ctx, name, snapname, c);
}

int RBD::aio_open_by_id(IoCtx &io_ctx, Image &image, const char *id, const char *snapname, RBD::AioCompletion *c) {
  return opening(rbd_aio_open_by_id, io_ctx, image, &image.ctx, id, snapname, c);
}

int RBD::aio_open_read_only(IoCtx &io_ctx, Image &image, const char *name, const char *snapname,
                            RBD::AioCompletion *c) {
  return opening(rbd_aio_open_read_only, io_ctx, image, &image.ctx, name, snapname, c);
}

int RBD::aio_open_by_id_read_only(IoCtx &io_ctx, Image &image, const char *id, const char *snapname,
                                  RBD::AioCompletion *c) {
  return opening(rbd_aio_open_by_id_read_only, io_ctx, image, &image.ctx, id, snapname, c);
}

Image::Image() : ctx(nullptr) {}

Image::~Image() { close(); }

int Image::close() {
  image_ctx_t closed = ctx;
  ctx = nullptr;
  return closed == nullptr ? 0 : rbd_close(closed);
}

int Image::aio_close(RBD::AioCompletion *c) {
  if (ctx == nullptr) {
    return -EINVAL;
  }
  // The callback may destroy this image before the call returns.
  image_ctx_t closed = ctx;
  lsd::Operation *operation = lsd::Operation::claim(c);
  if (operation == nullptr) {
    return -EINVAL;
  }
  ctx = nullptr;
  return operation->start([&](rbd_completion_t completion) { return rbd_aio_close(closed, completion); });
}

} // namespace librbd
