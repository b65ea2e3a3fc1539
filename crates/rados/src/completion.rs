//! Asynchronous operations: from a librados completion to a future.
//!
//! Owns: who owns what an operation in flight uses. Everything is in one allocation that belongs to librados from the
//! submission to its callback; the future holds only the receiving end of a channel.
use crate::callback::CallbackScope;
use crate::error::{RadosError, RadosResult};
use crate::ioctx::IoHandle;
use futures::channel::oneshot;
use lsd_librados_sys as sys;
use std::ffi::{c_int, c_void};
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// What an operation in flight owns.
struct InFlight<T> {
    payload: T,
    done: oneshot::Sender<Done<T>>,
    /// Last, so that it is dropped last: it keeps the pool's and the cluster's handles.
    _keep: Arc<IoHandle>,
}

/// A completed operation.
pub(crate) struct Done<T> {
    /// Zero or positive on success, a negative errno otherwise.
    pub code: c_int,
    /// The version of the object that the operation saw or made.
    pub version: u64,
    /// The buffers, as librados left them.
    pub payload: T,
}

/// An operation that was submitted, or refused at once.
pub(crate) enum Submitted<T> {
    Refused(c_int),
    Waiting(oneshot::Receiver<Done<T>>),
}

impl<T> Future for Submitted<T> {
    type Output = Result<Done<T>, c_int>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Refused(code) => Poll::Ready(Err(*code)),
            Self::Waiting(receiver) => {
                // librados calls back for every operation it accepted; a lost sender would be its shutdown.
                Pin::new(receiver).poll(context).map(|done| done.map_err(|_| -nix::libc::ESHUTDOWN))
            }
        }
    }
}

impl<T> Done<T> {
    /// Itself if the operation succeeded.
    pub fn check(self, operation: &'static str, object: &str) -> RadosResult<Self> {
        if self.code < 0 { Err(RadosError::new(self.code, operation, object)) } else { Ok(self) }
    }
}

/// Submits an operation with `start`, which gets where its payload will stay until the callback, and the completion.
///
/// # Safety
/// `start` calls exactly one `rados_aio_*` function with that completion and returns what it returned. What it passes
/// lives in the payload, or is copied by that function.
pub(crate) unsafe fn submit<T: Send + 'static>(
    keep: &Arc<IoHandle>,
    payload: T,
    start: impl FnOnce(*mut T, sys::rados_completion_t) -> c_int,
) -> Submitted<T> {
    let (done, receiver) = oneshot::channel();
    let raw = Box::into_raw(Box::new(InFlight { payload, done, _keep: Arc::clone(keep) }));
    let mut completion: sys::rados_completion_t = ptr::null_mut();
    // SAFETY: the callback takes exactly the type of `raw`; librados stores the completion.
    let code = unsafe { sys::rados_aio_create_completion2(raw.cast(), Some(completed::<T>), &mut completion) };
    if code < 0 {
        // SAFETY: nobody else has seen `raw`.
        drop(unsafe { Box::from_raw(raw) });
        return Submitted::Refused(code);
    }
    // SAFETY: `raw` is allocated, and nobody frees it before `start` has submitted.
    let code = start(unsafe { &raw mut (*raw).payload }, completion);
    // SAFETY: ours to release once; librados keeps its own reference until it has called back.
    unsafe { sys::rados_aio_release(completion) };
    if code < 0 {
        // SAFETY: an operation that was refused is never called back, so `raw` is still ours alone.
        drop(unsafe { Box::from_raw(raw) });
        return Submitted::Refused(code);
    }
    Submitted::Waiting(receiver)
}

extern "C" fn completed<T: Send>(completion: sys::rados_completion_t, argument: *mut c_void) {
    let scope = CallbackScope::enter();
    // SAFETY: the pointer given at creation, given back exactly once, when librados no longer uses the payload.
    let in_flight = unsafe { Box::from_raw(argument.cast::<InFlight<T>>()) };
    let InFlight { payload, done, _keep: keep } = *in_flight;
    // SAFETY: a live completion inside its own callback.
    let (code, version) =
        unsafe { (sys::rados_aio_get_return_value(completion), sys::rados_aio_get_version(completion)) };
    // Nobody waits any more: the payload is dropped here.
    let _ = done.send(Done { code, version, payload });
    drop(keep);
    drop(scope);
}

/// Waits for a future that librados' threads complete. Must not run on one of those.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
