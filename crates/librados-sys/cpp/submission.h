// What the C API's context and completion are in C++: the same objects, seen through classes.
#pragma once
#include <rados/librados.hpp>

#include <new>

// Calls `submit` with both. Only a view of the completion, which is the caller's to release; so its destructor, which would do
// that, must not run.
template <typename Submit> int submitted(rados_ioctx_t io, rados_completion_t completion, Submit submit) {
  librados::IoCtx context;
  librados::IoCtx::from_rados_ioctx_t(io, context);
  alignas(librados::AioCompletion) char place[sizeof(librados::AioCompletion)];
  auto *view = new (place) librados::AioCompletion(static_cast<librados::AioCompletionImpl *>(completion));
  return submit(context, view);
}
