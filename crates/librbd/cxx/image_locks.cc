// `Image`: the exclusive lock, advisory locks, who has it open, and being told of changes.
#include "bridge.h"

#include <list>

namespace librbd {

namespace {

// Texts one after another in each of the three.
void take_lockers(std::list<locker_t> &lockers, ssize_t count, const char *clients, const char *cookies,
                  const char *addrs) {
  lockers.clear();
  for (ssize_t at = 0; at < count; ++at) {
    locker_t locker{clients, cookies, addrs};
    clients += locker.client.size() + 1;
    cookies += locker.cookie.size() + 1;
    addrs += locker.address.size() + 1;
    lockers.push_back(std::move(locker));
  }
}

// The classes' methods as C functions; the argument is the object.
void notified(void *watch) { static_cast<UpdateWatchCtx *>(watch)->handle_notify(); }

void quiesced(void *watch) { static_cast<QuiesceWatchCtx *>(watch)->handle_quiesce(); }

void unquiesced(void *watch) { static_cast<QuiesceWatchCtx *>(watch)->handle_unquiesce(); }

} // namespace

int Image::is_exclusive_lock_owner(bool *is_owner) {
  int owner = 0;
  int result = rbd_is_exclusive_lock_owner(ctx, &owner);
  if (result >= 0) {
    *is_owner = owner != 0;
  }
  return result;
}

int Image::lock_acquire(rbd_lock_mode_t lock_mode) { return rbd_lock_acquire(ctx, lock_mode); }

int Image::lock_release() { return rbd_lock_release(ctx); }

int Image::lock_get_owners(rbd_lock_mode_t *lock_mode, std::list<std::string> *lock_owners) {
  lock_owners->clear();
  return lsd::listed<char *>(
      [&](char **places, size_t *count) { return rbd_lock_get_owners(ctx, lock_mode, places, count); },
      [&](const char *owner) { lock_owners->push_back(lsd::owned(owner)); }, rbd_lock_get_owners_cleanup);
}

int Image::lock_break(rbd_lock_mode_t lock_mode, const std::string &lock_owner) {
  return rbd_lock_break(ctx, lock_mode, lock_owner.c_str());
}

int Image::list_lockers(std::list<locker_t> *lockers, bool *exclusive, std::string *tag) {
  std::vector<char> buffers[4];
  size_t sizes[4] = {lsd::FIRST_BYTES, lsd::FIRST_BYTES, lsd::FIRST_BYTES, lsd::FIRST_BYTES};
  for (int tries = 0; tries < lsd::MOST_TRIES; ++tries) {
    for (int which = 0; which < 4; ++which) {
      sizes[which] = std::max(sizes[which], buffers[which].size());
      buffers[which].resize(sizes[which]);
    }
    char *mark = buffers[0].data(), *clients = buffers[1].data(), *cookies = buffers[2].data(), *addrs = buffers[3].data();
    int is_exclusive = 0;
    ssize_t count = rbd_list_lockers(ctx, &is_exclusive, mark, &sizes[0], clients, &sizes[1], cookies, &sizes[2], addrs,
                                     &sizes[3]);
    if (count == -ERANGE) {
      continue;
    }
    if (count < 0) {
      return lsd::zero(count);
    }
    // Callers leave out what they do not want.
    if (exclusive != nullptr) {
      *exclusive = is_exclusive != 0;
    }
    if (tag != nullptr) {
      *tag = mark;
    }
    if (lockers != nullptr) {
      take_lockers(*lockers, count, clients, cookies, addrs);
    }
    return 0;
  }
  return -ERANGE;
}

int Image::lock_exclusive(const std::string &cookie) { return rbd_lock_exclusive(ctx, cookie.c_str()); }

int Image::lock_shared(const std::string &cookie, const std::string &tag) {
  return rbd_lock_shared(ctx, cookie.c_str(), tag.c_str());
}

int Image::unlock(const std::string &cookie) { return rbd_unlock(ctx, cookie.c_str()); }

int Image::break_lock(const std::string &client, const std::string &cookie) {
  return rbd_break_lock(ctx, client.c_str(), cookie.c_str());
}

int Image::list_watchers(std::list<image_watcher_t> &watchers) {
  watchers.clear();
  return lsd::listed<rbd_image_watcher_t>(
      [&](rbd_image_watcher_t *places, size_t *count) { return rbd_watchers_list(ctx, places, count); },
      [&](const rbd_image_watcher_t &watcher) {
        watchers.push_back({lsd::owned(watcher.addr), watcher.id, watcher.cookie});
      },
      rbd_watchers_list_cleanup);
}

int Image::update_watch(UpdateWatchCtx *watch, uint64_t *handle) {
  return rbd_update_watch(ctx, handle, notified, watch);
}

int Image::update_unwatch(uint64_t handle) { return rbd_update_unwatch(ctx, handle); }

int Image::quiesce_watch(QuiesceWatchCtx *watch, uint64_t *handle) {
  return rbd_quiesce_watch(ctx, quiesced, unquiesced, watch, handle);
}

int Image::quiesce_unwatch(uint64_t handle) { return rbd_quiesce_unwatch(ctx, handle); }

void Image::quiesce_complete(uint64_t handle, int r) { rbd_quiesce_complete(ctx, handle, r); }

} // namespace librbd
