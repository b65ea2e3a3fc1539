// What the methods of librbd's C++ classes share: getting at C handles, and turning results of C functions into C++'s.
//
// Owns: texts and lists whose length only the C function knows. Does not own: completions (completion.h), any rule of RBD: those
// are behind the C functions.
#pragma once

#include <rbd/librbd.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// Deprecated methods are exported like all others.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace lsd {

// Bytes that a text, and places that a list get at first.
constexpr std::size_t FIRST_BYTES = 256;
constexpr int FIRST_PLACES = 32;
// A text or a list that has grown again each time is given up with -ERANGE.
constexpr int MOST_TRIES = 24;

// The C handle in an object of Ceph's classes, each of which is one pointer and nothing else; most keep it private.
template <class Object> void *raw(const Object &object) noexcept {
  static_assert(sizeof(Object) == sizeof(void *), "the class has changed");
  return *reinterpret_cast<void *const *>(&object);
}

// For `librbd_progress_fn_t`; the data is a ProgressContext.
inline int progress(uint64_t offset, uint64_t total, void *context) {
  return static_cast<librbd::ProgressContext *>(context)->update_progress(offset, total);
}

// 0 for any success: C functions that fill arrays give a number.
inline int zero(ssize_t result) noexcept { return result < 0 ? static_cast<int>(result) : 0; }

// Calls `rest` when the scope is left.
template <class Rest> class Finally {
public:
  explicit Finally(Rest rest) : rest(rest) {}
  ~Finally() { rest(); }
  Finally(const Finally &) = delete;
  Finally &operator=(const Finally &) = delete;

private:
  Rest rest;
};

// A text from `int call(char *buffer, size_t *size)`, which gives -ERANGE while the buffer is too short.
template <class Call> int text(std::string *text, Call call) {
  std::vector<char> buffer(FIRST_BYTES);
  for (int tries = 0; tries < MOST_TRIES; ++tries) {
    std::size_t size = buffer.size();
    int result = call(buffer.data(), &size);
    if (result != -ERANGE) {
      if (result >= 0) {
        *text = buffer.data();
      }
      return zero(result);
    }
    // Not every function tells how much it needs.
    buffer.resize(std::max(size, 2 * buffer.size()));
  }
  return -ERANGE;
}

// Texts one after another, each with its zero, in so many bytes.
template <class Take> void split(const char *texts, std::size_t size, Take take) {
  for (std::size_t at = 0; at < size;) {
    std::string one(texts + at);
    at += one.size() + 1;
    take(std::move(one));
  }
}

// Many texts from `int call(char *buffer, size_t *size)`, which gives their bytes.
template <class Take> int texts(int (*call)(rados_ioctx_t, char *, size_t *), rados_ioctx_t io, Take take) {
  std::vector<char> buffer(FIRST_BYTES);
  for (int tries = 0; tries < MOST_TRIES; ++tries) {
    std::size_t size = buffer.size();
    int bytes = call(io, buffer.data(), &size);
    if (bytes != -ERANGE) {
      if (bytes > 0) {
        split(buffer.data(), bytes, take);
      }
      return zero(bytes);
    }
    buffer.resize(std::max(size, 2 * buffer.size()));
  }
  return -ERANGE;
}

// Pairs of texts from `int call(char *keys, size_t *keys_size, char *values, size_t *values_size)`.
template <class Call, class Take> int pairs(Call call, Take take) {
  std::vector<char> keys(FIRST_BYTES), values(FIRST_BYTES);
  for (int tries = 0; tries < MOST_TRIES; ++tries) {
    std::size_t keys_size = keys.size(), values_size = values.size();
    int result = call(keys.data(), &keys_size, values.data(), &values_size);
    if (result != -ERANGE) {
      if (result >= 0) {
        std::vector<std::string> found;
        split(values.data(), values_size, [&](std::string value) { found.push_back(std::move(value)); });
        std::size_t at = 0;
        split(keys.data(), keys_size, [&](std::string key) {
          take(std::move(key), at < found.size() ? found[at] : std::string());
          ++at;
        });
      }
      return zero(result);
    }
    keys.resize(std::max(keys_size, keys.size()));
    values.resize(std::max(values_size, values.size()));
  }
  return -ERANGE;
}

// A list from `int fill(T *places, Count *count)`, which gives -ERANGE while there are too few places and sets the count. Each
// entry is taken, then all go back to `clean(T *places, Count count)`.
template <class T, class Count = std::size_t, class Fill, class Take, class Clean>
int listed(Fill fill, Take take, Clean clean) {
  Count places = FIRST_PLACES;
  for (int tries = 0; tries < MOST_TRIES; ++tries) {
    std::vector<T> found(places);
    Count count = places;
    int result = fill(found.data(), &count);
    if (result != -ERANGE) {
      if (result >= 0) {
        Finally cleaned([&] { clean(found.data(), count); });
        std::for_each(found.begin(), found.begin() + count, take);
      }
      return zero(result);
    }
    places = std::max(count, places);
  }
  return -ERANGE;
}

// A member of a C struct, which may be null.
inline std::string owned(const char *text) { return text == nullptr ? std::string() : std::string(text); }

} // namespace lsd
