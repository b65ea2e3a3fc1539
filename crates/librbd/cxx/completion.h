// One asynchronous operation as the C++ API has it: `RBD::AioCompletion`, over a C completion.
//
// Owns: who keeps it alive (its caller until `release`, an operation until it has ended), the caller's callback, and the buffers
// that the operation works on. Does not own: states and results, which are the C completion's.
#pragma once

#include "bridge.h"

#include <atomic>
#include <functional>

namespace lsd {

class Operation {
public:
  // `completion.pc` is this.
  Operation(librbd::RBD::AioCompletion *completion, void *argument, librbd::callback_t callback);

  static Operation *of(librbd::RBD::AioCompletion *completion) { return static_cast<Operation *>(completion->pc); }
  // For an operation that is to be started by `start`, before anything of it is set. Null: the completion has one, or had.
  static Operation *claim(librbd::RBD::AioCompletion *completion) {
    Operation *operation = of(completion);
    return operation->claimed.exchange(true, std::memory_order_acq_rel) ? nullptr : operation;
  }
  // Null: the handle was released.
  static Operation *of(rbd_completion_t completion) { return static_cast<Operation *>(rbd_aio_get_arg(completion)); }

  // Of one that was claimed. The caller's wish is `int call(rbd_completion_t)`. What the lists hold stays until it has ended.
  template <class Call> int start(Call call) {
    refs.fetch_add(1, std::memory_order_relaxed);
    int result = zero(call(handle));
    if (result < 0) {
      // It was not begun, so nobody calls back.
      let_go();
      claimed.store(false, std::memory_order_release);
      put();
    }
    return result;
  }

  // The same for an operation that needs nothing to be set before.
  template <class Call> static int run(librbd::RBD::AioCompletion *completion, Call call) {
    Operation *operation = claim(completion);
    return operation == nullptr ? -EINVAL : operation->start(call);
  }

  // Called with the result before the caller's callback.
  void at_end(std::function<void(ssize_t)> work) { end = std::move(work); }

  // One of those who keep it lets it go.
  void put();

  librbd::RBD::AioCompletion *const completion;
  void *const argument;
  rbd_completion_t handle = nullptr;
  ceph::bufferlist source, compared;
  ceph::bufferptr target;

private:
  static void ended(rbd_completion_t handle, void *self);
  ~Operation();
  void let_go();

  const librbd::callback_t callback;
  std::function<void(ssize_t)> end;
  std::atomic<int> refs{1};
  std::atomic<bool> claimed{false};
};

} // namespace lsd
