//! Asynchronous operations: from a librados completion to a future.
//!
//! Owns: who owns what an operation in flight uses. Everything is in one allocation that belongs to librados from the
//! submission to its callback; the future holds the receiving end of a channel and the names for an error. It is small, as
//! futures made of it should be: memory of more than a kilobyte for each operation is not among what malloc has at hand.
use crate::callback::CallbackScope;
use crate::error::{RadosError, RadosResult};
use crate::ioctx::{IoCtx, IoHandle, object_name};
use futures::channel::oneshot;
use lsd_librados_sys as sys;
use std::ffi::{CStr, CString, c_int, c_void};
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::{self, Thread};

/// What an operation in flight owns.
struct InFlight<T> {
    payload: T,
    answer: oneshot::Sender<Answer<T>>,
    /// Last, so that it is dropped last: it keeps the pool's and the cluster's handles.
    _keep: Arc<IoHandle>,
}

/// What librados calls back with.
pub(crate) struct Answer<T> {
    code: c_int,
    version: u64,
    payload: T,
}

/// A completed operation.
pub(crate) struct Done<T> {
    /// Zero or positive on success, a negative errno otherwise.
    pub code: c_int,
    /// The version of the object that the operation saw or made.
    pub version: u64,
    /// The buffers, as librados left them.
    pub payload: T,
    operation: &'static str,
    object: CString,
}

impl<T> Done<T> {
    /// Itself if the operation succeeded.
    pub fn check(self) -> RadosResult<Self> {
        if self.code < 0 { Err(self.error(self.code)) } else { Ok(self) }
    }

    /// The error with this code.
    pub fn error(&self, code: c_int) -> RadosError {
        named(code, self.operation, &self.object)
    }
}

fn named(code: c_int, operation: &'static str, object: &CStr) -> RadosError {
    RadosError::new(code, operation, object.to_string_lossy())
}

/// An operation that was submitted, or never was. Nothing is asked of it after it has given its result.
pub(crate) enum Submitted<T> {
    Failed(RadosError),
    Waiting { answer: oneshot::Receiver<Answer<T>>, operation: &'static str, object: CString },
}

impl<T> Future for Submitted<T> {
    type Output = RadosResult<Done<T>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (answer, operation, object) = match self.get_mut() {
            Self::Failed(error) => return Poll::Ready(Err(error.clone())),
            Self::Waiting { answer, operation, object } => (answer, *operation, object),
        };
        let answer = ready!(Pin::new(answer).poll(context));
        let object = std::mem::take(object);
        Poll::Ready(match answer {
            Ok(Answer { code, version, payload }) => Ok(Done { code, version, payload, operation, object }),
            // librados calls back for every operation it accepted; a lost sender would be its shutdown.
            Err(_) => Err(named(nix::libc::ESHUTDOWN, operation, &object)),
        })
    }
}

/// What librados is given to start an operation with.
pub(crate) struct Start<'a, T> {
    /// Where the payload will stay until the callback.
    pub place: *mut T,
    pub completion: sys::rados_completion_t,
    /// As long as `start` runs.
    pub object: &'a CStr,
}

impl IoCtx {
    /// Submits an operation on an object with `start`. EINVAL for a name that is empty or has a NUL inside.
    ///
    /// # Safety
    /// As [`submit`].
    pub(crate) unsafe fn submit<T: Send + 'static>(
        &self,
        operation: &'static str,
        object: &str,
        payload: T,
        start: impl FnOnce(Start<'_, T>) -> c_int,
    ) -> Submitted<T> {
        match object_name(object, operation) {
            // SAFETY: by the contract.
            Ok(object) => unsafe { submit(self.handle(), operation, object, payload, start) },
            Err(error) => Submitted::Failed(error),
        }
    }
}

/// Submits an operation with `start`. `object`: its name, if it has one.
///
/// # Safety
/// `start` calls exactly one `rados_aio_*` function with that completion and returns what it returned. What it passes
/// lives in the payload, or is copied by that function.
pub(crate) unsafe fn submit<T: Send + 'static>(
    keep: &Arc<IoHandle>,
    operation: &'static str,
    object: CString,
    payload: T,
    start: impl FnOnce(Start<'_, T>) -> c_int,
) -> Submitted<T> {
    let (answer, answered) = oneshot::channel();
    let refused = |code, object: &CStr| Submitted::Failed(named(code, operation, object));
    let raw = Box::into_raw(Box::new(InFlight { payload, answer, _keep: Arc::clone(keep) }));
    let mut completion: sys::rados_completion_t = ptr::null_mut();
    // SAFETY: the callback takes exactly the type of `raw`; librados stores the completion.
    let code = unsafe { sys::rados_aio_create_completion2(raw.cast(), Some(completed::<T>), &mut completion) };
    if code < 0 {
        // SAFETY: nobody else has seen `raw`.
        drop(unsafe { Box::from_raw(raw) });
        return refused(code, &object);
    }
    // SAFETY: `raw` is allocated, and nobody frees it before `start` has submitted.
    let place = unsafe { &raw mut (*raw).payload };
    let code = start(Start { place, completion, object: &object });
    // SAFETY: ours to release once; librados keeps its own reference until it has called back.
    unsafe { sys::rados_aio_release(completion) };
    if code < 0 {
        // SAFETY: an operation that was refused is never called back, so `raw` is still ours alone.
        drop(unsafe { Box::from_raw(raw) });
        return refused(code, &object);
    }
    Submitted::Waiting { answer: answered, operation, object }
}

extern "C" fn completed<T: Send>(completion: sys::rados_completion_t, argument: *mut c_void) {
    let scope = CallbackScope::enter();
    // SAFETY: the pointer given at creation, given back exactly once, when librados no longer uses the payload.
    let in_flight = unsafe { Box::from_raw(argument.cast::<InFlight<T>>()) };
    let InFlight { payload, answer, _keep: keep } = *in_flight;
    // SAFETY: a live completion inside its own callback.
    let (code, version) =
        unsafe { (sys::rados_aio_get_return_value(completion), sys::rados_aio_get_version(completion)) };
    // Nobody waits any more: the payload is dropped here.
    let _ = answer.send(Answer { code, version, payload });
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
