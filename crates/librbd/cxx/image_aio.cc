// `Image`: the asynchronous data calls, and events. The lists of a call stay, with their buffers, until it has ended.
#include "buffers.h"
#include "completion.h"

namespace librbd {

using lsd::Operation;

int Image::aio_write(uint64_t off, size_t len, ceph::bufferlist &bl, RBD::AioCompletion *c) {
  return aio_write2(off, len, bl, c, 0);
}

int Image::aio_write2(uint64_t off, size_t len, ceph::bufferlist &bl, RBD::AioCompletion *c, int op_flags) {
  if (bl.length() < len) {
    return -EINVAL;
  }
  Operation *operation = Operation::claim(c);
  if (operation == nullptr) {
    return -EINVAL;
  }
  operation->source = bl;
  return operation->start([&](rbd_completion_t completion) {
    // rbd_aio_writev takes no flags.
    if (op_flags == 0 && bl.get_num_buffers() > 1) {
      std::vector<iovec> pieces = lsd::pieces(bl, len);
      if (!pieces.empty()) {
        return rbd_aio_writev(ctx, pieces.data(), static_cast<int>(pieces.size()), off, completion);
      }
    }
    return rbd_aio_write2(ctx, off, len, operation->source.c_str(), completion, op_flags);
  });
}

int Image::aio_discard(uint64_t off, uint64_t len, RBD::AioCompletion *c) {
  return Operation::run(c, [&](rbd_completion_t completion) { return rbd_aio_discard(ctx, off, len, completion); });
}

int Image::aio_writesame(uint64_t off, size_t len, ceph::bufferlist &bl, RBD::AioCompletion *c, int op_flags) {
  Operation *operation = Operation::claim(c);
  if (operation == nullptr) {
    return -EINVAL;
  }
  operation->source = bl;
  return operation->start([&](rbd_completion_t completion) {
    return rbd_aio_writesame(ctx, off, len, operation->source.c_str(), bl.length(), completion, op_flags);
  });
}

int Image::aio_write_zeroes(uint64_t ofs, size_t len, RBD::AioCompletion *c, int zero_flags, int op_flags) {
  return Operation::run(c, [&](rbd_completion_t completion) {
    return rbd_aio_write_zeroes(ctx, ofs, len, completion, zero_flags, op_flags);
  });
}

int Image::aio_compare_and_write(uint64_t off, size_t len, ceph::bufferlist &cmp_bl, ceph::bufferlist &bl,
                                 RBD::AioCompletion *c, uint64_t *mismatch_off, int op_flags) {
  if (bl.length() < len || cmp_bl.length() < len) {
    return -EINVAL;
  }
  Operation *operation = Operation::claim(c);
  if (operation == nullptr) {
    return -EINVAL;
  }
  operation->compared = cmp_bl;
  operation->source = bl;
  return operation->start([&](rbd_completion_t completion) {
    return rbd_aio_compare_and_write(ctx, off, len, operation->compared.c_str(), operation->source.c_str(), completion,
                                     mismatch_off, op_flags);
  });
}

int Image::aio_read(uint64_t off, size_t len, ceph::bufferlist &bl, RBD::AioCompletion *c) {
  return aio_read2(off, len, bl, c, 0);
}

int Image::aio_read2(uint64_t off, size_t len, ceph::bufferlist &bl, RBD::AioCompletion *c, int op_flags) {
  Operation *operation = Operation::claim(c);
  if (operation == nullptr) {
    return -EINVAL;
  }
  operation->target = lsd::room(len);
  operation->at_end([operation, list = &bl](ssize_t bytes) {
    if (bytes >= 0) {
      lsd::put(*list, std::move(operation->target), bytes);
    }
  });
  char *place = operation->target.c_str();
  return operation->start(
      [&](rbd_completion_t completion) { return rbd_aio_read2(ctx, off, len, place, completion, op_flags); });
}

int Image::aio_flush(RBD::AioCompletion *c) {
  return Operation::run(c, [&](rbd_completion_t completion) { return rbd_aio_flush(ctx, completion); });
}

int Image::set_image_notification(int fd, int type) { return rbd_set_image_notification(ctx, fd, type); }

int Image::poll_io_events(RBD::AioCompletion **comps, int numcomp) {
  if (numcomp < 0) {
    return -EINVAL;
  }
  std::vector<rbd_completion_t> handles(numcomp);
  int found = rbd_poll_io_events(ctx, handles.data(), numcomp);
  int given = 0;
  for (int at = 0; at < found; ++at) {
    // One that was released in its callback has nobody to give it to.
    if (Operation *operation = Operation::of(handles[at])) {
      comps[given++] = operation->completion;
    }
  }
  return found < 0 ? found : given;
}

} // namespace librbd
