// `RBD::AioCompletion`: made, asked, waited for and released. What it is made of is in completion.h.
#include "completion.h"

namespace lsd {

Operation::Operation(librbd::RBD::AioCompletion *completion, void *argument, librbd::callback_t callback)
    : completion(completion), argument(argument), callback(callback) {
  // Without memory the handle stays null, and every use of it gives an error.
  rbd_aio_create_completion(this, ended, &handle);
}

// On the library's thread for callbacks.
void Operation::ended(rbd_completion_t handle, void *argument) {
  Operation *self = static_cast<Operation *>(argument);
  if (self->end) {
    self->end(rbd_aio_get_return_value(handle));
  }
  self->let_go();
  if (self->callback != nullptr) {
    self->callback(self->completion, self->argument);
  }
  self->put();
}

void Operation::let_go() {
  end = nullptr;
  source.clear();
  compared.clear();
  target = ceph::bufferptr();
}

void Operation::put() {
  if (refs.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    delete this;
  }
}

Operation::~Operation() { rbd_aio_release(handle); }

} // namespace lsd

namespace librbd {

RBD::AioCompletion::AioCompletion(void *cb_arg, callback_t complete_cb)
    : pc(new lsd::Operation(this, cb_arg, complete_cb)) {}

bool RBD::AioCompletion::is_complete() { return rbd_aio_is_complete(lsd::Operation::of(this)->handle) > 0; }

int RBD::AioCompletion::wait_for_complete() { return rbd_aio_wait_for_complete(lsd::Operation::of(this)->handle); }

ssize_t RBD::AioCompletion::get_return_value() { return rbd_aio_get_return_value(lsd::Operation::of(this)->handle); }

void *RBD::AioCompletion::get_arg() { return lsd::Operation::of(this)->argument; }

void RBD::AioCompletion::release() {
  lsd::Operation::of(this)->put();
  delete this;
}

} // namespace librbd
