//! The end of an asynchronous operation on a stock image.
//!
//! A caller's completion is this library's own, made before anybody knows for which kind of image. So an operation on a stock
//! image gets a completion of the stock library when it is started, and that one's callback ends the caller's: on the thread of
//! the stock library on which the caller's callback would run without this library.
//!
//! Owns: the pair of completions, and the order of things at the end, which is librbd's: the callback, the events of the image,
//! then it counts as complete. Does not own: the operation.
use crate::ffi::ctypes::rbd_completion_t;
use crate::ffi::errno::{CReturn, Errno, Outcome};
use crate::handles::completion::{Completion, arm};
use crate::handles::slab::Ref;
use crate::stock::functions;
use crate::stock::images::StockImage;
use std::ffi::{c_int, c_void};
use std::ptr;

/// A type that says whether an operation was started: 0, or a negative errno.
pub trait Started: CReturn + Copy {
    fn has_failed(self) -> bool;
}

impl Started for c_int {
    fn has_failed(self) -> bool {
        self < 0
    }
}

impl Started for isize {
    fn has_failed(self) -> bool {
        self < 0
    }
}

/// What waits for a stock completion.
struct Bridge {
    completion: Ref<Completion>,
    /// `None` for operations that belong to no image's events: its closing.
    image: Option<Ref<StockImage>>,
}

/// Starts an operation with a completion of the stock library behind the caller's. EINVAL or EBADF if the caller's cannot take
/// one. What is not started leaves it as it was.
pub fn submit<R: Started>(
    handle: rbd_completion_t,
    image: Option<&Ref<StockImage>>,
    start: impl FnOnce(rbd_completion_t) -> Outcome<R>,
) -> Outcome<R> {
    let completion = arm(handle)?;
    let bridge = Box::into_raw(Box::new(Bridge { completion: completion.clone(), image: image.cloned() }));
    let mut raw = ptr::null_mut();
    // SAFETY: a place for the completion; the bridge lives until the callback, or until it is taken back below.
    let made = unsafe { functions::rbd_aio_create_completion(bridge.cast(), Some(ended), &mut raw) };
    let started = if made < 0 { Err(Errno(-made)) } else { start(raw) };
    if !started.as_ref().is_ok_and(|code| !code.has_failed()) {
        if made >= 0 {
            // SAFETY: made above; an operation that was not started does not call it.
            unsafe { functions::rbd_aio_release(raw) };
        }
        // SAFETY: made above, and nobody else got it: the callback will not come.
        drop(unsafe { Box::from_raw(bridge) });
        completion.disarm();
    }
    started
}

/// The callback of the stock completion.
unsafe extern "C" fn ended(raw: rbd_completion_t, argument: *mut c_void) {
    // SAFETY: what `submit` gave; librbd calls back once.
    let bridge = unsafe { Box::from_raw(argument.cast::<Bridge>()) };
    // SAFETY: the completion that this is the callback of.
    let result = unsafe { functions::rbd_aio_get_return_value(raw) };
    // SAFETY: as above; librbd keeps it until the callback has returned.
    unsafe { functions::rbd_aio_release(raw) };
    let Bridge { completion, image } = *bridge;
    Completion::call_back(&completion, result as i64);
    match image.as_ref().and_then(|image| image.events()) {
        Some(socket) => {
            socket.push(completion.clone());
            completion.complete();
            socket.wake(1);
        }
        None => completion.complete(),
    }
}
