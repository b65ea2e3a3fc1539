//! The answers to a notification.
use super::{bytes_of, watcher};
use lsd_librados_sys as sys;
use lsd_store::NotifyReply;
use std::ffi::{c_char, c_int};
use std::ptr;

/// The encoded answers, as librados allocated them.
#[derive(Debug)]
pub(super) struct ReplyBuffer {
    pub data: *mut c_char,
    pub len: usize,
}

// SAFETY: plain memory with one owner.
unsafe impl Send for ReplyBuffer {}

impl Default for ReplyBuffer {
    fn default() -> Self {
        Self { data: ptr::null_mut(), len: 0 }
    }
}

impl Drop for ReplyBuffer {
    fn drop(&mut self) {
        // SAFETY: null, or allocated by librados for us and freed once.
        unsafe { sys::rados_buffer_free(self.data) }
    }
}

/// The decoded answers, as librados allocated them.
struct Decoded {
    acks: *mut sys::notify_ack_t,
    acks_len: usize,
    timeouts: *mut sys::notify_timeout_t,
    timeouts_len: usize,
}

impl Drop for Decoded {
    fn drop(&mut self) {
        // SAFETY: what `rados_decode_notify_response` made, freed once.
        unsafe { sys::rados_free_notify_response(self.acks, self.acks_len, self.timeouts) }
    }
}

impl ReplyBuffer {
    /// The answers; a negative errno if the bytes are none.
    pub fn decode(&self) -> Result<NotifyReply, c_int> {
        if self.data.is_null() || self.len == 0 {
            return Ok(NotifyReply::default());
        }
        let mut acks = ptr::null_mut();
        let mut timeouts = ptr::null_mut();
        let (mut acks_len, mut timeouts_len) = (0, 0);
        // SAFETY: a buffer of that length, and places for the results.
        let code = unsafe {
            sys::rados_decode_notify_response(
                self.data,
                self.len,
                &mut acks,
                &mut acks_len,
                &mut timeouts,
                &mut timeouts_len,
            )
        };
        if code < 0 {
            return Err(code);
        }
        let decoded = Decoded { acks, acks_len, timeouts, timeouts_len };
        let mut reply = NotifyReply::default();
        for index in 0..decoded.acks_len {
            // SAFETY: librados made an array of that many.
            let ack = unsafe { &*decoded.acks.add(index) };
            let len = usize::try_from(ack.payload_len).unwrap_or_default();
            // SAFETY: null or as many bytes as librados says.
            let answer = unsafe { bytes_of(ack.payload.cast(), len) };
            reply.acks.push((watcher(ack.notifier_id, ack.cookie), answer));
        }
        for index in 0..decoded.timeouts_len {
            // SAFETY: librados made an array of that many.
            let timeout = unsafe { &*decoded.timeouts.add(index) };
            reply.timed_out.push(watcher(timeout.notifier_id, timeout.cookie));
        }
        Ok(reply)
    }
}
