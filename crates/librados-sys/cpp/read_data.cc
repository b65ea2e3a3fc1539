// Reads that leave the data where it arrived.
//
// librados' C API copies what it has received into memory of the caller; its C++ API hands over the buffers. Owns: the buffers.
//
// Everything is noexcept: what fails inside for want of memory ends the process, as in librados' C API.
#include "submission.h"

#include <cstddef>
#include <cstdint>

struct lsd_read_data {
  librados::bufferlist list;
};

extern "C" {

lsd_read_data *lsd_read_data_new() noexcept { return new lsd_read_data; }

void lsd_read_data_free(lsd_read_data *self) noexcept { delete self; }

// As rados_aio_read. `self` stays until the completion is complete.
int lsd_read_data_read(lsd_read_data *self, rados_ioctx_t io, rados_completion_t completion, const char *object, size_t len,
                       uint64_t offset) noexcept {
  return submitted(io, completion, [=](librados::IoCtx &context, librados::AioCompletion *view) {
    return context.aio_read(object, view, &self->list, len, offset);
  });
}

// The data in one piece (which it mostly is), valid until `self` is freed, and its length. Once the operation is complete.
const char *lsd_read_data_get(lsd_read_data *self, size_t *len) noexcept {
  *len = self->list.length();
  return self->list.c_str();
}
}
