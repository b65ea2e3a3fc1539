//! Appends of data that librados sends from where it is, with the guards of a log.
//!
//! Owns: the C++ operation and the data, until librados refers to it no more. That may be a little after the operation is complete
//! (a message to an OSD that was given up is still in a queue); what is in use then is kept aside and looked at again when the
//! next operation ends. Does not own: compound operations of other kinds (`write_op`), submission.
use crate::error::{RadosError, c_string};
use crate::write_op::{Compare, Operation, Target};
use bytes::Bytes;
use lsd_librados_sys as sys;
use std::ffi::{CString, c_int};
use std::sync::{Mutex, PoisonError};

/// Data that librados still uses although its operation has ended.
static IN_USE: Mutex<Vec<Lent>> = Mutex::new(Vec::new());

/// An append to a log object.
#[derive(Debug)]
pub struct AppendOp {
    /// `None` only while it is dropped.
    lent: Option<Lent>,
    fault: Option<RadosError>,
}

#[derive(Debug)]
struct Lent {
    raw: *mut sys::lsd_append_op,
    /// What `raw` refers to.
    data: Vec<Bytes>,
}

// SAFETY: a plain object of C++, used by one thread at a time; it counts its references atomically.
unsafe impl Send for Lent {}

impl Lent {
    fn is_unused(&self) -> bool {
        // SAFETY: live until dropped.
        unsafe { sys::lsd_append_op_is_unused(self.raw) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // SAFETY: created in `AppendOp::new`, freed once, before the data that it refers to.
        unsafe { sys::lsd_append_op_free(self.raw) }
    }
}

impl Drop for AppendOp {
    fn drop(&mut self) {
        let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        in_use.extend(self.lent.take());
        let unused: Vec<Lent> = in_use.extract_if(.., |lent| lent.is_unused()).collect();
        drop(in_use);
        // Not under the lock: large memory may go back to the system.
        drop(unused);
    }
}

impl Default for AppendOp {
    fn default() -> Self {
        Self::new()
    }
}

impl AppendOp {
    pub fn new() -> Self {
        // SAFETY: no arguments. It ends the process when there is no memory, as librados does.
        let raw = unsafe { sys::lsd_append_op_new() };
        Self { lent: Some(Lent { raw, data: Vec::new() }), fault: None }
    }

    fn step(mut self, add: impl FnOnce(&mut Lent)) -> Self {
        if let Some(lent) = &mut self.lent {
            add(lent);
        }
        self
    }

    fn named(mut self, step: &'static str, name: &str, add: impl FnOnce(&mut Lent, &CString)) -> Self {
        match c_string(name, step) {
            Ok(name) => return self.step(|lent| add(lent, &name)),
            Err(error) => self.fault = Some(self.fault.take().unwrap_or(error)),
        }
        self
    }

    /// Creates the object: EEXIST if it is there.
    #[must_use]
    pub fn create(self) -> Self {
        // SAFETY: a live operation.
        self.step(|lent| unsafe { sys::lsd_append_op_create(lent.raw) })
    }

    /// Appends the pieces, as one write of the OSD; nothing if they are empty.
    #[must_use]
    pub fn append(self, pieces: impl IntoIterator<Item = Bytes>) -> Self {
        // SAFETY: a live operation.
        self.lend(pieces).step(|lent| unsafe { sys::lsd_append_op_append(lent.raw) })
    }

    /// Writes the pieces one after the other from `offset` on, as one write of the OSD.
    #[must_use]
    pub fn write(self, offset: u64, pieces: impl IntoIterator<Item = Bytes>) -> Self {
        // SAFETY: a live operation.
        self.lend(pieces).step(|lent| unsafe { sys::lsd_append_op_write(lent.raw, offset) })
    }

    fn lend(self, pieces: impl IntoIterator<Item = Bytes>) -> Self {
        self.step(|lent| {
            for piece in pieces {
                // SAFETY: a live operation; the bytes stay where and as they are, and are kept until nobody refers to them.
                unsafe { sys::lsd_append_op_lend(lent.raw, piece.as_ptr().cast(), piece.len()) };
                lent.data.push(piece);
            }
        })
    }

    /// An extended attribute must compare so, else ECANCELED; a missing one is empty, a missing object ENOENT.
    #[must_use]
    pub fn compare_xattr(self, attribute: &str, compare: Compare, value: &[u8]) -> Self {
        self.named("cmpxattr", attribute, |lent, name| {
            let (data, len) = (value.as_ptr().cast(), value.len());
            // SAFETY: a live operation; name and value are copied.
            unsafe { sys::lsd_append_op_cmpxattr(lent.raw, name.as_ptr(), compare.code(), data, len) }
        })
    }

    #[must_use]
    pub fn set_xattr(self, attribute: &str, value: &[u8]) -> Self {
        self.named("setxattr", attribute, |lent, name| {
            let (data, len) = (value.as_ptr().cast(), value.len());
            // SAFETY: a live operation; name and value are copied.
            unsafe { sys::lsd_append_op_setxattr(lent.raw, name.as_ptr(), data, len) }
        })
    }
}

impl Operation for AppendOp {
    fn take_fault(&mut self) -> Option<RadosError> {
        self.fault.take()
    }

    unsafe fn operate(place: *mut Self, &Target { io, completion, object, flags }: &Target<'_>) -> c_int {
        // SAFETY: a live operation by the contract.
        let Some(lent) = (unsafe { &(*place).lent }) else { return -nix::libc::EINVAL };
        let raw = lent.raw;
        // SAFETY: live objects by the contract; the name is copied. Nothing of ours is borrowed any more: the callback may take the
        // operation away before this call returns.
        unsafe { sys::lsd_append_op_operate(raw, io, completion, object.as_ptr(), flags.bits()) }
    }
}
