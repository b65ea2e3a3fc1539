// cxx_face POOL NAME: librbd's C++ classes where Ceph's commands do not go: lists of several buffers, lives of completions, events,
// options that are shared and copied, callbacks of objects. Holds on stock librbd too, but for what only ours is asked (LSD_OWN).
#include <rados/librados.hpp>
#include <rbd/librbd.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <iterator>
#include <memory>
#include <list>
#include <set>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

using ceph::bufferlist;
using librbd::Image;
using librbd::ImageOptions;
using librbd::RBD;

namespace {

constexpr uint64_t SIZE = 32 << 20;
constexpr size_t BLOCK = 4096;
constexpr int FUA = 0x80; // LIBRADOS_OP_FLAG_FADVISE_FUA

int failures;

#define IS(expression, wanted) check(#expression, static_cast<long long>(expression), wanted, __LINE__)
#define OK(expression) IS(expression, 0)
#define TRUE(expression) IS(!!(expression), 1)

void check(const char *what, long long is, long long wanted, int line) {
  if (is != wanted) {
    ++failures;
    fprintf(stderr, "line %d: %s is %lld (%s), not %lld\n", line, what, is, is < 0 ? strerror(-is) : "", wanted);
  }
}

bufferlist list_of(const std::string &text) {
  bufferlist list;
  list.append(text.data(), text.size());
  return list;
}

// Pieces of one letter each, in buffers of their own.
bufferlist pieces(size_t count, size_t each, char first) {
  bufferlist list;
  for (size_t at = 0; at < count; ++at) {
    ceph::bufferptr piece(each);
    memset(piece.c_str(), first + at % 26, each);
    list.append(piece);
  }
  return list;
}

std::string text_of(bufferlist &list) { return std::string(list.c_str(), list.length()); }

std::string read(Image &image, uint64_t at, size_t len) {
  bufferlist list;
  ssize_t bytes = image.read(at, len, list);
  IS(bytes, static_cast<long long>(list.length()));
  return text_of(list);
}

// A completion that is waited for and gone.
int waited(RBD::AioCompletion *completion) {
  OK(completion->wait_for_complete());
  TRUE(completion->is_complete());
  int result = completion->get_return_value();
  completion->release();
  return result;
}

RBD::AioCompletion *plain() { return new RBD::AioCompletion(nullptr, nullptr); }

void lists(Image &image) {
  bufferlist many = pieces(100, 1000, 'a');
  IS(image.write(0, many.length(), many), 100000);
  TRUE(many.get_num_buffers() == 100); // the caller's list stays as it is
  TRUE(read(image, 0, 100000) == text_of(many));
  many = pieces(3, BLOCK, 'p');
  auto *completion = plain();
  OK(image.aio_write(BLOCK, 2 * BLOCK + 10, many, completion)); // not all of it
  many.clear();
  OK(waited(completion));
  TRUE(read(image, BLOCK, 3 * BLOCK).substr(0, 2 * BLOCK + 10) ==
       std::string(BLOCK, 'p') + std::string(BLOCK, 'q') + std::string(10, 'r'));
  many = pieces(2000, 16, 'a'); // more than an iovec takes
  completion = plain();
  OK(image.aio_write(1 << 20, many.length(), many, completion));
  OK(waited(completion));
  TRUE(read(image, 1 << 20, many.length()) == text_of(many));
  many = pieces(4, 512, 'A');
  completion = plain();
  OK(image.aio_write2(2 << 20, many.length(), many, completion, FUA));
  OK(waited(completion));
  TRUE(read(image, 2 << 20, many.length()) == text_of(many));
  IS(image.write(0, BLOCK + 1, *std::make_unique<bufferlist>(list_of("short"))), -EINVAL);
  completion = plain();
  bufferlist small = list_of("short");
  IS(image.aio_write(0, 6, small, completion), -EINVAL);
  completion->release();
}

void reads(Image &image) {
  bufferlist data = list_of(std::string(BLOCK, 'x')), list = list_of("was there");
  IS(image.write(SIZE - BLOCK, BLOCK, data), static_cast<long long>(BLOCK));
  // A list that held something holds what was read, and of what crosses the end what there is.
  IS(image.read(SIZE - BLOCK, 2 * BLOCK, list), static_cast<long long>(BLOCK));
  TRUE(list.length() == BLOCK && text_of(list) == text_of(data));
  list = list_of("was there");
  auto *completion = plain();
  OK(image.aio_read(SIZE - BLOCK, 2 * BLOCK, list, completion));
  IS(waited(completion), static_cast<long long>(BLOCK));
  TRUE(list.length() == BLOCK && text_of(list) == text_of(data));
  completion = plain();
  OK(image.aio_read(SIZE, BLOCK, list, completion));
  IS(waited(completion), -EINVAL);
  IS(image.read(SIZE, 1, list), -EINVAL);
}

void changes(Image &image) {
  bufferlist old = pieces(2, 256, 'o'), fresh = pieces(2, 256, 'f'), pattern = pieces(2, 256, 'w'), list;
  IS(image.write(0, 512, old), 512);
  uint64_t mismatch = 7;
  IS(image.compare_and_write(0, 512, old, fresh, &mismatch, 0), 512);
  TRUE(read(image, 0, 512) == text_of(fresh));
  IS(image.compare_and_write(0, 512, old, fresh, &mismatch, 0), -EILSEQ);
  IS(mismatch, 0);
  auto *completion = plain();
  OK(image.aio_compare_and_write(0, 512, fresh, old, completion, &mismatch, 0));
  OK(waited(completion));
  TRUE(read(image, 0, 512) == text_of(old));
  IS(image.writesame(0, 4 * 512, pattern, 0), 4 * 512);
  completion = plain();
  OK(image.aio_writesame(4 * 512, 512, pattern, completion, 0));
  OK(waited(completion));
  TRUE(read(image, 4 * 512, 512) == text_of(pattern));
  IS(image.writesame(0, 500, pattern, 0), -EINVAL);
  IS(image.write_zeroes(0, 512, 0, 0), 512);
  completion = plain();
  OK(image.aio_write_zeroes(512, 512, completion, 0, 0));
  OK(waited(completion));
  TRUE(read(image, 0, 1024) == std::string(1024, '\0'));
  completion = plain();
  OK(image.aio_discard(0, 4 << 20, completion));
  OK(waited(completion));
  completion = plain();
  OK(image.aio_flush(completion));
  OK(waited(completion));
  OK(image.flush());
  OK(image.invalidate_cache());
}

std::atomic<int> called;

struct Reading {
  bufferlist list;
  RBD::AioCompletion *completion;
};

// The first argument is the C++ object, and may be released there.
void at_end(librbd::completion_t completion, void *argument) {
  auto *reading = static_cast<Reading *>(argument);
  auto *given = static_cast<RBD::AioCompletion *>(completion);
  TRUE(given == reading->completion);
  TRUE(given->get_arg() == argument);
  IS(given->get_return_value(), static_cast<long long>(BLOCK));
  TRUE(text_of(reading->list) == std::string(BLOCK, 'l'));
  given->release();
  delete reading;
  ++called;
}

void lives(Image &image) {
  bufferlist data = list_of(std::string(BLOCK, 'l'));
  IS(image.write(0, BLOCK, data), static_cast<long long>(BLOCK));
  constexpr int TIMES = 200;
  for (int at = 0; at < TIMES; ++at) {
    auto *reading = new Reading;
    reading->completion = new RBD::AioCompletion(reading, at_end);
    OK(image.aio_read(0, BLOCK, reading->list, reading->completion));
  }
  for (int at = 0; at < TIMES; ++at) {
    auto *write = plain();
    OK(image.aio_write(BLOCK, BLOCK, data, write));
    write->release(); // before its end
  }
  plain()->release(); // never used
  OK(image.flush());
  for (int tries = 0; called < TIMES && tries < 1000; ++tries) {
    usleep(10000);
  }
  IS(called, TIMES);
}

void events(Image &image) {
  int fd = eventfd(0, EFD_NONBLOCK);
  OK(image.set_image_notification(fd, EVENT_TYPE_EVENTFD));
  bufferlist data = list_of("event");
  std::set<RBD::AioCompletion *> wanted;
  for (int at = 0; at < 10; ++at) {
    auto *completion = plain();
    wanted.insert(completion);
    OK(image.aio_write(at * 512, 5, data, completion));
  }
  for (int tries = 0; !wanted.empty() && tries < 1000; ++tries) {
    RBD::AioCompletion *some[4];
    int count = image.poll_io_events(some, 4);
    TRUE(count >= 0 && count <= 4);
    for (int at = 0; at < count; ++at) {
      IS(wanted.erase(some[at]), 1);
      OK(some[at]->get_return_value());
      some[at]->release();
    }
    if (count == 0) {
      usleep(10000);
    }
  }
  TRUE(wanted.empty());
  close(fd);
}

void options() {
  ImageOptions options;
  TRUE(options.empty());
  OK(options.set(RBD_IMAGE_OPTION_ORDER, uint64_t(20)));
  std::string pool(500, 'p'), text;
  OK(options.set(RBD_IMAGE_OPTION_DATA_POOL, pool));
  IS(options.set(RBD_IMAGE_OPTION_ORDER, pool), -EINVAL);
  OK(options.get(RBD_IMAGE_OPTION_DATA_POOL, &text));
  TRUE(text == pool && !options.empty());
  ImageOptions copy(options);
  uint64_t order = 0;
  OK(copy.get(RBD_IMAGE_OPTION_ORDER, &order));
  IS(order, 20);
  OK(copy.unset(RBD_IMAGE_OPTION_ORDER));
  bool is_set = false;
  OK(options.is_set(RBD_IMAGE_OPTION_ORDER, &is_set));
  TRUE(is_set);
  // Made of a C handle it is the same options, and lives on without it.
  rbd_image_options_t handle;
  rbd_image_options_create(&handle);
  {
    ImageOptions shared(handle);
    OK(shared.set(RBD_IMAGE_OPTION_STRIPE_COUNT, uint64_t(3)));
    OK(rbd_image_options_get_uint64(handle, RBD_IMAGE_OPTION_STRIPE_COUNT, &order));
    IS(order, 3);
    rbd_image_options_destroy(handle);
    OK(shared.get(RBD_IMAGE_OPTION_STRIPE_COUNT, &order));
  }
  copy.clear();
  TRUE(copy.empty());
}

struct Told : librbd::UpdateWatchCtx {
  std::atomic<int> times{0};
  void handle_notify() override { ++times; }
};

struct Steps : librbd::ProgressContext {
  int times = 0;
  int answer = 0;
  int update_progress(uint64_t offset, uint64_t total) override {
    TRUE(offset <= total);
    ++times;
    return answer;
  }
};

struct Extents {
  uint64_t bytes = 0;
};

int add(uint64_t, size_t length, int exists, void *argument) {
  static_cast<Extents *>(argument)->bytes += exists ? length : 0;
  return 0;
}

void telling(librados::IoCtx &io, Image &image, const std::string &name) {
  std::string text;
  OK(image.get_name(&text));
  TRUE(text == name);
  OK(image.get_id(&text));
  TRUE(!text.empty() && image.get_block_name_prefix().find(text) != std::string::npos);
  TRUE(image.get_data_pool_id() == io.get_id());
  uint64_t number = 0;
  OK(image.size(&number));
  IS(number, SIZE);
  librbd::image_info_t info;
  OK(image.stat(info, sizeof(info)));
  IS(info.size, SIZE);
  librbd::group_info_t group;
  IS(image.get_group(&group, sizeof(group) - 1), -ERANGE);
  OK(image.get_group(&group, sizeof(group)));
  TRUE(group.name.empty() && group.pool == -1);
  Told told;
  OK(image.update_watch(&told, &number));
  OK(image.metadata_set("key", std::string(3000, 'v')));
  for (int at = 0; at < 40; ++at) {
    OK(image.metadata_set("k" + std::to_string(at), "value " + std::to_string(at)));
  }
  OK(image.snap_create("one"));
  for (int tries = 0; told.times == 0 && tries < 1000; ++tries) {
    usleep(10000);
  }
  TRUE(told.times > 0);
  OK(image.update_unwatch(number));
  OK(image.metadata_get("key", &text));
  TRUE(text == std::string(3000, 'v'));
  IS(image.metadata_get("none", &text), -ENOENT);
  std::map<std::string, bufferlist> pairs;
  OK(image.metadata_list("", 0, &pairs));
  TRUE(pairs.size() == 41 && text_of(pairs["k39"]) == "value 39" && pairs["key"].length() == 3000);
  TRUE(image.snap_exists("one") && !image.snap_exists("two"));
  std::vector<librbd::snap_info_t> snaps;
  OK(image.snap_list(snaps));
  TRUE(snaps.size() == 1 && snaps[0].name == "one" && snaps[0].size == SIZE);
  bool answer = true;
  OK(image.snap_is_protected("one", &answer));
  TRUE(!answer);
  OK(image.snap_get_name(snaps[0].id, &text));
  TRUE(text == "one");
  Extents extents;
  OK(image.diff_iterate2("one", 0, SIZE, true, false, add, &extents));
  IS(extents.bytes, 0);
  std::list<librbd::image_watcher_t> watchers;
  OK(image.list_watchers(watchers));
  TRUE(watchers.size() == 1 && !watchers.front().addr.empty());
}

void locks(RBD &rbd, librados::IoCtx &io, Image &owned, const std::string &name) {
  OK(owned.lock_acquire(RBD_LOCK_MODE_EXCLUSIVE));
  bool owner = false;
  OK(owned.is_exclusive_lock_owner(&owner));
  TRUE(owner);
  rbd_lock_mode_t mode;
  std::list<std::string> owners;
  OK(owned.lock_get_owners(&mode, &owners));
  TRUE(owners.size() == 1 && mode == RBD_LOCK_MODE_EXCLUSIVE);
  const std::string free = name + "-free"; // its lock is nobody's
  int order = 0;
  OK(rbd.create2(io, free.c_str(), 1 << 20, RBD_FEATURE_LAYERING, &order));
  Image image;
  OK(rbd.open(io, image, free.c_str()));
  for (int at = 0; at < 20; ++at) {
    OK(image.lock_shared("a cookie of some length, number " + std::to_string(at), "tag"));
  }
  std::list<librbd::locker_t> lockers;
  bool exclusive = true;
  std::string tag;
  OK(image.list_lockers(&lockers, &exclusive, &tag));
  TRUE(lockers.size() == 20 && !exclusive && tag == "tag");
  std::set<std::string> cookies;
  for (const auto &locker : lockers) {
    cookies.insert(locker.cookie);
    TRUE(locker.client.rfind("client.", 0) == 0 && !locker.address.empty());
  }
  IS(cookies.size(), 20);
  OK(image.list_lockers(&lockers, nullptr, nullptr));
  for (const auto &cookie : cookies) {
    OK(image.unlock(cookie));
  }
  OK(image.close());
  OK(rbd.remove(io, free.c_str()));
}

void pools(RBD &rbd, librados::IoCtx &io, const std::string &name) {
  std::vector<std::string> names;
  OK(rbd.list(io, names));
  std::vector<librbd::image_spec_t> specs;
  OK(rbd.list2(io, &specs));
  bool found = false;
  for (const auto &spec : specs) {
    found = found || spec.name == name;
  }
  TRUE(found);
  std::string text;
  uint64_t features = 0;
  OK(rbd.features_from_string("layering,exclusive-lock", &features));
  IS(features, 5);
  OK(rbd.features_to_string(features, &text));
  TRUE(text.find("exclusive-lock") != std::string::npos && text.find("layering") != std::string::npos);
  std::vector<librbd::config_option_t> config;
  OK(rbd.config_list(io, &config));
  TRUE(config.size() > 32);
  librbd::PoolStats stats;
  uint64_t images = 0;
  OK(stats.add(RBD_POOL_STAT_OPTION_IMAGES, &images));
  OK(rbd.pool_stats_get(io, &stats));
  TRUE(images > 0);
}

void copies(RBD &rbd, librados::IoCtx &io, Image &image, const std::string &name) {
  Steps steps;
  ImageOptions options;
  OK(image.copy_with_progress4(io, (name + "-copy").c_str(), options, steps, 0));
  TRUE(steps.times > 0);
  Image copy;
  auto *completion = plain();
  OK(rbd.aio_open(io, copy, (name + "-copy").c_str(), nullptr, completion));
  OK(waited(completion));
  // Opened again it is closed first.
  OK(rbd.open(io, copy, (name + "-copy").c_str(), nullptr));
  TRUE(read(copy, 0, BLOCK) == read(image, 0, BLOCK));
  completion = plain();
  OK(copy.aio_close(completion));
  OK(waited(completion));
  completion = plain();
  IS(copy.aio_close(completion), -EINVAL);
  completion->release();
  OK(copy.close());
  IS(rbd.open(io, copy, "no such image"), -ENOENT);
  completion = plain();
  OK(rbd.aio_open_read_only(io, copy, "no such image", nullptr, completion));
  IS(waited(completion), -ENOENT);
  OK(rbd.remove_with_progress(io, (name + "-copy").c_str(), steps));
}

template <class Method> Method newer(const char *symbol) {
  void *found = dlsym(RTLD_DEFAULT, symbol);
  if (found == nullptr) {
    ++failures;
    fprintf(stderr, "no symbol %s\n", symbol);
    exit(1);
  }
  return reinterpret_cast<Method>(found);
}

// What the header of Ceph 16 does not declare.
void newer_methods(RBD &rbd, librados::IoCtx &io, Image &image, const std::string &name) {
  auto get_id = newer<int (*)(RBD *, librados::IoCtx &, const char *, std::string *)>(
      "_ZN6librbd3RBD12group_get_idERN8librados7v14_2_05IoCtxEPKcPNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE");
  const std::string group = name + "-group";
  std::string id;
  OK(rbd.group_create(io, group.c_str()));
  OK(get_id(&rbd, io, group.c_str(), &id));
  TRUE(!id.empty());
  OK(rbd.group_remove(io, group.c_str()));
  uint64_t snap = 0;
  OK(image.snap_get_id("one", &snap));
  auto diff = newer<int (*)(Image *, uint64_t, uint64_t, uint64_t, uint32_t, int (*)(uint64_t, size_t, int, void *), void *)>(
      "_ZN6librbd5Image13diff_iterate3EmmmjPFimmiPvES1_");
  Extents extents;
  OK(diff(&image, snap, 0, SIZE, 0, add, &extents));
  IS(extents.bytes, 0);
  auto clone = newer<int (*)(RBD *, librados::IoCtx &, const char *, uint64_t, librados::IoCtx &, const char *, ImageOptions &)>(
      "_ZN6librbd3RBD6clone4ERN8librados7v14_2_05IoCtxEPKcmS4_S6_RNS_12ImageOptionsE");
  ImageOptions options;
  OK(options.set(RBD_IMAGE_OPTION_CLONE_FORMAT, uint64_t(2)));
  const std::string child = name + "-child";
  OK(clone(&rbd, io, name.c_str(), snap, io, child.c_str(), options));
  Image first;
  OK(rbd.open(io, first, child.c_str()));
  auto move = newer<void (*)(void *, Image &&)>("_ZN6librbd5ImageC1EOS0_");
  alignas(Image) char place[sizeof(Image)];
  move(place, std::move(first));
  auto *second = reinterpret_cast<Image *>(place);
  std::string text;
  OK(second->get_name(&text));
  TRUE(text == child);
  OK(first.close()); // nothing is left there
  second->~Image();
  OK(rbd.remove(io, child.c_str()));
  Steps steps;
  OK(image.check_object_map(steps));
}

} // namespace

