// The caller's lists of buffers as C functions take data.
//
// Owns: that a list is copied once at most: one of one buffer is handed on as it is, one of many as an iovec; where a function
// takes one buffer only, a list of many becomes one (`c_str`), in a list of our own that shares the buffers.
#pragma once

#include "bridge.h"

#include <climits>
#include <sys/uio.h>

namespace lsd {

// The first `len` bytes of a list in pieces; empty if there are more than an iovec may have.
inline std::vector<iovec> pieces(const ceph::bufferlist &list, size_t len) {
  std::vector<iovec> found;
  if (list.get_num_buffers() > IOV_MAX) {
    return found;
  }
  found.reserve(list.get_num_buffers());
  for (const auto &buffer : list.buffers()) {
    size_t now = std::min<size_t>(buffer.length(), len);
    if (now > 0) {
      found.push_back({const_cast<char *>(buffer.c_str()), now});
    }
    len -= now;
  }
  return found;
}

// Room for what is read.
inline ceph::bufferptr room(size_t len) { return ceph::bufferptr(static_cast<unsigned>(len)); }

// What was read of `len` bytes, in place of whatever the list held.
inline void put(ceph::bufferlist &list, ceph::bufferptr read, ssize_t bytes) {
  list.clear();
  if (bytes > 0) {
    read.set_length(static_cast<unsigned>(bytes));
    list.append(std::move(read));
  }
}

} // namespace lsd
