// `Image`: reading and writing at once. Each method gives the number of bytes, or an error.
#include "buffers.h"

namespace librbd {

namespace {

// A list that shares the buffers of the caller's, so that joining them changes nothing of the caller's.
class Joined {
public:
  explicit Joined(const ceph::bufferlist &list) : list(list), data(this->list.c_str()) {}

private:
  ceph::bufferlist list;

public:
  const char *const data;
};

} // namespace

ssize_t Image::read(uint64_t ofs, size_t len, ceph::bufferlist &bl) { return read2(ofs, len, bl, 0); }

ssize_t Image::read2(uint64_t ofs, size_t len, ceph::bufferlist &bl, int op_flags) {
  ceph::bufferptr target = lsd::room(len);
  ssize_t bytes = rbd_read2(ctx, ofs, len, target.c_str(), op_flags);
  if (bytes >= 0) {
    lsd::put(bl, std::move(target), bytes);
  }
  return bytes;
}

int64_t Image::read_iterate(uint64_t ofs, size_t len, int (*cb)(uint64_t, size_t, const char *, void *), void *arg) {
  return rbd_read_iterate(ctx, ofs, len, cb, arg);
}

int Image::read_iterate2(uint64_t ofs, uint64_t len, int (*cb)(uint64_t, size_t, const char *, void *), void *arg) {
  return rbd_read_iterate2(ctx, ofs, len, cb, arg);
}

int Image::diff_iterate(const char *fromsnapname, uint64_t ofs, uint64_t len,
                        int (*cb)(uint64_t, size_t, int, void *), void *arg) {
  return rbd_diff_iterate(ctx, fromsnapname, ofs, len, cb, arg);
}

int Image::diff_iterate2(const char *fromsnapname, uint64_t ofs, uint64_t len, bool include_parent, bool whole_object,
                         int (*cb)(uint64_t, size_t, int, void *), void *arg) {
  return rbd_diff_iterate2(ctx, fromsnapname, ofs, len, include_parent, whole_object, cb, arg);
}

ssize_t Image::write(uint64_t ofs, size_t len, ceph::bufferlist &bl) { return write2(ofs, len, bl, 0); }

ssize_t Image::write2(uint64_t ofs, size_t len, ceph::bufferlist &bl, int op_flags) {
  if (bl.length() < len) {
    return -EINVAL;
  }
  return rbd_write2(ctx, ofs, len, Joined(bl).data, op_flags);
}

int Image::discard(uint64_t ofs, uint64_t len) { return rbd_discard(ctx, ofs, len); }

ssize_t Image::writesame(uint64_t ofs, size_t len, ceph::bufferlist &bl, int op_flags) {
  return rbd_writesame(ctx, ofs, len, Joined(bl).data, bl.length(), op_flags);
}

ssize_t Image::write_zeroes(uint64_t ofs, size_t len, int zero_flags, int op_flags) {
  return rbd_write_zeroes(ctx, ofs, len, zero_flags, op_flags);
}

ssize_t Image::compare_and_write(uint64_t ofs, size_t len, ceph::bufferlist &cmp_bl, ceph::bufferlist &bl,
                                 uint64_t *mismatch_off, int op_flags) {
  if (bl.length() < len || cmp_bl.length() < len) {
    return -EINVAL;
  }
  return rbd_compare_and_write(ctx, ofs, len, Joined(cmp_bl).data, Joined(bl).data, mismatch_off, op_flags);
}

int Image::flush() { return rbd_flush(ctx); }

int Image::invalidate_cache() { return rbd_invalidate_cache(ctx); }

} // namespace librbd