int main(int, char **argv) {
  librados::Rados cluster;
  librados::IoCtx io;
  if (cluster.init("admin") < 0 || cluster.conf_read_file(nullptr) < 0 || cluster.connect() < 0 ||
      cluster.ioctx_create(argv[1], io) < 0) {
    fprintf(stderr, "cannot open pool %s\n", argv[1]);
    return 2;
  }
  const std::string name = argv[2];
  RBD rbd;
  int order = 22;
  OK(rbd.create2(io, name.c_str(), SIZE, 61, &order));
  {
    Image image;
    OK(rbd.open(io, image, name.c_str()));
    lists(image);
    reads(image);
    changes(image);
    lives(image);
    options();
    telling(io, image, name);
    locks(rbd, io, image, name);
    pools(rbd, io, name);
    copies(rbd, io, image, name);
    if (getenv("LSD_OWN") != nullptr) {
      newer_methods(rbd, io, image, name);
    }
    Steps steps;
    steps.answer = -ECANCELED;
    OK(image.snap_remove2("one", 0, steps));
    events(image);
  }
  OK(rbd.remove(io, name.c_str()));
  io.close();
  cluster.shutdown();
  if (failures > 0) {
    fprintf(stderr, "%d checks failed\n", failures);
  }
  return failures > 0;
}
