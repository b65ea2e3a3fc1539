//! Watches and notifications.
//!
//! Owns: the life of a watch. librados calls a handler on its own threads until the watch is unregistered and its
//! callbacks are flushed; only then is the handler released. Answers of a handler are awaited on the runtime that was
//! given with it, and acknowledged when they are there.
use crate::callback::CallbackScope;
use crate::completion::{Start, Submitted, submit};
use crate::error::{RadosError, RadosResult};
use crate::ioctx::{IoCtx, object_name};
use bytes::Bytes;
use futures::FutureExt;
use lsd_librados_sys as sys;
use lsd_store::{NotifyReply, StoreError, WatchHandler, WatchId, Watcher};
use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

mod reply;

/// A registered watch. Dropping it ends it in the background; [`Watch::close`] waits for that.
pub struct Watch {
    id: WatchId,
    context: Option<ContextPointer>,
}

/// What the callbacks get.
struct WatchContext {
    handler: Arc<dyn WatchHandler>,
    io: IoCtx,
    object: CString,
    runtime: Handle,
}

/// One reference to the context, which librados may be using.
struct ContextPointer(*const WatchContext);

// SAFETY: a counted reference to a value that is Send and Sync.
unsafe impl Send for ContextPointer {}
// SAFETY: as above.
unsafe impl Sync for ContextPointer {}

impl ContextPointer {
    fn get(&self) -> &WatchContext {
        // SAFETY: this reference keeps the context alive.
        unsafe { &*self.0 }
    }

