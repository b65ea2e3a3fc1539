// Appends whose data librados sends from where it is.
//
// librados' C API copies the data of every write; its C++ API takes a buffer list of memory that stays the caller's. Owns: the
// operation, and the references that tell whether librados still uses the caller's memory. Does not own: that memory, nor
// when it may be freed (crate lsd-rados).
//
// Everything is noexcept: what fails inside for want of memory ends the process, as in librados' C API.
#include "submission.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

struct lsd_append_op {
  // Empty once it is operated.
  std::unique_ptr<librados::ObjectWriteOperation> op = std::make_unique<librados::ObjectWriteOperation>();
  // What was lent since the last step that took data.
  librados::bufferlist data;
  std::vector<ceph::bufferptr> lent;
};

static librados::bufferlist copied(const char *data, size_t len) {
  librados::bufferlist list;
  list.append(data, static_cast<unsigned>(len));
  return list;
}

extern "C" {

lsd_append_op *lsd_append_op_new() noexcept { return new lsd_append_op; }

void lsd_append_op_free(lsd_append_op *self) noexcept { delete self; }

// Exclusively: EEXIST if it is there.
void lsd_append_op_create(lsd_append_op *self) noexcept { self->op->create(true); }

// The next step that takes data has this at its end. It stays where it is and as it is until lsd_append_op_is_unused says so.
void lsd_append_op_lend(lsd_append_op *self, const char *data, size_t len) noexcept {
  ceph::bufferptr lent(ceph::buffer::create_static(static_cast<unsigned>(len), const_cast<char *>(data)));
  self->data.append(lent);
  self->lent.push_back(std::move(lent));
}

// Without data, neither of the two does anything.
void lsd_append_op_append(lsd_append_op *self) noexcept {
  if (self->data.length() > 0) {
    self->op->append(self->data);
    self->data.clear();
  }
}

void lsd_append_op_write(lsd_append_op *self, uint64_t offset) noexcept {
  if (self->data.length() > 0) {
    self->op->write(offset, self->data);
    self->data.clear();
  }
}

void lsd_append_op_cmpxattr(lsd_append_op *self, const char *name, uint8_t how, const char *data, size_t len) noexcept {
  self->op->cmpxattr(name, how, copied(data, len));
}

void lsd_append_op_setxattr(lsd_append_op *self, const char *name, const char *data, size_t len) noexcept {
  self->op->setxattr(name, copied(data, len));
}

// As rados_aio_write_op_operate. At most once. The callback may free `self` before this returns.
int lsd_append_op_operate(lsd_append_op *self, rados_ioctx_t io, rados_completion_t completion, const char *object,
                          int flags) noexcept {
  auto op = std::move(self->op);
  return submitted(io, completion, [&](librados::IoCtx &context, librados::AioCompletion *view) {
    return context.aio_operate(object, view, op.get(), flags);
  });
}

// True if nobody but this operation refers to the data. Then nobody else will again, unless it is operated after this.
bool lsd_append_op_is_unused(const lsd_append_op *self) noexcept {
  if (self->op) {
    return true;
  }
  for (const auto &lent : self->lent) {
    if (lent.raw_nref() != 1) {
      return false;
    }
  }
  return true;
}
}
