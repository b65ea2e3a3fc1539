//! Data that librados has received, where it arrived.
//!
//! Owns: the C++ buffers, until nobody looks at them any more. Does not own: submission.
use bytes::Bytes;
use lsd_librados_sys as sys;
use std::ffi::{CStr, c_int};
use std::ptr;

/// The place for what one read brings.
pub(crate) struct ReadData {
    raw: *mut sys::lsd_read_data,
}

// SAFETY: a plain object of C++, used by one thread at a time; what it refers to is counted atomically.
unsafe impl Send for ReadData {}

impl Drop for ReadData {
    fn drop(&mut self) {
        // SAFETY: created in `new`, freed once, and not while an operation is in flight: then librados owns us.
        unsafe { sys::lsd_read_data_free(self.raw) }
    }
}

impl ReadData {
    pub fn new() -> Self {
        // SAFETY: no arguments. It ends the process when there is no memory, as librados does.
        Self { raw: unsafe { sys::lsd_read_data_new() } }
    }

    /// Submits a read of `len` bytes at `offset`, as `rados_aio_read`, which is what it returns.
    ///
    /// # Safety
    /// Live place, context and completion; what is in the place lives until the completion is complete.
    pub unsafe fn read(
        place: *const Self,
        io: sys::rados_ioctx_t,
        completion: sys::rados_completion_t,
        object: &CStr,
        len: usize,
        offset: u64,
    ) -> c_int {
        // SAFETY: by the contract; the name is copied. Nothing of ours is borrowed: the callback may take it away before this returns.
        unsafe { sys::lsd_read_data_read((*place).raw, io, completion, object.as_ptr(), len, offset) }
    }

    /// What came, of an operation that is complete.
    pub fn into_bytes(self) -> Bytes {
        let mut len = 0;
        // SAFETY: a live object that no operation uses any more.
        let data = unsafe { sys::lsd_read_data_get(self.raw, &mut len) };
        if len == 0 {
            Bytes::new()
        } else {
            Bytes::from_owner(Received { data: ptr::slice_from_raw_parts(data.cast(), len), _owner: self })
        }
    }
}

/// Data in one piece that nobody changes.
struct Received {
    data: *const [u8],
    _owner: ReadData,
}

// SAFETY: see `ReadData`; the data is only read.
unsafe impl Send for Received {}

impl AsRef<[u8]> for Received {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: in the buffers of the owner, which stay as they are while it lives.
        unsafe { &*self.data }
    }
}
