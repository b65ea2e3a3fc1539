// Who watches an object.
//
// librados' C API has no such call. Owns: the list that librados gives. Everything is noexcept: what fails inside for want of memory
// ends the process, as in librados' C API.
#include "submission.h"

#include <cstddef>
#include <cstdint>
#include <list>

struct lsd_watchers {
  std::list<obj_watch_t> list;
};

extern "C" {

lsd_watchers *lsd_watchers_new() noexcept { return new lsd_watchers; }

void lsd_watchers_free(lsd_watchers *self) noexcept { delete self; }

// Asks for the watchers of an object, instead of those that were there. Blocks.
int lsd_watchers_read(lsd_watchers *self, rados_ioctx_t io, const char *object) noexcept {
  librados::IoCtx context;
  librados::IoCtx::from_rados_ioctx_t(io, context);
  self->list.clear();
  return context.list_watchers(object, &self->list);
}

// Takes the next one: its address, text of at most `size` bytes with the zero at its end. False if there are no more.
bool lsd_watchers_take(lsd_watchers *self, char *addr, size_t size, uint64_t *client, uint64_t *cookie) noexcept {
  if (self->list.empty()) {
    return false;
  }
  const obj_watch_t &watch = self->list.front();
  size_t at = 0;
  for (; at + 1 < size && at < sizeof(watch.addr) && watch.addr[at] != 0; at++) {
    addr[at] = watch.addr[at];
  }
  if (size > 0) {
    addr[at] = 0;
  }
  *client = static_cast<uint64_t>(watch.watcher_id);
  *cookie = watch.cookie;
  self->list.pop_front();
  return true;
}
}
