use super::*;
use crate::handles::completion::arm;
use crate::handles::done::Done;
use crate::runtime::process::core;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// Told by a callback: (the completion was complete in librbd's sense, its result).
type Told = Sender<(c_int, isize)>;

unsafe extern "C" fn tell(c: rbd_completion_t, argument: *mut c_void) {
    // SAFETY: the tests pass a boxed sender that outlives the callback.
    let told = unsafe { &*argument.cast::<Told>() };
    // SAFETY: a handle given by the library.
    let _ = unsafe { told.send((rbd_aio_is_complete(c), rbd_aio_get_return_value(c))) };
}

fn create(argument: *mut c_void, callback: Option<rbd_callback_t>) -> rbd_completion_t {
    let mut handle = std::ptr::null_mut();
    // SAFETY: a place for a handle.
    assert_eq!(unsafe { rbd_aio_create_completion(argument, callback, &mut handle) }, 0);
    handle
}

#[test]
fn a_callback_runs_elsewhere_and_before_waiters_wake() {
    let (told, heard) = channel();
    let told: Box<Told> = Box::new(told);
    let handle = create((&raw const *told).cast_mut().cast(), Some(tell));
    let completion = arm(handle).unwrap();
    // SAFETY: a live handle.
    unsafe {
        assert_eq!(rbd_aio_is_complete(handle), 0);
        assert_eq!(rbd_aio_get_arg(handle), (&raw const *told).cast_mut().cast());
    }
    Done { completion, image: None, result: 17 }.send(core().unwrap());
    // SAFETY: a live handle.
    unsafe {
        assert_eq!(rbd_aio_wait_for_complete(handle), 0);
        assert_eq!(heard.try_recv(), Ok((1, 17)));
        assert_eq!(rbd_aio_get_return_value(handle), 17);
        rbd_aio_release(handle);
        assert_eq!(rbd_aio_wait_for_complete(handle), -Errno::EBADF.0);
    }
}

#[test]
fn released_before_the_end_the_callback_still_runs() {
    let (told, heard) = channel();
    let told: Box<Told> = Box::new(told);
    let handle = create((&raw const *told).cast_mut().cast(), Some(tell));
    let completion = arm(handle).unwrap();
    // SAFETY: a live handle.
    unsafe { rbd_aio_release(handle) };
    Done { completion, image: None, result: 0 }.send(core().unwrap());
    let (complete, _) = heard.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(complete, -Errno::EBADF.0, "the handle is dead, the object is not");
}

#[test]
fn waiting_without_a_callback_ends() {
    let handle = create(std::ptr::null_mut(), None);
    let completion = arm(handle).unwrap();
    let ender = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        Done { completion, image: None, result: -5 }.send(core().unwrap());
    });
    // SAFETY: a live handle.
    unsafe {
        assert_eq!(rbd_aio_wait_for_complete(handle), 0);
        assert_eq!(rbd_aio_get_return_value(handle), -5);
        rbd_aio_release(handle);
    }
    ender.join().unwrap();
}

#[test]
fn a_completion_is_for_one_operation() {
    let handle = create(std::ptr::null_mut(), None);
    let first = arm(handle).unwrap();
    assert_eq!(arm(handle).err(), Some(Errno::EINVAL));
    drop(first);
    // SAFETY: a live handle, then a dead one, then null.
    unsafe {
        rbd_aio_release(handle);
        rbd_aio_release(handle);
        rbd_aio_release(std::ptr::null_mut());
        assert_eq!(rbd_aio_create_completion(std::ptr::null_mut(), None, std::ptr::null_mut()), -Errno::EINVAL.0);
        assert_eq!(rbd_aio_is_complete(std::ptr::null_mut()), -Errno::EINVAL.0);
        assert!(rbd_aio_get_arg(std::ptr::null_mut()).is_null());
    }
}
