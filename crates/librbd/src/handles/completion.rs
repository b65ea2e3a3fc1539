//! `rbd_completion_t`: one asynchronous operation as its caller sees it.
//!
//! Owns: its states, its result, and waiting for it. Does not own: the order of things when it ends (module `done`). A
//! release before the end is legal: the callback still runs.
use crate::ffi::ctypes::{rbd_callback_t, rbd_completion_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::handles::slab::{Handled, Ref, Slab};
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

const FRESH: u8 = 0;
const PENDING: u8 = 1;
/// The result is there and the callback runs.
const CALLBACK: u8 = 2;
const COMPLETE: u8 = 3;

pub struct Completion {
    callback: Option<rbd_callback_t>,
    argument: *mut c_void,
    state: AtomicU8,
    result: AtomicI64,
    /// Set by whoever waits, so that finishing costs no system call when nobody does.
    awaited: AtomicBool,
    lock: Mutex<()>,
    done: Condvar,
}

// SAFETY: `argument` is only handed back to the caller, who answers for its use on another thread as with librbd.
unsafe impl Send for Completion {}
// SAFETY: as above; everything else is synchronised.
unsafe impl Sync for Completion {}

static COMPLETIONS: Slab<Completion> = Slab::new();

impl Handled for Completion {
    const TAG: u64 = 0xc;
    fn slab() -> &'static Slab<Self> {
        &COMPLETIONS
    }
}

/// The completion of a handle. EINVAL for null, EBADF for a released or invented handle.
pub fn completion_of(handle: rbd_completion_t) -> Outcome<Ref<Completion>> {
    COMPLETIONS.get(handle)
}

/// Takes a handle away from its caller. An operation that goes on keeps the completion.
pub fn release(handle: rbd_completion_t) -> Outcome<()> {
    COMPLETIONS.remove(handle).map(drop)
}

/// The completion of a handle, made busy with an operation. EINVAL if it already had one: a completion is for one
/// operation.
pub fn arm(handle: rbd_completion_t) -> Outcome<Ref<Completion>> {
    let completion = COMPLETIONS.get(handle)?;
    completion
        .state
        .compare_exchange(FRESH, PENDING, Ordering::AcqRel, Ordering::Acquire)
        .map_err(|_| Errno::EINVAL)?;
    Ok(completion)
}

impl Completion {
    /// A new handle without an operation.
    pub fn register(callback: Option<rbd_callback_t>, argument: *mut c_void) -> Outcome<Ref<Completion>> {
        COMPLETIONS.insert(Completion {
            callback,
            argument,
            state: AtomicU8::new(FRESH),
            result: AtomicI64::new(0),
            awaited: AtomicBool::new(false),
            lock: Mutex::new(()),
            done: Condvar::new(),
        })
    }

    /// It may be armed again: its operation was not started.
    pub fn disarm(&self) {
        self.state.store(FRESH, Ordering::Release);
    }

    /// Also while the callback runs, as librbd has it.
    pub fn is_complete(&self) -> bool {
        self.state.load(Ordering::Acquire) >= CALLBACK
    }

    pub fn result(&self) -> i64 {
        self.result.load(Ordering::Acquire)
    }

    pub fn argument(&self) -> *mut c_void {
        self.argument
    }

    pub fn has_callback(&self) -> bool {
        self.callback.is_some()
    }

    /// Takes the result and runs the callback, if there is one.
    pub fn call_back(this: &Ref<Self>, result: i64) {
        this.result.store(result, Ordering::Release);
        this.state.store(CALLBACK, Ordering::Release);
        if let Some(callback) = this.callback {
            // SAFETY: the caller gave this function for exactly this call.
            unsafe { callback(this.handle(), this.argument) };
        }
    }

    /// Wakes whoever waits.
    pub fn complete(&self) {
        self.state.store(COMPLETE, Ordering::SeqCst);
        if self.awaited.load(Ordering::SeqCst) {
            let _lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.done.notify_all();
        }
    }

    /// Until the callback has returned.
    pub fn wait(&self) {
        if self.state.load(Ordering::SeqCst) == COMPLETE {
            return;
        }
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.awaited.store(true, Ordering::SeqCst);
        while self.state.load(Ordering::SeqCst) != COMPLETE {
            lock = self.done.wait(lock).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