    /// Releases the reference.
    ///
    /// # Safety
    /// librados does not use the context any more.
    unsafe fn release(self) {
        // SAFETY: from `Arc::into_raw`, released once.
        drop(unsafe { Arc::from_raw(self.0) });
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Watch {
    pub fn id(&self) -> WatchId {
        self.id
    }

    /// Ends the watch: after it no callback runs any more. ENOTCONN and the like mean that it was lost before.
    /// Submitted in the call; it goes on if the future is dropped.
    pub fn close(mut self) -> impl Future<Output = RadosResult<()>> + Send + use<> {
        let ended = self.end();
        async move {
            match ended {
                Some(task) => task.await.unwrap_or_else(|_| Err(gone("unwatch"))),
                None => Ok(()),
            }
        }
    }

    fn end(&mut self) -> Option<tokio::task::JoinHandle<RadosResult<()>>> {
        let context = self.context.take()?;
        let cookie = self.id.0;
        let runtime = context.get().runtime.clone();
        let unwatched = unwatch(&context.get().io, cookie);
        // Should the runtime be gone, the task is dropped without having run, and the context leaks: librados could
        // still be using it.
        Some(runtime.spawn(async move {
            let result = completed(unwatched).await;
            // A callback that began before the watch ended may still be running.
            let flushed = completed(flush(&context.get().io)).await;
            if flushed.is_ok() {
                // SAFETY: unregistered, and every callback has returned.
                unsafe { context.release() };
            }
            result
        }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.end());
    }
}

fn gone(operation: &'static str) -> RadosError {
    RadosError::new(nix::libc::ESHUTDOWN, operation, "the runtime has ended")
}

async fn completed(submitted: Submitted<()>) -> RadosResult<()> {
    submitted.await?.check().map(drop)
}

fn unwatch(io: &IoCtx, cookie: u64) -> Submitted<()> {
    // SAFETY: one aio call without buffers.
    unsafe {
        let start = |start: Start<'_, ()>| sys::rados_aio_unwatch(io.raw(), cookie, start.completion);
        submit(io.handle(), "unwatch", CString::default(), (), start)
    }
}

fn flush(io: &IoCtx) -> Submitted<()> {
    let cluster = io.cluster().raw();
    // SAFETY: one aio call without buffers.
    unsafe {
        let start = |start: Start<'_, ()>| sys::rados_aio_watch_flush(cluster, start.completion);
        submit(io.handle(), "watch_flush", CString::default(), (), start)
    }
}

/// What a registration in flight owns: the cookie's place, and the watch as soon as librados knows it.
struct Registration {
    cookie: u64,
    context: Option<ContextPointer>,
}

impl Registration {
    fn into_watch(mut self) -> Watch {
        Watch { id: WatchId(self.cookie), context: self.context.take() }
    }

    /// After a registration that failed. librados has freed its side of the watch, so its cookie, an address, must
    /// not be used any more; but a callback may still be running.
    async fn give_up(mut self) {
        let Some(context) = self.context.take() else { return };
        if completed(flush(&context.get().io)).await.is_ok() {
            // SAFETY: librados dropped the watch, and every callback has returned.
            unsafe { context.release() };
        }
    }
}

impl IoCtx {
    /// Watches an object, which must exist (ENOENT). The store drops a watcher that is silent for `timeout`, rounded
    /// up to seconds (zero: the OSDs' default of 30); librados keeps the watch alive and registers it anew after
    /// interruptions shorter than that. The handler's answers are awaited on `runtime`.
    pub fn watch(
        &self,
        object: &str,
        timeout: Duration,
        handler: Arc<dyn WatchHandler>,
        runtime: &Handle,
    ) -> impl Future<Output = RadosResult<Watch>> + Send + use<> {
        let seconds = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        let submitted = object_name(object, "watch").map(|name| {
            let context = WatchContext { handler, io: self.clone(), object: name.clone(), runtime: runtime.clone() };
            let argument = Arc::into_raw(Arc::new(context));
            let registration = Registration { cookie: 0, context: Some(ContextPointer(argument)) };
            let io = self.raw();
            // SAFETY: one aio call; the cookie's place is in the payload; the context stays until the watch has
            // ended; the callbacks expect it.
            unsafe {
                submit(self.handle(), "watch", name, registration, |Start { place, completion, object }| {
                    let cookie = &raw mut (*place).cookie;
                    let argument = argument.cast_mut().cast();
                    let (heard, broken) = (Some(heard as _), Some(broken as _));
                    sys::rados_aio_watch2(io, object.as_ptr(), completion, cookie, heard, broken, seconds, argument)
                })
            }
        });
        // In a task, so that a watch whose future was dropped is ended, not left behind.
        let registered = runtime.spawn(async move {
            let done = submitted?.await?;
            if done.code == 0 {
                return Ok(done.payload.into_watch());
            }
            let error = done.error(done.code);
            done.payload.give_up().await;
            Err(error)
        });
        async move { registered.await.unwrap_or_else(|_| Err(gone("watch"))) }
    }

    /// Notifies all watchers and collects their answers for `timeout`, rounded up to seconds. ENOENT; a time-out is
    /// not an error. The addresses of the watchers are not known here and stay empty.
    pub fn notify(
        &self,
        object: &str,
        payload: &[u8],
        timeout: Duration,
    ) -> impl Future<Output = RadosResult<NotifyReply>> + Send + use<> {
        let io = self.raw();
        // Zero would be librados' default.
        let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        let submitted = match c_int::try_from(payload.len()) {
            // SAFETY: one aio call; both results are in the payload; name and notification are copied.
            Ok(len) => unsafe {
                self.submit("notify", object, reply::ReplyBuffer::default(), |Start { place, completion, object }| {
                    let (buffer, size) = (&raw mut (*place).data, &raw mut (*place).len);
                    let data = payload.as_ptr().cast();
                    sys::rados_aio_notify(io, object.as_ptr(), completion, data, len, milliseconds, buffer, size)
                })
            },
            Err(_) => Submitted::Failed(RadosError::new(nix::libc::EINVAL, "notify", object)),
        };
        submitted.map(|done| {
            let done = done?;
            if done.code < 0 && done.code != -nix::libc::ETIMEDOUT {
                return Err(done.error(done.code));
            }
            done.payload.decode().map_err(|code| done.error(code))
        })
    }
}

/// A notification arrived.
extern "C" fn heard(argument: *mut c_void, notify_id: u64, cookie: u64, notifier: u64, data: *mut c_void, len: usize) {
    let scope = CallbackScope::enter();
    // SAFETY: the context given with the watch, which stays until callbacks are flushed.
    let context = unsafe { &*argument.cast_const().cast::<WatchContext>() };
    // SAFETY: `len` bytes that stay during the callback.
    let payload = unsafe { bytes_of(data, len) };
    let answer = context.handler.notified(notifier, payload);
    let (io, object) = (context.io.clone(), context.object.clone());
    context.runtime.spawn(async move {
        let answer = answer.await;
        acknowledge(&io, &object, notify_id, cookie, &answer);
    });
    drop(scope);
}

fn acknowledge(io: &IoCtx, object: &CString, notify_id: u64, cookie: u64, answer: &[u8]) {
    // Longer answers than an int can count are cut to nothing; an OSD would refuse the message anyway.
    let len = c_int::try_from(answer.len()).unwrap_or(0);
    let data: *const c_char = answer.as_ptr().cast();
    // SAFETY: a live context, a C string, an answer of that length which is copied. It does not wait and cannot fail.
    let _ = unsafe { sys::rados_notify_ack(io.raw(), object.as_ptr(), notify_id, cookie, data, len) };
}

/// The watch is broken.
extern "C" fn broken(argument: *mut c_void, _cookie: u64, code: c_int) {
    let scope = CallbackScope::enter();
    // SAFETY: the context given with the watch, which stays until callbacks are flushed.
    let context = unsafe { &*argument.cast_const().cast::<WatchContext>() };
    let object = context.object.to_string_lossy().into_owned();
    context.handler.lost(StoreError::from_errno(code.saturating_abs(), "watch", object));
    drop(scope);
}

/// # Safety
/// `data` is null or has `len` readable bytes.
unsafe fn bytes_of(data: *const c_void, len: usize) -> Bytes {
    if data.is_null() || len == 0 {
        return Bytes::new();
    }
    // SAFETY: by the contract.
    Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// A watcher without its address, which notifications do not tell.
fn watcher(client: u64, cookie: u64) -> Watcher {
    Watcher { addr: String::new(), client, cookie }
}
